"""Anchors: the boxes on a regular grid that proposals and RetinaNet's detections are regressed from.

Source: Ren et al., Faster R-CNN, section 3.1; detectron2/modeling/anchor_generator.py.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn

from d2deploy.config import Config
from d2deploy.errors import InvalidArgument
from d2deploy.modeling.layers import ShapeSpec
from d2deploy.modeling.registry import ANCHOR_GENERATORS

__all__ = ["DefaultAnchorGenerator", "RotatedAnchorGenerator", "make_anchor_generator", "shifted_anchors"]


class BufferList(nn.Module):
    """A list of tensors that move with the module and are not part of its state dict."""

    def __init__(self, tensors: Sequence[Tensor]) -> None:
        super().__init__()
        for index, tensor in enumerate(tensors):
            self.register_buffer(str(index), tensor, persistent=False)

    def __len__(self) -> int:
        return len(self._buffers)

    def __iter__(self) -> Any:
        return iter(self._buffers.values())


class AnchorGenerator(nn.Module):
    """Base: `cell_anchors` of each level and the grid that they are moved to.

    Args:
        cells: of each level (A, box_dim), in pixels of the image, around the origin.
        strides: of each level, pixels from one position to the next.
        offset: where the first position is, in strides.
    """

    box_dim: int

    def __init__(self, cells: Sequence[Tensor], strides: Sequence[int], offset: float) -> None:
        super().__init__()
        if not 0.0 <= offset < 1.0:
            raise InvalidArgument(f"MODEL.ANCHOR_GENERATOR.OFFSET is {offset}, must be at least 0 and below 1")
        self.cell_anchors = BufferList(cells)
        self.strides = list(strides)
        self.offset = offset

    @property
    def num_anchors(self) -> list[int]:
        """Anchors per position of each level."""
        return [len(cell) for cell in self.cell_anchors]

    def forward(self, features: Sequence[Tensor]) -> list[Tensor]:
        """Anchors of each level, (H W A, box_dim), for feature maps (N, C, H, W); row by row, A at each position."""
        cells = zip(features, self.strides, self.cell_anchors)
        return [shifted_anchors(cell, f.shape[-2:], stride, self.offset) for f, stride, cell in cells]


def shifted_anchors(cell: Tensor, grid: Sequence[int], stride: int, offset: float) -> Tensor:
    """Anchors (H W A, D) of one level, in pixels of the image: row by row, at each position the A of a cell.

    Args:
        cell: (A, D), anchors around the origin; D is 4 for xyxy, 5 for rotated boxes.
        grid: H and W.
        stride: pixels from one position to the next.
        offset: where the first position is, in strides.

    Law: row (y W + x) A + a is cell[a] moved by ((x + offset) stride, (y + offset) stride).
    """
    dim = cell.shape[1]
    y = (torch.arange(grid[0], device=cell.device, dtype=torch.float32) + offset) * stride
    x = (torch.arange(grid[1], device=cell.device, dtype=torch.float32) + offset) * stride
    shift_y, shift_x = torch.meshgrid(y, x, indexing="ij")
    centre = torch.stack([shift_x, shift_y], dim=-1).view(-1, 1, 2)
    shift = centre.repeat(1, 1, 2) if dim == 4 else torch.cat([centre, centre.new_zeros(len(centre), 1, 3)], dim=2)
    return (shift + cell).reshape(-1, dim)


def per_level(values: Any, levels: int, key: str) -> list[Sequence[float]]:
    """One list for each level, where the configuration has one per level, one for all, or plain numbers for all."""
    if values and not isinstance(values[0], (list, tuple)):
        return [values] * levels
    if len(values) not in (1, levels) or not all(values):
        raise InvalidArgument(f"MODEL.ANCHOR_GENERATOR.{key}: needs 1 or {levels} lists, one per level, got {values}")
    return list(values) * (levels if len(values) == 1 else 1)


def sides(sizes: Sequence[float], ratios: Sequence[float]) -> list[tuple[float, float]]:
    """Widths and heights for each size and, within it, each ratio of height to width.

    Law: width * height == size^2, height / width == ratio.
    """
    widths = [(math.sqrt(size**2.0 / ratio), ratio) for size in sizes for ratio in ratios]
    return [(width, ratio * width) for width, ratio in widths]


@ANCHOR_GENERATORS.register()
class DefaultAnchorGenerator(AnchorGenerator):
    """Upright anchors of each size and aspect ratio.

    Args:
        sizes: sides of squares of the same area in pixels; a list per level, one list for all, or numbers for all.
        aspect_ratios: height by width, likewise.
        strides: pixels from one position to the next, per level.
        offset: where the first position is, in strides.

    Raises:
        InvalidArgument: the lists do not fit the levels, or the offset is not in [0, 1).
    """

    box_dim = 4

    def __init__(self, *, sizes: Any, aspect_ratios: Any, strides: Sequence[int], offset: float = 0.5) -> None:
        levels = len(strides)
        lists = zip(per_level(sizes, levels, "SIZES"), per_level(aspect_ratios, levels, "ASPECT_RATIOS"))
        boxes = [[[-w / 2.0, -h / 2.0, w / 2.0, h / 2.0] for w, h in sides(s, r)] for s, r in lists]
        super().__init__([torch.tensor(level) for level in boxes], strides, offset)

    @classmethod
    def from_config(cls, cfg: Config, input_shape: Sequence[ShapeSpec]) -> DefaultAnchorGenerator:
        node = cfg.MODEL.ANCHOR_GENERATOR
        strides = [shape.stride or 1 for shape in input_shape]
        return cls(sizes=node.SIZES, aspect_ratios=node.ASPECT_RATIOS, strides=strides, offset=node.OFFSET)


@ANCHOR_GENERATORS.register()
class RotatedAnchorGenerator(AnchorGenerator):
    """Rotated anchors of each size, aspect ratio and angle.

    Args:
        sizes: as for DefaultAnchorGenerator.
        aspect_ratios: likewise.
        angles: degrees, likewise.
        strides: pixels from one position to the next, per level.
        offset: where the first position is, in strides.

    Raises:
        InvalidArgument: the lists do not fit the levels, or the offset is not in [0, 1).
    """

    box_dim = 5

    def __init__(
        self, *, sizes: Any, aspect_ratios: Any, angles: Any, strides: Sequence[int], offset: float = 0.5
    ) -> None:
        levels = len(strides)
        boxes = [
            [[0.0, 0.0, w, h, float(angle)] for w, h in sides(s, r) for angle in a]
            for s, r, a in zip(
                per_level(sizes, levels, "SIZES"),
                per_level(aspect_ratios, levels, "ASPECT_RATIOS"),
                per_level(angles, levels, "ANGLES"),
            )
        ]
        super().__init__([torch.tensor(level) for level in boxes], strides, offset)

    @classmethod
    def from_config(cls, cfg: Config, input_shape: Sequence[ShapeSpec]) -> RotatedAnchorGenerator:
        node = cfg.MODEL.ANCHOR_GENERATOR
        return cls(
            sizes=node.SIZES,
            aspect_ratios=node.ASPECT_RATIOS,
            angles=node.ANGLES,
            strides=[shape.stride or 1 for shape in input_shape],
            offset=node.OFFSET,
        )


def make_anchor_generator(cfg: Config, input_shape: Sequence[ShapeSpec]) -> Any:
    """The anchor generator that MODEL.ANCHOR_GENERATOR asks for; it must have as many anchors on each level."""
    generator = ANCHOR_GENERATORS.build(cfg.MODEL.ANCHOR_GENERATOR.NAME, cfg, input_shape)
    if len(set(generator.num_anchors)) != 1:
        raise InvalidArgument(
            "MODEL.ANCHOR_GENERATOR: every level must have as many anchors per position, since one head serves all; "
            f"got {generator.num_anchors}"
        )
    return generator
