# --target cuda without a GPU: what is said where the driver or NVRTC is missing; then, with the shim in their place, kernels
# of every kind against the interpreter. Each launch runs in two orders of its threads, which must agree.
. "$(dirname "$0")/common.bash"

cp "$SOURCE/models/mlp.nn" .
export NNC_NVRTC=/nonexistent NN_CUDA_DRIVER=/nonexistent
expect 3 'no driver for NVIDIA GPUs' "$NNC" run mlp.nn --target cuda --save s.safetensors
absent s.safetensors
expect 3 'scripts/cuda fetches it' "$NNC" mlp.nn --target cuda -o mlp.o
absent mlp.o
absent mlp.h
expect 0 '' "$NNC" mlp.nn --target cuda -o mlp.cu
grep -q 'extern "C" __global__' mlp.cu || fail 'no kernel in mlp.cu'
expect 0 '' "$NNC" "$SOURCE/models/resnet18.nn" --target cuda -o resnet18.cu
expect 0 'nn_cuda_allocate' "$NNC" mlp.nn --target cuda --emit h
expect 2 'give --target cuda' "$NNC" mlp.nn -o mlp.ptx
expect 2 'compiles for cpu and cuda' "$NNC" run mlp.nn --save s.safetensors --target tpu

: "${SHIM:?the library that stands in for a GPU}"
export NNC_NVRTC=$SHIM NN_CUDA_DRIVER=$SHIM
expect 2 'is no kind of GPU' "$NNC" mlp.nn --target cuda --gpu sm_2x -o mlp.o
expect 2 'there are f32, tf32 and bf16' "$NNC" mlp.nn --target cuda --precision f16 -o mlp.o
expect 2 'is for GPUs' "$NNC" mlp.nn --precision tf32 -o mlp.o
expect 2 'too old' "$NNC" mlp.nn --target cuda --gpu sm_75 -o mlp.o
expect 2 'no kind of GPU is named' "$NNC" mlp.nn --target cuda --gpu '' -o mlp.o

expect 0 '0  classify_0_contract' "$NNC" show mlp.nn --target cuda --gpu sm_90 --kernels

