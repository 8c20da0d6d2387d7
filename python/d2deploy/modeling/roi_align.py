"""RoIAlign of upright and rotated boxes in plain PyTorch: sampling points, their bilinear taps, weighted sums."""

from __future__ import annotations

import math

import torch
from torch import Tensor
from torch.nn import functional

__all__ = ["roi_align"]

# So many sampling points are worked on at a time: bounds the memory to some hundred MB.
MAX_POINTS = 1 << 18


def roi_align(
    features: Tensor,
    rois: Tensor,
    output_size: tuple[int, int],
    spatial_scale: float,
    sampling_ratio: int,
    aligned: bool,
) -> Tensor:
    """Averages of bilinear samples on a regular grid in each of the bins that a box is divided into.

    A point outside of [-1, H] x [-1, W] gives 0; the others are moved onto the map before they are interpolated.

    Args:
        features: (N, C, H, W).
        rois: (R, 5), index of the image and x1 y1 x2 y2; or (R, 6), index and cx cy w h angle. In image pixels.
        output_size: bins, rows and columns.
        spatial_scale: pixels of the map per pixel of the image.
        sampling_ratio: points per bin and axis; 0 for as many as the bin has pixels, rounded up.
        aligned: subtract half a pixel, so that pixel centres are at .5; without it boxes are at least one pixel long.
            Rotated boxes are always aligned.

    Returns:
        (R, C, rows, columns).

    Law: linear in the features; a constant map gives the constant, for boxes within the map; another order of the rois
    is another order of the result; at angle 0 a rotated box gives what the upright one gives, aligned.

    Source: He et al., Mask R-CNN, section 3; detectron2/layers/roi_align.py and csrc/ROIAlignRotated.
    """
    channels = features.shape[1]
    start, bins = frames(rois, output_size, spatial_scale, aligned)
    if sampling_ratio > 0:
        grid = torch.full_like(bins, sampling_ratio, dtype=torch.int64)
    else:
        grid = torch.ceil(bins).clamp(min=0).long()
    table = features.permute(0, 2, 3, 1).reshape(-1, channels)
    points = grid.prod(dim=1) * output_size[0] * output_size[1]
    parts = [
        pool(table, features, rois[chunk], start[chunk], bins[chunk], grid[chunk], output_size, spatial_scale)
        for chunk in chunks(points)
    ]
    pooled = torch.cat(parts) if parts else features.new_zeros(0, output_size[0] * output_size[1], channels)
    return pooled.transpose(1, 2).reshape(len(rois), channels, *output_size)


def chunks(points: Tensor) -> list[slice]:
    """Slices of the boxes that have at most MAX_POINTS points together, or one box each."""
    slices, start, total = [], 0, 0
    sizes = points.tolist()
    for index, size in enumerate(sizes):
        if index > start and total + size > MAX_POINTS:
            slices.append(slice(start, index))
            start, total = index, 0
        total += size
    return [*slices, slice(start, len(sizes))] if sizes else []


def frames(rois: Tensor, output_size: tuple[int, int], spatial_scale: float, aligned: bool) -> tuple[Tensor, Tensor]:
    """Where the first bin starts and how large a bin is, both (R, 2) as y x in pixels of the map.

    Rotated boxes: the start is relative to the centre, in the box's own axes.
    """
    cells = rois.new_tensor(output_size)
    if rois.shape[1] == 6:
        size = rois[:, [4, 3]] * spatial_scale
        return -size / 2.0, size / cells
    offset = 0.5 if aligned else 0.0
    start = rois[:, [2, 1]] * spatial_scale - offset
    size = rois[:, [4, 3]] * spatial_scale - offset - start
    if not aligned:
        size = size.clamp(min=1.0)
    return start, size / cells


def pool(
    table: Tensor,
    features: Tensor,
    rois: Tensor,
    start: Tensor,
    bins: Tensor,
    grid: Tensor,
    output_size: tuple[int, int],
    spatial_scale: float,
) -> Tensor:
    """Pooled features, (R, bins, C), of a few boxes; `table` is `features` as (N H W, C)."""
    height, width = features.shape[2:]
    cells = output_size[0] * output_size[1]
    per_cell = grid.prod(dim=1).repeat_interleave(cells)
    # One row per sampling point: its box, its cell, and its number within the cell.
    cell = torch.arange(len(per_cell), device=rois.device).repeat_interleave(per_cell)
    first = per_cell.cumsum(0) - per_cell
    number = torch.arange(len(cell), device=rois.device) - first[cell]
    roi = cell // cells
    columns = grid[roi, 1]
    row, column = number // columns, number % columns
    place = torch.stack([cell % cells // output_size[1], cell % output_size[1]], dim=1)
    step = bins[roi]
    inner = torch.stack([row, column], dim=1) + 0.5
    yx = start[roi] + place * step + inner * step / grid[roi]
    if rois.shape[1] == 6:
        yx = rotated(yx, rois[roi], spatial_scale)
    index, weight = taps(yx, height, width)
    index = index + (rois[roi, 0].long() * (height * width))[:, None]
    weight = weight / per_cell[cell][:, None]
    weight = weight.flatten().to(table.dtype)  # features may be of a reduced type
    pooled = functional.embedding_bag(index.flatten(), table, 4 * first, mode="sum", per_sample_weights=weight)
    return pooled.view(len(rois), cells, -1)


def rotated(yx: Tensor, rois: Tensor, spatial_scale: float) -> Tensor:
    """Points (P, 2) from the axes of their boxes, rows of `rois` (P, 6), to those of the map."""
    radians = rois[:, 5] * math.pi / 180.0
    cosine, sine = torch.cos(radians), torch.sin(radians)
    centre = rois[:, 1:3] * spatial_scale - 0.5
    y = yx[:, 0] * cosine - yx[:, 1] * sine + centre[:, 1]
    x = yx[:, 0] * sine + yx[:, 1] * cosine + centre[:, 0]
    return torch.stack([y, x], dim=1)


def taps(yx: Tensor, height: int, width: int) -> tuple[Tensor, Tensor]:
    """Indices into a map (height, width) and weights, both (P, 4), that interpolate at points (P, 2)."""
    last = yx.new_tensor([height - 1, width - 1])
    outside = ((yx < -1.0) | (yx > last + 1)).any(dim=1)
    yx = torch.minimum(yx.clamp(min=0), last)
    low = yx.floor()
    high = torch.minimum(low + 1, last).long()
    fraction = yx - low
    low = low.long()
    ly, lx = fraction[:, 0], fraction[:, 1]
    weights = torch.stack([(1 - ly) * (1 - lx), (1 - ly) * lx, ly * (1 - lx), ly * lx], dim=1)
    weights = weights.masked_fill(outside[:, None], 0.0)
    top, bottom = low[:, 0] * width, high[:, 0] * width
    index = torch.stack([top + low[:, 1], top + high[:, 1], bottom + low[:, 1], bottom + high[:, 1]], dim=1)
    return index, weights
