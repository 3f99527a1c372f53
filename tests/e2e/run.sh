# Calling entries: arguments of all forms, results printed and written, states kept; compiled and interpreted agree.
. "$(dirname "$0")/common.bash"
perceptron=$SOURCE/models/perceptron.nn

expect 0 'o = 1.' "$NNC" run "$perceptron" learn 'x=[0, 1, 0, 1]' d=1 --save w.safetensors
expect 0 'o = -1.' "$NNC" run "$perceptron" learn 'x=[1, 0, 1, 0]' d=1
cat > m.nn << 'END'
model m
dim N <= 8
dim T <= 9
param w: [3] = [1, 2, 3]
fn scale(x: [N, 3]) -> (y, total) {
  y = x * w
  total = sum(y)
}
fn window(x: [N, T], k: i32[] = 2) -> (y, n) {
  y = x * f32(k)
  n = k + 1
}
fn noise(x: [N]) -> y { y = x + normal([N]) }
step add(x: [3]) { w := w + x }
END
for way in '' --interpret --f64; do
  expect 0 'total = 31.' "$NNC" run m.nn scale 'x=[[1, 2, 3], [4, 5, 1]]' $way
  expect 0 '[[ 1.  4.  9.]' "$NNC" run m.nn scale 'x=[[1, 2, 3], [4, 5, 1]]' $way
  expect 0 'n = 6' "$NNC" run m.nn window 'x=[[1, 2]]' k=5 $way
  expect 0 '' "$NNC" run m.nn add 'x=[1, 1, 1]' --repeat 3 --save s.safetensors $way
  expect 0 'total = 15.' "$NNC" run m.nn scale 'x=[[1, 1, 1]]' --state s.safetensors $way
  expect 2 'x is [N, 3]' "$NNC" run m.nn scale 'x=[[1, 2], [3, 4]]' $way
  expect 2 'N is 9' "$NNC" run m.nn scale 'x=[[1,1,1],[1,1,1],[1,1,1],[1,1,1],[1,1,1],[1,1,1],[1,1,1],[1,1,1],[1,1,1]]' $way
  expect 2 'given twice' "$NNC" run m.nn scale 'x=[[1, 1, 1]]' 'x=[[1, 1, 1]]' $way
done
for kind in npz safetensors csv npy; do
  entry=window value='[[1.5, 2], [3, 4]]'
  case $kind in csv | npy) entry=noise value='[1.5, 2]' ;; esac # these hold one table
  expect 0 '' "$NNC" run m.nn $entry "x=$value" -o out.$kind
  present out.$kind
done
expect 0 'y =' "$NNC" run m.nn window x=out.npz:y
expect 0 '' "$NNC" run m.nn noise 'x=[0, 0, 0]' --seed 1
cp output first
expect 0 '' "$NNC" run m.nn noise 'x=[0, 0, 0]' --seed 1
same output first
expect 0 '' "$NNC" run m.nn noise 'x=[0, 0, 0]' --seed 2
! cmp -s output first || fail 'another seed, the same numbers'
printf 'model m\nparam v: [3] = 0\nfn f(x: [3]) -> y { y = x + v }\n' > other.nn
expect 2 'has not' "$NNC" run other.nn f 'x=[1, 2, 3]' --state s.safetensors
expect 0 'y = [1. 2. 3.]' "$NNC" run other.nn f 'x=[1, 2, 3]' --state s.safetensors --partial
# a dim that no axis has bare comes from one that is made of it, where only one value fits
printf 'model m\ndim N <= 20\ndim T <= 9\nfn f(x: [2*N + T, T]) -> y { y = zeros([N]) }\nfn g(x: [N // 2]) -> y { y = x }\n' > sizes.nn
for way in '' --interpret; do
  expect 0 'y = [0. 0. 0.]' "$NNC" run sizes.nn f 'x=[[1], [2], [3], [4], [5], [6], [7]]' $way
  expect 2 'give N=' "$NNC" run sizes.nn f 'x=[[1], [2], [3], [4]]' $way
  expect 2 'give N=' "$NNC" run sizes.nn g 'x=[1, 2]' $way
  expect 0 'y = [1. 2.]' "$NNC" run sizes.nn g 'x=[1, 2]' N=5 $way
done
# of what is there, all is taken; the rest is drawn as without the file
printf 'model m\nparam v: [3] = 7\nparam w: [3] = 0\nfn f(x: [3]) -> (y, z) { y = x + w; z = v }\n' > more.nn
for way in '' --interpret; do
  expect 0 'y = [2. 3. 4.]' "$NNC" run more.nn f 'x=[-2, -2, -2]' --state s.safetensors --partial $way
  expect 0 'z = [7. 7. 7.]' "$NNC" run more.nn f 'x=[-2, -2, -2]' --state s.safetensors --partial $way
done
head -c 30 s.safetensors > short.safetensors
expect 2 'short.safetensors' "$NNC" run m.nn scale 'x=[[1, 1, 1]]' --state short.safetensors
finish
