"""The loop of a contestant's process: it waits on standard input for a line of JSON, does what it says, answers with one.

A contestant is a module with `VERSION`, `variants(row)` and `build(row, variant, data)`, which gives a function that makes one
call (and waits for its end), and one that gives what is compared, as arrays by name: results, and weights in their canonical
form. The process sleeps between its turns, so that contestants don't take time from each other.
"""
import gc
import json
import os
import struct
import sys
import time
import numpy


def read_safetensors(path):
    """Arrays by name."""
    kinds = {"F32": numpy.float32, "I32": numpy.int32, "BOOL": numpy.bool_, "U8": numpy.uint8, "I64": numpy.int64}
    with open(path, "rb") as file:
        head = json.loads(file.read(struct.unpack("<Q", file.read(8))[0]))
        rest = file.read()
    tensors = {}
    for name, about in head.items():
        if name != "__metadata__" and about["dtype"] in kinds:
            first, last = about["data_offsets"]
            tensors[name] = numpy.frombuffer(rest[first:last], kinds[about["dtype"]]).reshape(about["shape"]).copy()
    return tensors


def burst(call, seconds, least=3):
    """The seconds of each call, for so long, after one for nothing: caches and clocks are this contestant's own then."""
    call()
    taken, start = [], time.perf_counter()
    while len(taken) < least or (time.perf_counter() - start < seconds and len(taken) < 2000):
        before = time.perf_counter()
        call()
        taken.append(time.perf_counter() - before)
    return taken


PAGE = 4096


def at_page(values):
    """A copy that begins a page. Where what is read lies 64 bytes before what is written, by the last 12 bits of addresses,
    loads wait for stores: the same code takes a third longer, as chance places its arrays."""
    memory = numpy.empty(values.nbytes + PAGE, numpy.uint8)
    start = -memory.ctypes.data % PAGE
    placed = memory[start:start + values.nbytes].view(values.dtype).reshape(values.shape)
    placed[...] = values
    return placed


def place_of(row):
    """What is done to arrays that one loop goes through: vector math."""
    return at_page if row["kind"] == "math" else numpy.ascontiguousarray


class Data:
    """What goes in: arrays of the row, weights by canonical name, a folder for files."""

    def __init__(self, request):
        place = place_of(request["row"])
        self.arrays = {name: place(values) for name, values in numpy.load(request["data"]).items()}
        tensors = read_safetensors(request["weights"]) if request["weights"] else {}
        # Not the optimizer's state, which starts at zero.
        self.weights = {name: tensors[name] for name in tensors if name.rsplit(".", 1)[0] in request["row"]["modules"]}
        self.folder = request["folder"]
        self.threads = int(os.environ["BENCH_THREADS"])


def serve(contestant):
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)  # what a library prints isn't an answer
    loaded = {}

    def do(request):
        if request["do"] == "hello":
            return {"version": contestant.VERSION}
        if request["do"] == "variants":
            return {"variants": contestant.variants(request["row"])}
        if request["do"] == "load":
            start = time.perf_counter()
            call, outcome = contestant.build(request["row"], request["variant"], Data(request))
            call()
            taken = time.perf_counter() - start
            numpy.savez(request["outcome"], **outcome())
            loaded[request["variant"]] = call, outcome  # what both refer to stays
            return {"seconds_to_first": taken}
        if request["do"] == "time":
            return {"taken": burst(loaded[request["variant"]][0], request["seconds"])}
        loaded.clear()
        gc.collect()
        return {}

    for line in sys.stdin:
        try:
            answer = do(json.loads(line))
        except Exception as error:  # a contestant that can't do a row is told of, and the others go on
            answer = {"error": f"{type(error).__name__}: {str(error).splitlines()[0] if str(error) else ''}"[:200]}
        answers.write(json.dumps(answer) + "\n")
        answers.flush()
