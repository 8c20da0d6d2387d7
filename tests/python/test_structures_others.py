"""Our containers in the hands of others: supervision, pycocotools, and Detectron2's own code where it is installed."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from pycocotools import mask as rle
from small_models import random_boxes, random_rotated

import d2deploy.structures as ours
from d2deploy.structures import Instances

HEIGHT, WIDTH = 40, 60
BOXES = [[3.5, 4.0, 20.0, 30.0], [30.0, 10.0, 55.5, 39.0]]


def prediction(kind: str, structures: Any = ours, masks: bool = True) -> Any:
    """Two instances in the image, of NumPy arrays or of PyTorch tensors."""
    make: Any = torch.from_numpy if kind == "torch" else np.asarray
    bits = np.zeros((2, HEIGHT, WIDTH), bool)
    bits[0, 4:30, 4:20] = bits[1, 10:39, 30:55] = True
    points = np.array([[[5, 6, 0.5], [7, 8, 0.75]], [[31, 12, 0.25], [50.5, 30, 1]]], np.float32)
    found = structures.Instances(
        (HEIGHT, WIDTH),
        pred_boxes=structures.Boxes(make(np.array(BOXES, np.float32))),
        scores=make(np.array([0.875, 0.5], np.float32)),
        pred_classes=make(np.array([2, 0])),
        pred_keypoints=make(points),
    )
    if masks:
        found.pred_masks = make(bits)
    return found


both = pytest.mark.parametrize("kind", ["numpy", "torch"])


# ---- supervision -----------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def sv() -> Any:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return pytest.importorskip("supervision", reason="supervision is not installed: scripts/setup")


@both
@pytest.mark.parametrize("masks", [True, False])
def test_supervision_takes_detections(sv: Any, kind: str, masks: bool) -> None:
    detections = sv.Detections.from_detectron2({"instances": prediction(kind, masks=masks)})
    assert detections.xyxy.tolist() == BOXES
    assert detections.confidence.tolist() == [0.875, 0.5]
    assert detections.class_id.tolist() == [2, 0]
    if masks:
        assert [mask.sum() for mask in detections.mask] == [26 * 16, 29 * 25]
    else:
        assert detections.mask is None
    image = sv.MaskAnnotator().annotate(np.zeros((HEIGHT, WIDTH, 3), np.uint8), detections)
    image = sv.BoxAnnotator(thickness=1).annotate(image, detections)
    assert image.any(axis=2).any()
    assert len(detections[detections.confidence > 0.6]) == 1


@both
def test_supervision_takes_keypoints_and_no_instances(sv: Any, kind: str) -> None:
    found = prediction(kind)
    points = sv.KeyPoints.from_detectron2({"instances": found})
    assert points.xy.tolist() == found.pred_keypoints[:, :, :2].tolist()
    assert points.keypoint_confidence.tolist() == [[0.5, 0.75], [0.25, 1.0]]
    assert len(sv.Detections.from_detectron2({"instances": found[:0]})) == 0
    assert len(sv.KeyPoints.from_detectron2({"instances": found[:0]})) == 0


# ---- pycocotools -----------------------------------------------------------------------------------


@both
def test_pycocotools_takes_boxes_and_masks(kind: str) -> None:
    found = prediction(kind)
    codes = [
        rle.encode(np.array(np.asarray(mask)[:, :, None], order="F", dtype="uint8"))[0] for mask in found.pred_masks
    ]
    assert rle.area(codes).tolist() == [26 * 16, 29 * 25]
    assert rle.toBbox(codes).tolist() == [[4, 4, 16, 26], [30, 10, 25, 29]]
    boxes = ours.BitMasks(found.pred_masks).get_bounding_boxes()
    xywh = np.concatenate([np.asarray(boxes)[:, :2], np.asarray(boxes)[:, 2:] - np.asarray(boxes)[:, :2]], axis=1)
    assert rle.iou(xywh.astype(np.float64), rle.toBbox(codes), [False, False]).tolist() == [[1, 0], [0, 1]]


# ---- Detectron2 ------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def theirs() -> Any:
    """Detectron2's structures."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return pytest.importorskip("detectron2.structures", reason="Detectron2 is not installed")


def same(have: Any, want: Any) -> None:
    # Angles go through 180 degrees, where neighbouring numbers are 1.5e-5 apart; NumPy's sines are not PyTorch's.
    torch.testing.assert_close(torch.as_tensor(np.asarray(have)), want, rtol=2e-6, atol=4e-5)


@both
@pytest.mark.parametrize("name", ["Boxes", "RotatedBoxes"])
@settings(max_examples=30)
@given(seed=st.integers(0, 999), threshold=st.sampled_from([0, 1, 7.5]))
def test_boxes_do_what_detectron2s_do(theirs: Any, name: str, kind: str, seed: int, threshold: float) -> None:
    rows = random_boxes(30, seed) if name == "Boxes" else random_rotated(30, seed)
    rows[1, 2:4] = rows[1, :2] if name == "Boxes" else 0
    if name == "RotatedBoxes":
        rows[::3, 4] /= 180
        rows[1::3, 4] += 360
    have = getattr(ours, name)(rows.numpy().copy() if kind == "numpy" else rows.clone())
    want = getattr(theirs, name)(rows.clone())
    steps: list[Callable[[Any], Any]] = [lambda boxes: boxes.scale(0.7, 2.0), lambda boxes: boxes.clip((50, 60))]
    if name == "RotatedBoxes":
        steps += [lambda boxes: boxes.normalize_angles(), lambda boxes: boxes.clip((30, 30), threshold)]
    for step in [lambda _: None, *steps]:
        step(have), step(want)
        same(have.tensor, want.tensor)
        same(have.area(), want.area())
        same(have.get_centers(), want.get_centers())
        for asked in ("nonempty", "inside_box"):
            argument = [(50, 60)] if asked == "inside_box" else []
            assert (
                getattr(have, asked)(*argument, threshold).tolist()
                == getattr(want, asked)(*argument, threshold).tolist()
            )
    same(have[3].tensor, want[3].tensor)
    same(type(have).cat([have[:3], have[5:]]).tensor, type(want).cat([want[:3], want[5:]]).tensor)
    assert (len(have), str(have.device)) == (len(want), str(want.device))


