"""Maps at the size of the image, and the peaks of heatmaps, in NumPy.

Resizing is separable. Along each axis a cell of the output is a sum over a few cells of the input, its taps.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

__all__ = ["keypoints_of", "resize"]

Array = npt.NDArray[Any]
Taps = tuple[npt.NDArray[np.int64], Array]  # (N, T): which cells, and their weights
CUBIC = -0.75  # the free number of Keys' cubic convolution, as PyTorch and OpenCV have it


def _centres(count: int, size: int) -> Array:
    """Where the centres of `count` output cells are on an axis of `size` input cells, 0 being the first cell's."""
    return (np.arange(count) + 0.5) * (size / count) - 0.5


def _bilinear(at: Array) -> Taps:
    low = np.floor(at)
    part = at - low
    return low.astype(np.int64)[:, None] + np.arange(2), np.stack([1 - part, part], axis=1).astype(np.float32)


def _bicubic(at: Array) -> Taps:
    """Source: Keys, Cubic Convolution Interpolation for Digital Image Processing, with a = CUBIC."""
    low = np.floor(at)
    cells = low.astype(np.int64)[:, None] + np.arange(-1, 3)
    x = np.abs(at[:, None] - cells)
    near = ((CUBIC + 2) * x - (CUBIC + 3)) * x * x + 1
    far = ((CUBIC * x - 5 * CUBIC) * x + 8 * CUBIC) * x - 4 * CUBIC
    return cells, np.where(x <= 1, near, far).astype(np.float32)


def _matrix(taps: Taps, size: int) -> Array:
    """The taps as a matrix (N, size); what lies beyond the axis counts as 0."""
    cells, weights = taps
    matrix = np.zeros((len(cells), size), weights.dtype)
    row, tap = np.nonzero((cells >= 0) & (cells < size))
    np.add.at(matrix, (row, cells[row, tap]), weights[row, tap])
    return matrix


def _to_border(taps: Taps, size: int) -> Taps:
    """What lies beyond the axis counts as what is at its end."""
    return np.clip(taps[0], 0, size - 1), taps[1]


def resize(maps: Array, size: tuple[int, int]) -> Array:
    """Maps (K, h, w) resized bilinearly to (K, *size), beyond the border as at it."""
    for axis, count in zip((1, 2), size):
        length = maps.shape[axis]
        cells, weights = _to_border(_bilinear(_centres(count, length)), length)
        low, high = (w.reshape(-1, *[1] * (2 - axis)) for w in weights.T)
        maps = maps.take(cells[:, 0], axis) * low + maps.take(cells[:, 1], axis) * high
    return maps


def keypoints_of(maps: Array, boxes: Array) -> Array:
    """The best place of each keypoint, on heatmaps resized bicubically to their boxes.

    Args:
        maps: (R, K, S, S), logits.
        boxes: (R, 4), xyxy in pixels; shorter sides than a pixel count as one.

    Returns:
        (R, K, 4): x, y, logit, and probability, that is the softmax over the heatmap before it is resized.

    Source: detectron2/structures/keypoints.py, heatmaps_to_keypoints.
    """
    size = np.maximum(boxes[:, 2:] - boxes[:, :2], 1)
    cells = np.ceil(size).astype(int)
    output = np.zeros((*maps.shape[:2], 4), maps.dtype)
    for keypoints, heatmaps, box, (width, height), step in zip(output, maps, boxes, cells, size / cells):
        rows, columns = (
            _matrix(_to_border(_bicubic(_centres(count, length)), length), length)
            for count, length in zip((height, width), heatmaps.shape[1:])
        )
        resized = (rows @ heatmaps @ columns.T).reshape(len(heatmaps), -1)
        place = resized.argmax(axis=1)
        logit = resized.max(axis=1)
        keypoints[:, :2] = (np.stack([place % width, place // width], axis=1) + 0.5) * step + box[:2]
        keypoints[:, 2] = logit
        keypoints[:, 3] = 1 / np.exp(heatmaps - logit[:, None, None]).sum(axis=(1, 2))
    return output
