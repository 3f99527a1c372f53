"""The first pictures of MNIST: cut_mnist.py FROM TO TRAIN TEST makes a folder of IDX files (.gz), and beside it step.x.npy and
step.y.npy, the first 64 pictures (scaled to 0..1) and labels, or as many as there are."""
import array
import gzip
import os
import struct
import sys


def cut(path, count):
    with open(path, "rb") as file:
        data = file.read()
    rank, old = data[3], struct.unpack(">I", data[4:8])[0]
    head = 4 + 4 * rank
    count = min(count, old)
    return data[:4] + struct.pack(">I", count) + data[8:head] + data[head:head + count * ((len(data) - head) // old)]


def write_npy(path, kind, shape, numbers):
    head = f"{{'descr': '{kind}', 'fortran_order': False, 'shape': ({''.join(f'{size},' for size in shape)}), }}"
    head += " " * (-(len(head) + 11) % 64) + "\n"
    with open(path, "wb") as file:
        file.write(b"\x93NUMPY\x01\x00" + struct.pack("<H", len(head)) + head.encode())
        numbers.tofile(file)


def main():
    source, out, train, test = sys.argv[1:]
    os.makedirs(out, exist_ok=True)
    for part, count in (("train", int(train)), ("t10k", int(test))):
        for what in ("images-idx3-ubyte", "labels-idx1-ubyte"):
            data = cut(os.path.join(source, f"{part}-{what}"), count)
            with gzip.open(os.path.join(out, f"{part}-{what}.gz"), "wb") as file:
                file.write(data)
    count = min(64, int(train))
    pictures = cut(os.path.join(source, "train-images-idx3-ubyte"), count)[16:]
    labels = cut(os.path.join(source, "train-labels-idx1-ubyte"), count)[8:]
    folder = os.path.dirname(out)
    write_npy(os.path.join(folder, "step.x.npy"), "<f4", (count, 1, 28, 28), array.array("f", (b / 255 for b in pictures)))
    write_npy(os.path.join(folder, "step.y.npy"), "<i4", (count,), array.array("i", list(labels)))


main()
