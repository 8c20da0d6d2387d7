"""Geometry of boxes as tensors: the last axis says the kind, 4 for upright xyxy, 5 for rotated (cx cy w h angle).

Coordinates are pixels, ends are exclusive, angles are degrees, counter-clockwise: at 90 the box's width points up.

Source: detectron2/structures/boxes.py and rotated_boxes.py, detectron2/modeling/box_regression.py. Empty boxes, NaN and
infinity come out as there.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Tensor

from d2deploy.errors import InvalidArgument
from d2deploy.structures import Boxes, RotatedBoxes

__all__ = [
    "Box2BoxTransform",
    "Box2BoxTransformRotated",
    "area",
    "as_boxes",
    "box2box_transform",
    "clip",
    "nonempty",
    "scale",
]

# A box grows at most to 1000 pixels from an anchor of 16, so that exp() cannot overflow.
SCALE_CLAMP = math.log(1000.0 / 16)
# Rotated boxes are clipped only where they are upright to within one degree.
CLIP_ANGLE = 1.0


class Box2BoxTransform:
    """Decodes regression deltas of upright boxes, xyxy.

    centre = anchor centre + (dx, dy) / (wx, wy) * anchor size;  size = anchor size * exp((dw, dh) / (ww, wh)).

    Args:
        weights: wx, wy, ww, wh.
        scale_clamp: upper bound of dw / ww and dh / wh.

    Raises:
        InvalidArgument: another number of weights.

    Law: apply_deltas(get_deltas(src, target), src) == target, where get_deltas turns the formula round,
    (dx, dy) = (wx, wy) * (target centre - src centre) / src size and (dw, dh) = (ww, wh) * log(target size / src size),
    as far as no side grows beyond exp(scale_clamp). apply_deltas(0, src) == src.

    Source: Girshick et al., Rich Feature Hierarchies (R-CNN), appendix C; detectron2/modeling/box_regression.py.
    """

    box_dim = 4

    def __init__(self, weights: Sequence[float], scale_clamp: float = SCALE_CLAMP) -> None:
        if len(weights) != self.box_dim:
            raise InvalidArgument(f"{type(self).__name__}: needs {self.box_dim} weights, got {list(weights)}")
        self.weights = tuple(weights)
        self.scale_clamp = scale_clamp

    def apply_deltas(self, deltas: Tensor, boxes: Tensor) -> Tensor:
        """Boxes, (R, D K) like `deltas`, from `deltas` for K classes and `boxes` (R, D)."""
        deltas = deltas.float().reshape(len(deltas), deltas.shape[1] // self.box_dim, self.box_dim)
        deltas = deltas / deltas.new_tensor(self.weights)
        return self.decode(deltas, boxes.to(deltas.dtype)[:, None, :]).flatten(1)

    def decode(self, deltas: Tensor, boxes: Tensor) -> Tensor:
        """Boxes (R, K, D) from deltas (R, K, D) without weights and boxes (R, 1, D)."""
        size = boxes[..., 2:] - boxes[..., :2]
        centre = deltas[..., :2] * size + (boxes[..., :2] + 0.5 * size)
        size = torch.exp(deltas[..., 2:].clamp(max=self.scale_clamp)) * size
        return torch.cat([centre - 0.5 * size, centre + 0.5 * size], dim=-1)


class Box2BoxTransformRotated(Box2BoxTransform):
    """Decodes regression deltas of rotated boxes: as Box2BoxTransform, and angle = anchor angle + da / wa radians.

    The centre moves along the axes of the image, not of the box.

    Args:
        weights: wx, wy, ww, wh, wa.
        scale_clamp: upper bound of dw / ww and dh / wh.

    Law: as of Box2BoxTransform, with da = wa * (target angle - src angle) in radians, but for whole turns.

    Source: Ma et al., Arbitrary-Oriented Scene Text Detection via Rotation Proposals, section IV;
    detectron2/modeling/box_regression.py.
    """

    box_dim = 5

    def decode(self, deltas: Tensor, boxes: Tensor) -> Tensor:
        """As for upright boxes; angles come out in [-180, 180)."""
        centre = deltas[..., :2] * boxes[..., 2:4] + boxes[..., :2]
        size = torch.exp(deltas[..., 2:4].clamp(max=self.scale_clamp)) * boxes[..., 2:4]
        angle = normalised(deltas[..., 4:] * 180.0 / math.pi + boxes[..., 4:])
        return torch.cat([centre, size, angle], dim=-1)


def box2box_transform(weights: Sequence[float]) -> Box2BoxTransform:
    """The transform for four weights, upright, or for five, rotated."""
    return (Box2BoxTransformRotated if len(weights) == 5 else Box2BoxTransform)(weights)


def normalised(angles: Tensor) -> Tensor:
    """The same angles in [-180, 180), in degrees. Law: normalised(angles + 360) == normalised(angles)."""
    return (angles + 180.0) % 360.0 - 180.0


def as_boxes(boxes: Tensor) -> Boxes:
    """The container for boxes (N, 4) or (N, 5)."""
    return RotatedBoxes(boxes) if boxes.shape[-1] == 5 else Boxes(boxes)


def area(boxes: Tensor) -> Tensor:
    """Areas (...,) of boxes (..., 4 or 5), in square pixels; of upright boxes with one negative side, negative."""
    if boxes.shape[-1] == 5:
        return boxes[..., 2] * boxes[..., 3]
    return (boxes[..., 2] - boxes[..., 0]) * (boxes[..., 3] - boxes[..., 1])


def clip(boxes: Tensor, image_size: tuple[int, int]) -> Tensor:
    """Boxes (..., 4 or 5) cut to an image of that height and width.

    Rotated boxes get their angles normalised, and are cut only where they are upright to within one degree.

    Law: clip(clip(boxes)) == clip(boxes); upright boxes come to lie in the image, those that lie in it stay.
    """
    if boxes.shape[-1] == 4:
        height, width = image_size
        x = boxes[..., 0::2].clamp(min=0, max=width)
        y = boxes[..., 1::2].clamp(min=0, max=height)
        return torch.stack([x[..., 0], y[..., 0], x[..., 1], y[..., 1]], dim=-1)
    centre, size, angle = boxes[..., :2], boxes[..., 2:4], normalised(boxes[..., 4:])
    corners = clip(torch.cat([centre - size / 2.0, centre + size / 2.0], dim=-1), image_size)
    low, high = corners[..., :2], corners[..., 2:]
    # Rounding must not make a box larger.
    cut = torch.cat([(low + high) / 2.0, torch.minimum(size, high - low), angle], dim=-1)
    return torch.where(angle.abs() <= CLIP_ANGLE, cut, torch.cat([centre, size, angle], dim=-1))


def nonempty(boxes: Tensor, threshold: float = 0.0) -> Tensor:
    """Mask of boxes (..., 4 or 5) whose two sides are both longer than `threshold` pixels."""
    size = boxes[..., 2:4] if boxes.shape[-1] == 5 else boxes[..., 2:] - boxes[..., :2]
    return (size > threshold).all(dim=-1)


def scale(boxes: Tensor, scale_x: float, scale_y: float) -> Tensor:
    """Boxes (N, 4 or 5) of a resized image.

    A rotated box becomes a parallelogram where the factors differ; it is replaced by the rotated box whose half axes
    have the lengths of the scaled ones and whose height has the direction of the scaled height.

    Law: scale(scale(boxes, x, y), 1 / x, 1 / y) == boxes for upright boxes; for rotated ones where x == y.
    """
    factors = boxes.new_tensor([scale_x, scale_y])
    if boxes.shape[-1] == 4:
        return boxes * factors.repeat(2)
    radians = boxes[:, 4] * math.pi / 180.0
    cosine, sine = torch.cos(radians), torch.sin(radians)
    width = boxes[:, 2] * torch.sqrt((scale_x * cosine) ** 2 + (scale_y * sine) ** 2)
    height = boxes[:, 3] * torch.sqrt((scale_x * sine) ** 2 + (scale_y * cosine) ** 2)
    angle = torch.atan2(scale_x * sine, scale_y * cosine) * 180.0 / math.pi
    return torch.cat([boxes[:, :2] * factors, torch.stack([width, height, angle], dim=1)], dim=1)
