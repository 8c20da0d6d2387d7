"""Oracles of operators that work element by element, or that only move elements."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np

from .arguments import Arguments, Array

# Caffe2's numbers for element types, which are not ONNX's.
DTYPES: dict[int, type[np.generic]] = {1: np.float32, 2: np.int32, 3: np.uint8, 5: np.bool_, 6: np.uint8, 10: np.int64}
DTYPE_NUMBERS = {"float": 1, "int32": 2, "byte": 3, "bool": 5, "uint8": 6, "int64": 10}


def float32(values: Array) -> Array:
    """The one rounding of a result that was computed in float64."""
    with np.errstate(over="ignore"):
        return np.asarray(values, dtype=np.float32)


def relu(_: Arguments, inputs: list[Array]) -> list[Array]:
    return [np.maximum(inputs[0], np.float32(0))]


def sigmoid(_: Arguments, inputs: list[Array]) -> list[Array]:
    """1 / (1 + exp(-x)); exp overflows to infinity only where the result is 0."""
    with np.errstate(over="ignore"):
        return [float32(1 / (1 + np.exp(-inputs[0].astype(np.float64))))]


def _legacy_view(args: Arguments, a: Array, b: Array) -> Array:
    """B as the old rule of `broadcast=1` sees it: its dimensions are a run of A's that starts at `axis`.

    Without `axis` it is the last run. Dimensions of 1 at either end of B go with any size, others do not.
    """
    if b.size == 1:
        return b.reshape(())
    axis = args.integer("axis", -1)
    if "axis_str" in args:
        axis = args.string("order", "NCHW").index(args.string("axis_str", ""))
    if axis == -1:
        axis = a.ndim - b.ndim
    wide = np.flatnonzero(np.array(b.shape) != 1)
    run = slice(wide[0], wide[-1] + 1)
    if axis < 0 or a.shape[axis:][run] != b.shape[run]:
        raise ValueError(f"B {b.shape} is not a run of A {a.shape} at axis {axis}")
    return b.reshape(b.shape + (1,) * (a.ndim - axis - b.ndim))


def binary(apply: Callable[[Array, Array], Array]) -> Callable[[Arguments, list[Array]], list[Array]]:
    """NumPy's broadcasting, or Caffe2's older rule. One operation on float32 is exact in float64 up to its rounding."""

    def oracle(args: Arguments, inputs: list[Array]) -> list[Array]:
        a, b = inputs
        if args.flag("broadcast", False):
            b = _legacy_view(args, a, b)
        if a.dtype == np.float32:
            with np.errstate(divide="ignore", invalid="ignore"):
                return [float32(apply(a.astype(np.float64), b.astype(np.float64)))]
        return [apply(a, b).astype(a.dtype)]

    return oracle


def divide(a: Array, b: Array) -> Array:
    """The quotient; of integers truncated toward zero, as in C."""
    if np.issubdtype(a.dtype, np.floating):
        return np.asarray(a / b)
    return np.asarray(np.sign(a) * np.sign(b) * (np.abs(a) // np.abs(b)))


def _to_integers(x: Array, dtype: type[np.generic]) -> Array:
    """Truncation toward zero.

    C leaves undefined what does not fit. Deliberately it is the nearest end of the range, and 0 for NaN; uint8 has the
    low 8 bits of the int32.
    """
    if dtype is np.uint8:
        return _to_integers(x, np.int32).astype(np.uint8)
    bits = 8 * np.dtype(dtype).itemsize
    low, high = -(2 ** (bits - 1)), 2 ** (bits - 1) - 1
    whole = [0 if np.isnan(v) else high if v >= high else low if v <= low else int(v) for v in x.flat]
    return np.array(whole, dtype).reshape(x.shape)


def cast(args: Arguments, inputs: list[Array]) -> list[Array]:
    """Another element type; a boolean is 0 or 1. `to` is Caffe2's number of the type, or its name in either case."""
    to = args.values["to"]
    dtype = DTYPES[DTYPE_NUMBERS[to.lower()] if isinstance(to, str) else args.integer("to", 0)]
    x = inputs[0]
    if np.issubdtype(x.dtype, np.floating) and np.issubdtype(dtype, np.integer):
        return [_to_integers(x, dtype)]
    return [x.astype(dtype)]


def normalise_image(_: Arguments, inputs: list[Array]) -> list[Array]:
    """A difference and a quotient, each exact in float64 up to its rounding to float32."""
    x, mean, std = (i.astype(np.float64) for i in inputs)
    with np.errstate(divide="ignore", invalid="ignore"):
        return [float32(float32(x - mean).astype(np.float64) / std)]


def reorder(args: Arguments, inputs: list[Array]) -> list[Array]:
    """The same logical values, whatever the layout in memory; with a scale, the multiples of it that are nearest."""
    scale = args.number("scale", 0)
    if scale == 0:
        return [inputs[0]]
    quanta = np.rint(inputs[0].astype(np.float64) / scale)  # a half goes to the even one
    least, most = {"uint8": (0, 255), "int8": (-127, 127)}[args.string("dtype", "")]
    return [np.clip(quanta, least, most).astype(args.string("dtype", ""))]


