"""Caffe2's detection operators as PyTorch custom operators, `torch.ops.d2deploy.<Type>`.

Each one is named as in Caffe2, takes its tensors first and then its arguments under Caffe2's names, in the order in
which Detectron2 writes them: the ONNX schemas and both translations derive from these signatures. The bodies give
Caffe2's answers (kernels.py), the fakes the shapes that tracing needs: the numbers of boxes stay unknown.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from d2deploy.export import kernels
from d2deploy.modeling import points
from d2deploy.modeling.deform_conv import deform_windows


@dataclass(frozen=True)
class Operator:
    """What an operator's signature says."""

    type: str
    tensors: tuple[str, ...]
    attributes: dict[str, Any]  # name -> bool, int, float, str, Sequence[int] or Sequence[float]
    many_inputs: bool  # the tensors are one list
    many_outputs: bool  # the outputs are one list, of a length that the attributes tell
    outputs: int

    @property
    def overload(self) -> Any:
        return getattr(torch.ops.d2deploy, self.type).default


OPERATORS: list[Operator] = []


def _operator(fake: Callable[..., Any]) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    """Registers the decorated function as an operator of its own name, with `fake` for the shapes."""

    def register(body: Callable[..., Any]) -> Callable[..., Any]:
        definition = torch.library.custom_op(f"d2deploy::{body.__name__}", body, mutates_args=())
        definition.register_fake(fake)
        OPERATORS.append(_described(body.__name__, body))
        return definition

    return register


def _described(kind: str, body: Callable[..., Any]) -> Operator:
    hints = inspect.get_annotations(body, eval_str=True)
    result = hints.pop("return")
    tensors = tuple(name for name, hint in hints.items() if hint in (Tensor, Sequence[Tensor]))
    return Operator(
        type=kind,
        tensors=tensors,
        attributes={name: hint for name, hint in hints.items() if name not in tensors},
        many_inputs=hints[tensors[0]] is not Tensor,
        many_outputs=result == list[Tensor],
        outputs=1 if result is Tensor or result == list[Tensor] else len(result.__args__),
    )


def _unknown_rows() -> torch.SymInt:
    """A number of boxes. That there are at least two is what tracing may assume, so that checks for special cases, as
    in group normalisation, are decided; the graph is the same for none and one."""
    return torch.library.get_ctx().new_dynamic_size(min=2)


def _proposals_fake(scores: Tensor, deltas: Tensor, im_info: Tensor, anchors: Tensor, *_: object) -> tuple[Tensor, ...]:
    rows = _unknown_rows()
    return scores.new_empty(rows, anchors.shape[1] + 1), scores.new_empty(rows)


@_operator(_proposals_fake)
def GenerateProposals(
    scores: Tensor,
    deltas: Tensor,
    im_info: Tensor,
    anchors: Tensor,
    spatial_scale: float,
    pre_nms_topN: int,
    post_nms_topN: int,
    nms_thresh: float,
    min_size: float,
    angle_bound_on: bool,
    angle_bound_lo: int,
    angle_bound_hi: int,
    clip_angle_thresh: float,
    legacy_plus_one: bool,
    detectron2_order: bool,
) -> tuple[Tensor, Tensor]:
    """Logits (N, A, H, W), deltas (N, A*D, H, W), im_info (N, 3), anchors (A, D) of one level ->
    rois (R, 1 + D) that begin with the image's index, and their logits (R,).
    """
    return kernels.generate_proposals(
        scores, deltas, im_info, anchors, round(1 / spatial_scale), pre_nms_topN, post_nms_topN, nms_thresh, min_size
    )


def _collect_fake(rois_and_scores: Sequence[Tensor], *_: object) -> Tensor:
    return rois_and_scores[0].new_empty(_unknown_rows(), 5)


@_operator(_collect_fake)
def CollectRpnProposals(
    rois_and_scores: Sequence[Tensor],
    rpn_max_level: int,
    rpn_min_level: int,
    rpn_post_nms_topN: int,
) -> Tensor:
    """Rois (R_i, 5) of all levels, then their scores (R_i,) -> the rois (R, 5) with the highest scores, best first."""
    return kernels.collect_rpn_proposals(rois_and_scores, rpn_post_nms_topN)


def _distribute_fake(
    rois: Tensor, roi_canonical_scale: int, roi_canonical_level: int, roi_max_level: int, roi_min_level: int, _: bool
) -> list[Tensor]:
    levels = [rois.new_empty(_unknown_rows(), 5) for _ in range(roi_min_level, roi_max_level + 1)]
    return [*levels, rois.new_empty(rois.shape[0], dtype=torch.int32)]


@_operator(_distribute_fake)
def DistributeFpnProposals(
    rois: Tensor,
    roi_canonical_scale: int,
    roi_canonical_level: int,
    roi_max_level: int,
    roi_min_level: int,
    legacy_plus_one: bool,
) -> list[Tensor]:
    """Rois (R, 4 or 5) -> the rois (R_l, 5) of each level by their size, and the int32 (R,) places in the
    concatenation of these where each roi is found again.
    """
    return kernels.distribute_fpn_proposals(
        rois, roi_canonical_scale, roi_canonical_level, roi_max_level, roi_min_level
    )


