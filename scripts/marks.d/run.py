"""`nnc run`, cold: from the source to the first result of one entry; peak memory of processes that train."""
import os
import struct
import common

ROUNDS = 7
PROBE = "model probe\nfn product(a: [14, 256], b: [256, 32]) -> c = a @ b\n"


def npy(path, shape, whole=False):
    """Numbers that differ a little, as NumPy keeps them."""
    count = 1
    for size in shape:
        count *= size
    head = f"{{'descr': '{'<i4' if whole else '<f4'}', 'fortran_order': False, 'shape': ({', '.join(map(str, shape))},), }}"
    head = head.ljust((len(head) + 11 + 63) // 64 * 64 - 11) + "\n"
    values = [k % 10 for k in range(count)] if whole else [(k * 31 % 101) / 101 for k in range(count)]
    with open(path, "wb") as file:
        file.write(b"\x93NUMPY\x01\x00" + struct.pack("<H", len(head)) + head.encode())
        file.write(struct.pack(f"<{count}{'i' if whole else 'f'}", *values))
    return path


def arguments(bench, name, **shapes):
    return [f"{key}={npy(os.path.join(bench.work, f'{name}.{key}.npy'), shape, whole=key == 'y')}"
            for key, shape in shapes.items()]


def cold(bench, *words):
    """Seconds of a process that compiles anew, and those that processors spent on it."""
    out = os.path.join(bench.work, "result.npz")
    return common.timed(lambda: bench.compiler("run", *words, "--no-cache", "-q", "-o", out))[1:]


def run(bench):
    probe = os.path.join(bench.work, "probe.nn")
    with open(probe, "w") as file:
        file.write(PROBE)
    programs = f"{bench.tree}/tests/programs"
    picture = arguments(bench, "picture", x=(1, 3, 224, 224), y=(1,))
    cases = {"probe": (None, [probe, "product", *arguments(bench, "probe", a=(14, 256), b=(256, 32))]),
             "mlp-128's step": (0.1, [f"{bench.tree}/models/bench/mlp128.nn", "train",
                                      *arguments(bench, "mlp", x=(64, 784), y=(64,))]),
             "lenet's step": (0.2, [f"{programs}/lenet.nn", "train", *arguments(bench, "lenet", x=(64, 1, 28, 28), y=(64,))]),
             "resnet18's inference": (0.5, [f"{programs}/resnet18.nn", "infer", picture[0]]),
             "resnet18's step": (1.2, [f"{programs}/resnet18.nn", "train", *picture])}
    times = {name: [] for name in cases}
    for turn in range(ROUNDS + 1):
        for name, (_, words) in cases.items():
            taken = cold(bench, *words)
            if turn:  # the first one brings the files into memory
                times[name].append(taken)
    unit = common.median([passed for passed, _ in times["probe"]])
    for name, (most, _) in cases.items():
        passed, spent = zip(*times[name])
        figure = common.median(passed)
        what = "LLVM's start-up and one tile" if name == "probe" else name
        yield common.Row(f"nnc run, cold: {what}", f"<= {most} s" if most else "-",
                         f"{figure:.3f} s ({min(passed):.3f} s), {common.median(spent):.3f} s of processors, {figure / unit:.1f} probes", not most or figure <= most)
    yield from memory(bench, programs)


def memory(bench, programs):
    """Of a program that the model is linked into, state, scratch and data included."""
    small = os.path.join(bench.work, "resnet8.nn")
    with open(f"{programs}/resnet18.nn") as source, open(small, "w") as file:
        file.write(common.with_bound(source.read(), 8))
    for name, most, model, rows in (("mlp-128", 8e6, f"{bench.tree}/models/bench/mlp128.nn", 64),
                                    ("resnet18, 8 pictures", 350e6, small, 8)):
        peak = int(bench.run(bench.calls(), bench.shared(model, "trained"), "train", str(rows), "1", "0").split()[2])
        yield common.Row(f"peak memory of a process that trains {name}", f"<= {most / 1e6:.0f} MB", f"{peak / 1e6:.1f} MB",
                         peak <= most)
