# What the end-to-end tests share. $NNC is the program, $SOURCE the source folder; the current folder is the test's own.
set -uo pipefail
: "${NNC:?the nnc to test}" "${SOURCE:?the source folder}"
digits=$SOURCE/models/digits.nn
table=$SOURCE/models/data/digits.csv.gz
rm -rf ./* # CTest's folder for this test alone
XDG_CACHE_HOME=$(dirname "$PWD")/cache # never the user's own
export XDG_CACHE_HOME
failures=0

fail() {
  echo "FAILED: $*" >&2
  failures=$((failures + 1))
}

# expect CODE TEXT COMMAND...: the command ends with this code, and its output (both streams) holds the text.
expect() {
  local code=$1 text=$2 found
  shift 2
  "$@" > output 2>&1
  found=$?
  [ "$found" = "$code" ] || fail "'$*' ended with $found, not $code: $(head -c 500 output)"
  [ -z "$text" ] || grep -qF -- "$text" output || fail "'$*' does not say '$text': $(head -c 500 output)"
}

same() { cmp "$1" "$2" || fail "$1 and $2 differ"; }
absent() { [ ! -e "$1" ] || fail "$1 was written"; }
present() { [ -s "$1" ] || fail "$1 was not written"; }

finish() {
  [ "$failures" = 0 ] || exit 1
  echo good
}
