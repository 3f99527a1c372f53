# .nn files that are none: each ends with 2 and one message that begins with its place, under limits, and nothing is written.
. "$(dirname "$0")/bad_common.bash"

# source TEXT MESSAGE: a model with this text says this, when compiled and when shown
source_says() {
  printf '%b' "$1" > bad.nn
  bad 2 "$2" "$NNC" bad.nn -o bad.o
  bad 2 "$2" "$NNC" show bad.nn
}
f='fn f(x: [3]) -> y ='

source_says "model m\n$f x \\0377 x\n" 'bad.nn:2:'
source_says "model m\n$f x\n# a comment \\0355\\0240\\0200\n" 'bad.nn:3:'
source_says "model m\n$f x\n\\0000\n" 'bad.nn:3:1: error: a byte 0: this is no text in UTF-8'
source_says '' 'bad.nn:1:1: error: the file names no model'
source_says '\0377\0376m' 'bad.nn:1:1: error: this is not UTF-8'
head -c 100000 /dev/urandom > random.nn
limited "$NNC" random.nn -o bad.o > output 2>&1
[ $? = 2 ] || fail "random bytes: $(head -c 300 output)"
absent bad.o

# very much of one thing: brackets, operators, a name, a number, a string, a line
much() { # much NAME MESSAGE < middle
  { printf 'model m\nfn f(x: [3]) -> y = x + '; cat; printf '\n'; } > much.nn
  bad 2 "$2" "$NNC" much.nn -o bad.o
  rm much.nn
}
repeated '(' 100000 | much parentheses 'much.nn:2:'
{ repeated '(' 100000; printf x; repeated ')' 100000; } | much closed 'much.nn:2:'
repeated '[' 100000 | much brackets 'much.nn:2:'
repeated '-' 100000 | much signs 'much.nn:2:'
repeated '{' 100000 | much braces 'much.nn:2:'
repeated 'a' 10000000 | much name 'a name of more than 255 characters'
repeated '9' 10000000 | much number 'much.nn:2:'
{ printf '"'; repeated 'a' 10000000; } | much string 'much.nn:2:'
{ repeated 'a' 10000000; printf '('; } | much called 'a name of more than 255 characters'
{ printf 'x'; head -c 3000 /dev/zero | sed 's/\x00/|relu/g'; } | much pipes 'much.nn'
{ printf 'x'; head -c 200000 /dev/zero | sed 's/\x00/ + x/g'; } | much sums 'much.nn:2:'

# cycles, doubles
source_says "model m\ndef a(x) = b(x)\ndef b(x) = a(x)\n$f a(x)\n" 'defs call each other to a depth of more than 100'
source_says "model m\na = b + 1\nb = a + 1\n$f x + a\n" 'needs its own value'
source_says "model m\nlayer a = b | relu\nlayer b = a | relu\n$f a(x)\n" 'bad.nn:'
source_says "model m\nimport \"bad.nn\"\n$f x\n" 'bad.nn:2:8: error: '
source_says "model m\ndef a(x) = x\ndef a(x) = x\n$f a(x)\n" "bad.nn:3:5: error: 'a' is declared twice"
source_says "model m\nmodel n\n$f x\n" 'bad.nn:2:'
source_says "model m\nfn f(x: [3], x: [3]) -> y = x\n" "two parameters 'x'"

# sizes
for size in 0 -1 9223372036854775808 1.5 99999999999999999999; do
  source_says "model m\nfn f(x: [$size]) -> y = x\n" 'bad.nn:2:'
  source_says "model m\nlayer d = dense($size)\nfn f(x: [3, 4]) -> y = d(x)\n" 'bad.nn:2:'
  source_says "model m\ndim N <= $size\nfn f(x: [N]) -> y = x\n" 'bad.nn:2:'
  for setting in stride dilation groups; do
    source_says "model m\nlayer c = conv(4, 3, $setting=$size)\nfn f(x: [1, 4, 9, 9]) -> y = c(x)\n" 'bad.nn:2:'
  done
done
source_says "model m\nlayer c = conv(4, 3, pad=-1)\nfn f(x: [1, 4, 9, 9]) -> y = c(x)\n" 'bad.nn:2:'
source_says "model m\nlayer c = maxpool(0)\nfn f(x: [1, 4, 9, 9]) -> y = c(x)\n" 'bad.nn:2:'
huge=9223372036854775807
source_says "model m\nfn f(x: [$huge, $huge]) -> y = x\n" 'more elements than any machine holds'
source_says "model m\nparam w: [65536, 65536, 65536, 65536] = 0\n$f x + w\n" 'more elements than any machine holds'
source_says "model m\n$f x + sum(zeros([4294967296, 4294967296]))\n" 'more elements than any machine holds'
source_says "model m\n$f reshape(x, [$huge, $huge, -1])\n" 'bad.nn:2:'
source_says "model m\n$f pad(x, [$huge, 1])\n" 'bad.nn:2:'
source_says "model m\n$f x * ($huge * $huge)\n" 'does not fit in 64 bits'
source_says "model m\n$f x[$huge:]\n" 'bad.nn:2:'
source_says "model m\n$f x + (0 - $huge - 1) // -1\n" 'bad.nn:2:'
source_says "model m\nlayer d = dense(3) * $huge\n$f d(x)\n" 'bad.nn:2:'
source_says "model m\ndef a(x) { for i in 0..9999 { x = relu(x) }\n x }\ndef b(x) { for i in 0..9999 { x = a(x) }\n x }\n$f b(x)\n" \
  'operations'
finish
