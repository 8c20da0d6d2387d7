"""Panoptic quality against its definition, hand-made cases, panopticapi's numbers; what is told of wrong data sets."""

from __future__ import annotations

import json
import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from pycocotools import mask as rle_code
from tiny_coco import annotation, instances, write_dataset
from tiny_panoptic import Map, Segments, as_model, colours, quality, random_scene, strip, thing, write_panoptic

from d2deploy.errors import InvalidArgument, Unsupported
from d2deploy.evaluation import (
    CocoDataset,
    PanopticDataset,
    PanopticQuality,
    evaluate,
    format_table,
    write_metrics,
)
from d2deploy.images import ImageReader

# pycocotools' arrays, on NumPy 2
pytestmark = pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")

SHAPES = Path(__file__).parents[1] / "data" / "shapes"
READER = ImageReader(min_size=0)
STAR, SKY, GRASS = 7, 20, 40
NAN = float("nan")


def measured(folder: Path, truth: list[tuple[Map, Segments]], found: list[tuple[Map, Segments]]) -> dict[str, float]:
    dataset = PanopticDataset(*write_panoptic(folder, truth))
    counting = PanopticQuality(dataset)
    for image, (ids, segments) in zip(dataset, found, strict=True):
        counting.add(image, as_model(ids, segments))
    return counting.metrics()


# ---- Values ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("seed", range(5))
def test_against_the_definition(tmp_path: Path, seed: int) -> None:
    generator = np.random.default_rng(seed)
    scenes = [random_scene(generator) for _ in range(12)]
    truth, found = [scene[:2] for scene in scenes], [scene[2:] for scene in scenes]
    have = measured(tmp_path, truth, found)
    wanted = quality(truth, found)
    assert {name: have[name] for name in wanted} == pytest.approx(wanted, abs=1e-9)
    assert 5 < have["PQ"] < 95
    values = [value for name, value in have.items() if name.startswith("PQ-") and not math.isnan(value)]
    assert have["PQ"] == pytest.approx(np.mean(values))


@pytest.mark.parametrize(
    ("truth", "annotated", "predicted", "found", "pq", "sq", "rq"),
    [
        # 6 of 10 pixels in common.
        (strip((5, 8), (0, 2)), {5: thing()}, strip((1, 6), (0, 4)), {1: thing()}, 75, 75, 100),
        # An IoU of exactly 0.5 is no match: one is missed, one is wrong.
        (strip((5, 4), (6, 4)), {5: thing(), 6: thing(STAR)}, strip((1, 8)), {1: thing()}, 0, 0, 0),
        # What is annotated as nothing does not count for the union.
        (strip((5, 4), (0, 4)), {5: thing()}, strip((1, 8)), {1: thing()}, 100, 100, 100),
        # Another category is no match.
        (strip((5, 8)), {5: thing(SKY)}, strip((1, 8)), {1: thing(GRASS)}, 0, 0, 0),
        # More than half on nothing: not wrong. One right of one.
        (strip((5, 4), (0, 4)), {5: thing()}, strip((1, 4), (2, 4)), {1: thing(), 2: thing()}, 100, 100, 100),
        # Exactly half on nothing: wrong. RQ = 1 / (1 + 1 / 2).
        (
            strip((5, 8), (6, 2), (0, 2)),
            {5: thing(), 6: thing(STAR, iscrowd=1)},
            strip((1, 8), (2, 4)),
            {1: thing(), 2: thing()},
            200 / 3,
            100,
            200 / 3,
        ),
        # On a crowd of its category: not wrong, and the crowd is not missed.
        (
            strip((5, 8), (6, 4)),
            {5: thing(), 6: thing(iscrowd=1)},
            strip((1, 8), (2, 4)),
            {1: thing(), 2: thing()},
            100,
            100,
            100,
        ),
    ],
)
def test_worked_values(
    tmp_path: Path,
    truth: Map,
    annotated: Segments,
    predicted: Map,
    found: Segments,
    pq: float,
    sq: float,
    rq: float,
) -> None:
    have = measured(tmp_path, [(truth, annotated)], [(predicted, found)])
    assert [have["PQ"], have["SQ"], have["RQ"]] == pytest.approx([pq, sq, rq])