def copy(_: Arguments, inputs: list[Array]) -> list[Array]:
    return [inputs[0]]


def flatten(args: Arguments, inputs: list[Array]) -> list[Array]:
    """Two dimensions: those before `axis` (default 1) joined, and the others."""
    shape = inputs[0].shape
    axis = args.integer("axis", 1)
    if axis < 0:
        axis += len(shape)
    return [inputs[0].reshape(int(np.prod(shape[:axis])), int(np.prod(shape[axis:])))]


def concat(args: Arguments, inputs: list[Array]) -> list[Array]:
    """The inputs along `axis`, and their sizes there. `add_axis` stacks them along a new one.

    Without `axis` the channels are joined, whose place `order` tells.
    """
    channels = 1 if args.string("order", "NCHW") == "NCHW" else inputs[0].ndim - 1
    axis = args.integer("axis", channels)
    if args.flag("add_axis", False):
        return [np.stack(inputs, axis), np.ones(len(inputs), np.int32)]
    return [np.concatenate(inputs, axis), np.array([x.shape[axis] for x in inputs], np.int32)]


def batch_permutation(_: Arguments, inputs: list[Array]) -> list[Array]:
    """Row i of the result is row indices[i] of X."""
    x, indices = inputs
    return [x[indices]]


def negative(_: Arguments, inputs: list[Array]) -> list[Array]:
    return [np.negative(inputs[0])]


def clip(args: Arguments, inputs: list[Array]) -> list[Array]:
    """Not below `min`, then not above `max`; without them, in the range of finite float32 values. NaN stays."""
    largest = float(np.finfo(np.float32).max)
    low, high = np.float32(args.number("min", -largest)), np.float32(args.number("max", largest))
    return [np.minimum(np.maximum(inputs[0], low), high)]


def square_root(_: Arguments, inputs: list[Array]) -> list[Array]:
    with np.errstate(invalid="ignore"):
        return [float32(np.sqrt(inputs[0].astype(np.float64)))]


def exponential(_: Arguments, inputs: list[Array]) -> list[Array]:
    with np.errstate(over="ignore"):
        return [float32(np.exp(inputs[0].astype(np.float64)))]


def power(args: Arguments, inputs: list[Array]) -> list[Array]:
    """X to the power of the second input, which spreads over X as in Add, or of the argument `exponent`."""
    with np.errstate(divide="ignore", invalid="ignore", over="ignore"):
        if len(inputs) > 1:
            return binary(np.power)(args, inputs)
        return [float32(np.power(inputs[0].astype(np.float64), args.number("exponent", np.nan)))]


def add_up(_: Arguments, inputs: list[Array]) -> list[Array]:
    """The sum of all inputs, from the first to the last, each step rounded to their type."""
    total = inputs[0]
    with np.errstate(over="ignore"):
        for x in inputs[1:]:
            total = np.asarray(total + x)
    return [total]


def absolute(_: Arguments, inputs: list[Array]) -> list[Array]:
    return [np.abs(inputs[0])]


def tanh(_: Arguments, inputs: list[Array]) -> list[Array]:
    return [float32(np.tanh(inputs[0].astype(np.float64)))]


def logarithm(_: Arguments, inputs: list[Array]) -> list[Array]:
    with np.errstate(divide="ignore", invalid="ignore"):
        return [float32(np.log(inputs[0].astype(np.float64)))]


def _erf(x: Array) -> Array:
    return np.array([math.erf(v) for v in x.flat], np.float64).reshape(x.shape)


def error_function(_: Arguments, inputs: list[Array]) -> list[Array]:
    return [float32(_erf(inputs[0]))]


def sine(_: Arguments, inputs: list[Array]) -> list[Array]:
    with np.errstate(invalid="ignore"):
        return [float32(np.sin(inputs[0].astype(np.float64)))]


def cosine(_: Arguments, inputs: list[Array]) -> list[Array]:
    with np.errstate(invalid="ignore"):
        return [float32(np.cos(inputs[0].astype(np.float64)))]


def softplus(_: Arguments, inputs: list[Array]) -> list[Array]:
    """ln(e^0 + e^x)."""
    return [float32(np.logaddexp(0, inputs[0].astype(np.float64)))]


def leaky_relu(args: Arguments, inputs: list[Array]) -> list[Array]:
    x = inputs[0].astype(np.float64)
    return [float32(np.where(x > 0, x, np.float64(np.float32(args.number("alpha", 0.01))) * x))]


def elu(args: Arguments, inputs: list[Array]) -> list[Array]:
    x = inputs[0].astype(np.float64)
    with np.errstate(over="ignore"):
        return [float32(np.where(x > 0, x, args.number("alpha", 1.0) * np.expm1(x)))]


def gelu(args: Arguments, inputs: list[Array]) -> list[Array]:
    """x times the normal distribution function of x, or what `fast_gelu` takes for that."""
    x = inputs[0].astype(np.float64)
    if args.flag("fast_gelu", False):
        return [float32(x * (1 + np.tanh(np.sqrt(2 / np.pi) * (x + 0.044715 * x**3))) / 2)]
    return [float32(x * (1 + _erf(x / np.sqrt(2))) / 2)]
