"""Annotations of objects as COCO has them, checked one by one, and repaired where it is clear what was meant."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from .checks import FAR, Findings, is_number, quoted
from .records import Record, typed
from .segmentations import Fault, checked_polygons, checked_rle, extent, mask_area, mask_box

__all__ = ["checked_annotations", "place"]

Annotation = dict[str, Any]

WANTED: dict[str, tuple[type, ...]] = {"image_id": (int, str), "category_id": (int,)}
# What a bbox and the box of its mask must have in common, as IoU; a pixel more or less is no difference.
LEAST_COMMON = 0.5
# COCO's metric counts no objects that are larger.
LARGEST = 1e10
CROWD = {None: 0, "0": 0, "1": 1}  # what stands for what COCO wants, 0 or 1


def place(i: int, annotation: Any) -> str:
    """How an annotation is named: by its number in the file, and its id."""
    key = annotation.get("id") if isinstance(annotation, dict) else None
    return f"annotations[{i}] (id {quoted(key)})" if type(key) in (int, str) else f"annotations[{i}]"


def checked_annotations(
    items: list[Any], images: Mapping[int | str, Record], categories: Mapping[int, Any], findings: Findings
) -> list[Annotation]:
    """The annotations, with what COCO's metric needs and nothing else, numbered from 1.

    Numbered anew, since the metric takes the id 0 for "no match", and some of COCO's own files use an id twice.

    Args:
        items: what stands in the file.
        images: by id.
        categories: by id.
        findings: where faults and repairs are noted.

    Returns:
        `id`, `image_id`, `category_id`, `bbox`, `area`, `iscrowd` 0 or 1, and where annotated `segmentation` (polygons
        of at least three corners, or compressed run lengths), `keypoints` and `num_keypoints`.
    """
    seen = _Seen(findings)
    points = {key: _number_of_keypoints(category) for key, category in categories.items()}
    right = []
    for i, item in enumerate(items):
        where = place(i, item)
        if not typed(item, where, WANTED, findings):
            continue
        if item["category_id"] not in categories:
            findings.fault(f"{where} has category_id {quoted(item['category_id'])}, which is not a category")
        elif item["image_id"] not in images:
            findings.fault(f"{where} has image_id {quoted(item['image_id'])}, which is not an image")
        else:
            reading = _Reading(item, where, images[item["image_id"]], findings)
            try:
                right.append({"id": i + 1, **reading.annotation(points[item["category_id"]])})
            except Fault as fault:
                findings.fault(f"{where} has {fault}")
                continue
            seen.add(item, right[-1], where)
    return right


def _number_of_keypoints(category: Any) -> int | None:
    names = category.get("keypoints")
    return len(names) if isinstance(names, list) and names else None


class _Seen:
    """What annotations before were, to note what is there twice."""

    def __init__(self, findings: Findings) -> None:
        self._findings = findings
        self._ids: set[int | str] = set()
        self._objects: set[tuple[Any, ...]] = set()

    def add(self, item: Annotation, checked: Annotation, where: str) -> None:
        key = item.get("id")
        same = *(checked[part] for part in ("image_id", "category_id", "iscrowd")), *checked["bbox"]
        if not isinstance(key, (int, str)) or isinstance(key, bool):
            self._findings.repair("no id, or one that is neither a whole number nor text, numbered anew", where)
        else:
            if key in self._ids:
                self._findings.repair("an id that another annotation has, numbered anew", where)
            self._ids.add(key)
        if same in self._objects:
            self._findings.repair("an annotation of the class and with the bbox of another one, kept", where)
        self._objects.add(same)


class _Reading:
    """One annotation while it is checked."""

    def __init__(self, item: dict[str, Any], where: str, image: Record, findings: Findings) -> None:
        self._item, self._where, self._findings = item, where, findings
        self._size = image["height"], image["width"]

    def annotation(self, number_of_keypoints: int | None) -> Annotation:
        segmentation = self._segmentation()
        box = self._box(segmentation)
        checked: Annotation = {
            "image_id": self._item["image_id"],
            "category_id": self._item["category_id"],
            "bbox": box,
            "area": self._area(segmentation, box),
            "iscrowd": self._crowd(),
        }
        if segmentation is not None:
            checked["segmentation"] = segmentation
        keypoints = self._keypoints(number_of_keypoints)
        if keypoints is not None:
            checked |= {"keypoints": keypoints, "num_keypoints": self._labelled(keypoints)}
        return checked

    def _repair(self, kind: str) -> None:
        self._findings.repair(kind, self._where)

    def _segmentation(self) -> Any:
        """None where there is none: no value, or an empty one."""
        found = self._item.get("segmentation")
        if found is None or found in ([], {}, [[]]):
            return None
        if isinstance(found, dict):
            return checked_rle(found, self._size)
        if not isinstance(found, list):
            raise Fault(f"segmentation {quoted(found)}, wanted a list of polygons, or an RLE")
        polygons, repairs = checked_polygons(found, self._size)
        for repair in repairs:
            self._repair(repair)
        return polygons

    def _box(self, segmentation: Any) -> list[float]:
        box = self._item.get("bbox")
        if box is None and segmentation is not None:
            self._repair("no bbox, that of the mask taken")
            return mask_box(segmentation, self._size)
        if not isinstance(box, list) or len(box) != 4 or not all(map(is_number, box)):
            raise Fault(f"the bbox {quoted(box)}, wanted four numbers: x, y, width, height")
        if min(box[2:]) < 0:
            raise Fault(f"the bbox {quoted(box)} of negative size, wanted x, y, width, height")
        if 0 in box[2:]:
            self._repair("a bbox without area, which nothing can match")
        elif box[0] >= self._size[1] or box[1] >= self._size[0] or box[0] + box[2] <= 0 or box[1] + box[3] <= 0:
            self._repair("a bbox outside of its picture, which nothing can match")
        elif self._outside(box[:2]) or self._outside([box[0] + box[2], box[1] + box[3]]):
            self._repair("a bbox that reaches outside of its picture, kept; wanted x, y, width, height")
        elif max(box[2:]) < 1:
            self._repair("a bbox smaller than a pixel, kept; wanted pixels, and not parts of the picture's size")
        elif segmentation is not None:
            self._compare(box, segmentation)
        return box

    def _outside(self, point: list[float]) -> bool:
        """Whether x, y lie outside of the picture, by more than a pixel."""
        height, width = self._size
        return not (-1 <= point[0] <= width + 1 and -1 <= point[1] <= height + 1)

    def _compare(self, box: list[float], segmentation: Any) -> None:
        """Notes a mask that is elsewhere than its bbox: AP of one of both is wrong then."""
        of_mask = extent(segmentation, self._size)
        if of_mask is None:
            self._repair("a mask without a pixel, which nothing can match")
        elif _iou(box, of_mask) < LEAST_COMMON:
            self._repair("a bbox that is not around its mask, both kept; wanted x, y, width, height")

    def _area(self, segmentation: Any, box: list[float]) -> float:
        area = self._item.get("area")
        if is_number(area, LARGEST) and area >= 0:
            if area < 1 and min(box[2:]) > 3:
                self._repair("an area below one pixel in spite of the bbox, kept, so that it counts among the small")
            elif area > (box[2] + 2) * (box[3] + 2):
                self._repair("an area larger than the bbox, kept")
            return area
        if area is not None and type(area) not in (int, float):
            raise Fault(f"area {quoted(area)}, wanted a number of pixels")
        by = "mask" if segmentation is not None else "bbox"
        self._repair(f"no area, or one that cannot be (below 0, too large, not a number), computed from the {by}")
        return mask_area(segmentation, self._size) if segmentation is not None else box[2] * box[3]

    def _crowd(self) -> int:
        crowd = self._item.get("iscrowd", 0)
        if type(crowd) is int and crowd in (0, 1):
            return crowd
        if type(crowd) in (bool, float) and crowd in (0, 1):
            self._repair("an iscrowd that is true, false, 0.0 or 1.0, taken as 0 or 1")
            return int(crowd)
        if crowd is None or (isinstance(crowd, str) and crowd in CROWD):
            self._repair("an iscrowd that is null, '0' or '1', taken as 0 or 1")
            return CROWD[crowd]
        raise Fault(f"iscrowd {quoted(crowd)}, wanted 0 or 1")

    def _keypoints(self, number: int | None) -> list[float] | None:
        points = self._item.get("keypoints")
        if points is None or points == []:
            return None
        if not isinstance(points, list) or not all(map(is_number, points)):
            raise Fault(f"keypoints {quoted(points)}, wanted a list of finite numbers, at most {FAR:g}")
        if len(points) % 3 or (number is not None and len(points) != 3 * number):
            wanted = "x, y, visibility of each" if number is None else f"{3 * number}, as its category has {number}"
            raise Fault(f"{len(points)} numbers as keypoints, wanted {wanted}")
        strange = [visibility for visibility in points[2::3] if visibility not in (0, 1, 2)]
        if strange:
            raise Fault(f"a keypoint of visibility {quoted(strange[0])}, wanted 0 (not labelled), 1 or 2")
        if any(self._outside(points[k : k + 2]) for k in range(0, len(points), 3) if points[k + 2]):
            self._repair("labelled keypoints outside of their picture, kept")
        return points

    def _labelled(self, keypoints: list[float]) -> int:
        labelled = sum(visibility > 0 for visibility in keypoints[2::3])
        found = self._item.get("num_keypoints")
        if type(found) is not int or found != labelled:
            self._repair("no num_keypoints, or another number than are labelled, counted")
        return labelled


def _iou(one: list[float], other: list[float]) -> float:
    """Of two boxes x, y, width, height, each a pixel larger on all sides."""
    common = 1.0
    for k in (0, 1):
        low, high = max(one[k], other[k]) - 1, min(one[k] + one[k + 2], other[k] + other[k + 2]) + 1
        common *= max(high - low, 0.0)
    areas = [(width + 2) * (height + 2) for _, _, width, height in (one, other)]
    return common / (sum(areas) - common)
