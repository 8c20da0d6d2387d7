"""Detection models as one graph of networks and Caffe2's detection operators: what is traced and written.

Each class takes one of d2deploy.modeling's meta-architectures, any backbone and heads inside, and gives raw outputs in
the frame of the padded input. Their order and names are those of Detectron2's own exports.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from d2deploy.errors import Unsupported
from d2deploy.export.operators import AliasWithName
from d2deploy.export.roi_boxes import ANGLES, find_boxes, find_boxes_in_stages, find_boxes_on, pool
from d2deploy.modeling import (
    FCOS,
    GeneralizedRCNN,
    PanopticFPN,
    PointRendMaskHead,
    PointRendSemSegHead,
    ProposalNetwork,
    RetinaNet,
    SemanticSegmentor,
)
from d2deploy.modeling.semantic_seg import full_size_logits
from d2deploy.padding import Padding

_OPS = torch.ops.d2deploy


class Caffe2MetaArch(nn.Module):
    """`data` (1, C, H, W), raw pixels, and `im_info` (1, 3): height, width, scale, and for a model that takes them
    `proposals` -> the tensors named by `outputs`.

    Raises:
        Unsupported: rotated boxes in a way that Caffe2's operators do not know.
    """

    name = ""  # of the meta-architecture, as readers of the file know it

    def __init__(self, model: nn.Module) -> None:
        super().__init__()
        if faults := list(_faults(model)):
            raise Unsupported("\n".join(faults))
        self.model: Any = model
        self.outputs: list[str] = []
        self.refined: list[str] = []  # outputs of which some points, chosen by what is computed, are predicted anew

    @property
    def padding(self) -> Padding:
        """What height and width of `data` become."""
        padding: Padding = self.model.padding
        return padding

    @property
    def takes_proposals(self) -> bool:
        """Whether `proposals` (R, 5), image and box in the frame of the padded input, are a third input."""
        return False

    def features(self, data: Tensor) -> dict[str, Tensor]:
        normalized = (data - self.model.pixel_mean) / self.model.pixel_std
        result: dict[str, Tensor] = self.model.backbone(AliasWithName(normalized, "normalized_data"))
        return result


def _faults(model: nn.Module) -> Iterator[str]:
    """What of a model Caffe2's operators do not know: better told before minutes of tracing."""
    levels = len(_part(model, "proposal_generator.anchor_generator.strides") or ())
    if levels > 1 and len(_part(model, "proposal_generator.box2box_transform.weights") or ()) == 5:
        yield (
            f"rotated proposals from {levels} levels: Caffe2 collects upright boxes only; "
            "use one level in MODEL.RPN.IN_FEATURES"
        )
    levels = len(_part(model, "roi_heads.box_pooler.level_poolers") or ())
    if levels > 1 and _part(model, "roi_heads.box_pooler.pooler_type") == "ROIAlignRotated":
        yield (
            f"rotated boxes from {levels} levels: Caffe2 distributes upright boxes only; "
            "use one level in MODEL.ROI_HEADS.IN_FEATURES"
        )
    weights: Any = _part(model, "roi_heads.box_predictor.box2box_transform.weights") or ()
    if len(weights) == 5 and weights[4] != 1:
        yield (
            f"MODEL.ROI_BOX_HEAD.BBOX_REG_WEIGHTS: the weight of the angle is {weights[4]}, "
            "must be 1: Caffe2's BBoxTransform has none for it"
        )


def _part(model: nn.Module, path: str) -> Any:
    """A part of a model, None where it has no such part."""
    part: Any = model
    for name in path.split("."):
        part = getattr(part, name, None)
    return part


