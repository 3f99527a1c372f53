#!/usr/bin/env python3
"""Writes what the prelude is held to: for each group NAME.nn, programs that call it, and NAME.safetensors, their inputs and what
PyTorch (or NumPy, where PyTorch lacks it) computes from them in f64. Run by hand, where PyTorch is; the files are kept:

    tests/reference/make.py                 all groups
    tests/reference/make.py losses pooling  some of them

tests/reference/reference.c reads them back. An entry is called DEF_usual... or DEF_edges...: ordinary points, or awkward
ones (0, a kink, a tie, +-100, a size of 1, N = 1). Of a fn with the result y, dx is the gradient of probe(y) by x, and ddx
that of the sum of tally(g) over all such gradients g. There ENTRY/x is an argument
or a result, ENTRY/set/PATH what a param or state is before the call, ENTRY/get/PATH what it is afterwards; with
ENTRY/calls there are so many calls one after the other, and arguments and results have a first axis for them.
"""
import json
import os
import struct
import sys
import zlib

import numpy as np
import torch

HERE = os.path.dirname(os.path.abspath(__file__))
torch.set_default_dtype(torch.float64)
sys.dont_write_bytecode = True

HEAD = """# What %s must compute, written by make.py; the numbers lie in %s.safetensors.
model %s
dim N <= 8
def places(sizes) {
  count = 1
  for size in sizes { count = count * size }
  reshape(f32(arange(count) * 5 %% 11) / 8 - 0.5625, sizes)
}
def probe(y) = sum(y * (places(shape(y)) + y / 2))
def tally(g) = sum(g * places(shape(g)))
"""


def places(y):
    return ((torch.arange(y.numel()) * 5 % 11).double() / 8 - 0.5625).reshape(y.shape)


def probe(y):
    """The sum by which a result is differentiated, as in the programs: no weight is 0."""
    return (y * (places(y) + y / 2)).sum()


def tally(g):
    """The sum by which gradients are differentiated again."""
    return (g * places(g)).sum()


class Random(np.random.RandomState):
    """Numbers that f32 holds exactly, and that are never whole or half: off every kink."""

    def grid(self, *shape, low=-2.0, high=2.0):
        whole = np.floor(self.uniform(low * 64, high * 64, shape))
        return (whole * 2 + 1) / 128


def random(name):
    return Random(zlib.crc32(name.encode()))


def kind_of(array):
    return {"f": "", "i": "i32", "b": "bool"}[np.asarray(array).dtype.kind]


def shape_text(shape, symbolic):
    sizes = [str(size) for size in shape]
    if symbolic and sizes:
        sizes[0] = "N"
    return "[" + ", ".join(sizes) + "]"


def numbers(value):
    value = value.detach().numpy(force=True) if isinstance(value, torch.Tensor) else np.asarray(value)
    if value.dtype.kind == "f":
        return value.astype(np.float64)
    return value.astype(np.int32 if value.dtype.kind in "iu" else value.dtype)


def argument(value):
    """Arguments are exact in f32, so that all runs get the same ones."""
    value = numbers(value)
    if value.dtype.kind != "f":
        return value
    assert np.array_equal(value.astype(np.float32), value, equal_nan=True), value
    return value.astype(np.float32)


def write_safetensors(path, arrays):
    kinds = {"float64": "F64", "float32": "F32", "int32": "I32", "bool": "BOOL"}
    header, data = {}, b""
    for name, array in sorted(arrays.items(), key=lambda item: (-item[1].itemsize, item[0])):
        header[name] = {"dtype": kinds[array.dtype.name], "shape": array.shape,
                        "data_offsets": [len(data), len(data) + array.nbytes]}
        data += array.tobytes()
    text = json.dumps(header, separators=(",", ":")).encode()
    text += b" " * (-len(text) % 8)
    with open(path, "wb") as out:
        out.write(struct.pack("<Q", len(text)) + text + data)
    return 8 + len(text) + len(data)


def gradients(y, by):
    """The gradients of probe(y), with a graph of their own; zeros where none leads there."""
    if not y.requires_grad:
        return [torch.zeros_like(x) for x in by]
    found = torch.autograd.grad(probe(y), by, create_graph=True, allow_unused=True)
    return [torch.zeros_like(x) if g is None else g for x, g in zip(by, found)]


