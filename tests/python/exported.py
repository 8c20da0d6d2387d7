"""Small models of each architecture, converted: each once for all tests of a session."""

from __future__ import annotations

from contextlib import nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from small_models import one_block_per_stage, random_image, small_config, small_model

from d2deploy.export import Caffe2Model, Caffe2Tracer
from d2deploy.padding import net_inputs
from d2deploy.runtime.shapes import sample_rois

Array = npt.NDArray[Any]
PIXEL_MEAN = [103.53, 116.28, 123.675]

# Models have one block per stage, but for these two, one of either kind of block.
FULL = ("mask_fpn", "faster_r18")

# Name: architecture of small_models.py, and what differs. The depth is the zoo's, 50, where operators are counted.
MODELS: dict[str, tuple[str, list[Any]]] = {
    "mask_fpn": ("mask_fpn", []),
    "mask_fpn_gn": ("mask_fpn_gn", []),
    "faster_fpn_ln": ("faster_fpn_ln", ["MODEL.RESNETS.DEPTH", 18]),
    "mask_resnext_agnostic": (
        "mask_fpn_agnostic",
        ["MODEL.RESNETS.NUM_GROUPS", 4, "MODEL.RESNETS.STRIDE_IN_1X1", False],
    ),
    "mask_fpn_dconv": ("mask_fpn_dconv", []),
    "faster_dconv2": (
        "mask_fpn_dconv",
        [
            *("MODEL.RESNETS.DEFORM_MODULATED", True, "MODEL.RESNETS.DEFORM_NUM_GROUPS", 2, "MODEL.MASK_ON", False),
            *("MODEL.RESNETS.NUM_GROUPS", 4, "MODEL.RESNETS.NORM", "GN"),
        ],
    ),
    "cascade_fpn": ("cascade_fpn", ["MODEL.RESNETS.DEPTH", 18]),
    "fast_fpn": ("fast_fpn", ["MODEL.RESNETS.DEPTH", 18]),
    "semantic_fpn": ("semantic_fpn", ["MODEL.RESNETS.DEPTH", 18]),
    "mask_c4": ("mask_c4", []),
    "mask_dc5": ("mask_dc5", []),
    "faster_c4": ("mask_c4", ["MODEL.MASK_ON", False]),
    "faster_r18": (
        "faster_r18",
        [
            *("MODEL.ANCHOR_GENERATOR.OFFSET", 0.5, "MODEL.RPN.BBOX_REG_WEIGHTS", [2.0, 3.0, 1.0, 0.5]),
            *("MODEL.ROI_BOX_HEAD.POOLER_TYPE", "ROIAlign", "MODEL.ROI_HEADS.NMS_THRESH_TEST", 0.3),
        ],
    ),
    "keypoint_fpn": ("keypoint_fpn", []),
    "keypoint_max": ("keypoint_fpn", ["EXPORT_CAFFE2.USE_HEATMAP_MAX_KEYPOINT", True]),
    "panoptic_fpn": ("panoptic_fpn", []),
    "pointrend": ("pointrend", []),
    # Few points, several maps, one mask of all classes, and the coarse prediction in the first layer alone.
    "pointrend_variant": (
        "pointrend",
        [
            *("MODEL.POINT_HEAD.CLS_AGNOSTIC_MASK", True, "MODEL.POINT_HEAD.COARSE_PRED_EACH_LAYER", False),
            *("MODEL.POINT_HEAD.SUBDIVISION_NUM_POINTS", 60, "MODEL.POINT_HEAD.SUBDIVISION_STEPS", 3),
            *("MODEL.POINT_HEAD.IN_FEATURES", ["p2", "p3"], "MODEL.ROI_MASK_HEAD.IN_FEATURES", ["p2", "p4"]),
        ],
    ),
    "pointrend_implicit": ("pointrend_implicit", []),
    "pointrend_semantic": ("pointrend_semantic", []),
    "retinanet": ("retinanet", ["MODEL.ANCHOR_GENERATOR.OFFSET", 0.5]),
    "retinanet_bn": ("retinanet_bn", ["MODEL.RESNETS.DEPTH", 18]),
    "fcos": ("fcos", []),
    "rpn_fpn": ("rpn_fpn", ["MODEL.RESNETS.DEPTH", 18]),
    "rpn_c4": ("mask_c4", ["MODEL.META_ARCHITECTURE", "ProposalNetwork", "MODEL.RESNETS.DEPTH", 18]),
    "rotated_dc5": ("rotated_dc5", []),
}


@dataclass(frozen=True)
class Exported:
    """A model, and its two files."""

    cfg: Any
    model: Any
    tracer: Caffe2Tracer
    nets: Caffe2Model
    folder: Path

    def inputs(self, *images: Array) -> dict[str, Array]:
        """Inputs of the files for images (3, H, W) that are padded to one size; border pixels are the mean."""
        sides = np.array([image.shape[1:] for image in images])
        canvas = np.empty((len(images), 3, *sides.max(axis=0)), np.float32)
        canvas[:] = np.array(PIXEL_MEAN, np.float32)[:, None, None]
        for one, image in zip(canvas, images, strict=True):
            one[:, : image.shape[1], : image.shape[2]] = image
        padding = self.tracer.meta_arch.padding
        data = np.concatenate([net_inputs(one, PIXEL_MEAN, padding)["data"] for one in canvas])
        inputs = {"data": data, "im_info": np.array([[*side, 1] for side in sides], np.float32)}
        if self.tracer.meta_arch.takes_proposals:
            rois = [sample_rois(*side) for side in sides]
            for number, own in enumerate(rois):
                own[:, 0] = number
            inputs["proposals"] = np.concatenate(rois)
        return inputs


def export(name: str, folder: Path) -> Exported:
    architecture, overrides = MODELS[name]
    cfg = small_config(architecture, *overrides)
    with nullcontext() if name in FULL else one_block_per_stage():
        model = small_model(architecture, *overrides)
    if architecture.startswith("rotated"):
        # Caffe2 drops rotated proposals whose centre is outside of the image, Detectron2 keeps them: few may get there.
        model.proposal_generator.rpn_head.anchor_deltas.weight.data.mul_(0.05)
    if name == "retinanet_bn":
        # Logits this large give scores of exactly 1, whose order is anybody's.
        model.head.cls_score.weight.data.mul_(0.3)
    if name == "fast_fpn":  # likewise
        model.roi_heads.box_predictor.cls_score.weight.data.mul_(0.3)
    tracer = Caffe2Tracer(cfg, model)
    nets = tracer.export_caffe2()
    nets.save_protobuf(folder)
    return Exported(cfg, model, tracer, nets, folder)


def image(height: int, width: int, seed: int = 0) -> Array:
    """(3, height, width), 0 to 255, whole numbers as pixels are."""
    pixels: Array = random_image(-(-height // 8) * 8, -(-width // 8) * 8, seed)[:, :height, :width].round().numpy()
    return pixels


def tensor(pixels: Array) -> torch.Tensor:
    return torch.from_numpy(np.ascontiguousarray(pixels))
