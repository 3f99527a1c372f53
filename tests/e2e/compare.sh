# diff finds no difference in the models; bench and show tell what programs read.
. "$(dirname "$0")/common.bash"
for model in perceptron linreg softmax digits gan; do
  expect 0 'ok' "$NNC" diff "$SOURCE/models/$model.nn"
done
for seed in 0 1 2; do
  expect 0 'ok' "$NNC" diff "$SOURCE/models/sentiment.nn" N=3 T=7 --seed $seed
done
expect 0 '"ratio"' "$NNC" bench "$digits" train N=8 --json --repeat 1
expect 0 'GFLOP/s' "$NNC" bench "$digits" --kernels --repeat 1
expect 0 'interpreted, ms' "$NNC" bench "$digits" N=2 --repeat 1 --svg bars.svg --mark 0.000001
[ "$(grep -c 'times as fast</text>' bars.svg)" = "$(grep -cE '^(fn|step) ' "$digits")" ] || fail "bars: $(cat bars.svg)"
expect 1 'times as fast as interpreted, 1e+09 are wanted' "$NNC" bench "$digits" classify N=2 --repeat 1 --mark 1e9
expect 0 '61,706 parameters in 10 trainable tensors' "$NNC" show "$SOURCE/models/lenet.nn"
grep -qE '^  net\.conv2 +conv\(16, 5\) +f32\[N, 16, 10, 10\] +2,416  w \[16, 6, 5, 5\], b \[16\]$' output || fail "the layers: $(cat output)"
grep -qE '[0-9] [MG]FLOP at the bounds' output || fail "no FLOPs: $(cat output)"
expect 0 '11,689,512 parameters in 62 trainable tensors' "$NNC" show "$SOURCE/models/resnet18.nn" --interpret
finish
