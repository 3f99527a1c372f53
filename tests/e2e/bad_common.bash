# What the tests of bad input share: limits on the process, and what every fault looks like: the right code, one message,
# nothing written, no trace of a crash.
. "$(dirname "$0")/common.bash"

# A sanitizer's shadow needs terabytes of addresses, and all of it time.
sanitized=no
grep -q __asan_init "$NNC" && sanitized=yes

# limited COMMAND...: 2 s of processor time and 256 MB beyond what the program maps by itself (its libraries). OpenBLAS's
# threads, which know no shortage of memory, are left out.
limited() {
  (
    if [ $sanitized = yes ]; then
      ulimit -t 20
    else
      ulimit -t 2 -v "${LIMIT:-450000}"
    fi
    export OPENBLAS_NUM_THREADS=1
    exec timeout 60 "$@"
  )
}

# bad CODE TEXT COMMAND...: ends with CODE, says TEXT, has exactly one message, and leaves the folder as it was.
bad() {
  local code=$1 text=$2 before after found
  shift 2
  before=$(ls -A | grep -v '^output$')
  limited "$@" > output 2>&1 < /dev/null
  found=$?
  [ $found = "$code" ] || fail "'$*' ended with $found, not $code: $(head -c 500 output)"
  grep -qF -- "$text" output || fail "'$*' does not say '$text': $(head -c 500 output)"
  found=$(grep -c 'error: ' output)
  [ "$found" = 1 ] || fail "'$*' has $found messages: $(head -c 800 output)"
  ! grep -q 'Sanitizer\|runtime error\|core dumped' output || fail "'$*': $(head -c 2000 output)"
  after=$(ls -A | grep -v '^output$')
  [ "$before" = "$after" ] || fail "'$*' wrote: $after"
}

repeated() { head -c "$2" /dev/zero | tr '\0' "$1"; } # repeated BYTE COUNT
