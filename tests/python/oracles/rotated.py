"""Arithmetic of rotated boxes: centre x, y, width, height in pixels, and degrees counter-clockwise (y points down)."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from .arguments import Arguments, Array
from .boxes import MAX_LOG_SCALE, clip
from .elementwise import float32


def decode_rotated(args: Arguments, boxes: Array, deltas: Array, weights: Sequence[float]) -> Array:
    """Boxes (n, 5) moved, scaled and turned by deltas (n, 5), in float64.

    The centre moves along the image's axes, by delta / weight in units of the box's size; the fifth delta is in
    radians. Angles out of bounds are moved by one period, no more.
    """
    boxes, deltas = boxes.astype(np.float64), deltas.astype(np.float64)
    with np.errstate(all="ignore"):
        moves = deltas[:, :4] / np.asarray(weights, np.float64)
        out = np.empty_like(boxes)
        out[:, :2] = boxes[:, :2] + moves[:, :2] * boxes[:, 2:4]
        out[:, 2:4] = np.exp(np.minimum(moves[:, 2:], MAX_LOG_SCALE)) * boxes[:, 2:4]
        angle = boxes[:, 4] + np.degrees(deltas[:, 4])
    low, high = args.integer("angle_bound_lo", -90), args.integer("angle_bound_hi", 90)
    period = (high - low) if args.flag("angle_bound_on", True) else 0
    out[:, 4] = np.where(angle < low, angle + period, np.where(angle > high, angle - period, angle))
    return out


def clip_rotated(args: Arguments, boxes: Array, height: int, width: int, plus_one: int) -> Array:
    """Boxes that are almost upright, clipped as if they were; others as they are."""
    half = (boxes[:, 2:4] - plus_one) / 2
    with np.errstate(invalid="ignore"):  # boxes may be infinite
        corners = clip(np.concatenate([boxes[:, :2] - half, boxes[:, :2] + half], axis=1), height, width, plus_one)
    out = boxes.copy()
    rows = np.abs(boxes[:, 4]) <= args.number("clip_angle_thresh", 1)
    out[rows, :2] = (corners[rows, :2] + corners[rows, 2:]) / 2
    out[rows, 2:4] = corners[rows, 2:] - corners[rows, :2] + plus_one
    return out


def _corners(boxes: Array) -> Array:
    """Of boxes (n, 5), (n, 4, 2), in turn."""
    boxes = boxes.astype(np.float64)
    centre, half, angle = boxes[:, None, :2], boxes[:, None, 2:4] / 2, np.radians(boxes[:, 4])
    along = np.stack([np.cos(angle), -np.sin(angle)], axis=1)[:, None]
    across = np.stack([np.sin(angle), np.cos(angle)], axis=1)[:, None]
    i, j = np.array([[-1, 1, 1, -1], [-1, -1, 1, 1]])[:, None, :, None]
    return np.asarray(centre + i * half[..., :1] * along + j * half[..., 1:] * across)


def _sections(corners: Array, x: Array) -> tuple[Array, Array]:
    """Where vertical lines at x (n, m) enter and leave convex polygons (n, 4, 2); inf and -inf where they miss."""
    low, high = np.full(x.shape, np.inf), np.full(x.shape, -np.inf)
    for a, b in zip(corners.swapaxes(0, 1)[..., None], np.roll(corners, -1, axis=1).swapaxes(0, 1)[..., None]):
        with np.errstate(divide="ignore", invalid="ignore"):
            y = a[:, 1] + (b[:, 1] - a[:, 1]) * (x - a[:, 0]) / (b[:, 0] - a[:, 0])
        meets = (np.minimum(a[:, 0], b[:, 0]) < x) & (x < np.maximum(a[:, 0], b[:, 0]))
        low, high = np.where(meets, np.minimum(low, y), low), np.where(meets, np.maximum(high, y), high)
    return low, high


def _crossings(a: Array, b: Array) -> Array:
    """The x (n, 16) at which lines through the sides of polygons (n, 4, 2) meet; NaN where they do not."""
    p, r = a[:, :, None], (np.roll(a, -1, axis=1) - a)[:, :, None]
    q, s = b[:, None], (np.roll(b, -1, axis=1) - b)[:, None]
    cross = r[..., 0] * s[..., 1] - r[..., 1] * s[..., 0]
    with np.errstate(divide="ignore", invalid="ignore"):
        share = ((q - p)[..., 0] * s[..., 1] - (q - p)[..., 1] * s[..., 0]) / np.where(cross == 0, np.nan, cross)
    return np.asarray((p[..., 0] + r[..., 0] * share).reshape(len(a), -1))


def shared_area(box: Array, others: Array) -> Array:
    """The areas (n) that a box (5) covers with each of others (n, 5): the integral over x of the length that vertical
    lines share with both.

    Between the corners and crossings that length is linear in x, so that its value in the middle is its mean.
    """
    a, b = np.repeat(_corners(box[None]), len(others), axis=0), _corners(others)
    first = np.maximum(a[..., 0].min(axis=1), b[..., 0].min(axis=1))[:, None]
    last = np.minimum(a[..., 0].max(axis=1), b[..., 0].max(axis=1))[:, None]
    stops = np.concatenate([a[..., 0], b[..., 0], _crossings(a, b)], axis=1)
    stops = np.sort(np.clip(np.where(np.isnan(stops), first, stops), first, np.maximum(first, last)), axis=1)
    sections = [_sections(polygon, (stops[:, 1:] + stops[:, :-1]) / 2) for polygon in (a, b)]
    lengths = np.minimum(sections[0][1], sections[1][1]) - np.maximum(sections[0][0], sections[1][0])
    return np.asarray((np.diff(stops, axis=1) * np.maximum(lengths, 0)).sum(axis=1))


def rotated_iou(box: Array, others: Array) -> Array:
    """Intersection over union of one box (5) with many (n, 5); NaN for two without area, or where one is not finite."""
    box, others = box.astype(np.float64), others.astype(np.float64)
    out = np.full(len(others), np.nan)
    good = np.isfinite(others).all(axis=1) & np.isfinite(box).all()
    area, areas = box[2] * box[3], others[good, 2] * others[good, 3]
    shared = np.where((area != 0) & (areas != 0), shared_area(box, others[good]), 0) if good.any() else areas
    with np.errstate(divide="ignore", invalid="ignore"):
        out[good] = shared / (area + areas - shared)
    return float32(out)
