"""From a picture's file to what a model is given: read, resized, channels first. As Detectron2 does it in tests."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from PIL import Image, ImageOps

from d2deploy.errors import InvalidArgument, Unsupported

__all__ = ["ImageReader", "read_image"]

Pixels = npt.NDArray[np.uint8]


def read_image(path: str | Path, image_format: str = "BGR") -> Pixels:
    """Pixels (H, W, 3), turned upright as the file's EXIF data say.

    Args:
        path: the file.
        image_format: order of the channels, "BGR" or "RGB".

    Raises:
        InvalidArgument: a file that is not there or no picture.
        Unsupported: another format.
    """
    if image_format not in ("BGR", "RGB"):
        raise Unsupported(f"INPUT.FORMAT {image_format!r} is not supported; supported: BGR, RGB")
    try:
        with Image.open(path) as file:
            upright: Image.Image = ImageOps.exif_transpose(file)
            pixels = np.asarray(upright.convert("RGB"))
    except (OSError, SyntaxError, ValueError, Image.DecompressionBombError) as e:
        raise InvalidArgument(f"{path}: cannot be read as a picture: {e}") from None
    return pixels if image_format == "RGB" else pixels[:, :, ::-1]


@dataclass(frozen=True)
class ImageReader:
    """Reads pictures as a model wants them.

    Attributes:
        min_size: the shorter side that a picture is resized to, in pixels; 0: pictures keep their size.
        max_size: what the longer side may be at most; the shorter one is then below `min_size`.
        image_format: order of the channels, "BGR" or "RGB".
    """

    min_size: int = 800
    max_size: int = 1333
    image_format: str = "BGR"

    @classmethod
    def from_config(cls, cfg: Any) -> ImageReader:
        """As INPUT.MIN_SIZE_TEST, MAX_SIZE_TEST and FORMAT of a config say."""
        return cls(cfg.INPUT.MIN_SIZE_TEST, cfg.INPUT.MAX_SIZE_TEST, cfg.INPUT.FORMAT)

    def size(self, height: int, width: int) -> tuple[int, int]:
        """Height and width that a picture of this height and width is resized to.

        Source: Detectron2, ResizeShortestEdge.
        """
        if self.min_size == 0:
            return height, width
        scale = self.min_size / min(height, width)
        sides = [float(self.min_size) if side == min(height, width) else scale * side for side in (height, width)]
        if max(sides) > self.max_size:
            scale = self.max_size / max(sides)
            sides = [side * scale for side in sides]
        return int(sides[0] + 0.5), int(sides[1] + 0.5)

    def __call__(self, path: str | Path) -> dict[str, Any]:
        """One input of a model: `image` uint8 (3, H', W'), resized; `height` and `width` as they were.

        Raises:
            InvalidArgument, Unsupported: as `read_image`.
        """
        pixels = read_image(path, self.image_format)
        height, width = pixels.shape[:2]
        new_height, new_width = self.size(height, width)
        if (new_height, new_width) != (height, width):
            resized = Image.fromarray(pixels).resize((new_width, new_height), Image.Resampling.BILINEAR)
            pixels = np.asarray(resized)
        image = np.ascontiguousarray(pixels.transpose(2, 0, 1))
        return {"image": image, "height": height, "width": width}
