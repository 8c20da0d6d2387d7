"""RoI heads: from proposals and feature maps to boxes, masks and keypoints.

Source: detectron2/modeling/roi_heads/roi_heads.py and rotated_fast_rcnn.py.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn

from d2deploy.config import Config
from d2deploy.errors import InvalidArgument
from d2deploy.modeling.box_head import FastRCNNOutputLayers, detect_boxes
from d2deploy.modeling.layers import ShapeSpec
from d2deploy.modeling.pooler import ROIPooler, as_rois, make_pooler
from d2deploy.modeling.postprocessing import class_masks, heatmaps_to_keypoints
from d2deploy.modeling.registry import ROI_BOX_HEADS, ROI_HEADS, ROI_KEYPOINT_HEADS, ROI_MASK_HEADS
from d2deploy.modeling.resnet import res5_head
from d2deploy.modeling.rpn import chosen
from d2deploy.structures import Instances

__all__ = ["RROIHeads", "Res5ROIHeads", "StandardROIHeads"]

FEATURES_KEY = "MODEL.ROI_HEADS.IN_FEATURES"


def add_masks(logits: Tensor, instances: Sequence[Instances]) -> None:
    """Gives each detection `pred_masks`, (1, S, S) probabilities of its class; logits are (R, K or 1, S, S)."""
    for part, found in zip(torch.split(logits, [len(i) for i in instances]), instances):
        found.pred_masks = class_masks(part.sigmoid(), found.pred_classes)


def add_keypoints(logits: Tensor, instances: Sequence[Instances]) -> None:
    """Gives each detection `pred_keypoints`, (K, 3), and `pred_keypoint_heatmaps`; logits are (R, K, S, S)."""
    for part, found in zip(torch.split(logits, [len(i) for i in instances]), instances):
        found.pred_keypoints = heatmaps_to_keypoints(part, found.pred_boxes.tensor)[:, :, [0, 1, 3]]
        found.pred_keypoint_heatmaps = part


@ROI_HEADS.register("PointRendROIHeads")  # which differs in reading old checkpoints
@ROI_HEADS.register()
class StandardROIHeads(nn.Module):
    """A pooler and a head for boxes and, where wanted, for masks and for keypoints.

    Args:
        num_classes: without the background.
        box_in_features: names of the maps that boxes are pooled from, finest first.
        box_pooler: pools a list of maps at the boxes of each image.
        box_head: from pooled features to the predictor's.
        box_predictor: gives logits and deltas; see `detect_boxes`.
        mask_in_features: as for boxes; None for no masks.
        mask_pooler: as for boxes; None for a head that reads the maps itself.
        mask_head: `layers` maps pooled features to mask logits (R, num_classes or 1, S, S). One that reads the maps
            itself has `masks` instead, see PointRendMaskHead.
        keypoint_in_features: as for boxes; None for no keypoints.
        keypoint_pooler: as for boxes.
        keypoint_head: `layers` maps pooled features to heatmap logits (R, K, S, S).
    """

    def __init__(
        self,
        *,
        num_classes: int,
        box_in_features: Sequence[str],
        box_pooler: nn.Module,
        box_head: nn.Module,
        box_predictor: Any,
        mask_in_features: Sequence[str] | None = None,
        mask_pooler: nn.Module | None = None,
        mask_head: Any = None,
        keypoint_in_features: Sequence[str] | None = None,
        keypoint_pooler: nn.Module | None = None,
        keypoint_head: Any = None,
    ) -> None:
        super().__init__()
        self.num_classes = num_classes
        self.box_in_features = tuple(box_in_features)
        self.box_pooler = box_pooler
        self.box_head = box_head
        self.box_predictor = box_predictor
        self.mask_on = mask_in_features is not None
        if mask_in_features is not None:
            self.mask_in_features = tuple(mask_in_features)
            self.mask_pooler = mask_pooler
            self.mask_head = mask_head
        self.keypoint_on = keypoint_in_features is not None
        if keypoint_in_features is not None:
            self.keypoint_in_features = tuple(keypoint_in_features)
            self.keypoint_pooler = keypoint_pooler
            self.keypoint_head = keypoint_head

    @classmethod
    def from_config(cls, cfg: Config, input_shape: dict[str, ShapeSpec]) -> StandardROIHeads:
        model = cfg.MODEL
        parts = cls.box_parts(cfg, input_shape, rotated=False)
        features = model.ROI_HEADS.IN_FEATURES
        if model.MASK_ON:
            parts.update(mask_in_features=features, **cls.mask_parts(cfg, input_shape))
        if model.KEYPOINT_ON:
            node = model.ROI_KEYPOINT_HEAD
            pooler, shape = pooled(node, "MODEL.ROI_KEYPOINT_HEAD", features, input_shape)
            head = ROI_KEYPOINT_HEADS.build(node.NAME, cfg, shape)
            parts.update(keypoint_in_features=features, keypoint_pooler=pooler, keypoint_head=head)
        return cls(**parts)

    @classmethod
    def mask_parts(cls, cfg: Config, input_shape: dict[str, ShapeSpec]) -> dict[str, Any]:
        """The pooler and the head of masks; without MODEL.ROI_MASK_HEAD.POOLER_TYPE, a head that reads the maps."""
        node, features = cfg.MODEL.ROI_MASK_HEAD, cfg.MODEL.ROI_HEADS.IN_FEATURES
        reads_maps = node.NAME in ("PointRendMaskHead", "ImplicitPointRendMaskHead")
        if reads_maps and node.POOLER_TYPE:
            raise InvalidArgument(
                f"MODEL.ROI_MASK_HEAD.POOLER_TYPE is {node.POOLER_TYPE}; {node.NAME} reads the maps itself: set it "
                "to ''"
            )
        if reads_maps:
            shapes = dict(zip(features, chosen(input_shape, features, FEATURES_KEY)))
            return {"mask_pooler": None, "mask_head": ROI_MASK_HEADS.build(node.NAME, cfg, shapes)}
        pooler, shape = pooled(node, "MODEL.ROI_MASK_HEAD", features, input_shape)
        return {"mask_pooler": pooler, "mask_head": ROI_MASK_HEADS.build(node.NAME, cfg, shape)}

    @classmethod
    def box_parts(cls, cfg: Config, input_shape: dict[str, ShapeSpec], *, rotated: bool) -> dict[str, Any]:
        """The arguments that boxes need."""
        node = cfg.MODEL.ROI_BOX_HEAD
        features = cfg.MODEL.ROI_HEADS.IN_FEATURES
        pooler, shape = pooled(node, "MODEL.ROI_BOX_HEAD", features, input_shape)
        box_head = ROI_BOX_HEADS.build(node.NAME, cfg, shape)
        return {
            "num_classes": cfg.MODEL.ROI_HEADS.NUM_CLASSES,
            "box_in_features": features,
            "box_pooler": pooler,
            "box_head": box_head,
            "box_predictor": FastRCNNOutputLayers.from_config(cfg, box_head.output_shape, rotated=rotated),
        }

    def forward(self, features: dict[str, Tensor], proposals: list[Instances]) -> list[Instances]:
        """Detections of each image, in the frame of the network's input, masks as probabilities (R, 1, S, S)."""
        instances = self.detect([features[f] for f in self.box_in_features], proposals)
        boxes = [i.pred_boxes for i in instances]
        if self.mask_on and self.mask_pooler is None:
            classes = torch.cat([i.pred_classes for i in instances])
            add_masks(self.mask_head.masks(features, as_rois(boxes), classes), instances)
        elif self.mask_on:
            pooled_maps = self.mask_pooler([features[f] for f in self.mask_in_features], boxes)  # type: ignore[misc]
            add_masks(self.mask_head.layers(pooled_maps), instances)
        if self.keypoint_on:
            maps = [features[f] for f in self.keypoint_in_features]
            add_keypoints(self.keypoint_head.layers(self.keypoint_pooler(maps, boxes)), instances)  # type: ignore[misc]
        return instances

    def detect(self, maps: list[Tensor], proposals: list[Instances]) -> list[Instances]:
        """The boxes of each image, without masks and keypoints; `maps` are those of `box_in_features`."""
        x = self.box_head(self.box_pooler(maps, [p.proposal_boxes for p in proposals]))
        return detect_boxes(self.box_predictor, x, proposals)


