"""Nets of 4 to 400 layers: time of compiling, and scratch of inference."""
import os
import re
import common

ROUNDS = 3
DEPTHS = (4, 40, 400)
FLAT = 100  # layers: fewer may be one kernel, which keeps all that it makes in a task's own memory
MODEL = """model depth
dim N <= 64
def Unit(x: [N, 64]) = x | dense(64) | relu
layer net = Unit * %d
layer head = dense(10)
fn infer(x: [N, 64]) -> p = x | net | head | softmax
step train(x: [N, 64], y: i32[N], lr = 0.01) -> loss {
  loss = x | net | head | cross_entropy(y)
  minimize loss by sgd(lr)
}
"""


def run(bench):
    spent, scratch = {depth: [] for depth in (*DEPTHS, FLAT)}, {}
    for _ in range(ROUNDS):
        for depth in (*DEPTHS, FLAT):
            model, out = (os.path.join(bench.work, f"depth.{ending}") for ending in ("nn", "o"))
            with open(model, "w") as file:
                file.write(MODEL % depth)
            _, _, seconds = common.timed(lambda: bench.compiler(model, "-o", out))
            spent[depth].append(seconds)
            header = open(os.path.join(bench.work, "depth.h")).read()
            scratch[depth] = int(re.search(r"INFER_SCRATCH_BYTES (\d+)", header).group(1))
    best = {depth: min(times) for depth, times in spent.items()}
    depths = sorted(scratch)
    near, far = ((best[b] - best[a]) / (b - a) for a, b in ((4, 40), (40, 400)))
    yield common.Row("compiling 4, 40, 400 layers, all entries: a layer more", "the same at any depth (<= 1.5 times)",
                     f"{1e3 * near:.1f} ms from 4 to 40, {1e3 * far:.1f} ms from 40 to 400; "
                     f"{', '.join(f'{best[depth]:.2f} s' for depth in DEPTHS)} of processors", far <= 1.5 * near)
    yield common.Row(f"scratch of inference, {', '.join(map(str, depths))} layers", f"flat: 400 takes no more than {FLAT}",
                     ", ".join(f"{scratch[depth]:,}" for depth in depths) + " bytes", scratch[400] <= scratch[FLAT])
