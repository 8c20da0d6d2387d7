"""A row of the output: what was found in one picture, or why nothing was."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from io import BytesIO
from typing import Any

import numpy as np
import pyarrow as pa
from PIL import Image

from d2deploy.batch.entries import Entry, utf8
from d2deploy.results import above, instances

__all__ = ["SCHEMA", "found_row", "row_of_error", "to_table"]

Row = dict[str, Any]
MOST_MESSAGE = 2000  # characters

MASK = pa.struct([("size", pa.list_(pa.int32())), ("counts", pa.string())])
SEGMENT = pa.struct(
    [
        ("id", pa.int32()),
        ("isthing", pa.bool_()),
        ("category_id", pa.int32()),
        ("score", pa.float32()),
        ("instance_id", pa.int32()),
        ("area", pa.float64()),
    ]
)
# All columns are there whatever the model gives; those that it does not give are null. docs/batch.md tells them.
SCHEMA = pa.schema(
    [
        ("id", pa.string()),
        ("path", pa.string()),
        ("path_bytes", pa.binary()),
        ("width", pa.int32()),
        ("height", pa.int32()),
        ("boxes", pa.list_(pa.list_(pa.float32()))),
        ("scores", pa.list_(pa.float32())),
        ("classes", pa.list_(pa.int32())),
        ("class_names", pa.list_(pa.string())),
        ("masks", pa.list_(MASK)),
        ("keypoints", pa.list_(pa.list_(pa.list_(pa.float32())))),
        ("class_map_png", pa.binary()),
        ("panoptic_png", pa.binary()),
        ("segments", pa.list_(SEGMENT)),
        ("milliseconds", pa.float32()),
        ("error", pa.struct([("kind", pa.string()), ("message", pa.string())])),
    ]
)


def _start(entry: Entry) -> Row:
    path = utf8(entry.name)
    row: Row = {"id": None if entry.id is None else utf8(entry.id), "path": path}
    if path != entry.name:
        try:
            row["path_bytes"] = os.fsencode(entry.name)
        except UnicodeEncodeError:  # a manifest's, which names no file
            row["path_bytes"] = entry.name.encode("utf-8", "surrogatepass")
    return row


def found_row(entry: Entry, found: Mapping[str, Any], threshold: float, names: Sequence[str]) -> Row:
    """The row of a picture.

    Args:
        entry: the picture.
        found: as `Detector.predict` gives it.
        threshold: least score of the instances that are kept.
        names: of the classes, as far as they are known.
    """
    row = _start(entry)
    row["height"], row["width"] = found["image_size"]
    row |= instances(above(dict(found), threshold), names)
    if "class_map" in found:
        row["class_map_png"] = _gray_png(found["class_map"])
    if "panoptic_map" in found:
        row["panoptic_png"] = _rgb_png(found["panoptic_map"])
        row["segments"] = found["segments"]
    return row


def row_of_error(entry: Entry, kind: str, message: str, size: tuple[int, int] | None = None) -> Row:
    """The row of a picture in which nothing could be found; its height and width, where it could be read."""
    row = _start(entry)
    if size:
        row["height"], row["width"] = size
    return row | {"error": {"kind": kind, "message": utf8(message)[:MOST_MESSAGE]}}


def to_table(rows: Sequence[Row]) -> pa.Table:
    return pa.Table.from_pylist(list(rows), schema=SCHEMA)


def _gray_png(numbers: Any) -> bytes:
    """A map of classes as a picture of 8 bits, or of 16 where there are more than 256 of them."""
    return _png(Image.fromarray(numbers.astype(np.uint8 if numbers.max(initial=0) < 256 else np.uint16)))


def _rgb_png(numbers: Any) -> bytes:
    """A map of segments as COCO has it: id = red + 256 green + 65536 blue."""
    return _png(Image.fromarray(np.stack([numbers >> shift & 255 for shift in (0, 8, 16)], axis=2).astype(np.uint8)))


def _png(image: Image.Image) -> bytes:
    out = BytesIO()
    image.save(out, "png", compress_level=1)  # maps of few values: higher levels take much longer and save little
    return out.getvalue()
