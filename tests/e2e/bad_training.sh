# Data for training that are not what they seem, of every kind that train takes: one message each, code 2, under limits.
. "$(dirname "$0")/bad_common.bash"
cp "$digits" d.nn
says() { bad 2 "$1" "$NNC" train "$2" "$3" --interpret --epochs 1 "${@:4}"; } # says TEXT MODEL DATA [FLAGS]
byte() { printf "\\x$(printf %02x "$1")"; }

# texts
cat > chars.nn <<'EOF'
model chars
dim N <= 4
layer net = embed(6, 4) | dense(6)
step train(x: i32[N, 8], y: i32[N, 8]) -> loss {
  loss = cross_entropy(net(x), y)
  minimize loss by sgd(0.1)
}
EOF
printf 'aabbaabbaabb' > good.txt
expect 0 '' "$NNC" train chars.nn text:good.txt --interpret --epochs 1
: > empty.txt
says 'empty.txt: 0 characters are no window of 8' chars.nn text:empty.txt
printf 'abcdefgh' > short.txt
says 'short.txt: 8 characters are no window' chars.nn text:short.txt
printf 'abc\nde\377fghijk' > latin.txt
says 'latin.txt:2: byte 6: this is not UTF-8' chars.nn text:latin.txt
printf 'abcdefgh\303' > half.txt
says 'half.txt:1: byte 8: this is not UTF-8' chars.nn text:half.txt
printf 'ab\0cdefghij' > zero.txt
says 'byte 2: a zero' chars.nn text:zero.txt
says 'nowhere.txt' chars.nn text:nowhere.txt
printf 'abcdefghijk' > many.txt
says 'many.txt has 11 characters, but chars.x tells 6 apart (chars.nn:' chars.nn text:many.txt
head -c 300000000 /dev/zero | tr '\0' a | gzip -9 > bomb.txt.gz
says 'bomb.txt.gz: inflates to more than' chars.nn text:bomb.txt.gz
printf 'aabbaabbaabb' | gzip | head -c 25 > cut.txt.gz
says 'ends too early' chars.nn text:cut.txt.gz
says 'has no parameter of two axes' d.nn text:good.txt
says "train has no parameter 'learning_rate'; it has x, y, lr" d.nn text:good.txt learning_rate=0.1
says "did you mean lr?" d.nn text:good.txt lrr=0.1

# tables
says_csv() { printf "$2" > t.csv; says "$1" d.nn t.csv "${@:3}"; }
says_csv 't.csv:2: ' '1,2,3\n1,2\n'
says_csv 't.csv:3: ' '1,2,3\n4,5,6\n1,,3\n'
says_csv 't.csv:1: column 0 has text' 'a,b\n'
says_csv 'one column' 'a\n1\n2\n'
says_csv 'quoted field starts here' '1,"2\n'
says_csv 'has text; only the label may' '1,2,3\n1,two,3\n'
says_csv "no column 'zebra'" '1,2\n3,4\n' --label zebra
row=$(printf '0,%.0s' $(seq 64))
says_csv 't.csv has 11 classes, but digits.y tells 10 apart (d.nn:' "${row}10\n"
says_csv 'y[0] is 0.5, where an integer is wanted' "${row}0.5\n"
says 'is_no_such_file.csv' d.nn is_no_such_file.csv

# CIFAR-10's batches
mkdir cifar
head -c 3072 /dev/zero > cifar/data_batch_1.bin
says '3072 bytes are no multiple of the 3073' d.nn cifar
{ head -c 3073 /dev/zero; byte 10; head -c 3072 /dev/zero; } > cifar/data_batch_1.bin
says 'byte 3073: label 10 is not from 0 to 9' d.nn cifar
: > cifar/data_batch_1.bin
says 'has no rows' d.nn cifar
head -c 300000000 /dev/zero | gzip -9 > cifar/data_batch_1.bin.gz
rm cifar/data_batch_1.bin
says 'inflates to more than' d.nn cifar

