"""Live Detectron2 models: their submodules, put together by our meta-architectures. Detectron2 itself is not imported.

Networks (backbones and heads, the user's own included) are taken as they are. What surrounds them (choosing proposals,
pooling, choosing detections) is ours, so it must be Detectron2's own code that it replaces: that is checked here.
"""

from __future__ import annotations

import copy
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from d2deploy.errors import Unsupported
from d2deploy.export.deformable_layers import layer_faults, replace_layers
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
from d2deploy.modeling.anchors import AnchorGenerator, shifted_anchors
from d2deploy.modeling.boxes import SCALE_CLAMP, Box2BoxTransformLinear, box2box_transform
from d2deploy.modeling.images import ImageModel
from d2deploy.modeling.registry import ROI_HEADS

__all__ = ["from_detectron2", "is_detectron2", "meta_architecture"]

# Detectron2's classes whose inference is replaced, with the methods that it is made of.
_RCNN = ("forward", "inference", "preprocess_image")
_RPN = ("forward", "predict_proposals", "_decode_proposals")
_STANDARD = ("forward", "forward_with_given_boxes", "_forward_box", "_forward_mask", "_forward_keypoint")
_PREDICTOR = ("inference", "predict_boxes", "predict_probs")
_META_ARCHS = {
    "GeneralizedRCNN": (*_RCNN, "_postprocess"),
    "PanopticFPN": _RCNN,
    "ProposalNetwork": ("forward",),
    "SemanticSegmentor": ("forward",),
    "RetinaNet": (
        "forward",
        "forward_inference",
        "inference_single_image",
        "preprocess_image",
        "_decode_multi_level_predictions",
        "_decode_per_level_predictions",
    ),
}
_META_ARCHS["FCOS"] = _META_ARCHS["RetinaNet"]
_PROPOSAL_GENERATORS = {"RPN": _RPN, "RRPN": _RPN}
_STAGES = ("_run_stage", "_create_proposals_from_boxes")
_ROI_HEADS = {
    "CascadeROIHeads": (*_STANDARD, *_STAGES),
    "StandardROIHeads": _STANDARD,
    "RROIHeads": _STANDARD,
    "Res5ROIHeads": ("forward", "forward_with_given_boxes", "_shared_roi_transform"),
}
_PREDICTORS = {"FastRCNNOutputLayers": _PREDICTOR, "RotatedFastRCNNOutputLayers": _PREDICTOR}
_MASK_HEADS = {"BaseMaskRCNNHead": ("forward",)}
_POINT_MASKS = ("forward", "_roi_pooler", "_point_pooler", "_get_point_logits", "_subdivision_inference")
_POINT_REND = {"ImplicitPointRendMaskHead": _POINT_MASKS, "PointRendMaskHead": _POINT_MASKS}
_POINT_HEADS = {"StandardPointHead": ("forward",)}
_IMPLICIT_POINT_HEADS = {"ImplicitPointHead": ("forward", "_dynamic_mlp", "_parse_params")}
_KEYPOINT_HEADS = {"BaseKeypointRCNNHead": ("forward",)}
_SEM_SEG_HEADS = {"SemSegFPNHead": ("forward",)}
_POINT_REND_SEM_SEG = {"PointRendSemSegHead": ("forward",)}
_POOLERS = {"ROIPooler": ("forward",)}
_LEVEL_POOLERS = {"ROIAlign": ("forward",), "ROIAlignRotated": ("forward",)}
_LINEAR_TRANSFORMS = {"Box2BoxTransformLinear": ("apply_deltas",)}
_TRANSFORMS = {"Box2BoxTransform": ("apply_deltas",), "Box2BoxTransformRotated": ("apply_deltas",)}

Methods = Mapping[str, tuple[str, ...]]

_ROI_ALIGN = "use ROIAlignV2, ROIAlign or ROIAlignRotated as POOLER_TYPE"


def is_detectron2(model: nn.Module) -> bool:
    """Whether the model's class, or one that it is derived from, is Detectron2's."""
    return any(_is_theirs(kind) for kind in type(model).__mro__)


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
    _refuse(_model_faults(model))
    model = copy.deepcopy(model).eval().requires_grad_(False)
    replace_layers(model)
    result = _MAKERS[_class(model, _META_ARCHS)](model, _image_parts(cfg, model))
    return result.eval().to(result.device)


def meta_architecture(model: nn.Module) -> str:
    """The name of Detectron2's meta-architecture that the model is of, or derived from.

    Raises:
        Unsupported: it is of none that can be converted.
    """
    _refuse(_part_faults("the model", model, _META_ARCHS))
    return _class(model, _META_ARCHS)


def _refuse(faults: Iterator[str]) -> None:
    if text := "".join(f"\n  {fault}" for fault in faults):
        raise Unsupported(f"this Detectron2 model cannot be converted:{text}")