def test_what_does_not_occur_does_not_count(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    have = measured(tmp_path, [(strip((5, 8)), {5: thing()})], [(strip((1, 8)), {1: thing()})])
    assert list(have) == [
        *("PQ", "SQ", "RQ", "PQ_th", "SQ_th", "RQ_th", "PQ_st", "SQ_st", "RQ_st"),
        *("PQ-disc", "PQ-star", "PQ-sky", "PQ-grass"),
    ]
    assert (have["PQ"], have["PQ_th"], have["PQ-disc"]) == (100, 100, 100)
    assert all(math.isnan(have[name]) for name in ("PQ_st", "PQ-star", "PQ-sky"))
    assert caplog.messages == []
    assert math.isnan(measured(tmp_path, [(strip((0, 8)), {})], [(strip((0, 8)), {})])["PQ"])
    assert "PQ is not a number, for no segment is annotated or found" in caplog.text


def shapes_truth(folder: Path) -> PanopticDataset:
    """The pictures of tests/data/shapes: stuff from the semantic maps, over it the objects by falling area."""
    data = json.loads((SHAPES / "val" / "annotations.json").read_text())
    stuff = [{"id": 101 + i, "name": name, "isthing": 0} for i, name in enumerate(("sky", "grass", "sand"))]
    categories = [{"id": c["id"], "name": c["name"], "isthing": 1} for c in data["categories"]] + stuff
    folder.mkdir()
    annotations = []
    for image in data["images"]:
        with Image.open((SHAPES / "val" / "sem_seg" / image["file_name"]).with_suffix(".png")) as file:
            semantic = np.asarray(file).astype(np.int64)
        ids = np.where(semantic > 0, 1000 + semantic, 0)
        segments = [{"id": 1000 + k, "category_id": 100 + k, "iscrowd": 0} for k in (1, 2, 3)]
        objects = [one for one in data["annotations"] if one["image_id"] == image["id"]]
        for number, one in enumerate(sorted(objects, key=lambda one: -one["area"]), start=70_000):
            ids[rle_code.decode(one["segmentation"]).astype(bool)] = number
            segments.append({"id": number, "category_id": one["category_id"], "iscrowd": 0})
        areas = {one["id"]: int((ids == one["id"]).sum()) for one in segments}
        told = [{**one, "area": areas[one["id"]]} for one in segments if areas[one["id"]]]
        name = Path(image["file_name"]).with_suffix(".png").name
        Image.fromarray(colours(ids)).save(folder / name)
        annotations.append({"image_id": image["id"], "file_name": name, "segments_info": told})
    json_file = folder.with_suffix(".json")
    json_file.write_text(json.dumps({**data, "categories": categories, "annotations": annotations}))
    return PanopticDataset(json_file, SHAPES / "val" / "images")


def shapes_answers() -> dict[int, tuple[Any, list[dict[str, Any]]]]:
    """What Detectron2 answered."""
    answers = json.loads((SHAPES / "panoptic_fpn" / "detectron2.json").read_text())["results"]
    found = {}
    for answer in answers:
        stem = Path(answer["file_name"]).stem
        with Image.open(SHAPES / "panoptic_fpn" / f"{stem}_panoptic.png") as file:
            found[answer["image_id"]] = np.asarray(file).astype(np.int32), answer["segments_info"]
    return found


# By panopticapi (main branch, commit 7bb4655, evaluation.pq_compute) for `shapes_truth` and `shapes_answers`.
PANOPTICAPI = {
    **{"PQ": 58.589216, "SQ": 85.143236, "RQ": 68.382481},
    **{"PQ_th": 42.554951, "SQ_th": 82.903443, "RQ_th": 51.91197},
    **{"PQ_st": 85.31299, "SQ_st": 88.876224, "RQ_st": 95.833333},
}


def test_panopticapis_numbers(tmp_path: Path) -> None:
    answers = shapes_answers()
    dataset = shapes_truth(tmp_path / "truth")

    def predictor(inputs: dict[str, Any]) -> dict[str, Any]:
        return {"panoptic_seg": answers[inputs["image_id"]]}

    have = evaluate(dataset, predictor, READER, classes=5, stuff_classes=4)
    assert list(have) == ["panoptic"]
    assert {name: have["panoptic"][name] for name in PANOPTICAPI} == pytest.approx(PANOPTICAPI, abs=1e-6)


# ---- With the AP of objects ------------------------------------------------------------------------


def both(folder: Path) -> tuple[CocoDataset, PanopticDataset, Callable[[dict[str, Any]], dict[str, Any]]]:
    """The same three pictures with objects and with segments, and a predictor that is right about both."""
    box = (5, 5, 20, 10)
    file, images = write_dataset(folder, [annotation(1, 3, box)])
    ids = np.full((60, 90), 5, np.int64)
    segments, _ = write_panoptic(folder, [(ids, {5: thing(SKY)})] * 3)
    found = {1: instances((0, 0.9, box))}

    def predictor(inputs: dict[str, Any]) -> dict[str, Any]:
        some = found.get(inputs["image_id"], instances())
        return {"instances": some, "panoptic_seg": as_model(np.minimum(ids, 1), {1: thing(SKY)})}

    return CocoDataset(file, images), PanopticDataset(segments, images), predictor


def test_tasks(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    objects, segments, predictor = both(tmp_path)
    have = evaluate(objects, predictor, READER, panoptic=segments)
    assert list(have) == ["bbox", "panoptic"]
    assert [have["bbox"]["AP"], have["panoptic"]["PQ"]] == pytest.approx([100, 100])
    assert list(evaluate(objects, predictor, READER, panoptic=segments, tasks=["bbox"])) == ["bbox"]
    assert list(evaluate(objects, predictor, READER, panoptic=segments, tasks=["panoptic"])) == ["panoptic"]
    assert list(evaluate(objects, predictor, READER, tasks=["bbox"])) == ["bbox"]
    assert caplog.messages == []
    boxes = lambda inputs: {"instances": predictor(inputs)["instances"]}  # noqa: E731
    assert list(evaluate(objects, boxes, READER, panoptic=segments)) == ["bbox"]
    assert caplog.messages == ["panoptic quality is left out: the model gives instances, but no panoptic_seg"]
    with pytest.raises(Unsupported, match="the model gives instances, but no panoptic_seg"):
        evaluate(objects, boxes, READER, panoptic=segments, tasks=["bbox", "panoptic"])
    with pytest.raises(Unsupported, match="the model gives instances, but no panoptic_seg"):
        evaluate(segments, boxes, READER)


@pytest.mark.parametrize(
    ("tasks", "message"),
    [
        (["panoptic"], "task 'panoptic' needs annotations in COCO's panoptic format"),
        (["boxes"], "task 'boxes' is not known; known: bbox, keypoints, segm, panoptic"),
        ("bbox", "tasks are 'bbox', wanted a list of some of bbox"),
        ([], "wanted a list of some of bbox"),
        (["keypoints"], "1 of 1 annotations have no keypoints, the first is annotations[0], which keypoints AP needs"),
    ],
)
def test_tasks_are_checked_before_predicting(tmp_path: Path, tasks: Any, message: str) -> None:
    objects, segments, _ = both(tmp_path)
    with pytest.raises(InvalidArgument) as caught:
        evaluate(objects, lambda _: pytest.fail("it was predicted"), READER, tasks=tasks)
    assert message in str(caught.value)
    with pytest.raises(InvalidArgument, match="the data set has segments alone"):
        evaluate(segments, lambda _: pytest.fail("it was predicted"), READER, tasks=["bbox"])


def test_other_images(tmp_path: Path) -> None:
    objects, _, _ = both(tmp_path)
    (tmp_path / "other").mkdir()
    other = PanopticDataset(*write_panoptic(tmp_path / "other", [(strip((5, 8)), {5: thing()})]))
    with pytest.raises(InvalidArgument, match=r"has other images than .* wanted panoptic annotations of the same"):
        evaluate(objects, lambda _: {}, READER, panoptic=other)


# ---- Classes ---------------------------------------------------------------------------------------


def test_classes_that_differ(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    objects, segments, right = both(tmp_path)  # disc, star; sky, grass

    def predictor(inputs: dict[str, Any]) -> dict[str, Any]:
        extra = instances((0, 0.9, (5, 5, 20, 10)), (2, 0.8, (5, 5, 20, 10)))
        return {"instances": extra if inputs["image_id"] == 1 else instances()}

    evaluate(
        objects, right, READER, panoptic=segments, classes=["Disc", "star"], stuff_classes=["things", "sky", "grass"]
    )
    evaluate(objects, right, READER, classes=2)
    evaluate(objects, right, READER, classes=[])
    assert caplog.messages == []
    file = objects.json_file
    evaluate(objects, right, READER, classes=["disc", "cross"])
    evaluate(objects, right, READER, classes=1)
    found = evaluate(objects, predictor, READER, classes=["disc", "star", "cross"])
    assert found["bbox"]["AP-disc"] == pytest.approx(100)
    assert caplog.messages == [
        f"{file}: names of classes differ from the model's; they are matched by their order: class 1 is 'cross' in the "
        f"model and 'star' in the data set",
        f"{file}: has 2 classes, but the model has 1: it cannot find 'star'",
        f"{file}: has 2 classes, the first of the model's 3: what the model finds of the others is left out",
    ]
    never = lambda _: pytest.fail("it was predicted")  # noqa: E731
    for classes in (3, ["star", "disc", "cross"]):
        with pytest.raises(InvalidArgument, match=r"has 2 classes, but the model has 3.* matched by their order"):
            evaluate(objects, never, READER, classes=classes)
    with pytest.raises(InvalidArgument, match="has 2 classes of stuff, but the model has 3"):
        evaluate(segments, never, READER, classes=2, stuff_classes=4)
    with pytest.raises(InvalidArgument, match="has 2 classes of things, the model has 3; wanted as many"):
        evaluate(segments, never, READER, classes=["disc", "star", "cross"])


# ---- Wrong predictions -----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("answer", "message"),
    [
        (7, "image 1: panoptic_seg is 7, wanted a map and segments"),
        ((strip((1, 7)), []), r"the panoptic map is \(1, 7\) int64, wanted integers of \(1, 8\)"),
        ((strip((1, 8)).astype(float), []), r"the panoptic map is \(1, 8\) float64, wanted integers"),
        ((strip((1, 8)), []), "the panoptic map has a segment 1, which is not in the list"),
        ((strip((-1, 8)), None), "the panoptic map has a segment -1"),
        ((strip((1, 8)), [{"id": 1, "isthing": True, "category_id": 0}] * 2), "have the id 1 twice"),
        (
            (strip((1, 8)), [{"id": 1, "isthing": True, "category_id": 2}]),
            r"a predicted segment of class 2 of things, but .* has 2 categories of things",
        ),
        ((strip((1, 8)), [{"id": 1, "isthing": False, "category_id": 0}]), "a predicted segment of class 0 of stuff"),
    ],
)
def test_predictions_are_checked(tmp_path: Path, answer: Any, message: str) -> None:
    dataset = PanopticDataset(*write_panoptic(tmp_path, [(strip((5, 8)), {5: thing()})]))
    with pytest.raises(InvalidArgument, match=message):
        PanopticQuality(dataset).add(dataset.images[0], answer)


def test_every_image_once(tmp_path: Path) -> None:
    dataset = PanopticDataset(*write_panoptic(tmp_path, [(strip((5, 8)), {5: thing()})] * 2))
    counting = PanopticQuality(dataset)
    counting.add(dataset.images[0], as_model(strip((1, 8)), {1: thing()}))
    with pytest.raises(InvalidArgument, match="image 1: was added before"):
        counting.add(dataset.images[0], as_model(strip((1, 8)), {1: thing()}))
    with pytest.raises(InvalidArgument, match="1 of 2 images have no prediction"):
        counting.metrics()


def test_metrics_as_json(tmp_path: Path) -> None:
    metrics = {"bbox": {"AP": 38.5, "APl": NAN, "AP-disc": np.float64(7)}, "panoptic": {"PQ": 40.0}}
    write_metrics(tmp_path / "metrics.json", metrics)
    assert json.loads((tmp_path / "metrics.json").read_text()) == {
        "bbox": {"AP": 38.5, "APl": None, "AP-disc": 7},
        "panoptic": {"PQ": 40},
    }
    assert "panoptic PQ" in format_table({"a": metrics})
    with pytest.raises(InvalidArgument, match=r"cannot be written: .*wanted a file for the metrics"):
        write_metrics(tmp_path / "nowhere" / "metrics.json", metrics)


def test_predicted_segments_without_pixels(tmp_path: Path) -> None:
    dataset = PanopticDataset(*write_panoptic(tmp_path, [(strip((5, 8)), {5: thing()})]))
    counting = PanopticQuality(dataset)
    counting.add(dataset.images[0], as_model(strip((1, 8)), {1: thing(), 2: thing()}))
    assert counting.metrics()["PQ"] == 100
