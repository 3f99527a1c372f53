# Every kind of DATA that train takes, from files made here: each is learnt, and what prepared the data is applied again by
# run.
. "$(dirname "$0")/common.bash"

# learns LIMIT COMMAND...: the last epoch's test loss is below LIMIT
learns() {
  local limit=$1 loss
  shift
  expect 0 '' "$@"
  loss=$(sed -n 's/^epoch .*  \(test\|valid\) loss \([0-9.e+-]*\).*/\2/p' output | tail -1)
  awk -v a="${loss:-nan}" -v b="$limit" 'BEGIN { exit !(a < b) }' || fail "'$*': loss is '$loss', not below $limit"
}

# characters
cat > chars.nn <<'EOF'
model chars
dim N <= 32
dim T <= 16
layer net = embed(64, 16) | gru(32) | dense(64)
fn test(x: i32[N, T], y: i32[N, T]) -> loss { loss = cross_entropy(net(x), y) }
fn next(x: i32[N, T]) -> y { y = argmax(net(x)) }
step train(x: i32[N, T], y: i32[N, T], lr = 0.01) -> loss {
  loss = cross_entropy(net(x), y)
  minimize loss by adam(lr)
}
EOF
for k in $(seq 200); do echo "der Bär frisst gern Käse, und $k Affen fressen Brot."; done > bear.txt
learns 0.5 "$NNC" train chars.nn text:bear.txt --epochs 4 --valid 0.1 --save chars.safetensors --threads 1
expect 0 'er Bär frisst ' "$NNC" run chars.nn next 'x="der Bär frisst "' --state chars.safetensors
cp output printed
expect 0 '' "$NNC" run chars.nn next 'x="der Bär frisst "' --state chars.safetensors -o next.txt
[ "$(printf 'y =\n'; cat next.txt)" = "$(cat printed)" ] || fail 'next.txt is not what is printed'
printf 'der Bär frisst ' > start.txt
expect 0 '' "$NNC" run chars.nn next x=text:start.txt --state chars.safetensors
same output printed
expect 2 "'Z' is none of the" "$NNC" run chars.nn next 'x="Zebra"' --state chars.safetensors
expect 2 'is a text' "$NNC" run chars.nn next 'x="Bär"'
head -c 4000 bear.txt | gzip > bear.txt.gz
expect 0 '' "$NNC" train chars.nn text:bear.txt.gz --epochs 1 --state chars.safetensors --save more.safetensors -q
expect 0 'er Bär frisst ' "$NNC" run chars.nn next 'x="der Bär frisst "' --state more.safetensors
echo 'Zwei Zebras fressen Gras' > zebra.txt
expect 2 "zebra.txt:1: 'Z' is none of the" "$NNC" train chars.nn text:zebra.txt --state chars.safetensors
expect 0 '' "$NNC" train chars.nn text:bear.txt --epochs 5 --valid 0.1 --resume chars.safetensors --save longer.safetensors -q

# a text that is not shuffled: each of the 4 rows goes on where it ended in the step before, but for the first of an epoch
cat > streams.nn <<'EOF'
model streams
state last: [4] = -1
state broken: [] = 0
step train(x: i32[4, 8], y: i32[4, 8]) -> breaks {
  broken := broken + sum(f32(f32(x[:, 0]) != last))
  last := f32(y[:, -1])
  breaks = broken
}
fn count() -> breaks { breaks = broken }
fn test(x: i32[4, 8], y: i32[4, 8]) -> wrong { wrong = mean(f32(x[:, 1:] != y[:, :-1])) }
EOF
seq 1000 > count.txt # no eight characters are followed by the same for long
expect 0 '' "$NNC" train streams.nn text:count.txt --epochs 1 --shuffle=no --valid 0.1 --save streams.safetensors -q
expect 0 'breaks = 4' "$NNC" run streams.nn count --state streams.safetensors

# a table with classes as words
cat > iris.nn <<'EOF'
model iris
dim N <= 16
layer net = dense(3)
fn classify(x: [N, 2]) -> label = argmax(net(x))
fn test(x: [N, 2], y: i32[N]) -> loss = cross_entropy(net(x), y)
step train(x: [N, 2], y: i32[N], lr = 0.2) -> loss {
  loss = cross_entropy(net(x), y)
  minimize loss by sgd(lr)
}
EOF
{
  echo 'kind;width;height'
  for k in 1 2 3 4 5 6 7 8; do echo "virginica;7.$k;1"; echo "setosa;1.$k;2.$k"; echo "versicolor;4;1$k"; done
} > iris.csv
learns 0.1 "$NNC" train iris.nn iris.csv --label kind --standardize --epochs 200 --test-every 4 --save iris.safetensors --threads 1
expect 0 'label = [0 1 2]  setosa, versicolor, virginica' \
  "$NNC" run iris.nn classify 'x=[[1.5, 2.3], [4, 14], [7.7, 1]]' --state iris.safetensors

