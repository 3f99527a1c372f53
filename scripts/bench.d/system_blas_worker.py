"""OpenBLAS, as the system has it: of Debian 12, 0.3.21, beside which the marks are meant."""
import ctypes
import ctypes.util
import os
import re
import numpy
import worker

FILE = ctypes.util.find_library("openblas")
LIBRARY = ctypes.CDLL(FILE) if FILE else None
if LIBRARY:
    LIBRARY.openblas_get_config.restype = ctypes.c_char_p
    VERSION = re.search(r"OpenBLAS [\d.]+", LIBRARY.openblas_get_config().decode())[0]
else:
    VERSION = "no OpenBLAS"
ROW_MAJOR, PLAIN, TRANSPOSED = 101, 111, 112


def variants(row):
    alone = LIBRARY and LIBRARY.openblas_get_parallel() == 0
    can = LIBRARY and not (alone and int(os.environ["BENCH_THREADS"]) > 1)
    return ["cblas_sgemm"] if row["kind"] == "product" and can else []


def build(row, variant, data):
    a, b = (numpy.ascontiguousarray(data.arrays[name]) for name in "ab")
    c = numpy.zeros(row["result"], numpy.float32)
    forms = [TRANSPOSED if letter == "t" else PLAIN for letter in row["entry"].split("_")[0]]
    (m, n), k = c.shape, a.shape[0] if forms[0] == TRANSPOSED else a.shape[1]
    pointer = [ctypes.c_void_p(array.ctypes.data) for array in (a, b, c)]
    arguments = [ROW_MAJOR, *forms, m, n, k, ctypes.c_float(1), pointer[0], a.shape[1], pointer[1], b.shape[1],
                 ctypes.c_float(0), pointer[2], n]
    return lambda held=(a, b): LIBRARY.cblas_sgemm(*arguments), lambda: {"result": c}


if __name__ == "__main__":
    import system_blas_worker
    worker.serve(system_blas_worker)
