"""Region proposals, upright (RPN) and rotated (RRPN).

Source: Ren et al., Faster R-CNN, section 3.1; Ma et al., Arbitrary-Oriented Scene Text Detection via Rotation
Proposals; detectron2/modeling/proposal_generator/rpn.py, rrpn.py and proposal_utils.py.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn

from d2deploy.config import Config
from d2deploy.errors import InvalidArgument
from d2deploy.modeling.anchors import make_anchor_generator
from d2deploy.modeling.boxes import Box2BoxTransform, Box2BoxTransformRotated
from d2deploy.modeling.images import ImageBatch
from d2deploy.modeling.layers import ShapeSpec, conv3x3
from d2deploy.modeling.nms import batched_nms
from d2deploy.modeling.registry import PROPOSAL_GENERATORS, RPN_HEADS
from d2deploy.structures import Instances, as_boxes
from d2deploy.structures.geometry import clip, nonempty

__all__ = ["RPN", "RRPN", "StandardRPNHead", "per_anchor", "select_proposals"]


@RPN_HEADS.register()
class StandardRPNHead(nn.Module):
    """3x3 convolutions with ReLU, then 1x1 convolutions for objectness and deltas; the same for all levels.

    Args:
        in_channels: of every map.
        num_anchors: per position.
        box_dim: numbers per box, 4 or 5.
        conv_dims: output channels of each 3x3 convolution; -1 for as many as it gets.

    Raises:
        InvalidArgument: `conv_dims` is empty or a number of channels in it is not positive.
    """

    def __init__(
        self, *, in_channels: int, num_anchors: int, box_dim: int = 4, conv_dims: Sequence[int] = (-1,)
    ) -> None:
        super().__init__()
        if not conv_dims or any(dim != -1 and dim <= 0 for dim in conv_dims):
            raise InvalidArgument(f"MODEL.RPN.CONV_DIMS: each must be positive or -1, at least one, got {conv_dims}")
        convs = []
        for dim in conv_dims:
            out_channels = in_channels if dim == -1 else dim
            convs.append(conv3x3(in_channels, out_channels, norm=""))
            in_channels = out_channels
        # One convolution is `conv`, several are `conv.conv0`, `conv.conv1`, ..., as in checkpoints.
        self.conv: nn.Module = convs[0]
        if len(convs) > 1:
            self.conv = nn.Sequential()
            for index, conv in enumerate(convs):
                self.conv.add_module(f"conv{index}", conv)
        self.objectness_logits = nn.Conv2d(in_channels, num_anchors, 1)
        self.anchor_deltas = nn.Conv2d(in_channels, num_anchors * box_dim, 1)

    @classmethod
    def from_config(cls, cfg: Config, input_shape: Sequence[ShapeSpec]) -> StandardRPNHead:
        channels = {shape.channels for shape in input_shape}
        if len(channels) != 1:
            raise InvalidArgument(f"MODEL.RPN.IN_FEATURES must have equal channels, got {sorted(channels)}")
        generator = make_anchor_generator(cfg, input_shape)
        return cls(
            in_channels=channels.pop(),
            num_anchors=generator.num_anchors[0],
            box_dim=generator.box_dim,
            conv_dims=cfg.MODEL.RPN.CONV_DIMS,
        )

    def forward(self, features: list[Tensor]) -> tuple[list[Tensor], list[Tensor]]:
        """Logits (N, A, H, W) and deltas (N, A box_dim, H, W) for each map (N, C, H, W)."""
        hidden = [self.conv(x) for x in features]
        return [self.objectness_logits(x) for x in hidden], [self.anchor_deltas(x) for x in hidden]


def per_anchor(x: Tensor, dim: int) -> Tensor:
    """(N, H W A, dim) from an output (N, A dim, H, W) of a convolution, in the order of anchors.

    Law: row (y W + x) A + a of image n is x[n, a dim : (a + 1) dim, y, x].
    """
    n, channels, height, width = x.shape
    return x.view(n, channels // dim, dim, height, width).permute(0, 3, 4, 1, 2).flatten(1, 3)


def select_proposals(
    proposals: Sequence[Tensor],
    logits: Sequence[Tensor],
    image_sizes: Sequence[tuple[int, int]],
    *,
    nms_thresh: float,
    pre_nms_topk: int,
    post_nms_topk: int,
    min_box_size: float,
) -> list[Instances]:
    """The best boxes of each image: of each level the top, clipped, without small ones, NMS by level, then the top.

    Args:
        proposals: for each level (N, B, 4 or 5), in pixels of the network's input.
        logits: for each level (N, B).
        image_sizes: N heights and widths.
        nms_thresh: intersection over union that suppresses.
        pre_nms_topk: boxes of each level that take part in NMS.
        post_nms_topk: boxes that an image keeps, all levels together.
        min_box_size: boxes with a side no longer than this are dropped, in pixels.

    Returns:
        `proposal_boxes` and `objectness_logits` of each image, by descending logit.

    Law: the proposals of an image do not depend on the others.

    Source: detectron2/modeling/proposal_generator/proposal_utils.py, find_top_rpn_proposals.
    """
    boxes, scores, levels = [], [], []
    for level, (box, logit) in enumerate(zip(proposals, logits)):
        score, index = logit.topk(min(logit.shape[1], pre_nms_topk), dim=1)
        boxes.append(box.gather(1, index[..., None].expand(-1, -1, box.shape[2])))
        scores.append(score)
        levels.append(torch.full_like(index, level))
    all_boxes, all_scores, all_levels = (torch.cat(parts, dim=1) for parts in (boxes, scores, levels))
    results = []
    for box, score, level, size in zip(all_boxes, all_scores, all_levels, image_sizes):
        finite = box.isfinite().all(dim=1) & score.isfinite()
        box = clip(box, size)
        valid = finite & nonempty(box, min_box_size)
        box, score, level = box[valid], score[valid], level[valid]
        keep = batched_nms(box, score, level, nms_thresh)[:post_nms_topk]
        results.append(Instances(size, proposal_boxes=as_boxes(box[keep]), objectness_logits=score[keep]))
    return results


@PROPOSAL_GENERATORS.register()
class RPN(nn.Module):
    """Region proposal network.

    Args:
        in_features: names of the maps, finest first.
        head: maps the list of maps to a list of logits and a list of deltas.
        anchor_generator: gives the anchors of each map.
        box2box_transform: decodes deltas.
        pre_nms_topk: see `select_proposals`, as the following ones.
        post_nms_topk: boxes that an image keeps.
        nms_thresh: intersection over union that suppresses.
        min_box_size: in pixels.
    """

    transform = Box2BoxTransform

    def __init__(
        self,
        *,
        in_features: Sequence[str],
        head: nn.Module,
        anchor_generator: Any,
        box2box_transform: Any,
        pre_nms_topk: int,
        post_nms_topk: int,
        nms_thresh: float = 0.7,
        min_box_size: float = 0.0,
    ) -> None:
        super().__init__()
        self.in_features = tuple(in_features)
        self.rpn_head = head
        self.anchor_generator = anchor_generator
        self.box2box_transform = box2box_transform
        self.pre_nms_topk = pre_nms_topk
        self.post_nms_topk = post_nms_topk
        self.nms_thresh = nms_thresh
        self.min_box_size = float(min_box_size)

    @classmethod
    def from_config(cls, cfg: Config, input_shape: dict[str, ShapeSpec]) -> RPN:
        node = cfg.MODEL.RPN
        shapes = chosen(input_shape, node.IN_FEATURES, "MODEL.RPN.IN_FEATURES")
        generator = make_anchor_generator(cfg, shapes)
        boxes = cls.transform.box_dim
        if generator.box_dim != boxes or len(node.BBOX_REG_WEIGHTS) != boxes:
            raise InvalidArgument(
                f"MODEL.PROPOSAL_GENERATOR.NAME is {cls.__name__}: needs anchors of {boxes} numbers, "
                f"{cfg.MODEL.ANCHOR_GENERATOR.NAME} gives {generator.box_dim}; and {boxes} MODEL.RPN.BBOX_REG_WEIGHTS, "
                f"got {len(node.BBOX_REG_WEIGHTS)}"
            )
        return cls(
            in_features=node.IN_FEATURES,
            head=RPN_HEADS.build(node.HEAD_NAME, cfg, shapes),
            anchor_generator=generator,
            box2box_transform=cls.transform(node.BBOX_REG_WEIGHTS),
            pre_nms_topk=node.PRE_NMS_TOPK_TEST,
            post_nms_topk=node.POST_NMS_TOPK_TEST,
            nms_thresh=node.NMS_THRESH,
            min_box_size=cfg.MODEL.PROPOSAL_GENERATOR.MIN_SIZE,
        )

    def forward(self, images: ImageBatch, features: dict[str, Tensor]) -> list[Instances]:
        """`proposal_boxes` and `objectness_logits` of each image."""
        maps = [features[f] for f in self.in_features]
        logits, deltas = self.rpn_head(maps)
        proposals = []
        for anchors, delta in zip(self.anchor_generator(maps), deltas):
            delta = per_anchor(delta, anchors.shape[1])
            boxes = self.box2box_transform.apply_deltas(delta.flatten(0, 1), anchors.repeat(len(delta), 1))
            proposals.append(boxes.view(delta.shape))
        return select_proposals(
            proposals,
            [per_anchor(logit, 1).flatten(1) for logit in logits],
            images.image_sizes,
            nms_thresh=self.nms_thresh,
            pre_nms_topk=self.pre_nms_topk,
            post_nms_topk=self.post_nms_topk,
            min_box_size=self.min_box_size,
        )


@PROPOSAL_GENERATORS.register()
class RRPN(RPN):
    """Rotated region proposal network: RPN with rotated anchors."""

    transform = Box2BoxTransformRotated


def chosen(shapes: dict[str, ShapeSpec], features: Sequence[str], key: str) -> list[ShapeSpec]:
    """The shapes of some features; InvalidArgument with the configuration's `key` where the backbone lacks one."""
    missing = [f for f in features if f not in shapes]
    if missing or not features:
        found = ", ".join(missing) or "empty"
        raise InvalidArgument(f"{key}: {found}; the backbone gives: {', '.join(shapes)}")
    return [shapes[f] for f in features]
