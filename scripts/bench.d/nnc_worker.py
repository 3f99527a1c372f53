"""nnc: shared objects, called through a few lines of C."""
import ctypes
import os
import shutil
import numpy
import worker

VERSION = "nnc " + os.environ["BENCH_NNC"]
FAST = "nnc --fast-conv"
drivers = {}


def driver_of(variant):
    """One for each: a driver has one model open."""
    if variant not in drivers:
        path = os.environ["BENCH_DRIVER"]
        drivers[variant] = ctypes.CDLL(shutil.copy(path, path + ".fast") if variant == FAST else path)
    return drivers[variant]


def variants(row):
    return ["nnc", FAST] if row["fast_object"] else ["nnc"]


def build(row, variant, data):
    driver, dims = driver_of(variant), (ctypes.c_int64 * 1)(row["N"])
    path = row["fast_object"] if variant == FAST else row["object"]
    code = driver.bench_open(path.encode(), row["entry"].encode(), dims, 1 if row["N"] else 0, data.threads)
    if code:
        raise RuntimeError(f"the driver gives {code}")
    for name, values in data.weights.items():
        driver.bench_set(name.encode(), values.ctypes.data_as(ctypes.c_void_p))
    given = [numpy.ascontiguousarray(data.arrays[name]) for name in row["inputs"]]
    if row["kind"] == "train":
        given.append(numpy.array([row["lr"]], numpy.float32))
    for index, values in enumerate(given):
        driver.bench_parameter(index, values.ctypes.data_as(ctypes.c_void_p))
    result = worker.place_of(row)(numpy.zeros(row["result"], numpy.float32))
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
