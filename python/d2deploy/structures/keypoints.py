"""Keypoints of the instances of one image."""

from __future__ import annotations

from typing import Any

from d2deploy.errors import InvalidArgument
from d2deploy.structures.arrays import to_float32
from d2deploy.structures.rows import Rows

__all__ = ["Keypoints"]


class Keypoints(Rows):
    """Keypoints, for each instance K rows x y v; x and y are pixels.

    The third is, as in COCO, 0 where the keypoint is not labelled, 1 where it is hidden, 2 where it is seen;
    predictions may have scores there.

    Args:
        keypoints: (N, K, 3), tensor, array or nested lists; kept as float32.

    Attributes:
        tensor: (N, K, 3).

    Raises:
        InvalidArgument: another shape.

    Source: detectron2/structures/keypoints.py.
    """

    def __init__(self, keypoints: Any) -> None:
        tensor = to_float32(keypoints, "Keypoints")
        if tensor.ndim != 3 or tensor.shape[2] != 3:
            raise InvalidArgument(f"Keypoints: must be (N, K, 3), got {tuple(tensor.shape)}")
        super().__init__(tensor)
