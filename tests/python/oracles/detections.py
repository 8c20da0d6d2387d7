"""Oracles of what follows the box head: class boxes decoded, then filtered by score and overlap."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from .arguments import Arguments, Array
from .boxes import Overlap, clip, decode, nms, upright
from .elementwise import float32
from .rotated import clip_rotated, decode_rotated, rotated_iou
from .sorting import descending


def bbox_transform(args: Arguments, inputs: list[Array]) -> list[Array]:
    """Boxes (n, DK) of K classes in pixels of the input or of the original image, and rows per image (B).

    D is 4, or 5 with `rotated`: centre, size and angle, of which the angle has no scale.

    Rois are divided by the image's scale, decoded, clipped to the original size, which is the input's over the scale,
    rounded, and with `apply_scale` multiplied back. Each row belongs to the image that its first column names;
    deliberately not as in Caffe2, which takes the rows of each image one after the other without looking.
    """
    rois, deltas, infos = inputs
    rotated = args.flag("rotated", False)
    plus_one, apply_scale = int(args.flag("legacy_plus_one", True)), args.flag("apply_scale", True)
    weights = args.numbers("weights", [1, 1, 1, 1])
    d = 5 if rotated else 4
    images = rois[:, 0].astype(np.int64) if rois.shape[1] == d + 1 else np.zeros(len(rois), np.int64)
    splits = np.array([(images == image).sum() for image in range(len(infos))], np.float32)
    out = np.zeros(deltas.shape)
    for image, info in enumerate(infos):
        rows = images == image
        # In float32, as the sum is truncated.
        height, width = (int(side / info[2] + np.float32(0.5)) for side in info[:2])
        scale = float(info[2])
        boxes = rois[rows, -d:].astype(np.float64)
        boxes[:, :4] /= scale
        for column in range(0, deltas.shape[1], d):
            moves = deltas[rows, column : column + d]
            if rotated:
                block = clip_rotated(args, decode_rotated(args, boxes, moves, weights), height, width, plus_one)
            else:
                block = clip(decode(boxes, moves, weights, plus_one), height, width, plus_one)
            block[:, :4] *= scale if apply_scale else 1
            out[rows, column : column + d] = block
    return [float32(out), splits]


@dataclass
class Kept:
    """What one class of one image keeps: rows of the image, and their scores, both in kept order."""

    rows: list[int]
    scores: list[float]


def _soft_nms(args: Arguments, boxes: Array, rows: list[int], scores: Array, overlaps: Overlap) -> Kept:
    """The best box stays and lowers the score of every other one by their overlap, until none is left.

    Linear and Gaussian weights after Bodla et al., Soft-NMS, section 3. The first of several best is taken; the
    box that stood first takes its place.
    """
    threshold, sigma = args.number("nms", 0.3), args.number("soft_nms_sigma", 0.5)
    least, method = args.number("soft_nms_min_score_thres", 0.001), args.string("soft_nms_method", "linear")
    if method not in ("linear", "gaussian"):
        raise ValueError(f"soft_nms_method {method}")
    current = scores.astype(np.float32)
    kept = Kept([], [])
    while rows:
        best = int(np.argmax(current[rows]))
        rows[0], rows[best] = rows[best], rows[0]
        top, rows = rows[0], rows[1:]
        kept.rows.append(top)
        kept.scores.append(float(current[top]))
        overlap = overlaps(boxes[top], boxes[rows])
        if method == "linear":
            weight = np.where(overlap > np.float32(threshold), 1 - overlap, np.float32(1))
        else:
            weight = np.exp(-(overlap.astype(np.float64) ** 2) / sigma)
        current[rows] = float32(current[rows] * weight)
        rows = [row for row in rows if current[row] >= np.float32(least)]
    return kept


def _limit(classes: list[Kept], limit: int, stable: bool) -> None:
    """Leaves the best `limit` of all classes together; each class then stands in the order of that ranking."""
    ranked = [
        (c, row, score) for c, kept in enumerate(classes) for row, score in zip(kept.rows, kept.scores, strict=True)
    ]
    if not 0 < limit < len(ranked):
        return
    # The whole list is sorted, not only its best part: equal scores stand differently then.
    places = np.array([row * len(classes) + c for c, row, _ in ranked]) if stable else None
    order = descending(np.array([score for _, _, score in ranked], np.float32), places=places)[:limit]
    for kept in classes:
        kept.rows, kept.scores = [], []
    for c, row, score in (ranked[i] for i in order):
        classes[c].rows.append(row)
        classes[c].scores.append(score)


def box_with_nms_limit(args: Arguments, inputs: list[Array]) -> list[Array]:
    """Scores (m), boxes (m, 4|5), classes (m), rows per image (B), row inside the image (m), rows per class (B, C).

    Detections stand by image, by class, and by descending score inside the class. `classes` is float32.
    """
    scores, boxes = (x.reshape(x.shape[0], x.shape[1]) for x in inputs[:2])
    splits = inputs[2].astype(np.int64) if len(inputs) > 2 else np.array([len(scores)])
    with_background = args.flag("input_boxes_include_bg_cls", True)
    shift = 0 if args.flag("output_classes_include_bg_cls", True) else 1
    out_scores: list[float] = []
    out_boxes: list[Array] = []
    out_classes: list[int] = []
    keeps: list[int] = []
    sizes = np.zeros((len(splits), scores.shape[1]), np.int32)
    start = 0
    for image, count in enumerate(splits):
        rows = np.arange(start, start + int(count))
        start += int(count)
        places = np.arange(len(rows))  # in the image
        if args.flag("detectron2_order", False):  # as Detectron2, rows that are not finite are not looked at
            finite = np.isfinite(scores[rows]).all(axis=1) & np.isfinite(boxes[rows]).all(axis=1)
            rows, places = rows[finite], places[finite]
        kept_classes = []
        for c in range(1, scores.shape[1]):
            column = c if with_background else c - 1
            block = _block(args, boxes[rows], column)
            kept_classes.append(_keep(args, scores[rows, column], block))
        _limit(kept_classes, args.integer("detections_per_im", 100), args.flag("detectron2_order", False))
        for c, kept in enumerate(kept_classes, start=1):
            block = _block(args, boxes[rows], c if with_background else c - 1)
            out_scores += kept.scores
            out_boxes += [block[row] for row in kept.rows]
            out_classes += [c - shift] * len(kept.rows)
            keeps += [int(places[row]) for row in kept.rows]
            sizes[image, c] = len(kept.rows)
    return [
        np.array(out_scores, np.float32),
        np.array(out_boxes, np.float32).reshape(-1, _columns(args)),
        np.array(out_classes, np.float32),
        sizes.sum(axis=1).astype(np.float32),
        np.array(keeps, np.int32),
        sizes,
    ]


def _columns(args: Arguments) -> int:
    """How many numbers a box has: four corners, or with `rotated` centre, size and angle."""
    return 5 if args.flag("rotated", False) else 4


def _block(args: Arguments, boxes: Array, column: int) -> Array:
    """The columns of `boxes` that belong to a score column; there is one block where classes share boxes."""
    first = 0 if args.flag("cls_agnostic_bbox_reg", False) else _columns(args) * column
    return boxes[:, first : first + _columns(args)]


def _keep(args: Arguments, scores: Array, boxes: Array) -> Kept:
    """One class of one image: rows above the score threshold, in the order in which suppression keeps them."""
    overlap = rotated_iou if args.flag("rotated", False) else upright(int(args.flag("legacy_plus_one", True)))
    rows = np.flatnonzero(scores > np.float32(args.number("score_thresh", 0.05)))
    if args.flag("soft_nms_enabled", False):
        return _soft_nms(args, boxes, [int(row) for row in rows], scores, overlap)
    places = rows if args.flag("detectron2_order", False) else None
    order = [int(rows[i]) for i in descending(scores[rows], places=places)]
    kept = nms(boxes, order, args.number("nms", 0.3), args.integer("detections_per_im", 100), overlap)
    return Kept(kept, [float(scores[row]) for row in kept])
