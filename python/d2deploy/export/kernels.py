"""What Caffe2's detection operators compute, in PyTorch: the bodies of the operators in operators.py.

They make the traced model run by itself, so that a converted file can be compared with it blob by blob. Boxes are
xyxy or cx cy w h angle (degrees, counter-clockwise), in pixels, exclusive at their end (`legacy_plus_one` is 0 in every
file of Detectron2); D is 4 or 5, their numbers. Equal scores come in Detectron2's order.

Source: caffe2/operators of PyTorch up to 2.4, in the file that each function names.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from d2deploy.modeling.anchors import shifted_anchors
from d2deploy.modeling.boxes import box2box_transform
from d2deploy.modeling.nms import nms
from d2deploy.modeling.pooler import assign_levels
from d2deploy.modeling.roi_align import roi_align
from d2deploy.structures.geometry import clip


def generate_proposals(
    scores: Tensor,
    deltas: Tensor,
    im_info: Tensor,
    anchors: Tensor,
    stride: int,
    pre_nms_top: int,
    post_nms_top: int,
    nms_thresh: float,
    min_size: float,
) -> tuple[Tensor, Tensor]:
    """Rois and logits of one level, image by image: the best anchors, decoded, clipped, without small ones, NMS.

    Args:
        scores: (N, A, H, W), logits.
        deltas: (N, A*D, H, W), for weights of 1.
        im_info: (N, 3): height, width, scale.
        anchors: (A, D), around the first cell of the map.
        stride: pixels from one cell to the next.
        pre_nms_top: so many of an image take part in NMS; 0 or less: all.
        post_nms_top: so many of an image are kept; 0 or less: all.
        nms_thresh: intersection over union that suppresses.
        min_size: the least side that is kept, in pixels of the picture before it was scaled.

    Returns:
        Rois (R, 1 + D) that begin with the image's index, and their logits (R,), by descending logit in each image.

    Law: the proposals of an image do not depend on the others.

    Source: generate_proposals_op.cc, generate_proposals_op_util_boxes.h and generate_proposals_op_util_nms.h.
    """
    dim = anchors.shape[1]
    transform = box2box_transform([1.0] * dim)
    every = shifted_anchors(anchors, scores.shape[2:], stride, offset=0.0)  # rows, then columns, then anchors
    rois, kept_scores = [], []
    for i, info in enumerate(im_info):
        logits = scores[i].permute(1, 2, 0).flatten()
        best = logits.topk(min(pre_nms_top, len(logits)) if pre_nms_top > 0 else len(logits)).indices
        own_deltas = deltas[i].reshape(-1, dim, *deltas.shape[2:]).permute(2, 3, 0, 1).reshape(-1, dim)
        boxes = clip(transform.apply_deltas(own_deltas[best], every[best]), (int(info[0]), int(info[1])))
        keep = _large_and_inside(boxes, info, min_size)
        best, boxes = best[keep], boxes[keep]
        keep = nms(boxes, logits[best], nms_thresh, empty_overlap=True)
        keep = keep[:post_nms_top] if post_nms_top > 0 else keep
        rois.append(torch.cat([boxes.new_full((len(keep), 1), i), boxes[keep]], dim=1))
        kept_scores.append(logits[best[keep]])
    return torch.cat(rois), torch.cat(kept_scores)


def _large_and_inside(boxes: Tensor, info: Tensor, min_size: float) -> Tensor:
    """Mask of finite boxes that are large enough and whose centre is in the image; `info` is height, width, scale."""
    if boxes.shape[1] == 5:
        centre, size = boxes[:, :2], boxes[:, 2:4]
    else:
        size = boxes[:, 2:] - boxes[:, :2]
        centre = boxes[:, :2] + size / 2
    height, width, scale = info.tolist()
    inside = (centre[:, 0] < width) & (centre[:, 1] < height)
    keep: Tensor = (size >= min_size * scale).all(dim=1) & inside & boxes.isfinite().all(dim=1)
    return keep


def collect_rpn_proposals(rois_and_scores: Sequence[Tensor], most: int) -> Tensor:
    """The rois (R, 5) with the highest scores, best first, at most `most` of them, or all where it is 0 or less.

    Args:
        rois_and_scores: rois (R_i, 5) of all levels, then their scores (R_i,).

    Law: the order of the levels matters for equal scores alone.

    Source: collect_and_distribute_fpn_rpn_proposals_op.cc; Detectron2's order.
    """
    levels = len(rois_and_scores) // 2
    rois, scores = torch.cat(list(rois_and_scores[:levels])), torch.cat(list(rois_and_scores[levels:]))
    order = torch.sort(scores, descending=True, stable=True).indices
    return rois[order[:most] if most > 0 else order]


def _with_image(rois: Tensor, dim: int) -> Tensor:
    """Rois (R, 1 + dim) that begin with the image's index, which is 0 for boxes (R, dim)."""
    return rois if rois.shape[1] > dim else torch.cat([rois.new_zeros(len(rois), 1), rois], dim=1)


