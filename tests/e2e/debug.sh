# -g: kernels and entries name the lines of the .nn file; the same bytes in every folder; the same numbers.
. "$(dirname "$0")/common.bash"
mkdir here there plain
for folder in here there plain; do cp "$digits" $folder/digits.nn; done
for folder in here there; do (cd $folder && "$NNC" digits.nn -g -o digits.o) || fail "-g in $folder"; done
same here/digits.o there/digits.o
(cd plain && "$NNC" digits.nn -o digits.o) || fail plain
! readelf -S plain/digits.o | grep -q debug_line || fail 'lines without -g'
for folder in here plain; do
  cc -std=c11 -I$folder "$(dirname "$0")/processors.c" $folder/digits.o -o $folder/app || fail "$folder does not link"
  $folder/app > $folder/out || fail "$folder/app"
done
same here/out plain/out

# line PATTERN: where the first symbol of this pattern lies.
line() { addr2line -e here/app "0x$(nm here/app | grep -m 1 -E "$1" | cut -d ' ' -f 1)" | sed 's|.*/||'; }
layer() { grep -n "$1" "$digits" | head -1 | cut -d : -f 1; }
[ "$(line ' T digits_train$')" = "digits.nn:$(layer '^step train')" ] || fail "the step: $(line ' T digits_train$')"
lines=$(nm here/app | grep ' t digits_' | cut -d ' ' -f 1 | sed 's/^/0x/' | addr2line -e here/app | sed 's|.*/||' | sort -u)
for text in 'conv(16' 'conv(32' 'dense(64)' 'p = softmax' 'loss = cross_entropy'; do
  echo "$lines" | grep -qx "digits.nn:$(layer "$text")" || fail "no kernel lies at $text"
done
if command -v gdb > /dev/null 2>&1; then
  gdb -batch -ex "break digits.nn:$(layer 'conv(32')" -ex run -ex bt here/app > trace 2>&1
  grep -q 'digits_.* at .*digits.nn' trace || fail "gdb names no line: $(tail -3 trace)"
  grep -q 'in main' trace || fail "gdb does not find main behind the kernel: $(tail -3 trace)"
fi
finish
