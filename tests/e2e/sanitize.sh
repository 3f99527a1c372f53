# --sanitize: a model is clean under both sanitizers; a plan with a fault, put there by hand, is not: a buffer that is read
# after its life, and two kernels side by side of which one reads what the other writes.
. "$(dirname "$0")/common.bash"

# under KIND MODEL NAME: what the program prints that calls all entries of MODEL, in the file `told`; its exit code.
under() {
  expect 0 '' "$NNC" "$2" "--sanitize=$1" --cpu x86-64-v3 -q -o x.o
  cc -std=c11 -D_GNU_SOURCE "-fsanitize=$1" "-DMODEL=$3_model" "-I$SOURCE" "$SOURCE/scripts/sanitize.d/drive.c" \
    "$SOURCE/runtime/pool.c" x.o -o x -lpthread -lm || fail "$2: the program is not built"
  ./x 64 > told 2>&1
}
for kind in address thread; do
  under $kind "$digits" digits || fail "digits is not clean: $(cat told)"
done

cat > m.nn << 'end'
model m
dim N <= 64
layer net = dense(32) | relu | dense(10)
step train(x: [N, 20], y: i32[N]) -> loss {
  loss = cross_entropy(net(x), y)
  minimize loss by sgd(0.1)
}
end
"$NNC" m.nn --sanitize --cpu x86-64-v3 -o m.plan
under address m.plan m || fail "$(cat told)"
under thread m.plan m || fail "$(cat told)"
sed 's/life 0\.\.3 offset 0$/life 0..2 offset 0/' m.plan > short.plan
cmp -s m.plan short.plan && fail "no life was shortened"
under address short.plan m && fail "a read after a buffer's life was not found"
grep -q 'use-after-poison.*m_train_' told || fail "$(cat told)"
sed '/^  launch train_0_contract$/d; s/^  launch train_9_fold_sum/  launch train_0_contract train_9_fold_sum/' m.plan > race.plan
cmp -s m.plan race.plan && fail "no launches were joined"
under thread race.plan m && fail "a race of two kernels was not found"
grep -q 'data race.*m_train_' told || fail "$(cat told)"

expect 2 'there are address and thread' "$NNC" m.nn --sanitize=memory -o y.o
expect 2 'code of the processor' "$NNC" m.nn --sanitize --target cuda -o y.o
absent y.o
# What runs code in nnc itself wants an nnc with that sanitizer.
"$NNC" diff m.nn N=8 --sanitize --no-cache > output 2>&1
case $? in
0) ;;
3) grep -q 'not built with AddressSanitizer' output || fail "$(cat output)" ;;
*) fail "$(cat output)" ;;
esac
finish
