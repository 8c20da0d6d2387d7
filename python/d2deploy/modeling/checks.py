"""What numbers of a configuration may be, told by their keys before a model is built of them."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from typing import Any

from d2deploy.config import Config
from d2deploy.errors import InvalidArgument

__all__ = ["check_numbers"]


def check_numbers(cfg: Config) -> None:
    """Raises InvalidArgument, which names all keys, where numbers that the model is made of cannot be meant."""
    if faults := list(_faults(cfg)):
        raise InvalidArgument("; ".join(faults))


def _faults(cfg: Config) -> Iterator[str]:
    model = cfg.MODEL
    yield from _wrong_lists("MODEL.PIXEL_MEAN", model.PIXEL_MEAN, positive=False)
    yield from _wrong_lists("MODEL.PIXEL_STD", model.PIXEL_STD)
    if len(model.PIXEL_MEAN) != len(model.PIXEL_STD):
        yield (
            f"MODEL.PIXEL_MEAN has {len(model.PIXEL_MEAN)} numbers, MODEL.PIXEL_STD {len(model.PIXEL_STD)}; "
            "both need one per channel"
        )
    for key in _counts(cfg):
        value = _value(cfg, key)
        if isinstance(value, int) and value < 1:
            yield f"{key} is {value}, must be at least 1"
    if model.META_ARCHITECTURE != "SemanticSegmentor":
        yield from _wrong_lists("MODEL.ANCHOR_GENERATOR.SIZES", model.ANCHOR_GENERATOR.SIZES)
        yield from _wrong_lists("MODEL.ANCHOR_GENERATOR.ASPECT_RATIOS", model.ANCHOR_GENERATOR.ASPECT_RATIOS)
    for key in (
        "MODEL.RPN.BBOX_REG_WEIGHTS",
        "MODEL.ROI_BOX_HEAD.BBOX_REG_WEIGHTS",
        "MODEL.RETINANET.BBOX_REG_WEIGHTS",
    ):
        yield from _wrong_lists(key, _value(cfg, key))
    for key in (
        "RPN.NMS_THRESH",
        "ROI_HEADS.NMS_THRESH_TEST",
        "ROI_HEADS.SCORE_THRESH_TEST",
        "RETINANET.NMS_THRESH_TEST",
    ):
        if math.isnan(_value(model, key)):
            yield f"MODEL.{key} is nan, must be a number"


def _counts(cfg: Config) -> Iterator[str]:
    """Keys of what there must be at least one of, in the parts that the model has."""
    model = cfg.MODEL
    kind, heads = model.META_ARCHITECTURE, model.META_ARCHITECTURE in ("GeneralizedRCNN", "PanopticFPN")
    if kind in ("RetinaNet", "FCOS"):
        yield "MODEL.RETINANET.NUM_CLASSES"
    if heads:
        yield from ("MODEL.ROI_HEADS.NUM_CLASSES", "MODEL.ROI_BOX_HEAD.POOLER_RESOLUTION")
    if heads and model.MASK_ON:
        yield "MODEL.ROI_MASK_HEAD.POOLER_RESOLUTION"
    if heads and model.KEYPOINT_ON:
        yield from ("MODEL.ROI_KEYPOINT_HEAD.NUM_KEYPOINTS", "MODEL.ROI_KEYPOINT_HEAD.POOLER_RESOLUTION")
    if kind in ("SemanticSegmentor", "PanopticFPN"):
        yield "MODEL.SEM_SEG_HEAD.NUM_CLASSES"


def _value(node: Any, key: str) -> Any:
    for part in key.split("."):
        node = node[part]
    return node


def _wrong_lists(key: str, values: Any, positive: bool = True) -> Iterator[str]:
    """Lists of numbers, or lists of these."""
    numbers = list(_leaves(values))
    if all(isinstance(n, (int, float)) and math.isfinite(n) and (n > 0 or not positive) for n in numbers):
        if not isinstance(values, Sequence) or isinstance(values, str) or not len(values):
            yield f"{key} is {values!r}, must be a list of numbers"
        return
    yield f"{key} is {values!r}, must be {'positive' if positive else 'finite'} numbers"


def _leaves(values: Any) -> Iterator[Any]:
    if isinstance(values, (list, tuple)):
        for value in values:
            yield from _leaves(value)
    else:
        yield values