# pictures in CIFAR-10's batches
cat > cifar.nn <<'EOF'
model cifar
dim N <= 20
layer net = conv(4, 3, stride=2, pad=1) | relu | flatten | dense(10)
fn test(x: [N, 3, 32, 32], y: i32[N]) -> loss = cross_entropy(net(x), y)
step train(x: [N, 3, 32, 32], y: i32[N], lr = 0.05) -> loss {
  loss = cross_entropy(net(x), y)
  minimize loss by sgd(lr, momentum=0.9)
}
EOF
mkdir cifar
perl "$(dirname "$0")/cifar.pl" cifar 100
learns 0.5 "$NNC" train cifar.nn cifar --epochs 6 --threads 1
gzip cifar/*.bin
cp output plain
expect 0 '' "$NNC" train cifar.nn cifar --epochs 6 --threads 1
[ "$(sed 's/  [0-9.]* s, .*//' output)" = "$(sed 's/  [0-9.]* s, .*//' plain)" ] || fail 'packed batches train otherwise'

# pictures by class, made by run: PNG in folders, parts beside each other; a picture as an argument
cat > draw.nn <<'EOF'
model draw
fn bar(k: i32[], noise: i32[]) -> picture {   # upright where k is 0, else lying
  i = arange(8)
  bar = where(k == 0, (i == 3)[None, :] and (i >= 0)[:, None], (i == 4)[:, None] and (i >= 0)[None, :])
  picture = 0.8 * f32(bar) + 0.2 * f32((i[:, None] * 5 + i[None, :] * 3 + noise) % 7) / 7
}
EOF
cat > bars.nn <<'EOF'
model bars
dim N <= 8
layer net = flatten | dense(2)
fn classify(x: [N, 1, 8, 8]) -> label = argmax(net(x))
fn test(x: [N, 1, 8, 8], y: i32[N]) -> loss = cross_entropy(net(x), y)
step train(x: [N, 1, 8, 8], y: i32[N], lr = 0.3) -> loss {
  loss = cross_entropy(net(x), y)
  minimize loss by sgd(lr)
}
EOF
mkdir -p bars/train/upright bars/train/lying bars/test/upright bars/test/lying
for k in 0 1; do
  [ $k = 0 ] && class=upright || class=lying
  for noise in 1 2 3 4 5 6; do
    [ $noise -lt 5 ] && part=train || part=test
    "$NNC" run draw.nn bar k=$k noise=$noise -o bars/$part/$class/$noise.png --interpret || fail "drawing $k $noise"
  done
done
learns 0.1 "$NNC" train bars.nn bars --epochs 40 --save bars.safetensors --threads 1
expect 0 'label = [1]  upright' "$NNC" run bars.nn classify x=bars/test/upright/5.png --state bars.safetensors
gzip bars/test/lying/6.png
expect 0 'label = [0]  lying' "$NNC" run bars.nn classify x=bars/test/lying/6.png.gz --state bars.safetensors

# named arrays, of any number, met by name whatever their order; a part for tests beside; npz and safetensors alike
cat > make.nn <<'EOF'
model make
fn data(n: i32[60]) -> (weight, sort, height, height_test, sort_test, weight_test) {
  t = f32(n) / 60
  height = stack(t, 1 - t, axis=1)
  sort = n % 2
  weight = 2 * t + f32(sort)
  height_test = height[:20]
  sort_test = sort[:20]
  weight_test = weight[:20]
}
EOF
cat > named.nn <<'EOF'
model named
dim N <= 20
layer net = dense(1)
def guess(height, sort) = concat(height, f32(sort)[:, None]) | net | reshape([N])
fn test(height: [N, 2], sort: i32[N], weight: [N]) -> loss = mse(guess(height, sort), weight)
step train(height: [N, 2], sort: i32[N], weight: [N], lr = 0.3) -> loss {
  loss = mse(guess(height, sort), weight)
  minimize loss by sgd(lr)
}
EOF
numbers="[$(seq -s, 0 59)]"
for kind in npz safetensors; do
  expect 0 '' "$NNC" run make.nn data "n=$numbers" -o data.$kind
  learns 0.01 "$NNC" train named.nn data.$kind --epochs 60 --threads 1
  mv output $kind.txt
done
[ "$(sed 's/  [0-9.]* s, .*//' npz.txt)" = "$(sed 's/  [0-9.]* s, .*//' safetensors.txt)" ] || fail 'npz trains otherwise'
expect 0 '' "$NNC" run named.nn test height=data.npz:height_test sort=data.safetensors:sort_test weight=data.npz:weight_test
cp output plain

# every listed kind of file, packed
cp data.npz packed.npz
gzip -k packed.npz data.safetensors
expect 0 '' "$NNC" run named.nn test height=packed.npz.gz:height_test sort=data.safetensors.gz:sort_test weight=data.npz:weight_test
same output plain
printf 'model one\nfn same(x: [2, 3]) -> y = 2 * x\n' > one.nn
for kind in npy npz safetensors csv; do
  expect 0 '' "$NNC" run one.nn same 'x=[[1, 2, 3], [4, 5, 6]]' -o one.$kind --interpret
  gzip one.$kind
  expect 0 '[16. 20. 24.]' "$NNC" run one.nn same x=one.$kind.gz --interpret
done
printf 'P2 3 2 255 51 102 153 204 255 0' | gzip > one.pgm.gz
expect 0 '[1.6 2.  0. ]' "$NNC" run one.nn same x=one.pgm.gz --interpret
printf '\0\0\010\002\0\0\0\002\0\0\0\003\0\0\0\377\0\377' | gzip > one.idx.gz
expect 0 '[2. 0. 2.]' "$NNC" run one.nn same x=one.idx.gz --interpret
finish
