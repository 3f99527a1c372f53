"""nnc: shared objects, called through a few lines of C."""
import ctypes
import os
import numpy
import worker

VERSION = "nnc " + os.environ["BENCH_NNC"]
driver = ctypes.CDLL(os.environ["BENCH_DRIVER"])


def variants(row):
    return ["nnc"]


def build(row, variant, data):
    dims = (ctypes.c_int64 * 1)(row["N"])
    code = driver.bench_open(row["object"].encode(), row["entry"].encode(), dims, 1 if row["N"] else 0, data.threads)
    if code:
        raise RuntimeError(f"the driver gives {code}")
    for name, values in data.weights.items():
        driver.bench_set(name.encode(), values.ctypes.data_as(ctypes.c_void_p))
    given = [numpy.ascontiguousarray(data.arrays[name]) for name in row["inputs"]]
    if row["kind"] == "train":
        given.append(numpy.array([row["lr"]], numpy.float32))
    for index, values in enumerate(given):
        driver.bench_parameter(index, values.ctypes.data_as(ctypes.c_void_p))
    result = numpy.zeros(row["result"], numpy.float32)
    driver.bench_result(0, result.ctypes.data_as(ctypes.c_void_p))

    def outcome():
        found = {"result": result.copy()}
        if row["kind"] == "train":
            for name, before in data.weights.items():
                after = numpy.zeros_like(before)
                driver.bench_get(name.encode(), after.ctypes.data_as(ctypes.c_void_p))
                found[name] = after
        return found
    outcome.given = given  # the driver has only their addresses
    return driver.bench_call, outcome


if __name__ == "__main__":
    import nnc_worker
    worker.serve(nnc_worker)
