# Compiled code is kept in the cache folder and taken from there; what differs, or is damaged, is compiled anew; the folder
# stays bounded.
. "$(dirname "$0")/common.bash"
export XDG_CACHE_HOME=$PWD/cache
kept() { find cache/nnc -type f 2> /dev/null | wc -l; }
taken() { grep -q 'code from the cache' output; }

echo 'def twice(x) = 2 * x' > blocks.nn
printf 'model m\nimport "blocks.nn"\nfn f(x: [3]) -> y { y = twice(x) }\n' > m.nn
run=("$NNC" run m.nn f 'x=[1, 2, 3]' --verbose)
expect 0 'y = [2. 4. 6.]' "${run[@]}"
! taken || fail 'taken before anything was kept'
[ "$(kept)" = 1 ] || fail "$(kept) files are kept, not 1"
expect 0 'y = [2. 4. 6.]' "${run[@]}"
taken || fail 'not taken from the cache'
expect 0 'compiled' "$NNC" bench m.nn f --repeat 1 --verbose
taken || fail 'bench does not take it'

# Not from the cache: other flags, another import, what diff compares, what is asked to be anew.
expect 0 '' "${run[@]}" --no-fuse
! taken || fail '--no-fuse takes fused code'
expect 0 '' "${run[@]}" --cpu x86-64
! taken || fail 'another processor takes this one'"'"'s code'
echo 'def twice(x) = 3 * x' > blocks.nn
expect 0 'y = [3. 6. 9.]' "${run[@]}"
! taken || fail 'an import changed'
before=$(kept)
expect 0 '' "${run[@]}" --no-cache
expect 0 '' "$NNC" diff m.nn --verbose
! taken || fail 'diff compares what was kept'
printf 'model other\nfn f(x: [3]) -> y { y = x }\n' > other.nn
expect 0 '' "$NNC" run other.nn f 'x=[1, 2, 3]' --no-cache
[ "$(kept)" = "$before" ] || fail '--no-cache or diff keeps something'

# Damaged in any way: compiled anew, and then whole again.
for damage in 'truncate -s 100' 'truncate -s -9' 'truncate -s 0' 'sed -i s/ELF/EFL/' 'truncate -s +8'; do
  find cache/nnc -type f -exec $damage {} +
  expect 0 'y = [3. 6. 9.]' "${run[@]}"
  ! taken || fail "taken after $damage"
  expect 0 'y = [3. 6. 9.]' "${run[@]}"
  taken || fail "not whole again after $damage"
done

# What was not used for longest goes first.
truncate -s 300M cache/nnc/old
touch -d '2001-01-01' cache/nnc/old
expect 0 '' "$NNC" run other.nn f 'x=[1, 2, 3]'
absent cache/nnc/old
expect 0 '' "${run[@]}"
taken || fail 'what is small and new is gone'

# Without a folder to write to, and with a relative one, which counts as none.
expect 0 'y = [3. 6. 9.]' env XDG_CACHE_HOME=/proc/none "${run[@]}"
expect 0 'y = [3. 6. 9.]' env XDG_CACHE_HOME=relative HOME="$PWD/home" "${run[@]}"
absent relative
mkdir home
expect 0 '' env -u XDG_CACHE_HOME HOME="$PWD/home" "${run[@]}"
[ "$(find home/.cache/nnc -type f | wc -l)" = 1 ] || fail 'nothing is kept below HOME'
expect 0 '' env -u XDG_CACHE_HOME -u HOME "${run[@]}"
finish
