"""COCO's AP of predictions that can be counted by hand, what a predictor is given, and what is told of wrong ones."""

from __future__ import annotations

import math
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from tiny_coco import HEIGHT, WIDTH, annotation, instances, write_dataset

from d2deploy.errors import InvalidArgument, Unsupported
from d2deploy.evaluation import CocoDataset, Metrics, evaluate, format_table, to_results
from d2deploy.images import ImageReader
from d2deploy.structures import Instances, RotatedBoxes

DISC, STAR = 3, 7  # category ids; as classes 0 and 1
SMALL, MEDIUM, OTHER = (5, 5, 20, 10), (30, 5, 50, 40), (2, 45, 12, 12)
NAN = float("nan")

ANNOTATIONS = [annotation(1, DISC, SMALL), annotation(2, DISC, MEDIUM), annotation(3, STAR, SMALL)]
READER = ImageReader(min_size=0)


@pytest.fixture
def dataset(tmp_path: Path) -> CocoDataset:
    return CocoDataset(*write_dataset(tmp_path, ANNOTATIONS))


def ap(dataset: CocoDataset, answers: dict[int, Instances], **options: Any) -> Metrics:
    """The AP of a predictor that gives these answers by image id, and nothing for the others."""
    return evaluate(dataset, lambda x: {"instances": answers.get(x["image_id"], instances())}, READER, **options)


def test_perfect_predictions(dataset: CocoDataset) -> None:
    found = {
        1: instances((0, 0.9, SMALL), masks=True),
        2: instances((0, 0.8, MEDIUM), masks=True),
        3: instances((1, 0.7, SMALL), masks=True),
    }
    all_right = {
        "AP": 100,
        "AP50": 100,
        "AP75": 100,
        "APs": 100,
        "APm": 100,
        "APl": NAN,
        "AP-disc": 100,
        "AP-star": 100,
    }
    have = ap(dataset, found)
    assert list(have) == ["bbox", "segm"]
    for metrics in have.values():
        assert metrics == pytest.approx(all_right, nan_ok=True)
        assert list(metrics) == list(all_right)


# Discs: right, wrong, right by falling score. Recall 0.5 at precision 1, recall 1 at precision 2/3; of COCO's 101
# points of recall, 51 (0 to 0.50) see the first and 50 the second. The star is moved by 4 of 20 pixels: an IoU of
# 16/24, enough for four of the ten IoUs from 0.5 to 0.95, not for 0.75.
DISCS = (51 + 50 * 2 / 3) / 101 * 100
MIXED = {"AP": (DISCS + 40) / 2, "AP50": (DISCS + 100) / 2, "AP75": DISCS / 2, "AP-disc": DISCS, "AP-star": 40}


@pytest.mark.parametrize("masks", [False, True])
def test_mixed_predictions(dataset: CocoDataset, masks: bool) -> None:
    moved = (SMALL[0] + 4, *SMALL[1:])
    found = {
        1: instances((0, 0.9, SMALL), (0, 0.8, OTHER), masks=masks),
        2: instances((0, 0.7, MEDIUM), masks=masks),
        3: instances((1, 0.6, moved), masks=masks),
    }
    for metrics in ap(dataset, found).values():
        assert {name: metrics[name] for name in MIXED} == pytest.approx(MIXED)


def test_sizes_are_those_of_the_masks(tmp_path: Path) -> None:
    # A mask of 200 pixels in a box of 2000 is small for segm, and its box medium for bbox.
    dataset = CocoDataset(*write_dataset(tmp_path, [annotation(1, DISC, SMALL)]))
    found = instances((0, 0.9, SMALL), (0, 0.95, MEDIUM), masks=True)
    found.pred_masks[1] = False
    found.pred_masks[1, 50:, 80:] = True
    have = ap(dataset, {1: found})
    # The wrong one comes first, so precision is 1/2; it counts among the small ones by its mask alone.
    assert have["bbox"]["APs"] == pytest.approx(100)
    assert have["segm"]["APs"] == pytest.approx(50)


def test_crowds_are_not_counted(tmp_path: Path) -> None:
    crowd = annotation(1, DISC, MEDIUM, iscrowd=1)
    dataset = CocoDataset(*write_dataset(tmp_path, [*ANNOTATIONS, crowd]))
    found = {1: instances((0, 0.99, MEDIUM), (0, 0.9, SMALL)), 2: instances((0, 0.8, MEDIUM))}
    assert ap(dataset, found)["bbox"]["AP-disc"] == pytest.approx(100)


