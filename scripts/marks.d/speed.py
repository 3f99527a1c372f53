"""Training steps on one thread, N=64: share of the peak, beside the interpreter and beside PyTorch, eagerly."""
import json
import os
import subprocess
import sys
import common

ROUNDS = 7
NETS = (("mlp 784-128-10", "mlp", 0.40, 1.5), ("lenet", "lenet", 0.20, 3.0))


class Eager:
    """PyTorch in a process of its own that waits between its turns."""

    def __init__(self, bench):
        python = os.path.join(bench.folder, "torch", "bin", "python3")
        if not os.path.exists(python):
            bench.run(sys.executable, "-m", "venv", os.path.dirname(os.path.dirname(python)))
        bench.run(python, "-m", "pip", "install", "-q", "torch==2.13.0", "numpy")
        self.process = subprocess.Popen([python, f"{bench.own}/torch_steps.py"], stdin=subprocess.PIPE,
                                        stdout=subprocess.PIPE, text=True)
        self.version = self.process.stdout.readline().strip()

    def turn(self, net):
        """Seconds of a step: median, fastest."""
        self.process.stdin.write(net + "\n")
        self.process.stdin.flush()
        return [float(word) for word in self.process.stdout.readline().split()]

    def close(self):
        self.process.stdin.close()
        self.process.wait()


def turn(bench, model):
    return json.loads(bench.compiler("bench", model, "train", "N=64", "--threads", "1", "--repeat", "3", "--json"))


def run(bench):
    eager = Eager(bench)
    models = {"mlp": f"{bench.own}/mlp.nn", "lenet": bench.model("lenet")}
    taken = {name: [] for name in models}
    for _ in range(ROUNDS):
        for name, model in models.items():
            taken[name].append((turn(bench, model), eager.turn(name)))
    eager.close()
    peak = max(shown["peak_flops_per_second"] for rounds in taken.values() for shown, _ in rounds)
    yield common.Row("FMA peak of one thread, in the same run", "-", f"{1e-9 * peak:.1f} GFLOP/s", True)
    for what, name, share, times in NETS:
        rows = [(shown["entries"][0], torch) for shown, torch in taken[name]]

        def of(kind, figure):
            return [row[kind][figure + "_seconds"] for row, _ in rows]
        flops = rows[0][0]["flops"]
        shares = [flops / row["compiled"]["median_seconds"] / peak for row, _ in rows]
        best = flops / min(of("compiled", "fastest")) / peak
        step = common.median(of("compiled", "median"))
        yield common.Row(f"{what}: training step, share of the FMA peak", f">= {common.percent(share)}",
                         f"{common.percent(common.median(shares))} ({common.percent(best)}), {1e6 * step:.0f} us",
                         common.median(shares) >= share)
        ratios = [row["interpreted"]["median_seconds"] / row["compiled"]["median_seconds"] for row, _ in rows]
        fastest = min(of("interpreted", "fastest")) / min(of("compiled", "fastest"))
        # The interpreter is OpenBLAS where products are large: no code can be further ahead of it than the peak allows.
        limit = common.median(of("interpreted", "median")) * peak / flops
        yield common.Row(f"{what}: interpreted over compiled", f">= {times:g}",
                         f"{common.median(ratios):.2f} ({fastest:.2f}); at the whole peak it would be {limit:.2f}",
                         common.median(ratios) >= times)
        beside = [row["interpreted"]["median_seconds"] / torch[0] for row, torch in rows]
        fastest = min(of("interpreted", "fastest")) / min(torch[1] for _, torch in rows)
        framework = 1e6 * common.median([torch[0] for _, torch in rows])
        yield common.Row(f"{what}: interpreted over {eager.version}, eager", "<= 1.3",
                         f"{common.median(beside):.2f} ({fastest:.2f}); {framework:.0f} us there", common.median(beside) <= 1.3)
