"""Geometry of boxes in NumPy, for predictions: rows of 4, upright xyxy, or of 5, rotated (cx cy w h angle).

Coordinates are pixels, ends are exclusive, angles are degrees, counter-clockwise. modeling.boxes has the same in
PyTorch; tests compare the two.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from d2deploy.structures import Boxes, RotatedBoxes

__all__ = ["as_boxes", "batched_nms", "clip", "decode", "nms", "nonempty", "scale", "shifted_anchors"]

Array = npt.NDArray[Any]
# A box grows at most to 1000 pixels from an anchor of 16, so that exp() cannot overflow.
SCALE_CLAMP = math.log(1000.0 / 16)
# Rotated boxes are clipped only where they are upright to within one degree.
CLIP_ANGLE = 1.0


def as_boxes(boxes: Array) -> Boxes:
    """The container for boxes (N, 4) or (N, 5)."""
    return RotatedBoxes(boxes) if boxes.shape[1] == 5 else Boxes(boxes)


def nonempty(boxes: Array) -> Array:
    """Mask of boxes (N, 4 or 5) whose two sides are both longer than nothing."""
    size = boxes[:, 2:4] if boxes.shape[1] == 5 else boxes[:, 2:] - boxes[:, :2]
    mask: Array = np.all(size > 0, axis=1)
    return mask


def clip(boxes: Array, size: tuple[int, int]) -> Array:
    """Boxes (N, 4 or 5) cut to an image of that height and width.

    Rotated boxes get their angles in [-180, 180), and are cut only where they are upright to within one degree.
    """
    if boxes.shape[1] == 4:
        inside: Array = boxes.clip(0, np.array([size[1], size[0]] * 2, boxes.dtype))
        return inside
    centre, sides, angle = boxes[:, :2], boxes[:, 2:4], (boxes[:, 4:] + 180) % 360 - 180
    corners = clip(np.concatenate([centre - sides / 2, centre + sides / 2], axis=1), size)
    low, high = corners[:, :2], corners[:, 2:]
    # Rounding must not make a box larger.
    cut = np.concatenate([(low + high) / 2, np.minimum(sides, high - low), angle], axis=1)
    whole = np.concatenate([centre, sides, angle], axis=1)
    return np.where(np.abs(angle) <= CLIP_ANGLE, cut, whole)


def scale(boxes: Array, scale_x: float, scale_y: float) -> Array:
    """Boxes (N, 4 or 5) of a resized image.

    A rotated box becomes a parallelogram where the factors differ; it is replaced by the rotated box whose half axes
    have the lengths of the scaled ones and whose height has the direction of the scaled height.
    """
    factors: Array = np.array([scale_x, scale_y], boxes.dtype)
    if boxes.shape[1] == 4:
        scaled: Array = boxes * np.tile(factors, 2)
        return scaled
    radians = boxes[:, 4] * (math.pi / 180)
    cosine, sine = np.cos(radians), np.sin(radians)
    width = boxes[:, 2] * np.hypot(scale_x * cosine, scale_y * sine)
    height = boxes[:, 3] * np.hypot(scale_x * sine, scale_y * cosine)
    angle = np.arctan2(scale_x * sine, scale_y * cosine) * (180 / math.pi)
    return np.concatenate([boxes[:, :2] * factors, np.stack([width, height, angle], axis=1)], axis=1)


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
