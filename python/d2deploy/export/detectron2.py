"""Live Detectron2 models: their submodules, put together by our meta-architectures. Detectron2 itself is not imported.

Networks (backbones and heads, the user's own included) are taken as they are. What surrounds them (choosing proposals,
pooling, choosing detections) is ours, so it must be Detectron2's own code that it replaces, which `detectron2_checks`
finds out.
"""

from __future__ import annotations

import copy
from collections.abc import Iterator
from typing import Any

from torch import Tensor, nn

from d2deploy.errors import Unsupported
from d2deploy.export.deformable_layers import replace_layers
from d2deploy.export.detectron2_checks import (
    LEVEL_POOLERS,
    META_ARCHS,
    POINT_HEADS,
    POINT_REND,
    POINT_REND_SEM_SEG,
    PROPOSAL_GENERATORS,
    ROI_HEADS,
    SEM_SEG_HEADS,
    anchor_grids,
    class_of,
    is_implicit,
    is_theirs,
    model_faults,
    part_faults,
)
from d2deploy.modeling import (
    FCOS,
    RPN,
    RRPN,
    CascadeROIHeads,
    GeneralizedRCNN,
    ImplicitPointHead,
    ImplicitPointRendMaskHead,
    PanopticFPN,
    PointRendMaskHead,
    PointRendSemSegHead,
    ProposalNetwork,
    Res5ROIHeads,
    RetinaNet,
    ROIPooler,
    RROIHeads,
    SemanticSegmentor,
    StandardPointHead,
    StandardROIHeads,
)
from d2deploy.modeling.anchors import AnchorGenerator
from d2deploy.modeling.boxes import Box2BoxTransformLinear, box2box_transform
from d2deploy.modeling.images import ImageModel

__all__ = ["from_detectron2", "is_detectron2", "meta_architecture"]


def is_detectron2(model: nn.Module) -> bool:
    """Whether the model's class, or one that it is derived from, is Detectron2's."""
    return any(is_theirs(kind) for kind in type(model).__mro__)


def from_detectron2(cfg: Any, model: nn.Module) -> ImageModel:
    """The same detector as one of our meta-architectures, made of copies of its submodules.

    The model may have backbones, heads and anchor generators of the user's own. It stays as it is.

    Args:
        cfg: its configuration; says the input's format where the model does not.
        model: of class FCOS, GeneralizedRCNN, PanopticFPN, ProposalNetwork, RetinaNet or SemanticSegmentor, or derived
            from them.

    Returns:
        In eval mode, on the model's device; its state dict has the names of the model's.

    Raises:
        Unsupported: parts cannot be converted; the message names them all.
    """
    _refuse(model_faults(model))
    model = copy.deepcopy(model).eval().requires_grad_(False)
    replace_layers(model)
    result = _MAKERS[class_of(model, META_ARCHS)](model, _image_parts(cfg, model))
    return result.eval().to(result.device)


def meta_architecture(model: nn.Module) -> str:
    """The name of Detectron2's meta-architecture that the model is of, or derived from.

    Raises:
        Unsupported: it is of none that can be converted.
    """
    _refuse(part_faults("the model", model, META_ARCHS))
    return class_of(model, META_ARCHS)


def _refuse(faults: Iterator[str]) -> None:
    if text := "".join(f"\n  {fault}" for fault in faults):
        raise Unsupported(f"this Detectron2 model cannot be converted:{text}")


def _image_parts(cfg: Any, model: Any) -> dict[str, Any]:
    return {
        "backbone": model.backbone,
        "pixel_mean": model.pixel_mean.flatten().tolist(),
        "pixel_std": model.pixel_std.flatten().tolist(),
        "input_format": getattr(model, "input_format", None) or cfg.INPUT.FORMAT,
    }


def _rcnn_parts(model: Any) -> dict[str, Any]:
    return {
        "proposal_generator": model.proposal_generator and _proposal_generator(model.proposal_generator),
        "roi_heads": _roi_heads(model.roi_heads),
    }


