# scripts/models believes no head comment: each of these files but the first says of itself what is not so.
. "$(dirname "$0")/common.bash"

mkdir -p tree/scripts tree/models
cp "$SOURCE/scripts/models" tree/scripts/models

# file NAME STEP [LINE ...]: a model whose step does this, with these lines in its head
file() {
  local name=$1 step=$2
  shift 2
  {
    echo "# A model."
    printf '%s\n' "$@"
    cat << END

model $name
dim N <= 8
layer net = dense(3) | tanh | dense(2)
step train(x: [N, 4], y: i32[N]) -> loss {
  $step
}
END
  } > "tree/models/$name.nn"
}
learns='loss = cross_entropy(net(x), y); minimize loss by sgd(0.1)'
expected='# Expect: test acc 90%, baseline 50% (by chance)'
measured="#   echo 'epoch 9  acc 0.1  test acc 0.9  1.5 s'"

file honest "$learns" '# Parameters: 23 in 4 tensors' '# Mark: test acc >= 5 * acc' "$expected" \
  "#   echo 'epoch 1  test acc 0.2'" "$measured"
file worse "$learns" "$expected" "#   echo 'test acc 0.6'"
file validated "$learns" "$expected" "#   echo 'epoch 1  valid acc 0.9'; echo 'test  loss 1  acc 0.6'"
file another "$learns" "$expected" "#   echo 'contest acc 0.9'"
file infinite "$learns" "$expected" "#   echo 'test acc nan'"
file silent "$learns" "$measured"
file unreadable "$learns" '# Expect: test acc much, baseline little' "$measured"
file broken "$learns" "$expected" "#   false" "$measured"
file unmarked "$learns" '# Mark: test acc > 90%' "$expected" "$measured"
file larger "$learns" '# Parameters: 24' "$expected" "$measured"
file tensors "$learns" '# Parameters: 23 in 5 tensors' "$expected" "$measured"
file seedless "$learns" '# Seeds: 3' "$expected" "$measured"
file still 'loss = cross_entropy(net(x), y); minimize loss by sgd(0)' "$expected" "$measured"
file endless 'loss = cross_entropy(net(x), y) / 0; minimize loss by sgd(0.1)' "$expected" "$measured"
file vague 'loss = cross_entropy(sin(1e6 * net(x)), y); minimize loss by sgd(0.1)' "$expected" "$measured"

says() { expect 1 "$2" python3 tree/scripts/models "$1"; }
expect 0 'test acc 90.00% (expected 90%, baseline 50%, closed 100%, seeds 1)' python3 tree/scripts/models honest
expect 0 'resume: exact' python3 tree/scripts/models --quick honest
says worse 'test acc is 60.00%: not 50% of the way from 50% to 90%'
says validated 'test acc is 60.00%'
says another "its command prints no number for 'test acc'"
says infinite "its command prints no number for 'test acc'"
says silent 'does not say what to expect'
says unreadable "can't be read"
says broken 'its command ends with 1'
says unmarked 'test acc is 0.9, wanted is > 0.9'
says larger 'it has 23 parameters in 4 tensors, not as its head says'
says tensors 'it has 23 parameters in 4 tensors, not as its head says'
says seedless 'its commands take no seed'
says still 'no call changed them'
says endless 'not finite'
says vague 'compare other sizes'
expect 2 "neither a model nor an option" python3 tree/scripts/models nothing
finish
