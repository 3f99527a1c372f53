# --fast-conv: convolutions by tiles agree within their bound, whatever the sizes; their error is told of; bits do not depend on
# threads; and without the option nothing changes.
. "$(dirname "$0")/common.bash"
cat > net.nn << 'NET'
model net
dim N <= 8
layer body = conv(32, 3, pad=1) | batchnorm | relu | conv(32, 3, pad=1) | relu
layer head = gap | dense(3)
fn infer(x: [N, 32, 21, 18]) -> p = x | body | head | softmax
step train(y: i32[N]) -> loss {
  loss = uniform([N, 32, 21, 18]) | body | head | cross_entropy(y)
  minimize loss by sgd(0.1, momentum=0.9)
}
NET
expect 0 'of 2 convolutions of 3 x 3 by tiles' "$NNC" show net.nn --fast-conv
grep -qE '[0-9] of 4 x 4, with 31 times the rounding error' output || fail "the error: $(cat output)"
expect 0 '"error_by_tiles_of_4"' "$NNC" show net.nn --fast-conv --json
for size in 1 2 7; do
  expect 0 '31 times as much' "$NNC" diff net.nn --fast-conv N=$size
done
expect 0 ok "$NNC" diff net.nn --fast-conv --no-fuse infer N=3

# one, two and three threads give the same bits
for threads in 1 2 3; do
  "$NNC" run net.nn train 'y=[0, 1, 2, 0, 1]' --fast-conv --threads $threads --repeat 3 --save "threads$threads.safetensors" > output 2>&1 ||
    fail "a step: $(cat output)"
done
same threads1.safetensors threads2.safetensors
same threads1.safetensors threads3.safetensors

# what is compiled with the option is not what is compiled without it, in the cache too
"$NNC" net.nn -o direct.plan && "$NNC" net.nn --fast-conv -o tiles.plan
cmp -s direct.plan tiles.plan && fail "the option changes nothing"
"$NNC" run net.nn train 'y=[0, 1, 2, 0, 1]' --save direct.safetensors > output 2>&1 || fail "a step: $(cat output)"
cmp -s direct.safetensors threads1.safetensors && fail "the cache gave what was compiled without the option"
finish
