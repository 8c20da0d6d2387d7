"""What stands in, while a pickle is read, for the few NumPy functions and classes that pickled arrays name."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt

from d2deploy.errors import InvalidModel

Array = npt.NDArray[Any]

MAX_DIMENSIONS = 32
MAX_INTEGER_KEY = 2**60  # larger integers can have equal hashes
# Types of elements by the code that a pickle has for them. Objects, text and records are not among them.
CODES = {"b1", "i1", "i2", "i4", "i8", "u1", "u2", "u4", "u8", "f2", "f4", "f8"}

# NumPy 2 renamed the modules that pickles name.
_NUMPY_CORES = ("numpy.core", "numpy._core")
_KNOWN = {
    ("numpy", "ndarray"): "ndarray",
    ("numpy", "dtype"): "dtype",
    **{(f"{core}.multiarray", "_reconstruct"): "reconstruct" for core in _NUMPY_CORES},
    **{(f"{core}.multiarray", "scalar"): "scalar" for core in _NUMPY_CORES},
    **{(f"{core}.numeric", "_frombuffer"): "frombuffer" for core in _NUMPY_CORES},
    ("collections", "OrderedDict"): "OrderedDict",
    ("_codecs", "encode"): "encode",
    ("__builtin__", "bytes"): "bytes",
    ("builtins", "bytes"): "bytes",
}


class Fault(InvalidModel):
    """What is wrong with a pickle; whoever knows the file's name puts it in front."""


@dataclass(frozen=True)
class Global:
    """A function or class that a pickle names, as one of those that are known here."""

    kind: str

    @staticmethod
    def named(module: Any, name: Any) -> Global:
        if not isinstance(module, str) or not isinstance(name, str):
            raise Fault("names a function by something else than text")
        if (module, name) in _KNOWN:
            return Global(_KNOWN[module, name])
        raise Fault(
            f"refused: it names {module:.60}.{name:.60}, and a checkpoint may hold only dicts, lists, text, numbers "
            'and NumPy arrays. Save such a checkpoint again: torch.save({"model": model.state_dict()}, "model.pth")'
        )


@dataclass
class DType:
    """numpy.dtype before and after its state (the byte order) is set."""

    code: str
    order: str = "="

    def numpy(self) -> np.dtype[Any]:
        return np.dtype(self.order + self.code)


@dataclass
class ArrayLike:
    """numpy.ndarray before and after its state is set."""

    shape: tuple[int, ...] = ()
    dtype: DType = field(default_factory=lambda: DType("f4"))
    order: str = "C"
    data: bytes | bytearray | None = None

    def set(self, shape: Any, dtype: Any, order: str, data: Any) -> None:
        """Raises: Fault: the parts are not those of an array, or the bytes are not as many as shape and type say."""
        if isinstance(data, str):
            data = data.encode("latin-1")  # how bytes of Python 2 are read
        if not isinstance(dtype, DType) or not isinstance(data, (bytes, bytearray)):
            raise Fault(f"refused: an array of {type(data).__name__}; only arrays of numbers are read")
        if not isinstance(shape, tuple) or len(shape) > MAX_DIMENSIONS:
            raise Fault(f"an array's shape must be a tuple of at most {MAX_DIMENSIONS} sizes")
        if not all(type(size) is int and size >= 0 for size in shape):
            raise Fault(f"an array's sizes must be integers and not negative, got {shape!r:.60}")
        wanted = math.prod(shape) * dtype.numpy().itemsize
        if wanted != len(data):
            raise Fault(f"an array of shape {shape} takes {wanted} bytes, the file has {len(data)} for it")
        self.shape, self.dtype, self.order, self.data = shape, dtype, order, data

    def array(self) -> Array:
        if self.data is None:
            raise Fault("an array has no data")
        flat = np.frombuffer(self.data, self.dtype.numpy())
        return flat.reshape(self.shape, order="F" if self.order == "F" else "C")


def call(function: Global, arguments: tuple[Any, ...]) -> Any:
    """What a known function gives."""
    kind = function.kind
    if kind == "OrderedDict" and len(arguments) <= 1:
        pairs = arguments[0] if arguments else []
        if isinstance(pairs, (list, tuple)) and all(isinstance(p, (list, tuple)) and len(p) == 2 for p in pairs):
            return items([part for pair in pairs for part in pair])
    elif kind == "encode" and len(arguments) == 2 and isinstance(arguments[0], str):
        if arguments[1] in ("latin1", "latin-1"):
            return arguments[0].encode("latin-1")
    elif kind == "bytes" and not arguments:
        return b""
    elif kind == "dtype" and arguments and isinstance(arguments[0], str):
        return _dtype(arguments[0])
    elif kind == "reconstruct" and arguments and arguments[0] == Global("ndarray"):
        return ArrayLike()
    elif kind == "frombuffer" and len(arguments) == 4:
        data, dtype, shape, order = arguments
        array = ArrayLike()
        array.set(shape, dtype, order, data)
        return array
    elif kind == "scalar" and len(arguments) == 2:
        scalar = ArrayLike()
        scalar.set((), arguments[0], "C", arguments[1])
        return scalar
    raise Fault(f"calls {kind} in a way that checkpoints do not")


def build(value: Any, state: Any) -> None:
    """Sets the state of a stand-in, as the unpickler's BUILD does."""
    if isinstance(value, ArrayLike) and isinstance(state, tuple) and len(state) == 5:
        _, shape, dtype, is_fortran, data = state
        value.set(shape, dtype, "F" if is_fortran else "C", data)
    elif isinstance(value, DType) and isinstance(state, tuple) and len(state) >= 2 and state[1] in ("<", ">", "|", "="):
        value.order = state[1]
    elif not isinstance(value, dict):  # the state of an OrderedDict are a state_dict's versions, which nothing needs
        raise Fault(f"sets the state of {type(value).__name__} in a way that checkpoints do not")


def items(flat: list[Any]) -> dict[Any, Any]:
    """A dict of keys and values in turn. Other keys than text and integers could make hashing them endless."""
    if len(flat) % 2:
        raise ValueError("a key has no value")
    for key in flat[::2]:
        if type(key) is not str and not (type(key) is int and abs(key) < MAX_INTEGER_KEY):
            raise Fault(f"refused: a key of a dict must be text or an integer, got {type(key).__name__}")
    return dict(zip(flat[::2], flat[1::2]))


def _dtype(code: str) -> DType:
    if code not in CODES:
        raise Fault(f"refused: an array of type {code!r:.40}; only arrays of numbers are read")
    return DType(code)
