"""Oracles of matrix products and of reductions."""

from __future__ import annotations

import numpy as np

from .arguments import Arguments, Array
from .elementwise import float32


def _matrix(x: Array, axis: int) -> Array:
    if axis < 0:
        axis += x.ndim
    return x.reshape(int(np.prod(x.shape[:axis])), int(np.prod(x.shape[axis:]))).astype(np.float64)


def fc(args: Arguments, inputs: list[Array]) -> list[Array]:
    """Y = X W^T + b, where X and W are seen as matrices that are split at `axis` and `axis_w` (default 1).

    Y has the dimensions of X before `axis`, and the outputs as its last one.
    """
    x, w, b = inputs
    axis = args.integer("axis", 1)
    if axis < 0:
        axis += x.ndim
    y = _matrix(x, axis) @ _matrix(w, args.integer("axis_w", 1)).T + b.astype(np.float64)
    return [float32(y.reshape(*x.shape[:axis], len(b)))]


def fc_transposed(args: Arguments, inputs: list[Array]) -> list[Array]:
    """Y = X W + b on the same matrices as those of fc."""
    x, w, b = inputs
    axis = args.integer("axis", 1)
    if axis < 0:
        axis += x.ndim
    y = _matrix(x, axis) @ _matrix(w, args.integer("axis_w", 1)) + b.astype(np.float64)
    return [float32(y.reshape(*x.shape[:axis], len(b)))]


def mat_mul(args: Arguments, inputs: list[Array]) -> list[Array]:
    """Y = A B on matrices that are split at `axis_a` and `axis_b` (default 1), then transposed if asked."""
    a, b = _matrix(inputs[0], args.integer("axis_a", 1)), _matrix(inputs[1], args.integer("axis_b", 1))
    return [float32((a.T if args.flag("trans_a", False) else a) @ (b.T if args.flag("trans_b", False) else b))]


def batch_mat_mul(args: Arguments, inputs: list[Array]) -> list[Array]:
    """NumPy's matmul of the last two dimensions; vectors are not transposed, and two of them give one element."""
    a, b = (x.astype(np.float64) for x in inputs)
    if args.flag("trans_a", False) and a.ndim > 1:
        a = a.swapaxes(-1, -2)
    if args.flag("trans_b", False) and b.ndim > 1:
        b = b.swapaxes(-1, -2)
    y = np.asarray(a @ b)
    return [float32(y.reshape(1) if y.ndim == 0 else y)]


def softmax(args: Arguments, inputs: list[Array]) -> list[Array]:
    """Softmax over all dimensions from `axis` (default 1) on together."""
    x = _matrix(inputs[0], args.integer("axis", 1))
    if x.size:
        x = np.exp(x - x.max(axis=1, keepdims=True))
        x = x / x.sum(axis=1, keepdims=True)
    return [float32(x.reshape(inputs[0].shape))]


def reduce_mean(args: Arguments, inputs: list[Array]) -> list[Array]:
    """Mean over `axes`, over all of them where none is named; they stay as 1 unless `keepdims` is 0. Of none NaN."""
    x = inputs[0].astype(np.float64)
    axes = tuple(args.integers("axes", [])) or tuple(range(x.ndim))
    count = int(np.prod([x.shape[axis] for axis in axes]))
    with np.errstate(invalid="ignore"):
        return [float32(np.asarray(x.sum(axis=axes, keepdims=args.flag("keepdims", True)) / np.float64(count)))]


def _axes(args: Arguments, x: Array) -> tuple[int, ...]:
    return tuple(args.integers("axes", [])) or tuple(range(x.ndim))


def reduce_sum(args: Arguments, inputs: list[Array]) -> list[Array]:
    """Sum over `axes`, which are as ReduceMean's."""
    x = inputs[0].astype(np.float64)
    return [float32(np.asarray(x.sum(axis=_axes(args, x), keepdims=args.flag("keepdims", True))))]


def reduce_max(args: Arguments, inputs: list[Array]) -> list[Array]:
    """The largest over `axes`, of none the lowest number; NaN where there is one."""
    x = inputs[0]
    if 0 in [x.shape[axis] for axis in _axes(args, x)]:
        total = reduce_sum(args, inputs)[0]
        return [np.full_like(total, np.finfo(np.float32).min)]
    return [np.asarray(x.max(axis=_axes(args, x), keepdims=args.flag("keepdims", True)))]
