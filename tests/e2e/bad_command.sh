# What was typed wrong, and an environment that does not help: the right code, one message, nothing half-written.
. "$(dirname "$0")/bad_common.bash"
cp "$digits" d.nn
printf 'model m\nparam w: [3] = [1, 2, 3]\nfn f(x: [3]) -> y = x * w\nstep s(x: [3], t: [3], lr = 0.1) -> loss {\n' > m.nn
printf '  loss = mse(x * w, t)\n  minimize loss by sgd(lr)\n}\n' >> m.nn
x='x=[1, 2, 3]'

# flags
bad 2 'no such flag' "$NNC" m.nn -o m.o --zebra
bad 2 'did you mean' "$NNC" m.nn -o m.o --no-fuze
bad 2 'stands there twice' "$NNC" m.nn -o m.o -o n.o
bad 2 'stands there twice' "$NNC" m.nn -o m.o --cpu native --cpu native
bad 2 'wants a value' "$NNC" m.nn -o
bad 2 'not a whole number' "$NNC" run m.nn f "$x" --seed 9223372036854775808
bad 2 '--threads' "$NNC" run m.nn f "$x" --threads 99999999999999
bad 2 '--threads' "$NNC" run m.nn f "$x" --threads 0
bad 2 '--repeat' "$NNC" run m.nn f "$x" --repeat -1
bad 2 'one model' "$NNC" m.nn d.nn -o m.o
bad 2 'no such flag' "$NNC" show m.nn --epochs 3
bad 2 'cpu' "$NNC" m.nn -o m.o --cpu x86-64-v9
bad 2 'triple' "$NNC" m.nn -o m.o --triple nowhere
NNC_NVRTC=/nowhere/libnvrtc.so bad 3 'NVRTC' "$NNC" m.nn -o m.o --target cuda
for command in train run bench diff; do
  bad 2 '' "$NNC" $command
  bad 2 'absent' "$NNC" $command absent.nn absent.csv
done

# arguments
bad 2 'x is [3]' "$NNC" run m.nn f 'x=[1, 2]'
bad 2 'x is [3]' "$NNC" run m.nn f 'x=[[1, 2], [3, 4]]'
bad 2 'no list of numbers' "$NNC" run m.nn f 'x=[1, 2'
bad 2 'x' "$NNC" run m.nn f 'x=[1, 2, 3]' 'x=[1, 2, 3]'
bad 2 'did you mean' "$NNC" run m.nn s "$x" 't=[1, 2, 3]' Lr=1
bad 2 'no entry' "$NNC" run m.nn g "$x"
bad 2 'no entry' "$NNC" bench m.nn g
bad 2 'not a number above 0' "$NNC" bench m.nn f --mark fast
bad 2 'ends in .svg' "$NNC" bench m.nn f --svg m.nn
bad 2 'no entry' "$NNC" diff m.nn g

# outputs that cannot be
mkdir folder folder.o folder.h
bad 2 'folder' "$NNC" m.nn -o folder.o
bad 2 'folder' "$NNC" m.nn -o folder.a
bad 2 'that is the input' "$NNC" m.nn -o m.nn --emit ll
ln -s m.nn link.ll
bad 2 'that is the input' "$NNC" m.nn -o link.ll
bad 2 '' "$NNC" run m.nn f "$x" -o results.xyz
bad 2 'folder' "$NNC" run m.nn f "$x" -o folder --interpret
bad 2 'folder' "$NNC" run m.nn --save folder --interpret
bad 2 'm.nn' "$NNC" run m.nn --save m.nn --interpret
cp "$table" rows.csv.gz
bad 2 'rows.csv.gz' "$NNC" train d.nn rows.csv.gz --save rows.csv.gz --interpret --epochs 1
same rows.csv.gz "$table"
for out in nowhere/x.o nowhere/x.h nowhere/x.graph; do bad 2 'nowhere' "$NNC" m.nn -o $out; done
bad 2 'nowhere' "$NNC" run m.nn --save nowhere/x.safetensors --interpret
bad 2 'nowhere' "$NNC" train d.nn rows.csv.gz --log nowhere/x.csv --interpret --epochs 1

# standard output that is closed, or full
for stream in '>&-' '> /dev/full'; do
  for words in --help --version 'run --help' 'm.nn --emit ll' 'm.nn --emit h' 'm.nn --stop-after=fuse' 'm.nn --emit o' \
    'show m.nn' 'show m.nn --json' 'diff m.nn' 'bench m.nn --repeat 1' 'bench m.nn --repeat 1 --json' \
    'run m.nn f x=[1,2,3]' 'train d.nn rows.csv.gz --epochs 1 --interpret'; do
    # shellcheck disable=SC2086
    bad 3 'standard output' bash -c "exec \"\$0\" \"\$@\" $stream" "$NNC" $words
  done
done

# a folder that cannot be written, and one that is full
bad 3 '/sys/' "$NNC" m.nn -o /sys/x.o
bad 3 '/sys/' "$NNC" run m.nn --save /sys/x.safetensors --interpret
mkdir small
if [ "$(id -u)" = 0 ] && mount -t tmpfs -o size=64k none small 2> /dev/null; then
  trap 'umount small' EXIT
  mkdir small/a
  printf 'model m\nparam w: [100000] = 1\nfn f(x: [100000]) -> y = x * w\n' > big.nn
  for words in 'd.nn -o small/a/x.so' 'd.nn -o small/a/x.ll' 'd.nn -o small/a/x.o' 'run big.nn --interpret --save small/a/x.safetensors' \
    'train d.nn rows.csv.gz --interpret --epochs 1 --save small/a/x.safetensors'; do
    # shellcheck disable=SC2086
    bad 3 'No space left' "$NNC" $words
    [ -z "$(ls -A small/a)" ] || fail "$words left $(ls -A small/a)"
    rm -f small/a/*
  done
fi

# no linker: nothing is written, and the way out is named
nnc=$(realpath "$NNC")
for kind in so a; do bad 3 'x.o' env PATH=/nonexistent "$nnc" m.nn -o x.$kind; done

# an object on an older processor refuses to run
if command -v qemu-x86_64 > /dev/null && [ "$(uname -m)" = x86_64 ] && [ $sanitized = no ]; then
  "$NNC" m.nn -o m.so --cpu x86-64-v3
  "$NNC" m.nn -o m.o --cpu x86-64-v3
  printf '#include "m.h"\n#include <stdio.h>\nstatic _Alignas(64) char state[M_STATE_BYTES], scratch[4096];\nint main(void) {\n' > old.c
  printf '  float x[3] = {1, 2, 3}, y[3];\n  int code = m_init(state, 0);\n' >> old.c
  printf '  if (code == 0) code = m_f(0, state, scratch, x, y);\n  puts(m_error(code));\n  return code;\n}\n' >> old.c
  cc -std=c11 -static old.c m.o -o old 2> /dev/null || cc -std=c11 old.c m.o -o old
  expect 0 '' ./old
  qemu-x86_64 -cpu Nehalem ./old > output 2>&1
  [ $? = 5 ] || fail "on an older processor: $(cat output)"
fi

# numbers: the first bad step and value are named, the last good checkpoint is kept
expect 0 '' "$NNC" train d.nn rows.csv.gz --interpret --epochs 1 --save good.safetensors -q
cp good.safetensors kept.safetensors
bad 4 'step ' "$NNC" train d.nn rows.csv.gz --interpret --epochs 2 lr=1e30 --state good.safetensors --save kept.safetensors -q
"$NNC" run d.nn --state kept.safetensors --save read.safetensors --interpret || fail 'the kept checkpoint cannot be read'
finish
