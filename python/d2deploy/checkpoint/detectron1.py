"""Weights of Detectron, the predecessor in Caffe2, by Detectron2's names.

Source of the facts: detectron2/checkpoint/c2_model_loading.py; Detectron, detectron/modeling/*.py.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any

import torch

from d2deploy.errors import Unsupported

__all__ = ["detectron2_names"]

# Of a blob's name what stands before its last words, and what that becomes. `{backbone}` is filled in by the file.
_LAYERS = (
    (r"conv_rpn(_fpn2)?", "proposal_generator.rpn_head.conv"),
    (r"rpn_bbox_pred(_fpn2)?", "proposal_generator.rpn_head.anchor_deltas"),
    (r"rpn_cls_logits(_fpn2)?", "proposal_generator.rpn_head.objectness_logits"),
    (r"bbox_pred", "roi_heads.box_predictor.bbox_pred"),
    (r"cls_score", "roi_heads.box_predictor.cls_score"),
    (r"fc6", "roi_heads.box_head.fc1"),
    (r"fc7", "roi_heads.box_head.fc2"),
    (r"head_conv(?P<n>\d+)", "roi_heads.box_head.conv{n}"),
    (r"_\[mask\]_fcn(?P<n>\d+)", "roi_heads.mask_head.mask_fcn{n}"),
    (r"conv5_mask", "roi_heads.mask_head.deconv"),
    (r"mask_fcn_logits", "roi_heads.mask_head.predictor"),
    (r"conv_fcn(?P<n>\d+)", "roi_heads.keypoint_head.conv_fcn{n}"),
    (r"kps_score_lowres", "roi_heads.keypoint_head.score_lowres"),
    (r"fpn_inner_res(?P<n>\d)_\d+_sum(_lateral)?", "backbone.fpn_lateral{n}"),
    (r"fpn_res(?P<n>\d)_\d+_sum", "backbone.fpn_output{n}"),
    (r"(res_)?conv1", "{backbone}stem.conv1"),
    (r"res(?P<n>\d)_(?P<block>\d+)_branch1", "{stage}.{block}.shortcut"),
    (r"res(?P<n>\d)_(?P<block>\d+)_branch2(?P<conv>[abc])", "{stage}.{block}.conv{number}"),
)
_ENDS = {
    **{"_w": ".weight", "_b": ".bias"},
    **{"_bn_s": ".norm.weight", "_bn_b": ".norm.bias", "_bn_rm": ".norm.running_mean", "_bn_riv": ".norm.running_var"},
    **{"_gn_s": ".norm.weight", "_gn_b": ".norm.bias"},
}
_NAME = re.compile(r"(?P<layer>.+?)(?P<end>_(?:[bg]n_)?(?:w|b|s|rm|riv))")
# What training alone needs, the classifier of ImageNet, and the fixed bilinear kernel of keypoints.
_LEFT_OUT = re.compile(r".*_momentum|lr|(pred|fc1000|kps_score)_[wb]")


def detectron2_names(blobs: Mapping[Any, Any], path: object) -> dict[str, torch.Tensor]:
    """The weights of a detector with the names, and the order of classes, that Detectron2 has them by.

    Args:
        blobs: name -> tensor.
        path: of the file, for messages.

    Raises:
        Unsupported: there are weights of other layers, or anchors of several sizes on one map, whose order is another.
    """
    has_pyramid = any(str(name).startswith("fpn_") for name in blobs)
    has_fc = "fc6_w" in blobs
    found: dict[str, torch.Tensor] = {}
    unknown = []
    for name, value in blobs.items():
        if _LEFT_OUT.fullmatch(str(name)):
            continue
        new = next(_new_names(str(name), has_pyramid, has_fc), None)
        if new is None or not torch.is_tensor(value):
            unknown.append(str(name))
        elif new != "backbone.bottom_up.stem.conv1.bias" and new != "backbone.stem.conv1.bias":
            found[new] = _reordered(new, value)
        elif value.any():
            unknown.append(str(name))
    if unknown:
        shown = ", ".join(sorted(unknown)[:6])
        raise Unsupported(
            f"{path} is of Detectron and has {len(unknown)} weights of layers that are not known: {shown}"
        )
    logits = found.get("proposal_generator.rpn_head.objectness_logits.bias")
    if not has_pyramid and logits is not None and len(logits) > 3:
        raise Unsupported(
            f"{path} is of Detectron and has {len(logits)} anchors on one map, which Detectron2 has in another order; "
            "models with a pyramid can be converted"
        )
    return found


def _new_names(name: str, has_pyramid: bool, has_fc: bool) -> Iterator[str]:
    parts = _NAME.fullmatch(name)
    if parts is None:
        return
    backbone = "backbone.bottom_up." if has_pyramid else "backbone."
    for pattern, new in _LAYERS:
        if match := re.fullmatch(pattern, parts["layer"]):
            words = match.groupdict()
            # In a C4 model, the last stage runs on every box.
            of_boxes = words.get("n") == "5" and not has_pyramid and not has_fc
            stage = f"{'roi_heads.' if of_boxes else backbone}res{words.get('n')}"
            number = "abc".find(words.get("conv") or "a") + 1
            yield new.format(**{**words, "backbone": backbone, "stage": stage, "number": number}) + _ENDS[parts["end"]]


def _reordered(name: str, value: torch.Tensor) -> torch.Tensor:
    """Detectron has the background first: with scores it goes to the end, without any meaning it is left out."""
    if ".box_predictor.cls_score." in name:
        return torch.cat([value[1:], value[:1]])
    if ".box_predictor.bbox_pred." in name:
        return value[4:]
    return value[1:] if ".mask_head.predictor." in name and len(value) > 1 else value
