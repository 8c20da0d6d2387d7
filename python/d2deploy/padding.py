"""How far and with what a picture is padded on its way into a net, right and below. Needs NumPy alone."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from d2deploy.errors import InvalidArgument

__all__ = ["Padding", "net_inputs"]


class Padding(NamedTuple):
    """What the sides of a picture become: multiples of a number, or those of a square, as of Detectron2's ViTDet.

    Attributes:
        size_divisibility: what both sides are multiples of; 0 or 1: of nothing.
        square_size: of the square, whose side is rounded up to such a multiple; 0: there is none.
    """

    size_divisibility: int = 0
    square_size: int = 0

    @classmethod
    def of(cls, rule: Mapping[str, Any]) -> Padding:
        """That of `Detector.input`."""
        return cls(rule["size_divisibility"], rule["square_size"])

    def size(self, height: int, width: int) -> tuple[int, int]:
        """Height and width after padding.

        Raises:
            InvalidArgument: the picture is larger than the square. Detectron2 would cut it off, and say nothing.
        """
        square, multiple = self.square_size, max(self.size_divisibility, 1)
        if square and max(height, width) > square:
            raise InvalidArgument(
                f"the picture is {height} x {width} pixels large on its way into the net, which takes at most "
                f"{square} x {square} (its square_size); make it smaller, or let it be resized to a max_size of "
                f"{square} or less"
            )
        sides = (square, square) if square else (height, width)
        return -(-sides[0] // multiple) * multiple, -(-sides[1] // multiple) * multiple


def net_inputs(
    image: npt.NDArray[np.generic], pixel_mean: Sequence[float], padding: Padding
) -> dict[str, npt.NDArray[np.float32]]:
    """The inputs of a net for a picture.

    The border holds the mean, which the net normalises to 0: Detectron2 normalises first, and pads with 0.

    Args:
        image: (C, H, W), 0 to 255, resized already.
        pixel_mean: of each channel.
        padding: what the sides become.

    Returns:
        `data` (1, C, H', W') and `im_info` (1, 3): height and width before padding, scale 1.

    Raises:
        InvalidArgument: the picture is larger than the padding allows.
    """
    channels, height, width = image.shape
    data = np.empty((1, channels, *padding.size(height, width)), np.float32)
    data[0] = np.asarray(pixel_mean, np.float32).reshape(-1, 1, 1)
    data[0, :, :height, :width] = image
    return {"data": data, "im_info": np.array([[height, width, 1.0]], np.float32)}
