"""Annotations that are wrong: one error that names them, or a repair that is counted and shown; AP is never wrong."""

from __future__ import annotations

import json
import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from pycocotools import mask as rle_code
from tiny_coco import BOX, HEIGHT, WIDTH, annotation, mask_of, run_lengths, write_changed, write_dataset

from d2deploy.errors import InvalidArgument
from d2deploy.evaluation import CocoDataset, Metrics, average_precision
from d2deploy.evaluation.segmentations import Fault, checked_rle, to_rle

# pycocotools' arrays, on NumPy 2
pytestmark = pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")

PIXELS = HEIGHT * WIDTH
NAN, INFINITY = float("nan"), float("inf")
POLYGON = [5, 5, 25, 5, 25, 15, 5, 15]  # the outline of BOX


def dataset(folder: Path, **change: Any) -> CocoDataset:
    """Two annotations, one of them changed."""
    return CocoDataset(*write_changed(folder, **change))


def perfect(data: CocoDataset) -> Metrics:
    """AP of predictions that are the annotations of the file as it was before the change."""
    mask = {"size": [HEIGHT, WIDTH], "counts": run_lengths(mask_of(BOX))}
    points = [7, 7, 2, 9, 9, 1, 0, 0, 0]
    results = [
        {"image_id": i, "class": c, "bbox": list(BOX), "score": 0.9, "segmentation": mask, "keypoints": points}
        for i, c in ((1, 0), (2, 1))
    ]
    return average_precision(data, results, keypoint_sigmas=[0.05] * 3)


def rle(counts: Any, size: Any = (HEIGHT, WIDTH)) -> dict[str, Any]:
    return {"size": list(size) if isinstance(size, tuple) else size, "counts": counts}


def compressed(mask: np.ndarray) -> str:
    text: bytes = rle_code.encode(np.asfortranarray(mask.astype(np.uint8)))["counts"]
    return text.decode()


