"""Pictures that clients send, and what was found in them as JSON, as tensors, and drawn."""

from __future__ import annotations

import base64
import io
import json
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
from PIL import Image, UnidentifiedImageError

from d2deploy.drawing import draw
from d2deploy.errors import InvalidArgument
from d2deploy.images import read_image, resized_shape
from d2deploy.results import class_name, instances, run_lengths
from d2deploy.serving.errors import TooLarge
from d2deploy.serving.settings import Limits
from d2deploy.serving.tensors import Tensor, datatype_of

__all__ = ["as_json", "as_tensors", "drawn", "read_picture"]

Array = npt.NDArray[Any]
Found = Mapping[str, Any]
# Readers of other formats run programs, or are seldom looked at.
FORMATS = ("BMP", "GIF", "JPEG", "PNG", "PPM", "TIFF", "WEBP")


def read_picture(data: bytes, rule: Mapping[str, Any], limits: Limits) -> npt.NDArray[np.uint8]:
    """The pixels of a picture.

    Args:
        data: its file.
        rule: `Detector.input` of the model that will see it.
        limits: looked at before it is decoded: a small file may claim any size.

    Returns:
        (H, W, 3) RGB.

    Raises:
        InvalidArgument: it is none, or damaged.
        TooLarge: it has too many pixels, as it is or as the model resizes it.
    """
    try:
        with Image.open(io.BytesIO(data), formats=FORMATS) as image:
            width, height = image.size
    except UnidentifiedImageError as error:
        raise InvalidArgument(f"the picture is in none of the formats {', '.join(FORMATS)}") from error
    except (Image.DecompressionBombError, Image.DecompressionBombWarning) as error:
        raise TooLarge(f"the picture has more than {limits.pixels} pixels, which is the most that is taken") from error
    except Exception as error:  # readers of single formats raise what they like on damaged files
        raise InvalidArgument("the picture is damaged") from error
    check_pixels(height, width, rule, limits)
    return read_image(io.BytesIO(data), "RGB", formats=FORMATS)


def check_pixels(height: int, width: int, rule: Mapping[str, Any], limits: Limits) -> None:
    """Raises TooLarge where a picture of this size is too much for the server or the net."""
    if height * width > limits.pixels:
        raise TooLarge(f"the picture has {width} x {height} pixels, at most {limits.pixels} are taken")
    net_height, net_width = resized_shape(height, width, rule["min_size"], rule["max_size"])
    if net_height * net_width > limits.net_pixels:
        raise TooLarge(
            f"the net would see {net_width} x {net_height} pixels, at most {limits.net_pixels} are taken; send a "
            "smaller picture"
        )


def as_json(found: Found, names: Sequence[str], stuff_names: Sequence[str]) -> dict[str, Any]:
    """`width`, `height`, `instances`, and `sem_seg` or `panoptic` where the model has them.

    Args:
        found: as `Detector.predict` gives it.
        names: of the classes.
        stuff_names: of the classes of stuff.
    """
    height, width = found["image_size"]
    result: dict[str, Any] = {"width": width, "height": height, "instances": []}
    if "class_map" in found:
        classes, pixels = np.unique(found["class_map"], return_counts=True)
        rows = [
            {"id": number, "class_id": number, "class_name": class_name(stuff_names, number), "pixels": count}
            for number, count in zip(classes.tolist(), pixels.tolist())
        ]
        return {**result, "sem_seg": {"size": [height, width], "png": _png(found["class_map"]), "segments": rows}}
    result["instances"] = list(_instances(found, names))
    if "panoptic_map" in found:
        segments = [_segment(segment, names, stuff_names) for segment in found["segments"]]
        size = [height, width]
        result["panoptic"] = {"size": size, "png": _png(found["panoptic_map"]), "segments": segments}
    return result


def _instances(found: Found, names: Sequence[str]) -> list[dict[str, Any]]:
    lists = instances(found, names)
    scores = lists["scores"]
    numbers = lists.get("classes", [None] * len(scores))
    class_names = lists.get("class_names", ["proposal"] * len(scores))
    rows: list[dict[str, Any]] = [
        {"class_id": number, "class_name": name, "score": score, "box": box}
        for number, name, score, box in zip(numbers, class_names, scores, lists["boxes"])
    ]
    for key, column in (("mask", "masks"), ("keypoints", "keypoints")):
        for row, value in zip(rows, lists.get(column, ())):
            row[key] = value
    return rows


def _segment(segment: Mapping[str, Any], names: Sequence[str], stuff_names: Sequence[str]) -> dict[str, Any]:
    number, thing = int(segment["category_id"]), bool(segment["isthing"])
    name = class_name(names if thing else stuff_names, number)
    row: dict[str, Any] = {"id": int(segment["id"]), "class_id": number, "class_name": name, "isthing": thing}
    if "score" in segment:
        row["score"] = float(segment["score"])
    if "area" in segment:
        row["pixels"] = int(segment["area"])
    return row


def _png(numbers: Array) -> str:
    """A map of numbers as the picture that COCO's panoptic files have: number = R + 256 G + 65536 B; in base64."""
    digits = np.stack([numbers & 255, numbers >> 8 & 255, numbers >> 16 & 255], axis=2).astype(np.uint8)
    return base64.b64encode(_encoded(digits)).decode("ascii")


def _encoded(pixels: npt.NDArray[np.uint8]) -> bytes:
    out = io.BytesIO()
    Image.fromarray(pixels).save(out, "PNG", compress_level=3)
    return out.getvalue()


def drawn(pixels: Array, found: Found, names: Sequence[str], stuff_names: Sequence[str]) -> bytes:
    """The picture, (H, W, 3) RGB, with what was found on it, as PNG."""
    return _encoded(draw(pixels, dict(found), names, stuff_names))


def as_tensors(found: Found) -> list[Tensor]:
    """The outputs of the picture's form of a request."""
    arrays: dict[str, Array] = {"image_size": np.array(found["image_size"], np.int64)}
    arrays.update(
        {name: found[name] for name in ("boxes", "scores", "classes", "panoptic_map", "class_map") if name in found}
    )
    if "keypoints" in found:
        arrays["keypoints"] = np.ascontiguousarray(found["keypoints"][:, :, [0, 1, 3]])
    tensors = [Tensor(name, datatype_of(array), array.shape, array) for name, array in arrays.items()]
    texts = {}
    if "masks" in found:
        texts["masks"] = run_lengths(found)
    if "segments" in found:
        texts["segments"] = [json.dumps(_segment(segment, (), ())).encode() for segment in found["segments"]]
    return tensors + [Tensor(name, "BYTES", (len(rows),), rows) for name, rows in texts.items()]
