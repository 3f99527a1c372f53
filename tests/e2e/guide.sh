# docs/training.md is true: each block of commands runs, one after another, in a folder with models/ beside them; where a block
# of output follows, it is what they say, numbers and counts of threads aside.
. "$(dirname "$0")/common.bash"
ln -s "$SOURCE/models" models
mkdir bin
ln -s "$NNC" bin/nnc
PATH=$PWD/bin:$PATH

# Blocks become files 01.sh, 01.txt, 02.sh, ...
awk '
  /^```sh$/ { name = sprintf("%02d.sh", ++count); was_commands = 1; next }
  /^```$/ && name { close(name); name = ""; next }
  /^```$/ && was_commands { name = sprintf("%02d.txt", count); was_commands = 0; next }
  /^```/ { name = "/dev/null"; next }
  name { print > name; next }
  NF { was_commands = 0 }
' "$SOURCE/docs/training.md"
[ -e 10.sh ] || fail 'the guide has fewer than ten blocks'

masked() { sed -E 's/[0-9]+ threads?/T threads/; s/-?[0-9]+\.?[0-9]*(e[-+]?[0-9]+)?/#/g; s/ +/ /g' "$1"; }
for block in [0-9]*.sh; do
  bash -euo pipefail "$block" > found.txt 2>&1 || fail "$block ended with $?: $(cat "$block" found.txt)"
  wanted=${block%.sh}.txt
  [ ! -e "$wanted" ] || diff <(masked "$wanted") <(masked found.txt) || fail "$block prints something else: $(cat found.txt)"
done
present run.svg
present run.html
present rates.svg
present small.png
finish