@both
def test_instances_do_what_detectron2s_do(theirs: Any, kind: str) -> None:
    have, want = prediction(kind), prediction("torch", theirs)
    changes: list[Callable[[Any], Any]] = [
        lambda found: found,
        lambda found: found[1],
        lambda found: found[-1],
        lambda found: found[found.scores > 0.6],
        lambda found: found[found.scores > 2],
        lambda found: type(found).cat([found, found[:1]]),
        lambda found: found.to("cpu"),
    ]
    for change in changes:
        mine, other = change(have), change(want)
        assert (len(mine), mine.image_size) == (len(other), other.image_size)
        assert list(mine.get_fields()) == list(other.get_fields())
        for name, field in other.get_fields().items():
            same(mine.get(name), getattr(field, "tensor", field))
    if kind == "torch":
        assert str(have) == str(want)
    wrongs: list[Callable[[Any], Any]] = [
        lambda structures: len(structures.Instances((1, 1))),
        lambda structures: iter(prediction("torch", structures)),
        lambda structures: prediction("torch", structures)[2],
        lambda structures: prediction("torch", structures).nothing,
        lambda structures: prediction("torch", structures).get("nothing"),
        lambda structures: prediction("torch", structures).remove("nothing"),
    ]
    for wrong in wrongs:
        with pytest.raises(Exception) as error:  # noqa: PT011  # which one is what is asked
            wrong(theirs)
        with pytest.raises(error.type):
            wrong(ours)


@both
def test_pasting_and_keypoints_are_detectron2s(theirs: Any, kind: str) -> None:
    make: Any = torch.from_numpy if kind == "torch" else np.asarray
    masks = np.random.default_rng(0).uniform(0, 1, (8, 6, 6)).astype(np.float32)
    boxes = random_boxes(8).clip(0, 49).numpy()  # Detectron2 cannot paste outside of the image
    have = ours.ROIMasks(make(masks)).to_bitmasks(ours.Boxes(make(boxes)), 50, 60)
    want = theirs.ROIMasks(torch.from_numpy(masks)).to_bitmasks(theirs.Boxes(torch.from_numpy(boxes)), 50, 60)
    assert (np.asarray(have) != want.tensor.numpy()).sum() <= 1  # a pixel whose probability is the threshold
    same(have.get_bounding_boxes().tensor, want.get_bounding_boxes().tensor)
    assert have.nonempty().tolist() == want.nonempty().tolist()
    points = np.random.default_rng(0).uniform(0, 1, (8, 3, 3)).astype(np.float32)
    mine, other = ours.Keypoints(make(points)), theirs.Keypoints(torch.from_numpy(points))
    same(mine[2:4].tensor, other[2:4].tensor)
    same(ours.Keypoints.cat([mine[1], mine]).tensor, theirs.Keypoints.cat([other[1:2], other]).tensor)
    assert repr(mine) == repr(other)


@pytest.mark.filterwarnings("ignore")  # Detectron2's own
@both
@pytest.mark.parametrize("mode", ["IMAGE", "SEGMENTATION", "IMAGE_BW"])
@pytest.mark.parametrize("rotated", [False, True])
def test_detectron2s_visualizer_draws_our_instances(theirs: Any, kind: str, mode: str, rotated: bool) -> None:
    catalog = pytest.importorskip("detectron2.data.catalog", reason="Detectron2's catalogue cannot be imported")
    visualizer = pytest.importorskip("detectron2.utils.visualizer", reason="Detectron2's Visualizer cannot be imported")
    picture = np.random.default_rng(0).integers(0, 255, (HEIGHT, WIDTH, 3), np.uint8)
    metadata = catalog.Metadata(
        name="three", thing_classes=["a", "b", "c"], thing_colors=[[255, 0, 0], [0, 255, 0], [0, 0, 255]]
    )

    def drawn(found: Any, structures: Any) -> Any:
        if rotated:
            rows = np.array([[12, 17, 16, 26, 30], [42, 24, 25, 29, 0]], np.float32)
            found.remove("pred_boxes")
            found.pred_boxes = structures.RotatedBoxes(torch.from_numpy(rows) if kind == "torch" else rows)
        canvas = visualizer.Visualizer(picture, metadata, 2.0, getattr(visualizer.ColorMode, mode))
        canvas._default_font_size = 8
        np.random.seed(0)  # Detectron2 takes its colours from there
        return canvas.draw_instance_predictions(found, jittering=False).get_image()

    want = drawn(prediction("torch", theirs), theirs)
    np.testing.assert_array_equal(drawn(prediction(kind), ours), want)
    assert len(np.unique(want)) > 50


@pytest.mark.filterwarnings("ignore")  # Detectron2's own
@both
def test_detectron2s_evaluator_takes_our_instances(theirs: Any, kind: str) -> None:
    evaluation = pytest.importorskip(
        "detectron2.evaluation.coco_evaluation", reason="Detectron2's COCOEvaluator cannot be imported"
    )
    want = evaluation.instances_to_coco_json(prediction("torch", theirs).to("cpu"), 7)
    assert evaluation.instances_to_coco_json(prediction(kind).to("cpu"), 7) == want
    assert len(want) == 2
    assert evaluation.instances_to_coco_json(Instances((1, 1), scores=np.zeros(0)), 7) == []
