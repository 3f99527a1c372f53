"""The contestants: an environment for each, a process for each number of threads, and how they are spoken with."""
import json
import os
import subprocess
import sys
import venv

# environment, packages, workers' modules. PyTorch's is the wheel for processors where the installation knows one.
ENVIRONMENTS = {
    "nnc": (["numpy==2.4.6"], ["nnc", "blas", "system_blas", "math"]),
    "torch": (["torch==2.13.0", "numpy==2.4.6", "onnx==1.23.2"], ["torch"]),
    "jax": (["jax==0.10.2", "numpy==2.4.6"], ["jax"]),
    "onnxruntime": (["onnxruntime==1.31.1", "numpy==2.4.6"], ["onnxruntime"]),
    "openvino": (["openvino==2026.4.1", "numpy==2.4.6"], ["openvino"]),
}
OWN = os.path.dirname(os.path.realpath(__file__))


def python_of(folder, name):
    """The interpreter of an environment, which is made if it isn't there or if other packages are wanted by now."""
    place, packages = os.path.join(folder, "env", name), ENVIRONMENTS[name][0]
    python, mark = os.path.join(place, "bin", "python3"), os.path.join(place, "packages")
    if not os.path.exists(mark) or open(mark).read() != "\n".join(packages):
        print(f"installing {' '.join(packages)}", flush=True)
        venv.create(place, with_pip=True)
        subprocess.run([python, "-m", "pip", "install", "-q", *packages], check=True, stderr=subprocess.DEVNULL)
        with open(mark, "w") as file:
            file.write("\n".join(packages))
    return python


class Contestant:
    """A worker's process, which sleeps between its turns. With one thread it has one processor."""

    def __init__(self, folder, environment, module, threads, more):
        own = dict(os.environ, BENCH_THREADS=str(threads), OMP_NUM_THREADS=str(threads), OPENBLAS_NUM_THREADS=str(threads),
                   MKL_NUM_THREADS=str(threads), PYTHONDONTWRITEBYTECODE="1", **more)
        processors = sorted(os.sched_getaffinity(0))[:threads]
        self.process = subprocess.Popen([python_of(folder, environment), os.path.join(OWN, module + "_worker.py")], env=own,
                                        stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True,
                                        preexec_fn=lambda: os.sched_setaffinity(0, processors))
        self.module, self.threads = module, threads

    def ask(self, do, **request):
        self.process.stdin.write(json.dumps({"do": do, **request}) + "\n")
        self.process.stdin.flush()
        line = self.process.stdout.readline()
        if not line:
            raise SystemExit(f"bench-peers: the process of {self.module} ended")
        return json.loads(line)

    def close(self):
        self.process.stdin.close()
        self.process.wait()


def open_all(folder, threads, more):
    return [Contestant(folder, environment, module, threads, more)
            for environment, (_, modules) in ENVIRONMENTS.items() for module in modules]


def enter_own(folder):
    """Goes on in nnc's environment, which has NumPy."""
    python = python_of(folder, "nnc")
    if os.path.realpath(sys.prefix) != os.path.realpath(os.path.join(folder, "env", "nnc")):
        os.execv(python, [python, "-B", *sys.argv])
