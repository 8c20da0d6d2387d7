"""Data sets in COCO's format: what is read, where those with names lie, what is told of wrong files; images."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from png import write_png
from tiny_coco import HEIGHT, WIDTH, annotation, write_dataset

from d2deploy.errors import InvalidArgument, Unsupported
from d2deploy.evaluation import CocoDataset, evaluate, load_datasets
from d2deploy.evaluation.datasets import locate
from d2deploy.images import ImageReader

BOX = (5, 5, 20, 10)


def test_what_is_read(tmp_path: Path) -> None:
    dataset = CocoDataset(*write_dataset(tmp_path, [annotation(2, 7, BOX), annotation(1, 3, BOX)]))
    assert dataset.class_names == ["disc", "star"]
    assert dataset.category_ids == [3, 7]
    assert len(dataset) == 3
    first = {"file_name": str(tmp_path / "images" / "1.png"), "image_id": 1, "height": HEIGHT, "width": WIDTH}
    assert next(iter(dataset)) == first
    assert [image["image_id"] for image in dataset] == [1, 2, 3]
    assert [a["id"] for a in dataset.annotations] == [1, 2]


def test_lvis_names_its_images_by_address(tmp_path: Path) -> None:
    file, images = write_dataset(tmp_path, [annotation(1, 3, BOX)])
    data = json.loads(file.read_text())
    for image in data["images"]:
        image["coco_url"] = f"http://images.cocodataset.org/images/{image.pop('file_name')}"
    for a in data["annotations"]:
        del a["iscrowd"]
    file.write_text(json.dumps(data))
    dataset = CocoDataset(file, tmp_path)
    assert dataset.images[0]["file_name"] == str(images / "1.png")
    assert dataset.annotations[0]["iscrowd"] == 0


# ---- Files that are wrong --------------------------------------------------------------------------

Change = Callable[[dict[str, Any]], object]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda d: d.pop("annotations"), "has no annotations, so there is nothing to compare with; COCO's test sets"),
        (
            lambda d: d.pop("images"),
            "has no list of images; wanted COCO's format, with images, categories, annotations",
        ),
        (lambda d: d.update(images={}, categories=1), "has no list of images, categories"),
        (lambda d: d["images"].clear(), "images is empty"),
        (lambda d: d["categories"].clear(), "categories is empty"),
        (lambda d: d["images"].append(7), "images[3] is a int, wanted an object"),
        (lambda d: d["images"][0].pop("file_name"), "images[0] has no file_name"),
        (lambda d: d["images"][0].update(height="9"), "images[0] has height '9', wanted int"),
        (lambda d: d["images"][0].update(width=True), "images[0] has width True, wanted int"),
        (lambda d: d["images"][0].update(id=1), "images have the id 1 2 times"),
        (lambda d: d["images"][0].update(id="a"), "images have ids of both int and str"),
        (lambda d: d["categories"][0].update(id=3), "categories have the id 3 2 times"),
        (lambda d: d["categories"][0].pop("name"), "categories[0] has name None, wanted str"),
        (
            lambda d: d["annotations"][0].update(category_id=4),
            "annotations[0] (id 0) has category_id 4, which is not a category",
        ),
        (
            lambda d: d["annotations"][0].update(image_id=9),
            "annotations[0] (id 0) has image_id 9, which is not an image",
        ),
        (
            lambda d: d["annotations"][0].update(bbox=[1, 2]),
            "annotations[0] (id 0) has the bbox [1, 2], wanted four numbers: x",
        ),
        (
            lambda d: d["annotations"][0].update(bbox=[1, 2, 3, "4"]),
            "annotations[0] (id 0) has the bbox [1, 2, 3, '4'], wanted four",
        ),
        (
            lambda d: d["annotations"].extend([{}] * 9),
            "annotations[1] has image_id None, wanted int or str; annotations[1] has category_id None",
        ),
        (lambda d: d["annotations"].extend([{}] * 9), "; and 8 more"),
    ],
)
def test_content_is_checked(tmp_path: Path, change: Change, message: str) -> None:
    file, images = write_dataset(tmp_path, [annotation(1, 3, BOX)])
    data = json.loads(file.read_text())
    change(data)
    file.write_text(json.dumps(data))
    with pytest.raises(InvalidArgument) as caught:
        CocoDataset(file, images)
    assert str(caught.value).startswith(f"{file}: ")
    assert message in str(caught.value)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (b"", "is not JSON: "),
        (b'{"images": [', "is not JSON: "),
        (b"\xff\xfe\x00", "is not JSON: "),
        (b"[" * 100_000, "is not JSON: "),
        (b"[]", "holds a list, wanted an object with images, categories, annotations"),
    ],
)
def test_json_is_checked(tmp_path: Path, text: bytes, message: str) -> None:
    file = tmp_path / "broken.json"
    file.write_bytes(text)
    with pytest.raises(InvalidArgument, match=re.escape(f"{file}: {message}")):
        CocoDataset(file, tmp_path)


def test_files_are_checked(tmp_path: Path) -> None:
    file, images = write_dataset(tmp_path, [annotation(1, 3, BOX)])
    with pytest.raises(InvalidArgument, match=r"nowhere\.json: cannot be read: No such file"):
        CocoDataset(tmp_path / "nowhere.json", images)
    with pytest.raises(InvalidArgument, match=r"nowhere: there is no such folder"):
        CocoDataset(file, tmp_path / "nowhere")
    (images / "2.png").unlink()
    with pytest.raises(
        InvalidArgument, match=r"images: 1 of the data set's 3 images are missing, the first is .*2\.png"
    ):
        CocoDataset(file, images)


def test_image_of_another_size(tmp_path: Path) -> None:
    dataset = CocoDataset(*write_dataset(tmp_path, [annotation(1, 3, BOX)]))
    write_png(Path(dataset.images[0]["file_name"]), np.zeros((8, 9, 3), np.uint8))
    with pytest.raises(InvalidArgument, match=r"1\.png: is 8 x 9 pixels, but .*annotations\.json says 60 x 90"):
        evaluate(dataset, lambda _: {}, ImageReader(min_size=0))  # it has changed meanwhile
    with pytest.raises(InvalidArgument, match=r"1\.png: is 8 x 9 pixels, but .*annotations\.json says 60 x 90"):
        CocoDataset(dataset.json_file, dataset.image_root)


# ---- Data sets by name -----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "annotations", "images"),
    [
        ("coco_2014_train", "instances_train2014", "train2014"),
        ("coco_2014_minival", "instances_minival2014", "val2014"),
        ("coco_2014_valminusminival", "instances_valminusminival2014", "val2014"),
        ("coco_2017_val", "instances_val2017", "val2017"),
        ("coco_2017_val_100", "instances_val2017_100", "val2017"),
        ("coco_2017_val_panoptic_separated", "instances_val2017", "val2017"),
        ("coco_2017_val_100_panoptic", "instances_val2017_100", "val2017"),
        ("keypoints_coco_2014_val", "person_keypoints_val2014", "val2014"),
        ("keypoints_coco_2017_val_100", "person_keypoints_val2017_100", "val2017"),
    ],
)
def test_places(monkeypatch: pytest.MonkeyPatch, name: str, annotations: str, images: str) -> None:
    monkeypatch.setenv("DETECTRON2_DATASETS", "/data")
    assert locate(name) == (Path(f"/data/coco/annotations/{annotations}.json"), Path(f"/data/coco/{images}"))
    monkeypatch.delenv("DETECTRON2_DATASETS")
    assert locate(name)[1] == Path("datasets/coco") / images


@pytest.mark.parametrize(
    ("name", "kind", "message"),
    [
        ("coco_2017_test-dev", Unsupported, "its annotations are not public"),
        ("lvis_v1_val", Unsupported, "LVIS has a metric of its own, since not all objects of an image are labelled"),
        ("cityscapes_fine_instance_seg_val", Unsupported, "Cityscapes is not in COCO's format; convert it, then give"),
        ("voc_2007_test", Unsupported, "Pascal VOC is not in COCO's format"),
        ("ade20k_sem_seg_val", Unsupported, "it has maps of stuff alone"),
        ("coco_2017_val_panoptic_stuffonly", Unsupported, "it has maps of stuff alone"),
        ("shapes_val", InvalidArgument, "data set 'shapes_val' is not known; known: coco_2014_train, "),
        ("coco_2014_val_panoptic", InvalidArgument, "is not known"),
        ("keypoints_coco_2017_val_panoptic", InvalidArgument, "is not known"),
    ],
)
def test_names_that_cannot_be_evaluated(name: str, kind: type[Exception], message: str) -> None:
    with pytest.raises(kind, match=re.escape(message)):
        load_datasets([name])


def test_load_datasets(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DETECTRON2_DATASETS", str(tmp_path))
    with pytest.raises(
        InvalidArgument, match=r"there is no .*instances_val2017\.json; .* DETECTRON2_DATASETS must name"
    ):
        load_datasets(["coco_2017_val"])
    with pytest.raises(InvalidArgument, match=r"the config names no data sets \(DATASETS\.TEST is empty\)"):
        load_datasets(())
    (tmp_path / "coco" / "annotations").mkdir(parents=True)
    file, images = write_dataset(tmp_path, [annotation(1, 3, BOX)])
    file.rename(tmp_path / "coco/annotations/instances_val2017.json")
    images.rename(tmp_path / "coco/val2017")
    loaded = load_datasets(["coco_2017_val"])
    assert list(loaded) == ["coco_2017_val"]
    assert len(loaded["coco_2017_val"]) == 3


# ---- Images ----------------------------------------------------------------------------------------