def _is_theirs(kind: type) -> bool:
    """Whether a class is Detectron2's, or of its project PointRend."""
    return kind.__module__.partition(".")[0] in ("detectron2", "point_rend")


def _class(part: object, known: Methods) -> str:
    """Which of Detectron2's classes the part is of, or derived from; empty for none."""
    return next((k.__name__ for k in type(part).__mro__ if _is_theirs(k) and k.__name__ in known), "")


def _part_faults(path: str, part: object, known: Methods) -> Iterator[str]:
    """What keeps a part's inference from being replaced."""
    own, name = type(part).__name__, _class(part, known)
    if not name:
        yield f"{path} is a {own}; can be: {', '.join(known)}, and classes derived from them"
        return
    base: type = next(k for k in type(part).__mro__ if k.__name__ == name and _is_theirs(k))
    changed = [m for m in known[name] if m in vars(part) or getattr(type(part), m) is not getattr(base, m)]
    if changed:
        reason = ROI_HEADS.unsupported.get(own, f"only {name}'s own code for it can be converted")
        yield f"{path} is a {own}, which changes {', '.join(changed)} of {name}: {reason}"


def _model_faults(model: Any) -> Iterator[str]:
    yield from (faults := list(_part_faults("the model", model, _META_ARCHS)))
    if faults:
        return
    yield from layer_faults(model)
    if _class(model, _META_ARCHS) == "RetinaNet":
        yield from _transform_faults("box2box_transform", model.box2box_transform)
        yield from _anchor_faults("anchor_generator", model.anchor_generator, model.head_in_features)
        return
    if _class(model, _META_ARCHS) == "FCOS":
        transform = model.box2box_transform
        yield from (faults := list(_part_faults("box2box_transform", transform, _LINEAR_TRANSFORMS)))
        if not faults and not transform.normalize_by_size:
            yield "box2box_transform.normalize_by_size is False; the files' readers take True alone"
        yield from _anchor_faults("anchor_generator", model.anchor_generator, model.head_in_features)
        return
    if getattr(model, "proposal_generator", None) is not None:
        yield from _proposal_faults(model.proposal_generator)
    if hasattr(model, "roi_heads"):
        yield from _roi_faults(model.roi_heads)


def _proposal_faults(rpn: Any) -> Iterator[str]:
    path = "proposal_generator"
    yield from (faults := list(_part_faults(path, rpn, _PROPOSAL_GENERATORS)))
    if not faults:
        yield from _transform_faults(f"{path}.box2box_transform", rpn.box2box_transform)
        yield from _anchor_faults(f"{path}.anchor_generator", rpn.anchor_generator, rpn.in_features)


def _roi_faults(heads: Any) -> Iterator[str]:
    yield from (faults := list(_part_faults("roi_heads", heads, _ROI_HEADS)))
    if faults:
        return
    shared = _class(heads, _ROI_HEADS) == "Res5ROIHeads"
    yield from _pooler_faults("roi_heads.pooler" if shared else "roi_heads.box_pooler", heads)
    path = "roi_heads.box_predictor"
    if _class(heads, _ROI_HEADS) == "CascadeROIHeads":
        for stage, predictor in enumerate(heads.box_predictor):
            yield from _predictor_faults(f"{path}.{stage}", predictor)
    else:
        yield from _predictor_faults(path, heads.box_predictor)
    if heads.mask_on and _class(heads.mask_head, _POINT_REND):
        yield from _point_rend_faults(heads.mask_head)
    elif heads.mask_on:
        yield from _part_faults("roi_heads.mask_head", heads.mask_head, _MASK_HEADS)
        if not shared:
            yield from _pooler_faults("roi_heads.mask_pooler", heads)
    if not shared and heads.keypoint_on:
        yield from _part_faults("roi_heads.keypoint_head", heads.keypoint_head, _KEYPOINT_HEADS)
        yield from _pooler_faults("roi_heads.keypoint_pooler", heads)


def _point_rend_faults(head: Any) -> Iterator[str]:
    path = "roi_heads.mask_head"
    yield from (faults := list(_part_faults(path, head, _POINT_REND)))
    if not faults and not head.mask_point_on:
        yield f"{path}.mask_point_on is False, which is for training alone; set MODEL.ROI_MASK_HEAD.POINT_HEAD_ON"
    elif not faults:
        known = _IMPLICIT_POINT_HEADS if _is_implicit(head) else _POINT_HEADS
        yield from _part_faults(f"{path}.point_head", head.point_head, known)


def _is_implicit(head: Any) -> bool:
    return _class(head, _POINT_REND) == "ImplicitPointRendMaskHead"


def _predictor_faults(path: str, predictor: Any) -> Iterator[str]:
    yield from (faults := list(_part_faults(path, predictor, _PREDICTORS)))
    if not faults:
        yield from _transform_faults(f"{path}.box2box_transform", predictor.box2box_transform)


