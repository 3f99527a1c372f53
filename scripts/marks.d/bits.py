"""Equal bits: for 1, 2 and 3 threads, AVX-512 and AVX2, interrupted and resumed."""
import filecmp
import os
import random
import signal
import subprocess
import time
import common


class Trainer:
    def __init__(self, bench, name, words):
        self.bench, self.name = bench, name
        self.words = [bench.nnc, "train", *words]

    def path(self, tag):
        return os.path.join(self.bench.work, f"{self.name}.{tag}.safetensors")

    def train(self, tag, *more):
        path = self.path(tag)
        self.bench.run(*self.words, "-q", "--save", path, *more)
        return path

    def cut(self, tag, number, after, *more):
        """Ends a run by a signal after so many seconds, once it has saved at all; then goes on to its end."""
        path = self.path(tag)
        if os.path.exists(path):
            os.remove(path)
        words = [*self.words, "-q", "--save", path, "--every", "3", *more]
        child = subprocess.Popen(words, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        while not os.path.exists(path) and child.poll() is None:
            time.sleep(0.005)
        time.sleep(after)
        running = child.poll() is None
        if running:
            child.send_signal(number)
        child.wait()
        if running and number == signal.SIGINT and child.returncode != 0:
            raise SystemExit(f"interrupted, it ended with {child.returncode}")
        self.bench.run(*self.words, "-q", "--save", path, "--resume", path)
        return path, running


def run(bench):
    bench.data("mnist")
    digits = Trainer(bench, "digits", bench.recipe("digits"))
    lenet = Trainer(bench, "lenet", bench.recipe("lenet"))
    lenet.words[lenet.words.index("--epochs") + 1] = "1"
    flags = open("/proc/cpuinfo").read()
    cpus = ["x86-64-v4", "x86-64-v3"] if " avx512f" in flags else ["x86-64-v3"]
    for trainer, what in ((digits, "digits"), (lenet, "lenet, one epoch of MNIST")):
        whole = trainer.train("whole", "--threads", "1")
        equal = [k for k in (2, 3) if filecmp.cmp(whole, trainer.train(f"threads{k}", "--threads", str(k)), shallow=False)]
        yield common.Row(f"{what}: checkpoints of 1, 2 and 3 threads", "equal to the bit",
                         "equal" if equal == [2, 3] else f"equal to 1 thread's: {equal or 'none'}", equal == [2, 3])
        same = [cpu for cpu in cpus if filecmp.cmp(whole, trainer.train(cpu, "--cpu", cpu), shallow=False)]
        yield common.Row(f"{what}: checkpoints of --cpu native, {', '.join(cpus)}", "equal to the bit",
                         "equal" if same == cpus else f"equal to native's: {same or 'none'}", same == cpus)
    whole = digits.train("whole", "--threads", "1")
    for number, what in ((signal.SIGINT, "interrupted"), (signal.SIGKILL, "killed")):
        draw, cut, equal = random.Random(0), 0, 0
        for turn in range(10):
            path, running = digits.cut("cut", number, draw.uniform(0.01, 0.7))
            cut += running
            equal += filecmp.cmp(whole, path, shallow=False)
        yield common.Row(f"digits: {what} at random times and resumed, against never", "equal to the bit",
                         f"{equal} of 10 equal, {cut} were cut", equal == 10 and cut > 0)