class Caffe2GeneralizedRCNN(Caffe2MetaArch):
    """Fast, Faster, Mask and Keypoint R-CNN; `bbox_nms`, `score_nms`, `class_nms`, and what the further heads give.

    Args:
        model: a GeneralizedRCNN.
        use_heatmap_max_keypoint: find the keypoints in the net: `keypoints_out` instead of `kps_score`.
    """

    name = "GeneralizedRCNN"

    def __init__(self, model: nn.Module, use_heatmap_max_keypoint: bool = False) -> None:
        super().__init__(model)
        heads = self.model.roi_heads
        self.use_heatmap_max_keypoint = use_heatmap_max_keypoint
        self.mask_on = bool(getattr(heads, "mask_on", False))
        self.keypoint_on = bool(getattr(heads, "keypoint_on", False))
        self.outputs = ["bbox_nms", "score_nms", "class_nms"]
        if self.mask_on:
            self.outputs.append("mask_fcn_probs")
            self.refined += ["mask_fcn_probs"] if isinstance(heads.mask_head, PointRendMaskHead) else []
        if self.keypoint_on:
            self.outputs.append("keypoints_out" if use_heatmap_max_keypoint else "kps_score")

    @property
    def takes_proposals(self) -> bool:
        return self.model.proposal_generator is None

    def forward(self, data: Tensor, im_info: Tensor, proposals: Tensor | None = None) -> tuple[Tensor, ...]:
        return self.detect(self.features(data), im_info, proposals)

    def detect(
        self, features: dict[str, Tensor], im_info: Tensor, proposals: Tensor | None = None
    ) -> tuple[Tensor, ...]:
        heads = self.model.roi_heads
        rois = propose(self.model.proposal_generator, features, im_info) if proposals is None else proposals
        if hasattr(heads, "res5"):
            return self._detect_on_shared_features(features, rois, im_info)
        maps = [features[f] for f in heads.box_in_features]
        find = find_boxes_in_stages if isinstance(heads.box_predictor, nn.ModuleList) else find_boxes
        boxes, scores, classes = find(heads, maps, rois, im_info)
        found = [boxes, scores, classes]
        if self.mask_on and heads.mask_pooler is None:
            found.append(heads.mask_head.masks(features, boxes, classes).sigmoid())
        elif self.mask_on:
            crops = pool([features[f] for f in heads.mask_in_features], boxes, heads.mask_pooler)
            found.append(heads.mask_head.layers(crops).sigmoid())
        if self.keypoint_on:
            crops = pool([features[f] for f in heads.keypoint_in_features], boxes, heads.keypoint_pooler)
            heatmaps = heads.keypoint_head.layers(crops)
            found.append(_OPS.HeatmapMaxKeypoint(heatmaps, boxes, True) if self.use_heatmap_max_keypoint else heatmaps)
        return tuple(found)

    def _detect_on_shared_features(
        self, features: dict[str, Tensor], rois: Tensor, im_info: Tensor
    ) -> tuple[Tensor, ...]:
        """The C4 form: the backbone's last stage runs on every crop, for boxes and for masks."""
        heads = self.model.roi_heads
        maps = [features[f] for f in heads.in_features]
        crops = heads.res5(pool(maps, rois, heads.pooler))
        boxes, scores, classes = find_boxes_on(heads, crops.mean(dim=[2, 3]), rois, im_info)
        if not self.mask_on:
            return boxes, scores, classes
        crops = heads.res5(pool(maps, boxes, heads.pooler))
        return boxes, scores, classes, heads.mask_head.layers(crops).sigmoid()


class Caffe2PanopticFPN(Caffe2GeneralizedRCNN):
    """A Mask R-CNN, and `sem_seg` (1, S, H, W), the logits of every pixel of the padded input."""

    name = "PanopticFPN"

    def __init__(self, model: nn.Module) -> None:
        super().__init__(model)
        self.outputs.append("sem_seg")
        self.refined += ["sem_seg"] if isinstance(self.model.sem_seg_head, PointRendSemSegHead) else []

    def forward(self, data: Tensor, im_info: Tensor, proposals: Tensor | None = None) -> tuple[Tensor, ...]:
        features = self.features(data)
        return (*self.detect(features, im_info, proposals), full_size_logits(self.model.sem_seg_head, features))


class Caffe2SemanticSegmentor(Caffe2MetaArch):
    """`sem_seg` (1, K, H, W), the logits of every pixel of the padded input."""

    name = "SemanticSegmentor"

    def __init__(self, model: nn.Module) -> None:
        super().__init__(model)
        self.outputs = ["sem_seg"]
        self.refined = ["sem_seg"] if isinstance(self.model.sem_seg_head, PointRendSemSegHead) else []

    def forward(self, data: Tensor, im_info: Tensor) -> tuple[Tensor]:
        return (full_size_logits(self.model.sem_seg_head, self.features(data)),)


class Caffe2ProposalNetwork(Caffe2MetaArch):
    """A region proposal network alone: `rpn_rois` (R, 5), best first, and their logits `rpn_scores` (R,)."""

    name = "ProposalNetwork"

    def __init__(self, model: nn.Module) -> None:
        super().__init__(model)
        self.outputs = ["rpn_rois", "rpn_scores"]

    def forward(self, data: Tensor, im_info: Tensor) -> tuple[Tensor, Tensor]:
        return propose_with_scores(self.model.proposal_generator, self.features(data), im_info)


class Caffe2RetinaNet(Caffe2MetaArch):
    """The feature maps, and the logits and deltas of every anchor on them, not decoded: `feature_i`, `box_cls_i`,
    `box_delta_i`."""

    name = "RetinaNet"
    parts: tuple[str, ...] = ("cls", "delta")  # what the head gives of each level

    def __init__(self, model: nn.Module) -> None:
        super().__init__(model)
        levels = range(len(self.model.head_in_features))
        self.outputs = [f"feature_{i}" for i in levels]
        for i in levels:
            self.outputs += [f"box_{part}_{i}" for part in self.parts]

    def forward(self, data: Tensor, im_info: Tensor) -> tuple[Tensor, ...]:
        features = self.features(data)
        maps = [features[f] for f in self.model.head_in_features]
        predictions = self.model.head(maps)
        return (*maps, *(t for level in zip(*predictions, strict=True) for t in level))


class Caffe2FCOS(Caffe2RetinaNet):
    """The same, and `box_centerness_i`, the logit of each place on the maps."""

    name = "FCOS"
    parts = ("cls", "delta", "centerness")


