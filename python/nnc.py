"""Models that nnc compiled, as functions on NumPy arrays.

    import nnc
    m = nnc.Model("digits.so")              # or "digits.nn", which is compiled by the program nnc
    for x, y in batches:
        loss = m.train(x, y, lr=0.05)       # a step: changes the state that m holds
    p, label = m.classify(x)                # several results come as a named tuple
    m.state["net.conv1.w"]                  # a copy of a param or state; assign to set it
    m.save("digits.safetensors")

Each fn and step of the .nn file is a method (and m.entries["train"]). Arrays of the right dtype that are C-contiguous are
read where they lie; others are converted, float64 to float32 too. Sizes that a dim names are taken from the shapes; one
that no shape tells is given by its name (N=4). A fn that draws random numbers takes seed=. Everything is read from the
description that a model carries (runtime/nn.h); nothing but NumPy is needed.
"""

import collections
import collections.abc
import concurrent.futures
import ctypes
import json
import os
import shutil
import struct
import subprocess
import tempfile

import numpy as np

__all__ = ["Model", "Error"]
__version__ = "0.1.0"


class Error(Exception):
    """What a model or its compiler refused, in its own words."""


# ---- runtime/nn.h ----

ABI = 4
HOST = 0
OK = 0
STEP = 1
RANK = 8
DTYPES = {1: np.dtype(np.float32), 2: np.dtype(np.int32), 3: np.dtype(np.bool_)}

_text, _pointer, _i64, _int = ctypes.c_char_p, ctypes.c_void_p, ctypes.c_int64, ctypes.c_int
_BODY = ctypes.CFUNCTYPE(None, _pointer, _i64, _int)
_PARALLEL_FOR = ctypes.CFUNCTYPE(None, _pointer, _i64, _BODY, _pointer)


def _struct(name, *fields):
    return type(name, (ctypes.Structure,), {"_fields_": list(fields)})


_Run = _struct("nn_run", ("parallel_for", _PARALLEL_FOR), ("user", _pointer), ("workers", _int), ("trace", _pointer),
               ("trace_user", _pointer))
_Dim = _struct("nn_dim", ("name", _text), ("low", _i64), ("high", _i64), ("step", _i64))
_Value = _struct("nn_value", ("name", _text), ("shape", _text), ("dtype", ctypes.c_uint8), ("rank", ctypes.c_uint8),
                 ("has_default", ctypes.c_uint8), ("unused", ctypes.c_uint8), ("fallback", ctypes.c_double))
_Symbol = _struct("nn_symbol", ("name", _text), ("dtype", ctypes.c_uint8), ("rank", ctypes.c_uint8),
                  ("trainable", ctypes.c_uint8), ("unused", ctypes.c_uint8), ("size", _i64 * RANK), ("offset", _i64),
                  ("bytes", _i64), ("layout", _text), ("factors", _pointer), ("nfactors", _i64))
_CALL = ctypes.CFUNCTYPE(_int, _pointer, _pointer, _pointer, ctypes.POINTER(_i64), ctypes.POINTER(_pointer),
                         ctypes.POINTER(_pointer), ctypes.c_uint64)
_SCRATCH = ctypes.CFUNCTYPE(ctypes.c_size_t, ctypes.POINTER(_i64), _int)
_SIZES = ctypes.CFUNCTYPE(None, ctypes.POINTER(_i64), ctypes.POINTER(_i64))
_Entry = _struct("nn_entry", ("name", _text), ("kind", _int), ("draws", _int), ("ndims", _int),
                 ("dims", ctypes.POINTER(_int)), ("nparameters", _int), ("nresults", _int),
                 ("parameters", ctypes.POINTER(_Value)), ("results", ctypes.POINTER(_Value)), ("nkernels", _int),
                 ("nlaunches", _int), ("kernels", _pointer), ("launches", _pointer), ("call", _CALL),
                 ("scratch", _SCRATCH), ("sizes", _SIZES))
