"""libmvec, the vector math of the C library."""
import ctypes
import os
import platform
import numpy
import worker

VERSION = f"libmvec {platform.libc_ver()[1]}"
library = ctypes.CDLL(os.environ["BENCH_VECTOR_MATH"])


def variants(row):
    return ["libmvec"] if row["kind"] == "math" and int(os.environ["BENCH_THREADS"]) == 1 else []


def build(row, variant, data):
    x = data.arrays["x"]
    y = worker.at_page(numpy.zeros(x.shape, numpy.float32))
    function = getattr(library, "vector_" + row["entry"])
    arguments = [x.ctypes.data_as(ctypes.c_void_p), y.ctypes.data_as(ctypes.c_void_p), ctypes.c_int(x.size)]
    return lambda: function(*arguments), lambda: {"result": y}


if __name__ == "__main__":
    import math_worker
    worker.serve(math_worker)
