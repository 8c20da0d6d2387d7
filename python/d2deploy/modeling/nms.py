"""Overlap of boxes and non-maximum suppression in plain PyTorch. Boxes are as in structures.geometry.

Source of the meaning: detectron2/layers/nms.py, pairwise_iou of detectron2/structures/boxes.py, and
detectron2/layers/csrc/box_iou_rotated and nms_rotated. The exact overlap of rotated boxes is computed another way.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor

from d2deploy.structures.geometry import area

__all__ = ["batched_nms", "iou", "iou_rotated", "nms"]

# So many boxes are compared with each other at a time: bounds the memory to BLOCK rows of overlaps.
BLOCK = 256
# Slack of the bound that spares rotated boxes the exact overlap.
BOUND_SLACK = 1e-4
# Relative tolerance of "on the same line" for edges in float64: far above its rounding, far below what overlaps need.
EDGE_TOLERANCE = 1e-9


def intersection(a: Tensor, b: Tensor) -> Tensor:
    """Common areas, (N, M), of upright boxes (N, 4) and (M, 4), in square pixels."""
    left, top, right, bottom = a.T[:, :, None]
    other_left, other_top, other_right, other_bottom = b.T[:, None, :]
    width = (torch.minimum(right, other_right) - torch.maximum(left, other_left)).clamp_(min=0)
    return width.mul_((torch.minimum(bottom, other_bottom) - torch.maximum(top, other_top)).clamp_(min=0))


def over_union(inner: Tensor, area_a: Tensor, area_b: Tensor) -> Tensor:
    """Intersection over union, (N, M), from common areas and the areas (N,) and (M,)."""
    return inner / (area_a[:, None] + area_b[None] - inner)


def iou(a: Tensor, b: Tensor) -> Tensor:
    """Intersection over union, (N, M), of upright boxes (N, 4) and (M, 4); NaN where both are empty.

    Law: iou(a, b) == iou(b, a).T, from 0 to 1, 1 of a box and itself; the same where both are moved or scaled.
    """
    return over_union(intersection(a, b), area(a), area(b))


def iou_rotated(a: Tensor, b: Tensor) -> Tensor:
    """Intersection over union, (N, M), of rotated boxes (N, 5) and (M, 5); 0 where one is empty.

    Law: as of `iou`, and the same where both are turned; at angle 0 it is `iou` of the upright boxes.
    """
    index_a, index_b = (i.flatten() for i in torch.meshgrid(arange(a), arange(b), indexing="ij"))
    return iou_of_pairs(a[index_a], b[index_b]).view(len(a), len(b))


def arange(boxes: Tensor) -> Tensor:
    return torch.arange(len(boxes), device=boxes.device)


def iou_of_pairs(a: Tensor, b: Tensor) -> Tensor:
    """Intersection over union, (P,), of rotated boxes a[i] and b[i], each (P, 5)."""
    a, b = a.double(), b.double()
    middle = (a[:, :2] + b[:, :2]) / 2
    corners_a, corners_b = corners(a) - middle[:, None], corners(b) - middle[:, None]
    tolerance = EDGE_TOLERANCE * (corners_a.abs().amax(dim=(1, 2)) + corners_b.abs().amax(dim=(1, 2)))
    # Green's theorem on the boundary of the intersection: the edges of a inside b and those of b inside a. An edge
    # that both have counts once: the tolerance grows b and shrinks a.
    inner = inside_area(corners_a, corners_b, tolerance) + inside_area(corners_b, corners_a, -tolerance)
    area_a, area_b = area(a), area(b)
    empty = torch.minimum(area_a, area_b) < 1e-14
    return torch.where(empty, torch.zeros_like(inner), inner / (area_a + area_b - inner).clamp(min=1e-14)).float()


def corners(boxes: Tensor) -> Tensor:
    """Corners, (N, 4, 2), of rotated boxes (N, 5), in the order that makes the enclosed area positive."""
    radians = boxes[:, 4] * (math.pi / 180.0)
    cosine, sine = torch.cos(radians), torch.sin(radians)
    # Half of the width axis and of the height axis, in image coordinates (y points down).
    wide = torch.stack([cosine, -sine], dim=1) * boxes[:, 2:3] / 2
    high = torch.stack([sine, cosine], dim=1) * boxes[:, 3:4] / 2
    around = torch.stack([-wide - high, wide - high, wide + high, -wide + high], dim=1)
    return boxes[:, None, :2] + around


def cross(a: Tensor, b: Tensor) -> Tensor:
    return a[..., 0] * b[..., 1] - a[..., 1] * b[..., 0]


def inside_area(subject: Tensor, clipper: Tensor, tolerance: Tensor) -> Tensor:
    """Integral of x dy - y dx, halved, over the parts of `subject`'s edges that are inside `clipper`.

    Args:
        subject: (P, 4, 2), corners.
        clipper: (P, 4, 2), corners.
        tolerance: (P,), pixels by which the clipper is grown.
    """
    start, along = subject, subject.roll(-1, 1) - subject
    edge = clipper.roll(-1, 1) - clipper
    length = edge.norm(dim=-1).clamp(min=1e-300)
    # Each edge start + t along, t in [0, 1], against each half plane cross(edge, p - corner) >= -tolerance * length.
    height = cross(edge[:, None], start[:, :, None] - clipper[:, None]) / length[:, None] + tolerance[:, None, None]
    slope = cross(edge[:, None], along[:, :, None]) / length[:, None]
    t = -height / torch.where(slope == 0, torch.ones_like(slope), slope)
    enter = torch.where(slope > 0, t, torch.where((slope == 0) & (height < 0), 2.0, 0.0)).amax(dim=2).clamp(min=0)
    leave = torch.where(slope < 0, t, 1.0).amin(dim=2).clamp(max=1)
    # cross(start + enter along, start + leave along) = (leave - enter) cross(start, along)
    return 0.5 * ((leave - enter).clamp(min=0) * cross(start, along)).sum(dim=1)


def bounds(boxes: Tensor) -> Tensor:
    """The upright boxes around rotated boxes (N, 5)."""
    points = corners(boxes)
    return torch.cat([points.amin(dim=1), points.amax(dim=1)], dim=1)


def overlapping(a: Tensor, b: Tensor, threshold: float, empty_overlap: bool = False) -> Tensor:
    """Mask (N, M) of the pairs that overlap more than `threshold`; for rotated boxes that much is enough."""
    if a.shape[1] == 4:
        return ~(iou(a, b) <= threshold) if empty_overlap else iou(a, b) > threshold
    # What is common to two boxes is common to the upright boxes around them, which is cheap to know.
    area_a, area_b = area(a), area(b)
    inner = torch.minimum(intersection(bounds(a), bounds(b)), torch.minimum(area_a[:, None], area_b[None]))
    most = over_union(inner, area_a, area_b)
    index_a, index_b = torch.nonzero(most >= threshold - BOUND_SLACK, as_tuple=True)
    mask = torch.zeros_like(most, dtype=torch.bool)
    mask[index_a, index_b] = iou_of_pairs(a[index_a], b[index_b]) >= threshold
    return mask


def nms(boxes: Tensor, scores: Tensor, threshold: float, empty_overlap: bool = False) -> Tensor:
    """Non-maximum suppression: a box is dropped where it overlaps a kept one of higher score by more than `threshold`.

    Args:
        boxes: (N, 4) upright or (N, 5) rotated.
        scores: (N,).
        threshold: intersection over union; a rotated box is dropped at the threshold already.
        empty_overlap: upright boxes without area drop each other, as they do in Caffe2.

    Returns:
        Indices of the kept boxes, by descending score; of equal scores the earlier box comes first.

    Law: no kept box overlaps another one by more than the threshold, every dropped one overlaps a kept one of no lower
    score; suppressing what was kept keeps it all.
    """
    order = torch.sort(scores, descending=True, stable=True).indices
    boxes = boxes[order].float()
    kept = []
    alive = torch.arange(len(boxes), device=boxes.device)
    while len(alive):
        block, alive = alive[:BLOCK], alive[BLOCK:]
        mask = overlapping(boxes[block], boxes[block], threshold, empty_overlap).cpu().numpy()
        dropped = mask[0] & False
        chosen = []
        for i in range(len(block)):
            if not dropped[i]:
                chosen.append(i)
                dropped |= mask[i]
        block = block[torch.tensor(chosen, device=boxes.device)]
        kept.append(block)
        alive = alive[~overlapping(boxes[block], boxes[alive], threshold, empty_overlap).any(dim=0)]
    return order[torch.cat(kept)] if kept else order


def batched_nms(boxes: Tensor, scores: Tensor, groups: Tensor, threshold: float) -> Tensor:
    """Non-maximum suppression within each group alone.

    Args:
        boxes: (N, 4) upright or (N, 5) rotated.
        scores: (N,).
        groups: (N,), integers: classes or levels.
        threshold: as for `nms`.

    Returns:
        Indices of the kept boxes of all groups, by descending score.

    Law: what is kept of a group is what `nms` keeps of it alone.
    """
    keep = torch.zeros(len(boxes), dtype=torch.bool, device=boxes.device)
    by_group = torch.sort(groups, stable=True).indices
    sizes = torch.unique_consecutive(groups[by_group], return_counts=True)[1].tolist()
    for members in torch.split(by_group, sizes) if sizes else ():
        keep[members[nms(boxes[members], scores[members], threshold)]] = True
    kept = torch.nonzero(keep).flatten()
    return kept[torch.sort(scores[kept], descending=True, stable=True).indices]
