"""What is no fault and may still make AP wrong or low: it is said, with how often it is there, before predicting."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import pytest
from tiny_coco import BOX, HEIGHT, WIDTH, annotation, instances, write_changed, write_dataset

from d2deploy.errors import InvalidArgument
from d2deploy.evaluation import CocoDataset, PanopticDataset, average_precision, evaluate, load_dataset, missing_numbers
from d2deploy.images import ImageReader

# What may be right and makes AP low: said, and kept.
NOTES: list[tuple[dict[str, Any], str]] = [
    ({"bbox": [5, 5, 0, 10], "area": 0}, "a bbox without area, which nothing can match"),
    ({"bbox": [90, 5, 20, 10]}, "a bbox outside of its picture, which nothing can match"),
    ({"bbox": [80, 50, 20, 20]}, "a bbox that reaches outside of its picture, kept; wanted x, y, width, height"),
    ({"bbox": [0, 0, 1e9, 1e9]}, "a bbox that reaches outside of its picture"),
    ({"bbox": [0.06, 0.08, 0.2, 0.2], "area": 0.04}, "a bbox smaller than a pixel, kept; wanted pixels"),
    ({"bbox": [50, 40, 20, 10]}, "a bbox that is not around its mask, both kept"),
    ({"segmentation": [[50, 40, 70, 40, 70, 50]]}, "a bbox that is not around its mask, both kept"),
    ({"segmentation": [[7, 7, 7, 7, 7, 7]]}, "a mask without a pixel, which nothing can match"),
    (
        {"segmentation": {"size": [HEIGHT, WIDTH], "counts": [HEIGHT * WIDTH]}},
        "a mask without a pixel, which nothing can match",
    ),
    ({"segmentation": [[-2, 5, 25, 5, 25, 15, -2, 15]]}, "polygons that reach outside of their picture, cut at its"),
    ({"area": 0}, "an area below one pixel in spite of the bbox, kept"),
    ({"area": 200 / HEIGHT / WIDTH}, "an area below one pixel in spite of the bbox, kept"),
    ({"area": 900}, "an area larger than the bbox, kept"),
    ({"keypoints": [7, 7, 2, 1e8, 9, 1, 0, 0, 0]}, "labelled keypoints outside of their picture, kept"),
    ({"keypoints": [7, 7, 2, 9, -9, 1, 0, 0, 0]}, "labelled keypoints outside of their picture, kept"),
    ({"id": None}, "no id, or one that is neither a whole number nor text, numbered anew"),
    ({"id": 1.5}, "no id, or one that is neither a whole number nor text, numbered anew"),
    ({"id": 0}, "an id that another annotation has, numbered anew"),
    ({"image_id": 2, "category_id": 7}, "an annotation of the class and with the bbox of another one, kept"),
]


@pytest.mark.parametrize(("change", "message"), NOTES)
def test_what_makes_ap_low_is_said(tmp_path: Path, change: dict[str, Any], message: str) -> None:
    repairs = CocoDataset(*write_changed(tmp_path, **change)).repairs
    assert [message in repair for repair in repairs] == [True]
    assert ": once, first in annotations[1]" in repairs[0]


@pytest.mark.parametrize(
    "change",
    [
        {"bbox": [4.2, 5.3, 21, 9.5]},  # as a bbox drawn by hand is beside a mask
        {"bbox": [70, 50, 21, 11], "segmentation": ..., "area": 231},  # a pixel too far
        {"bbox": [5, 5, 0.5, 10], "segmentation": ..., "area": 5},
        {"area": 231},  # 21 * 11, the end inclusive
        {"keypoints": [90.5, 60.5, 2, 1, 1, 1, 0, 0, 0]},
        {"keypoints": [7, 7, 2, 9, 9, 1, -50, -50, 0]},  # not labelled
    ],
)
def test_a_pixel_is_no_difference(tmp_path: Path, change: dict[str, Any]) -> None:
    assert CocoDataset(*write_changed(tmp_path, **change)).repairs == []


def test_corners_in_place_of_a_size(tmp_path: Path) -> None:
    square = [[30, 20, 50, 20, 50, 30, 30, 30]]
    data = CocoDataset(*write_changed(tmp_path, bbox=[30, 20, 50, 30], segmentation=square))
    assert "a bbox that is not around its mask, both kept; wanted x, y, width, height" in data.repairs[0]


def test_an_ap_of_0_is_said(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    data = CocoDataset(*write_changed(tmp_path))
    elsewhere = {"image_id": 1, "class": 0, "bbox": [50, 30, 20, 10], "score": 0.9}
    assert average_precision(data, [elsewhere])["bbox"]["AP"] == 0
    assert "bbox AP is 0: none of 1 predictions matches what is annotated" in caplog.text


# ---- The file --------------------------------------------------------------------------------------


@pytest.mark.parametrize(("key", "count"), [("area", 2), ("annotations", 1)])
def test_keys_that_are_there_twice(tmp_path: Path, caplog: pytest.LogCaptureFixture, key: str, count: int) -> None:
    file, images = write_changed(tmp_path)
    file.write_text(file.read_text().replace(f'"{key}":', f'"{key}": 7, "{key}":'))
    data = CocoDataset(file, images)
    told = f"{file}: a key that an object has twice, the last value taken: {count} times, the first is {key!r}"
    assert caplog.messages == [told]
    assert [one["area"] for one in data.annotations] == [200, 200]


@pytest.mark.parametrize("read", [load_dataset, CocoDataset, PanopticDataset])
def test_what_is_no_file(tmp_path: Path, read: Any) -> None:
    os.mkfifo(tmp_path / "pipe")
    for path in (tmp_path, tmp_path / "pipe", Path("/dev/zero")):
        with pytest.raises(InvalidArgument, match=f"{path}: is no file; wanted one with annotations in COCO's"):
            read(path, tmp_path)
    for name in ("missing.json", "a\0b", "x" * 5000):
        with pytest.raises(InvalidArgument, match=r"cannot be read: .*; wanted annotations in COCO's"):
            read(tmp_path / name, tmp_path)


@pytest.mark.parametrize("code", ["utf-8-sig", "utf-16", "utf-32"])
def test_texts_in_other_codes(tmp_path: Path, code: str) -> None:
    file, images = write_changed(tmp_path)
    data = json.loads(file.read_text())
    file.write_bytes(json.dumps(data).encode(code))
    assert len(load_dataset(file, images)) == 3
    data["annotations"] = [{"segments_info": [], "image_id": 1, "file_name": "1.png"}]
    file.write_bytes(json.dumps(data).encode(code))
    with pytest.raises(InvalidArgument, match="has isthing None, wanted 0 or 1"):  # read as what it is
        load_dataset(file, images)


# ---- Before predicting -----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"keypoint_sigmas": [0.05, -1, 0.05]}, "OKS_SIGMAS are [0.05, -1.0, 0.05], wanted numbers above 0"),
        ({"keypoint_sigmas": [0.05, float("nan"), 0.05]}, "OKS_SIGMAS are [0.05, nan, 0.05], wanted"),
        ({"tasks": ["keypoints"], "keypoint_sigmas": [0.05]}, "the data set [3], TEST.KEYPOINT_OKS_SIGMAS [1]"),
        ({"classes": 1}, None),
        ({"classes": 3}, "has 2 classes, but the model has 3"),
    ],
)
def test_options_are_checked_first(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, options: dict[str, Any], message: str | None
) -> None:
    data = CocoDataset(*write_dataset(tmp_path, [annotation(1, 3, BOX, keypoints=[7, 7, 2] * 3, num_keypoints=3)]))
    reader = ImageReader(min_size=0)
    if message is None:
        evaluate(data, lambda _: {"instances": instances()}, reader, **options)
        assert "has 2 classes, but the model has 1: it cannot find 'star'" in caplog.text
        return
    with pytest.raises(InvalidArgument) as caught:
        evaluate(data, lambda _: pytest.fail("it was predicted"), reader, **options)
    assert message in str(caught.value)


def test_numbers_that_are_none_are_told() -> None:
    nan = float("nan")
    metrics = {"bbox": {"AP": 50.0, "APl": nan, "AP-star": nan}, "segm": {"AP": 1.0}, "panoptic": {"PQ-sky": nan}}
    reason = "no object of the size or class is annotated, or the model found nothing"
    assert missing_numbers(metrics) == [
        f"bbox: no number for APl, AP-star: {reason}",
        "panoptic: no number for PQ-sky: no segment of the kind is annotated or found",
    ]