_Description = _struct(
    "nn_model", ("abi", ctypes.c_uint32), ("align", ctypes.c_uint32), ("name", _text), ("compiler", _text),
    ("source_hash", ctypes.c_uint64), ("ndims", _int), ("nsymbols", _int), ("nentries", _int),
    ("dims", ctypes.POINTER(_Dim)), ("symbols", ctypes.POINTER(_Symbol)), ("entries", ctypes.POINTER(_Entry)),
    ("state_bytes", ctypes.c_size_t), ("inference_bytes", ctypes.c_size_t),
    ("init", ctypes.CFUNCTYPE(_int, _pointer, ctypes.c_uint64)),
    ("get", ctypes.CFUNCTYPE(_int, _pointer, _text, _pointer)),
    ("set", ctypes.CFUNCTYPE(_int, _pointer, _text, _pointer)), ("error", ctypes.CFUNCTYPE(_text, _int)),
    ("device", _int))


# ---- memory and arrays ----

def _block(size, align):
    """Zeroed bytes that begin at a multiple of align; never none, since NULL is a fault to a model."""
    whole = np.zeros(max(size, 1) + align, np.uint8)
    start = -whole.ctypes.data % align
    return whole[start:start + max(size, 1)]


def _array(values, dtype, what):
    """values as a C-contiguous, aligned array: itself if it is one."""
    array = np.asarray(values)
    if array.dtype != dtype:
        if not np.can_cast(array.dtype, dtype, "same_kind"):
            raise TypeError(f"{what} is {array.dtype}, and must be {dtype}")
        if dtype == np.int32 and array.size and not (-2**31 <= array.min() and array.max() < 2**31):
            raise OverflowError(f"{what} holds numbers that int32 does not")
    return np.require(array, dtype, ["C_CONTIGUOUS", "ALIGNED"])


class _Threads:
    """nn_run over threads of Python: code of the model runs in them without the interpreter's lock. The call itself is made
    by one of them too, since the main thread can be interrupted anywhere, and no call may be left half done."""

    def __init__(self, count):
        self.pool = concurrent.futures.ThreadPoolExecutor(count, "nnc")
        self.count = count
        self.function = _PARALLEL_FOR(self._parallel_for)
        self.run = _Run(self.function, None, count, None, None)

    def _parallel_for(self, user, count, body, argument):
        def work(worker):
            for index in range(worker, count, self.count):
                body(argument, index, worker)

        rest = [self.pool.submit(work, worker) for worker in range(1, min(self.count, count))]
        work(0)
        concurrent.futures.wait(rest)

    def call(self, function, *arguments):
        future, interrupt = self.pool.submit(function, *arguments), None
        while not future.done():
            try:
                concurrent.futures.wait([future])
            except KeyboardInterrupt as pressed:
                interrupt = pressed
        if interrupt:
            raise interrupt
        return future.result()


# ---- entries ----

