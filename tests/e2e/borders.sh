# Convolutions of all kinds of borders, forward and backward: code skips what borders of zeros add to sums, by rows of tiles
# and by turns of loops, and must skip nothing else. Each net is compared with its interpretation.
. "$(dirname "$0")/common.bash"

# taps stride pad dilation, size of the picture, channels in and out
nets='3 1 1 1 7 16 32
3 1 1 1 14 32 16
3 2 1 1 15 16 48
3 1 2 1 9 16 16
2 1 1 1 13 8 32
4 1 2 1 8 16 16
5 1 2 1 14 12 16
5 2 2 1 11 8 16
5 1 4 1 10 8 16
3 1 2 2 12 16 16
3 1 3 3 10 16 32
1 1 1 1 6 16 16
7 2 3 1 28 3 16
3 3 1 1 16 16 16
3 1 1 1 7 256 256'
number=0
while read -r taps stride pad dilation size in out; do
  number=$((number + 1))
  cat > net$number.nn << END
model net
dim N <= 4
param first: [$in] = normal(1)
layer square = conv($out, $taps, $stride, $pad, $dilation)
layer oblong = conv($out, [$taps, 3], $stride, [$pad, 1])
step train(x: [N, $in, $size, $size]) -> loss {
  h = tanh(x * reshape(first, [$in, 1, 1])) | square | tanh
  loss = sum(h * h) / N
  minimize loss by sgd(0.01)
}
fn across(x: [N, $in, $size, $((size + 3))]) -> y = oblong(x)
END
  expect 0 '' "$NNC" diff net$number.nn N=3 -q
  expect 0 'inside' "$NNC" net$number.nn --stop-after=skip
done <<< "$nets"

# Uneven ones, and pictures so wide that the fold is cut between their rows.
cat > uneven.nn << 'END'
model uneven
dim N <= 4
param first: [64] = normal(1)
layer above = conv(64, 3, pad=[[2, 0], 1])
layer below = conv(64, 3, pad=[[0, 2], 1])
step train(x: [N, 64, 6, 256]) -> loss {
  h = tanh(x * reshape(first, [64, 1, 1]))
  loss = mean(tanh(above(h)) * tanh(below(h)))
  minimize loss by sgd(0.01)
}
END
expect 0 '' "$NNC" diff uneven.nn N=2 -q

# A processor with few registers has other tiles, and the same bits.
cat > bits.nn << 'END'
model bits
param picture: [3, 16, 14, 14] = normal(1)
layer net = conv(32, 3, pad=1) | tanh | conv(16, 5, stride=2, pad=2)
step train() -> loss {
  loss = mean(net(picture) * net(picture))
  minimize loss by sgd(0.01)
}
END
for cpu in x86-64-v3 native; do
  grep -q avx2 /proc/cpuinfo || continue
  expect 0 '' "$NNC" bits.nn --cpu $cpu -o $cpu.so
  expect 0 '' "$NNC" run $cpu.so train --save $cpu.safetensors -q
done
[ ! -e native.safetensors ] || same x86-64-v3.safetensors native.safetensors
finish
