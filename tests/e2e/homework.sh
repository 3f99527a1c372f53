# scripts/homework still runs: all its trainings, its pictures and tables, and the cells of its notebook, each on a few rows of
# pictures that are made of the digits here.
. "$(dirname "$0")/common.bash"
python3 -c 'import numpy' 2> /dev/null || { echo 'python3 has no numpy'; exit 77; }
mkdir data out
python3 - "$table" << 'END'
import sys
import numpy as np

table = np.loadtxt(sys.argv[1], delimiter=",")
pictures = np.pad(np.kron(table[:, :64].reshape(-1, 8, 8) * 15, np.ones((3, 3))), ((0, 0), (2, 2), (2, 2))).astype(np.uint8)
for name, part in (("train", slice(0, 1400)), ("t10k", slice(1400, None))):
    x, y = pictures[part], table[part, 64].astype(np.uint8)
    for kind, array in (("images-idx3", x), ("labels-idx1", y)):
        with open(f"data/{name}-{kind}-ubyte", "wb") as file:
            file.write(bytes([0, 0, 8, array.ndim]) + np.array(array.shape, ">i4").tobytes() + array.tobytes())
END
expect 0 '' "$SOURCE/scripts/homework" --quick --data "$PWD/data" --out out
[ "$(grep -c '^| linear regression\|^| softmax regression\|^| MLP\|^| CNN' out/homework.md)" = 4 ] || fail 'four models were not scored'
for picture in linear lr batch optimizer hidden schedule dropout under rows cure cnn-dropout models; do
  present "out/homework/$picture.svg"
done
expect 1 'has no train-images' "$SOURCE/scripts/homework" --quick --data nowhere
expect 1 'is no option' "$SOURCE/scripts/homework" --quik
while read -r picture; do present "$SOURCE/docs/$picture"; done < <(grep -o 'homework/[a-z-]*\.svg' "$SOURCE/docs/homework.md")
finish
