"""OpenBLAS, as the wheel of NumPy has it."""
import numpy
import worker

VERSION = f"OpenBLAS {numpy.show_config(mode='dicts')['Build Dependencies']['blas'].get('version', '?')}"


def variants(row):
    return ["sgemm"] if row["kind"] == "product" else []


def build(row, variant, data):
    a, b = data.arrays["a"], data.arrays["b"]
    form = row["entry"].split("_")[0]
    a, b = a.T if form[0] == "t" else a, b.T if form[1] == "t" else b
    c = numpy.zeros(row["result"], numpy.float32)
    return lambda: numpy.matmul(a, b, out=c), lambda: {"result": c}


if __name__ == "__main__":
    import blas_worker
    worker.serve(blas_worker)
