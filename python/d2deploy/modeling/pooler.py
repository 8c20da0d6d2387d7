"""Pools boxes from a pyramid, each one from the level that fits its size.

Source: Lin et al., Feature Pyramid Networks, section 4.2; detectron2/modeling/poolers.py.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn

from d2deploy.errors import InvalidArgument, Unsupported
from d2deploy.modeling.layers import ShapeSpec
from d2deploy.modeling.roi_align import roi_align
from d2deploy.structures import Boxes
from d2deploy.structures.geometry import area

__all__ = ["POOLER_TYPES", "ROIAlign", "ROIPooler", "as_rois", "assign_levels", "check_pooler_type", "make_pooler"]

POOLER_TYPES = ("ROIAlign", "ROIAlignV2", "ROIAlignRotated")
# Boxes of 224 pixels, ImageNet's image size, belong to level 4 (Lin et al., Feature Pyramid Networks, equation 1).
CANONICAL_SIZE = 224
CANONICAL_LEVEL = 4


def check_pooler_type(pooler_type: str, key: str) -> None:
    """Raises Unsupported for ROIPool, InvalidArgument for a type that is not known; `key` is the configuration's."""
    if pooler_type in POOLER_TYPES:
        return
    known = ", ".join(POOLER_TYPES)
    if pooler_type == "ROIPool":
        raise Unsupported(f"{key} is ROIPool, which cannot be exported; train with one of {known}")
    raise InvalidArgument(f"{key} is {pooler_type or 'empty'}; known: {known}")


class ROIAlign(nn.Module):
    """RoIAlign from one map; see `roi_align` for the arguments."""

    def __init__(self, output_size: tuple[int, int], spatial_scale: float, sampling_ratio: int, aligned: bool) -> None:
        super().__init__()
        self.output_size = output_size
        self.spatial_scale = spatial_scale
        self.sampling_ratio = sampling_ratio
        self.aligned = aligned

    def forward(self, features: Tensor, rois: Tensor) -> Tensor:
        return roi_align(features, rois, self.output_size, self.spatial_scale, self.sampling_ratio, self.aligned)


class ROIPooler(nn.Module):
    """RoIAlign from several maps.

    Args:
        output_size: bins per side, or rows and columns.
        scales: pixels of each map per pixel of the image, powers of two, each half of the one before.
        sampling_ratio: points per bin and axis; 0 for as many as the bin has pixels.
        pooler_type: ROIAlign (legacy, not aligned), ROIAlignV2, or ROIAlignRotated.
        canonical_box_size: boxes of this many pixels ...
        canonical_level: ... are pooled from the map of scale 1 / 2^level.

    Raises:
        InvalidArgument: the scales are not a pyramid, or the type is not known.
        Unsupported: ROIPool.
    """

    def __init__(
        self,
        output_size: int | tuple[int, int],
        scales: Sequence[float],
        sampling_ratio: int,
        pooler_type: str,
        canonical_box_size: int = CANONICAL_SIZE,
        canonical_level: int = CANONICAL_LEVEL,
    ) -> None:
        super().__init__()
        check_pooler_type(pooler_type, "pooler_type")
        levels = [-math.log2(scale) for scale in scales]
        if any(level != levels[0] + i for i, level in enumerate(levels)) or not levels[0].is_integer():
            raise InvalidArgument(f"scales must be powers of two, each half of the one before, got {list(scales)}")
        self.output_size = (output_size, output_size) if isinstance(output_size, int) else output_size
        self.pooler_type = pooler_type
        self.min_level, self.max_level = int(levels[0]), int(levels[-1])
        self.canonical_box_size = canonical_box_size
        self.canonical_level = canonical_level
        aligned = pooler_type != "ROIAlign"
        self.level_poolers = nn.ModuleList(
            ROIAlign(self.output_size, scale, sampling_ratio, aligned) for scale in scales
        )

    def forward(self, x: list[Tensor], box_lists: list[Boxes]) -> Tensor:
        """Pools all boxes of all images.

        Args:
            x: one map per level, each (N, C, H, W).
            box_lists: the boxes of each of the N images, in image pixels.

        Returns:
            (R, C, rows, columns), R boxes in the order of the images.
        """
        rois = as_rois(box_lists)
        if len(self.level_poolers) == 1:
            pooled: Tensor = self.level_poolers[0](x[0], rois)
            return pooled
        levels = assign_levels(
            rois[:, 1:], self.min_level, self.max_level, self.canonical_box_size, self.canonical_level
        )
        output = x[0].new_zeros(len(rois), x[0].shape[1], *self.output_size)
        for level, pooler in enumerate(self.level_poolers):
            chosen = torch.nonzero(levels == level).flatten()
            output[chosen] = pooler(x[level], rois[chosen])
        return output


def as_rois(box_lists: Sequence[Boxes]) -> Tensor:
    """The boxes (R_i, D) of each image as rois (R, 1 + D), the image's index before each."""
    images = [torch.full_like(b.tensor[:, :1], i) for i, b in enumerate(box_lists)]
    return torch.cat([torch.cat([i, b.tensor], dim=1) for i, b in zip(images, box_lists)])


def assign_levels(boxes: Tensor, lowest: int, highest: int, canonical_size: int, canonical_level: int) -> Tensor:
    """Number of the map, (R,) int64 counted from `lowest`, for boxes (R, 4 or 5).

    level = floor(canonical_level + log2(sqrt(area) / canonical_size)), kept between `lowest` and `highest`.

    Law: sides twice as long are one level higher, as far as there is one.

    Source: Lin et al., equation 1; detectron2/modeling/poolers.py, assign_boxes_to_levels.
    """
    sizes = torch.sqrt(area(boxes))
    # The constant keeps empty boxes finite and boxes just at a border on its upper side.
    level = torch.floor(canonical_level + torch.log2(sizes / canonical_size + 1e-8))
    return level.clamp(min=lowest, max=highest).long() - lowest


def make_pooler(node: Any, key: str, shapes: dict[str, ShapeSpec], features: Sequence[str]) -> ROIPooler:
    """The pooler that a head's configuration `node` asks for; `key` is the node's name, for messages."""
    check_pooler_type(node.POOLER_TYPE, f"{key}.POOLER_TYPE")
    scales = [1.0 / (shapes[f].stride or 1) for f in features]
    try:
        return ROIPooler(node.POOLER_RESOLUTION, scales, node.POOLER_SAMPLING_RATIO, node.POOLER_TYPE)
    except InvalidArgument as error:
        raise InvalidArgument(f"{key}: the maps {', '.join(features)} cannot be pooled from: {error}") from None
