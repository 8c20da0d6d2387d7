"""Draws what was found on a picture: masks, boxes, keypoints, and labels with names and scores."""

from __future__ import annotations

import colorsys
from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
from PIL import Image, ImageDraw, ImageFont

__all__ = ["colour", "draw"]

Array = npt.NDArray[Any]
Colour = tuple[int, int, int]
Rectangle = tuple[float, float, float, float]

MASK_SHARE = 0.45  # of the colour, in a mask
STUFF_SHARE = 0.35
# The joints of COCO's 17 keypoints of persons, between which limbs are drawn.
LIMBS = (
    *((15, 13), (13, 11), (16, 14), (14, 12), (11, 12), (5, 11), (6, 12), (5, 6), (5, 7), (6, 8), (7, 9), (8, 10)),
    *((0, 1), (0, 2), (1, 3), (2, 4), (3, 5), (4, 6)),
)
LEAST_POINT = 0.05  # probability of a keypoint that is drawn


def colour(number: int, instance: int = 0) -> Colour:
    """A class's colour; its instances have shades of it.

    Hues go on by the golden ratio: those of any first classes are far apart.
    """
    hue = (0.58 + number * 0.618034) % 1
    saturation, value = ((0.85, 0.95), (0.6, 1.0), (0.95, 0.75), (0.7, 0.85))[instance % 4]
    r, g, b = colorsys.hsv_to_rgb(hue, saturation, value)
    return round(r * 255), round(g * 255), round(b * 255)


def draw(image: Array, found: dict[str, Any], names: Sequence[str], stuff_names: Sequence[str]) -> Array:
    """The picture with what was found on it.

    Args:
        image: (H, W, 3) RGB uint8; stays as it is.
        found: as `Detector.predict` gives it.
        names: of the classes, as far as they are known.
        stuff_names: of the classes of stuff.

    Returns:
        (H, W, 3) RGB uint8.
    """
    canvas = np.array(image)
    stuff = _paint_stuff(canvas, found, stuff_names)
    if "class_map" in found:
        picture = Image.fromarray(canvas)
        pen = _Pen(picture)
        for text, at in stuff:
            pen.label(text, at, (70, 70, 70))
        return np.asarray(picture)
    classes = found["classes"].tolist() if "classes" in found else [0] * len(found["boxes"])
    seen: dict[int, int] = {}
    colours = []
    for number in classes:
        colours.append(colour(number, seen.get(number, 0)))
        seen[number] = seen.get(number, 0) + 1
    if "masks" in found and len(classes):
        _paint_masks(canvas, found, colours)
    picture = Image.fromarray(canvas)
    pen = _Pen(picture)
    order = np.argsort(found["scores"], kind="stable").tolist()  # the best on top
    for i in order:
        pen.box(found["boxes"][i].tolist(), colours[i])
        if "keypoints" in found:
            pen.keypoints(found["keypoints"][i], colours[i])
    for text, at in stuff:
        pen.label(text, at, (70, 70, 70))
    if "classes" in found:  # proposals have no names, and are many
        for i in reversed(order):
            name = names[classes[i]] if 0 <= classes[i] < len(names) else f"class {classes[i]}"
            pen.label(f"{name} {found['scores'][i]:.2f}", _top_left(found["boxes"][i].tolist()), colours[i])
    return np.asarray(picture)


def _paint_stuff(canvas: Array, found: dict[str, Any], names: Sequence[str]) -> list[tuple[str, tuple[float, float]]]:
    """Colours the segments of stuff, and gives a label and its place for each."""
    labels = []
    stuff = [
        (s["category_id"], found["panoptic_map"] == s["id"]) for s in found.get("segments", ()) if not s["isthing"]
    ]
    if "class_map" in found:
        stuff = [(number, found["class_map"] == number) for number in np.unique(found["class_map"]).tolist()]
    for number, inside in stuff:
        _blend(canvas, inside, colour(number + 7, 1), STUFF_SHARE)  # +7: not the colours of the first things
        rows, columns = np.nonzero(inside)
        if len(rows):
            middle = len(rows) // 2  # in the order of the rows: a pixel of it at half its area
            text = names[number] if 0 <= number < len(names) else f"stuff {number}"
            labels.append((text, (float(columns[middle]), float(rows[middle]))))
    return labels