def pooled(node: Any, key: str, features: Sequence[str], shapes: dict[str, ShapeSpec]) -> tuple[ROIPooler, ShapeSpec]:
    """A head's pooler and the shape of what it gives; `key` is the head's in the configuration."""
    channels = {shape.channels for shape in chosen(shapes, features, FEATURES_KEY)}
    if len(channels) != 1:
        raise InvalidArgument(f"{FEATURES_KEY} must have equal channels, got {sorted(channels)}")
    size = node.POOLER_RESOLUTION
    return make_pooler(node, key, shapes, features), ShapeSpec(channels.pop(), height=size, width=size)


@ROI_HEADS.register()
class RROIHeads(StandardROIHeads):
    """Rotated boxes; neither masks nor keypoints."""

    @classmethod
    def from_config(cls, cfg: Config, input_shape: dict[str, ShapeSpec]) -> RROIHeads:
        model = cfg.MODEL
        if model.MASK_ON or model.KEYPOINT_ON:
            raise InvalidArgument(
                "MODEL.ROI_HEADS.NAME is RROIHeads, which has neither masks nor keypoints; set MODEL.MASK_ON and "
                "MODEL.KEYPOINT_ON to False"
            )
        if (found := model.ROI_BOX_HEAD.POOLER_TYPE) != "ROIAlignRotated":
            raise InvalidArgument(f"MODEL.ROI_BOX_HEAD.POOLER_TYPE is {found}; RROIHeads need ROIAlignRotated")
        return cls(**cls.box_parts(cfg, input_shape, rotated=True))


