"""Boxes from regression deltas: the last axis says the kind, 4 for upright xyxy, 5 for rotated (cx cy w h angle).

Coordinates are pixels, ends are exclusive, angles are degrees, counter-clockwise: at 90 the box's width points up.

Source: detectron2/modeling/box_regression.py. Empty boxes, NaN and infinity come out as there.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Tensor

from d2deploy.errors import InvalidArgument
from d2deploy.structures.geometry import normalised

__all__ = ["Box2BoxTransform", "Box2BoxTransformLinear", "Box2BoxTransformRotated", "box2box_transform"]

# A box grows at most to 1000 pixels from an anchor of 16, so that exp() cannot overflow.
SCALE_CLAMP = math.log(1000.0 / 16)


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


class Box2BoxTransformLinear:
    """Decodes distances of a box's sides from its anchor's centre: left, upper, right, lower, in the anchor's sizes.

    Negative ones count as 0, so that boxes are never turned inside out.

    Law: apply_deltas(0.5, src) == src.

    Source: Tian et al., FCOS: A Simple and Strong Anchor-Free Object Detector, section 2.1;
    detectron2/modeling/box_regression.py.
    """

    box_dim = 4

    def apply_deltas(self, deltas: Tensor, boxes: Tensor) -> Tensor:
        """Boxes (R, 4) from deltas (R, 4) and boxes (R, 4)."""
        size = boxes[:, 2:] - boxes[:, :2]
        centre = 0.5 * (boxes[:, :2] + boxes[:, 2:])
        low, high = deltas.float().relu().chunk(2, 1)
        return torch.cat([centre - low * size, centre + high * size], dim=1)


def box2box_transform(weights: Sequence[float]) -> Box2BoxTransform:
    """The transform for four weights, upright, or for five, rotated."""
    return (Box2BoxTransformRotated if len(weights) == 5 else Box2BoxTransform)(weights)
