"""Masks as COCO's files have them, polygons or run lengths, checked before pycocotools computes with them.

pycocotools trusts them: lengths that do not add up to the picture never end, and it takes memory for every point of an
outline, wherever that lies.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
from pycocotools import mask as rle_code

from .checks import FAR, is_number, quoted

__all__ = ["Fault", "checked_polygons", "checked_rle", "extent", "mask_area", "mask_box", "to_rle"]

Rle = dict[str, Any]  # size [height, width], counts as compressed text
Polygons = list[list[float]]  # x, y in turn, in pixels
Size = tuple[int, int]  # height, width

# An outline is at most so many times as long as the picture's height and width: all that is drawn by hand or made from
# masks is far shorter. pycocotools takes 80 bytes for each of its pixels.
OUTLINES = 100
LONGEST = 5_000_000  # pixels
# Characters of a compressed length, 5 bits each: enough for differences of 32 bits.
MOST_CHARACTERS = 7
# Masks that are united at once: as many at a time as the whole costs least.
MERGED = 8


class Fault(Exception):  # noqa: N818  # not an error by itself: who knows the annotation's place tells it
    """What is wrong with a segmentation."""


def checked_polygons(polygons: list[Any], size: Size) -> tuple[Polygons, list[str]]:
    """Polygons that pycocotools can draw, and what had to be put right for it.

    Args:
        polygons: what stands in the file, not empty.
        size: of the picture.

    Raises:
        Fault: it cannot be put right.
    """
    repairs = []
    if all(is_number(value) for value in polygons):
        repairs.append("a segmentation that is one flat list of numbers, taken as one polygon")
        polygons = [polygons]
    if not all(isinstance(polygon, list) for polygon in polygons):
        raise Fault(f"segmentation {quoted(polygons)}, wanted a list of polygons [x1, y1, x2, y2, ...], or an RLE")
    pairs = [isinstance(value, list) for polygon in polygons for value in polygon]
    if any(pairs) or (len(polygons) > 2 and all(len(polygon) == 2 for polygon in polygons)):
        raise Fault(f"segmentation {quoted(polygons)} with points as lists, wanted [[x1, y1, x2, y2, ...], ...]")
    outside = False
    for polygon in polygons:
        outside |= _check_polygon(polygon, size)
    drawn = [polygon for polygon in polygons if len(polygon) >= 6]
    if len(drawn) < len(polygons):
        repairs.append("polygons of fewer than three corners, which cover no pixel, left out")
    if outside:
        repairs.append("polygons that reach outside of their picture, cut at its border")
    return drawn, repairs


def _check_polygon(polygon: list[Any], size: Size) -> bool:
    """Whether corners lie outside of the picture, by more than a pixel."""
    strange = [value for value in polygon if not is_number(value)]
    if strange:
        raise Fault(f"a polygon with {quoted(strange[0])}, wanted numbers of pixels, finite and at most {FAR:g}")
    if len(polygon) % 2:
        raise Fault(f"a polygon of {len(polygon)} numbers, wanted an even number: x1, y1, x2, y2, ...")
    if not polygon:
        return False
    corners = np.array(polygon, np.float64).reshape(-1, 2)
    outline = float(np.abs(corners - np.roll(corners, 1, axis=0)).max(axis=1).sum())
    longest = min(OUTLINES * sum(size), LONGEST)
    farthest = corners.flat[np.abs(corners).argmax()]
    if max(outline, abs(farthest)) > longest:
        raise Fault(
            f"a polygon with an outline of {outline:.0f} pixels that reaches {farthest:.0f}, wanted at most {longest} "
            f"in a picture of {size[0]} x {size[1]} pixels"
        )
    return bool((corners < -1).any() or (corners > np.array(size[::-1]) + 1).any())


def checked_rle(segmentation: dict[str, Any], size: Size) -> Rle:
    """Run lengths, checked and compressed.

    Args:
        segmentation: what stands in the file: size, and counts as a list or as compressed text.
        size: of the picture.

    Raises:
        Fault: they are not the run lengths of a mask of that size.
    """
    found, counts = segmentation.get("size"), segmentation.get("counts")
    if found != [*size] or not all(type(side) is int for side in found):
        raise Fault(f"an RLE of size {quoted(found)}, wanted its picture's, [{size[0]}, {size[1]}] (height, width)")
    if isinstance(counts, list):
        runs = _listed(counts)
    elif isinstance(counts, str):
        runs = _decompressed(counts)
    else:
        raise Fault(f"an RLE with counts {quoted(counts)}, wanted a list of lengths, or compressed text")
    pixels = size[0] * size[1]
    negative = np.flatnonzero((runs < 0) | (runs > pixels))
    if len(negative):
        raise Fault(f"an RLE with the length {runs[negative[0]]}, wanted 0 to {pixels}, its picture's pixels")
    covered = int(runs.sum())
    if covered != pixels:
        raise Fault(f"an RLE whose lengths add up to {covered} pixels, wanted {pixels}, as the picture has")
    if isinstance(counts, str) and runs[1:].all():
        return {"size": [*size], "counts": counts}
    compressed = rle_code.frPyObjects({"size": [*size], "counts": _without_zeros(runs).tolist()}, *size)
    return {"size": [*size], "counts": compressed["counts"].decode("ascii")}


def _listed(counts: list[Any]) -> npt.NDArray[np.int64]:
    strange = [count for count in counts if type(count) is not int or not is_number(count)]
    if strange:
        raise Fault(f"an RLE with the length {quoted(strange[0])}, wanted whole numbers of pixels, at most {FAR:g}")
    return np.array(counts, np.int64)


def _decompressed(counts: str) -> npt.NDArray[np.int64]:
    """The lengths of COCO's compressed text.

    A character holds 5 bits, the lowest first, and one bit that says whether more follow; the highest bit of all is the
    sign. From the fourth on a length is told by its difference to the last but one.
    """
    codes = np.frombuffer(counts.encode("ascii", "ignore"), np.uint8).astype(np.int64) - ord("0")
    if not counts.isascii() or (codes < 0).any() or (codes > 0x3F).any() or (len(codes) and codes[-1] & 0x20):
        raise Fault(f"an RLE with counts {quoted(counts)}, which is not COCO's compressed text")
    last = np.flatnonzero((codes & 0x20) == 0)
    first = np.concatenate([[0], last[:-1] + 1]) if len(last) else last
    if len(last) and (last - first).max() >= MOST_CHARACTERS:
        raise Fault(f"an RLE with counts {quoted(counts)}, where a length has more than {MOST_CHARACTERS} characters")
    place = np.arange(len(codes)) - np.repeat(first, last - first + 1)
    parts = (codes & 0x1F) << (5 * place)
    runs: npt.NDArray[np.int64] = np.add.reduceat(parts, first) if len(first) else parts
    runs -= (codes[last] & 0x10) // 0x10 << (5 * (last - first + 1))
    runs[1::2] = np.cumsum(runs[1::2])
    runs[2::2] = np.cumsum(runs[2::2])
    return runs


def _without_zeros(runs: npt.NDArray[np.int64]) -> npt.NDArray[np.int64]:
    """The same mask without runs of no pixels, but for the first: pycocotools stops at some of them."""
    places, turns = np.unique(np.cumsum(runs)[:-1], return_counts=True)
    pixels = int(runs.sum())
    kept = places[(turns % 2 == 1) & (places < pixels)]
    lengths: npt.NDArray[np.int64] = np.diff(np.concatenate([[0], kept, [pixels]]))
    return lengths


def to_rle(segmentation: Rle | Polygons, size: Size) -> Rle:
    """Run lengths of what was checked."""
    if isinstance(segmentation, dict):
        return segmentation
    rles = [rle_code.frPyObjects([polygon], *size)[0] for polygon in segmentation]
    if not rles:
        rles = [rle_code.frPyObjects({"size": [*size], "counts": [size[0] * size[1]]}, *size)]
    while len(rles) > 1:  # one after the other would take time with the square of their number
        rles = [rle_code.merge(rles[i : i + MERGED]) for i in range(0, len(rles), MERGED)]
    return {"size": [*size], "counts": rles[0]["counts"].decode("ascii")}


def mask_area(segmentation: Rle | Polygons, size: Size) -> float:
    """In pixels."""
    return float(rle_code.area(to_rle(segmentation, size)))


def mask_box(segmentation: Rle | Polygons, size: Size) -> list[float]:
    """x, y, width, height."""
    box: list[float] = rle_code.toBbox(to_rle(segmentation, size)).tolist()
    return box


def extent(segmentation: Rle | Polygons, size: Size) -> list[float] | None:
    """x, y, width, height of a mask, of polygons by their corners, which is fast; None where no pixel is covered."""
    if isinstance(segmentation, dict):
        box = mask_box(segmentation, size)
        return box if box[2] else None
    sides = []
    for k, end in ((0, size[1]), (1, size[0])):
        values = [value for polygon in segmentation for value in polygon[k::2]]
        sides.append((max(min(values, default=end), 0.0), min(max(values, default=0.0), end)))
    (left, right), (top, bottom) = sides
    return [left, top, right - left, bottom - top] if left < right and top < bottom else None
