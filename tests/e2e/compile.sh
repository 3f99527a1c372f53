# Every kind of output; equal input gives equal bytes; a shared object does what its source does; without a linker nothing
# is written.
. "$(dirname "$0")/common.bash"

for kind in o a so h ll s graph plan dot; do
  expect 0 '' "$NNC" "$digits" -o d.$kind
  present d.$kind
  cp d.$kind first
  expect 0 '' "$NNC" "$digits" -o d.$kind
  same d.$kind first
done
"$NNC" "$digits" --emit ll > d2.ll || fail '--emit ll'
same d.ll d2.ll
expect 0 'fold' "$NNC" "$digits" --stop-after=fold --time
expect 0 'kernel' "$NNC" "$digits" --stop-after=fuse
expect 0 '' "$NNC" d.graph -o again.graph
same d.graph again.graph
"$NNC" - --emit graph < d.graph > again.graph || fail 'a graph by standard input'
same d.graph again.graph
"$NNC" "$digits" --stop-after=fuse > between.plan
for text in d.graph between.plan "$digits"; do
  "$NNC" - --emit plan < $text > again.plan || fail "$text by standard input"
  same d.plan again.plan
done

cat > main.c << 'END'
#include "d.h"
#include <stdio.h>
#include <stdlib.h>
int main(void) {
  void *state = aligned_alloc(DIGITS_ALIGN, (DIGITS_STATE_BYTES + 63) / 64 * 64);
  return digits_init(state, 0);
}
END
cc -std=c11 -Wall -Werror main.c d.a -o with_archive && ./with_archive || fail 'a program with d.a'
cc -std=c11 -Wall -Werror main.c d.o -o with_object && ./with_object || fail 'a program with d.o'

expect 0 'model digits' "$NNC" show d.so
expect 0 '"trainable_tensors"' "$NNC" show d.so --json
expect 0 '' "$NNC" train d.so "$table" --epochs 2 --save shared.safetensors -q
expect 0 '' "$NNC" train "$digits" "$table" --epochs 2 --save source.safetensors -q
same shared.safetensors source.safetensors
expect 2 'cannot be interpreted' "$NNC" run d.so --save x.safetensors --interpret
printf 'not an object' > junk.so
expect 2 'cannot be loaded' "$NNC" show junk.so

rm -f d.so d.h d.a
nnc=$(realpath "$NNC")
expect 3 'x.o' env PATH=/nonexistent "$nnc" "$digits" -o d.so
absent d.so
absent d.h
expect 3 'x.o' env PATH=/nonexistent "$nnc" "$digits" -o d.a
absent d.a
expect 0 '' env PATH=/nonexistent "$nnc" "$digits" -o d.o
finish
