"""From a picture's file to what a model is given: read, resized as the model was trained, channels first.

Needs NumPy and Pillow alone.
"""

from __future__ import annotations

from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
from numpy.typing import NDArray
from PIL import ExifTags, Image, UnidentifiedImageError

from d2deploy.errors import InvalidArgument, Unsupported

__all__ = ["ImageReader", "read_image", "resize_shortest_edge", "resized_shape"]


_MOST_PIXELS = 2 * 89478485  # a small file may claim any number; more than this Pillow refuses
_TURNS = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}


def read_image(
    path: str | Path | BinaryIO, input_format: str = "BGR", *, formats: tuple[str, ...] | None = None
) -> NDArray[np.uint8]:
    """Reads an image as 8-bit pixels, upright. The program `caffe2_mask_rcnn` reads by the same rule:

    - The orientation of EXIF is obeyed in JPEG, PNG, WebP and TIFF files.
    - Gray becomes the same value in each channel, a palette its colors, CMYK what `Image.convert` makes of it.
    - Alpha is dropped, as Detectron2 does, and what it hid shows.
    - Of 16 bits the low byte is dropped. Netpbm's values are scaled by their maximum.
    - Other integers, signed ones and floating point are refused: no file tells what is white in them.
    - Of several pages, or of an animated PNG, the first is read. Animated WebP is refused.
    - More than 178956970 pixels are refused.

    Args:
        path: any file that Pillow reads, or one that is open.
        input_format: BGR, RGB, or L for one channel of luminance.
        formats: names of the formats that it may have, as Pillow's ("PNG", "JPEG"); None: all.

    Returns:
        (H, W, C) uint8.

    Raises:
        Unsupported: another format.
        InvalidArgument: the file is not an image, or is damaged or refused.
    """
    if input_format not in ("BGR", "RGB", "L"):
        raise Unsupported(f"INPUT.FORMAT is {input_format}; available: BGR, RGB, L")
    name = str(path) if isinstance(path, (str, Path)) else "the picture"
    try:
        # By its name, Pillow maps gray TIFF files into memory, and scrambles those that EXIF turns by 90 degrees.
        with _opened(path) as file, Image.open(file, formats=formats) as image:
            refusal = _refusal(image)
            if not refusal:
                image.load()
                turn = _TURNS.get(_orientation(image))
                plain = _eight_bits(image).convert("L" if input_format == "L" else "RGB")
                pixels = np.asarray(plain if turn is None else plain.transpose(turn))
    except MemoryError:
        raise
    except UnidentifiedImageError as error:  # which tells where in the memory the file is
        raise InvalidArgument(f"{name}: cannot be read as an image: it is of no format that is known") from error
    except Exception as error:  # readers of single formats raise what they like on damaged files
        raise InvalidArgument(f"{name}: cannot be read as an image: {error}") from error
    if refusal:
        raise InvalidArgument(f"{name}: {refusal}")
    if input_format == "L":
        return pixels[:, :, None]
    return pixels[:, :, ::-1] if input_format == "BGR" else pixels


def _opened(path: str | Path | BinaryIO) -> AbstractContextManager[BinaryIO]:
    return Path(path).open("rb") if isinstance(path, (str, Path)) else nullcontext(path)


def _is_16_bit_gray(image: Image.Image) -> bool:
    # Netpbm files, and PNG files in older versions of Pillow, have their 16 bits in 32.
    return image.mode.startswith("I;16") or (image.mode == "I" and image.format in ("PNG", "PPM"))


def _refusal(image: Image.Image) -> str:
    """Why an image is not taken, and the way out; empty where it is."""
    if image.width * image.height > _MOST_PIXELS:
        return f"has {image.width} x {image.height} pixels, at most {_MOST_PIXELS} are read; cut it into parts"
    if image.format == "WEBP" and getattr(image, "is_animated", False):
        return "is an animated WebP file; save one frame of it as a picture"
    if image.format == "JPEG" and image.mode == "CMYK" and "adobe" not in image.info:
        return "is a CMYK JPEG file that does not say whether 0 or 255 is full ink; save it in RGB"
    if image.format == "TIFF":
        refusal = _tiff_refusal(image)
        if refusal:
            return refusal
    if image.mode in ("I", "F") and not _is_16_bit_gray(image):
        values = "floating-point values" if image.mode == "F" else "integers of 32 bits, or signed ones"
        return f"holds {values}, of which only you know what is white; scale them to 8 bits and save that as PNG"
    return ""


def _tiff_refusal(image: Image.Image) -> str:
    tags: Any = getattr(image, "tag_v2", {})
    if 2 in tags.get(339, ()) and image.mode not in ("I", "F"):
        return "holds signed integers, of which only you know what is white; scale them to 8 bits and save that as PNG"
    bits = max(tags.get(258, (1,)))
    if bits <= 8:
        return ""
    if image.mode in ("I", "F"):
        return ""  # told by the caller
    if bits != 16:
        return f"has {bits} bits in a channel, available: 1, 2, 4, 8, 16; save it as PNG"
    photometric = tags.get(262, 1)
    if photometric not in (1, 2):  # black is zero, RGB
        return (
            f"is of TIFF's photometric interpretation {photometric} with 16 bits in a channel, which is not read; "
            "save it in RGB or gray"
        )
    if 1 in tags.get(338, ()):
        return "has 16 bits in a channel, multiplied with the alpha; save it without alpha"
    return ""


def _eight_bits(image: Image.Image) -> Image.Image:
    """Pillow's own `convert` would make white of all above 255. Colors of 16 bits it reads without their low byte."""
    if not _is_16_bit_gray(image):
        return image
    return Image.fromarray((np.asarray(image) >> 8).astype(np.uint8))


def _orientation(image: Image.Image) -> int:
    """Of a loaded image. Pillow has turned TIFF files then."""
    try:
        orientation = image.getexif().get(ExifTags.Base.Orientation)
    except Exception:  # a damaged EXIF block is none
        return 1
    return orientation if isinstance(orientation, int) else 1


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