class Group:
    def __init__(self, name):
        self.name, self.text, self.arrays = name, [HEAD % (name, name, name)], {}

    def add(self, entry, key, value):
        assert "%s/%s" % (entry, key) not in self.arrays, (entry, key)
        self.arrays["%s/%s" % (entry, key)] = value

    def case(self, entry, text, reference, order=2, layer=None, part="", params=None, results=("y",), batch=(),
             step=False, states=None, by=None, **inputs):
        """text: an expression, of a tuple where there are several results; with a layer, that layer's name is `layer`,
        and the params are those of its part.
        reference: the same in PyTorch, of the inputs and params by name; after a step it may give (y, states by path).
        order: how often to differentiate, by the floats among inputs and params or those in `by`."""
        params = {name: np.asarray(value, dtype=float) for name, value in (params or {}).items()}
        tensors = {}
        for name, value in {**inputs, **params}.items():
            value = np.asarray(value)
            tensors[name] = torch.tensor(value, dtype=torch.float64 if value.dtype.kind == "f" else None)
            if value.dtype.kind == "f":
                tensors[name].requires_grad_()
            if value.dtype.kind == "i":
                tensors[name] = tensors[name].long()
        by = [n for n, t in tensors.items() if t.requires_grad] if by is None else list(by)
        own = entry + "_layer"
        results = ("loss",) if "y" in inputs else results
        lines = []
        if layer:
            lines.append("layer %s = %s" % (own, layer))
        text = text.replace("layer(", own + "(")

        def path(name):
            return "%s.%s%s" % (own, part, name) if name in params else name

        body = ["  %s = %s" % (", ".join(results), text)]
        given = list(results)
        if order > 0 and by:
            body += ["  d%s = grad(probe(%s), %s)" % (n, results[0], path(n)) for n in by]
            given += ["d" + n for n in by]
        if order > 1 and by:
            body.append("  again = " + " + ".join("tally(d%s)" % n for n in by))
            body += ["  dd%s = grad(again, %s)" % (n, path(n)) for n in by]
            given += ["dd" + n for n in by]
        arguments = ", ".join("%s: %s%s" % (n, kind_of(v), shape_text(np.shape(v), n in batch)) if np.ndim(v)
                              else "%s: %s[]" % (n, kind_of(v) or "f32") for n, v in inputs.items())
        names = given[0] if len(given) == 1 else "(%s)" % ", ".join(given)
        lines.append("%s %s(%s) -> %s {" % ("step" if step else "fn", entry, arguments, names))
        self.text += lines + body + ["}"]

        for name, value in inputs.items():
            self.add(entry, name, argument(value))
        for name, value in params.items():
            self.add(entry, "set/" + path(name), argument(value))
        for name, value in (states or {}).items():
            self.add(entry, "set/%s.%s" % (own, name), argument(value))
        y = reference(*tensors.values())
        if step and isinstance(y, tuple):
            y, after = y
            for name, value in after.items():
                self.add(entry, "get/%s.%s" % (own, name), numbers(value))
        y = y if isinstance(y, tuple) else (y,)
        for name, value in zip(results, y):
            self.add(entry, name, numbers(value))
        if order > 0 and by:
            first = gradients(y[0], [tensors[n] for n in by])
            for name, value in zip(by, first):
                self.add(entry, "d" + name, numbers(value))
        if order > 1 and by:
            again = sum(tally(g) for g in first)
            for name in by:
                second = torch.zeros_like(tensors[name])
                if again.requires_grad:
                    found, = torch.autograd.grad(again, [tensors[name]], retain_graph=True, allow_unused=True)
                    second = second if found is None else found
                self.add(entry, "dd" + name, numbers(second))

    def write(self):
        with open(os.path.join(HERE, self.name + ".nn"), "w") as out:
            out.write("\n".join(self.text) + "\n")
        size = write_safetensors(os.path.join(HERE, self.name + ".safetensors"), self.arrays)
        entries = sum(line.startswith(("fn ", "step ")) for line in self.text)
        print("%-14s %4d entries %5d arrays %7d bytes" % (self.name, entries, len(self.arrays), size))


GROUPS = {}


def group(function):
    GROUPS[function.__name__] = function
    return function


def main():
    sys.path.insert(0, HERE)
    import cases_arrays, cases_layers, cases_training  # noqa: E401, F401: they register the groups

    wanted = sys.argv[1:] or list(GROUPS)
    for name in wanted:
        made = Group(name)
        GROUPS[name](made)
        made.write()


if __name__ == "__main__":
    sys.modules["make"] = sys.modules[__name__]
    main()
