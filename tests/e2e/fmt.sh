# Every .nn file here, and the same with its blanks and indentation spoilt, has one layout: formatting it again changes
# nothing, and it says the same program. (That no token changes, fmt checks of itself.)
. "$(dirname "$0")/common.bash"

for file in "$SOURCE"/models/*.nn "$SOURCE"/models/parts/*.nn "$SOURCE"/models/homework/*.nn "$SOURCE"/frontend/prelude.nn "$SOURCE"/tests/*/*.nn; do
  expect 0 '' bash -c "'$NNC' fmt - < '$file' > once.nn"
  expect 0 '' "$NNC" fmt once.nn --check
  # blanks before words doubled, in turn; comments and strings as they are
  awk '{ code = $0; rest = ""
         if (match(code, /["#]/)) { rest = substr(code, RSTART); code = substr(code, 1, RSTART - 1) }
         gsub(/, /, NR % 2 ? "," : ",   ", code); gsub(/ [|=] /, NR % 3 ? " &" : "&  ", code)
         printf "%*s%s%s%s\n", NR % 5, "", code, rest, NR % 7 ? "" : " \t" }' "$file" > spoilt.nn
  expect 0 '' "$NNC" fmt spoilt.nn
  expect 0 '' "$NNC" fmt spoilt.nn --check
done
for name in lenet resnet50 lstm; do
  "$NNC" fmt - < "$SOURCE/models/$name.nn" > "$name.nn"
  cp -r "$SOURCE/models/parts" .
  for file in "$name.nn" "$SOURCE/models/$name.nn"; do "$NNC" "$file" --emit graph | cksum; done | uniq > sums
  [ "$(wc -l < sums)" = 1 ] || fail "$name.nn is another program after fmt"
done
finish