FAULTS: list[tuple[dict[str, Any], str]] = [
    ({"segmentation": "text"}, "segmentation 'text', wanted a list of polygons, or an RLE"),
    ({"segmentation": 7}, "segmentation 7, wanted"),
    ({"segmentation": True}, "segmentation True, wanted"),
    ({"segmentation": [POLYGON, 7]}, "wanted a list of polygons"),
    ({"segmentation": [POLYGON, {}]}, "wanted a list of polygons"),
    ({"segmentation": ["5", 5, 25, 5, 25, 15]}, "wanted a list of polygons"),
    ({"segmentation": [[*POLYGON, 7]]}, "a polygon of 9 numbers, wanted an even number"),
    ({"segmentation": [[1, 2, 3, 4, "5", 6]]}, "a polygon with '5', wanted numbers of pixels"),
    ({"segmentation": [[1, 2, 3, 4, None, 6]]}, "a polygon with None, wanted"),
    ({"segmentation": [[1, 2, 3, 4, True, 6]]}, "a polygon with True, wanted"),
    ({"segmentation": [[1, 2, 3, NAN, 5, 6]]}, "a polygon with nan, wanted"),
    ({"segmentation": [[1, 2, 3, -INFINITY, 5, 6]]}, "a polygon with -inf, wanted"),
    ({"segmentation": [[1, 2, 3, 10**400, 5, 6]]}, "a polygon with 10000"),
    ({"segmentation": [[1, 1, 1e9, 1, 50, 50]]}, "an outline of 1999999998 pixels that reaches 1000000000, wanted at"),
    ({"segmentation": [[1, 1, -1e6, 1, 50, 50]]}, "that reaches -1000000, wanted at most 15000"),
    ({"segmentation": [[1e6, 1e6, 1e6 + 1, 1e6, 1e6, 1e6 + 1]]}, "that reaches 1000001, wanted at most 15000"),
    ({"segmentation": [[0, 0, 89, 59] * 200]}, "an outline of 35600 pixels"),
    ({"segmentation": [[[1, 1], [50, 1], [50, 50]]]}, "with points as lists, wanted [[x1, y1, x2, y2, ...], ...]"),
    ({"segmentation": [[1, 1], [50, 1], [50, 50]]}, "with points as lists"),
    ({"segmentation": rle([PIXELS], ...)}, "an RLE of size None, wanted its picture's, [60, 90] (height, width)"),
    ({"segmentation": rle([PIXELS], (WIDTH, HEIGHT))}, "an RLE of size [90, 60]"),
    ({"segmentation": rle([PIXELS], ("60", "90"))}, "an RLE of size ['60', '90']"),
    ({"segmentation": rle([PIXELS], (60.0, 90.0))}, "an RLE of size [60.0, 90.0]"),
    ({"segmentation": rle([PIXELS], (10**9, 10**9))}, "an RLE of size [1000000000, 1000000000]"),
    ({"segmentation": rle([PIXELS], "60")}, "an RLE of size '60'"),
    ({"segmentation": rle(None)}, "an RLE with counts None, wanted a list of lengths, or compressed text"),
    ({"segmentation": {"size": [HEIGHT, WIDTH]}}, "an RLE with counts None"),
    ({"segmentation": rle(PIXELS)}, "an RLE with counts 5400, wanted"),
    ({"segmentation": rle([])}, "an RLE whose lengths add up to 0 pixels, wanted 5400"),
    ({"segmentation": rle([0, 100])}, "add up to 100 pixels"),
    ({"segmentation": rle([0, PIXELS, 1])}, "add up to 5401 pixels"),
    ({"segmentation": rle([0, 10**6])}, "with the length 1000000, wanted 0 to 5400"),
    ({"segmentation": rle([0, 2**32 + PIXELS])}, "with the length 4294972696"),
    ({"segmentation": rle([-1, PIXELS + 1])}, "with the length -1"),
    ({"segmentation": rle([0, "5400"])}, "with the length '5400', wanted whole numbers"),
    ({"segmentation": rle([0.5, PIXELS - 0.5])}, "with the length 0.5, wanted whole numbers"),
    ({"segmentation": rle([NAN, PIXELS])}, "with the length nan"),
    ({"segmentation": rle([10**400, PIXELS])}, "with the length 1000"),
    ({"segmentation": rle([[PIXELS]])}, "with the length [5400]"),
    ({"segmentation": rle("")}, "add up to 0 pixels"),
    ({"segmentation": rle("!")}, "with counts '!', which is not COCO's compressed text"),
    ({"segmentation": rle("héllo")}, "which is not COCO's compressed text"),
    ({"segmentation": rle("\ud800")}, "which is not COCO's compressed text"),
    ({"segmentation": rle("PPP")}, "which is not COCO's compressed text"),  # a length that goes on and on
    ({"segmentation": rle("PPPPPPPPPP0")}, "where a length has more than 7 characters"),
    ({"segmentation": rle("000")}, "add up to 0 pixels"),
    ({"segmentation": rle(compressed(np.ones((HEIGHT, WIDTH + 1))))}, "with the length 5460"),
    ({"segmentation": rle(compressed(np.eye(HEIGHT - 1)))}, "add up to 3481 pixels"),
    ({"iscrowd": "text"}, "iscrowd 'text', wanted 0 or 1"),
    ({"iscrowd": 2}, "iscrowd 2, wanted 0 or 1"),
    ({"iscrowd": -1}, "iscrowd -1"),
    ({"iscrowd": 0.5}, "iscrowd 0.5"),
    ({"iscrowd": NAN}, "iscrowd nan"),
    ({"iscrowd": []}, "iscrowd []"),
    ({"area": "200"}, "area '200', wanted a number of pixels"),
    ({"area": []}, "area [], wanted"),
    ({"area": True}, "area True, wanted"),
    ({"bbox": [5, 5, -20, 10]}, "the bbox [5, 5, -20, 10] of negative size"),
    ({"bbox": [5, NAN, 20, 10]}, "the bbox [5, nan, 20, 10], wanted four numbers"),
    ({"bbox": [5, 5, INFINITY, 10]}, "the bbox [5, 5, inf, 10], wanted four"),
    ({"bbox": [5, 5, 20, 10**400]}, "the bbox [5, 5, 20, 1000"),
    ({"bbox": [5, 5, 20]}, "the bbox [5, 5, 20], wanted four"),
    ({"bbox": [5, 5, 20, 10, 0]}, "wanted four"),
    ({"bbox": [5, 5, 20, True]}, "wanted four"),
    ({"bbox": "5 5 20 10"}, "the bbox '5 5 20 10', wanted four"),
    ({"bbox": {}}, "the bbox {}, wanted four"),
    ({"bbox": ..., "segmentation": ...}, "the bbox None, wanted four"),
    ({"keypoints": [1, 2]}, "2 numbers as keypoints, wanted x, y, visibility of each"),
    ({"keypoints": [1, 2, 3]}, "a keypoint of visibility 3, wanted 0 (not labelled), 1 or 2"),
    ({"keypoints": [1, 2, 0.5]}, "a keypoint of visibility 0.5"),
    ({"keypoints": [1, NAN, 2]}, "keypoints [1, nan, 2], wanted a list of finite numbers"),
    ({"keypoints": [1, "2", 2]}, "keypoints [1, '2', 2], wanted"),
    ({"keypoints": 7}, "keypoints 7, wanted"),
    ({"image_id": 1.0}, "image_id 1.0, wanted int or str"),
    ({"image_id": True}, "image_id True, wanted int or str"),
    ({"image_id": "1"}, "image_id '1', which is not an image"),
    ({"category_id": None}, "category_id None, wanted int"),
    ({"category_id": 2**70}, "category_id 1180591620717411303424, wanted int"),
    ({"category_id": [[[[[]]]]]}, "category_id [[[[...]]]], wanted int"),
]


