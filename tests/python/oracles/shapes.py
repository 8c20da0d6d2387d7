"""Oracles of operators that take tensors apart, give them another shape, pick from them, or make them."""

from __future__ import annotations

import numpy as np

from .arguments import Arguments, Array
from .elementwise import DTYPES
from .fused import Oracle


def slice_(args: Arguments, inputs: list[Array]) -> list[Array]:
    """X[starts:ends] along the first dimensions; a negative bound v is size + 1 + v."""
    x = inputs[0]
    starts, ends = args.integers("starts", []), args.integers("ends", [])
    if len(inputs) == 3:
        starts, ends = inputs[1].tolist(), inputs[2].tolist()
    cut = tuple(
        slice(*(bound + size + 1 if bound < 0 else bound for bound in (start, end)))
        for start, end, size in zip(starts, ends, x.shape, strict=False)
    )
    # A dimension without elements stays empty whatever its bounds are.
    return [x[tuple(part if size else slice(None) for part, size in zip(cut, x.shape, strict=False))]]


def transpose(args: Arguments, inputs: list[Array]) -> list[Array]:
    """Dimension i of Y is dimension axes[i] of X; without axes the last comes first."""
    return [np.transpose(inputs[0], args.integers("axes", []) or None)]


def reshape(args: Arguments, inputs: list[Array]) -> list[Array]:
    """X under another shape, and the shape that it had.

    A 0 copies the dimension of X and one -1 is inferred. Of an empty tensor 0 stays 0, and -1 becomes 0.
    """
    x = inputs[0]
    wanted = inputs[1].tolist() if len(inputs) == 2 else args.integers("shape", [])
    dtype = inputs[1].dtype if len(inputs) == 2 else np.int64
    if x.size:
        shape = [x.shape[i] if size == 0 else size for i, size in enumerate(wanted)]
    else:
        shape = [max(size, 0) for size in wanted]
    return [x.reshape(shape), np.array(x.shape, dtype)]


def shape(args: Arguments, inputs: list[Array]) -> list[Array]:
    """The dimensions of X, or those that `axes` lists."""
    whole = np.array(inputs[0].shape, np.int64)
    return [whole[args.integers("axes", [])] if "axes" in args else whole]


def gather(args: Arguments, inputs: list[Array]) -> list[Array]:
    """The dimension `axis` of X gives way to those of the indices. Of an empty dimension X itself is the result."""
    x, indices = inputs
    axis = args.integer("axis", 0)
    if x.shape[axis] == 0:
        return [x]
    return [np.take(x, indices, axis=axis, mode="wrap")]


def split(args: Arguments, inputs: list[Array]) -> list[Array]:
    """X cut along `axis` into parts of the sizes of the second input, or of `split`, or into equal ones."""
    x = inputs[0]
    channels = 1 if args.string("order", "NCHW") == "NCHW" else x.ndim - 1
    axis = args.integer("axis", channels)
    sizes = inputs[1].tolist() if len(inputs) == 2 else args.integers("split", [])
    if not sizes:
        parts = args.integer("parts", 0)
        sizes = [x.shape[axis] // parts] * parts
    return np.split(x, np.cumsum(sizes)[:-1], axis)


def squeeze(args: Arguments, inputs: list[Array]) -> list[Array]:
    """X without the dimensions `dims`."""
    return [np.squeeze(inputs[0], tuple(set(args.integers("dims", []))))]


def expand_dims(args: Arguments, inputs: list[Array]) -> list[Array]:
    """X with dimensions of 1 that stand at `dims` of the result."""
    y = inputs[0]
    for dim in sorted(set(args.integers("dims", []))):
        y = np.expand_dims(y, dim)
    return [y]


def scatter_assign(_: Arguments, inputs: list[Array]) -> list[Array]:
    """Row indices[i] of X becomes slices[i], one after the other."""
    x, indices, slices = inputs
    y = x.copy()
    rows = slices.reshape(indices.size, *x.shape[1:])
    for index, row in zip(indices.flat, rows, strict=True):
        y[index] = row
    return [y]


# Caffe2's numbers of element types that fills know; float64 is rounded to float32.
FILL_DTYPES: dict[int, type[np.generic]] = {**DTYPES, 13: np.float32}


def constant_fill(args: Arguments, inputs: list[Array]) -> list[Array]:
    """One value everywhere. The shape is `shape`, or the input's, or with `input_as_shape` what the input holds."""
    value = args.values.get("value", 0.0)
    dtype = FILL_DTYPES[args.integer("dtype", 10 if isinstance(value, int) else 1)]
    size = args.integers("shape", [])
    if inputs:
        size = inputs[0].tolist() if args.flag("input_as_shape", False) else list(inputs[0].shape)
        size += args.integers("extra_shape", [])
    return [np.full(size, value).astype(dtype)]


def given_tensor_fill(dtype: type[np.generic] | None) -> Oracle:
    """The values that stand in the net. Without a type of its own the operator has an argument that tells it."""

    def oracle(args: Arguments, _: list[Array]) -> list[Array]:
        values = args.values.get("values", [])
        return [np.array(values, dtype or FILL_DTYPES[args.integer("dtype", 1)]).reshape(args.integers("shape", []))]

    return oracle
