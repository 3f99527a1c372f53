# Orthogonal weights: the same bits in objects as interpreted, whatever their shape, also where a kernel's axes lie in
# another order.
. "$(dirname "$0")/common.bash"
cat > m.nn << 'END'
model m
dim N <= 8
param square: [16, 16] = orthogonal
param tall: [7, 3] = orthogonal(2)
param wide: [3, 7] = orthogonal
param row: [6] = orthogonal
param one: [] = orthogonal
param kernel: [16, 16, 3, 3] = orthogonal
fn f(x: [N, 16, 8, 8]) -> y {
  y = contract("n c oh+kh ow+kw, o c kh kw -> n o oh ow", x, kernel)
}
END
expect 0 'order' "$NNC" m.nn --stop-after=memory
for seed in 0 5; do
  expect 0 '' "$NNC" run m.nn --save compiled.safetensors --seed $seed
  expect 0 '' "$NNC" run m.nn --save interpreted.safetensors --seed $seed --interpret
  same compiled.safetensors interpreted.safetensors
done
expect 0 ok "$NNC" diff m.nn
finish
