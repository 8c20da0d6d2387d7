"""How far and with what a picture is padded on its way into a net, right and below. Needs NumPy alone."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

__all__ = ["net_inputs", "padded_size"]


def padded_size(height: int, width: int, size_divisibility: int) -> tuple[int, int]:
    """Height and width after padding: the next multiples of the size divisibility; 0 or 1 keeps them."""
    multiple = max(size_divisibility, 1)
    return -(-height // multiple) * multiple, -(-width // multiple) * multiple


def net_inputs(
    image: npt.NDArray[np.generic], pixel_mean: Sequence[float], size_divisibility: int
) -> dict[str, npt.NDArray[np.float32]]:
    """The inputs of a net for a picture.

    The border holds the mean, which the net normalises to 0: Detectron2 normalises first, and pads with 0.

    Args:
        image: (C, H, W), 0 to 255, resized already.
        pixel_mean: of each channel.
        size_divisibility: what the sides become multiples of; 0 or 1: they stay.

    Returns:
        `data` (1, C, H', W') and `im_info` (1, 3): height and width before padding, scale 1.
    """
    channels, height, width = image.shape
    data = np.empty((1, channels, *padded_size(height, width, size_divisibility)), np.float32)
    data[0] = np.asarray(pixel_mean, np.float32).reshape(-1, 1, 1)
    data[0, :, :height, :width] = image
    return {"data": data, "im_info": np.array([[height, width, 1.0]], np.float32)}
