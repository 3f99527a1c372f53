# What shells want: the man page is what --help says, and completion offers commands, flags and files.
. "$(dirname "$0")/common.bash"
mkdir bin
ln -s "$NNC" bin/nnc
PATH=$PWD/bin:$PATH
expect 0 '' "$SOURCE/scripts/man-page" --check # with $NNC
if command -v groff > found; then
  groff -ww -man -Tutf8 "$SOURCE/docs/nnc.1" > page 2> warnings || fail 'groff'
  [ ! -s warnings ] || fail "groff warns: $(head -3 warnings)"
fi

touch model.nn notes.txt data.csv
mkdir folder
# shellcheck source=/dev/null
. "$SOURCE/completions/nnc.bash"
# offers WANTED WORD...: what is offered for the last word, sorted, in one line.
offers() {
  local wanted=$1 found
  shift
  COMP_WORDS=("$@") COMP_CWORD=$(($# - 1))
  _nnc
  found=$(printf '%s\n' "${COMPREPLY[@]}" | sort | tr '\n' ' ')
  [ "${found% }" = "$wanted" ] || fail "for '$*' completion offers '$found', not '$wanted'"
}
offers train nnc tr
offers 'bench bin diff fmt folder model.nn plot run show train' nnc ''
offers model.nn nnc mo
offers '--version' nnc --vers
offers '--epochs --every' nnc train model.nn --e
offers '--check' nnc fmt --c
offers 'data.csv' nnc train model.nn d
offers 'x=data.csv' nnc run model.nn f x=d
offers 'data.csv' nnc train model.nn data.csv --save d
offers '' nnc train model.nn --epochs ''
offers 's so svg' nnc model.nn --emit s
finish
