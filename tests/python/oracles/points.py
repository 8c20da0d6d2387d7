"""Oracles of operators on points of maps (R, C, H, W), as PointRend has them."""

from __future__ import annotations

import numpy as np

from .arguments import Arguments, Array
from .elementwise import float32


def _tents(places: Array, size: int) -> Array:
    """(P, size): how much a place takes of each cell, 1 at its middle, falling to 0 at the neighbours' middles."""
    finite = np.isfinite(places)
    at = np.where(finite, places, 0).astype(np.float64)
    return np.where(finite[:, None], np.maximum(0, 1 - np.abs(at[:, None] - np.arange(size))), 0)


def point_sample(args: Arguments, inputs: list[Array]) -> list[Array]:
    """X (N, C, H, W) at points (M, P, 2) in [0, 1], of the whole map, or of boxes (R, 4 or 5) in the image.

    Places are computed in float32: that of a point decides which cells it lies between.
    """
    x, points = inputs[:2]
    scale, width = np.float32(args.number("spatial_scale", 1.0)), args.integer("width", 1)
    rows = len(inputs[2]) if len(inputs) > 2 else len(x)
    y = np.zeros((rows, x.shape[1], points.shape[1] // width, width))
    size = np.array([x.shape[3], x.shape[2]], np.float32)
    for row in range(rows):
        own = points[row if len(points) > 1 else 0].astype(np.float32)
        image = row
        with np.errstate(over="ignore", invalid="ignore"):
            if len(inputs) > 2:
                *index, x1, y1, x2, y2 = inputs[2][row].astype(np.float32)
                image = int(index[0]) if index else 0
                low, high = np.array([x1, y1]), np.array([x2, y2])
                places = (low + own * (high - low)) * scale - np.float32(0.5)
            else:
                places = own * size - np.float32(0.5)
        across, down = _tents(places[:, 0], x.shape[3]), _tents(places[:, 1], x.shape[2])
        y[row] = np.einsum("ph,chw,pw->cp", down, x[image].astype(np.float64), across).reshape(y.shape[1:])
    return [float32(y)]


def uncertain_points(args: Arguments, inputs: list[Array]) -> list[Array]:
    """The least certain cells: of the smallest |X|, or of the least difference of the two largest channels."""
    (x,) = inputs
    rows, channels, height, width = x.shape
    with np.errstate(invalid="ignore"):
        if channels == 1:
            certain = np.abs(x[:, 0])
        else:
            certain = np.sort(x, axis=1)  # NaN last
            certain = certain[:, -1] - certain[:, -2]
    certain = np.where(np.isnan(certain), -1, certain).reshape(rows, height * width)
    order = np.argsort(certain, axis=1, kind="stable")[:, : args.integer("count", 1)]
    places = np.sort(order, axis=1)
    points = np.stack(
        [(places % max(width, 1) + 0.5) / max(width, 1), (places // max(width, 1) + 0.5) / max(height, 1)]
    )
    return [places.astype(np.int32), float32(np.moveaxis(points, 0, 2))]


def put_points(_: Arguments, inputs: list[Array]) -> list[Array]:
    """X with other values in the cells that are named."""
    x, places, values = inputs
    y = x.reshape(*x.shape[:2], x.shape[2] * x.shape[3]).copy()
    for row, own in enumerate(places):
        y[row][:, own] = values[row].reshape(x.shape[1], len(own))
    return [y.reshape(x.shape)]


def own_class(_: Arguments, inputs: list[Array]) -> list[Array]:
    """Of each row the channel of its class, without the fraction."""
    x, classes = inputs
    return [x[np.arange(len(x)), classes.astype(np.int64)][:, None]]
