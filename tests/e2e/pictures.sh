# The graph as a picture, where Graphviz is, and the memory over time as a page; without dot, one sentence and no file.
. "$(dirname "$0")/common.bash"
expect 0 '' "$NNC" "$digits" -o digits.html
grep -q '<h2>step train</h2>' digits.html || fail 'the page has no train'
[ "$(grep -c '</svg>' digits.html)" -ge 1 ] || fail 'the page has no chart'
expect 0 '' "$NNC" "$digits" --emit html
expect 2 'is a plan' bash -c "'$NNC' '$digits' -o d.plan && '$NNC' d.plan -o d.svg"
if command -v dot > found; then
  expect 0 '' "$NNC" "$digits" -o digits.svg
  grep -q 'net.conv2.w' digits.svg || fail 'the picture has no net.conv2.w'
fi
expect 3 'there is no dot here' env PATH=/nonexistent "$NNC" "$digits" -o absent.svg
absent absent.svg
expect 0 '' "$NNC" show "$digits" -o shown.html # show draws the same
same digits.html shown.html
expect 2 'end it in .svg or .dot' "$NNC" show "$digits" -o digits.png
expect 2 'drawn from the .nn file' "$NNC" show digits.so -o digits.svg
finish
