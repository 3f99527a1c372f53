# --weights: the object's init gives a checkpoint's numbers, also to a program for inference alone; what does not fit is refused.
. "$(dirname "$0")/common.bash"
expect 0 '' "$NNC" train "$digits" "$table" --epochs 1 --batch 32 -q --save trained.safetensors
expect 0 '' "$NNC" "$digits" --weights trained.safetensors -o digits.so
expect 0 '' "$NNC" run digits.so --save built.safetensors
for from in trained built; do # a training that goes on from either ends in the same
  expect 0 '' "$NNC" train "$digits" "$table" --state $from.safetensors --epochs 1 --batch 64 -q --save from_$from.safetensors
done
tail -c 40000 from_trained.safetensors > a # numbers; the head before them tells what was typed
tail -c 40000 from_built.safetensors > b
same a b
sed '/^step/,/^}/d' "$digits" > only.nn
expect 0 '' "$NNC" only.nn --weights trained.safetensors -o only.o
present only.o
rm only.o only.h
expect 2 'lacks' "$NNC" "$SOURCE/models/linreg.nn" --weights trained.safetensors -o only.o
expect 2 'a checkpoint (.safetensors) is wanted' "$NNC" "$digits" --weights "$table" -o only.o
sed 's/dense(64)/dense(32)/' "$digits" > other.nn
expect 2 'in the model' "$NNC" other.nn --weights trained.safetensors -o only.o
expect 2 'none.safetensors' "$NNC" "$digits" --weights none.safetensors -o only.o
absent only.o
finish
