"""RetinaNet: detections straight from the pyramid.

Source: Lin et al., Focal Loss for Dense Object Detection, section 4; detectron2/modeling/meta_arch/retinanet.py.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from d2deploy.config import Config
from d2deploy.errors import InvalidArgument
from d2deploy.modeling.anchors import make_anchor_generator
from d2deploy.modeling.boxes import Box2BoxTransform
from d2deploy.modeling.build import make_backbone
from d2deploy.modeling.images import ImageModel, output_size
from d2deploy.modeling.layers import ShapeSpec, get_norm
from d2deploy.modeling.meta_arch import image_parts
from d2deploy.modeling.postprocessing import decode_retinanet, detector_postprocess
from d2deploy.modeling.registry import META_ARCHS
from d2deploy.modeling.rpn import chosen

__all__ = ["LevelBatchNorm", "RetinaNet", "RetinaNetHead"]


class LevelBatchNorm(nn.ModuleList):
    """Batch normalisation with statistics of their own for each level, and one weight and bias for all.

    The statistics are named `0.running_mean`, `1.running_mean`, ..., one for each level.

    Source: detectron2/layers/batch_norm.py, CycleBatchNormList, which goes by the order of the calls instead.
    """

    def __init__(self, levels: int, channels: int) -> None:
        super().__init__([nn.BatchNorm2d(channels, affine=False) for _ in range(levels)])
        self.weight = nn.Parameter(torch.ones(channels))
        self.bias = nn.Parameter(torch.zeros(channels))

    def forward(self, x: Tensor, level: int) -> Tensor:
        """Normalises a map (N, C, H, W) of that level."""
        norm: Any = self[level]
        return functional.batch_norm(
            x, norm.running_mean, norm.running_var, self.weight, self.bias, False, 0.0, norm.eps
        )


class RetinaNetHead(nn.Module):
    """Two subnets of 3x3 convolutions, for classes and for boxes; the same for all levels.

    Args:
        input_shape: of each level; they have equal channels.
        num_classes: no background.
        num_anchors: per position.
        conv_dims: output channels of the convolutions of each subnet.
        norm: norm after each; those of the batch norms keep statistics per level.
        prior_prob: scores start near this before training.

    Raises:
        InvalidArgument: the norm is not known.
    """

    def __init__(
        self,
        *,
        input_shape: Sequence[ShapeSpec],
        num_classes: int,
        num_anchors: int,
        conv_dims: Sequence[int],
        norm: str = "",
        prior_prob: float = 0.01,
    ) -> None:
        super().__init__()
        self.levels = len(input_shape)
        channels = input_shape[0].channels
        self.cls_subnet = self._subnet(channels, conv_dims, norm)
        self.bbox_subnet = self._subnet(channels, conv_dims, norm)
        last = conv_dims[-1] if conv_dims else channels
        self.cls_score = nn.Conv2d(last, num_anchors * num_classes, 3, padding=1)
        self.bbox_pred = nn.Conv2d(last, num_anchors * 4, 3, padding=1)
        nn.init.constant_(self.cls_score.bias, -math.log((1 - prior_prob) / prior_prob))  # type: ignore[arg-type]

    def _subnet(self, channels: int, conv_dims: Sequence[int], norm: str) -> nn.Sequential:
        layers: list[nn.Module] = []
        for dim in conv_dims:
            layers.append(nn.Conv2d(channels, dim, 3, padding=1))
            # Detectron2 keeps statistics per level for these two alone.
            level_norm = LevelBatchNorm(self.levels, dim) if norm in ("BN", "SyncBN") else get_norm(norm, dim)
            layers += [level_norm] if level_norm is not None else []
            layers.append(nn.ReLU())
            channels = dim
        return nn.Sequential(*layers)

    def forward(self, features: list[Tensor]) -> tuple[list[Tensor], ...]:
        """Logits (N, A K, H, W) and deltas (N, A 4, H, W) for the map (N, C, H, W) of each level."""
        classes = [run_level(self.cls_subnet, x, level) for level, x in enumerate(features)]
        boxes = [run_level(self.bbox_subnet, x, level) for level, x in enumerate(features)]
        return [self.cls_score(x) for x in classes], [self.bbox_pred(x) for x in boxes]


def run_level(subnet: nn.Sequential, x: Tensor, level: int) -> Tensor:
    """The subnet with the norms of that level."""
    for layer in subnet:
        x = layer(x, level) if isinstance(layer, LevelBatchNorm) else layer(x)
    return x


@META_ARCHS.register()
class RetinaNet(ImageModel):
    """Backbone and head; detections are decoded from all levels.

    Args:
        head: maps the list of maps to a list of logits and a list of deltas.
        head_in_features: names of the maps, finest first.
        anchor_generator: gives the anchors of each map.
        box2box_transform: decodes deltas.
        num_classes: no background.
        test_score_thresh: see `decode_retinanet`, as the following ones.
        test_topk_candidates: per level.
        test_nms_thresh: intersection over union that suppresses.
        max_detections_per_image: so many are kept.
        image_parts: see ImageModel.
    """

    def __init__(
        self,
        *,
        head: nn.Module,
        head_in_features: Sequence[str],
        anchor_generator: Any,
        box2box_transform: Any,
        num_classes: int,
        test_score_thresh: float = 0.05,
        test_topk_candidates: int = 1000,
        test_nms_thresh: float = 0.5,
        max_detections_per_image: int = 100,
        **image_parts: Any,
    ) -> None:
        super().__init__(**image_parts)
        self.head = head
        self.head_in_features = tuple(head_in_features)
        self.anchor_generator = anchor_generator
        self.box2box_transform = box2box_transform
        self.num_classes = num_classes
        self.test_score_thresh = test_score_thresh
        self.test_topk_candidates = test_topk_candidates
        self.test_nms_thresh = test_nms_thresh
        self.max_detections_per_image = max_detections_per_image

    @classmethod
    def from_config(cls, cfg: Config) -> RetinaNet:
        node = cfg.MODEL.RETINANET
        backbone = make_backbone(cfg)
        shapes = chosen(backbone.output_shape(), node.IN_FEATURES, "MODEL.RETINANET.IN_FEATURES")
        generator = make_anchor_generator(cfg, shapes)
        if generator.box_dim != 4:
            raise InvalidArgument(
                f"MODEL.ANCHOR_GENERATOR.NAME is {cfg.MODEL.ANCHOR_GENERATOR.NAME}: RetinaNet needs upright anchors"
            )
        head = RetinaNetHead(
            input_shape=shapes,
            num_classes=node.NUM_CLASSES,
            num_anchors=generator.num_anchors[0],
            conv_dims=[shapes[0].channels] * node.NUM_CONVS,
            norm=node.NORM,
            prior_prob=node.PRIOR_PROB,
        )
        return cls(
            head=head,
            head_in_features=node.IN_FEATURES,
            anchor_generator=generator,
            box2box_transform=Box2BoxTransform(node.BBOX_REG_WEIGHTS),
            num_classes=node.NUM_CLASSES,
            test_score_thresh=node.SCORE_THRESH_TEST,
            test_topk_candidates=node.TOPK_CANDIDATES_TEST,
            test_nms_thresh=node.NMS_THRESH_TEST,
            max_detections_per_image=cfg.TEST.DETECTIONS_PER_IMAGE,
            **image_parts(cfg, backbone),
        )

    @torch.no_grad()
    def forward(self, batched_inputs: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
        """Predicts.

        Args:
            batched_inputs: as for ProposalNetwork.

        Returns:
            For each image "instances": `pred_boxes`, `scores`, `pred_classes`.

        Raises:
            InvalidArgument: an image is missing or has the wrong shape.
        """
        images = self.preprocess_image(batched_inputs)
        features = self.backbone(images.tensor)
        maps = [features[f] for f in self.head_in_features]
        logits, deltas, *others = self.head(maps)
        anchors = self.anchor_generator(maps)
        results = []
        for index, (x, size) in enumerate(zip(batched_inputs, images.image_sizes)):
            instances = decode_retinanet(
                [level[index] for level in logits],
                [level[index] for level in deltas],
                anchors,
                size,
                box2box_transform=self.box2box_transform,
                score_thresh=self.test_score_thresh,
                topk_candidates=self.test_topk_candidates,
                nms_thresh=self.test_nms_thresh,
                max_detections=self.max_detections_per_image,
                centerness=[level[index] for level in others[0]] if others else None,
            )
            results.append({"instances": detector_postprocess(instances, *output_size(x, size))})
        return results
