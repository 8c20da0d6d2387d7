"""Oracles of region proposals: made per level, collected over levels, distributed to levels."""

from __future__ import annotations

import numpy as np
import torch

from .arguments import Arguments, Array
from .boxes import clip, decode, nms, upright
from .elementwise import float32
from .rotated import clip_rotated, decode_rotated, rotated_iou
from .sorting import descending


def _proposals(args: Arguments, scores: Array, deltas: Array, info: Array, anchors: Array) -> tuple[Array, Array]:
    """Boxes (n, D) and scores (n) of one image: scores (A, H, W), deltas (DA, H, W), info (height, width, scale).

    D is 4, or 5 for rotated boxes: centre, size, angle.
    """
    count, height, width = scores.shape
    plus_one = int(args.flag("legacy_plus_one", True))
    stride = float(np.float32(1 / args.number("spatial_scale", 1 / 16)))
    flat = scores.reshape(-1)
    top = args.integer("pre_nms_topN", 6000)
    chosen = np.array(descending(flat, top), np.int64)
    if args.flag("detectron2_order", False):  # Detectron2 asks PyTorch's topk, the anchors of a cell side by side
        by_cell = scores.transpose(1, 2, 0).reshape(-1)
        best = torch.topk(
            torch.from_numpy(by_cell.copy()), min(top, flat.size) if top > 0 else flat.size
        ).indices.numpy()
        chosen = best % count * (height * width) + best // count
    anchor, row, column = np.unravel_index(chosen, (count, height, width)) if len(chosen) else (chosen,) * 3
    d = anchors.shape[1]
    moves = deltas.reshape(count, d, height, width)[anchor, :, row, column]
    shift = np.zeros((len(chosen), d))  # of both corners, or of the centre
    shift[:, :2] = np.stack([column, row], axis=1) * stride
    if d == 4:
        shift[:, 2:] = shift[:, :2]
        decoded = decode(anchors[anchor] + shift, moves, (1, 1, 1, 1), plus_one)
        boxes = float32(clip(decoded, int(info[0]), int(info[1]), plus_one))
        sides = boxes[:, 2:] - boxes[:, :2] + np.float32(plus_one)
        centres = boxes[:, :2] + sides / np.float32(2)
    else:
        decoded = decode_rotated(args, anchors[anchor] + shift, moves, (1, 1, 1, 1))
        boxes = float32(clip_rotated(args, decoded, int(info[0]), int(info[1]), plus_one))
        centres, sides = boxes[:, :2], boxes[:, 2:4]
    # Finite; not too small at the scale of the input; with the centre inside, where a box on the far border is not.
    smallest = np.float32(args.number("min_size", 16)) * np.float32(info[2])
    good = (sides >= smallest).all(axis=1) & (centres[:, 0] < info[1]) & (centres[:, 1] < info[0])
    good &= np.isfinite(boxes).all(axis=1)
    if args.flag("detectron2_order", False):  # Detectron2 looks before it clips, and at the scores too
        good &= np.isfinite(float32(decoded)).all(axis=1) & np.isfinite(flat[chosen])
    boxes, chosen = boxes[good], chosen[good]
    threshold, limit = args.number("nms_thresh", 0.7), args.integer("post_nms_topN", 300)
    kept = nms(boxes, range(len(boxes)), threshold, limit, upright(plus_one) if d == 4 else rotated_iou)
    return boxes[kept], flat[chosen[kept]]


def generate_proposals(args: Arguments, inputs: list[Array]) -> list[Array]:
    """Rois (n, 5), or (n, 6) of rotated boxes, with the image first, and their scores (n).

    Images are independent and follow in order. Per image: the best scores, their anchors at their cells, decoded,
    clipped, filtered, suppressed.
    """
    scores, deltas, infos, anchors = inputs
    rois, probabilities = [np.zeros((0, anchors.shape[1] + 1), np.float32)], [np.zeros(0, np.float32)]
    for image, info in enumerate(infos):
        boxes, best = _proposals(args, scores[image], deltas[image], info, anchors)
        rois.append(np.concatenate([np.full((len(boxes), 1), image, np.float32), boxes], axis=1))
        probabilities.append(best)
    return [np.concatenate(rois), np.concatenate(probabilities)]


