"""Oracles of RoI pooling. Boxes are xyxy in image pixels, the end is not included; feature maps are (N, C, H, W)."""

from __future__ import annotations

import math

import numpy as np

from .arguments import Arguments, Array
from .elementwise import float32
from .proposals import fpn_levels


def _weights(start: np.float32, bin_size: float, bins: int, grid: int, size: int) -> Array:
    """(bins, size): row b sums the bilinear weights, along one axis, of the `grid` samples of bin b.

    A sample beyond one cell outside of the map counts as 0; nearer ones are moved to the map's first or last cell.
    """
    weights = np.zeros((bins, size))
    step = bin_size / max(grid, 1)
    for b in range(bins):
        first = float(start) + b * bin_size
        near = range(grid)
        if step > 0:  # of a box that reaches far out only the samples near the map are visited
            near = range(max(0, math.floor((-1 - first) / step) - 1), min(grid, math.ceil((size - first) / step) + 1))
        for k in near:
            at = first + (k + 0.5) * step
            if at < -1 or at > size:
                continue
            at = min(max(at, 0.0), size - 1.0)
            low = math.floor(at)
            weights[b, low] += 1 - (at - low)
            weights[b, min(low + 1, size - 1)] += at - low
    return weights


def _pool(args: Arguments, feature: Array, box: Array, scale: float) -> Array:
    """One box (4) over one image's map (C, H, W). Whole samples per bin follow from float32 arithmetic.

    Deliberately 0 where Caffe2's answer is undefined, for a box that is not finite, or 0 / 0, for one without samples.
    """
    pooled = (args.integer("pooled_h", 1), args.integer("pooled_w", 1))
    ratio, aligned = args.integer("sampling_ratio", -1), args.flag("aligned", False)
    edges = box.astype(np.float32) * np.float32(scale) - np.float32(0.5 if aligned else 0)
    if not np.isfinite(edges).all():
        return np.zeros((feature.shape[0], *pooled))
    axes = []
    for axis, bins in ((1, pooled[0]), (0, pooled[1])):
        start, length = edges[axis], edges[axis + 2] - edges[axis]
        if not aligned:
            length = np.maximum(length, np.float32(1))
        if length < 0:  # an error in Caffe2; here there are no samples
            return np.zeros((feature.shape[0], *pooled))
        grid = ratio if ratio > 0 else math.ceil(length / np.float32(bins))
        axes.append((_weights(start, float(length) / bins, bins, grid, feature.shape[2 - axis]), grid))
    (rows, grid_h), (columns, grid_w) = axes
    if grid_h * grid_w == 0:
        return np.zeros((feature.shape[0], *pooled))
    sums = np.einsum("ih,chw,jw->cij", rows, feature.astype(np.float64), columns, optimize=True)
    return np.asarray(sums / (grid_h * grid_w))


def _split(rois: Array) -> tuple[Array, Array]:
    """Image index and box of every row; rows of four columns are of image 0."""
    if rois.shape[1] == 4:
        return np.zeros(len(rois), np.int64), rois
    return rois[:, 0].astype(np.int64), rois[:, 1:]


def _empty(args: Arguments, rows: int, channels: int) -> Array:
    return np.zeros((rows, channels, args.integer("pooled_h", 1), args.integer("pooled_w", 1)))


def roi_align(args: Arguments, inputs: list[Array]) -> list[Array]:
    """Mean of bilinear samples on a grid in every bin (He et al., Mask R-CNN, section 3).

    With `aligned` the centre of the first cell is at 0.5, not at 0; without it boxes are at least one cell wide.
    """
    feature, rois = inputs
    images, boxes = _split(rois)
    y = _empty(args, len(rois), feature.shape[1])
    for r, (image, box) in enumerate(zip(images, boxes, strict=True)):
        y[r] = _pool(args, feature[image], box, args.number("spatial_scale", 1))
    return [float32(y)]