def test_max_detections(dataset: CocoDataset) -> None:
    found = {3: instances((1, 0.9, OTHER), (1, 0.8, SMALL))}
    assert ap(dataset, found)["bbox"]["AP-star"] == pytest.approx(50)
    assert ap(dataset, found, max_detections=1)["bbox"]["AP-star"] == 0


def test_no_predictions_have_no_ap(dataset: CocoDataset) -> None:
    have = ap(dataset, {})
    assert list(have) == ["bbox"]
    assert list(have["bbox"]) == ["AP", "AP50", "AP75", "APs", "APm", "APl"]
    assert all(map(math.isnan, have["bbox"].values()))


def with_keypoints(folder: Path) -> CocoDataset:
    points = {"keypoints": [40, 10, 2, 50, 20, 1, 0, 0, 0], "num_keypoints": 2}
    return CocoDataset(*write_dataset(folder, [annotation(1, DISC, MEDIUM, **points)]))


def test_keypoints(tmp_path: Path) -> None:
    # Both labelled points lie 2.5 pixels beside those of the picture's pixel centres (the annotations are indices of
    # pixels, predictions are half a pixel larger): OKS is exp(-2.5^2 / (2 * 2000 * (2 * 0.05)^2)) = 0.855, enough for
    # eight of the ten thresholds from 0.5 to 0.95.
    points = [[[43, 10.5, 0.3], [50.5, 23, 0.2], [7, 7, 0.1]]]
    found = {1: instances((0, 0.9, MEDIUM), keypoints=points)}
    have = ap(with_keypoints(tmp_path), found, keypoint_sigmas=[0.05, 0.05, 0.05])
    assert list(have) == ["bbox", "keypoints"]
    wanted = {"AP": 80, "AP50": 100, "AP75": 100, "APm": 80, "APl": NAN, "AP-disc": 80, "AP-star": NAN}
    assert have["keypoints"] == pytest.approx(wanted, nan_ok=True)
    assert found[1].pred_keypoints[0, 0, 0] == 43  # as they were


