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

agrees() { expect 0 '' "$NNC" diff "$@" --target cuda --gpu "${GPU:-sm_90}" -q; }
agrees "$SOURCE/tests/gpu/ops.nn" N=37 T=61
agrees "$SOURCE/tests/gpu/ops.nn" N=1 T=1
for precision in f32 tf32 bf16; do agrees "$SOURCE/tests/gpu/products.nn" N=133 --precision $precision; done
for precision in tf32 bf16; do GPU=sm_90a agrees "$SOURCE/tests/gpu/products.nn" N=133 --precision $precision; done # warpgroups
agrees "$SOURCE/tests/gpu/nets.nn" N=19
agrees "$SOURCE/tests/gpu/nets.nn" N=19 --precision tf32
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
expect 0 '' "$NNC" diff mlp.nn N=2 --compiled mlp.so --target cuda -q
sed 's/dense(10)/dense(12)/' mlp.nn > other.nn
expect 2 'was not compiled from other.nn' "$NNC" diff other.nn N=2 --compiled mlp.so --target cuda -q
expect 0 'compiled' "$NNC" bench mlp.so N=2 --repeat 1

# Tensor maps are made at each call.
SHIM_FAIL=cuTensorMapEncodeTiled expect 3 'a tensor map: out of memory' "$NNC" diff "$SOURCE/tests/gpu/products.nn" large N=70 \
  --precision bf16 --target cuda --gpu sm_90a -q

# A step of several launches is one graph of the driver's. Where that refuses to make one, they go one by one; what else
# fails is told.
fails() { SHIM_FAIL=$1 expect "$2" "$3" "$NNC" diff mlp.nn N=2 --compiled mlp.so --target cuda -q; }
fails cuLaunchKernel 0 ''
fails cuGraphExecKernelNodeSetParams 0 ''
for function in cuGraphCreate cuGraphAddKernelNode cuGraphInstantiateWithFlags; do
  fails $function 0 ''
  fails $function,cuLaunchKernel 3 'mlp_classify_0_contract: out of memory'
done
fails cuGraphLaunch 3 'a graph of kernels: out of memory'
fails cuMemAlloc_v2 3 'memory cannot be allocated'
fails cuModuleLoadData 3 'code cannot be loaded'
fails cuModuleGetFunction 3 'mlp_classify_0_contract: out of memory'
fails cuMemcpyAsync 3 'an argument cannot be copied'
fails cuMemcpyHtoDAsync_v2 3 'memory cannot be written'
fails cuStreamCreate 3 'the GPU cannot be opened'
finish