class Entry:
    """A fn or a step of a model: called with arrays, by position or by name."""

    def __init__(self, model, raw):
        self._model, self._raw = model, raw
        self.name = self.__name__ = raw.name.decode()
        self.is_step, self.draws = raw.kind == STEP, bool(raw.draws)
        self.parameters = [raw.parameters[k] for k in range(raw.nparameters)]
        self.results = [raw.results[k] for k in range(raw.nresults)]
        self._names = [value.name.decode() for value in self.parameters]
        self._axes = [[a.strip() for a in v.shape.decode()[1:-1].split(",")] if v.rank else [] for v in self.parameters]
        self._takes = [raw.dims[k] for k in range(raw.ndims)]
        fields = [value.name.decode() for value in self.results]
        self._tuple = collections.namedtuple(self.name, fields, rename=True) if len(fields) > 1 else None
        self.__doc__ = repr(self)

    def __repr__(self):
        def one(value):
            shape = "" if value.rank == 0 and value.has_default else value.shape.decode()
            text = value.name.decode() + (f": {DTYPES[value.dtype]}{shape}" if shape else "")
            return text + (f" = {value.fallback:g}" if value.has_default else "")

        kind = "step" if self.is_step else "fn"
        results = ", ".join(one(value) for value in self.results)
        return f"{kind} {self.name}({', '.join(one(v) for v in self.parameters)}) -> ({results})"

    def _bind(self, positional, named):
        """An array for each parameter. What is left in named are dims."""
        if len(positional) > len(self._names):
            raise TypeError(f"{self.name} takes {len(self._names)} arguments, not {len(positional)}")
        arrays = []
        for k, (name, value) in enumerate(zip(self._names, self.parameters)):
            if k < len(positional):
                given = positional[k]
                if name in named:
                    raise TypeError(f"{self.name} was given {name} twice")
            elif name in named:
                given = named.pop(name)
            elif value.has_default:
                given = value.fallback if value.dtype == 1 else int(value.fallback)
            else:
                raise TypeError(f"{self.name} wants {name}: {value.shape.decode()}")
            array = _array(given, DTYPES[value.dtype], f"{self.name}'s {name}")
            if array.ndim != value.rank:
                raise ValueError(f"{self.name}'s {name} has shape {list(array.shape)}, and must be {value.shape.decode()}")
            arrays.append(array)
        return arrays

    def _dims(self, arrays, named):
        """A value for each dim of the model, by the axes that are a dim alone."""
        dims = self._model.dims
        found = {}
        for name in list(named):
            if name not in dims:
                raise TypeError(f"{self.name} has no argument {name}")
            found[name] = int(named.pop(name))
        for array, axes, name in zip(arrays, self._axes, self._names):
            for size, axis in zip(array.shape, axes):
                if axis in dims and found.setdefault(axis, size) != size:
                    raise ValueError(f"{self.name}: {axis} is {found[axis]}, but {size} in {name}: [{', '.join(axes)}]")
        values = (_i64 * max(len(dims), 1))(*(dim.low for dim in dims.values()))
        for index, (name, dim) in enumerate(dims.items()):
            if index not in self._takes:
                continue
            if name not in found and dim.low != dim.high:
                raise TypeError(f"{self.name} cannot tell {name} from its arguments: give {name}=")
            value = values[index] = found.get(name, dim.low)
            if not dim.low <= value <= dim.high or value % max(dim.step, 1):
                step = f" by {dim.step}" if dim.step > 1 else ""
                raise ValueError(f"{self.name}: {name} is {value}, and must be from {dim.low} to {dim.high}{step}")
        return values

    def _shapes(self, dims):
        """Of all parameters, then all results."""
        values = self.parameters + self.results
        sizes = (_i64 * max(sum(value.rank for value in values), 1))()
        self._raw.sizes(dims, sizes)
        rest = iter(sizes)
        return [tuple(next(rest) for _ in range(value.rank)) for value in values]

    def __call__(self, *positional, **named):
        seed = int(named.pop("seed", 0)) if self.draws and "seed" not in self._names else 0
        arrays = self._bind(positional, named)
        dims = self._dims(arrays, named)
        shapes = self._shapes(dims)
        for array, shape, name, axes in zip(arrays, shapes, self._names, self._axes):
            if array.shape != shape:
                raise ValueError(f"{self.name}'s {name} is {list(array.shape)}, and must be {list(shape)}: "
                                 f"[{', '.join(axes)}]")
        results = [np.empty(shape, DTYPES[v.dtype]) for v, shape in zip(self.results, shapes[len(arrays):])]
        self._model._call(self, dims, arrays, results, seed)
        given = [array if array.ndim else array[()] for array in results]
        return self._tuple(*given) if self._tuple else given[0] if given else None


# ---- state ----