def _generalized_rcnn(model: Any, image_parts: dict[str, Any]) -> ImageModel:
    return GeneralizedRCNN(**_rcnn_parts(model), **image_parts)


def _panoptic_fpn(model: Any, image_parts: dict[str, Any]) -> ImageModel:
    return PanopticFPN(
        sem_seg_head=_sem_seg_head(model.sem_seg_head),
        combine_overlap_thresh=model.combine_overlap_thresh,
        combine_stuff_area_thresh=model.combine_stuff_area_thresh,
        combine_instances_score_thresh=model.combine_instances_score_thresh,
        **_rcnn_parts(model),
        **image_parts,
    )


def _sem_seg_head(head: Any) -> nn.Module:
    if not list(part_faults("", head, SEM_SEG_HEADS)):
        return head  # type: ignore[no-any-return]
    if list(part_faults("", head, POINT_REND_SEM_SEG)) or list(part_faults("", head.point_head, POINT_HEADS)):
        return FullSizeHead(head)
    return PointRendSemSegHead(
        coarse_sem_seg_head=_sem_seg_head(head.coarse_sem_seg_head),
        in_features=head.in_features,
        point_head=_point_head(head.point_head),
        steps=head.subdivision_steps,
        num_points=head.subdivision_num_points,
    )


def _point_head(head: Any) -> StandardPointHead:
    return StandardPointHead(head.fc_layers, head.predictor, coarse_pred_each_layer=head.coarse_pred_each_layer)


def _implicit_point_head(head: Any) -> ImplicitPointHead:
    result = ImplicitPointHead(
        head.in_channels - (2 * ImplicitPointHead.DIRECTIONS if head.positional_encoding_enabled else 0),
        num_classes=head.num_classes,
        channels=head.channels,
        num_layers=head.num_layers,
        image_feature_enabled=head.image_feature_enabled,
        positional_encoding_enabled=head.positional_encoding_enabled,
    )
    if head.positional_encoding_enabled:
        result.positional_encoding_gaussian_matrix = head.positional_encoding_gaussian_matrix
    return result


def _point_rend_mask_head(head: Any) -> PointRendMaskHead:
    kind = ImplicitPointRendMaskHead if is_implicit(head) else PointRendMaskHead
    return kind(
        strides={name: round(1 / scale) for name, scale in head._feature_scales.items()},
        coarse_in_features=head.roi_pooler_in_features,
        coarse_size=head.roi_pooler_size,
        coarse_head=getattr(head, kind.coarse_name),
        point_in_features=head.mask_point_in_features,
        point_head=_implicit_point_head(head.point_head) if is_implicit(head) else _point_head(head.point_head),
        init_size=head.mask_point_subdivision_init_resolution,
        steps=head.mask_point_subdivision_steps,
        num_points=head.mask_point_subdivision_num_points,
    )


def _semantic_segmentor(model: Any, image_parts: dict[str, Any]) -> ImageModel:
    return SemanticSegmentor(sem_seg_head=_sem_seg_head(model.sem_seg_head), **image_parts)


def _proposal_network(model: Any, image_parts: dict[str, Any]) -> ImageModel:
    return ProposalNetwork(proposal_generator=_proposal_generator(model.proposal_generator), **image_parts)


def _dense_parts(model: Any) -> dict[str, Any]:
    return {
        "head": model.head,
        "head_in_features": model.head_in_features,
        "anchor_generator": _anchor_generator(model.anchor_generator, len(model.head_in_features)),
        "num_classes": model.num_classes,
        "test_score_thresh": model.test_score_thresh,
        "test_topk_candidates": model.test_topk_candidates,
        "test_nms_thresh": model.test_nms_thresh,
        "max_detections_per_image": model.max_detections_per_image,
    }