def distribute_fpn_proposals(rois: Tensor, scale: int, level: int, highest: int, lowest: int) -> list[Tensor]:
    """The rois (R_l, 5) of each level from the lowest, and places int32 (R,), for rois (R, 4 or 5).

    Args:
        rois: upright boxes, with or without the image's index.
        scale: boxes of this many pixels ...
        level: ... belong to this level; see `assign_levels`.
        highest: level, as `lowest`, of those that there are.
        lowest: the first level.

    Law: cat(levels)[places] == rois.

    Source: collect_and_distribute_fpn_rpn_proposals_op.cc.
    """
    rois = _with_image(rois, 4)
    levels = assign_levels(rois[:, 1:], lowest, highest, scale, level)
    sources = [torch.nonzero(levels == i).flatten() for i in range(highest - lowest + 1)]
    return [*(rois[s] for s in sources), torch.argsort(torch.cat(sources)).int()]


def pool(
    features: Tensor, rois: Tensor, dim: int, spatial_scale: float, size: tuple[int, int], ratio: int, aligned: bool
) -> Tensor:
    """Crops (R, C, *size) of features (N, C, H, W) at rois (R, dim) of the first image, or (R, 1 + dim) that begin with
    the image's index; the other arguments are `roi_align`'s.

    Source: roi_align_op.cc, roi_align_rotated_op.cc.
    """
    return roi_align(features, _with_image(rois, dim), size, spatial_scale, ratio, aligned).contiguous()


