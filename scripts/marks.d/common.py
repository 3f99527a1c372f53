"""What the parts share: the nnc of the last commit, a folder to work in, running and reading."""
import collections
import json
import os
import re
import resource
import statistics
import struct
import subprocess
import time

ORDER = ["digits", "mnist", "models", "programs", "bits", "speed", "tries", "launches", "memory", "threads", "cliffs", "compile",
         "nvrtc", "run", "depth", "object", "build", "compilers"]
PROGRAMS = ["perceptron", "linreg", "lenet", "resnet18", "sentiment", "gan"]

Row = collections.namedtuple("Row", "mark wanted measured met")


class Bench:
    def __init__(self, root):
        self.root = root
        self.folder = os.path.join(root, "build-marks")
        self.tree = os.path.join(self.folder, "tree")
        self.work = os.path.join(self.folder, "work")
        self.nnc = os.path.join(self.folder, "release", "nnc")
        self.own = os.path.join(root, "scripts", "marks.d")
        for folder in (self.tree, self.work):
            os.makedirs(folder, exist_ok=True)
        self.commit = self.check_out()
        print(f"building {self.commit}", flush=True)
        self.run("cmake", "-G", "Ninja", "-S", self.tree, "-B", os.path.join(self.folder, "release"),
                 "-DCMAKE_BUILD_TYPE=Release")
        self.run("ninja", "-C", os.path.join(self.folder, "release"), "-j2", "nnc")

    def check_out(self):
        """The last commit in self.tree; files that did not change keep their times."""
        commit = self.run("git", "-C", self.root, "rev-parse", "--short", "HEAD").strip()
        own = dict(os.environ, GIT_INDEX_FILE=os.path.join(self.folder, "index"), GIT_DIR=os.path.join(self.root, ".git"))
        subprocess.run(["git", "--work-tree=" + self.tree, "read-tree", "--reset", "-u", commit], env=own, check=True,
                       capture_output=True, text=True)
        return commit

    def run(self, *command, codes=(0,), **more):
        """The standard output; a code that isn't expected is an error."""
        done = subprocess.run(command, capture_output=True, text=True, stdin=subprocess.DEVNULL, cwd=self.work, **more)
        if done.returncode not in codes:
            raise subprocess.CalledProcessError(done.returncode, command, done.stdout, done.stderr)
        return done.stdout

    def compiler(self, *words, **more):
        return self.run(self.nnc, *words, **more)

    def shared(self, model, name, *flags):
        """A .so of the model."""
        out = os.path.join(self.work, name + ".so")
        self.compiler(model, "-o", out, *flags)
        return out

    def calls(self):
        """The program that calls entries of a .so: calls.c."""
        program = os.path.join(self.work, "calls")
        self.run("cc", "-std=c11", "-D_GNU_SOURCE", "-O1", "-Wall", "-Werror", "-I", self.tree, f"{self.own}/calls.c",
                 f"{self.tree}/runtime/pool.c", "-o", program, "-ldl", "-lpthread")
        return program

    def show(self, model):
        return json.loads(self.compiler("show", model, "--json"))

    def model(self, name):
        return os.path.join(self.tree, "models", name + ".nn")

    def data(self, name):
        """Data of the work tree: what is fetched isn't in a commit."""
        path = os.path.join(self.root, "models", "data", name)
        if name == "mnist":
            self.run(os.path.join(self.root, "scripts", "data"), name)
        return path

    def recipe(self, name):
        """The words after `nnc train` in the head of a model, whose paths are from the root."""
        for line in open(self.model(name)):
            found = re.match(r"#\s+nnc train (.*)", line)
            if found:
                words = re.findall(r"(?:[^\s']|'[^']*')+", found.group(1))
                words = [word.replace("'", "") for word in words]
                return [self.model(name), os.path.join(self.root, words[1]), *words[2:]]
        raise SystemExit(f"models/{name}.nn has no recipe")

    def machine(self):
        model = re.search(r"model name\s*:\s*(.*)", open("/proc/cpuinfo").read())
        flags = open("/proc/cpuinfo").read()
        wide = "AVX-512" if " avx512f" in flags else "AVX2" if " avx2" in flags else "neither AVX2 nor AVX-512"
        return f"{model.group(1) if model else 'unknown'} with {wide}, {os.cpu_count()} processors"


def with_bound(source, bound):
    """A model's text with another bound of its first dim."""
    return re.sub(r"(dim \w+ <= )\d+", rf"\g<1>{bound}", source, count=1)


def timed(call):
    """What it gives, the seconds that passed, and those that processors spent on it."""
    def spent():
        usage = resource.getrusage(resource.RUSAGE_CHILDREN)
        return usage.ru_utime + usage.ru_stime
    start, before = time.perf_counter(), spent()
    result = call()
    return result, time.perf_counter() - start, spent() - before


def tested(output):
    """What a training run's last line tells of the test part, by name."""
    lines = [line for line in output.splitlines() if " test " in " " + line]
    return {name: float(number) for name, number in re.findall(r"(loss|acc) ([-\d.e]+)", lines[-1].split("test", 1)[1])}


def read_safetensors(path):
    """Lists of numbers by name (f32 alone)."""
    with open(path, "rb") as file:
        head = json.loads(file.read(struct.unpack("<Q", file.read(8))[0]))
        rest = file.read()
    tensors = {}
    for name, about in head.items():
        if name != "__metadata__" and about["dtype"] == "F32":
            first, last = about["data_offsets"]
            tensors[name] = list(struct.unpack(f"<{(last - first) // 4}f", rest[first:last]))
    return tensors


median = statistics.median
mean = statistics.fmean


def percent(share):
    return f"{100 * share:.0f}%"