class State(collections.abc.Mapping):
    """Params and states by dotted name. Reading copies, in canonical order; assigning sets."""

    def __init__(self, model):
        self._model = model
        raw = model._raw
        self._symbols = {raw.symbols[k].name.decode(): raw.symbols[k] for k in range(raw.nsymbols)}

    def __iter__(self):
        return iter(self._symbols)

    def __len__(self):
        return len(self._symbols)

    def _shape(self, name):
        symbol = self._symbols[name]
        return tuple(symbol.size[:symbol.rank]), DTYPES[symbol.dtype]

    def __getitem__(self, name):
        array = np.empty(*self._shape(name))
        self._model._check(name, self._model._raw.get(self._model._state.ctypes.data, name.encode(), array.ctypes.data))
        return array

    def __setitem__(self, name, values):
        shape, dtype = self._shape(name)
        array = _array(values, dtype, name)
        if array.shape != shape:
            raise ValueError(f"{name} is {list(shape)}, not {list(array.shape)}")
        self._model._check(name, self._model._raw.set(self._model._state.ctypes.data, name.encode(), array.ctypes.data))

    def view(self, name):
        """The tensor where it lies, without a copy: writing to it changes the state. Where the kernels keep it in another
        order than the canonical one, there is no such array, and the answer is None."""
        symbol = self._symbols[name]
        shape, dtype = self._shape(name)
        size = dtype.itemsize * int(np.prod(shape, dtype=np.int64))
        if symbol.layout or symbol.nfactors or symbol.bytes < size:
            return None
        return self._model._state[symbol.offset:symbol.offset + size].view(dtype).reshape(shape)

    def trainable(self):
        """The names of the params that training changes."""
        return [name for name, symbol in self._symbols.items() if symbol.trainable]


# ---- models ----

def _compiled(path, flags):
    """A .so of a .nn file, in a folder of its own, which the caller removes."""
    program = os.environ.get("NNC") or shutil.which("nnc")
    if not program:
        raise Error(f"{path}: to compile it, the program nnc must be on the PATH, or its path in NNC")
    folder = tempfile.mkdtemp(prefix="nnc-")
    shared = os.path.join(folder, "model.so")
    done = subprocess.run([program, path, "-o", shared, *flags], stderr=subprocess.PIPE, text=True, check=False)
    if done.returncode:
        shutil.rmtree(folder)
        raise Error(done.stderr.strip())
    return folder, shared