def bbox_transform(
    rois: Tensor, deltas: Tensor, im_info: Tensor, weights: Sequence[float], rotated: bool
) -> tuple[Tensor, Tensor]:
    """Boxes (R, K*D) in the frame of the input, clipped to each image, and the rows of each image, float32 (N,).

    Args:
        rois: (R, D) of the first image, or (R, 1 + D) that begin with the image's index.
        deltas: (R, K*D), for K classes.
        im_info: (N, 3): height, width, scale; the boxes are decoded and clipped in the frame before scaling.
        weights: four, as Box2BoxTransform's; that of the angle is 1.
        rotated: D is 5.

    Law: deltas of 0 give the rois, clipped; the boxes of an image do not depend on the others.

    Source: bbox_transform_op.cc, generate_proposals_op_util_boxes.h.
    """
    dim = 5 if rotated else 4
    rois = _with_image(rois, dim)
    images = rois[:, 0].long()
    transform = box2box_transform([*weights, 1.0] if rotated else weights)
    boxes = []
    for i, (height, width, scale) in enumerate(im_info.tolist()):
        own = images == i
        factor = rois.new_ones(dim)
        factor[:4] = scale
        found = transform.apply_deltas(deltas[own], rois[own, 1:] / factor)
        found = found.reshape(-1, deltas.shape[1] // dim, dim)
        size = (int(height / scale + 0.5), int(width / scale + 0.5))
        boxes.append((clip(found, size) * factor).flatten(1))
    splits = torch.bincount(images, minlength=len(im_info)).to(im_info)
    return torch.cat(boxes), splits


def box_with_nms_limit(
    scores: Tensor,
    boxes: Tensor,
    splits: Tensor,
    score_thresh: float,
    nms_thresh: float,
    most: int,
    rotated: bool,
    class_agnostic: bool,
) -> tuple[Tensor, Tensor, Tensor, Tensor, Tensor, Tensor]:
    """Detections: of each image and class what is above the threshold, after NMS, and of each image the best.

    Args:
        scores: (R, K + 1), probabilities, the background last.
        boxes: (R, K*D), or (R, D) where all classes share one.
        splits: (N,), rows of each image.
        score_thresh: scores must be above it.
        nms_thresh: intersection over union that suppresses.
        most: detections that an image keeps; 0 or less: all.
        rotated: D is 5.
        class_agnostic: boxes are (R, D).

    Returns:
        Scores (M,), boxes (M, D), classes float32 (M,), rows of each image float32 (N,), the row that each came from
        in its image int32 (M,), rows by class int32 (N, K + 1), the first column 0; by image, then class, then falling
        score.

    Law: the detections of an image do not depend on the others, nor, where all scores differ, on the order of its rows.

    Source: box_with_nms_limit_op.cc; Detectron2's order.
    """
    dim, classes = 5 if rotated else 4, scores.shape[1] - 1
    found: list[Tensor] = []  # rows of score, class, row in the image, box
    counts = torch.zeros(len(splits), classes + 1, dtype=torch.int32)
    sizes = [int(s) for s in splits]
    for i, (own, own_boxes) in enumerate(zip(torch.split(scores, sizes), torch.split(boxes, sizes), strict=True)):
        kept = [scores.new_zeros(0, 3 + dim)]
        for c in range(classes):
            rows = torch.nonzero(own[:, c] > score_thresh).flatten()
            first = 0 if class_agnostic else c * dim
            block = own_boxes[rows, first : first + dim]
            keep = nms(block, own[rows, c], nms_thresh, empty_overlap=True)
            keep = keep[:most] if most > 0 else keep
            head = torch.stack([own[rows[keep], c], torch.full_like(own[keep, 0], c), rows[keep].to(own)], dim=1)
            kept.append(torch.cat([head, block[keep]], dim=1))
        rows_of_image = torch.cat(kept)
        if 0 < most < len(rows_of_image):
            # Equal scores: by row, then class.
            rows_of_image = rows_of_image[torch.sort(rows_of_image[:, 2], stable=True).indices]
            best = torch.sort(rows_of_image[:, 0], descending=True, stable=True).indices[:most]
            rows_of_image = rows_of_image[best]
            rows_of_image = rows_of_image[torch.sort(rows_of_image[:, 1], stable=True).indices]
        counts[i, 1:] = torch.bincount(rows_of_image[:, 1].long(), minlength=classes)
        found.append(rows_of_image)
    result = torch.cat(found)
    lengths = torch.tensor([len(f) for f in found], dtype=scores.dtype)
    kept_rows = result[:, 2].int()
    return result[:, 0].clone(), result[:, 3:].clone(), result[:, 1].clone(), lengths, kept_rows, counts


def heatmap_max_keypoint(heatmaps: Tensor, boxes: Tensor, with_probability: bool) -> Tensor:
    """Peaks (R, 4, K): x, y, logit, probability, for heatmaps (R, K, S, S) of logits and boxes (R, 4) xyxy.

    Around the highest cell a paraboloid is fitted, f(d) = g - b d + d A d / 2, whose top is at A^-1 b, at most 1.5
    cells away; beyond the border the map is mirrored. The probability is the highest cell's, 0 where it is not wanted.

    Law: a constant added to a heatmap is added to the logit, and changes nothing else; a box moved moves x and y.

    Source: heatmap_max_keypoint_op.cc.
    """
    rows, keypoints, size, _ = heatmaps.shape
    flat = heatmaps.flatten(2)
    peak = flat.argmax(dim=2)
    my, mx = peak // size, peak % size
    around = torch.arange(-1, 2)
    y = (my[..., None] + around).abs()
    x = (mx[..., None] + around).abs()
    y, x = torch.where(y == size, size - 2, y), torch.where(x == size, size - 2, x)
    index = (y[..., :, None] * size + x[..., None, :]).flatten(2)
    g = flat.gather(2, index).view(rows, keypoints, 3, 3)
    top = g[..., 1, 1]
    b = torch.stack([-(g[..., 1, 2] - g[..., 1, 0]) / 2, -(g[..., 2, 1] - g[..., 0, 1]) / 2], dim=-1)
    xx = g[..., 1, 0] - 2 * top + g[..., 1, 2]
    yy = g[..., 0, 1] - 2 * top + g[..., 2, 1]
    xy = (g[..., 2, 2] - g[..., 2, 0] - g[..., 0, 2] + g[..., 0, 0]) / 4
    determinant = xx * yy - xy * xy
    flat_top = determinant.abs() < 1e-4
    safe = torch.where(flat_top, 1.0, determinant)
    delta = torch.stack([yy * b[..., 0] - xy * b[..., 1], xx * b[..., 1] - xy * b[..., 0]], dim=-1) / safe[..., None]
    delta = delta * (1.5 / delta.abs().amax(dim=-1, keepdim=True)).clamp(max=1.0)
    delta = torch.where(flat_top[..., None], 0.0, delta)
    dx, dy = delta[..., 0], delta[..., 1]
    score = top - (b * delta).sum(dim=-1) + (xx * dx * dx + 2 * xy * dx * dy + yy * dy * dy) / 2
    sides = (boxes[:, 2:4] - boxes[:, :2]).clamp(min=1.0)
    px = boxes[:, None, 0] + (mx + 0.5 + dx) * sides[:, None, 0] / size
    py = boxes[:, None, 1] + (my + 0.5 + dy) * sides[:, None, 1] / size
    probability = top.exp() / flat.exp().sum(dim=2) if with_probability else torch.zeros_like(top)
    return torch.stack([px, py, score, probability], dim=1)
