"""Oracles of operators on feature maps (N, C, ...): normalisations and their scales per channel, padding, resizing."""

from __future__ import annotations

import numpy as np

from .arguments import Arguments, Array
from .elementwise import float32
from .windows import pads


def _require_nchw(args: Arguments) -> None:
    if args.string("order", "NCHW") != "NCHW":
        raise ValueError("these oracles know order NCHW alone")


def _per_channel(values: Array, x: Array) -> Array:
    """(C) as (C, 1, ...), which goes with X (N, C, ...)."""
    return values.astype(np.float64).reshape(values.size, *(1,) * (x.ndim - 2))


def _normalized(x: Array, groups: int, epsilon: float) -> tuple[Array, Array, Array]:
    """X less the mean of its channel group, over its standard deviation; those means, and 1 over those deviations.

    The variance is the mean squared distance from the mean: the sum is divided by the count, not by one less.
    """
    per_group = int(np.prod(x.shape[1:])) // groups if groups else 0  # no channels, no groups
    rows = x.astype(np.float64).reshape(x.shape[0], groups, per_group)
    with np.errstate(invalid="ignore", divide="ignore"):
        count = np.float64(rows.shape[2])
        mean = rows.sum(axis=2) / count
        inv_std = 1 / np.sqrt(((rows - mean[..., None]) ** 2).sum(axis=2) / count + epsilon)
        return ((rows - mean[..., None]) * inv_std[..., None]).reshape(x.shape), mean, inv_std


def group_norm(args: Arguments, inputs: list[Array]) -> list[Array]:
    """Groups of neighbouring channels normalised per image, then scaled and shifted per channel (Wu and He, 2018)."""
    _require_nchw(args)
    x, gamma, beta = inputs
    y, mean, inv_std = _normalized(x, args.integer("group", 32), args.number("epsilon", 1e-5))
    y = y * _per_channel(gamma, x) + _per_channel(beta, x)
    return [float32(y), float32(mean), float32(inv_std)]


def group_norm_relu(args: Arguments, inputs: list[Array]) -> list[Array]:
    return [np.maximum(group_norm(args, inputs)[0], np.float32(0))]


def instance_norm(args: Arguments, inputs: list[Array]) -> list[Array]:
    """Every channel of every image normalised by itself, then scaled and shifted (Ulyanov et al., 2016)."""
    _require_nchw(args)
    x, scale, bias = inputs
    y, mean, inv_std = _normalized(x, x.shape[1], args.number("epsilon", 1e-5))
    y = y * _per_channel(scale, x) + _per_channel(bias, x)
    return [float32(y), float32(mean), float32(inv_std)]


def layer_norm(args: Arguments, inputs: list[Array]) -> list[Array]:
    """The numbers from dimension `axis` on normalised together, then scaled and shifted (Ba et al., 2016)."""
    x, axis = inputs[0], args.integer("axis", 1)
    axis += x.ndim if axis < 0 else 0
    count = int(np.prod(x.shape[:axis]))
    y, mean, inv_std = _normalized(x.reshape(1, *x.shape), count, args.number("epsilon", 1e-5))
    y = y.reshape(x.shape)
    if args.flag("elementwise_affine", False):
        gamma, beta = (v.astype(np.float64).reshape(x.shape[axis:]) for v in inputs[1:])
        y = y * gamma + beta
    moments = (*x.shape[:axis], 1)
    return [float32(y), float32(mean.reshape(moments)), float32(1 / inv_std.reshape(moments))]


def spatial_bn(args: Arguments, inputs: list[Array]) -> list[Array]:
    """Batch normalisation at inference: (x - mean) / sqrt(var + epsilon) scale + bias, with stored statistics."""
    _require_nchw(args)
    if not args.flag("is_test", False):
        raise ValueError("training is not available")
    x = inputs[0]
    scale, bias, mean, var = (_per_channel(values, x) for values in inputs[1:])
    return [float32((x - mean) / np.sqrt(var + args.number("epsilon", 1e-5)) * scale + bias)]


