# A program with two models that needs nothing but them and libm: it learns to keep a pole upright, in both ways, and by chance
# it does not.
. "$(dirname "$0")/common.bash"

for model in dqn policy; do expect 0 '' "$NNC" "$SOURCE/models/$model.nn" -o $model.o; done
cc -std=c11 -Wall -Wextra -Werror -O2 -I. "$SOURCE/models/apps/cartpole.c" dqn.o policy.o -lm -o cartpole || fail 'cc'
expect 0 'mean return of 100 new episodes: 2' ./cartpole random
for way in policy dqn; do
  expect 0 'learnt; mean return of 100 new episodes: ' ./cartpole $way
  mean=$(sed -n 's/^learnt; .*: //p' output)
  awk -v mean="$mean" 'BEGIN { exit !(mean >= 475) }' || fail "$way: the mean return is $mean"
done
expect 2 'usage: cartpole' ./cartpole
finish
