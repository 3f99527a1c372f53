# Names that C or C++ keeps for itself, or that the header itself uses, are good in a .nn file: the header gives them a
# trailing underscore, and compiles as C99 and as C++.
. "$(dirname "$0")/bad_common.bash"

cat > names.nn << 'END'
model class
dim int <= 8
dim run <= 4
layer register = dense(3)
param static: [3] = 1
fn double(state: [int, 3], scratch: [run], float = 0.5) -> (return, run_out, state_x) {
  return = state * float
  run_out = scratch + 1
  state_x = sum(state)
}
fn switch(x: [3]) -> x { x = x + normal([3]) }
fn abort(seed: [3]) -> (long, seed_out) {
  long = seed
  seed_out = seed + normal([3])
}
fn asm(INT: i32[], NULL = 3) -> model { model = INT + 1 }
fn template(x: [int, 3], x_out: [3]) -> (x, void) {
  void = register(x)
  x = x + x_out
}
step goto(volatile: [3], size_t = 1e-3) -> new {
  new = sum(static * volatile)
  static := static - size_t * volatile
}
END
expect 0 '' "$NNC" names.nn -o names.o
printf '#include "names.h"\nint main(void) { return 0; }\n' > main.c
cp main.c main.cpp
expect 0 '' cc -std=c99 -Wall -Wextra -Wpedantic -Werror main.c names.o -o with_c
if command -v c++ > /dev/null; then expect 0 '' c++ -Wall -Wextra -Wpedantic -Werror -fsyntax-only main.cpp; fi
expect 0 'return =' "$NNC" run names.nn double 'state=[[1, 2, 3]]' 'scratch=[1]'
for name in int switch class NULL run state nn_run int64_t; do
  printf 'model %s\nfn %s(%s: [3]) -> y = %s + 1\n' $name $name $name $name > one.nn
  expect 0 '' "$NNC" one.nn -o one.o
  printf '#include "one.h"\nint main(void) { return 0; }\n' > one.c
  expect 0 '' cc -std=c99 -Wall -Wextra -Wpedantic -Werror one.c one.o -o with_one
done
for name in init get set error model; do
  printf 'model m\nfn %s(x: [3]) -> y = x + 1\n' $name > own.nn
  bad 2 "own.nn:2:4: error: an entry can't be named '$name'" "$NNC" own.nn -o own.o
done
finish
