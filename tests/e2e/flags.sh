# What was typed wrong ends with 2 and one sentence; nothing is written.
. "$(dirname "$0")/common.bash"

expect 0 'nnc 0' "$NNC" --version
expect 0 'usage: nnc' "$NNC" --help
for command in train run bench diff show plot fmt; do expect 0 "usage: nnc $command" "$NNC" $command --help; done
expect 2 '' "$NNC"
expect 2 'did you mean train?' "$NNC" trian "$digits"
expect 2 'neither a command nor a file' "$NNC" zebra
expect 2 'did you mean --batch?' "$NNC" train "$digits" "$table" --bacth 3
expect 2 'no such flag' "$NNC" train "$digits" "$table" -Z
expect 2 'stands there twice' "$NNC" train "$digits" "$table" --epochs 3 --epochs 4
expect 2 'wants a value' "$NNC" train "$digits" "$table" --epochs
expect 2 'not a whole number' "$NNC" train "$digits" "$table" --epochs 99999999999999999999
expect 2 'not a whole number' "$NNC" train "$digits" "$table" --epochs 3x
expect 2 'takes no value' "$NNC" train "$digits" "$table" --quiet=3
expect 2 'not a number from 0' "$NNC" train "$digits" "$table" --valid 1.5
expect 2 'did you mean lr?' "$NNC" train "$digits" "$table" lrr=3 --interpret
expect 2 'wanted is a number' "$NNC" train "$digits" "$table" lr=fast --interpret
expect 2 'no entry' "$NNC" run "$digits" clasify --interpret
expect 2 'no parameter' "$NNC" run "$digits" classify z=1 --interpret
expect 2 'wants x=' "$NNC" run "$digits" classify --interpret
expect 2 'cannot read' "$NNC" run "$digits" classify x=absent.npy --interpret
expect 2 'no list of numbers' "$NNC" run "$digits" classify 'x=[1, [2]]' --interpret
expect 2 'cannot read' "$NNC" absent.nn -o x.o
expect 2 'absent.csv' "$NNC" train "$digits" absent.csv --interpret
expect 2 'cannot write to its folder' "$NNC" train "$digits" "$table" --save absent/x.safetensors
expect 3 'standard output' bash -c "'$NNC' show '$digits' --interpret > /dev/full"
expect 2 "parted by ';'" "$NNC" train "$digits" "$table" --set $'a = 1\nb = 2' --interpret
expect 2 '--batch' "$NNC" train "$digits" "$table" --batch 257 --interpret

cp "$digits" d.nn
expect 2 'that is the input' "$NNC" d.nn -o d.nn --emit ll
same d.nn "$digits"
mkdir folder
expect 2 'folder' "$NNC" d.nn -o folder --emit o
expect 2 'nothing that nnc writes' "$NNC" d.nn -o d.xyz
absent d.xyz
expect 2 'no such pass' "$NNC" d.nn --stop-after=fusee
expect 2 'cpu' "$NNC" d.nn -o d.o --cpu nonsense
absent d.o
absent d.h
printf 'model m\nfn f(x: [3]) -> y { y = x + z }\n' > bad.nn
expect 2 'bad.nn:2:' "$NNC" bad.nn -o bad.o
absent bad.o
absent bad.h
expect 2 'bad.nn:2:' "$NNC" train bad.nn "$table"
finish
