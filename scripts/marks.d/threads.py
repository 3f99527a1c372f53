"""Two threads beside one, on a quiet machine and while another process holds a processor. The machine changes its pace within
seconds, so that each reading is compared with those of one thread right before and behind it; what is told is the median of
these ratios, to a hundredth: a call too short to share runs the same code for any number of threads."""
import os
import subprocess
import sys
import common

ROUNDS = 11
NETS = (("mlp128", 1, ("infer", )), ("mlp128", 64, ("infer", "train", "train_adam")),
        ("mlp512", 128, ("infer", "train", "train_adam")), ("cnn", 1, ("infer", )), ("cnn", 64, ("infer", "train")),
        ("convbn", 32, ("train", )), ("lstm", 32, ("infer", "train")), ("tfm", 8, ("infer", "train")))


class Busy:
    """A process that does nothing but hold one processor."""

    def __enter__(self):
        self.process = subprocess.Popen([sys.executable, "-c", "while True: pass"])
        os.sched_setaffinity(self.process.pid, {max(os.sched_getaffinity(0))})

    def __exit__(self, *_):
        self.process.kill()
        self.process.wait()


def run(bench):
    program = bench.calls()
    shared = {net: bench.shared(f"{bench.tree}/models/bench/{net}.nn", net) for net in {net for net, _, _ in NETS}}

    def seconds_of(net, rows, entry, threads):
        return float(bench.run(program, shared[net], entry, str(rows), str(threads), "0.15").split()[0])
    cases = [(net, rows, entry) for net, rows, entries in NETS for entry in entries]
    two, crowded = ({case: [] for case in cases} for _ in range(2))
    for _ in range(ROUNDS):
        for case in cases:
            before, shared_out = seconds_of(*case, 1), seconds_of(*case, 2)
            behind = seconds_of(*case, 1)
            two[case].append(2 * shared_out / (before + behind))
            with Busy():
                crowded[case].append(seconds_of(*case, 2) / behind)
    for what, readings, most in (("two threads", two, 1.0),
                                 ("two threads while another process holds a processor", crowded, 1.15)):
        ratios = {case: round(common.median(readings[case]), 2) for case in cases}
        worst = max(ratios, key=ratios.get)
        over = [f"{net} N={rows} {entry} {ratios[net, rows, entry]:.2f}" for net, rows, entry in cases
                if ratios[net, rows, entry] > most]
        net, rows, entry = worst
        yield common.Row(f"{what} over one, {len(cases)} rows", f"never over {most:g}",
                         f"{ratios[worst]:.2f} at most ({net} N={rows} {entry})" + (f"; over: {', '.join(over)}" if over else ""),
                         not over)