@pytest.mark.parametrize(("change", "message"), FAULTS)
def test_faults(tmp_path: Path, change: dict[str, Any], message: str) -> None:
    if isinstance(change.get("segmentation"), dict):
        change = {"segmentation": {k: v for k, v in change["segmentation"].items() if v is not ...}}
    with pytest.raises(InvalidArgument) as caught:
        dataset(tmp_path, **change)
    start = f"{tmp_path / 'annotations.json'}: is not in COCO's format: annotations[1] (id 1) has "
    assert str(caught.value).startswith(start)
    assert message in str(caught.value)
    assert len(str(caught.value)) < 600
    assert "\n" not in str(caught.value)


REPAIRS: list[tuple[dict[str, Any], str]] = [
    ({"area": ...}, "no area, or one that cannot be"),
    ({"area": None}, "computed from the mask"),
    ({"area": -200}, "computed from the mask"),
    ({"area": NAN}, "computed from the mask"),
    ({"area": 1e300}, "computed from the mask"),
    ({"bbox": ...}, "no bbox, that of the mask taken"),
    ({"bbox": None}, "no bbox, that of the mask taken"),
    ({"iscrowd": "0"}, "an iscrowd that is null, '0' or '1', taken as 0 or 1"),
    ({"iscrowd": None}, "an iscrowd that is null"),
    ({"iscrowd": False}, "an iscrowd that is true, false, 0.0 or 1.0"),
    ({"iscrowd": 0.0}, "an iscrowd that is true, false, 0.0 or 1.0"),
    ({"segmentation": POLYGON}, "a segmentation that is one flat list of numbers, taken as one polygon"),
    ({"segmentation": [POLYGON, [1, 2, 3, 4]]}, "polygons of fewer than three corners, which cover no pixel, left out"),
    ({"segmentation": [[1, 2, 3, 4], POLYGON]}, "polygons of fewer than three corners"),
    ({"segmentation": [POLYGON, []]}, "polygons of fewer than three corners"),
    ({"num_keypoints": 0}, "another number than are labelled, counted"),
    ({"num_keypoints": ...}, "no num_keypoints"),
]


