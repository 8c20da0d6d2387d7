"""Arithmetic of upright boxes that several detection oracles share.

Boxes are xyxy in pixels. With `legacy_plus_one` both ends are included, so that a box is one pixel wider.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

import numpy as np

from .arguments import Array

MAX_LOG_SCALE = math.log(1000 / 16)  # a decoded box is at most 62.5 times as wide as its anchor


def decode(boxes: Array, deltas: Array, weights: Sequence[float], plus_one: int) -> Array:
    """Boxes (n, 4) moved and scaled by deltas (n, 4), in float64.

    Centres move by delta / weight in units of the box's size, sizes scale by exp(delta / weight), which is bounded
    above (Girshick et al., R-CNN, appendix C).
    """
    boxes, deltas = boxes.astype(np.float64), deltas.astype(np.float64) / np.asarray(weights, np.float64)
    with np.errstate(invalid="ignore"):  # boxes and deltas may be infinite
        size = boxes[:, 2:] - boxes[:, :2] + plus_one
        centre = boxes[:, :2] + size / 2 + deltas[:, :2] * size
        size = np.exp(np.minimum(deltas[:, 2:], MAX_LOG_SCALE)) * size
        return np.concatenate([centre - size / 2, centre + size / 2 - plus_one], axis=1)


def clip(boxes: Array, height: int, width: int, plus_one: int) -> Array:
    """Corners moved into [0, width - plus_one] and [0, height - plus_one]."""
    limit = np.array([width, height, width, height], np.float64) - plus_one
    return np.maximum(np.minimum(boxes, limit), 0)


def iou(box: Array, others: Array, plus_one: int) -> Array:
    """Intersection over union of one box (4) with many (n, 4), in float32 as thresholds are compared with it.

    Two boxes without area give NaN.
    """
    one = np.float32(plus_one)
    box, others = box.astype(np.float32), others.astype(np.float32)
    sides = np.minimum(box[2:], others[:, 2:]) - np.maximum(box[:2], others[:, :2]) + one
    sides = np.maximum(sides, np.float32(0))
    inter = sides[:, 0] * sides[:, 1]
    area = (box[2] - box[0] + one) * (box[3] - box[1] + one)
    areas = (others[:, 2] - others[:, 0] + one) * (others[:, 3] - others[:, 1] + one)
    with np.errstate(invalid="ignore", divide="ignore"):
        return np.asarray(inter / (area + areas - inter))


Overlap = Callable[[Array, Array], Array]  # of one box with others: IoU, in float32


def upright(plus_one: int) -> Overlap:
    return lambda box, others: iou(box, others, plus_one)


def nms(boxes: Array, order: Sequence[int], threshold: float, limit: int, overlap: Overlap) -> list[int]:
    """Greedy suppression: the first of `order` stays and removes all whose overlap is not at most `threshold`.

    Ends when `limit` boxes are kept, if that is positive. NaN is not at most anything, so it removes.
    """
    kept: list[int] = []
    left = np.asarray(order, np.int64)
    while len(left) and not 0 < limit <= len(kept):
        kept.append(int(left[0]))
        left = left[1:]
        left = left[overlap(boxes[kept[-1]], boxes[left]) <= np.float32(threshold)]
    return kept
