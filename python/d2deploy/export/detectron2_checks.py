"""What parts of live Detectron2 models are, and what keeps them from being converted.

What surrounds a model's networks is replaced by ours, so it must be Detectron2's own code. Nothing of it is imported:
its classes are known by their names.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor

from d2deploy.export.deformable_layers import layer_faults
from d2deploy.modeling import registry
from d2deploy.modeling.anchors import shifted_anchors
from d2deploy.modeling.boxes import SCALE_CLAMP

__all__ = [
    "LEVEL_POOLERS",
    "META_ARCHS",
    "POINT_HEADS",
    "POINT_REND",
    "POINT_REND_SEM_SEG",
    "PROPOSAL_GENERATORS",
    "ROI_HEADS",
    "SEM_SEG_HEADS",
    "anchor_grids",
    "class_of",
    "is_implicit",
    "is_theirs",
    "model_faults",
    "part_faults",
]

# Detectron2's classes whose inference is replaced, with the methods that it is made of.
_RCNN = ("forward", "inference", "preprocess_image")
_RPN = ("forward", "predict_proposals", "_decode_proposals")
_STANDARD = ("forward", "forward_with_given_boxes", "_forward_box", "_forward_mask", "_forward_keypoint")
_PREDICTOR = ("inference", "predict_boxes", "predict_probs")
META_ARCHS = {
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
META_ARCHS["FCOS"] = META_ARCHS["RetinaNet"]
PROPOSAL_GENERATORS = {"RPN": _RPN, "RRPN": _RPN}
_STAGES = ("_run_stage", "_create_proposals_from_boxes")
ROI_HEADS = {
    "CascadeROIHeads": (*_STANDARD, *_STAGES),
    "StandardROIHeads": _STANDARD,
    "RROIHeads": _STANDARD,
    "Res5ROIHeads": ("forward", "forward_with_given_boxes", "_shared_roi_transform"),
}
_PREDICTORS = {"FastRCNNOutputLayers": _PREDICTOR, "RotatedFastRCNNOutputLayers": _PREDICTOR}
_MASK_HEADS = {"BaseMaskRCNNHead": ("forward",)}
_POINT_MASKS = ("forward", "_roi_pooler", "_point_pooler", "_get_point_logits", "_subdivision_inference")
POINT_REND = {"ImplicitPointRendMaskHead": _POINT_MASKS, "PointRendMaskHead": _POINT_MASKS}
POINT_HEADS = {"StandardPointHead": ("forward",)}
_IMPLICIT_POINT_HEADS = {"ImplicitPointHead": ("forward", "_dynamic_mlp", "_parse_params")}
_KEYPOINT_HEADS = {"BaseKeypointRCNNHead": ("forward",)}
SEM_SEG_HEADS = {"SemSegFPNHead": ("forward",)}
POINT_REND_SEM_SEG = {"PointRendSemSegHead": ("forward",)}
_POOLERS = {"ROIPooler": ("forward",)}
LEVEL_POOLERS = {"ROIAlign": ("forward",), "ROIAlignRotated": ("forward",)}
_LINEAR_TRANSFORMS = {"Box2BoxTransformLinear": ("apply_deltas",)}
_TRANSFORMS = {"Box2BoxTransform": ("apply_deltas",), "Box2BoxTransformRotated": ("apply_deltas",)}

Methods = Mapping[str, tuple[str, ...]]

_ROI_ALIGN = "use ROIAlignV2, ROIAlign or ROIAlignRotated as POOLER_TYPE"


def is_theirs(kind: type) -> bool:
    """Whether a class is Detectron2's, or of its project PointRend."""
    return kind.__module__.partition(".")[0] in ("detectron2", "point_rend")


def class_of(part: object, known: Methods) -> str:
    """Which of Detectron2's classes the part is of, or derived from; empty for none."""
    return next((k.__name__ for k in type(part).__mro__ if is_theirs(k) and k.__name__ in known), "")


def part_faults(path: str, part: object, known: Methods) -> Iterator[str]:
    """What keeps a part's inference from being replaced."""
    own, name = type(part).__name__, class_of(part, known)
    if not name:
        yield f"{path} is a {own}; can be: {', '.join(known)}, and classes derived from them"
        return
    base: type = next(k for k in type(part).__mro__ if k.__name__ == name and is_theirs(k))
    changed = [m for m in known[name] if m in vars(part) or getattr(type(part), m) is not getattr(base, m)]
    if changed:
        reason = registry.ROI_HEADS.unsupported.get(own, f"only {name}'s own code for it can be converted")
        yield f"{path} is a {own}, which changes {', '.join(changed)} of {name}: {reason}"


