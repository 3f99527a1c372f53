# What scripts/gpu packs for a machine with a GPU runs: every piece of it on the shim, at small sizes.
. "$(dirname "$0")/common.bash"
: "${SHIM:?the library that stands in for a GPU}"
export LC_ALL=C
build=$(dirname "$NNC")
expect 0 '| parity | lenet | yes |' "$SOURCE/scripts/gpu" --dry "$build" pack
grep -qF '| same | linreg | yes |' output || fail "three trainings: $(tail -5 output)"
grep -q '| bench | mlp128 | [0-9.]* us |' output || fail "no time: $(tail -5 output)"
grep -q '| NO |' output && fail "a row says NO: $(grep NO output)"
present pack/gpu.tar.xz

# Where there is no GPU each piece says so.
NN_CUDA_DRIVER=/nonexistent expect 3 'no driver for NVIDIA GPUs' pack/gpu/run parity
finish