class Model:
    """A compiled model with a state of its own, drawn from seed. A .nn file is compiled first, with these flags.

    With threads=K code runs on so many; results do not depend on it, and where kernels are short, threads of Python cost
    more than they bring. One call at a time: a model is not to be called from several threads at once."""

    def __init__(self, path, seed=0, threads=1, flags=()):
        path, folder = os.fspath(path), None
        if path.endswith(".nn"):
            folder, path = _compiled(path, flags)
        try:
            self._library = ctypes.CDLL(os.path.abspath(path))
            self._raw = _Description.in_dll(self._library, "nn_model")
        except (OSError, ValueError) as fault:
            raise Error(f"{path}: {fault}") from None
        finally:
            if folder:
                shutil.rmtree(folder) # the system keeps what it has loaded
        if self._raw.abi != ABI:
            raise Error(f"{path} was compiled by {self._raw.compiler.decode()}, whose interface is another one")
        if self._raw.device != HOST:
            raise Error(f"{path} was compiled for a GPU, whose memory NumPy's arrays are not in")
        self.name = self._raw.name.decode()
        self.dims = {self._raw.dims[k].name.decode(): self._raw.dims[k] for k in range(self._raw.ndims)}
        self._state = _block(self._raw.state_bytes, self._raw.align)
        self._scratch = _block(0, self._raw.align)
        self._threads = _Threads(threads) if threads > 1 else None
        self.state = State(self)
        raws = (self._raw.entries[k] for k in range(self._raw.nentries))
        self.entries = {raw.name.decode(): Entry(self, raw) for raw in raws}
        self.init(seed)

    def __getattr__(self, name):
        entries = self.__dict__.get("entries", {})
        if name in entries:
            return entries[name]
        raise AttributeError(f"the model has no {name}; its entries are {', '.join(entries)}")

    def __dir__(self):
        return [*super().__dir__(), *self.entries]

    def __repr__(self):
        return "\n".join([f"model {self.name}", *map(repr, self.entries.values())])

    def _check(self, what, code):
        if code != OK:
            raise Error(f"{what}: {self._raw.error(code).decode()}")

    def _call(self, entry, dims, arrays, results, seed):
        workers = self._threads.count if self._threads else 1
        size = entry._raw.scratch(dims, workers)
        if size > self._scratch.size:
            self._scratch = _block(size, self._raw.align)
        pointers = [(_pointer * max(len(list_), 1))(*(a.ctypes.data for a in list_)) for list_ in (arrays, results)]
        arguments = (self._state.ctypes.data, self._scratch.ctypes.data, dims, *pointers, seed)
        if self._threads:
            code = self._threads.call(entry._raw.call, ctypes.addressof(self._threads.run), *arguments)
        else:
            code = entry._raw.call(None, *arguments)
        self._check(entry.name, code)

    def init(self, seed=0):
        """Draws all params anew and sets states to their first values."""
        self._check(self.name, self._raw.init(self._state.ctypes.data, seed))

    def save(self, path):
        """Writes all params and states as safetensors, which nnc and PyTorch read; the file is whole or the old one."""
        header, blobs, offset = {}, [], 0
        for name in self.state:
            array = self.state[name]
            blobs.append(array.tobytes())
            dtype = {"float32": "F32", "int32": "I32", "bool": "BOOL"}[array.dtype.name]
            header[name] = {"dtype": dtype, "shape": list(array.shape), "data_offsets": [offset, offset + array.nbytes]}
            offset += array.nbytes
        text = json.dumps(header, separators=(",", ":")).encode()
        text += b" " * (-len(text) % 8)
        beside = f"{os.fspath(path)}.{os.getpid()}.part"
        try:
            with open(beside, "xb") as file:
                file.write(struct.pack("<Q", len(text)) + text)
                file.writelines(blobs)
                file.flush()
                os.fsync(file.fileno())
            os.replace(beside, path)
        except BaseException:
            if os.path.exists(beside):
                os.unlink(beside)
            raise

    def load(self, path, partial=False):
        """Reads params and states: all of them, or, if partial, what the file has. nn.seed and nn.calls may be absent. The
        state changes only if all is well."""
        with open(path, "rb") as file:
            data = file.read()
        try:
            length = struct.unpack_from("<Q", data)[0]
            header = json.loads(data[8:8 + length])
            found = {name: self._tensor(name, header[name], data, 8 + length) for name in self.state if name in header}
        except (struct.error, ValueError, KeyError, TypeError) as fault:
            raise Error(f"{path}: no safetensors file for this model: {fault}") from None
        absent = [name for name in self.state if name not in found and name not in ("nn.seed", "nn.calls")]
        if absent and not partial:
            raise Error(f"{path} lacks {absent[0]}" + (f" and {len(absent) - 1} more" if len(absent) > 1 else ""))
        for name, array in found.items():
            self.state[name] = array

    def _tensor(self, name, entry, data, base):
        shape, dtype = self.state._shape(name)
        begin, end = entry["data_offsets"]
        kinds = {"F32": np.float32, "I32": np.int32, "BOOL": np.bool_}
        if kinds.get(entry["dtype"]) != dtype.type or tuple(entry["shape"]) != shape:
            raise ValueError(f"{name} is {entry['dtype']} {entry['shape']}, not {dtype} {list(shape)}")
        if not 0 <= begin <= end <= len(data) - base or end - begin != dtype.itemsize * int(np.prod(shape, dtype=np.int64)):
            raise ValueError(f"{name} does not lie within the file")
        return np.frombuffer(data, np.uint8, end - begin, base + begin).view(dtype).reshape(shape)
