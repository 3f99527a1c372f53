# --mem: fits, and gives the same bits as without, on one thread and on more; what can't fit is refused, and what would is named.
. "$(dirname "$0")/common.bash"
cat >m.nn <<'END'
model m
dim N <= 32
def Unit(x: [N, C, H, W]) = x | conv(8, 3, pad=1, bias=false) | batchnorm | relu
layer f = Unit * 5
layer head = dense(10)
fn test(x: [N, 1, 8, 8], y: i32[N]) -> loss { loss = x / 16 | f | gap | head | cross_entropy(y) }
step train(x: [N, 1, 8, 8], y: i32[N], lr = 0.1) -> loss {
  loss = x / 16 | f | gap | head | cross_entropy(y)
  minimize loss by sgd(lr)
}
END
data=$SOURCE/models/data/digits.csv.gz
expect 0 '' "$NNC" train m.nn "$data" --epochs 1 --batch 32 -q --save free.safetensors
expect 0 '' "$NNC" m.nn -o m.o
scratch() { sed -n 's/.*M_TRAIN_SCRATCH_BYTES \([0-9]*\).*/\1/p' m.h; }
bound=$(($(scratch) * 70 / 100))
for threads in 1 3; do
  expect 0 '' "$NNC" train m.nn "$data" --epochs 1 --batch 32 -q --save bounded.safetensors --mem "$bound" --threads $threads
  cmp free.safetensors bounded.safetensors || fail "--mem changed the bits"
done
expect 0 'instead of' "$NNC" m.nn --mem "$bound" -o m.o
[ "$(scratch)" -le "$bound" ] || fail "the header: $(grep SCRATCH m.h)"
expect 0 'run again' "$NNC" show m.nn --mem "$bound"
expect 0 ' ok' "$NNC" diff m.nn --mem "$bound"
rm m.o m.h
expect 2 'are not enough' "$NNC" m.nn --mem $((bound / 2)) -o m.o
[ ! -e m.o ] && [ ! -e m.h ] || fail "something was written"
fits=$(sed -n 's/.*with dim N <= //p' output)
sed "s/N <= 32/N <= $fits/" m.nn >fits.nn
expect 0 '' "$NNC" fits.nn --mem $((bound / 2)) -o m.o
finish
