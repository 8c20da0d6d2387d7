"""Cascaded box heads: each stage refines the boxes of the one before.

Source: Cai and Vasconcelos, Cascade R-CNN, section 4; detectron2/modeling/roi_heads/cascade_rcnn.py.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn

from d2deploy.config import Config
from d2deploy.errors import InvalidArgument
from d2deploy.modeling.box_head import FastRCNNOutputLayers, choose_boxes, predict_boxes
from d2deploy.modeling.layers import ShapeSpec
from d2deploy.modeling.registry import ROI_BOX_HEADS, ROI_HEADS
from d2deploy.modeling.roi_heads import StandardROIHeads, pooled
from d2deploy.structures import Instances, as_boxes
from d2deploy.structures.geometry import clip

__all__ = ["CascadeROIHeads"]


@ROI_HEADS.register()
class CascadeROIHeads(StandardROIHeads):
    """As StandardROIHeads, but boxes go through several stages; a detection's score is the mean of all stages'.

    Args:
        box_head: a head for each stage.
        box_predictor: a predictor for each stage, which gives one box for all classes.
        parts: see StandardROIHeads.
    """

    def __init__(self, *, box_head: Sequence[nn.Module], box_predictor: Sequence[Any], **parts: Any) -> None:
        super().__init__(box_head=nn.ModuleList(box_head), box_predictor=nn.ModuleList(box_predictor), **parts)

    @classmethod
    def box_parts(cls, cfg: Config, input_shape: dict[str, ShapeSpec], *, rotated: bool) -> dict[str, Any]:
        """The arguments that boxes need; as many stages as MODEL.ROI_BOX_CASCADE_HEAD.BBOX_REG_WEIGHTS has entries."""
        check_cascade(cfg)
        node = cfg.MODEL.ROI_BOX_HEAD
        features = cfg.MODEL.ROI_HEADS.IN_FEATURES
        pooler, shape = pooled(node, "MODEL.ROI_BOX_HEAD", features, input_shape)
        weights = cfg.MODEL.ROI_BOX_CASCADE_HEAD.BBOX_REG_WEIGHTS
        heads = [ROI_BOX_HEADS.build(node.NAME, cfg, shape) for _ in weights]
        return {
            "num_classes": cfg.MODEL.ROI_HEADS.NUM_CLASSES,
            "box_in_features": features,
            "box_pooler": pooler,
            "box_head": heads,
            "box_predictor": [
                FastRCNNOutputLayers.with_weights(cfg, head.output_shape, w) for head, w in zip(heads, weights)
            ],
        }

    def detect(self, maps: list[Tensor], proposals: list[Instances]) -> list[Instances]:
        """The boxes of each image: those of the last stage."""
        scores_of_stages = []
        stages: list[tuple[Any, Any]] = list(zip(self.box_head, self.box_predictor))  # type: ignore[call-overload]
        for head, predictor in stages:
            x = head(self.box_pooler(maps, [p.proposal_boxes for p in proposals]))
            boxes, scores = predict_boxes(predictor, x, proposals)
            scores_of_stages.append(scores)
            parts = torch.split(boxes, [len(p) for p in proposals])
            # Boxes without area stay, since their scores still count.
            proposals = [
                Instances(p.image_size, proposal_boxes=as_boxes(clip(own, p.image_size)))
                for p, own in zip(proposals, parts)
            ]
        scores = torch.stack(scores_of_stages).sum(dim=0) * (1.0 / len(stages))
        return choose_boxes(stages[-1][1], boxes, scores, proposals)


def check_cascade(cfg: Config) -> None:
    """Raises InvalidArgument where Detectron2 would not build the cascade."""
    node, first = cfg.MODEL.ROI_BOX_CASCADE_HEAD, cfg.MODEL.ROI_BOX_HEAD
    weights = [list(w) if isinstance(w, (list, tuple)) else w for w in node.BBOX_REG_WEIGHTS]
    if not weights or any(not isinstance(w, list) or len(w) != 4 for w in weights) or len(weights) != len(node.IOUS):
        raise InvalidArgument(
            "MODEL.ROI_BOX_CASCADE_HEAD: BBOX_REG_WEIGHTS needs four numbers for each stage, and IOUS one; got "
            f"{weights} and {list(node.IOUS)}"
        )
    if weights[0] != list(first.BBOX_REG_WEIGHTS):
        raise InvalidArgument(
            f"MODEL.ROI_BOX_HEAD.BBOX_REG_WEIGHTS are {list(first.BBOX_REG_WEIGHTS)}, the first of "
            f"MODEL.ROI_BOX_CASCADE_HEAD.BBOX_REG_WEIGHTS {weights[0]}; both must be the same"
        )
    if not first.CLS_AGNOSTIC_BBOX_REG:
        raise InvalidArgument(
            "MODEL.ROI_HEADS.NAME is CascadeROIHeads, which has one box for all classes; set "
            "MODEL.ROI_BOX_HEAD.CLS_AGNOSTIC_BBOX_REG to True"
        )
