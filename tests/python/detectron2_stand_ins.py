"""Detectron2's classes, and those of its project PointRend, as far as the adapter of live models looks at them: made of
ours with the same parameter names.

A stand-in says that it is Detectron2's, has the methods whose code the adapter replaces, and the attributes that it
reads.
test_detectron2_stand_ins.py compares them with the originals where these are installed.
"""

from __future__ import annotations

from typing import Any

from torch import Tensor, nn

from d2deploy import modeling as ours
from d2deploy.modeling import boxes, pooler
from d2deploy.structures import as_boxes

__all__ = ["CLASSES", "POINT_REND", "as_detectron2", "stand_in"]

POINT_REND = "point_rend."  # how its modules begin


def _not_here(*args: Any, **kwargs: Any) -> Any:
    raise NotImplementedError("this is a stand-in, without Detectron2's own code")


def stand_in(name: str, module: str, *bases: type, methods: str = "", **members: Any) -> type:
    """A class that says it is `detectron2.<module>.<name>`, or PointRend's `<module>.<name>`; methods, words of a text,
    that no base has do nothing.
    """
    place = module if module.startswith(POINT_REND) else f"detectron2.{module}"
    missing = {m: _not_here for m in methods.split() if not any(hasattr(base, m) for base in bases)}
    return type(name, bases, {"__module__": place, **missing, **members})


class _GivesBoxes(nn.Module):
    """Before an anchor generator of ours: containers instead of tensors."""

    def forward(self, features: list[Tensor]) -> list[Any]:
        return [as_boxes(level) for level in super().forward(features)]


def _layers(self: Any, x: Tensor) -> Tensor:
    for layer in self.children():
        x = layer(x)
    return x


_STANDARD = "forward forward_with_given_boxes _forward_box _forward_mask _forward_keypoint"
_DENSE = (
    "forward forward_inference inference_single_image preprocess_image _decode_multi_level_predictions "
    "_decode_per_level_predictions"
)
_PREDICTOR = "forward inference predict_boxes predict_probs"
_MASK_HEAD = stand_in("BaseMaskRCNNHead", "modeling.roi_heads.mask_head", nn.Module, forward=_not_here)
_KEYPOINT_HEAD = stand_in("BaseKeypointRCNNHead", "modeling.roi_heads.keypoint_head", nn.Module, forward=_not_here)
_POINT_MASKS = "forward _roi_pooler _point_pooler _get_point_logits _subdivision_inference"
_UNPADDED = {"padding_constraints": property(lambda self: {"square_size": 0})}

_ROIALIGN = stand_in("ROIAlign", "layers.roi_align", pooler.ROIAlign)
_ROIALIGN_ROTATED = stand_in("ROIAlignRotated", "layers.roi_align_rotated", pooler.ROIAlign)
_PREDICTOR_CLASS = stand_in(
    "FastRCNNOutputLayers", "modeling.roi_heads.fast_rcnn", ours.FastRCNNOutputLayers, methods=_PREDICTOR
)
_ROTATED_PREDICTOR = stand_in(
    "RotatedFastRCNNOutputLayers", "modeling.roi_heads.rotated_fast_rcnn", _PREDICTOR_CLASS, inference=_not_here
)

