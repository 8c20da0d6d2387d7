"""From a picture's file to what a model is given: read, resized as the model was trained, channels first.

Needs NumPy and Pillow alone.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageOps

from d2deploy.errors import InvalidArgument, Unsupported

__all__ = ["ImageReader", "read_image", "resize_shortest_edge", "resized_shape"]


def read_image(path: str | Path, input_format: str = "BGR") -> NDArray[np.uint8]:
    """Reads an image, upright as its EXIF orientation says.

    Args:
        path: any file that Pillow reads.
        input_format: BGR, RGB, or L for one channel of luminance.

    Returns:
        (H, W, C) uint8.

    Raises:
        Unsupported: another format.
        InvalidArgument: the file is not an image.
    """
    if input_format not in ("BGR", "RGB", "L"):
        raise Unsupported(f"INPUT.FORMAT is {input_format}; available: BGR, RGB, L")
    try:
        with Image.open(path) as image:
            upright = ImageOps.exif_transpose(image)
            pixels = np.asarray(upright.convert("L" if input_format == "L" else "RGB"))
    except (OSError, SyntaxError, ValueError, Image.DecompressionBombError) as error:
        raise InvalidArgument(f"{path}: cannot be read as an image: {error}") from error
    if input_format == "L":
        return pixels[:, :, None]
    return pixels[:, :, ::-1] if input_format == "BGR" else pixels


def resized_shape(height: int, width: int, min_size: int, max_size: int) -> tuple[int, int]:
    """Height and width with the shortest side `min_size`, or less where the longest would exceed `max_size`.

    `min_size` 0 keeps the image as it is.
    """
    if min_size == 0:
        return height, width
    # In this order, as Detectron2 computes: the result is rounded, so every factor's rounding counts.
    ratio = min_size * 1.0 / min(height, width)
    new_height, new_width = (min_size * 1.0, ratio * width) if height < width else (ratio * height, min_size * 1.0)
    if max(new_height, new_width) > max_size:
        ratio = max_size * 1.0 / max(new_height, new_width)
        new_height, new_width = new_height * ratio, new_width * ratio
    return int(new_height + 0.5), int(new_width + 0.5)


def resize_shortest_edge(image: NDArray[np.uint8], min_size: int, max_size: int) -> NDArray[np.uint8]:
    """Resizes an image as Detectron2 does before prediction, with Pillow's bilinear filter.

    Args:
        image: (H, W, C) uint8, C is 1 or 3.
        min_size: INPUT.MIN_SIZE_TEST, in pixels; 0 keeps the size.
        max_size: INPUT.MAX_SIZE_TEST, in pixels.

    Returns:
        (H', W', C) uint8, contiguous.

    Raises:
        InvalidArgument: the shape or the type is wrong.
    """
    found: Any = image
    if image.ndim != 3 or image.shape[2] not in (1, 3) or image.dtype != np.uint8 or 0 in image.shape:
        raise InvalidArgument(f"image: must be (H, W, 1 or 3) uint8, got {found.shape} {found.dtype}")
    height, width = resized_shape(image.shape[0], image.shape[1], min_size, max_size)
    if 0 in (height, width):
        raise InvalidArgument(f"image: {found.shape} is so long that a side would become 0 pixels; crop it")
    if (height, width) == image.shape[:2]:
        return np.ascontiguousarray(image)
    source = Image.fromarray(np.ascontiguousarray(image if image.shape[2] == 3 else image[:, :, 0]))
    resized = np.array(source.resize((width, height), Image.Resampling.BILINEAR))
    return resized.reshape(height, width, image.shape[2])


@dataclass(frozen=True)
class ImageReader:
    """Reads pictures as a model wants them.

    Attributes:
        min_size: the shorter side that a picture is resized to, in pixels; 0: pictures keep their size.
        max_size: what the longer side may be at most; the shorter one is then below `min_size`.
        image_format: as `read_image` takes it.
    """

    min_size: int = 800
    max_size: int = 1333
    image_format: str = "BGR"

    @classmethod
    def from_config(cls, cfg: Any) -> ImageReader:
        """As INPUT.MIN_SIZE_TEST, MAX_SIZE_TEST and FORMAT of a config say."""
        return cls(cfg.INPUT.MIN_SIZE_TEST, cfg.INPUT.MAX_SIZE_TEST, cfg.INPUT.FORMAT)

    def size(self, height: int, width: int) -> tuple[int, int]:
        """Height and width that a picture of this height and width is resized to."""
        return resized_shape(height, width, self.min_size, self.max_size)

    def __call__(self, path: str | Path) -> dict[str, Any]:
        """One input of a model: `image` uint8 (C, H', W'), resized; `height` and `width` as they were.

        Raises:
            InvalidArgument, Unsupported: as `read_image`.
        """
        pixels = read_image(path, self.image_format)
        resized = resize_shortest_edge(pixels, self.min_size, self.max_size)
        image = np.ascontiguousarray(resized.transpose(2, 0, 1))
        return {"image": image, "height": pixels.shape[0], "width": pixels.shape[1]}
