"""What is cut out at rois, and which boxes are found there, by Caffe2's operators."""

from __future__ import annotations

import functools
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional

from d2deploy.export import operators  # noqa: F401  # registers them

_OPS = torch.ops.d2deploy
# The clamping of rotated boxes, as Detectron2 writes it; angles are in degrees.
ANGLES: dict[str, Any] = {
    "angle_bound_on": True,
    "angle_bound_lo": -180,
    "angle_bound_hi": 180,
    "clip_angle_thresh": 1.0,
    "legacy_plus_one": False,
}


def pool(features: list[Tensor], rois: Tensor, pooler: Any) -> Tensor:
    """Crops (R, C, h, w) of boxes (R, D), or rois that begin with the image's index, from the level that fits each."""
    height, width = pooler.output_size
    align = [_align_arguments(level, height, width) for level in pooler.level_poolers]
    operator = _OPS.RoIAlignRotated if pooler.pooler_type == "ROIAlignRotated" else _OPS.RoIAlign
    if len(align) == 1:
        crops: Tensor = operator(features[0], rois, **align[0])
        return crops
    *levels, places = _OPS.DistributeFpnProposals(
        rois,
        roi_canonical_scale=int(pooler.canonical_box_size),
        roi_canonical_level=int(pooler.canonical_level),
        roi_max_level=int(pooler.max_level),
        roi_min_level=int(pooler.min_level),
        legacy_plus_one=False,
    )
    crops = torch.cat([operator(f, r, **a) for f, r, a in zip(features, levels, align, strict=True)])
    result: Tensor = _OPS.BatchPermutation(crops, places)
    return result


def _align_arguments(level: Any, height: int, width: int) -> dict[str, Any]:
    return {
        "order": "NCHW",
        "spatial_scale": float(level.spatial_scale),
        "pooled_h": int(height),
        "pooled_w": int(width),
        "sampling_ratio": int(level.sampling_ratio),
        "aligned": bool(getattr(level, "aligned", True)),
    }


def find_boxes(heads: Any, maps: list[Tensor], rois: Tensor, im_info: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """What the box head finds at the rois.

    Returns:
        boxes (M, D), scores (M,), classes float32 (M,), grouped by image and class, best first.
    """
    return find_boxes_on(heads, heads.box_head(pool(maps, rois, heads.box_pooler)), rois, im_info)


def find_boxes_on(heads: Any, x: Tensor, rois: Tensor, im_info: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """What the box predictor finds by features (R, ...) of the rois; see `find_boxes`."""
    predictor = heads.box_predictor
    logits, deltas = predictor(x)
    moved = _moved(predictor, rois, deltas, im_info)
    return _choose(predictor, _probabilities(predictor, logits, heads.num_classes), *moved, deltas)


def find_boxes_in_stages(
    heads: Any, maps: list[Tensor], rois: Tensor, im_info: Tensor
) -> tuple[Tensor, Tensor, Tensor]:
    """What cascaded box heads find: the boxes of one stage are the rois of the next, the scores are averaged."""
    images = rois[:, :1]
    scores: list[Tensor] = []
    for head, predictor in zip(heads.box_head, heads.box_predictor, strict=True):
        logits, deltas = predictor(head(pool(maps, rois, heads.box_pooler)))
        scores.append(_probabilities(predictor, logits, heads.num_classes))
        boxes, splits = _moved(predictor, rois, deltas, im_info)
        rois = torch.cat([images, boxes], dim=1)
    total = functools.reduce(torch.add, scores)
    return _choose(predictor, total * (1.0 / len(scores)), boxes, splits, deltas)


def _moved(predictor: Any, rois: Tensor, deltas: Tensor, im_info: Tensor) -> tuple[Tensor, Tensor]:
    """Boxes (R, K D) or (R, D), clipped, and the rows of each image (N,)."""
    weights = [float(w) for w in predictor.box2box_transform.weights]
    boxes, splits = _OPS.BBoxTransform(
        rois, deltas, im_info, weights=weights[:4], apply_scale=True, rotated=len(weights) == 5, **ANGLES
    )
    return boxes, splits


def _choose(
    predictor: Any, scores: Tensor, boxes: Tensor, splits: Tensor, deltas: Tensor
) -> tuple[Tensor, Tensor, Tensor]:
    rotated = len(predictor.box2box_transform.weights) == 5
    scores, boxes, classes, *_ = _OPS.BoxWithNMSLimit(
        scores,
        boxes,
        splits,
        score_thresh=float(predictor.test_score_thresh),
        nms=float(predictor.test_nms_thresh),
        detections_per_im=int(predictor.test_topk_per_image),
        soft_nms_enabled=False,
        soft_nms_method="linear",
        soft_nms_sigma=0.5,
        soft_nms_min_score_thres=0.001,
        rotated=rotated,
        cls_agnostic_bbox_reg=deltas.shape[1] == (5 if rotated else 4),
        input_boxes_include_bg_cls=False,
        output_classes_include_bg_cls=False,
        legacy_plus_one=False,
        detectron2_order=True,
    )
    return boxes, scores, classes


def _probabilities(predictor: Any, logits: Tensor, num_classes: int) -> Tensor:
    """(R, K + 1), the column of the background last."""
    if logits.shape[1] == num_classes:  # a predictor without background: its column is never read
        probabilities = logits.sigmoid()
        return torch.cat([probabilities, probabilities[:, :1]], dim=1)
    if getattr(predictor, "use_sigmoid_ce", False):
        return logits.sigmoid()
    return functional.softmax(logits, dim=-1)
