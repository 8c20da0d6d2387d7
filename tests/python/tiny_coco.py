"""A data set of three pictures in COCO's format, small enough to be counted by hand, and predictions for it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from png import write_png

from d2deploy.structures import Boxes, Instances

HEIGHT, WIDTH = 60, 90
# Category ids neither start at 1 nor stand in order: "disc" is class 0, "star" class 1.
CATEGORIES = [{"id": 7, "name": "star"}, {"id": 3, "name": "disc"}]

Box = tuple[int, int, int, int]  # x, y, width, height
BOX: Box = (5, 5, 20, 10)
KEYPOINTS = {"keypoints": [7, 7, 2, 9, 9, 1, 0, 0, 0], "num_keypoints": 2}


def mask_of(box: Box) -> npt.NDArray[np.bool_]:
    x, y, width, height = box
    mask = np.zeros((HEIGHT, WIDTH), bool)
    mask[y : y + height, x : x + width] = True
    return mask


def run_lengths(mask: npt.NDArray[np.bool_]) -> list[int]:
    """COCO's uncompressed RLE: lengths of runs down the columns, zeros first."""
    pixels = mask.T.ravel()
    ends = [*(np.flatnonzero(pixels[1:] != pixels[:-1]) + 1).tolist(), pixels.size]
    lengths = [end - start for start, end in zip([0, *ends[:-1]], ends, strict=True)]
    return [0, *lengths] if pixels[0] else lengths


def annotation(image: int, category: int, box: Box, **more: Any) -> dict[str, Any]:
    segmentation = {"size": [HEIGHT, WIDTH], "counts": run_lengths(mask_of(box))}
    return {
        "image_id": image,
        "category_id": category,
        "bbox": list(box),
        "area": box[2] * box[3],
        "iscrowd": 0,
        "segmentation": segmentation,
        **more,
    }


def write_dataset(folder: Path, annotations: list[dict[str, Any]]) -> tuple[Path, Path]:
    """The JSON file and the folder of the images."""
    images = folder / "images"
    images.mkdir(exist_ok=True)
    for i in (1, 2, 3):
        write_png(images / f"{i}.png", np.full((HEIGHT, WIDTH, 3), (10 * i, 20, 30), np.uint8))
    data = {
        "images": [{"id": i, "file_name": f"{i}.png", "height": HEIGHT, "width": WIDTH} for i in (3, 1, 2)],
        "categories": CATEGORIES,
        "annotations": [{"id": i, **a} for i, a in enumerate(annotations)],  # from 0, which COCO's metric cannot have
    }
    file = folder / "annotations.json"
    file.write_text(json.dumps(data))
    return file, images


def write_changed(folder: Path, **change: Any) -> tuple[Path, Path]:
    """A data set of two annotations with masks and keypoints, one of them changed; `...`: without that key."""
    changed = {k: v for k, v in annotation(1, 3, BOX, **{**KEYPOINTS, **change}).items() if v is not ...}
    return write_dataset(folder, [annotation(2, 7, BOX, **KEYPOINTS), changed])


def instances(*found: tuple[int, float, Box], masks: bool = False, keypoints: Any = None) -> Instances:
    """Predictions of one image: class, score and box of each."""
    boxes = np.array([box for _, _, box in found], np.float32).reshape(-1, 4)
    fields: dict[str, Any] = {
        "pred_boxes": Boxes(np.concatenate([boxes[:, :2], boxes[:, :2] + boxes[:, 2:]], axis=1)),
        "scores": np.array([score for _, score, _ in found], np.float32),
        "pred_classes": np.array([c for c, _, _ in found], np.int64),
    }
    if masks:
        fields["pred_masks"] = np.array([mask_of(box) for _, _, box in found]).reshape(-1, HEIGHT, WIDTH)
    if keypoints is not None:
        fields["pred_keypoints"] = np.array(keypoints, np.float32)
    return Instances((HEIGHT, WIDTH), **fields)