def pyramid_roi_align(args: Arguments, inputs: list[Array]) -> list[Array]:
    """RoIAlign of each box on the level that suits its size. Rows stand in the order of the boxes.

    Inputs are the boxes and then one map per level, the finest (`roi_min_level`) first, with its `spatial_scales`.
    """
    rois, features = inputs[0], inputs[1:]
    images, boxes = _split(rois)
    scales = args.numbers("spatial_scales", [])
    y = _empty(args, len(rois), features[0].shape[1])
    for r, level in enumerate(fpn_levels(args, boxes)):
        k = int(level) - args.integer("roi_min_level", 2)
        y[r] = _pool(args, features[k][images[r]], boxes[r], scales[k])
    return [float32(y)]


def _at(feature: Array, y: Array, x: Array) -> Array:
    """Bilinear values (C, k) of a map (C, H, W) at k points; 0 more than one cell outside."""
    height, width = feature.shape[1:]
    counts = (y >= -1) & (y <= height) & (x >= -1) & (x <= width)
    y, x = np.clip(y, 0, height - 1), np.clip(x, 0, width - 1)
    low, left = np.floor(y).astype(int), np.floor(x).astype(int)
    high, right = np.minimum(low + 1, height - 1), np.minimum(left + 1, width - 1)
    fy, fx = y - low, x - left
    upper = feature[:, low, left] * (1 - fx) + feature[:, low, right] * fx
    lower = feature[:, high, left] * (1 - fx) + feature[:, high, right] * fx
    return np.asarray((upper * (1 - fy) + lower * fy) * counts)


def _pool_rotated(args: Arguments, feature: Array, box: Array) -> Array:
    """One rotated box (5) over one image's map (C, H, W); 0 where it is not finite or has no samples."""
    pooled = (args.integer("pooled_h", 1), args.integer("pooled_w", 1))
    y = np.zeros((feature.shape[0], *pooled))
    if not np.isfinite(box).all() or 0 in feature.shape:
        return y
    ratio, aligned = args.integer("sampling_ratio", -1), args.flag("aligned", False)
    scale = np.float32(args.number("spatial_scale", 1))
    centre = box[:2].astype(np.float64) * float(scale) - (0.5 if aligned else 0)
    offsets = []  # of all samples of each bin from the centre, down and across
    for side, bins in ((box[3] * scale, pooled[0]), (box[2] * scale, pooled[1])):
        length = side if aligned else np.maximum(side, np.float32(1))
        if length < 0:  # an error in Caffe2; here there are no samples
            return y
        grid = ratio if ratio > 0 else math.ceil(length / np.float32(bins))
        if grid > 10**6:  # so few of the samples of a bin fall on the map that their mean is 0
            return y
        offsets.append(((np.arange(bins * grid) + 0.5) / max(bins * grid, 1) - 0.5).reshape(bins, grid) * float(length))
    cos, sin = math.cos(math.radians(box[4])), math.sin(math.radians(box[4]))
    for i, j in np.ndindex(*pooled):
        v, u = np.meshgrid(offsets[0][i], offsets[1][j], indexing="ij")
        if u.size:
            values = _at(feature, (centre[1] + v * cos - u * sin).ravel(), (centre[0] + u * cos + v * sin).ravel())
            y[:, i, j] = values.mean(axis=1)
    return y


def roi_align_rotated(args: Arguments, inputs: list[Array]) -> list[Array]:
    """RoIAlign in the frame of boxes x, y, w, h, angle, in degrees counter-clockwise as seen (y points down)."""
    feature, rois = inputs
    images = rois[:, 0].astype(np.int64) if rois.shape[1] == 6 else np.zeros(len(rois), np.int64)
    y = _empty(args, len(rois), feature.shape[1])
    for r, image in enumerate(images):
        y[r] = _pool_rotated(args, feature[image].astype(np.float64), rois[r, -5:])
    return [float32(y)]
