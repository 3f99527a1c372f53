# Training on real pictures of digits: it learns, interpreted and compiled; a run that was cut in two, or stopped by a signal,
# ends in the bits of one that was not; numbers that are none end it with 4.
. "$(dirname "$0")/common.bash"
train() { "$NNC" train "$digits" "$table" --test-every 5 "$@"; }

expect 0 'interpreted' train --epochs 8 --interpret
accuracy=$(sed -n 's/.*epoch 8 .*test acc \([0-9.]*\).*/\1/p; s/^epoch 8.*test acc \([0-9.]*\).*/\1/p' output | head -1)
awk -v a="$accuracy" 'BEGIN { exit !(a > 0.93) }' || fail "interpreted: test accuracy is $accuracy"
expect 0 'compiled' train --epochs 8
accuracy=$(sed -n 's/^epoch 8.*test acc \([0-9.]*\).*/\1/p' output)
awk -v a="$accuracy" 'BEGIN { exit !(a > 0.93) }' || fail "compiled: test accuracy is $accuracy"

# for each way to compute: whole, cut between epochs, cut by a signal
for way in --interpret --threads=1 --f64; do
  expect 0 '' train --epochs 6 $way --save whole.safetensors -q
  expect 0 '' train --epochs 2 $way --save part.safetensors -q
  expect 0 'going on after step 46' train --epochs 6 $way --resume part.safetensors --save rest.safetensors
  same whole.safetensors rest.safetensors
done
expect 0 '' train --epochs 6 --threads 1 --save one.safetensors -q
expect 0 '' train --epochs 6 --threads 3 --save three.safetensors -q
same one.safetensors three.safetensors

expect 0 '' train --epochs 40 --interpret --threads 1 --save whole.safetensors -q
"$NNC" train "$digits" "$table" --test-every 5 --epochs 40 --interpret --threads 1 --save cut.safetensors > output 2>&1 &
child=$!
for _ in $(seq 100); do grep -q 'epoch 2' output && break; sleep 0.1; done
kill -INT $child
wait $child || fail "a signal ended it with $?"
if grep -q 'go on with' output; then
  expect 0 'going on' train --epochs 40 --interpret --threads 1 --resume cut.safetensors --save rest.safetensors
  same whole.safetensors rest.safetensors
fi

# kill -9 at any time leaves a whole file
for delay in 0.3 0.5 0.7; do
  "$NNC" train "$digits" "$table" --epochs 1000 --every 1 --save killed.safetensors --interpret -q &
  child=$!
  sleep $delay
  kill -9 $child
  wait $child 2> /dev/null
  [ ! -e killed.safetensors ] || expect 0 '' "$NNC" run "$digits" --state killed.safetensors --save copy.safetensors --interpret
done

expect 4 'step ' train --epochs 3 --interpret lr=1e30
expect 4 'not finite' train --epochs 3 --interpret lr=1e30 --save kept.safetensors
expect 0 '' train --epochs 3 --interpret 'lr=cosine(0.05, warmup=10)' -q
expect 0 'stopped' train --epochs 60 --interpret --valid 0.2 --patience 2
expect 0 '100 rows, 7 steps an epoch of up to 16 rows; 360 rows for test' train --epochs 1 --interpret --batch 16 --rows 100
expect 2 'was made with --batch' train --interpret --batch 32 --resume part.safetensors
expect 0 '' train --epochs 2 --interpret --standardize --save standard.safetensors -q
grep -qa 'nnc.mean.x' standard.safetensors || fail 'no means in the checkpoint'
expect 0 '' train --epochs 1 --interpret --log log.csv
[ "$(wc -l < log.csv)" = 2 ] || fail 'the log has not two lines'
# the schedules are the prelude's: at no step of 12 do they differ by more than rounding
cat > schedules.nn <<'EOF'
model schedules
dim N <= 4
state t: [] = 0
step train(x: [N, 1], cosined: f32[], stairs: f32[], level: f32[]) -> (off) {
  off = abs(cosined - cosine(t, 0.1, 12, warmup=3)) + abs(stairs - staircase(t, 0.5, steps=5, factor=0.3)) +
    abs(level - constant(t, 0.7))
  t := t + 1
}
EOF
printf '1,2\n3,4\n5,6\n7,8\n9,8\n7,6\n5,4\n3,2\n' > eight.csv
expect 0 'epoch 6' "$NNC" train schedules.nn eight.csv --epochs 6 --batch 4 --threads 1 'cosined=cosine(0.1, warmup=3)' \
  'stairs=staircase(0.5, 5, factor=0.3)' 'level=constant(0.7)'
awk '/^epoch/ { count++; if (!($4 < 1e-7)) bad = 1 } END { exit bad || count != 6 }' output || fail "schedules differ: $(cat output)"
finish
