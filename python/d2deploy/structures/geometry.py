"""Geometry of boxes: rows of 4, upright xyxy, or of 5, rotated (cx cy w h angle), NumPy arrays or PyTorch tensors.

Coordinates are pixels, ends are exclusive, angles are degrees, counter-clockwise. Nothing is changed in place.
"""

from __future__ import annotations

import math
from typing import Any

from d2deploy.structures.arrays import namespace

__all__ = ["area", "centres", "clip", "inside", "nonempty", "normalised", "scale"]

# Rotated boxes are clipped only where they are upright to within one degree.
CLIP_ANGLE = 1.0


def is_rotated(boxes: Any) -> bool:
    """Whether boxes (..., 4 or 5) are rotated ones."""
    return bool(boxes.shape[-1] == 5)


def sides(boxes: Any) -> Any:
    """Widths and heights (..., 2) of boxes (..., 4 or 5)."""
    return boxes[..., 2:4] if is_rotated(boxes) else boxes[..., 2:] - boxes[..., :2]


def area(boxes: Any) -> Any:
    """Areas (...,) of boxes (..., 4 or 5), in square pixels; of upright boxes with one negative side, negative."""
    size = sides(boxes)
    return size[..., 0] * size[..., 1]


def centres(boxes: Any) -> Any:
    """Centres x y (..., 2) of boxes (..., 4 or 5)."""
    return boxes[..., :2] if is_rotated(boxes) else (boxes[..., :2] + boxes[..., 2:]) / 2


def nonempty(boxes: Any, threshold: float = 0.0) -> Any:
    """Mask of boxes (..., 4 or 5) whose two sides are both longer than `threshold` pixels."""
    return (sides(boxes) > threshold).all(-1)


def normalised(angles: Any) -> Any:
    """The same angles in [-180, 180), in degrees. Law: normalised(angles + 360) == normalised(angles)."""
    return (angles + 180.0) % 360.0 - 180.0


def clip(boxes: Any, image_size: tuple[int, int], angle_threshold: float = CLIP_ANGLE) -> Any:
    """Boxes (..., 4 or 5) cut to an image of that height and width.

    Rotated boxes get their angles normalised, and are cut only where they are upright to within the threshold.

    Law: clip(clip(boxes)) == clip(boxes); upright boxes come to lie in the image, those that lie in it stay.
    """
    xp = namespace(boxes)
    if not is_rotated(boxes):
        height, width = image_size
        x, y = boxes[..., 0::2].clip(0, width), boxes[..., 1::2].clip(0, height)
        return xp.stack([x[..., 0], y[..., 0], x[..., 1], y[..., 1]], -1)
    centre, size, angle = boxes[..., :2], boxes[..., 2:4], normalised(boxes[..., 4:])
    corners = clip(xp.concatenate([centre - size / 2, centre + size / 2], -1), image_size)
    low, high = corners[..., :2], corners[..., 2:]
    # Rounding must not make a box larger.
    cut = xp.concatenate([(low + high) / 2, xp.minimum(size, high - low), angle], -1)
    return xp.where(abs(angle) <= angle_threshold, cut, xp.concatenate([centre, size, angle], -1))


def scale(boxes: Any, scale_x: float, scale_y: float) -> Any:
    """Boxes (..., 4 or 5) of a resized image.

    A rotated box becomes a parallelogram where the factors differ; it is replaced by the rotated box whose half axes
    have the lengths of the scaled ones and whose height has the direction of the scaled height.

    Law: scale(scale(boxes, x, y), 1 / x, 1 / y) == boxes for upright boxes; for rotated ones where x == y.
    """
    xp, scale_x, scale_y = namespace(boxes), float(scale_x), float(scale_y)
    x, y = boxes[..., 0] * scale_x, boxes[..., 1] * scale_y
    if not is_rotated(boxes):
        return xp.stack([x, y, boxes[..., 2] * scale_x, boxes[..., 3] * scale_y], -1)
    radians = boxes[..., 4] * math.pi / 180.0
    cosine, sine = xp.cos(radians), xp.sin(radians)
    width = boxes[..., 2] * xp.sqrt((scale_x * cosine) ** 2 + (scale_y * sine) ** 2)
    height = boxes[..., 3] * xp.sqrt((scale_x * sine) ** 2 + (scale_y * cosine) ** 2)
    angle = xp.arctan2(scale_x * sine, scale_y * cosine) * 180.0 / math.pi
    return xp.stack([x, y, width, height, angle], -1)


def inside(boxes: Any, image_size: tuple[int, int], border: float = 0) -> Any:
    """Mask of boxes (..., 4 or 5) that reach no more than `border` pixels beyond an image of that height and width.

    The image's right and lower ends do not belong to it. A rotated box counts as the smallest upright one around it.
    """
    height, width = image_size
    low, high = boxes[..., :2], boxes[..., 2:]
    if is_rotated(boxes):
        xp, radians = namespace(boxes), boxes[..., 4:] * math.pi / 180.0
        half = boxes[..., 2:4] / 2.0
        reach = abs(xp.cos(radians)) * half + abs(xp.sin(radians)) * half[..., [1, 0]]
        low, high = boxes[..., :2] - reach, boxes[..., :2] + reach
    return (low >= -border).all(-1) & (high[..., 0] < width + border) & (high[..., 1] < height + border)
