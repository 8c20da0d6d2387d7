"""Configurations of version 1, from before Detectron2's release: the same keys under older names."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from d2deploy.config.defaults import VERSION
from d2deploy.errors import InvalidArgument

# Full names in version 1 and since. Source: detectron2/config/compat.py.
_RENAMED = {
    "MODEL.WEIGHT": "MODEL.WEIGHTS",
    "MODEL.PANOPTIC_FPN.SEMANTIC_LOSS_SCALE": "MODEL.SEM_SEG_HEAD.LOSS_WEIGHT",
    "MODEL.PANOPTIC_FPN.RPN_LOSS_SCALE": "MODEL.RPN.LOSS_WEIGHT",
    "MODEL.PANOPTIC_FPN.INSTANCE_LOSS_SCALE": "MODEL.PANOPTIC_FPN.INSTANCE_LOSS_WEIGHT",
    "MODEL.PANOPTIC_FPN.COMBINE_ON": "MODEL.PANOPTIC_FPN.COMBINE.ENABLED",
    "MODEL.PANOPTIC_FPN.COMBINE_OVERLAP_THRESHOLD": "MODEL.PANOPTIC_FPN.COMBINE.OVERLAP_THRESH",
    "MODEL.PANOPTIC_FPN.COMBINE_STUFF_AREA_LIMIT": "MODEL.PANOPTIC_FPN.COMBINE.STUFF_AREA_LIMIT",
    "MODEL.PANOPTIC_FPN.COMBINE_INSTANCES_CONFIDENCE_THRESHOLD": (
        "MODEL.PANOPTIC_FPN.COMBINE.INSTANCES_CONFIDENCE_THRESH"
    ),
    "MODEL.ROI_HEADS.SCORE_THRESH": "MODEL.ROI_HEADS.SCORE_THRESH_TEST",
    "MODEL.ROI_HEADS.NMS": "MODEL.ROI_HEADS.NMS_THRESH_TEST",
    "MODEL.RETINANET.INFERENCE_SCORE_THRESHOLD": "MODEL.RETINANET.SCORE_THRESH_TEST",
    "MODEL.RETINANET.INFERENCE_TOPK_CANDIDATES": "MODEL.RETINANET.TOPK_CANDIDATES_TEST",
    "MODEL.RETINANET.INFERENCE_NMS_THRESHOLD": "MODEL.RETINANET.NMS_THRESH_TEST",
    "TEST.DETECTIONS_PER_IMG": "TEST.DETECTIONS_PER_IMAGE",
    "TEST.AUG_ON": "TEST.AUG.ENABLED",
    "TEST.AUG_MIN_SIZES": "TEST.AUG.MIN_SIZES",
    "TEST.AUG_MAX_SIZE": "TEST.AUG.MAX_SIZE",
    "TEST.AUG_FLIP": "TEST.AUG.FLIP",
}
# The anchors of version 1 belonged to RPN and RetinaNet; only those that the architecture uses still mean something.
_RENAMED_ANCHORS = {
    "ANCHOR_SIZES": "MODEL.ANCHOR_GENERATOR.SIZES",
    "ANCHOR_ASPECT_RATIOS": "MODEL.ANCHOR_GENERATOR.ASPECT_RATIOS",
}
_DROPPED = "MODEL.RETINANET.ANCHOR_STRIDES"
# A file without VERSION is of version 1 where it has one of these.
_SIGNS = ("MODEL.WEIGHT", "TEST.AUG_ON")


def upgrade(config: dict[Any, Any], where: str) -> dict[Any, Any]:
    """What a file says, with the key names of the current version.

    Raises:
        InvalidArgument: The file is of a version that is not known.
    """
    flat = dict(_flatten(config))
    version = config.get("VERSION", 1 if any(sign in flat for sign in _SIGNS) else VERSION)
    if version not in (1, VERSION) or isinstance(version, bool):
        raise InvalidArgument(f"{where}: VERSION {version!r} is not known; 1 and {VERSION} are")
    if version == VERSION:
        return config
    is_retinanet = flat.get("MODEL.META_ARCHITECTURE") == "RetinaNet"
    upgraded: dict[Any, Any] = {}
    for key, value in flat.items():
        section, _, last = key.rpartition(".")
        if section in ("MODEL.RPN", "MODEL.RETINANET") and last in _RENAMED_ANCHORS:
            if is_retinanet == (section == "MODEL.RETINANET"):
                _set(upgraded, _RENAMED_ANCHORS[last], value)
        elif key != _DROPPED:
            _set(upgraded, _RENAMED.get(key, key), VERSION if key == "VERSION" else value)
    return upgraded


def _flatten(config: Mapping[Any, Any], prefix: str = "") -> list[tuple[str, Any]]:
    flat: list[tuple[str, Any]] = []
    for key, value in config.items():
        if isinstance(value, Mapping):
            flat += _flatten(value, f"{prefix}{key}.")
        else:
            flat.append((f"{prefix}{key}", value))
    return flat


def _set(config: dict[Any, Any], name: str, value: Any) -> None:
    *sections, last = name.split(".")
    for section in sections:
        config = config.setdefault(section, {})
        if not isinstance(config, dict):
            raise InvalidArgument(f"{name} cannot be set: {section} is not a section")
    config[last] = value