# Ours -> the stand-in of Detectron2's.
CLASSES: dict[type, type] = {
    base: stand_in(base.__name__, module, *more, base, methods=methods, **members)
    for base, module, more, methods, members in (
        (
            ours.GeneralizedRCNN,
            "modeling.meta_arch.rcnn",
            (),
            "forward inference preprocess_image _postprocess",
            {},
        ),
        (ours.PanopticFPN, "modeling.meta_arch.panoptic_fpn", (), "forward inference preprocess_image", {}),
        (ours.ProposalNetwork, "modeling.meta_arch.rcnn", (), "forward", {}),
        (ours.SemanticSegmentor, "modeling.meta_arch.semantic_seg", (), "forward", {}),
        (ours.RetinaNet, "modeling.meta_arch.retinanet", (), _DENSE, {}),
        (ours.FCOS, "modeling.meta_arch.fcos", (), _DENSE, {}),
        (ours.RPN, "modeling.proposal_generator.rpn", (), "forward predict_proposals _decode_proposals", {}),
        (ours.RRPN, "modeling.proposal_generator.rrpn", (), "forward predict_proposals _decode_proposals", {}),
        (ours.StandardROIHeads, "modeling.roi_heads.roi_heads", (), _STANDARD, {}),
        (
            ours.CascadeROIHeads,
            "modeling.roi_heads.cascade_rcnn",
            (),
            f"{_STANDARD} _run_stage _create_proposals_from_boxes",
            {},
        ),
        (ours.RROIHeads, "modeling.roi_heads.rotated_fast_rcnn", (), _STANDARD, {}),
        (
            ours.Res5ROIHeads,
            "modeling.roi_heads.roi_heads",
            (),
            "forward forward_with_given_boxes _shared_roi_transform",
            {},
        ),
        (
            ours.MaskRCNNConvUpsampleHead,
            "modeling.roi_heads.mask_head",
            (_MASK_HEAD,),
            "forward",
            {"layers": _layers},
        ),
        (ours.KRCNNConvDeconvUpsampleHead, "modeling.roi_heads.keypoint_head", (_KEYPOINT_HEAD,), "forward", {}),
        (ours.SemSegFPNHead, "modeling.meta_arch.semantic_seg", (), "", {"forward": _not_here}),
        (ours.PointRendMaskHead, "point_rend.mask_head", (), _POINT_MASKS, {}),
        (ours.ImplicitPointRendMaskHead, "point_rend.mask_head", (), _POINT_MASKS, {}),
        (ours.StandardPointHead, "point_rend.point_head", (), "", {"forward": _not_here}),
        (ours.ImplicitPointHead, "point_rend.point_head", (), "_dynamic_mlp _parse_params", {"forward": _not_here}),
        (ours.PointRendSemSegHead, "point_rend.semantic_seg", (), "", {"forward": _not_here}),
        (ours.ROIPooler, "modeling.poolers", (), "forward", {}),
        (ours.DefaultAnchorGenerator, "modeling.anchor_generator", (_GivesBoxes,), "", {}),
        (ours.RotatedAnchorGenerator, "modeling.anchor_generator", (_GivesBoxes,), "", {}),
        (ours.FPN, "modeling.backbone.fpn", (), "", _UNPADDED),
        (ours.DeformConv, "layers.deform_conv", (), "forward", {}),
        (boxes.Box2BoxTransform, "modeling.box_regression", (), "apply_deltas", {}),
        (boxes.Box2BoxTransformRotated, "modeling.box_regression", (), "apply_deltas", {}),
        (
            boxes.Box2BoxTransformLinear,
            "modeling.box_regression",
            (),
            "apply_deltas",
            {"normalize_by_size": True},
        ),
    )
}


def as_detectron2(model: Any) -> Any:
    """One of our models as Detectron2 has it, training: the same object, of stand-ins and with their attributes."""
    for module in model.modules():
        for change in _CHANGES:
            change(module)
        _to_stand_in(module)
        if transform := getattr(module, "box2box_transform", None):
            _to_stand_in(transform)
    return model.train()


def _to_stand_in(part: Any) -> None:
    part.__class__ = CLASSES.get(type(part), type(part))


def _change_format(module: Any) -> None:
    if type(module) in (ours.ProposalNetwork, ours.SemanticSegmentor):
        del module.input_format


def _change_layer(module: Any) -> None:
    if isinstance(module, ours.DeformConv):
        window = {name: (n, n) if isinstance(n, int) and name != "groups" else n for name, n in module.window.items()}
        vars(module).update(window)


def _change_points(module: Any) -> None:
    kind: type = type(module)
    if issubclass(kind, ours.PointRendMaskHead):
        module._feature_scales = {name: 1 / stride for name, stride in module.strides.items()}
        module.roi_pooler_in_features, module.roi_pooler_size = module.coarse_in_features, module.coarse_size
        module.mask_point_on, module.mask_point_in_features = True, module.point_in_features
        module.mask_point_subdivision_init_resolution = module.init_size
        module.mask_point_subdivision_steps = module.steps
        module.mask_point_subdivision_num_points = module.num_points
    elif issubclass(kind, ours.PointRendSemSegHead):
        module.in_features = module.point_in_features
        module.subdivision_steps, module.subdivision_num_points = module.steps, module.num_points
    elif issubclass(kind, ours.StandardPointHead):
        module.fc_layers = [module.get_submodule(f"fc{i}") for i in range(1, module.num_fc + 1)]
    elif issubclass(kind, ours.ImplicitPointHead):
        (module.channels, module.in_channels), (module.num_classes, _) = module.shapes[0], module.shapes[-1]
        module.num_layers = len(module.shapes)


def _change_pooler(module: Any) -> None:
    if isinstance(module, ours.ROIPooler):
        rotated = module.pooler_type == "ROIAlignRotated"
        del module.pooler_type
        for level in module.level_poolers:
            level.__class__ = _ROIALIGN_ROTATED if rotated else _ROIALIGN
            if rotated:
                del level.aligned


def _change_predictor(module: Any) -> None:
    if isinstance(module, ours.FastRCNNOutputLayers):
        module.__class__ = _PREDICTOR_CLASS if len(module.box2box_transform.weights) == 4 else _ROTATED_PREDICTOR


def _change_proposals(module: Any) -> None:
    if isinstance(module, ours.RPN):
        for name in ("pre_nms_topk", "post_nms_topk"):
            at_inference = getattr(module, name)
            setattr(module, name, {True: 2 * at_inference, False: at_inference})


_CHANGES = (_change_format, _change_layer, _change_points, _change_pooler, _change_predictor, _change_proposals)
