"""Oracles of operators that slide a window over feature maps (N, C, H, W): convolution, pooling, resizing."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np

from .arguments import Arguments, Array
from .elementwise import float32

LEGACY_VALID, LEGACY_SAME, LEGACY_CAFFE = 1, 2, 3


@dataclass(frozen=True)
class Geometry:
    """A window along one axis: sizes in cells of the input. Padding `before` and `after`; below 0 cells are cut off."""

    kernel: int
    stride: int
    dilation: int
    before: int
    after: int

    @property
    def extent(self) -> int:
        """Cells from the first to the last one that the window touches, both included."""
        return self.dilation * (self.kernel - 1) + 1

    def count(self, size: int) -> int:
        """How many windows fit; the last cells of the input may be left over."""
        padded = size + self.before + self.after
        if padded < self.extent:
            raise ValueError(f"a padded input of {padded} is smaller than the window of {self.extent}")
        return (padded - self.extent) // self.stride + 1


def _pair(args: Arguments, plural: str, singular: str, default: int) -> tuple[int, int]:
    """(height, width) of an argument that is spelled `strides=[2,1]`, `stride=2`, or `stride_h=2 stride_w=1`."""
    if plural in args:
        values = args.integers(plural, [])
        return (values[0], values[-1]) if values else (default, default)
    both = args.integer(singular, default)
    return args.integer(f"{singular}_h", both), args.integer(f"{singular}_w", both)


def pads(args: Arguments) -> tuple[int, int, int, int]:
    """(top, left, bottom, right) from `pads=[t,l,b,r]`, `pad=1`, or `pad_t=1 pad_l=1 pad_b=1 pad_r=1`."""
    if values := args.integers("pads", []):
        top, left, bottom, right = values if len(values) == 4 else values * 2
        return top, left, bottom, right
    every = args.integer("pad", 0)
    top, left, bottom, right = (args.integer(f"pad_{side}", every) for side in "tlbr")
    return top, left, bottom, right


def _with_legacy_pad(along: Geometry, size: int, legacy: int) -> Geometry:
    """Padding that follows from the size of the input, by the rules of older frameworks that Caffe2 kept."""
    if legacy == LEGACY_VALID:
        return replace(along, before=0, after=0)
    if legacy == LEGACY_SAME:
        # One window per started stride. An odd cell goes to the end; a kernel below the stride needs less than none.
        need = (-(-size // along.stride) - 1) * along.stride + along.kernel - size
        before = int(need / 2)
        return replace(along, before=before, after=need - before)
    if legacy == LEGACY_CAFFE:
        # The count is rounded up, but the last window must begin inside the input or the padding before it.
        pad = along.before
        count = -(-(size + 2 * pad - along.kernel) // along.stride) + 1
        if pad > 0 and (count - 1) * along.stride >= size + pad:
            count -= 1
        return replace(along, after=(count - 1) * along.stride + along.kernel - size - pad)
    return along


def geometry(args: Arguments, size: tuple[int, int], kernel: tuple[int, int]) -> tuple[Geometry, Geometry]:
    """Windows along height and width over an input of `size`. `kernel` holds where no argument gives it."""
    given = kernel
    if any(name in args for name in ("kernels", "kernel", "kernel_h", "kernel_w")):
        given = _pair(args, "kernels", "kernel", 1)
    strides, dilations = _pair(args, "strides", "stride", 1), _pair(args, "dilations", "dilation", 1)
    top, left, bottom, right = pads(args)
    legacy = args.integer("legacy_pad", 0)
    h, w = (
        _with_legacy_pad(Geometry(*along), n, legacy)
        for n, *along in zip(size, given, strides, dilations, (top, left), (bottom, right), strict=True)
    )
    return h, w


def _require_nchw(args: Arguments) -> None:
    if args.string("order", "NCHW") != "NCHW":
        raise ValueError("these oracles know order NCHW alone")


def _padded(x: Array, h: Geometry, w: Geometry, value: float) -> Array:
    sides = [(0, 0), (0, 0), (h.before, h.after), (w.before, w.after)]
    x = np.pad(x.astype(np.float64), [(max(b, 0), max(a, 0)) for b, a in sides], constant_values=value)
    return x[tuple(slice(max(-b, 0), n - max(-a, 0)) for n, (b, a) in zip(x.shape, sides, strict=True))]


def _tap(x: Array, h: Geometry, w: Geometry, at: tuple[int, int], out: tuple[int, int]) -> Array:
    """The cell `at` = (row, column) of every window of the padded input x."""
    top, left = at[0] * h.dilation, at[1] * w.dilation
    bottom, right = top + (out[0] - 1) * h.stride + 1, left + (out[1] - 1) * w.stride + 1
    return x[:, :, top : bottom : h.stride, left : right : w.stride]


def convolve(args: Arguments, inputs: list[Array]) -> Array:
    """Cross-correlation in float64: X (N, C, H, W), W (M, C/group, kh, kw), optional bias (M)."""
    _require_nchw(args)
    x, weight = inputs[0], inputs[1].astype(np.float64)
    h, w = geometry(args, (x.shape[2], x.shape[3]), (weight.shape[2], weight.shape[3]))
    groups = args.integer("group", 1)
    out = (h.count(x.shape[2]), w.count(x.shape[3]))
    padded = _padded(x, h, w, 0)
    per_group_in, per_group_out = x.shape[1] // groups, weight.shape[0] // groups
    y = np.zeros((x.shape[0], weight.shape[0], *out))
    for g in range(groups):
        channels = padded[:, g * per_group_in : (g + 1) * per_group_in]
        rows = slice(g * per_group_out, (g + 1) * per_group_out)
        for i in range(h.kernel):
            for j in range(w.kernel):
                tap = _tap(channels, h, w, (i, j), out)
                y[:, rows] += np.einsum("nchw,mc->nmhw", tap, weight[rows, :, i, j])
    if len(inputs) > 2:
        y += inputs[2].astype(np.float64)[:, None, None]
    return y


def conv(args: Arguments, inputs: list[Array]) -> list[Array]:
    return [float32(convolve(args, inputs))]


def own_class_conv(_: Arguments, inputs: list[Array]) -> list[Array]:
    """Y[r] = b[c] + the channels of X[r], weighted by W[c]; c is the class of the row without its fraction."""
    x, classes, w, b = inputs
    own = classes.astype(np.int64)
    y = np.einsum("rkhw,rk->rhw", x.astype(np.float64), w[own, :, 0, 0].astype(np.float64))
    return [float32((y + b[own, None, None])[:, None])]


def conv_transpose(args: Arguments, inputs: list[Array]) -> list[Array]:
    """Every input cell adds its weighted kernel to the output at stride times its place, less the padding.

    X (N, M, H, W), W (M, C/group, kh, kw), optional bias (C). The size is (H - 1) stride + kernel + adj - pads.
    A dilation is ignored: Caffe2 knows none here.
    """
    _require_nchw(args)
    x, weight = inputs[0].astype(np.float64), inputs[1].astype(np.float64)
    h, w = geometry(args, (x.shape[2], x.shape[3]), (weight.shape[2], weight.shape[3]))
    adjust = _pair(args, "adjs", "adj", 0)
    groups = args.integer("group", 1)
    per_group_in, per_group_out = x.shape[1] // groups, weight.shape[1]
    size = [
        (n - 1) * along.stride + along.kernel + extra
        for n, along, extra in zip((x.shape[2], x.shape[3]), (h, w), adjust, strict=True)
    ]
    y = np.zeros((x.shape[0], groups * per_group_out, *size))
    for g in range(groups):
        source = slice(g * per_group_in, (g + 1) * per_group_in)
        target = slice(g * per_group_out, (g + 1) * per_group_out)
        for row in range(x.shape[2]):
            for column in range(x.shape[3]):
                top, left = row * h.stride, column * w.stride
                patch = np.einsum("nm,mcij->ncij", x[:, source, row, column], weight[source])
                y[:, target, top : top + h.kernel, left : left + w.kernel] += patch
    y = y[:, :, h.before : size[0] - h.after, w.before : size[1] - w.after]
    if len(inputs) > 2:
        y = y + inputs[2].astype(np.float64)[:, None, None]
    return [float32(y)]


def average_pool(args: Arguments, inputs: list[Array]) -> list[Array]:
    """Mean of the cells of every window. Those of the padding are left out, or are 0 with `count_include_pad`.

    Deliberately 0 where a window has no cell in the image, for which Caffe2 has no defined answer.
    """
    _require_nchw(args)
    x = inputs[0].astype(np.float64)
    if args.flag("global_pooling", False):
        return [float32(x.mean(axis=(2, 3), keepdims=True))]
    h, w = geometry(args, (x.shape[2], x.shape[3]), (1, 1))
    out = (h.count(x.shape[2]), w.count(x.shape[3]))
    padded, inside = _padded(x, h, w, 0), _padded(np.ones((1, 1, *x.shape[2:])), h, w, 0)
    y, count = np.zeros((*x.shape[:2], *out)), np.zeros((1, 1, *out))
    for i in range(h.kernel):
        for j in range(w.kernel):
            y += _tap(padded, h, w, (i, j), out)
            count += 1 if args.flag("count_include_pad", False) else _tap(inside, h, w, (i, j), out)
    return [float32(y / np.maximum(count, 1))]


def max_pool(args: Arguments, inputs: list[Array]) -> list[Array]:
    """The largest cell of every window; cells of the padding do not count."""
    _require_nchw(args)
    x = inputs[0]
    if args.flag("global_pooling", False):
        return [x.max(axis=(2, 3), keepdims=True)]
    h, w = geometry(args, (x.shape[2], x.shape[3]), (1, 1))
    out = (h.count(x.shape[2]), w.count(x.shape[3]))
    padded = _padded(x, h, w, -np.inf)
    y = np.full((*x.shape[:2], *out), float(np.finfo(np.float32).min))
    for i in range(h.kernel):
        for j in range(w.kernel):
            y = np.maximum(y, _tap(padded, h, w, (i, j), out))
    return [float32(y)]


def resize_nearest(args: Arguments, inputs: list[Array]) -> list[Array]:
    """Cell i of the result is cell min(trunc(i / scale), size - 1) of the input, of which trunc(size scale) are made.

    A second input (height scale, width scale) overrides the arguments. All index arithmetic is in float32.
    """
    _require_nchw(args)
    x = inputs[0]
    scales = [args.number("height_scale", 1), args.number("width_scale", 1)]
    if len(inputs) > 1:
        scales = [float(s) for s in inputs[1]]

    def source(size: int, scale: float) -> Array:
        step = np.float32(scale)
        count = int(np.float32(size) * step)
        return np.minimum((np.arange(count, dtype=np.float32) / step).astype(np.int64), size - 1)

    rows, columns = source(x.shape[2], scales[0]), source(x.shape[3], scales[1])
    return [x[:, :, rows][:, :, :, columns]]


def adaptive_pool(reduce: Callable[[Array], Array]) -> Callable[[Arguments, list[Array]], list[Array]]:
    """Bins that cover the map; bin i of n takes cells floor(i size / n) to ceil((i + 1) size / n) - 1."""

    def oracle(args: Arguments, inputs: list[Array]) -> list[Array]:
        x = inputs[0].astype(np.float64)
        bins = [args.integer("height", 1), args.integer("width", 1)]
        y = np.empty((*x.shape[:2], *bins))
        for i, j in np.ndindex(*bins):
            cut = [
                slice(math.floor(k * size / n), math.ceil((k + 1) * size / n))
                for k, size, n in zip((i, j), x.shape[2:], bins, strict=True)
            ]
            for plane in np.ndindex(*x.shape[:2]):
                y[(*plane, i, j)] = reduce(x[(*plane, *cut)])
        return [float32(y)]

    return oracle