def _paint_masks(canvas: Array, found: dict[str, Any], colours: Sequence[Colour]) -> None:
    """Colours the masks, the larger ones first, and draws their outlines."""
    from d2deploy._ext import paste_masks

    height, width = canvas.shape[:2]
    thick = max(1, round(min(height, width) / 500))
    boxes = found["boxes"]
    areas = (boxes[:, 2] - boxes[:, 0]) * (boxes[:, 3] - boxes[:, 1])
    for i in np.argsort(-areas, kind="stable").tolist():
        mask = paste_masks(found["masks"][i : i + 1], boxes[i : i + 1], height, width)[0]
        rows, columns = np.flatnonzero(mask.any(1)), np.flatnonzero(mask.any(0))
        if not len(rows):
            continue
        part = slice(rows[0], rows[-1] + 1), slice(columns[0], columns[-1] + 1)
        _blend(canvas[part], mask[part], colours[i], MASK_SHARE)
        _blend(canvas[part], _outline(mask[part], thick), colours[i], 0.9)


def _outline(mask: Array, thick: int) -> Array:
    """The pixels of a mask that are fewer than `thick` + 1 steps from its border."""
    inner = np.pad(mask, 1)
    for _ in range(thick):
        core = inner[1:-1, 1:-1] & inner[:-2, 1:-1] & inner[2:, 1:-1] & inner[1:-1, :-2] & inner[1:-1, 2:]
        inner = np.pad(core, 1)
    outline: Array = mask & ~inner[1:-1, 1:-1]
    return outline


def _blend(canvas: Array, where: Array, paint: Colour, share: float) -> None:
    """canvas = (1 - share) canvas + share paint, in place."""
    canvas[where] = (canvas[where] * (1 - share) + np.array(paint) * share + 0.5).astype(np.uint8)


def _corners(box: Sequence[float]) -> list[tuple[float, float]]:
    """The corners of a box x1 y1 x2 y2, or of a rotated one cx cy w h angle, counter-clockwise degrees."""
    if len(box) == 4:
        x1, y1, x2, y2 = box
        return [(x1, y1), (x2, y1), (x2, y2), (x1, y2)]
    cx, cy, w, h, angle = box
    c, s = np.cos(np.radians(angle)), np.sin(np.radians(angle))
    steps = [(-w / 2, -h / 2), (w / 2, -h / 2), (w / 2, h / 2), (-w / 2, h / 2)]
    return [(float(cx + c * x + s * y), float(cy - s * x + c * y)) for x, y in steps]


def _top_left(box: Sequence[float]) -> tuple[float, float]:
    corners = _corners(box)
    return min(x for x, _ in corners), min(y for _, y in corners)


class _Pen:
    """Draws on a picture, with lines and letters as large as suits it."""

    def __init__(self, picture: Image.Image) -> None:
        self.canvas = ImageDraw.Draw(picture)
        self.width, self.height = picture.size
        shorter = min(picture.size)
        self.line = max(1, round(shorter / 250))
        self.font = ImageFont.load_default(min(max(shorter / 32, 10), 40))
        self.labels: list[Rectangle] = []

    def box(self, box: Sequence[float], paint: Colour) -> None:
        corners = _corners(box)
        self.canvas.line([*corners, *corners[:2]], fill=paint, width=self.line, joint="curve")

    def keypoints(self, points: Array, paint: Colour) -> None:
        """Rows x, y, logit, probability."""
        seen = points[:, 3] >= LEAST_POINT
        places = [tuple(xy) for xy in points[:, :2].tolist()]
        if len(places) == 17:
            for a, b in LIMBS:
                if seen[a] and seen[b]:
                    self.canvas.line([places[a], places[b]], fill=paint, width=self.line + 1)
        for (x, y), shown in zip(places, seen.tolist(), strict=True):
            if shown:
                self.canvas.circle((x, y), self.line + 1.5, fill=paint, outline=(255, 255, 255))

    def label(self, text: str, at: tuple[float, float], paint: Colour) -> None:
        """A name on its colour, above a place or where else there is room near it, inside of the picture."""
        left, top, right, bottom = self.canvas.textbbox((0, 0), text, font=self.font)
        margin = self.line + 1
        width, height = right - left + 2 * margin, bottom - top + 2 * margin
        x = min(max(at[0], 0), max(self.width - width, 0))
        start = at[1] - height if at[1] >= height else at[1]
        wanted = [start, *(start + side * step * height for step in range(1, 5) for side in (1, -1))]
        inside = [min(max(y, 0), max(self.height - height, 0)) for y in wanted]
        free = (y for y in inside if not any(_overlap((x, y, x + width, y + height), other) for other in self.labels))
        y = next(free, inside[0])
        place = x, y, x + width, y + height
        self.labels.append(place)
        self.canvas.rounded_rectangle(place, radius=margin, fill=paint)
        light = 0.299 * paint[0] + 0.587 * paint[1] + 0.114 * paint[2]
        letters = (0, 0, 0) if light > 140 else (255, 255, 255)
        self.canvas.text((x + margin - left, y + margin - top), text, font=self.font, fill=letters)


def _overlap(a: Rectangle, b: Rectangle) -> bool:
    return a[0] < b[2] and b[0] < a[2] and a[1] < b[3] and b[1] < a[3]
