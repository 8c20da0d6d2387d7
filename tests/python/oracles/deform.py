"""Oracle of deformable convolution, versions 1 and 2."""

from __future__ import annotations

import numpy as np

from .arguments import Arguments, Array
from .elementwise import float32
from .windows import Geometry, geometry


def _tents(along: Geometry, size: int, cell: int, offsets: Array, zero_border: bool) -> Array:
    """How much of each of `size` cells a place takes: 1 at its centre, falling to 0 at the neighbours' centres.

    `offsets` (..., places) are added, in float32, to where the window's `cell` is without them.
    """
    usual = np.arange(offsets.shape[-1]) * along.stride - along.before + cell * along.dilation
    places = usual.astype(np.float32) + offsets.astype(np.float32)
    counts = np.isfinite(places)
    if not zero_border:  # Caffe2: nothing outside of [0, size), the last cell's number beyond its centre
        counts &= (places >= 0) & (places < size)
        places = np.minimum(places, np.float32(size - 1))
    places = np.where(counts, places, 0).astype(np.float64)
    tents = np.maximum(0, 1 - np.abs(places[..., None] - np.arange(size)))
    return np.where(counts[..., None], tents, 0)


def deform_conv(args: Arguments, inputs: list[Array]) -> list[Array]:
    """Each cell of the window sees X at its place plus an offset (dy, dx), interpolated, times the mask's weight.

    X (N, C, H, W), offset (N, 2 D kh kw, H2, W2), W (M, C/group, kh, kw), optional bias (M), optional mask
    (N, D kh kw, H2, W2); D deformable groups, each with C / D channels.
    """
    x, offset, weight = (a.astype(np.float64) for a in inputs[:3])
    count, channels, height, width = x.shape
    h, w = geometry(args, (height, width), (weight.shape[2], weight.shape[3]))
    out = (h.count(height), w.count(width))
    groups, parts = args.integer("group", 1), args.integer("deformable_group", 1)
    zeros = bool(args.integer("zero_border", 0))
    cells = h.kernel * w.kernel
    offset = offset.reshape(count, parts, cells, 2, *out)
    mask = np.ones((count, parts, cells, *out)) if len(inputs) < 5 else inputs[4].reshape(count, parts, cells, *out)
    y = np.zeros((count, weight.shape[0], *out))
    for i, j in np.ndindex(h.kernel, w.kernel):
        k = i * w.kernel + j
        # Places along the height lie in the last axis but one of the offsets.
        rows = np.swapaxes(_tents(h, height, i, np.swapaxes(offset[:, :, k, 0], 2, 3), zeros), 2, 3)
        columns = _tents(w, width, j, offset[:, :, k, 1], zeros)
        grouped = x.reshape(count, parts, channels // parts, height, width)
        seen = np.einsum("ndyxh,ndchw,ndyxw->ndcyx", rows, grouped, columns) * mask[:, :, None, k]
        seen = seen.reshape(count, groups, channels // groups, *out)
        filters = weight[:, :, i, j].reshape(groups, -1, channels // groups)
        y += np.einsum("ngcyx,gmc->ngmyx", seen, filters).reshape(y.shape)
    if len(inputs) > 3:
        y += inputs[3].astype(np.float64)[:, None, None]
    return [float32(y)]