@pytest.mark.parametrize(("change", "message"), REPAIRS)
def test_repairs(tmp_path: Path, caplog: pytest.LogCaptureFixture, change: dict[str, Any], message: str) -> None:
    data = dataset(tmp_path, **change)
    assert len(data.repairs) == 1
    assert message in data.repairs[0]
    assert data.repairs[0].endswith(": once, first in annotations[1] (id 1)")
    assert caplog.messages == [f"{data.json_file}: {data.repairs[0]}"]
    have = perfect(data)
    assert {task: row["AP"] for task, row in have.items()} == pytest.approx(
        {"bbox": 100, "keypoints": 100, "segm": 100}
    )
    assert data.annotations[1]["area"] == 200


def test_crowds_as_text_are_crowds(tmp_path: Path) -> None:
    # The text "0" counts as true where it is not looked at, and then no object is left.
    assert dataset(tmp_path, iscrowd="1").annotations[1]["iscrowd"] == 1


def test_polygons_at_the_border_are_right(tmp_path: Path) -> None:
    whole = [[0, 0, WIDTH, 0, WIDTH, HEIGHT, 0, HEIGHT]]
    assert dataset(tmp_path, segmentation=whole, bbox=[0, 0, WIDTH, HEIGHT]).repairs == []


def test_repairs_are_counted(tmp_path: Path) -> None:
    changed = [{**annotation(1, 3, (5 + k, 5, 20, 10)), "area": -1} for k in range(1, 26)]
    data = CocoDataset(*write_dataset(tmp_path, [annotation(1, 3, BOX), *changed]))
    assert [repair.rsplit(":", 1)[1] for repair in data.repairs] == [" 25 times, first in annotations[1] (id 1)"]


@pytest.mark.parametrize("key", ["segmentation", "keypoints"])
@pytest.mark.parametrize("value", [..., None, []])
def test_box_ap_without_masks_or_keypoints(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, key: str, value: Any
) -> None:
    data = dataset(tmp_path, **{key: value, "num_keypoints": ...} if key == "keypoints" else {key: value})
    task, other = ("segm", "keypoints") if key == "segmentation" else ("keypoints", "segm")
    have = perfect(data)
    assert set(have) == {"bbox", other}
    assert have["bbox"]["AP"] == pytest.approx(100)
    assert (
        f"{task} AP is left out: {data.json_file}: 1 of 2 annotations have no {key}, the first is annotations[1]"
        in caplog.text
    )


# ---- Run lengths -----------------------------------------------------------------------------------


def test_run_lengths_are_pycocotools(tmp_path: Path) -> None:
    generator = np.random.default_rng(5)
    for trial in range(200):
        height, width = map(int, generator.integers(1, 40, 2))
        mask = generator.random((height, width)) < generator.random()
        if trial % 5 == 0:
            mask[:] = trial % 2
        text = compressed(mask)
        assert checked_rle(rle(text, (height, width)), (height, width)) == rle(text, (height, width))
        lengths = run_lengths(mask)
        # A run is cut in two by one of no pixels: the mask is the same, but pycocotools would stop there.
        cut = int(generator.integers(len(lengths)))
        part = int(generator.integers(lengths[cut] + 1))
        lengths[cut : cut + 1] = [part, 0, lengths[cut] - part]
        assert checked_rle(rle(lengths, (height, width)), (height, width)) == rle(text, (height, width))


def test_many_polygons_take_little_work() -> None:
    squares = [[x, y, x + 1, y, x + 1, y + 1, x, y + 1] for x in range(0, WIDTH, 2) for y in range(0, HEIGHT, 2)]
    calls = 0
    merge = rle_code.merge

    def counting(masks: list[Any]) -> Any:
        nonlocal calls
        calls += sum(len(mask["counts"]) for mask in masks)
        return merge(masks)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("d2deploy.evaluation.segmentations.rle_code.merge", counting)
        united = to_rle([[float(v) for v in square] for square in squares], (HEIGHT, WIDTH))
    assert rle_code.area(united) == len(squares)
    assert calls < 5 * 16 * len(squares)  # five levels, not one for each of the 1350 squares