def _retinanet(model: Any, image_parts: dict[str, Any]) -> ImageModel:
    transform = box2box_transform(model.box2box_transform.weights)
    return RetinaNet(box2box_transform=transform, **_dense_parts(model), **image_parts)


def _fcos(model: Any, image_parts: dict[str, Any]) -> ImageModel:
    return FCOS(box2box_transform=Box2BoxTransformLinear(), **_dense_parts(model), **image_parts)


_MAKERS = {
    "FCOS": _fcos,
    "GeneralizedRCNN": _generalized_rcnn,
    "PanopticFPN": _panoptic_fpn,
    "ProposalNetwork": _proposal_network,
    "RetinaNet": _retinanet,
    "SemanticSegmentor": _semantic_segmentor,
}


class FullSizeHead(nn.Module):
    """A semantic head of the user's own, which gives logits at the resolution of the padded input."""

    common_stride = 1

    def __init__(self, head: nn.Module) -> None:
        super().__init__()
        self.head = head

    def layers(self, features: dict[str, Tensor]) -> Tensor:
        """Logits (N, K, H, W)."""
        logits: Tensor = self.head(features)[0]
        return logits


def _proposal_generator(rpn: Any) -> RPN:
    kind = RRPN if class_of(rpn, PROPOSAL_GENERATORS) == "RRPN" else RPN
    return kind(
        in_features=rpn.in_features,
        head=rpn.rpn_head,
        anchor_generator=_anchor_generator(rpn.anchor_generator, len(rpn.in_features)),
        box2box_transform=box2box_transform(rpn.box2box_transform.weights),
        pre_nms_topk=rpn.pre_nms_topk[False],
        post_nms_topk=rpn.post_nms_topk[False],
        nms_thresh=rpn.nms_thresh,
        min_box_size=rpn.min_box_size,
    )


def _anchor_generator(generator: Any, levels: int) -> AnchorGenerator:
    cells, strides = zip(*anchor_grids(generator, levels) or ())
    return AnchorGenerator(cells, strides, offset=0.0)


def _roi_heads(heads: Any) -> nn.Module:
    name = class_of(heads, ROI_HEADS)
    if name == "Res5ROIHeads":
        return Res5ROIHeads(
            num_classes=heads.num_classes,
            in_features=heads.in_features,
            pooler=_pooler(heads.pooler),
            res5=heads.res5,
            box_predictor=heads.box_predictor,
            mask_head=heads.mask_head if heads.mask_on else None,
        )
    parts: dict[str, Any] = {}
    for task, on in (("box", True), ("mask", heads.mask_on), ("keypoint", heads.keypoint_on)):
        if on:
            head, reads_maps = getattr(heads, f"{task}_head"), class_of(getattr(heads, f"{task}_head"), POINT_REND)
            parts[f"{task}_in_features"] = getattr(heads, f"{task}_in_features")
            parts[f"{task}_pooler"] = None if reads_maps else _pooler(getattr(heads, f"{task}_pooler"))
            parts[f"{task}_head"] = _point_rend_mask_head(head) if reads_maps else head
    kinds: dict[str, type[StandardROIHeads]] = {"RROIHeads": RROIHeads, "CascadeROIHeads": CascadeROIHeads}
    return kinds.get(name, StandardROIHeads)(num_classes=heads.num_classes, box_predictor=heads.box_predictor, **parts)


def _pooler(pooler: Any) -> ROIPooler:
    levels = list(pooler.level_poolers)
    pooler_type = class_of(levels[0], LEVEL_POOLERS)
    if pooler_type == "ROIAlign" and levels[0].aligned:
        pooler_type = "ROIAlignV2"
    height, width = pooler.output_size
    return ROIPooler(
        (height, width),
        [level.spatial_scale for level in levels],
        levels[0].sampling_ratio,
        pooler_type,
        canonical_box_size=pooler.canonical_box_size,
        canonical_level=pooler.canonical_level,
    )
