"""Arithmetic of rotated boxes: centre x, y, width, height in pixels, and degrees counter-clockwise (y points down)."""

from __future__ import annotations

import itertools
import math
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


def _corners(box: Array) -> Array:
    """(4, 2), in turn."""
    x, y, w, h, angle = (float(v) for v in box)
    along = np.array([math.cos(math.radians(angle)), -math.sin(math.radians(angle))])
    across = np.array([-along[1], along[0]])
    return np.array([(x, y) + i * w / 2 * along + j * h / 2 * across for i, j in ((-1, -1), (1, -1), (1, 1), (-1, 1))])


def _section(corners: Array, x: float) -> tuple[float, float]:
    """Where the vertical line at `x` enters and leaves a convex polygon; the first is not smaller if it misses."""
    low, high = math.inf, -math.inf
    for a, b in zip(corners, np.roll(corners, -1, axis=0), strict=True):
        if min(a[0], b[0]) < x < max(a[0], b[0]):
            y = a[1] + (b[1] - a[1]) * (x - a[0]) / (b[0] - a[0])
            low, high = min(low, y), max(high, y)
    return low, high


def _crossings(a: Array, b: Array) -> list[float]:
    """The x at which lines through the sides of one polygon meet those of the other."""
    found = []
    for p, r in zip(a, np.roll(a, -1, axis=0) - a, strict=True):
        for q, s in zip(b, np.roll(b, -1, axis=0) - b, strict=True):
            cross = r[0] * s[1] - r[1] * s[0]
            if cross:
                found.append(p[0] + r[0] * ((q[0] - p[0]) * s[1] - (q[1] - p[1]) * s[0]) / cross)
    return found


def shared_area(box: Array, other: Array) -> float:
    """The area that both boxes cover: the integral over x of the length that vertical lines share with both.

    Between the corners and crossings that length is linear in x, so that its value in the middle is its mean.
    """
    a, b = _corners(box), _corners(other)
    first, last = max(a[:, 0].min(), b[:, 0].min()), min(a[:, 0].max(), b[:, 0].max())
    if not first < last:
        return 0.0
    stops = sorted(min(max(x, first), last) for x in [*a[:, 0], *b[:, 0], *_crossings(a, b)])
    area = 0.0
    for x0, x1 in itertools.pairwise(stops):
        sections = [_section(polygon, (x0 + x1) / 2) for polygon in (a, b)]
        area += (x1 - x0) * max(min(s[1] for s in sections) - max(s[0] for s in sections), 0.0)
    return area


def rotated_iou(box: Array, others: Array) -> Array:
    """Intersection over union of one box (5) with many (n, 5); NaN for two without area, or where one is not finite."""
    out = np.full(len(others), np.nan)
    for i, other in enumerate(others):
        if not (np.isfinite(box).all() and np.isfinite(other).all()):
            continue
        areas = [float(b[2]) * float(b[3]) for b in (box, other)]
        shared = shared_area(box, other) if all(areas) else 0.0
        union = sum(areas) - shared
        if union:
            out[i] = shared / union
    return float32(out)