def _pooler_faults(path: str, heads: Any) -> Iterator[str]:
    pooler = getattr(heads, path.rpartition(".")[2])
    if pooler is None:
        yield f"{path} is None: heads that read the feature maps themselves cannot be converted; {_ROI_ALIGN}"
        return
    yield from (faults := list(_part_faults(path, pooler, _POOLERS)))
    wrong = [] if faults else [p for p in pooler.level_poolers if not _class(p, _LEVEL_POOLERS)]
    if wrong:
        yield f"{path} pools with {type(wrong[0]).__name__}, which the files have no operator for; {_ROI_ALIGN}"


def _transform_faults(path: str, transform: Any) -> Iterator[str]:
    yield from (faults := list(_part_faults(path, transform, _TRANSFORMS)))
    if not faults and abs(transform.scale_clamp - SCALE_CLAMP) > 1e-6:
        yield (
            f"{path}.scale_clamp is {transform.scale_clamp}; Caffe2's operators have log(1000 / 16) built in; "
            "leave it at its default"
        )


def _anchor_faults(path: str, generator: Any, features: Sequence[str]) -> Iterator[str]:
    if _anchor_grids(generator, len(features)) is None:
        yield (
            f"{path} ({type(generator).__name__}): its anchors are not a regular grid; Caffe2's GenerateProposals "
            "needs the same boxes around every cell of a map, and cells at equal distances in x and y"
        )


def _anchors(generator: Any, sizes: Sequence[tuple[int, int]]) -> list[Tensor]:
    """What the generator gives for maps (1, 1, H, W) of these sizes, (H W A, D) each."""
    device = next((buffer.device for buffer in generator.buffers()), None)
    maps = [torch.zeros(1, 1, *size, device=device) for size in sizes]
    return [getattr(boxes, "tensor", boxes) for boxes in generator(maps)]


def _anchor_grids(generator: Any, levels: int) -> list[tuple[Tensor, int]] | None:
    """Each level's anchors at the first cell, and the stride, as the generator's outputs show them.

    An offset of the grid is so within the anchors, where GenerateProposals can take it. None where the outputs for
    other sizes are not those of such a grid.
    """
    size = (2, 3)
    grids = []
    for boxes in _anchors(generator, [size] * levels):
        count = len(boxes) // (size[0] * size[1])
        if count == 0 or boxes.shape[1] not in (4, 5):
            return None
        grids.append((boxes[:count], round((boxes[count, 0] - boxes[0, 0]).item())))
    # Maps of different sizes: an anchor must depend on its own cell alone.
    sizes = [(4 + level, 7 - level % 3) for level in range(levels)]
    for boxes, size, (cell, stride) in zip(_anchors(generator, sizes), sizes, grids):
        expected = shifted_anchors(cell, size, stride, 0.0)
        if boxes.shape != expected.shape or not torch.allclose(boxes, expected, rtol=1e-6, atol=1e-4):
            return None
    return grids


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
    if not list(_part_faults("", head, _SEM_SEG_HEADS)):
        return head  # type: ignore[no-any-return]
    if list(_part_faults("", head, _POINT_REND_SEM_SEG)) or list(_part_faults("", head.point_head, _POINT_HEADS)):
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
    kind = ImplicitPointRendMaskHead if _is_implicit(head) else PointRendMaskHead
    return kind(
        strides={name: round(1 / scale) for name, scale in head._feature_scales.items()},
        coarse_in_features=head.roi_pooler_in_features,
        coarse_size=head.roi_pooler_size,
        coarse_head=getattr(head, kind.coarse_name),
        point_in_features=head.mask_point_in_features,
        point_head=_implicit_point_head(head.point_head) if _is_implicit(head) else _point_head(head.point_head),
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
    kind = RRPN if _class(rpn, _PROPOSAL_GENERATORS) == "RRPN" else RPN
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
    cells, strides = zip(*_anchor_grids(generator, levels) or ())
    return AnchorGenerator(cells, strides, offset=0.0)


def _roi_heads(heads: Any) -> nn.Module:
    name = _class(heads, _ROI_HEADS)
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
            head, reads_maps = getattr(heads, f"{task}_head"), _class(getattr(heads, f"{task}_head"), _POINT_REND)
            parts[f"{task}_in_features"] = getattr(heads, f"{task}_in_features")
            parts[f"{task}_pooler"] = None if reads_maps else _pooler(getattr(heads, f"{task}_pooler"))
            parts[f"{task}_head"] = _point_rend_mask_head(head) if reads_maps else head
    kinds: dict[str, type[StandardROIHeads]] = {"RROIHeads": RROIHeads, "CascadeROIHeads": CascadeROIHeads}
    return kinds.get(name, StandardROIHeads)(num_classes=heads.num_classes, box_predictor=heads.box_predictor, **parts)


def _pooler(pooler: Any) -> ROIPooler:
    levels = list(pooler.level_poolers)
    pooler_type = _class(levels[0], _LEVEL_POOLERS)
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