def propose(rpn: Any, features: dict[str, Tensor], im_info: Tensor) -> Tensor:
    """The proposals of all levels, rois (R, 1 + D) that begin with the image's index, best first."""
    rois, scores = _proposals(rpn, features, im_info)
    result: Tensor = AliasWithName(_collect(rois, scores, rpn), "rpn_rois")
    return result


def propose_with_scores(rpn: Any, features: dict[str, Tensor], im_info: Tensor) -> tuple[Tensor, Tensor]:
    """The proposals, as `propose` gives them, and their logits (R,)."""
    rois, scores = _proposals(rpn, features, im_info)
    if len(rois) == 1:
        return rois[0], scores[0]
    # Collecting sorts rois and drops the scores, so the scores travel once more in the place of a coordinate.
    carriers = [torch.cat([r[:, :4], s[:, None]], dim=1) for r, s in zip(rois, scores, strict=True)]
    return _collect(rois, scores, rpn), _collect(carriers, scores, rpn)[:, 4]


def _proposals(rpn: Any, features: dict[str, Tensor], im_info: Tensor) -> tuple[list[Tensor], list[Tensor]]:
    """Of each level, its rois (R, 1 + D) and their logits (R,)."""
    logits, deltas = rpn.rpn_head([features[f] for f in rpn.in_features])
    rois: list[Tensor] = []
    scores: list[Tensor] = []
    for i, (anchors, stride) in enumerate(zip(rpn.anchor_generator.cell_anchors, rpn.anchor_generator.strides)):
        level = _OPS.GenerateProposals(
            logits[i],
            _unweighted(deltas[i], rpn.box2box_transform.weights),
            im_info,
            shifted(anchors, rpn.anchor_generator.offset * stride),
            spatial_scale=1.0 / stride,
            pre_nms_topN=_at_inference(rpn.pre_nms_topk),
            post_nms_topN=_at_inference(rpn.post_nms_topk),
            nms_thresh=float(rpn.nms_thresh),
            min_size=_just_above(float(rpn.min_box_size)),
            detectron2_order=True,
            **ANGLES,
        )
        rois.append(level[0])
        scores.append(level[1])
    return rois, scores


def _collect(rois: list[Tensor], scores: list[Tensor], rpn: Any) -> Tensor:
    """The best of all levels; where there is one level, its rois are that already."""
    if len(rois) == 1:
        return rois[0]
    result: Tensor = _OPS.CollectRpnProposals(
        [*rois, *scores],
        rpn_max_level=1 + len(rois),
        rpn_min_level=2,
        rpn_post_nms_topN=_at_inference(rpn.post_nms_topk),
    )
    return result


def _just_above(size: float) -> float:
    """The least side that is kept: Detectron2 wants sides longer than MIN_SIZE, Caffe2 sides at least as long.

    Without this, boxes that were clipped to nothing would take the places of others. Zero becomes the least normal
    number, since processors may round smaller ones to zero.
    """
    return float(max(np.nextafter(np.float32(size), np.float32(np.inf)), np.finfo(np.float32).tiny))


def _at_inference(count: Any) -> int:
    """Detectron2 keeps two counts, by whether the model is training."""
    return int(count[False]) if isinstance(count, dict) else int(count)


def _unweighted(deltas: Tensor, weights: Sequence[float]) -> Tensor:
    """Deltas (N, A*D, H, W) as for weights of 1, which GenerateProposals takes for granted."""
    if all(w == 1 for w in weights):
        return deltas
    divisors = torch.tensor(list(weights), dtype=deltas.dtype).repeat(deltas.shape[1] // len(weights))
    return deltas / divisors[:, None, None]


def shifted(anchors: Tensor, offset: float) -> Tensor:
    """Cell anchors (A, D) moved right and down, since GenerateProposals knows no offset of the cells."""
    if offset == 0:
        return anchors
    both = 2 if anchors.shape[1] == 4 else 1  # xyxy has two points, a rotated box one
    moves = [offset] * (2 * both) + [0.0] * (anchors.shape[1] - 2 * both)
    return anchors + torch.tensor(moves, dtype=anchors.dtype)


def caffe2_meta_arch(model: nn.Module, use_heatmap_max_keypoint: bool = False) -> Caffe2MetaArch:
    """What is traced for a model of d2deploy.modeling.

    Raises:
        Unsupported: models of its class have no counterpart.
    """
    if isinstance(model, PanopticFPN):
        return Caffe2PanopticFPN(model)
    if isinstance(model, GeneralizedRCNN):
        return Caffe2GeneralizedRCNN(model, use_heatmap_max_keypoint)
    if isinstance(model, ProposalNetwork):
        return Caffe2ProposalNetwork(model)
    if isinstance(model, SemanticSegmentor):
        return Caffe2SemanticSegmentor(model)
    if isinstance(model, FCOS):
        return Caffe2FCOS(model)
    if isinstance(model, RetinaNet):
        return Caffe2RetinaNet(model)
    raise Unsupported(
        f"models of class {type(model).__name__} cannot be exported; can be: FCOS, GeneralizedRCNN, PanopticFPN, "
        "ProposalNetwork, RetinaNet, SemanticSegmentor, and classes derived from them"
    )
