# Files of data that are not what they seem, as the commands meet them: one message each, code 2, under limits.
. "$(dirname "$0")/bad_common.bash"
printf 'model m\nparam w: [3] = [1, 2, 3]\nfn f(x: [3]) -> y = x * w\nstep s(x: [3], t: [3], lr = 0.1) -> loss {\n' > m.nn
printf '  loss = mse(x * w, t)\n  minimize loss by sgd(lr)\n}\n' >> m.nn
cp "$digits" d.nn

little() { printf "\\x$(printf %02x $(($1 & 255)))\\x$(printf %02x $(($1 >> 8 & 255)))\\x$(printf %02x $(($1 >> 16 & 255)))"; }
# safetensors JSON BYTES: a file with this header and so many bytes of zeros behind it
safetensors() {
  { little ${#1}; printf '\0\0\0\0\0'; printf '%s' "$1"; head -c "$2" /dev/zero; } > s.safetensors
}
state_says() { # state_says JSON BYTES MESSAGE
  safetensors "$1" "$2"
  bad 2 "$3" "$NNC" run m.nn f 'x=[1, 2, 3]' --interpret --state s.safetensors
}
safetensors '{"w":{"dtype":"F32","shape":[3],"data_offsets":[0,12]}}' 12
expect 0 'y = [0. 0. 0.]' "$NNC" run m.nn f 'x=[1, 2, 3]' --interpret --state s.safetensors
cp s.safetensors good.safetensors
state_says '{"w":{"dtype":"F32","shape":[4],"data_offsets":[0,16]}}' 16 'w is'
state_says '{"w":{"dtype":"I32","shape":[3],"data_offsets":[0,12]}}' 12 'w is'
state_says '{"v":{"dtype":"F32","shape":[3],"data_offsets":[0,12]}}' 12 'has not'
state_says '{"w":{"dtype":"F32","shape":[4294967296,4294967296,4294967296],"data_offsets":[0,12]}}' 12 's.safetensors'
state_says '{"w":{"dtype":"F32","shape":[3],"data_offsets":[12,0]}}' 12 's.safetensors'
state_says '{"w":{"dtype":"F32","shape":[3],"data_offsets":[0,12]},"v":{"dtype":"F32","shape":[3],"data_offsets":[8,20]}}' 20 's.safetensors'
state_says '{"w":{"dtype":"F32","shape":[3],"data_offsets":[0,12]},"v":{"dtype":"F32","shape":[3],"data_offsets":[16,28]}}' 28 's.safetensors'
state_says '{"w":{"dtype":"F32","shape":[3],"data_offsets":[0,12]}}' 13 's.safetensors'
state_says '{"w":{"dtype":"F32","shape":[3],"data_offsets":[0,12]}}' 11 's.safetensors'
state_says '{"w":{"dtype":"F32","shape":[3],"data_offsets":[0,12]},"w":{"dtype":"F32","shape":[3],"data_offsets":[0,12]}}' 12 's.safetensors'
state_says '{"w":{"dtype":"F32","shape":[-3],"data_offsets":[0,12]}}' 12 's.safetensors'
state_says '{"w":' 0 's.safetensors'
{ printf '\377\377\377\377\377\377\377\177{}'; } > s.safetensors
bad 2 's.safetensors' "$NNC" run m.nn f 'x=[1, 2, 3]' --interpret --state s.safetensors
bad 2 'd.nn is a model, and a checkpoint (.safetensors) is wanted' "$NNC" run m.nn f 'x=[1, 2, 3]' --interpret --state d.nn
: > s.safetensors
bad 2 's.safetensors' "$NNC" run m.nn f 'x=[1, 2, 3]' --interpret --state s.safetensors

# argument_says MESSAGE FILE: what is read as x
argument_says() { bad 2 "$1" "$NNC" run m.nn f "x=$2" --interpret; }
npy() { # npy HEADER BYTES
  local header=$1
  { printf '\223NUMPY\001\000'; printf "\\x$(printf %02x $((${#header} & 255)))\\x$(printf %02x $((${#header} >> 8)))"; printf '%s' "$header"; head -c "$2" /dev/zero; } > x.npy
}
npy "{'descr': '<f4', 'fortran_order': False, 'shape': (3,), }" 12
expect 0 'y = [0. 0. 0.]' "$NNC" run m.nn f x=x.npy --interpret
npy "{'descr': '<f4', 'fortran_order': False, 'shape': (1073741824,), }" 12
argument_says 'x.npy' x.npy
npy "{'descr': '<f4', 'fortran_order': False, 'shape': (4294967296, 4294967296, 4294967296), }" 12
argument_says 'x.npy' x.npy
npy "{'descr': '|O', 'fortran_order': False, 'shape': (3,), }" 24
argument_says 'x.npy' x.npy
npy "{'descr': '<f4', 'fortran_order': False, 'shape': (3,), }" 11
argument_says 'x.npy' x.npy
npy "{'descr': '<f4', 'shape': (3,)" 12
argument_says 'x.npy' x.npy
printf 'not an array' > x.npy
argument_says 'x.npy' x.npy
printf 'PK\003\004 not an archive' > x.npz
argument_says 'x.npz' x.npz:x
argument_says 'no tensor' good.safetensors:zebra
printf '1,2\n3\n' > x.csv
argument_says 'x.csv:2' x.csv
printf '1,2,three\n' > y.csv
bad 2 'y.csv' "$NNC" run m.nn f x=y.csv:zebra --interpret
printf '\037\213\010\000garbage' > x.npy.gz
argument_says 'x.npy.gz' x.npy.gz
npy "{'descr': '<f4', 'fortran_order': False, 'shape': (3,), }" 12
gzip -c x.npy | head -c 60 > x.npy.gz
argument_says 'x.npy.gz' x.npy.gz
head -c 300000000 /dev/zero | gzip -9 > x.npy.gz
argument_says 'x.npy.gz' x.npy.gz

# data for training: counts that differ, labels outside, 4 GB in 12 bytes, files cut short
idx() { # idx FILE TYPE COUNT [SIZE SIZE] BYTES: sizes below 256
  local file=$1 type=$2 count=$3 bytes=${!#}
  { printf '\0\0\010'; printf "\\x0$type"; printf "\\0\\0\\0\\x$(printf %02x $count)"
    [ $type = 1 ] || printf '\0\0\0\010\0\0\0\010'
    head -c "$bytes" /dev/zero; } > data/$file
}
data_says() { bad 2 "$1" "$NNC" train d.nn "${2:-data}" --interpret --epochs 1; }
mkdir data
data_says 'data'
idx train-images-idx3-ubyte 3 4 256
idx train-labels-idx1-ubyte 1 4 4
expect 0 '' "$NNC" train d.nn data --interpret --epochs 1 --batch 2
idx train-labels-idx1-ubyte 1 5 5
data_says 'data'
{ printf '\0\0\010\001\0\0\0\004'; printf '\001\002\003\377'; } > data/train-labels-idx1-ubyte
printf 'model h\ndim N <= 8\nlayer net = dense(10)\nstep s(x: [N, 8, 8], y: [N, 10]) -> loss {\n' > h.nn
printf '  loss = cross_entropy(net(flatten(x)), y)\n  minimize loss by sgd(0.1)\n}\n' >> h.nn
bad 2 'a label is 255, but y has classes 0 to 9' "$NNC" train h.nn data --interpret --epochs 1 # as one-hot rows of 10
idx train-labels-idx1-ubyte 1 4 3
data_says 'data'
idx train-labels-idx1-ubyte 1 4 4
printf '\0\0\010\003\377\377\377\377\377\377\377\377\377\377\377\377' > data/train-images-idx3-ubyte
data_says 'data'
printf 'a,b\n1,2\n' > few.csv
data_says 'x is [N, 1, 8, 8]' few.csv
: > empty.csv
data_says 'empty.csv' empty.csv
bad 2 'zebra' "$NNC" train d.nn few.csv --label zebra --interpret
finish