def _roi_align(name: str, columns: int) -> Callable[..., Any]:
    """One of the two RoIAligns, which differ in the boxes alone.

    Features (N, C, H, W), rois (R, D or 1 + D) that may begin with the image's index -> (R, C, pooled_h, pooled_w).

    Args:
        name: of the operator.
        columns: D, 4 for xyxy, 5 for centre x, y, width, height, degrees.
    """

    def body(
        X: Tensor,
        rois: Tensor,
        order: str,
        spatial_scale: float,
        pooled_h: int,
        pooled_w: int,
        sampling_ratio: int,
        aligned: bool,
    ) -> Tensor:
        return kernels.pool(X, rois, columns, spatial_scale, (pooled_h, pooled_w), sampling_ratio, aligned)

    body.__name__ = name
    define = _operator(lambda X, rois, order, scale, h, w, *_: X.new_empty(rois.shape[0], X.shape[1], h, w))
    operator: Callable[..., Any] = define(body)
    return operator


RoIAlign = _roi_align("RoIAlign", columns=4)
RoIAlignRotated = _roi_align("RoIAlignRotated", columns=5)


@_operator(lambda X, indices: X.new_empty(indices.shape[0], *X.shape[1:]))
def BatchPermutation(X: Tensor, indices: Tensor) -> Tensor:
    """X (R, ...), int32 (R,) -> the rows of X in the order of the indices."""
    return X[indices.long()]


def _bbox_transform_fake(rois: Tensor, deltas: Tensor, im_info: Tensor, *_: object) -> tuple[Tensor, Tensor]:
    return torch.empty_like(deltas), im_info.new_empty(im_info.shape[0])


@_operator(_bbox_transform_fake)
def BBoxTransform(
    rois: Tensor,
    deltas: Tensor,
    im_info: Tensor,
    weights: Sequence[float],
    apply_scale: bool,
    rotated: bool,
    angle_bound_on: bool,
    angle_bound_lo: int,
    angle_bound_hi: int,
    clip_angle_thresh: float,
    legacy_plus_one: bool,
) -> tuple[Tensor, Tensor]:
    """Rois (R, 1 + D), deltas (R, K*D), im_info (N, 3) -> clipped boxes (R, K*D), rows of each image, float32 (N,)."""
    return kernels.bbox_transform(rois, deltas, im_info, weights, rotated)


def _nms_limit_fake(scores: Tensor, boxes: Tensor, batch_splits: Tensor, *arguments: object) -> tuple[Tensor, ...]:
    rows, columns = _unknown_rows(), 5 if arguments[7] else 4
    return (
        scores.new_empty(rows),
        scores.new_empty(rows, columns),
        scores.new_empty(rows),
        torch.empty_like(batch_splits),
        scores.new_empty(rows, dtype=torch.int32),
        scores.new_empty(batch_splits.shape[0], scores.shape[1], dtype=torch.int32),
    )


@_operator(_nms_limit_fake)
def BoxWithNMSLimit(
    scores: Tensor,
    boxes: Tensor,
    batch_splits: Tensor,
    score_thresh: float,
    nms: float,
    detections_per_im: int,
    soft_nms_enabled: bool,
    soft_nms_method: str,
    soft_nms_sigma: float,
    soft_nms_min_score_thres: float,
    rotated: bool,
    cls_agnostic_bbox_reg: bool,
    input_boxes_include_bg_cls: bool,
    output_classes_include_bg_cls: bool,
    legacy_plus_one: bool,
    detectron2_order: bool,
) -> tuple[Tensor, Tensor, Tensor, Tensor, Tensor, Tensor]:
    """Probabilities (R, K + 1), background last, boxes (R, K*D or D), rows of each image (N,) -> scores (M,), boxes
    (M, D), classes float32 (M,), rows of each image (N,), kept rows int32 (M,), kept rows by class int32 (N, K + 1).
    """
    return kernels.box_with_nms_limit(
        scores, boxes, batch_splits, score_thresh, nms, detections_per_im, rotated, cls_agnostic_bbox_reg
    )


@_operator(lambda heatmaps, boxes, should_output_softmax: heatmaps.new_empty(heatmaps.shape[0], 4, heatmaps.shape[1]))
def HeatmapMaxKeypoint(heatmaps: Tensor, boxes: Tensor, should_output_softmax: bool) -> Tensor:
    """Logits (R, K, S, S), boxes (R, 4) -> (R, 4, K): x, y, logit, probability of each keypoint."""
    return kernels.heatmap_max_keypoint(heatmaps, boxes, should_output_softmax)


@_operator(lambda x, name: torch.empty_like(x))
def AliasWithName(x: Tensor, name: str) -> Tensor:
    """x itself; in the written net, the blob bears this name."""
    return x.clone()


# Layers and heads call these themselves, so that modeling registers them.
OPERATORS += [
    _described("DeformConv", deform_windows),
    _described("OwnClass", points.pick_class),
    _described("PointSample", points.sample_points),
    _described("PutPoints", points.set_points),
    _described("UncertainPoints", points.find_uncertain_points),
]