def affine_channel(args: Arguments, inputs: list[Array]) -> list[Array]:
    """x scale + bias, with numbers per channel."""
    _require_nchw(args)
    x, scale, bias = inputs
    return [float32(x * _per_channel(scale, x) + _per_channel(bias, x))]


def pad_image(args: Arguments, inputs: list[Array]) -> list[Array]:
    """Rows and columns around the image: a value, a mirror image without the edge itself, or the edge repeated."""
    _require_nchw(args)
    top, left, bottom, right = pads(args)
    sides = [(0, 0), (0, 0), (top, bottom), (left, right)]
    mode = args.string("mode", "constant")
    if mode == "reflect":
        return [np.pad(inputs[0], sides, mode="reflect")]
    if mode == "edge":
        return [np.pad(inputs[0], sides, mode="edge")]
    return [np.pad(inputs[0], sides, constant_values=np.float32(args.number("value", 0)))]


def upsample_nearest(args: Arguments, inputs: list[Array]) -> list[Array]:
    """Every cell becomes a square of `scale` (default 2) times `scale` cells."""
    scale = args.integer("scale", 2)
    return [inputs[0].repeat(scale, axis=2).repeat(scale, axis=3)]


def _line_weights(size: int, scale: float) -> Array:
    """(out, size): how much of each input cell is in each output cell along one axis; the ends stay in place.

    The output has trunc(size scale) cells, and the places between the ends are computed, in float32.
    """
    out = int(np.float32(size) * np.float32(scale))
    weights = np.zeros((out, size))
    step = np.float32(size - 1) / np.float32(out - 1) if out > 1 else np.float32(0)
    for i in range(out if size else 0):
        at = step * np.float32(i)
        low = min(int(at), size - 1)
        part = at - np.float32(low)
        weights[i, low] += np.float32(1) - part
        weights[i, min(low + 1, size - 1)] += part
    return weights


def resize_bilinear(args: Arguments, inputs: list[Array]) -> list[Array]:
    """Linear along both axes, corners in place. A second input (height scale, width scale) overrides the arguments."""
    _require_nchw(args)
    x = inputs[0].astype(np.float64)
    scales = [args.number("height_scale", 1), args.number("width_scale", 1)]
    if len(inputs) > 1:
        scales = [float(s) for s in inputs[1]]
    rows, columns = _line_weights(x.shape[2], scales[0]), _line_weights(x.shape[3], scales[1])
    return [float32(np.einsum("ih,nchw,jw->ncij", rows, x, columns, optimize=True))]


def nchw_to_nhwc(_: Arguments, inputs: list[Array]) -> list[Array]:
    return [np.moveaxis(inputs[0], 1, -1)]


def nhwc_to_nchw(_: Arguments, inputs: list[Array]) -> list[Array]:
    return [np.moveaxis(inputs[0], -1, 1)]


def _weights(size: int, out: int, step: float, mode: str, corners: bool) -> Array:
    """(out, size): what each cell takes of the cells of a line."""
    weights = np.zeros((out, size))
    for i in range(out):
        if mode == "nearest":
            weights[i, min(int(np.float32(step) * np.float32(i)), size - 1)] = 1
            continue
        at = i * step if corners else min(max(step * (i + 0.5) - 0.5, 0), size - 1)
        low = min(int(at), size - 1)
        weights[i, low] += 1 - (at - low)
        weights[i, min(low + 1, size - 1)] += at - low
    return weights


def interpolate(args: Arguments, inputs: list[Array]) -> list[Array]:
    """PyTorch's interpolate, by scales or to the size of a second map."""
    x, corners, mode = inputs[0].astype(np.float64), args.flag("align_corners", False), args.string("mode", "bilinear")
    sides = []
    for axis, name in ((2, "height_scale"), (3, "width_scale")):
        size, scale = x.shape[axis], args.number(name, 1)
        out = int(np.float32(size) * np.float32(scale))
        step = 1 / scale
        if len(inputs) > 1:
            out = inputs[1].shape[axis]
            step = size / out
        if corners:
            step = (size - 1) / (out - 1) if out > 1 else 0
        sides.append(_weights(size, out, step, mode, corners))
    return [float32(np.einsum("ih,nchw,jw->ncij", sides[0], x, sides[1], optimize=True))]
