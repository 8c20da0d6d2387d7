"""Anchors, regression deltas and suppression of upright boxes xyxy, in NumPy, for predictions.

Coordinates are pixels, ends are exclusive. modeling has the same in PyTorch; tests compare the two.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

__all__ = ["batched_nms", "decode", "nms", "shifted_anchors"]

Array = npt.NDArray[Any]
# A box grows at most to 1000 pixels from an anchor of 16, so that exp() cannot overflow.
SCALE_CLAMP = math.log(1000.0 / 16)


def shifted_anchors(cell: Array, grid: Sequence[int], stride: int) -> Array:
    """Anchors (H W A, 4) of one level: those of a cell (A, 4), moved to each position of a grid H x W."""
    y, x = np.meshgrid(*(np.arange(count, dtype=cell.dtype) * stride for count in grid), indexing="ij")
    return (np.stack([x, y, x, y], axis=-1)[:, :, None] + cell).reshape(-1, 4)


def decode(deltas: Array, boxes: Array, weights: Sequence[float]) -> Array:
    """Boxes (R, 4) from regression deltas (R, 4) and anchors (R, 4).

    centre = anchor centre + (dx, dy) / (wx, wy) * anchor size;  size = anchor size * exp((dw, dh) / (ww, wh)).
    """
    deltas = deltas / np.array(weights, deltas.dtype)
    size = boxes[:, 2:] - boxes[:, :2]
    centre = deltas[:, :2] * size + (boxes[:, :2] + 0.5 * size)
    size = np.exp(np.minimum(deltas[:, 2:], SCALE_CLAMP)) * size
    return np.concatenate([centre - 0.5 * size, centre + 0.5 * size], axis=1)


def nms(boxes: Array, scores: Array, threshold: float) -> npt.NDArray[np.int64]:
    """Non-maximum suppression: a box is dropped where it overlaps a kept one of higher score by more than `threshold`.

    Args:
        boxes: (N, 4).
        scores: (N,).
        threshold: intersection over union.

    Returns:
        Indices of the kept boxes, by falling score; of equal scores the earlier box comes first.
    """
    areas = (boxes[:, 2] - boxes[:, 0]) * (boxes[:, 3] - boxes[:, 1])
    rest = np.argsort(-scores, kind="stable")
    kept: list[int] = []
    while len(rest):
        best, rest = rest[0], rest[1:]
        kept.append(int(best))
        low = np.maximum(boxes[rest, :2], boxes[best, :2])
        high = np.minimum(boxes[rest, 2:], boxes[best, 2:])
        common = np.prod(np.maximum(high - low, 0), axis=1)
        with np.errstate(invalid="ignore"):  # of two boxes without area neither drops the other
            rest = rest[~(common / (areas[rest] + areas[best] - common) > threshold)]
    return np.array(kept, np.int64)


def batched_nms(boxes: Array, scores: Array, groups: Array, threshold: float) -> npt.NDArray[np.int64]:
    """Non-maximum suppression, as `nms`, within each group (N,) alone; all groups together by falling score."""
    kept: list[Array] = []
    for group in np.unique(groups):
        members = np.flatnonzero(groups == group)
        kept.append(members[nms(boxes[members], scores[members], threshold)])
    every = np.sort(np.concatenate(kept)) if kept else np.zeros(0, np.int64)
    return every[np.argsort(-scores[every], kind="stable")]