def test_keypoints_of_another_number(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    found = {1: instances((0, 0.9, MEDIUM), keypoints=np.ones((1, 3, 3)))}
    message = r"the data set \[3\], TEST.KEYPOINT_OKS_SIGMAS \[17\]"
    with pytest.raises(InvalidArgument, match=message):
        ap(with_keypoints(tmp_path), found, tasks=["bbox", "keypoints"])
    assert list(ap(with_keypoints(tmp_path), found)) == ["bbox"]
    assert re.search(r"keypoints AP is left out: .*the predictions \[3\], " + message, caplog.text)


def test_keypoints_that_nobody_counted(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    lies: list[dict[str, Any]] = [{}, {"num_keypoints": 3}, {"num_keypoints": "2"}]
    annotations = [annotation(1, DISC, MEDIUM, keypoints=[40, 10, 2, 50, 20, 1, 0, 0, 0], **lie) for lie in lies]
    dataset = CocoDataset(*write_dataset(tmp_path, annotations))
    assert [a["num_keypoints"] for a in dataset.annotations] == [2, 2, 2]
    assert "another number than are labelled, counted: 3 times, first in annotations[0]" in caplog.text


def test_tensors_are_taken_too(dataset: CocoDataset) -> None:
    torch = pytest.importorskip("torch")
    arrays = instances((0, 0.9, SMALL), masks=True)
    tensors = Instances(
        (HEIGHT, WIDTH),
        pred_boxes=torch.tensor(arrays.pred_boxes.tensor),
        scores=torch.tensor(arrays.scores).requires_grad_(),
        pred_classes=torch.tensor(arrays.pred_classes),
        pred_masks=torch.tensor(arrays.pred_masks),
    )
    assert to_results(tensors, dataset.images[0]) == to_results(arrays, dataset.images[0])


# ---- The predictor ---------------------------------------------------------------------------------


def test_predictor_is_given_what_detectron2_gives(dataset: CocoDataset) -> None:
    inputs: list[dict[str, Any]] = []

    def predictor(x: dict[str, Any]) -> dict[str, Any]:
        inputs.append(x)
        return {"instances": instances()}

    evaluate(dataset, predictor, ImageReader(min_size=30, max_size=40, image_format="BGR"))
    assert [x["image_id"] for x in inputs] == [1, 2, 3]
    for x in inputs:
        assert Path(x["file_name"]) == dataset.image_root / f"{x['image_id']}.png"
        assert (x["height"], x["width"]) == (HEIGHT, WIDTH)
        assert (x["image"].shape, x["image"].dtype) == ((3, 27, 40), np.uint8)
        np.testing.assert_array_equal(x["image"][:, 0, 0], [30, 20, 10 * x["image_id"]])


def test_nothing_is_printed_but_the_bar(dataset: CocoDataset, capfd: pytest.CaptureFixture[str]) -> None:
    found = {1: instances((0, 0.9, SMALL))}
    ap(dataset, found)
    assert capfd.readouterr() == ("", "")
    ap(dataset, found, progress="model.pb")
    out, err = capfd.readouterr()
    assert out == ""
    assert "model.pb: 100%" in err
    assert "3/3" in err


@pytest.mark.parametrize(
    ("kind", "answer", "options", "message"),
    [
        (Unsupported, lambda: {"proposals": 1}, {}, "gives proposals, but no instances"),
        (Unsupported, dict, {}, "gives nothing, but no instances"),
        (
            InvalidArgument,
            lambda: {"instances": instances((2, 0.9, SMALL))},
            {},
            "predictions of class 2, but the data set has 2 classes, from 0",
        ),
        (
            InvalidArgument,
            lambda: {"instances": instances((0, 0.9, SMALL))},
            {"tasks": ["segm"]},
            "the model gives no pred_masks, which segm AP needs",
        ),
        (
            InvalidArgument,
            lambda: {"instances": instances((0, 0.9, SMALL), keypoints=np.ones((1, 3, 3)))},
            {"tasks": ["keypoints"]},
            "3 of 3 annotations have no keypoints, the first is annotations[0], which keypoints AP needs",
        ),
        (
            InvalidArgument,
            lambda: {"instances": instances((0, 0.9, SMALL))},
            {"tasks": ["boxes"]},
            "task 'boxes' is not known; known: bbox, keypoints, segm, panoptic",
        ),
    ],
)
def test_predictions_are_checked(
    dataset: CocoDataset, kind: type[Exception], answer: Callable[[], Any], options: dict[str, Any], message: str
) -> None:
    with pytest.raises(kind) as caught:
        evaluate(dataset, lambda _: answer(), READER, **options)
    assert message in str(caught.value)


def test_fields_are_checked(dataset: CocoDataset) -> None:
    found = instances((0, 0.9, SMALL), masks=True)
    found.pred_masks = found.pred_masks[:, 1:]
    with pytest.raises(InvalidArgument, match=r"image 1: pred_masks are \(1, 59, 90\), wanted \(N, 60, 90\)"):
        to_results(found, dataset.images[0])
    found.pred_boxes = RotatedBoxes(np.zeros((1, 5), np.float32))
    with pytest.raises(Unsupported, match=r"pred_boxes are \(1, 5\), wanted \(N, 4\).* no rotated boxes"):
        to_results(found, dataset.images[0])


# ---- The table -------------------------------------------------------------------------------------


def test_table_of_two() -> None:
    have = format_table(
        {
            "PyTorch": {"bbox": {"AP": 38.6543, "APl": NAN}, "segm": {"AP": 100.0}},
            "model.pb": {"bbox": {"AP": 38.6542, "APl": NAN}, "segm": {"AP": 99.0}},
        }
    )
    assert have.split("\n") == [
        "          PyTorch  model.pb  difference",
        "bbox AP    38.654    38.654      +0.000",
        "bbox APl      nan       nan",
        "segm AP   100.000    99.000      -1.000",
    ]


def test_table_of_others() -> None:
    assert format_table({"a": {"bbox": {"AP": 1.0}}}).split("\n") == ["             a", "bbox AP  1.000"]
    three = format_table({"a": {"bbox": {"AP": 1}}, "b": {"bbox": {"AP": 2}}, "c": {"segm": {"AP": 3}}})
    assert three.split("\n")[1:] == ["bbox AP  1.000  2.000    nan", "segm AP    nan    nan  3.000"]
