"""Data sets in COCO's panoptic format that are wrong, and where they lie."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from tiny_coco import annotation, write_dataset
from tiny_panoptic import as_model, strip, thing, write_panoptic

from d2deploy.errors import InvalidArgument
from d2deploy.evaluation import CocoDataset, PanopticDataset, PanopticQuality, load_dataset, load_panoptic

NAN = float("nan")


def part(data: dict[str, Any]) -> Any:
    return data["annotations"][0]["segments_info"][0]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda d: d["annotations"][0].update(image_id=9), "annotations[0] (image 9) is of no image"),
        (lambda d: d["annotations"].append(d["annotations"][0]), "annotations[2] (image 1) is there twice"),
        (lambda d: d["annotations"].pop(), "1 of 2 images have no annotation, the first is 2"),
        (lambda d: d["annotations"].__setitem__(0, 7), "annotations[0] is a int, wanted an object"),
        (lambda d: d["annotations"][0].pop("segments_info"), "annotations[0] has segments_info None, wanted list"),
        (lambda d: d["annotations"][0].update(file_name="../1.png"), "(image 1) has file_name '../1.png', which is no"),
        (lambda d: d["annotations"][0].update(file_name="x" * 9999), "which is no file in"),
        (lambda d: d["annotations"][0]["segments_info"].append("x"), "(image 1): segments_info[1] is a str, wanted an"),
        (lambda d: part(d).update(id="5"), "segments_info[0] has id '5', wanted int"),
        (lambda d: part(d).update(id=2**24), "segments_info[0] has id 16777216, wanted 1 to 16777215"),
        (lambda d: part(d).update(id=0), "segments_info[0] has id 0, wanted 1 to"),
        (lambda d: part(d).update(id=6), "(image 1) has pixels of the segment 5 in"),
        (lambda d: d["annotations"][0]["segments_info"].append(part(d)), "segments_info[1] has id 5, as one before"),
        (lambda d: part(d).update(category_id=4), "segments_info[0] has category_id 4, which is not a category"),
        (lambda d: part(d).update(category_id=[]), "segments_info[0] has category_id [], wanted int"),
        (lambda d: part(d).update(iscrowd="0"), "segments_info[0] has iscrowd '0', wanted 0 or 1"),
        (lambda d: part(d).update(area="8"), "segments_info[0] has area '8', wanted a number of pixels"),
        (lambda d: d["categories"][0].pop("isthing"), "category 3 has isthing None, wanted 0 or 1; is the file in"),
        (lambda d: d["categories"][0].update(isthing=2), "category 3 has isthing 2"),
    ],
)
def test_content_is_checked(tmp_path: Path, change: Callable[[dict[str, Any]], object], message: str) -> None:
    file, images = write_panoptic(tmp_path, [(strip((5, 8)), {5: thing()})] * 2)
    data = json.loads(file.read_text())
    data["categories"].sort(key=lambda category: category["id"])
    change(data)
    file.write_text(json.dumps(data))
    with pytest.raises(InvalidArgument) as caught:
        PanopticDataset(file, images)
    assert message in str(caught.value)


@pytest.mark.parametrize(
    ("image", "message"),
    [
        (Image.new("L", (8, 1), 5), "is 1 x 8 pixels in mode L, wanted 1 x 8 in RGB"),
        (Image.new("P", (8, 1), 5), "in mode P, wanted"),
        (Image.new("I;16", (8, 1), 5), "in mode I;16, wanted"),
        (Image.new("RGB", (9, 1), (5, 0, 0)), "is 1 x 9 pixels in mode RGB, wanted 1 x 8"),
        (Image.new("RGB", (8, 1), (0, 5, 0)), "has pixels of the segment 1280 in"),
    ],
)
def test_maps_are_checked(tmp_path: Path, image: Image.Image, message: str) -> None:
    file, images = write_panoptic(tmp_path, [(strip((5, 8)), {5: thing()})])
    image.save(tmp_path / "panoptic" / "1.png")
    with pytest.raises(InvalidArgument) as caught:
        PanopticDataset(file, images)
    assert message in str(caught.value)


def test_maps_that_are_broken(tmp_path: Path) -> None:
    file, images = write_panoptic(tmp_path, [(strip((5, 8)), {5: thing()})])
    png = tmp_path / "panoptic" / "1.png"
    whole = png.read_bytes()
    for content in (b"", b"text", whole[:-30], whole[:20] + b"\xff\xff" + whole[22:]):
        png.write_bytes(content)
        with pytest.raises(InvalidArgument, match=r"\(image 1\): .*1\.png (cannot be read as a PNG file|is )"):
            PanopticDataset(file, images)
    png.unlink()
    with pytest.raises(InvalidArgument, match=r"has file_name '1\.png', which is no file in"):
        PanopticDataset(file, images)
    with pytest.raises(InvalidArgument, match="nowhere: there is no such folder; wanted the folder of the PNG files"):
        PanopticDataset(file, images, tmp_path / "nowhere")


def test_areas_are_those_of_the_maps(tmp_path: Path) -> None:
    file, images = write_panoptic(tmp_path, [(strip((5, 8)), {5: thing()})])
    for area in (None, 9, NAN, -1e300):
        data = json.loads(file.read_text())
        part(data)["area"] = area
        file.write_text(json.dumps(data))
        dataset = PanopticDataset(file, images)
        assert dataset.repairs == [
            "segments whose area is missing or not that of the PNG file, counted: once, first in annotations[0] "
            "(image 1)"
        ]
        counting = PanopticQuality(dataset)
        counting.add(dataset.images[0], as_model(strip((1, 8)), {1: thing()}))
        assert counting.metrics()["PQ"] == 100


# ---- Files -----------------------------------------------------------------------------------------


def test_which_data_set_a_file_is(tmp_path: Path) -> None:
    objects = CocoDataset(*write_dataset(tmp_path, [annotation(1, 3, (5, 5, 20, 10))]))
    segments = PanopticDataset(*write_panoptic(tmp_path, [(np.full((60, 90), 5, np.int64), {5: thing()})] * 3))
    assert isinstance(load_dataset(objects.json_file, objects.image_root), CocoDataset)
    assert isinstance(load_dataset(segments.json_file, segments.image_root), PanopticDataset)
    assert len(load_dataset(segments.json_file, segments.image_root, tmp_path / "panoptic")) == 3
    with pytest.raises(InvalidArgument, match=r"nowhere\.json: cannot be read"):
        load_dataset(tmp_path / "nowhere.json", tmp_path)


def test_panoptic_data_sets_by_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setenv("DETECTRON2_DATASETS", str(tmp_path))
    assert load_panoptic("coco_2017_val") is None
    assert caplog.messages == []
    assert load_panoptic("coco_2017_val_panoptic") is None
    assert "panoptic quality is left out: there is no " in caplog.text
    (tmp_path / "coco" / "annotations").mkdir(parents=True)
    file, images = write_panoptic(tmp_path, [(strip((5, 8)), {5: thing()})])
    images.rename(tmp_path / "coco" / "val2017")
    (tmp_path / "panoptic").rename(tmp_path / "coco/annotations/panoptic_val2017")
    file.rename(tmp_path / "coco/annotations/panoptic_val2017.json")
    loaded = load_panoptic("coco_2017_val_panoptic_separated")
    assert loaded is not None
    assert len(loaded) == 1


def test_crowds_alone_have_no_quality(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    dataset = PanopticDataset(*write_panoptic(tmp_path, [(strip((5, 8)), {5: thing(iscrowd=True)})]))
    counting = PanopticQuality(dataset)
    counting.add(dataset.images[0], as_model(strip((1, 8)), {1: thing(7)}))
    assert counting.metrics()["PQ"] == 0
    where = "annotations[0] (image 1): segments_info[0]"
    assert caplog.messages == [
        f"{dataset.json_file}: an iscrowd that is true or false, taken as 1 or 0: once, first in {where}",
        f"{dataset.json_file}: PQ is 0: no predicted segment matches one that is annotated",
    ]
