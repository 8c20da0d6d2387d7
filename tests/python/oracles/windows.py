"""Oracles of operators that slide a window over feature maps (N, C, H, W): convolution, pooling, resizing."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from .arguments import Arguments, Array
from .elementwise import float32

LEGACY_VALID, LEGACY_SAME = 1, 2


@dataclass(frozen=True)
class Geometry:
    """A window along one axis: sizes in cells of the input; `before` and `after` are the padding."""

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


def _pads(args: Arguments) -> tuple[int, int, int, int]:
    """(top, left, bottom, right) from `pads=[t,l,b,r]`, `pad=1`, or `pad_t=1 pad_l=1 pad_b=1 pad_r=1`."""
    if values := args.integers("pads", []):
        top, left, bottom, right = values if len(values) == 4 else values * 2
        return top, left, bottom, right
    every = args.integer("pad", 0)
    top, left, bottom, right = (args.integer(f"pad_{side}", every) for side in "tlbr")
    return top, left, bottom, right


def geometry(args: Arguments, size: tuple[int, int], kernel: tuple[int, int]) -> tuple[Geometry, Geometry]:
    """Windows along height and width over an input of `size`. `kernel` holds where no argument gives it."""
    given = kernel
    if any(name in args for name in ("kernels", "kernel", "kernel_h", "kernel_w")):
        given = _pair(args, "kernels", "kernel", 1)
    strides, dilations = _pair(args, "strides", "stride", 1), _pair(args, "dilations", "dilation", 1)
    top, left, bottom, right = _pads(args)
    befores, afters = (top, left), (bottom, right)
    legacy = args.integer("legacy_pad", 0)
    if legacy == LEGACY_VALID:
        befores = afters = (0, 0)
    elif legacy == LEGACY_SAME:
        # As many windows as strides begin inside the input; an odd padding cell goes to the end.
        need = [max((-(-n // s) - 1) * s + k - n, 0) for n, s, k in zip(size, strides, given)]
        befores = (need[0] // 2, need[1] // 2)
        afters = (need[0] - befores[0], need[1] - befores[1])
    elif legacy != 0:
        raise ValueError(f"legacy_pad {legacy} has no oracle")
    h, w = (Geometry(*along) for along in zip(given, strides, dilations, befores, afters))
    return h, w


def _require_nchw(args: Arguments) -> None:
    if args.string("order", "NCHW") != "NCHW":
        raise ValueError("these oracles know order NCHW alone")


def _padded(x: Array, h: Geometry, w: Geometry, value: float) -> Array:
    border = ((0, 0), (0, 0), (h.before, h.after), (w.before, w.after))
    return np.pad(x.astype(np.float64), border, constant_values=value)


def _tap(x: Array, h: Geometry, w: Geometry, at: tuple[int, int], out: tuple[int, int]) -> Array:
    """The cell `at` = (row, column) of every window of the padded input x."""
    top, left = at[0] * h.dilation, at[1] * w.dilation
    return x[:, :, top : top + out[0] * h.stride : h.stride, left : left + out[1] * w.stride : w.stride][
        :, :, : out[0], : out[1]
    ]


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
        for n, along, extra in zip((x.shape[2], x.shape[3]), (h, w), adjust)
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