def collect_rpn_proposals(args: Arguments, inputs: list[Array]) -> list[Array]:
    """The best rois (m, 5) of all levels, per image and with images in ascending order; equal scores in input order.

    Caffe2 ranks all images together under one limit, which suits single images only. Deliberately, each image has
    its own limit here.
    """
    levels = len(inputs) // 2
    rois = np.concatenate(inputs[:levels])
    scores = np.concatenate([s.reshape(-1) for s in inputs[levels:]])
    limit = args.integer("rpn_post_nms_topN", 2000)
    images = rois[:, 0].astype(np.int64)
    chosen: list[int] = []
    for image in np.unique(images):
        mine = np.flatnonzero(images == image)
        mine = mine[np.argsort(-scores[mine], kind="stable")]
        chosen.extend(int(i) for i in (mine[:limit] if limit > 0 else mine))
    return [rois[chosen]]


def pyramid_proposals(args: Arguments, inputs: list[Array]) -> list[Array]:
    """The best rois (m, 5) of all levels of a feature pyramid. Each level proposes by itself, one image at a time.

    Inputs are im_info, then the scores of all levels, then their deltas, then their anchors. Per image: the
    rpn_post_nms_topN with the highest scores, equal ones in the order of levels and within a level as proposed.
    """
    infos, levels = inputs[0], len(inputs) // 3
    scales, limit = args.numbers("spatial_scales", []), args.integer("rpn_post_nms_topN", 2000)
    rows = [np.zeros((0, 5), np.float32)]
    for image, info in enumerate(infos):
        found = []
        for level, scale in enumerate(scales):
            maps = [inputs[1 + port * levels + level] for port in range(3)]
            own = Arguments({**args.values, "spatial_scale": scale})
            boxes, scores = _proposals(own, maps[0][image], maps[1][image], info, maps[2])
            found += [(float(score), box) for box, score in zip(boxes, scores, strict=True)]
        found.sort(key=lambda item: np.inf if np.isnan(item[0]) else -item[0])  # stable
        best = found[:limit] if limit > 0 else found
        rows += [np.array([[image, *box]], np.float32) for _, box in best]
    return [np.concatenate(rows)]


def fpn_levels(args: Arguments, boxes: Array) -> Array:
    """Pyramid level of each box (n, 4), by its size against the canonical one (Lin et al., FPN, equation 1).

    A negative area, or none, is an error in Caffe2; here such a box belongs to the finest level.
    """
    plus_one = np.float32(args.flag("legacy_plus_one", True))
    boxes = boxes.astype(np.float32)
    with np.errstate(over="ignore", invalid="ignore"):  # an infinite area belongs to the coarsest level
        area = (boxes[:, 2] - boxes[:, 0] + plus_one) * (boxes[:, 3] - boxes[:, 1] + plus_one)
    area = np.where(area >= 0, area, np.float32(0))
    size = np.sqrt(area) / np.float32(args.integer("roi_canonical_scale", 224))
    octaves = np.log(size + np.float32(1e-6)) / np.float32(np.log(2))
    level = np.floor(np.float32(args.integer("roi_canonical_level", 4)) + octaves)
    lowest, highest = args.integer("roi_min_level", 2), args.integer("roi_max_level", 5)
    return np.clip(level.astype(np.float64), lowest, highest).astype(np.int64)


def distribute_fpn_proposals(args: Arguments, inputs: list[Array]) -> list[Array]:
    """Rois (n_l, 5) per level in input order, and where each roi stands when the levels are put one after another."""
    rois = inputs[0]
    if rois.shape[1] == 4:
        rois = np.concatenate([np.zeros((len(rois), 1), np.float32), rois], axis=1)
    levels = fpn_levels(args, rois[:, 1:])
    wanted = range(args.integer("roi_min_level", 2), args.integer("roi_max_level", 5) + 1)
    sources = np.concatenate([np.flatnonzero(levels == level) for level in wanted])
    return [*(rois[levels == level] for level in wanted), np.argsort(sources).astype(np.int32)]


def collect_and_distribute(args: Arguments, inputs: list[Array]) -> list[Array]:
    """CollectRpnProposals, and DistributeFpnProposals of its output."""
    [rois] = collect_rpn_proposals(args, inputs)
    return [rois, *distribute_fpn_proposals(args, [rois])]


def batch_boxes(_: Arguments, inputs: list[Array]) -> list[Array]:
    """Boxes (R, 4), of which the first batch_splits[0] are of image 0 and so on, as rois (R, 5), image first."""
    boxes, splits = inputs
    images = np.repeat(np.arange(len(splits)), splits.astype(np.int64))
    return [np.concatenate([images[:, None].astype(np.float32), boxes], axis=1)]
