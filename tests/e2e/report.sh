# What a run leaves to look at: the curves, the page, the line on a terminal.
. "$(dirname "$0")/common.bash"
train() { "$NNC" train "$digits" "$table" --test-every 5 --threads 1 "$@"; }

expect 0 '' train --epochs 3 --plot run.svg --report run.html --log run.csv -q
[ "$(grep -c '' run.csv)" = 4 ] || fail 'the log has not a line for each epoch'
[ "$(grep -o '<g transform' run.svg | grep -c '')" = 2 ] || fail 'there is not one chart for loss and one for acc'
for text in '>training<' '>test<' '>epoch<' '>loss' '>acc'; do grep -qF -- "$text" run.svg || fail "run.svg lacks $text"; done
for text in '<title>digits: training</title>' 'data:image/png;base64,' ', taken for ' 'net.conv1' '13706' 'scratch of a step' \
  'ms a step' 'digits.nn:29 <code>loss = cross_entropy(z, y)<' 'test-every 5' '</html>'; do
  grep -qF -- "$text" run.html || fail "run.html lacks $text"
done
! grep -v 'xmlns="http://www.w3.org/2000/svg"' run.html | grep -qE 'https?://|<script|<link' || fail 'the page wants a network'
wrong=$(sed -n 's/.*<p>\([0-9]*\) of 360 test rows.*/\1/p' run.html)
accuracy=$(tail -1 run.csv | cut -d, -f7)
awk -v w="$wrong" -v a="$accuracy" 'BEGIN { exit !(w > 0 && (1 - a) * 360 - w < 0.5 && w - (1 - a) * 360 < 0.5) }' ||
  fail "$wrong mistakes, but an accuracy of $accuracy"
sed -n 's/.*, taken for .* (\([0-9.e-]*\))<.*/\1/p' run.html > sureness
[ "$(grep -c '' sureness)" -gt 1 ] && sort -gr sureness | cmp -s - sureness || fail 'the surest mistakes do not come first'
expect 0 '' train --epochs 3 --report cached.html -q # the code comes from the cache now, the picture of its memory does not
grep -q 'A step.s buffers over its launches' cached.html || fail 'no picture of the memory where the code was in the cache'
for turn in new kept; do expect 0 '"live_bytes"' "$NNC" show "$digits" --json; done
expect 0 '' train --epochs 2 --report plain.html --interpret -q
grep -q 'Measured where steps are compiled' plain.html || fail 'an interpreted run has no profile'
expect 2 '--plot nowhere/run.svg: cannot write' train --plot nowhere/run.svg
expect 2 '--report' train --report run.txt
expect 2 '--plot' train --plot run.png

# no classes, no test fn: what there is
printf 'model line\ndim N <= 8\nlayer net = dense(1)\nstep fit(x: [N, 1], y: [N, 1], lr = 0.1) -> loss {\n  loss = mse(net(x), y)\n  minimize loss by sgd(lr)\n}\n' > line.nn
printf '0.5,1.5\n1.5,3.5\n2.5,5.5\n' > line.csv
expect 0 '' "$NNC" train line.nn line.csv --epochs 50 --report line.html --plot line.svg -q
grep -q 'Shown where the data have class labels' line.html || fail 'mistakes are shown where there are no classes'

# on a terminal; a line is drawn ten times a second at most, and these epochs last ten times as long as the table's own
if command -v script > /dev/null; then
  for _ in 1 2 3 4 5 6 7 8 9 10; do gzip -dc "$table"; done > long.csv
  script -qec "'$NNC' train '$digits' long.csv --test-every 5 --epochs 3 --interpret --threads 1" /dev/null > terminal < /dev/null
  grep -q 'epoch [23]/3 .*% .* rows/s  0:[0-9][0-9] left  loss [0-9.]*  test loss [0-9.]*  ' terminal || fail 'no progress line'
  grep -q '▁' terminal || fail 'no spark line'
fi
finish
