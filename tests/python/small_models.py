"""What tests of the Python side draw: small models with random weights, of each architecture; images; boxes."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest
import torch

from benchmarking.models import draw_weights
from d2deploy.config import Config, load_config
from d2deploy.modeling import build_model, resnet
from d2deploy.runtime.shapes import sample_rois
from d2deploy.structures import Boxes, Instances

# Models this small gain nothing from threads, which only wait for each other where cores are busy.
torch.set_num_threads(1)

MASK_FPN = "COCO-InstanceSegmentation/mask_rcnn_R_50_FPN_3x.yaml"
RETINANET = "COCO-Detection/retinanet_R_50_FPN_3x.yaml"
IMPLICIT_POINT_REND = "PointRend/InstanceSegmentation/implicit_pointrend_R_50_FPN_1x_coco.yaml"
POINT_REND = "PointRend/InstanceSegmentation/pointrend_rcnn_R_50_FPN_1x_coco.yaml"
DC5 = "COCO-Detection/faster_rcnn_R_50_DC5_3x.yaml"
ROTATED: list[Any] = [
    *("MODEL.PROPOSAL_GENERATOR.NAME", "RRPN", "MODEL.ANCHOR_GENERATOR.NAME", "RotatedAnchorGenerator"),
    *("MODEL.ROI_HEADS.NAME", "RROIHeads", "MODEL.ROI_BOX_HEAD.POOLER_TYPE", "ROIAlignRotated"),
    *("MODEL.RPN.BBOX_REG_WEIGHTS", [1.0] * 5, "MODEL.ROI_BOX_HEAD.BBOX_REG_WEIGHTS", [10.0, 10.0, 5.0, 5.0, 1.0]),
    *("MODEL.ANCHOR_GENERATOR.ANGLES", [[-60, 0, 30]]),
]
# Architecture: configuration of the zoo, and what differs from it.
ARCHITECTURES: dict[str, tuple[str, list[Any]]] = {
    "mask_fpn": (MASK_FPN, []),
    "mask_fpn_gn": ("Misc/mask_rcnn_R_50_FPN_3x_gn.yaml", []),
    "mask_fpn_agnostic": (
        "Misc/mask_rcnn_R_50_FPN_1x_cls_agnostic.yaml",
        ["MODEL.ROI_MASK_HEAD.CLS_AGNOSTIC_MASK", True],
    ),
    "faster_fpn_ln": ("COCO-Detection/faster_rcnn_R_50_FPN_3x.yaml", ["MODEL.FPN.NORM", "LN"]),
    "cascade_fpn": ("Misc/cascade_mask_rcnn_R_50_FPN_3x.yaml", []),
    "fast_fpn": ("COCO-Detection/fast_rcnn_R_50_FPN_1x.yaml", []),
    "semantic_fpn": ("Misc/semantic_R_50_FPN_1x.yaml", []),
    "mask_c4": ("COCO-InstanceSegmentation/mask_rcnn_R_50_C4_3x.yaml", []),
    "mask_dc5": ("COCO-InstanceSegmentation/mask_rcnn_R_50_DC5_3x.yaml", []),
    "faster_r18": (
        "COCO-Detection/faster_rcnn_R_50_FPN_3x.yaml",
        ["MODEL.RESNETS.DEPTH", 18, "MODEL.RESNETS.RES2_OUT_CHANNELS", 64, "MODEL.FPN.FUSE_TYPE", "avg"],
    ),
    "faster_resnext": ("COCO-Detection/faster_rcnn_R_50_FPN_3x.yaml", ["MODEL.RESNETS.NUM_GROUPS", 4]),
    "mask_fpn_dconv": ("Misc/mask_rcnn_R_50_FPN_3x_dconv_c3-c5.yaml", []),
    "keypoint_fpn": ("COCO-Keypoints/keypoint_rcnn_R_50_FPN_3x.yaml", []),
    "panoptic_fpn": ("COCO-PanopticSegmentation/panoptic_fpn_R_50_3x.yaml", []),
    "retinanet": (RETINANET, []),
    "retinanet_bn": (RETINANET, ["MODEL.RETINANET.NORM", "BN"]),
    # Two channels per group: PyTorch refuses to normalise the one value that p7 has in a group of one.
    "retinanet_gn": (RETINANET, ["MODEL.RETINANET.NORM", "GN", "MODEL.FPN.OUT_CHANNELS", 64]),
    "fcos": ("COCO-Detection/fcos_R_50_FPN_1x.yaml", ["MODEL.FPN.OUT_CHANNELS", 64]),
    "rpn_fpn": ("COCO-Detection/rpn_R_50_FPN_1x.yaml", []),
    "pointrend": (POINT_REND, ["MODEL.POINT_HEAD.NUM_CLASSES", 3, "MODEL.ROI_HEADS.SCORE_THRESH_TEST", 0.001]),
    "pointrend_implicit": (IMPLICIT_POINT_REND, ["MODEL.POINT_HEAD.NUM_CLASSES", 3]),
    "pointrend_semantic": (
        "PointRend/SemanticSegmentation/pointrend_semantic_R_101_FPN_1x_cityscapes.yaml",
        ["MODEL.POINT_HEAD.NUM_CLASSES", 4, "MODEL.POINT_HEAD.SUBDIVISION_NUM_POINTS", 500],
    ),
    "rotated_dc5": (DC5, ROTATED),
}
SMALL: list[Any] = [
    *("MODEL.DEVICE", "cpu", "MODEL.PIXEL_STD", [60.0, 60.0, 60.0]),
    *("MODEL.RESNETS.STEM_OUT_CHANNELS", 32, "MODEL.RESNETS.RES2_OUT_CHANNELS", 64),
    *("MODEL.RESNETS.WIDTH_PER_GROUP", 32, "MODEL.FPN.OUT_CHANNELS", 32, "MODEL.ROI_HEADS.NUM_CLASSES", 3),
    *("MODEL.ROI_BOX_HEAD.FC_DIM", 48, "MODEL.ROI_BOX_HEAD.CONV_DIM", 32, "MODEL.ROI_MASK_HEAD.CONV_DIM", 32),
    *("MODEL.ROI_KEYPOINT_HEAD.CONV_DIMS", [16, 16], "MODEL.ROI_KEYPOINT_HEAD.NUM_KEYPOINTS", 3),
    *("MODEL.RETINANET.NUM_CLASSES", 3, "MODEL.SEM_SEG_HEAD.CONVS_DIM", 32, "MODEL.SEM_SEG_HEAD.NUM_CLASSES", 4),
    *("MODEL.ROI_MASK_HEAD.FC_DIM", 48, "MODEL.POINT_HEAD.FC_DIM", 32),
    *("MODEL.RPN.PRE_NMS_TOPK_TEST", 60, "MODEL.RPN.POST_NMS_TOPK_TEST", 30, "TEST.DETECTIONS_PER_IMAGE", 8),
]
STAGES = (1, 1, 1, 1)  # blocks of res2 to res5, of `one_block_per_stage`
# How far a layer's outputs spread, times its inputs': scores differ, boxes stay near their anchors, blocks add little.
GAINS = {
    **dict.fromkeys(["objectness_logits", "cls_score", "predictor", "score_lowres"], 1.5),
    **dict.fromkeys(["anchor_deltas", "bbox_pred"], 0.3),
    "conv3": 0.3,
    "conv2_offset": 0.3,  # random offsets magnify every rounding
}


@contextmanager
def one_block_per_stage() -> Iterator[None]:
    """ResNets that are built meanwhile have few blocks: all of a stage are alike, and each takes time to trace."""
    with pytest.MonkeyPatch.context() as patch:
        for depth in resnet.BLOCKS:
            patch.setitem(resnet.BLOCKS, depth, STAGES)
        yield


def small_config(architecture: str, *overrides: Any) -> Config:
    """The configuration of one of ARCHITECTURES, with few channels, proposals and detections."""
    name, own = ARCHITECTURES[architecture]
    return load_config(name, [*SMALL, *own, *overrides])


def small_model(architecture: str, *overrides: Any, seed: int = 0) -> Any:
    """The model of `small_config`, with random weights that keep its activations and scores apart from each other."""
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        model = build_model(small_config(architecture, *overrides))
        draw_weights(model, GAINS)
        if architecture == "fcos":
            model.head.bbox_pred.bias.data.add_(2)  # most distances are positive, so that boxes have an area
    return model


def random_image(height: int, width: int, seed: int = 0) -> torch.Tensor:
    """(3, height, width) float32, values from 0 to 255, smooth enough that objects have edges."""
    coarse = torch.rand(1, 3, height // 8, width // 8, generator=torch.Generator().manual_seed(seed)) * 255
    return torch.nn.functional.interpolate(coarse, size=(height, width), mode="bilinear")[0]


def proposals_of(model: Any, image: torch.Tensor) -> dict[str, Any]:
    """What the model is given with an image: proposals, where it finds none itself."""
    if getattr(model, "proposal_generator", True) is not None:
        return {}
    boxes = torch.from_numpy(sample_rois(*image.shape[1:])[:, 1:])
    return {"proposals": Instances((image.shape[1], image.shape[2]), proposal_boxes=Boxes(boxes))}


def random_boxes(count: int, seed: int = 0) -> torch.Tensor:
    """(count, 4), xyxy, around an image of 70 x 70 pixels."""
    random = torch.Generator().manual_seed(seed)
    corner = torch.rand(count, 2, generator=random) * 80 - 10
    return torch.cat([corner, corner + torch.rand(count, 2, generator=random) * 40], dim=1)


def random_rotated(count: int, seed: int = 0) -> torch.Tensor:
    """(count, 5), around an image of 60 x 60 pixels, at any angle."""
    random = torch.Generator().manual_seed(seed)
    centre = torch.rand(count, 2, generator=random) * 60
    size = torch.rand(count, 2, generator=random) * 40 + 1
    return torch.cat([centre, size, torch.rand(count, 1, generator=random) * 360 - 180], dim=1)
