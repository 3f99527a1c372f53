# nnc without LLVM, for machines that have a GPU and little else: it reads, interprets and runs what was compiled elsewhere,
# says so where it cannot compile, and needs no LLVM to be built. The whole is built of the same libraries as nnc; that CMake
# finds its way without LLVM is tried on what differs.
. "$(dirname "$0")/common.bash"
: "${LIGHT:?nnc without LLVM}" "${SHIM:?the library that stands in for a GPU}"

ldd "$LIGHT" | grep -q LLVM && fail 'it wants LLVM'
cp "$SOURCE/models/linreg.nn" .
expect 0 'train' "$LIGHT" show linreg.nn --interpret
expect 3 'built without LLVM' "$LIGHT" linreg.nn -o linreg.o
absent linreg.o
expect 3 'built without LLVM' "$LIGHT" run linreg.nn --save s.safetensors
expect 0 '' "$NNC" linreg.nn -o linreg.so
expect 0 '' "$LIGHT" diff linreg.nn N=3 --compiled linreg.so -q
boston=$SOURCE/models/data/boston.csv.gz
expect 0 '' "$NNC" train linreg.so "$boston" --standardize --epochs 2 lr=0.1 --save whole.safetensors -q
expect 0 '' "$LIGHT" train linreg.so "$boston" --standardize --epochs 2 lr=0.1 --save light.safetensors -q
same whole.safetensors light.safetensors
NNC_NVRTC=$SHIM expect 0 '' "$NNC" linreg.nn --target cuda --gpu sm_90 -o gpu.so
NN_CUDA_DRIVER=$SHIM expect 0 '' "$LIGHT" diff linreg.nn N=3 --compiled gpu.so --target cuda -q
NN_CUDA_DRIVER=/nonexistent expect 3 'no driver for NVIDIA GPUs' "$LIGHT" diff linreg.nn N=3 --compiled gpu.so --target cuda -q

expect 0 '' cmake -S "$SOURCE" -B light -DNNC_LLVM=OFF -DCMAKE_BUILD_TYPE=Debug -DNNC_LLVM_CONFIG=/nonexistent
expect 0 '' cmake --build light --target nnc_codegen
expect 0 'codegen_emit' nm light/libnnc_codegen.a
finish
