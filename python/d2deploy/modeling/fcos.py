"""FCOS: detections straight from the pyramid, a box for each place instead of for anchors of several sizes.

Source: Tian et al., FCOS: A Simple and Strong Anchor-Free Object Detector; detectron2/modeling/meta_arch/fcos.py.
"""

from __future__ import annotations

from typing import Any

from torch import Tensor, nn

from d2deploy.config import Config
from d2deploy.modeling.anchors import DefaultAnchorGenerator
from d2deploy.modeling.boxes import Box2BoxTransformLinear
from d2deploy.modeling.build import make_backbone
from d2deploy.modeling.meta_arch import image_parts
from d2deploy.modeling.registry import META_ARCHS
from d2deploy.modeling.retinanet import RetinaNet, RetinaNetHead, run_level
from d2deploy.modeling.rpn import chosen

__all__ = ["FCOS", "FCOSHead"]


class FCOSHead(RetinaNetHead):
    """RetinaNet's head with one box per place, and a third output: how central the place is in its box.

    Args:
        kwargs: as for RetinaNetHead, but num_anchors.
    """

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(num_anchors=1, **kwargs)
        self.ctrness = nn.Conv2d(self.bbox_pred.in_channels, 1, 3, padding=1)

    def forward(self, features: list[Tensor]) -> tuple[list[Tensor], ...]:
        """Logits (N, K, H, W), distances (N, 4, H, W) and centerness (N, 1, H, W), a logit, of each level."""
        classes = [run_level(self.cls_subnet, x, level) for level, x in enumerate(features)]
        boxes = [run_level(self.bbox_subnet, x, level) for level, x in enumerate(features)]
        return (
            [self.cls_score(x) for x in classes],
            [self.bbox_pred(x) for x in boxes],
            [self.ctrness(x) for x in boxes],
        )


@META_ARCHS.register()
class FCOS(RetinaNet):
    """Backbone and head; detections are decoded from all levels, as RetinaNet's.

    The head gives a third list, the centerness, with which scores are sqrt(sigmoid(logit) * sigmoid(centerness)). Its
    anchors are one square for each place, as large as the stride. Detectron2 has it in lazy configurations alone; ours
    is described by MODEL.RETINANET.
    """

    @classmethod
    def from_config(cls, cfg: Config) -> FCOS:
        node = cfg.MODEL.RETINANET
        backbone = make_backbone(cfg)
        shapes = chosen(backbone.output_shape(), node.IN_FEATURES, "MODEL.RETINANET.IN_FEATURES")
        strides = [shape.stride or 1 for shape in shapes]
        head = FCOSHead(
            input_shape=shapes,
            num_classes=node.NUM_CLASSES,
            conv_dims=[shapes[0].channels] * node.NUM_CONVS,
            norm=node.NORM,
            prior_prob=node.PRIOR_PROB,
        )
        return cls(
            head=head,
            head_in_features=node.IN_FEATURES,
            anchor_generator=DefaultAnchorGenerator(
                sizes=[[stride] for stride in strides], aspect_ratios=[1.0], strides=strides
            ),
            box2box_transform=Box2BoxTransformLinear(),
            num_classes=node.NUM_CLASSES,
            test_score_thresh=node.SCORE_THRESH_TEST,
            test_topk_candidates=node.TOPK_CANDIDATES_TEST,
            test_nms_thresh=node.NMS_THRESH_TEST,
            max_detections_per_image=cfg.TEST.DETECTIONS_PER_IMAGE,
            **image_parts(cfg, backbone),
        )
