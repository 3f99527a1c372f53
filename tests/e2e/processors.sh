# Other processors than this one, by qemu: an object of several versions takes the best that will run; code for a newer one
# refuses in init, and a command that meets it ends with 3; a cross-compiled object gives the promised bits. What the machine
# has no emulator or compiler for is left out.
. "$(dirname "$0")/common.bash"
has() { command -v "$1" > /dev/null 2>&1; }

# application FOLDER COMPILER FLAGS...: FOLDER/app, which prints weights, losses and probabilities in hexadecimal.
application() {
  local folder=$1 compiler=$2
  shift 2
  mkdir "$folder"
  expect 0 '' "$NNC" "$digits" -o "$folder/digits.o" "$@"
  $compiler -std=c11 "-I$folder" "$(dirname "$0")/processors.c" "$folder/digits.o" -o "$folder/app" || fail "$folder: $compiler"
}
application base cc --cpu x86-64
application v3 cc --cpu x86-64-v3
application several cc --cpu x86-64,x86-64-v3,x86-64-v4
expect 2 'unknown processor' "$NNC" "$digits" -o x.o --triple aarch64-linux-gnu --cpu x86-64-v3
expect 2 'no code can be made' "$NNC" "$digits" -o x.o --triple sparc-linux-gnu
absent x.o
expect 2 'CC=' env -u CC "$NNC" "$digits" -o x.so --triple aarch64-linux-gnu
absent x.h

if has qemu-x86_64; then
  for folder in base several; do qemu-x86_64 -cpu qemu64 $folder/app > $folder.old || fail "$folder on an old processor"; done
  for folder in v3 several; do qemu-x86_64 -cpu Haswell $folder/app > $folder.haswell 2> /dev/null || fail "$folder on Haswell"; done
  same several.old base.old
  same several.haswell v3.haswell
  ! cmp -s several.old several.haswell || fail 'one version for both: fused multiply-adds round once'
  expect 3 'lacks what the code was compiled for' qemu-x86_64 -cpu qemu64 v3/app
  if ! grep -q __asan_init "$NNC"; then # the emulator would hold the sanitizer's shadow, terabytes, in memory
    expect 0 '' "$NNC" "$digits" -o v3.so --cpu x86-64-v3
    expect 3 'lacks what the code was compiled for' qemu-x86_64 -cpu qemu64 "$NNC" run v3.so --save x.safetensors
    absent x.safetensors
  fi
fi

cross=aarch64-linux-gnu
expect 0 '' "$NNC" "$digits" -o arm.s --triple $cross
grep -q 'fmla.*\.4s' arm.s || fail 'no vectors of 4 in arm.s'
if has $cross-gcc && has qemu-aarch64 && has qemu-x86_64; then
  application arm "$cross-gcc -static" --triple $cross
  [ "$($cross-nm -u arm/digits.o | grep -v -E ' (memcpy|memmove|memset)$')" = '' ] || fail 'arm/digits.o wants more than libc'
  qemu-aarch64 arm/app > arm.out || fail 'the program for aarch64'
  same arm.out v3.haswell # 16 logical lanes and fused multiply-adds there and here
fi
finish
