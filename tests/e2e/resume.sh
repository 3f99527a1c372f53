# A run that goes on is the run that was never interrupted: --resume alone brings back what was typed, the log and the curves;
# what would change the rows is refused. And what ends a run early: patience, signals, numbers that are none.
. "$(dirname "$0")/common.bash"
train() { "$NNC" train "$digits" "$table" "$@"; }
without_seconds() { cut -d, -f1,2,4- "$1"; }

all="--test-every 5 --valid 0.1 --standardize --batch 32 --seed 7 --threads 1 lr=staircase(0.05,steps=90,factor=0.5)"
expect 0 '' train $all --epochs 6 --save whole.safetensors --log whole.csv --plot whole.svg -q
expect 0 '' train $all --epochs 4 --save part.safetensors --log part.csv -q
expect 0 'going on after step 164' train --resume part.safetensors --epochs 6 --save rest.safetensors --log rest.csv --plot rest.svg --threads 1
same whole.safetensors rest.safetensors
same whole.svg rest.svg
[ "$(without_seconds whole.csv)" = "$(without_seconds rest.csv)" ] || fail 'the logs differ'
grep -q '^4,164,nan,' rest.csv || fail 'seconds that nobody measured are told'
expect 0 '' train --resume part.safetensors --epochs 6 --log part.csv --threads 1 -q
[ "$(without_seconds whole.csv)" = "$(without_seconds part.csv)" ] || fail 'the log that was gone on with differs'
! grep -q nan part.csv || fail 'the seconds of the first log are lost'

expect 2 'was made with --seed 7, not 8' train --resume part.safetensors --seed 8
expect 2 'was made with --seed 7, not 0' train --resume part.safetensors --seed 0
expect 2 'was made with --valid 0.1, not 0.2' train --resume part.safetensors --valid 0.2
expect 2 'was made without --shuffle' train --resume part.safetensors --shuffle=no
expect 2 'was made with --batch 32, not 16' train --resume part.safetensors --batch 16
zcat "$table" | sed '2,40s/^0/1/' > other.csv
expect 2 'was made with other data: nnc.mean.x differs' "$NNC" train "$digits" other.csv --resume part.safetensors
expect 2 'was made without --set' train --resume part.safetensors --set 'a = 1'
expect 2 'give one of them' train --resume part.safetensors --state part.safetensors
expect 2 'does not tell where its training stood' sh -c "'$NNC' run '$digits' --save init.safetensors -q && exec '$NNC' train '$digits' '$table' --resume init.safetensors"

# a signal within an epoch, under a schedule that reaches over all of it
slow="--test-every 5 --interpret --threads 1 lr=cosine(0.05,warmup=50)"
expect 0 '' train $slow --epochs 16 --save whole.safetensors --log whole.csv -q
"$NNC" train "$digits" "$table" $slow --epochs 16 --save cut.safetensors --log cut.csv > output 2>&1 &
child=$!
for _ in $(seq 200); do grep -q 'epoch 3' output && break; sleep 0.05; done
kill -INT $child
wait $child || fail "a signal ended it with $?"
if grep -q 'go on with' output; then
  expect 0 'going on' train --interpret --threads 1 --resume cut.safetensors --save rest.safetensors --log cut.csv
  same whole.safetensors rest.safetensors
  [ "$(without_seconds whole.csv)" = "$(without_seconds cut.csv)" ] || fail 'the log of the run that was cut differs'
fi
# two signals end it at once, or after the step at hand if that was faster
"$NNC" train "$digits" "$table" $slow --epochs 1000 --save two.safetensors > output 2>&1 &
child=$!
for _ in $(seq 200); do grep -q 'epoch 1' output && break; sleep 0.05; done
kill -TERM $child
kill -TERM $child 2> /dev/null
wait $child
found=$?
[ $found = 0 ] || [ $found = 143 ] || fail "two signals ended it with $found"

# the best state is the one that is kept, and no later one
expect 0 'stopped: 3 epochs without a better valid loss' train --valid 0.2 --epochs 200 --patience 3 lr=0.1 --threads 1 --save best.safetensors
best=$(sed -n 's/.*the best is //p' output)
least=$(sed -n 's/.*  valid loss \([^ ]*\).*/\1/p' output | sort -g | head -1)
[ "$best" = "$least" ] || fail "the best is told to be $best, but the least was $least"
expect 0 'without a better valid acc' train --valid 0.2 --epochs 200 --patience 2 --watch acc lr=0.1 --threads 1
expect 0 'without a better valid acc' train --valid 0.2 --epochs 200 --patience 2 --watch +acc lr=0.1 --threads 1
expect 2 "--watch zebra: neither" train --valid 0.2 --patience 2 --watch zebra
printf 'model m\ndim N <= 64\nlayer net = dense(10)\nstep s(x: [N, 64], y: i32[N]) -> loss {\n  loss = cross_entropy(net(x), y)\n  minimize loss by sgd(0.1)\n}\n' > bare.nn
expect 2 '--valid: there is no fn test' "$NNC" train bare.nn "$table" --valid 0.1

# numbers explode at step 60: the checkpoint of step 40 stays
expect 4 'keeps the state after step' train --every 20 --save kept.safetensors --threads 1 'lr=staircase(0.05, steps=60, factor=1e35)'
grep -q 'step 6[0-9] .*the first tensor that is not finite is net' output || fail "neither step nor tensor are told: $(cat output)"
expect 0 '' "$NNC" run "$digits" --state kept.safetensors --save copy.safetensors
expect 0 '' train --resume kept.safetensors lr=0.01 --epochs 3 --threads 1 -q
# Constants that were given for the first run are the second one's too.
printf 'model wide\ndim N <= 64\nhidden = 2\nlayer net = dense(hidden) | relu | dense(10)\nstep fit(x: [N, 64], y: i32[N], lr = 0.001) -> loss {\n  loss = cross_entropy(net(x), y)\n  minimize loss by sgd(lr)\n}\n' > wide.nn
expect 0 '' "$NNC" train wide.nn "$table" --set 'hidden = 5' --epochs 1 --save wide.safetensors -q
expect 0 'going on after step 29' "$NNC" train wide.nn --set 'hidden = 5' "$table" --resume wide.safetensors --epochs 2
expect 0 'going on after step 29' "$NNC" train wide.nn "$table" --resume wide.safetensors --epochs 2
expect 2 'was made with --set hidden = 5, not hidden = 6' "$NNC" train wide.nn "$table" --resume wide.safetensors --set 'hidden = 6'
finish
