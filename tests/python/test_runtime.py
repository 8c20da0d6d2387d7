"""d2deploy.runtime: predictions in NumPy, by hand and against those in PyTorch; and what it needs to be imported."""

from __future__ import annotations

import math
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
import torch
from exported import Array
from small_models import random_boxes
from torch.nn import functional

from d2deploy.errors import InvalidArgument, Unsupported
from d2deploy.modeling import boxes as torch_boxes
from d2deploy.modeling import nms as torch_nms
from d2deploy.modeling import postprocessing
from d2deploy.modeling.anchors import shifted_anchors
from d2deploy.structures import Boxes, Instances

if TYPE_CHECKING:
    from d2deploy import runtime
    from d2deploy.runtime import boxes, maps, predictions
else:
    runtime = pytest.importorskip(
        "d2deploy.runtime", reason="not built: cmake --preset dev && cmake --build --preset dev"
    )
    from d2deploy.runtime import boxes, maps, predictions

SEEDS = range(3)
INFO: dict[str, Any] = {
    "meta_architecture": "RetinaNet",
    "anchor_strides": [4, 8],
    "cell_anchors": [-6.0, -3.0, 6.0, 3.0, -3.0, -6.0, 3.0, 6.0] * 2,
    "bbox_reg_weights": [1.0, 1.0, 0.5, 0.5],
    "score_threshold": 0.3,
    "topk_candidates": 40,
    "nms_threshold": 0.5,
    "max_detections_per_image": 30,
}


def random(*shape: int, seed: int) -> Array:
    return np.random.default_rng(seed).uniform(0, 1, shape).astype(np.float32)


def same(have: Array, want: torch.Tensor, atol: float = 1e-4) -> None:
    assert (have.shape, have.dtype) == (tuple(want.shape), want.numpy().dtype)
    np.testing.assert_allclose(have, want.numpy(), rtol=1e-5, atol=atol)


# ---- By hand ---------------------------------------------------------------------------------------


def test_a_peak_becomes_a_keypoint() -> None:
    # Of the size of its box, the heatmap is not resized: the peak is a pixel, and its centre is half a pixel further.
    heatmaps = np.zeros((1, 2, 8, 8), np.float32)
    heatmaps[0, 0, 3, 5], heatmaps[0, 1, 0, 7] = 4, 2
    found = maps.keypoints_of(heatmaps, np.array([[10, 20, 18, 28]], np.float32))
    shares = [math.exp(peak) / (math.exp(peak) + 63) for peak in (4, 2)]
    np.testing.assert_allclose(found, [[[15.5, 23.5, 4, shares[0]], [17.5, 20.5, 2, shares[1]]]], rtol=1e-6)
    assert maps.keypoints_of(np.zeros((0, 3, 14, 14), np.float32), np.zeros((0, 4), np.float32)).shape == (0, 3, 4)


def test_suppression_by_hand() -> None:
    rows = np.array([[0, 0, 10, 10], [0, 0, 10, 9], [50, 50, 51, 51], [3, 3, 3, 3], [3, 3, 3, 3]], np.float32)
    scores = np.array([0.5, 0.9, 0.9, 0.1, 0.1], np.float32)
    # The second suppresses the first; of two boxes without area neither suppresses the other.
    assert boxes.nms(rows, scores, 0.7).tolist() == [1, 2, 3, 4]
    assert boxes.batched_nms(rows, scores, np.array([0, 1, 1, 0, 0]), 0.7).tolist() == [1, 2, 0, 3, 4]
    assert boxes.batched_nms(rows[:0], scores[:0], np.zeros(0, int), 0.7).tolist() == []


def test_the_best_detections_come_first_and_their_masks_with_them() -> None:
    blobs = {
        "bbox_nms": np.array([[0, 0, 4, 4], [0, 0, 4, 8], [9, 9, 9, 9]], np.float32),
        "score_nms": np.array([0.5, 0.9, 0.7], np.float32),
        "class_nms": np.array([0, 1, 1], np.float32),
        "mask_fcn_probs": np.stack([np.full((2, 2, 2), p, np.float32) for p in (0.1, 0.2, 0.3)]),
    }
    blobs["mask_fcn_probs"][1, 1] = 0.8
    info = {"meta_architecture": "GeneralizedRCNN"}
    found = predictions.predictions(blobs, info, (8, 8), (16, 8))["instances"]
    assert found.image_size == (16, 8)
    assert found.pred_classes.tolist() == [1, 0]  # without the box that has no area
    assert found.pred_boxes.tensor.tolist() == [[0, 0, 4, 16], [0, 0, 4, 8]]
    assert found.pred_masks[:, 4, 2].tolist() == [True, False]


# ---- Against PyTorch -------------------------------------------------------------------------------


@pytest.mark.parametrize("seed", SEEDS)
def test_suppression(seed: int) -> None:
    tensors, scores = random_boxes(200, seed), torch.from_numpy(random(200, seed=seed).round(2))
    groups = torch.arange(200) % 3
    have = boxes.batched_nms(tensors.numpy(), scores.numpy(), groups.numpy(), 0.4)
    assert have.tolist() == torch_nms.batched_nms(tensors, scores, groups, 0.4).tolist()
    assert 10 < len(have) < 190


