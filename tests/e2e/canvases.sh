# scripts/canvases: what it scores is what the truth says, and what it makes fits its own boxes (on digits drawn here, so
# that nothing has to be fetched).
. "$(dirname "$0")/common.bash"

cat > check.py << 'END_OF_CHECK'
import array, importlib.machinery, random, sys, types, zipfile
loader = importlib.machinery.SourceFileLoader("canvases", sys.argv[1])
canvases = types.ModuleType("canvases")
canvases.__file__ = sys.argv[1]
sys.dont_write_bytecode = True
loader.exec_module(canvases)


def floats(numbers): return array.array("f", numbers).tobytes()
def ints(numbers): return array.array("i", numbers).tobytes()


def write(path, **arrays):
    with zipfile.ZipFile(path, "w") as file:
        for name, data in arrays.items():
            file.writestr(name + ".npy", data)


def found(path, boxes, scores, labels, **more):
    k = len(labels) // 2
    write(path, boxes=canvases.npy("f4", [2, k, 4], floats(sum(boxes, []))), scores=canvases.npy("f4", [2, k], floats(scores)),
          labels=canvases.npy("i4", [2, k], ints(labels)), **more)


# two canvases of 8 x 8: a 3 and a 5 on the first, a 3 on the second
a, b, c, none = [0, 0, 4, 4], [4, 4, 8, 8], [2, 2, 6, 6], [0, 0, 0, 0]
objects = bytearray(128)
for row in range(4):
    for column in range(4):
        objects[8 * row + column], objects[8 * (row + 4) + column + 4], objects[64 + 8 * (row + 2) + column + 2] = 1, 2, 1
write("truth.npz", x_test=canvases.npy("u1", [2, 1, 8, 8], bytes(objects)),
      boxes_test=canvases.npy("f4", [2, 2, 4], floats(a + b + c + none)),
      labels_test=canvases.npy("i4", [2, 2], ints([3, 5, 3, -1])), objects_test=canvases.npy("u1", [2, 8, 8], objects))
masks = array.array("f", [0.0] * 256)
for which, k in ((1, 0), (2, 64)):
    for at in range(64):
        masks[k + at] = float(objects[at] == which)
for at in range(64):
    masks[128 + at] = float(at < 32)             # half of the second canvas's 3 and 24 pixels besides: 8 of 40
found("right.npz", [a, b, c, none], [0.9, 0.8, 0.7, 0], [3, 5, 3, -1], masks=canvases.npy("f4", [2, 2, 8, 8], masks.tobytes()))
found("wrong.npz", [a, b, c, none], [0.9, 0.8, 0.7, 0], [4, 4, 4, -1])
# of two 3s one is found, behind a false one: precisions 0, 1/2 at recalls 0, 1/2, so an average precision of 1/4; the 5 is
# right
found("mixed.npz", [a, b, b, none], [0.5, 0.8, 0.9, 0], [3, 5, 3, -1])

# a canvas with one bar of ink in a digit of 28 x 28
rows = [bytes(255 if 4 <= y < 24 and 10 <= x < 15 else 0 for x in range(28)) for y in range(28)]
canvas = canvases.Canvas(40)
canvas.put(rows, 7, random.Random(1))
x1, y1, x2, y2 = canvas.boxes[0]
inked = [(at % 40, at // 40) for at in range(1600) if canvas.objects[at] == 1]
assert (x2 - x1, y2 - y1) == (5, 20) and len(inked) == 100, canvas.boxes
assert (min(inked), max(inked)) == ((x1, y1), (x2 - 1, y2 - 1)) and set(canvas.classes) == {0, 8}
END_OF_CHECK
expect 0 '' python3 check.py "$SOURCE/scripts/canvases"
expect 0 'mAP 1.0000' python3 "$SOURCE/scripts/canvases" score truth.npz right.npz
expect 0 'mask IoU 0.7333' python3 "$SOURCE/scripts/canvases" score truth.npz right.npz
expect 0 'mAP 0.0000' python3 "$SOURCE/scripts/canvases" score truth.npz wrong.npz
expect 0 'mAP 0.6250' python3 "$SOURCE/scripts/canvases" score truth.npz mixed.npz
expect 0 '' python3 "$SOURCE/scripts/canvases" draw truth.npz right.npz out.png
[ "$(head -c 4 out.png | tail -c 3)" = PNG ] || fail 'no picture was drawn'
expect 2 '' python3 "$SOURCE/scripts/canvases" score truth.npz
expect 2 "lost.npz" python3 "$SOURCE/scripts/canvases" score truth.npz lost.npz
finish
