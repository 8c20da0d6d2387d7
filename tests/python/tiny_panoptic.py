"""A data set in COCO's panoptic format made of arrays, and the panoptic quality by its definition, pixel by pixel."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from png import write_png

Map = npt.NDArray[np.int64]
Segments = dict[int, dict[str, Any]]  # id -> category_id, and iscrowd where annotated

# Ids neither start at 1 nor stand in order: things 3, 7; stuff 20, 40.
CATEGORIES: list[dict[str, Any]] = [
    {"id": 40, "name": "grass", "isthing": 0},
    {"id": 7, "name": "star", "isthing": 1},
    {"id": 20, "name": "sky", "isthing": 0},
    {"id": 3, "name": "disc", "isthing": 1},
]
# What a model calls them: things from 0, stuff from 1.
MODEL_CLASS = {3: (True, 0), 7: (True, 1), 20: (False, 1), 40: (False, 2)}


def strip(*parts: tuple[int, int]) -> Map:
    """One row of pixels: (id, how many)."""
    return np.repeat([key for key, _ in parts], [count for _, count in parts])[None].astype(np.int64)


def thing(category: int = 3, **more: int) -> dict[str, int]:
    """A segment, by default a disc."""
    return {"category_id": category, **more}


def colours(ids: Map) -> npt.NDArray[np.uint8]:
    return np.stack([ids % 256, ids // 256 % 256, ids // 65536], axis=2).astype(np.uint8)


def write_panoptic(folder: Path, truth: list[tuple[Map, Segments]]) -> tuple[Path, Path]:
    """The JSON file, beside which the folder of the PNG files lies, and the folder of the images."""
    images, maps = folder / "images", folder / "panoptic"
    images.mkdir(exist_ok=True)
    maps.mkdir(exist_ok=True)
    data: dict[str, Any] = {"images": [], "annotations": [], "categories": CATEGORIES}
    for number, (ids, segments) in enumerate(truth, start=1):
        height, width = ids.shape
        write_png(images / f"{number}.png", np.zeros((height, width, 3), np.uint8))
        write_png(maps / f"{number}.png", colours(ids))
        data["images"].append({"id": number, "file_name": f"{number}.png", "height": height, "width": width})
        told = [{"id": key, "area": int((ids == key).sum()), "iscrowd": 0, **one} for key, one in segments.items()]
        data["annotations"].append({"image_id": number, "file_name": f"{number}.png", "segments_info": told})
    file = folder / "panoptic.json"
    file.write_text(json.dumps(data))
    return file, images


def as_model(ids: Map, segments: Segments) -> tuple[Map, list[dict[str, Any]]]:
    """A prediction as a panoptic model gives it."""
    named = ("isthing", "category_id")
    told = [{"id": key, **dict(zip(named, MODEL_CLASS[one["category_id"]]))} for key, one in segments.items()]
    return ids.astype(np.int32), told


def quality(truth: list[tuple[Map, Segments]], found: list[tuple[Map, Segments]]) -> dict[str, float]:
    """PQ, SQ and RQ as Kirillov et al. define them, with masks of pixels and nothing clever."""
    ious: dict[int, list[float]] = {category["id"]: [] for category in CATEGORIES}
    wrong, missed = dict.fromkeys(ious, 0), dict.fromkeys(ious, 0)
    for (ids, annotated), (predicted, segments) in zip(truth, found, strict=True):
        void = ids == 0
        matched_truth, matched_found = set(), set()
        for key, one in annotated.items():
            for number, other in segments.items():
                if one.get("iscrowd") or one["category_id"] != other["category_id"]:
                    continue
                a, b = ids == key, (predicted == number) & ~void
                iou = (a & b).sum() / (a | b).sum()
                if iou > 0.5:
                    ious[one["category_id"]].append(float(iou))
                    matched_truth.add(key)
                    matched_found.add(number)
        for key, one in annotated.items():
            missed[one["category_id"]] += not one.get("iscrowd") and key not in matched_truth
        for number, other in segments.items():
            excused = void.copy()
            for key, one in annotated.items():
                if one.get("iscrowd") and one["category_id"] == other["category_id"]:
                    excused |= ids == key
            mask = predicted == number
            wrong[other["category_id"]] += number not in matched_found and (mask & excused).sum() <= mask.sum() / 2
    result: dict[str, float] = {}
    for part, kinds in (("", (0, 1)), ("_th", (1,)), ("_st", (0,))):
        rows = []
        for category in CATEGORIES:
            key = category["id"]
            count = len(ious[key]) + wrong[key] / 2 + missed[key] / 2
            if category["isthing"] in kinds and count:
                segmentation = float(np.mean(ious[key])) if ious[key] else 0.0
                recognition = len(ious[key]) / count
                rows.append((100 * segmentation * recognition, 100 * segmentation, 100 * recognition))
        means = np.mean(rows, axis=0).tolist() if rows else [float("nan")] * 3
        result |= {f"{name}{part}": value for name, value in zip(("PQ", "SQ", "RQ"), means, strict=True)}
    return result


def random_scene(generator: np.random.Generator, crowds: bool = True) -> tuple[Map, Segments, Map, Segments]:
    """Annotated rectangles, and a prediction that is much like them."""
    height, width = 24, 31
    ids, predicted = np.zeros((height, width), np.int64), np.zeros((height, width), np.int64)
    segments: Segments = {}
    found: Segments = {}
    crowded: set[int] = set()
    for number in range(1, 9):
        category = int(generator.choice([3, 7, 20, 40]))
        y, x = int(generator.integers(0, 18)), int(generator.integers(0, 24))
        h, w = (int(side) for side in generator.integers(4, 12, 2))
        key = int(generator.integers(1, 256**3))
        crowd = int(crowds and category not in crowded and generator.random() < 0.2)
        crowded |= {category} if crowd else set()
        ids[y : y + h, x : x + w] = key
        segments[key] = {"category_id": category, "iscrowd": crowd}
        dy, dx = (int(step) for step in generator.integers(-1, 2, 2))
        if generator.random() < 0.85:
            predicted[max(y + dy, 0) : y + dy + h, max(x + dx, 0) : x + dx + w] = number
            found[number] = {"category_id": category if generator.random() < 0.85 else 3}
    there, told = np.unique(ids), np.unique(predicted)
    return (
        ids,
        {key: one for key, one in segments.items() if key in there},
        predicted,
        {key: one for key, one in found.items() if key in told},
    )
