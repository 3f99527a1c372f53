# Ends that come from outside: a second signal, a limit on the size of files, an archive that would fill the memory.
. "$(dirname "$0")/bad_common.bash"
cp "$digits" d.nn
cp "$table" rows.csv.gz
printf 'model m\nparam w: [3] = [1, 2, 3]\nfn f(x: [3]) -> y = x * w\n' > m.nn

# The first Ctrl-C ends the work cleanly with a checkpoint, a second one ends it at once; what was saved before is kept whole.
"$NNC" train d.nn rows.csv.gz --epochs 1 --interpret --save kept.safetensors -q
cp kept.safetensors before.safetensors
"$NNC" train d.nn rows.csv.gz --epochs 100000 --interpret --save kept.safetensors -q > output 2>&1 &
child=$!
sleep 1
kill -INT $child; kill -INT $child # before the first is answered, or after: either is an end
sleep 0.2
kill -INT $child 2> /dev/null
wait $child
code=$?
case $code in 0 | 130) ;; *) fail "two signals end it with $code: $(cat output)" ;; esac
[ $code = 0 ] || same before.safetensors kept.safetensors
expect 0 '' "$NNC" run d.nn --state kept.safetensors --save read.safetensors --interpret
rm -f output

# a limit on the size of files is a fault of the environment, not a signal that ends the process
limit='ulimit -f 16; exec "$0" "$@"'
bad 3 'File too large' bash -c "$limit" "$NNC" run d.nn --save large.safetensors --interpret
bad 3 'File too large' bash -c "$limit" "$NNC" d.nn -o large.o
absent large.o

# an archive of 300 MB of zeros
python=$(command -v python3) || python=
if [ -n "$python" ]; then
  "$python" - << 'END'
import struct, zipfile
with zipfile.ZipFile("bomb.npz", "w", zipfile.ZIP_DEFLATED) as archive:
    header = b"{'descr': '<f4', 'fortran_order': False, 'shape': (75000000,), }"
    with archive.open("x.npy", "w") as member:
        member.write(b"\x93NUMPY\x01\x00" + struct.pack("<H", len(header)) + header)
        for _ in range(300):
            member.write(bytes(1000000))
END
  bad 2 'bomb.npz' "$NNC" run m.nn f x=bomb.npz:x --interpret
fi

# what cannot be read to an end
bad 2 '' "$NNC" run m.nn f x=/dev/null --interpret
mkfifo pipe
(printf '1,2,3\n' > pipe &)
expect 0 'y =' "$NNC" run m.nn f x=pipe --interpret
finish