def test_results_are_checked_too(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    data = dataset(tmp_path)
    right = {"image_id": 1, "class": 0, "bbox": list(BOX), "score": 0.9}
    for change, message in (
        ({"image_id": 9}, "results[0] has image_id 9, which is not an image of"),
        ({"image_id": []}, "results[0] has image_id []"),
        ({"class": 0.0}, "results[0] has class 0.0"),
        ({"class": 5}, "there are predictions of class 5, but the data set has 2 classes"),
        ({"score": None}, "results[0] has score None"),
        ({"bbox": [1, 2]}, "results[0] has bbox [1, 2]"),
        ({"keypoints": [1]}, "results[0] has keypoints [1]"),
        ({"segmentation": rle([0, 10**6])}, "results[0] has an RLE with the length 1000000"),
        ({"segmentation": [POLYGON]}, "results[0] has segmentation [[5, 5, 25, 5, 25, ...]]"),
    ):
        with pytest.raises(InvalidArgument) as caught:
            average_precision(data, [{**right, **change}])
        assert message in str(caught.value)
    broken = {**right, "bbox": [NAN, 5, 20, 10]}
    assert average_precision(data, [right, broken])["bbox"]["AP-disc"] == pytest.approx(100)
    assert "1 of 2 predictions are not finite: left out" in caplog.text
    caplog.clear()
    assert math.isnan(average_precision(data, [broken])["bbox"]["AP"])
    assert "bbox AP is not a number, for the model found nothing" in caplog.text


def test_crowds_alone_have_no_ap(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    data = CocoDataset(*write_dataset(tmp_path, [annotation(1, 3, BOX, iscrowd=1)]))
    found = average_precision(data, [{"image_id": 1, "class": 0, "bbox": list(BOX), "score": 0.9}])
    assert math.isnan(found["bbox"]["AP"])
    assert "bbox AP is not a number, for no object is annotated for it" in caplog.text


# ---- Images and classes ----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda d: d["images"][0].update(file_name="../1.png"), "has file_name '../1.png', which leaves the folder"),
        (lambda d: d["images"][0].update(file_name="/etc/passwd"), "which leaves the folder of the images"),
        (lambda d: d["images"][0].update(file_name=7), "images[0] has no file_name, but 7"),
        (lambda d: d["images"][0].update(file_name="a\0b"), "wanted text that can be printed"),
        (lambda d: d["images"][0].update(file_name="\ud800.png"), "wanted text that can be printed"),
        (lambda d: d["images"][0].update(file_name="a" * 5000), "wanted text that can be printed, at most 1000 long"),
        (lambda d: d["images"][0].update(file_name="a" * 900), "1 of the data set's 3 images are missing"),
        (lambda d: d["images"][0].update(file_name="."), "1 of the data set's 3 images are missing"),
        (lambda d: d["images"][0].update(file_name="./1.png"), "1.png 2 times"),
        (lambda d: d["images"][0].update(height=0), "images[0] has height 0, wanted a number of pixels from 1"),
        (lambda d: d["images"][0].update(width=-5), "images[0] has width -5"),
        (lambda d: d["images"][0].update(width=10**30), "images[0] has width 1000000"),
        (lambda d: d["images"][0].update(width=10**8), "is 60 x 90 pixels, but"),
        (lambda d: d["images"][0].update(width=HEIGHT, height=WIDTH), "is 60 x 90 pixels, but"),
        (lambda d: d["images"][0].update(id=1.5), "images[0] has id 1.5, wanted int or str"),
        (lambda d: d["images"][0].update(id=None), "images[0] has id None"),
        (lambda d: d["images"][0].update(id=2**63), "images[0] has id 9223372036854775808"),
        (lambda d: d["categories"][0].update(id="7"), "categories[0] has id '7', wanted int"),
        (lambda d: d["categories"][0].update(name="a\nb"), "categories[0] has name 'a\\nb', wanted text"),
        (lambda d: d["categories"][0].update(name=""), "categories[0] has name '', wanted text"),
        (
            lambda d: d["categories"].extend({"id": i, "name": "x"} for i in range(10, 20_010)),
            "categories are 20002, wanted at most 20000",
        ),
        (lambda d: d["annotations"].clear(), "annotations is empty, so there is nothing to compare with"),
        (lambda d: d["annotations"].append({"segments_info": []}), "is in COCO's panoptic format"),
    ],
)
def test_images_and_classes(tmp_path: Path, change: Callable[[dict[str, Any]], object], message: str) -> None:
    file, images = write_dataset(tmp_path, [annotation(1, 3, BOX)])
    data = json.loads(file.read_text())
    change(data)
    file.write_text(json.dumps(data))
    with pytest.raises(InvalidArgument) as caught:
        CocoDataset(file, images)
    assert message in str(caught.value)