@ROI_HEADS.register()
class Res5ROIHeads(nn.Module):
    """The heads of C4 models: the stage res5 on features pooled from res4 serves boxes and masks.

    Source: He et al., Mask R-CNN, figure 4, left.

    Args:
        num_classes: without the background.
        in_features: the one map's name.
        pooler: as for StandardROIHeads.
        res5: from pooled features to the predictor's.
        box_predictor: as for StandardROIHeads; it gets averages over space.
        mask_head: as for StandardROIHeads, on res5's features; None for no masks.
    """

    def __init__(
        self,
        *,
        num_classes: int,
        in_features: Sequence[str],
        pooler: nn.Module,
        res5: nn.Module,
        box_predictor: Any,
        mask_head: Any = None,
    ) -> None:
        super().__init__()
        self.num_classes = num_classes
        self.in_features = tuple(in_features)
        self.pooler = pooler
        self.res5 = res5
        self.box_predictor = box_predictor
        self.mask_on = mask_head is not None
        if self.mask_on:
            self.mask_head = mask_head

    @classmethod
    def from_config(cls, cfg: Config, input_shape: dict[str, ShapeSpec]) -> Res5ROIHeads:
        model = cfg.MODEL
        features = model.ROI_HEADS.IN_FEATURES
        if len(features) != 1 or model.KEYPOINT_ON:
            raise InvalidArgument(
                "MODEL.ROI_HEADS.NAME is Res5ROIHeads, which needs one of MODEL.ROI_HEADS.IN_FEATURES and no "
                f"keypoints; got {list(features)} and MODEL.KEYPOINT_ON {model.KEYPOINT_ON}"
            )
        pooler, shape = pooled(model.ROI_BOX_HEAD, "MODEL.ROI_BOX_HEAD", features, input_shape)
        res5, channels = res5_head(cfg)
        mask_head = None
        if model.MASK_ON:
            mask_head = ROI_MASK_HEADS.build(model.ROI_MASK_HEAD.NAME, cfg, shape._replace(channels=channels))
        return cls(
            num_classes=model.ROI_HEADS.NUM_CLASSES,
            in_features=features,
            pooler=pooler,
            res5=res5,
            box_predictor=FastRCNNOutputLayers.from_config(cfg, ShapeSpec(channels, height=1, width=1)),
            mask_head=mask_head,
        )

    def forward(self, features: dict[str, Tensor], proposals: list[Instances]) -> list[Instances]:
        """Detections of each image, as StandardROIHeads gives them."""
        maps = [features[f] for f in self.in_features]
        x = self.res5(self.pooler(maps, [p.proposal_boxes for p in proposals]))
        instances = detect_boxes(self.box_predictor, x.mean(dim=[2, 3]), proposals)
        if self.mask_on:
            x = self.res5(self.pooler(maps, [i.pred_boxes for i in instances]))
            add_masks(self.mask_head.layers(x), instances)
        return instances
