# Models whose results are known: the perceptron's worked example, linear regression against least squares; and a mean over
# many channels, which was once taken of the first picture alone.
. "$(dirname "$0")/common.bash"

# The textbook's rule, eta 0.1: pass after pass over three examples, until none is wrong.
perceptron=$SOURCE/models/perceptron.nn
for way in '' --interpret; do
  expect 0 '' "$NNC" run "$perceptron" --save w.safetensors $way
  rm -f history
  for pass in 1 2 3 4 5 6; do
    wrong=0
    for example in '[-1, 1, -2, 0] -1' '[-1, 0, 1.5, -0.5] -1' '[-1, -1, 1, 0.5] 1'; do
      d=${example##* }
      expect 0 'o = ' "$NNC" run "$perceptron" learn "x=${example% *}" "d=$d" --state w.safetensors --save w.safetensors $way
      [ "$(sed 's/o = //' output | awk '{ print $1 + 0 }')" = "$d" ] || wrong=1
      tail -c 16 w.safetensors | od -A n -t f4 | awk '{ printf "%.4f %.4f %.4f %.4f\n", $1, $2, $3, $4 }' |
        sed 's/-0\.0000/0.0000/g' >> history
    done
    [ $wrong = 0 ] && break
  done
  [ $pass = 5 ] || fail "perceptron $way: ends in pass $pass, not 5"
  printf '0.7000 0.8000 -0.6000 0.0000\n0.7000 0.8000 -0.6000 0.0000\n0.5000 0.6000 -0.4000 0.1000\n' > worked
  head -3 history | cmp -s - worked || fail "perceptron $way: $(head -3 history | tr '\n' ';')"
  [ "$(tail -1 history)" = '0.3000 -0.2000 0.3000 0.5000' ] || fail "perceptron $way: ends at $(tail -1 history)"
done
# --repeat presents an example again and again: d - o is 0 from some call on
expect 0 'o = -1' "$NNC" run "$perceptron" learn 'x=[-1, 1, -2, 0]' d=-1 --repeat 5 --save w.safetensors

# Least squares on columns of mean 0 and deviation 1, solved by Gauss from the normal equations.
cat > solve.awk << 'END'
BEGIN { FS = "," }
NR > 1 { n++; for (j = 1; j <= 14; j++) x[n, j] = $j }
END {
  for (j = 1; j <= 13; j++) {
    sum = square = 0
    for (i = 1; i <= n; i++) sum += x[i, j]
    for (i = 1; i <= n; i++) { x[i, j] -= sum / n; square += x[i, j] * x[i, j] }
    for (i = 1; i <= n; i++) x[i, j] /= sqrt(square / n)
  }
  for (i = 1; i <= n; i++) { x[i, 15] = x[i, 14]; x[i, 14] = 1 }
  for (j = 1; j <= 14; j++) for (k = 1; k <= 15; k++) for (i = 1; i <= n; i++) a[j, k] += x[i, j] * x[i, k]
  for (p = 1; p <= 14; p++)
    for (j = 1; j <= 14; j++)
      if (j != p) {
        f = a[j, p] / a[p, p]
        for (k = p; k <= 15; k++) a[j, k] -= f * a[p, k]
      }
  for (j = 1; j <= 14; j++) printf "%.6f\n", a[j, 15] / a[j, j]
}
END
gzip -dc "$SOURCE/models/data/boston.csv.gz" | awk -f solve.awk > wanted
for way in '' --interpret; do
  expect 0 '' "$NNC" train "$SOURCE/models/linreg.nn" "$SOURCE/models/data/boston.csv.gz" --standardize --epochs 2000 \
    --batch 506 lr=0.1 --save linreg.safetensors -q $way
  head=$(od -A n -t u8 -N 8 linreg.safetensors) # f.w, then f.b come first behind it
  tail -c +$((head + 9)) linreg.safetensors | head -c 56 | od -A n -v -t f4 -w4 > found
  paste wanted found | awk '{ off = $1 - $2; if (off < 0) off = -off; if (off > 1e-3) bad++ } END { exit bad > 0 || NR != 14 }' ||
    fail "linreg $way: $(paste wanted found | tr '\n' ';')"
done

cat > mean.nn << 'END'
model mean
dim N <= 4
fn f(x: [N, 512, 7, 7]) -> y { y = relu(x) | gap }
END
expect 0 'ok' "$NNC" diff mean.nn N=2
expect 0 '' "$NNC" diff "$SOURCE/models/digits.nn" -q
expect 0 '' "$NNC" diff "$SOURCE/models/lenet.nn" -q N=3

# Orthogonal weights start from the same numbers compiled and interpreted, however they are laid out.
cat > orthogonal.nn << 'END'
model orthogonal
dim N <= 64
param w: [40, 512] = orthogonal
param v: [512, 56] = orthogonal
param c: [20, 3, 5, 5] = orthogonal(0.5)
step train(x: [N, 40], t: [N, 56]) -> loss {
  loss = mse(tanh(tanh(x @ w) @ v), t)
  minimize loss by sgd(0.1)
}
fn g(x: [N, 3, 9, 9]) -> y = contract("n c oh+kh ow+kw, o c kh kw -> n o oh ow", x, c)
END
expect 0 '' "$NNC" run orthogonal.nn --seed 5 --save compiled.safetensors
expect 0 '' "$NNC" run orthogonal.nn --seed 5 --save interpreted.safetensors --interpret
same compiled.safetensors interpreted.safetensors

# Names told letter by letter, the state kept from call to call, are those that are written in one call.
rnn=$SOURCE/models/rnn.nn
expect 0 '' "$NNC" run "$rnn" write temperature=1e-4 -o written.csv
expect 0 '' "$NNC" run "$rnn" --save told.safetensors
letter=0
for _ in 1 2 3 4 5 6; do
  expect 0 'next = ' "$NNC" run "$rnn" tell letter=$letter temperature=1e-4 --state told.safetensors --save told.safetensors
  letter=$(sed 's/next = //' output)
  echo "$letter"
done > told.csv
sed -n '2,7p' written.csv > first.csv
same first.csv told.csv
finish