# named arrays
cat > arrays.nn <<'EOF'
model arrays
fn good() -> (x, y) { x = zeros([3, 1, 8, 8]); y = i32(zeros([3])) }
fn rows() -> (x, y) { x = zeros([3, 1, 8, 8]); y = i32(zeros([2])) }
fn shape() -> (x, y) { x = zeros([3, 8, 9]); y = i32(zeros([3])) }
fn few() -> x = zeros([3, 8, 8])
fn scalar() -> (x, y) { x = zeros([3, 1, 8, 8]); y = i32(zeros([])) }
fn parts() -> (x_train, x, y) { x = zeros([3, 1, 8, 8]); x_train = x; y = i32(zeros([3])) }
EOF
for kind in npz safetensors; do
  array() { "$NNC" run arrays.nn "$1" -o "$1.$kind" --interpret || fail "making $1.$kind"; }
  for name in good rows shape few scalar parts; do array $name; done
  expect 0 '' "$NNC" train d.nn good.$kind --interpret --epochs 1
  says "has 3 rows of 'x', but 2 of 'y'" d.nn rows.$kind
  says "x is [N, 1, 8, 8], but a row of the data's 'x' is [8, 9]" d.nn shape.$kind
  says 'train wants y: i32[N], but the data have only 1 column' d.nn few.$kind
  says "'y' has no rows" d.nn scalar.$kind
  says "two arrays would be 'x' of the same part" d.nn parts.$kind
  head -c 700 good.$kind > cut.$kind
  says "cut.$kind: " d.nn cut.$kind
  : > cut.$kind
  says "cut.$kind: " d.nn cut.$kind
done

# pictures by class
mkdir -p pets/cat pets/dog
says 'there are no pictures in the folders' d.nn pets
picture() { printf 'P5 8 8 255\n%64s' '' > "$1"; }
picture pets/cat/1.pgm
picture pets/dog/1.pgm
expect 0 '' "$NNC" train d.nn pets --interpret --epochs 1 --batch 1
printf 'P5 8 9 255\n%72s' '' > pets/dog/2.pgm
says 'pets/dog/2.pgm is 8 pixels wide and 9 high, but pets/cat/1.pgm 8 and 8' d.nn pets
printf 'P5 8 8 255\n%63s' '' > pets/dog/2.pgm
says 'pets/dog/2.pgm: byte 11: 8 by 8 pixels want 64 bytes, but 63 are left' d.nn pets
printf 'P5 99999 99999 255\n%63s' '' > pets/dog/2.pgm
says 'want 9999800001 bytes, but 63 are left' d.nn pets
rm pets/dog/2.pgm
printf 'not a picture' > pets/dog/2.png
says 'pets/dog/2.png: this PNG cannot be read' d.nn pets
printf 'model p\nfn f(x: [8, 8]) -> y = x\n' > p.nn
"$NNC" run p.nn f x=pets/dog/1.pgm -o whole.png --interpret
head -c 60 whole.png > pets/dog/2.png
says 'pets/dog/2.png: this PNG cannot be read' d.nn pets
{ head -c 16 whole.png; printf '\0\0\377\377\0\0\377\377\010\0\0\0\0\223\351\314\062'; tail -c +34 whole.png; } > pets/dog/2.png
says 'pets/dog/2.png: ' d.nn pets # 65,535 by 65,535 pixels; if the checksum does not hold, that is the fault
rm pets/dog/2.png
mkdir -p pets/cow
for k in 0 1 2 3 4 5 6 7; do mkdir pets/more$k; picture pets/more$k/1.pgm; done
expect 2 'pets has 11 classes, but digits.y tells 10 apart' "$NNC" train d.nn pets --interpret
printf 'model q\nfn f(x: [16]) -> y = x\nfn g() -> (p, q) { p = zeros([2, 2]); q = p }\n' > q.nn
bad 2 'x is [16], but was given' "$NNC" run q.nn f x=whole.png --interpret
bad 2 "both 'p' and 'q' could be the picture" "$NNC" run q.nn g -o out.png --interpret

# checkpoints that do not fit
expect 0 '' "$NNC" train d.nn good.npz --interpret --epochs 1 --save d.safetensors
bad 2 'was made with 3 rows to train on' "$NNC" train d.nn "$table" --interpret --resume d.safetensors
bad 2 'chars' "$NNC" train chars.nn text:good.txt --interpret --resume d.safetensors
finish