@pytest.mark.parametrize("size", [(7, 9), (14, 18), (3, 40), (1, 1)])
def test_resizing(size: tuple[int, int]) -> None:
    x = random(3, 7, 9, seed=0)
    expected = functional.interpolate(torch.from_numpy(x)[None], size=size, mode="bilinear", align_corners=False)[0]
    same(maps.resize(x, size), expected, atol=1e-6)


@pytest.mark.parametrize("seed", SEEDS)
def test_keypoints(seed: int) -> None:
    heatmaps, places = random(6, 3, 14, 14, seed=seed) * 9, random_boxes(6, seed)
    places[0, 2:] = places[0, :2]
    same(
        maps.keypoints_of(heatmaps, places.numpy()),
        postprocessing.heatmaps_to_keypoints(torch.from_numpy(heatmaps), places),
    )


@pytest.mark.parametrize("seed", SEEDS)
def test_retinanet(seed: int) -> None:
    shapes = [(6, 8), (3, 4)]
    blobs: dict[str, Array] = {}
    for i, shape in enumerate(shapes):
        blobs[f"box_cls_{i}"] = random(1, 2 * 3, *shape, seed=seed + i) * 6 - 4
        blobs[f"box_delta_{i}"] = random(1, 2 * 4, *shape, seed=seed + i + 9) * 2 - 1
    have = predictions.decode_retinanet(blobs, INFO, (24, 32))
    tensors = {name: torch.from_numpy(blob)[0] for name, blob in blobs.items()}
    cells = torch.tensor(INFO["cell_anchors"]).view(2, 2, 4)
    want = postprocessing.decode_retinanet(
        [tensors[f"box_cls_{i}"] for i in range(2)],
        [tensors[f"box_delta_{i}"] for i in range(2)],
        [shifted_anchors(cells[i], shapes[i], INFO["anchor_strides"][i], 0.0) for i in range(2)],
        (24, 32),
        box2box_transform=torch_boxes.Box2BoxTransform(INFO["bbox_reg_weights"]),
        score_thresh=INFO["score_threshold"],
        topk_candidates=INFO["topk_candidates"],
        nms_thresh=INFO["nms_threshold"],
        max_detections=INFO["max_detections_per_image"],
    )
    assert have.pred_classes.tolist() == want.pred_classes.tolist()
    assert 5 < len(have) <= 30
    same(have.pred_boxes.tensor, want.pred_boxes.tensor)
    same(have.scores, want.scores)


@pytest.mark.parametrize("seed", SEEDS)
def test_panoptic(seed: int) -> None:
    found = {
        "scores": random(5, seed=seed).round(1),
        "pred_classes": np.arange(5) % 2,
        "pred_masks": np.stack([np.roll(np.eye(20, dtype=bool) | (random(20, 20, seed=i) > 0.6), i) for i in range(5)]),
    }
    labels = (random(20, 20, seed=seed + 1) * 4).astype(np.int64)
    limits = {"overlap_thresh": 0.5, "stuff_area_thresh": 10, "instances_score_thresh": 0.2}
    have, segments = predictions.combine_panoptic(Instances((20, 20), **found), labels, **limits)
    tensors = Instances((20, 20), **{name: torch.from_numpy(value) for name, value in found.items()})
    want, wanted = postprocessing.combine_panoptic(tensors, torch.from_numpy(labels), **limits)
    assert have.tolist() == want.tolist()
    assert have.dtype == np.int32
    assert segments == wanted
    assert {s["isthing"] for s in segments} == {True, False}


# ---- The predictor ---------------------------------------------------------------------------------


def test_files_of_other_exporters_lack_what_predictions_need(example: Path) -> None:
    with pytest.raises(Unsupported, match="was not written by d2deploy, so its pixel mean is not known"):
        runtime.FilePredictor(example)


def test_files_that_are_not_there(tmp_path: Path) -> None:
    with pytest.raises(InvalidArgument, match=r"model\.pb"):
        runtime.FilePredictor(tmp_path)


def test_postprocessing_of_proposals() -> None:
    found = Instances((10, 10), proposal_boxes=Boxes(np.array([[1, 1, 2, 2], [5, 5, 5, 9]], np.float32)))
    assert predictions.postprocess(found, (20, 20)).proposal_boxes.tensor.tolist() == [[2, 2, 4, 4]]


def test_it_needs_numpy_and_the_extension_alone() -> None:
    """What scripts/check_layers says of the sources, seen in a process."""
    code = "import sys, d2deploy.runtime; print(*sorted({name.partition('.')[0] for name in sys.modules}))"
    path = ":".join(str(p) for p in sys.path if p)
    done = subprocess.run(
        [sys.executable, "-c", code], env={"PYTHONPATH": path}, capture_output=True, text=True, check=True
    )
    strange = {name for name in done.stdout.split() if name not in sys.stdlib_module_names and not name.startswith("_")}
    assert strange == {"d2deploy", "numpy"}
