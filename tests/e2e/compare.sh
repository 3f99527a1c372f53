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
expect 0 '61,706 parameters in 10 trainable tensors' "$NNC" show "$SOURCE/models/lenet.nn"
expect 0 '11,689,512 parameters in 62 trainable tensors' "$NNC" show "$SOURCE/models/resnet18.nn" --interpret
finish
