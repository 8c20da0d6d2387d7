"""What was found in a picture as plain numbers and texts, and as COCO results.

Needs the standard library alone, for masks the compiled module.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

__all__ = ["above", "class_name", "coco_results", "instances", "run_lengths"]

ROWS = ("boxes", "scores", "classes", "masks", "keypoints")  # of what `Detector.predict` gives: a row per instance


def above(found: dict[str, Any], threshold: float) -> dict[str, Any]:
    """What has at least that score; of proposals, whose scores are no probabilities, and of classes of pixels, all."""
    if "classes" not in found:
        return found
    kept = found["scores"] >= threshold
    return {name: value[kept] if name in ROWS else value for name, value in found.items()}


def class_name(names: Sequence[str], number: int) -> str:
    return names[number] if 0 <= number < len(names) else f"class {number}"


def run_lengths(found: Mapping[str, Any]) -> list[bytes]:
    """COCO's codes of the masks, at the size of the picture."""
    from d2deploy._ext import encode_masks

    height, width = found["image_size"]
    return encode_masks(found["masks"], found["boxes"], height, width)


def instances(found: Mapping[str, Any], names: Sequence[str]) -> dict[str, list[Any]]:
    """The instances of one picture, in lists of equal length.

    Args:
        found: as `Detector.predict` gives it.
        names: of the classes, as far as they are known.

    Returns:
        `boxes`: x1 y1 x2 y2, or cx cy width height angle, in pixels of the picture; `scores`; `classes` and
        `class_names`, not for proposals; where the model gives them `masks`, COCO's run lengths {"size": [height,
        width], "counts"}, and `keypoints`, for each x y probability. Nothing where classes of pixels are told.
    """
    if "boxes" not in found:
        return {}
    lists: dict[str, list[Any]] = {"boxes": found["boxes"].tolist(), "scores": found["scores"].tolist()}
    if "classes" in found:
        lists["classes"] = found["classes"].tolist()
        lists["class_names"] = [class_name(names, number) for number in lists["classes"]]
    if "masks" in found:
        size = list(found["image_size"])
        lists["masks"] = [{"size": size, "counts": counts.decode("ascii")} for counts in run_lengths(found)]
    if "keypoints" in found:
        lists["keypoints"] = found["keypoints"][:, :, [0, 1, 3]].tolist()
    return lists


def coco_results(lists: Mapping[str, Sequence[Any] | None], image_id: int, file_name: str) -> list[dict[str, Any]]:
    """Instances as COCO results, as Detectron2 writes them.

    Args:
        lists: as `instances` gives them; what is None or missing is in no result.
        image_id: the picture's.
        file_name: the picture's.

    Returns:
        `bbox` is x y width height, of rotated boxes cx cy width height angle; keypoints are moved by -0.5, to the
        centres of pixels; proposals have no category.
    """
    results: list[dict[str, Any]] = []
    for box, score in zip(lists["boxes"] or (), lists["scores"] or (), strict=True):
        x, y, *size = box
        bbox = [x, y, size[0] - x, size[1] - y] if len(size) == 2 else [*box]
        results.append({"image_id": image_id, "file_name": file_name, "bbox": bbox, "score": score})
    for key, name in (("category_id", "classes"), ("category_name", "class_names"), ("segmentation", "masks")):
        for result, value in zip(results, lists.get(name) or ()):
            result[key] = value
    for result, points in zip(results, lists.get("keypoints") or ()):
        result["keypoints"] = [value for x, y, score in points for value in (x - 0.5, y - 0.5, score)]
    return results