def test_pictures_that_are_none(tmp_path: Path) -> None:
    file, images = write_dataset(tmp_path, [annotation(1, 3, BOX)])
    (images / "1.png").write_bytes(b"GIF89a")
    with pytest.raises(InvalidArgument, match=r"1\.png: cannot be read as an image"):
        CocoDataset(file, images)


def test_numbers_of_thousands_of_digits(tmp_path: Path) -> None:
    file = tmp_path / "long.json"
    file.write_text('{"images": [' + "9" * 10_000 + "]}")
    with pytest.raises(InvalidArgument, match=r"long\.json: is not JSON: a number has thousands of digits"):
        CocoDataset(file, tmp_path)


def test_classes_of_equal_names(tmp_path: Path) -> None:
    file, images = write_dataset(tmp_path, [annotation(1, 3, BOX), annotation(2, 7, BOX)])
    data = json.loads(file.read_text())
    data["categories"] = [{"id": 3, "name": "fish"}, {"id": 7, "name": "fish"}, {"id": 9, "name": "fish (id 7)"}]
    file.write_text(json.dumps(data))
    dataset = CocoDataset(file, images)
    assert dataset.repairs == ["2 categories are called 'fish': told apart by their ids"]
    found = average_precision(dataset, [{"image_id": 1, "class": 0, "bbox": list(BOX), "score": 0.9}])["bbox"]
    assert [found[f"AP-{name}"] for name in ("fish (id 3)", "fish (id 7)'")] == [pytest.approx(100), 0]
    assert math.isnan(found["AP-fish (id 7)"])


def test_strange_ids_change_nothing(tmp_path: Path) -> None:
    # As NumPy has them these would be floats, or would lose their ends.
    file, images = write_dataset(tmp_path, [annotation(1, 3, BOX), annotation(2, 7, BOX)])
    data = json.loads(file.read_text())
    for ids in ({1: 2**62 - 1, 2: -(2**62) + 1, 3: 0}, {1: "a ", 2: "a", 3: "é"}):
        changed = json.loads(json.dumps(data))
        for image in changed["images"]:
            image["id"] = ids[image["id"]]
        for one in changed["annotations"]:
            one["image_id"] = ids[one["image_id"]]
        file.write_text(json.dumps(changed))
        results = [{"image_id": ids[i], "class": c, "bbox": list(BOX), "score": 0.9} for i, c in ((1, 0), (2, 1))]
        assert average_precision(CocoDataset(file, images), results)["bbox"]["AP"] == pytest.approx(100)


def test_lengths_too_long_are_a_fault_before_pycocotools_sees_them() -> None:
    with pytest.raises(Fault, match="add up to 3 pixels, wanted 4"):
        checked_rle(rle([1, 2], (2, 2)), (2, 2))
