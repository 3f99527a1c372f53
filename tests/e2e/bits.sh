# The bits of a training do not depend on how many threads there are, on the width of vectors, or on where the run was cut,
# by a signal that it answers or by one that nobody can.
. "$(dirname "$0")/common.bash"
train() { "$NNC" train "$digits" "$table" --test-every 5 --epochs 6 --batch 16 'lr=cosine(0.05)' -q "$@"; }

expect 0 '' train --threads 1 --save whole.safetensors
for threads in 2 3; do
  expect 0 '' train --threads $threads --save threads.safetensors
  same whole.safetensors threads.safetensors
done
# widths: what this processor can run of them
for cpu in x86-64-v4 x86-64-v3 x86-64; do
  [ $cpu = x86-64-v4 ] && ! grep -q avx512vl /proc/cpuinfo && continue
  [ $cpu = x86-64-v3 ] && ! grep -q avx2 /proc/cpuinfo && continue
  [ $cpu = x86-64 ] && continue # no fused multiply-add there: its sums round twice
  expect 0 '' train --cpu $cpu --save cpu.safetensors
  same whole.safetensors cpu.safetensors
done

# cut DELAY SIGNAL: ends a run that saves after each step so long after its first checkpoint, and goes on to its end
cut() {
  rm -f cut.safetensors
  train --every 1 --save cut.safetensors 2> /dev/null &
  local child=$! code
  for _ in $(seq 2000); do
    [ -e cut.safetensors ] && break
    sleep 0.005
  done
  sleep "$1"
  kill "-$2" $child 2> /dev/null
  wait $child 2> /dev/null
  code=$?
  [ "$2" = KILL ] || [ $code = 0 ] || fail "SIG$2 ended it with $code"
  present cut.safetensors
  expect 0 '' train --resume cut.safetensors --save rest.safetensors
  same whole.safetensors rest.safetensors
}
for delay in 0 0.03 0.1; do
  cut $delay INT
  cut $delay KILL
done
finish
