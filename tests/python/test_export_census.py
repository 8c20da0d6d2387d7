"""Operators are counted against the nets that Detectron2 0.4 to 0.6 wrote for the same architectures, ResNet-50.

Models with fewer blocks (small_models.STAGES) must have as many operators less as the blocks that they lack.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable

import pytest
from exported import FULL, Exported
from small_models import STAGES

from d2deploy.modeling.resnet import BLOCKS

_C4 = {
    "Add": 16, "BBoxTransform": 1, "BoxWithNMSLimit": 1, "Concat": 1, "Conv": 56, "Div": 1, "FC": 2,
    "GenerateProposals": 1, "MaxPool": 1, "ReduceMean": 1, "Relu": 50, "RoIAlign": 1, "Softmax": 1, "Sub": 1,
}  # fmt: skip
_MASK_FPN = {
    "Add": 19, "BBoxTransform": 1, "BatchPermutation": 2, "BoxWithNMSLimit": 1, "CollectRpnProposals": 1, "Concat": 3,
    "Conv": 81, "ConvTranspose": 1, "DistributeFpnProposals": 2, "Div": 1, "FC": 4, "Flatten": 1,
    "GenerateProposals": 5, "MaxPool": 2, "Relu": 61, "ResizeNearest": 3, "RoIAlign": 8, "Sigmoid": 1, "Softmax": 1,
    "Sub": 1,
}  # fmt: skip
# With two convolutions in the head, not eight.
_KEYPOINTS = {key: n for key, n in _MASK_FPN.items() if key != "Sigmoid"} | {
    "Conv": 78, "Relu": 58, "ResizeNearest": 4, "Slice": 1
}  # fmt: skip
DETECTRON2: dict[str, dict[str, int]] = {
    "faster_c4": _C4,
    # Exported for CUDA; CopyCPUToGPU and CopyGPUToCPU are left out.
    "mask_c4": {**_C4, "Add": 19, "Conv": 67, "ConvTranspose": 1, "Relu": 60, "RoIAlign": 2, "Sigmoid": 1},
    "mask_dc5": {
        "Add": 16, "BBoxTransform": 1, "BoxWithNMSLimit": 1, "Concat": 1, "Conv": 61, "ConvTranspose": 1, "Div": 1,
        "FC": 4, "Flatten": 1, "GenerateProposals": 1, "MaxPool": 1, "Relu": 57, "RoIAlign": 2, "Sigmoid": 1,
        "Softmax": 1, "Sub": 1,
    },
    "rotated_dc5": {
        "Add": 16, "BBoxTransform": 1, "BoxWithNMSLimit": 1, "Concat": 1, "Conv": 56, "Div": 1, "FC": 4, "Flatten": 1,
        "GenerateProposals": 1, "MaxPool": 1, "Relu": 52, "RoIAlignRotated": 1, "Softmax": 1, "Sub": 1,
    },
    "mask_fpn": _MASK_FPN,
    "mask_resnext_agnostic": _MASK_FPN,  # of both, of ResNeXt and of class-agnostic heads
    "mask_fpn_gn": {**_MASK_FPN, "Conv": 85, "FC": 3, "GroupNorm": 69, "Relu": 64},
    "keypoint_fpn": _KEYPOINTS,
    "keypoint_max": {**_KEYPOINTS, "HeatmapMaxKeypoint": 1},
    "panoptic_fpn": {**_MASK_FPN, "Add": 22, "Conv": 89, "ConvTranspose": 8, "GroupNorm": 7, "Relu": 68},
    "retinanet": {"Add": 18, "Conv": 111, "Div": 1, "MaxPool": 1, "Relu": 90, "ResizeNearest": 2, "Sub": 1},
}  # fmt: skip

_NO_LONE_CONCAT = {"Concat": -1}  # of the RPN's rois alone, before BBoxTransform: it moves nothing
# Bilinear resizing repeats the border, as PyTorch's does, where Detectron2's nets fade to zero, or took the nearest.
_TRUE_BILINEAR = {**_NO_LONE_CONCAT, "PadImage": 1, "ConvTranspose": 1, "ResizeNearest": -1, "Slice": -1}
DEVIATIONS: dict[str, dict[str, int]] = {
    **dict.fromkeys(set(DETECTRON2) - {"retinanet"}, _NO_LONE_CONCAT),
    "keypoint_fpn": _TRUE_BILINEAR,
    "keypoint_max": _TRUE_BILINEAR,
    "panoptic_fpn": {**_NO_LONE_CONCAT, "PadImage": 7},
}


def lacking(name: str) -> dict[str, int]:
    """The operators of the blocks that a model of the tests lacks; none of them has a convolution as shortcut."""
    if name in FULL:
        return {}
    stages = 3 if name.endswith("c4") else 4  # the fifth of C4 models is in the head
    blocks = sum(BLOCKS[50][:stages]) - sum(STAGES[:stages])
    norms = {"GroupNorm": 3} if name.endswith("gn") else {}  # others become part of the convolutions
    return {kind: -blocks * count for kind, count in {"Conv": 3, "Relu": 3, "Add": 1, **norms}.items()}


@pytest.mark.parametrize("name", DETECTRON2)
def test_as_many_operators_as_detectron2_writes(exported: Callable[[str], Exported], name: str) -> None:
    expected = Counter(DETECTRON2[name])
    expected.update(DEVIATIONS.get(name, {}))
    expected.update(lacking(name))
    found = Counter(op.type for op in exported(name).nets.predict_net.op)
    assert dict(found) == {kind: count for kind, count in expected.items() if count}