def model_faults(model: Any) -> Iterator[str]:
    """What keeps a model from being converted, part by part."""
    yield from (faults := list(part_faults("the model", model, META_ARCHS)))
    if faults:
        return
    yield from layer_faults(model)
    if class_of(model, META_ARCHS) == "RetinaNet":
        yield from _transform_faults("box2box_transform", model.box2box_transform)
        yield from _anchor_faults("anchor_generator", model.anchor_generator, model.head_in_features)
        return
    if class_of(model, META_ARCHS) == "FCOS":
        transform = model.box2box_transform
        yield from (faults := list(part_faults("box2box_transform", transform, _LINEAR_TRANSFORMS)))
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
    yield from (faults := list(part_faults(path, rpn, PROPOSAL_GENERATORS)))
    if not faults:
        yield from _transform_faults(f"{path}.box2box_transform", rpn.box2box_transform)
        yield from _anchor_faults(f"{path}.anchor_generator", rpn.anchor_generator, rpn.in_features)


def _roi_faults(heads: Any) -> Iterator[str]:
    yield from (faults := list(part_faults("roi_heads", heads, ROI_HEADS)))
    if faults:
        return
    shared = class_of(heads, ROI_HEADS) == "Res5ROIHeads"
    yield from _pooler_faults("roi_heads.pooler" if shared else "roi_heads.box_pooler", heads)
    path = "roi_heads.box_predictor"
    if class_of(heads, ROI_HEADS) == "CascadeROIHeads":
        for stage, predictor in enumerate(heads.box_predictor):
            yield from _predictor_faults(f"{path}.{stage}", predictor)
    else:
        yield from _predictor_faults(path, heads.box_predictor)
    if heads.mask_on and class_of(heads.mask_head, POINT_REND):
        yield from _point_rend_faults(heads.mask_head)
    elif heads.mask_on:
        yield from part_faults("roi_heads.mask_head", heads.mask_head, _MASK_HEADS)
        if not shared:
            yield from _pooler_faults("roi_heads.mask_pooler", heads)
    if not shared and heads.keypoint_on:
        yield from part_faults("roi_heads.keypoint_head", heads.keypoint_head, _KEYPOINT_HEADS)
        yield from _pooler_faults("roi_heads.keypoint_pooler", heads)


def _point_rend_faults(head: Any) -> Iterator[str]:
    path = "roi_heads.mask_head"
    yield from (faults := list(part_faults(path, head, POINT_REND)))
    if not faults and not head.mask_point_on:
        yield f"{path}.mask_point_on is False, which is for training alone; set MODEL.ROI_MASK_HEAD.POINT_HEAD_ON"
    elif not faults:
        known = _IMPLICIT_POINT_HEADS if is_implicit(head) else POINT_HEADS
        yield from part_faults(f"{path}.point_head", head.point_head, known)


def is_implicit(head: Any) -> bool:
    """Whether a head of PointRend makes the network of its points out of the map."""
    return class_of(head, POINT_REND) == "ImplicitPointRendMaskHead"


def _predictor_faults(path: str, predictor: Any) -> Iterator[str]:
    yield from (faults := list(part_faults(path, predictor, _PREDICTORS)))
    if not faults:
        yield from _transform_faults(f"{path}.box2box_transform", predictor.box2box_transform)


def _pooler_faults(path: str, heads: Any) -> Iterator[str]:
    pooler = getattr(heads, path.rpartition(".")[2])
    if pooler is None:
        yield f"{path} is None: heads that read the feature maps themselves cannot be converted; {_ROI_ALIGN}"
        return
    yield from (faults := list(part_faults(path, pooler, _POOLERS)))
    wrong = [] if faults else [p for p in pooler.level_poolers if not class_of(p, LEVEL_POOLERS)]
    if wrong:
        yield f"{path} pools with {type(wrong[0]).__name__}, which the files have no operator for; {_ROI_ALIGN}"


def _transform_faults(path: str, transform: Any) -> Iterator[str]:
    yield from (faults := list(part_faults(path, transform, _TRANSFORMS)))
    if not faults and abs(transform.scale_clamp - SCALE_CLAMP) > 1e-6:
        yield (
            f"{path}.scale_clamp is {transform.scale_clamp}; Caffe2's operators have log(1000 / 16) built in; "
            "leave it at its default"
        )


def _anchor_faults(path: str, generator: Any, features: Sequence[str]) -> Iterator[str]:
    if anchor_grids(generator, len(features)) is None:
        yield (
            f"{path} ({type(generator).__name__}): its anchors are not a regular grid; Caffe2's GenerateProposals "
            "needs the same boxes around every cell of a map, and cells at equal distances in x and y"
        )


def _anchors(generator: Any, sizes: Sequence[tuple[int, int]]) -> list[Tensor]:
    """What the generator gives for maps (1, 1, H, W) of these sizes, (H W A, D) each."""
    device = next((buffer.device for buffer in generator.buffers()), None)
    maps = [torch.zeros(1, 1, *size, device=device) for size in sizes]
    return [getattr(boxes, "tensor", boxes) for boxes in generator(maps)]


def anchor_grids(generator: Any, levels: int) -> list[tuple[Tensor, int]] | None:
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
