# A plan that was edited by hand is held to the rules of plans before any of it runs.
. "$(dirname "$0")/bad_common.bash"
printf 'model m\ndim N <= 64\nlayer net = dense(32) | relu | dense(10)\n' > m.nn
printf 'step train(x: [N, 20], y: i32[N]) -> loss {\n  loss = cross_entropy(net(x), y)\n  minimize loss by sgd(0.1)\n}\n' >> m.nn
"$NNC" m.nn -o m.plan
"$NNC" m.plan -o again.plan && cmp m.plan again.plan

sed 's/ local [0-9]*$/ local 64/' m.plan > local.plan
bad 2 'bytes of local memory' "$NNC" local.plan -o local.o
sed 's/^  arena [0-9]* of/  arena 64 of/' m.plan > arena.plan
bad 2 'outside the arena' "$NNC" arena.plan -o arena.o
sed 's/\(life .*\) offset [0-9]*/\1 offset 0/' m.plan > shared.plan
bad 2 'lies on' "$NNC" shared.plan -o shared.o
sed 's/ below [ %0-9]*$//' shared.plan > stranger.plan
bad 2 'share memory' "$NNC" stranger.plan -o stranger.o

# Loops inside loops of several entries: each has a counter of its own name.
printf 'model s\ndef S(x: [4, 3]) = scan a in x carry t = zeros([3]) {\n  u = scan b in a carry r = 0.0 { r = r + b; yield r }\n' > s.nn
printf '  t = t + u\n  yield t\n}\nfn f(x: [4, 3]) -> y = S(x)\nfn g(x: [4, 3]) -> y = S(x) * 2 + S(x + 1)\n' >> s.nn
"$NNC" s.nn -o s.plan && "$NNC" s.plan -o t.plan && cmp s.plan t.plan