agrees() { expect 0 '' "$NNC" diff "$@" --target cuda --gpu sm_90 -q; }
cat > ops.nn << 'END'
model ops
dim N <= 40
dim T <= 70
fn orders(x: [N, T], i: i32[N], b: bool[N, T]) -> (order, summed, counted, taken, added, best, least, any, rows) {
  order = argsort(x)
  summed = cumsum(x, axis=1)
  counted = cumsum(i32(x), axis=0)
  taken = gather(x, i)
  added = scatter_add(x, i, x)
  best = argmax(x)
  least = argmin(x, axis=0)
  any = max(x > 0.5, axis=0) | min(b, axis=0)
  rows = sum(x, axis=1)
}
fn whole(x: [N, T]) -> (total, first, top, spread) {
  total = sum(x)
  first = argmax(reshape(x, [N * T]))
  top = max(x)
  spread = softmax(x, axis=0)
}
fn numbers(x: [N, T], i: i32[N], j: i32[N]) -> (a, b, c, d, e, f, g) {
  a = i // j + i % j
  b = x % 0.3 - x // 0.7
  c = sin(x) + cos(x) + exp(x) + tanh(x) + erf(x) + sqrt(x * x) + log(1 + x * x)
  d = i32(100 * x) - i[:, None]
  e = (x * x) ** x
  f = max(i, j) * min(i, j)
  g = round(x * 10)
}
fn pictures(x: [N, 3, 11, 9]) -> (a, b, c, d) {
  a = maxpool(x, 3, stride=2, pad=1)
  b = avgpool(x, 2)
  c = x[:, ::2, 1:, 1::3]
  d = concat(x, x, axis=1)
}
fn noise(x: [N, T]) -> y = x + uniform([N, T])
END
agrees ops.nn N=37 T=61
agrees ops.nn N=1 T=1
cat > products.nn << 'END'
model products
dim N <= 4096
fn square(a: [512, 260], b: [260, 512]) -> c = a @ b
fn rows(a: [N, 68], b: [200, 68]) -> c = contract("n k, o k -> n o", a, b)
fn columns(a: [64, 130], b: [64, 129]) -> c = contract("k n, k o -> n o", a, b)
fn batch(a: [3, 70, 66], b: [3, 66, 36]) -> c = a @ b
fn large(a: [N, 36], b: [36, 1024]) -> c = a @ b
END
for precision in f32 tf32 bf16; do agrees products.nn N=133 --precision $precision; done
cat > nets.nn << 'END'
model nets
dim N <= 20
def Basic(x: [N, C, H, W], out, stride = 1) {
  y = x | conv(out, 3, stride, pad=1, bias=false) | batchnorm | relu | conv(out, 3, pad=1, bias=false) | batchnorm
  if C != out or stride != 1 { x = x | conv(out, 1, stride, bias=false) | batchnorm }
  relu(x + y)
}
layer residual = conv(8, 3, pad=1, bias=false) | batchnorm | relu | Basic(8) | Basic(16, 2) | gap | dense(10)
layer wide = dense(200) | dropout(0.3) | layernorm | dense(100) | gelu | dense(3)
layer recurrent = embed(50, 8) | lstm(12) | mean(axis=1) | dense(2)
layer groups = conv(6, 3, groups=3) | relu | conv_transpose(2, 3, stride=2) | flatten | dense(4)
layer queries = dense(24)
step residual_step(x: [N, 3, 13, 13], y: i32[N]) -> loss {
  loss = cross_entropy(residual(x), y)
  minimize loss by sgd(0.1, momentum=0.9)
}
step wide_step(x: [N, 150], y: i32[N]) -> loss {
  loss = cross_entropy(wide(x), y)
  minimize loss by adam(1e-3)
}
step recurrent_step(ids: i32[N, 7], y: i32[N]) -> loss {
  loss = cross_entropy(recurrent(ids), y)
  minimize loss clip 1.0 by adamw(1e-3)
}
step groups_step(x: [N, 3, 9, 8], y: i32[N]) -> loss {
  loss = cross_entropy(groups(x), y)
  minimize loss by rmsprop(1e-3)
}
fn attends(x: [N, 9, 24]) -> y {
  q = reshape(queries(x), [N, 9, 3, 8])
  y = attention(q[:, :, 0], q[:, :, 1], q[:, :, 2], causal=true)
}
END
agrees nets.nn N=19
agrees nets.nn N=19 --precision tf32
for program in gan linreg perceptron lenet; do agrees "$SOURCE/models/$program.nn" --seed 3; done

# Training twice ends in the same bits, and near where the processor ends.
for run in 1 2; do
  expect 0 '' "$NNC" train "$SOURCE/models/linreg.nn" "$SOURCE/models/data/boston.csv.gz" --standardize --epochs 3 \
    --batch 100 lr=0.1 --save "linreg$run.safetensors" -q --target cuda --gpu sm_90
done
same linreg1.safetensors linreg2.safetensors
expect 0 '' "$NNC" train "$SOURCE/models/linreg.nn" "$SOURCE/models/data/boston.csv.gz" --standardize --epochs 3 \
  --batch 100 lr=0.1 --save cpu.safetensors -q
for file in linreg1 cpu; do
  head=$(od -A n -t u8 -N 8 $file.safetensors) # f.w, then f.b come first behind it
  tail -c +$((head + 9)) $file.safetensors | head -c 56 | od -A n -v -t f4 -w4 > $file.weights
done
paste linreg1.weights cpu.weights | awk '{ off = $1 - $2; if (off < 0) off = -off; if (off > 1e-5) bad++ } END { exit bad > 0 || NR != 14 }' ||
  fail "training: $(paste linreg1.weights cpu.weights | tr '\n' ';')"

# A shared object calls the runtime in nnc.
expect 0 '' "$NNC" mlp.nn --target cuda --gpu sm_90 -o mlp.so
expect 0 'classify' "$NNC" show mlp.so
expect 0 'compiled' "$NNC" bench mlp.so N=2 --repeat 1
finish
