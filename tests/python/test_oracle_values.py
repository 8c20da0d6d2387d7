"""The oracles of the detection operators themselves, against what the official builds of Caffe2 were seen to answer."""

from __future__ import annotations

import numpy as np
import pytest
from oracles import ORACLES, Arguments, Array
from oracles.rotated import rotated_iou, shared_area


def run(call: str, *inputs: object) -> list[Array]:
    """`Type name=value ...` on inputs that are lists or arrays; lists become float32."""
    type_, _, args = call.partition(" ")
    arrays = [x if isinstance(x, np.ndarray) else np.array(x, np.float32) for x in inputs]
    return ORACLES[type_].oracle(Arguments.parse(args), arrays)


def one_anchor(scores: Array, deltas: Array, height: float, width: float, args: str = "") -> list[Array]:
    """Proposals of a 4 x 4 anchor at every cell of a map with stride 1."""
    defaults = "GenerateProposals spatial_scale=1.0 min_size=0.0 legacy_plus_one=0"
    return run(f"{defaults} {args}", scores[None, None], deltas[None], [[height, width, 1]], [[0, 0, 4, 4]])


def test_proposals_are_clipped_to_the_truncated_image() -> None:
    rois, scores = one_anchor(np.full((1, 1), 0.9, np.float32), np.zeros((4, 1, 1), np.float32), 3.7, 3.7)
    assert rois.tolist() == [[0, 0, 0, 3, 3]]
    assert scores.tolist() == [np.float32(0.9)]


def test_proposals_grow_by_a_factor_of_62_and_a_half_at_most() -> None:
    deltas = np.array([0, 0, 10, 10], np.float32).reshape(4, 1, 1)
    rois, _ = one_anchor(np.zeros((1, 1), np.float32), deltas, 500, 500)
    np.testing.assert_allclose(rois, [[0, 0, 0, 127, 127]], rtol=1e-6)


def test_proposals_of_equal_scores_stand_as_std_sort_leaves_them() -> None:
    rois, _ = one_anchor(np.zeros((1, 40), np.float32), np.zeros((4, 1, 40), np.float32), 4, 100, "nms_thresh=1.0")
    assert rois[:, 1].astype(int).tolist()[:3] == [30, 21, 22]
    rois, _ = one_anchor(
        np.zeros((1, 40), np.float32), np.zeros((4, 1, 40), np.float32), 4, 100, "nms_thresh=1.0 pre_nms_topN=10"
    )
    assert rois[:, 1].astype(int).tolist() == [8, 9, 4, 7, 5, 3, 1, 0, 2, 6]


def test_proposals_collapsed_onto_the_far_border_are_dropped() -> None:
    scores, deltas = np.zeros((1, 1), np.float32), np.zeros((4, 1, 1), np.float32)
    deltas[0] = 10
    assert len(one_anchor(scores, deltas, 8, 8)[0]) == 0
    deltas[0] = -10
    assert one_anchor(scores, deltas, 8, 8)[0].tolist() == [[0, 0, 0, 0, 4]]


@pytest.mark.parametrize(
    ("call", "roi", "deltas", "info", "box"),
    [
        ("", [0, 0, 2000, 2000], [0, 0, 0, 0], [800, 1333, 0.6], [0, 0, 1333.2001, 799.80005]),
        ("apply_scale=0", [0, 0, 2000, 2000], [0, 0, 0, 0], [800, 1333, 0.6], [0, 0, 2222, 1333]),
        ("", [0, 0, 2000, 2000], [0, 0, 0, 0], [800.7, 1333.2, 1], [0, 0, 1333, 801]),
        ("weights=[10.0,10.0,5.0,5.0]", [0, 0, 8, 8], [1, 0, 0, 0], [800, 800, 1], [0.8, 0, 8.8, 8]),
        ("weights=[10.0,10.0,5.0,5.0]", [0, 0, 8, 8], [0, 0, 100, 100], [800, 800, 1], [0, 0, 254.00002, 254.00002]),
    ],
)
def test_bbox_transform(call: str, roi: list[float], deltas: list[float], info: list[float], box: list[float]) -> None:
    boxes, splits = run(f"BBoxTransform legacy_plus_one=0 {call}", [[0, *roi]], [deltas], [info])
    np.testing.assert_allclose(boxes, [box], rtol=2e-7)
    assert splits.tolist() == [1]


DETECTRON2 = (
    "BoxWithNMSLimit legacy_plus_one=0 input_boxes_include_bg_cls=0 output_classes_include_bg_cls=0 "
    "score_thresh=0.05 nms=0.5"
)
SCORES = [[0.9, 0.3, 0.1], [0.8, 0.6, 0.1], [0.05, 0.7, 0.1], [0.06, 0.2, 0.1]]
BOXES = [[0, 0, 4, 4, 0, 0, 9, 9], [0, 0, 4, 4, 0, 0, 1, 1], [5, 5, 9, 9, 5, 5, 8, 8], [1, 1, 2, 2, 3, 3, 4, 4]]


def test_detections_stand_by_class_and_then_by_score() -> None:
    scores, boxes, classes, splits, keeps, sizes = run(DETECTRON2, SCORES, BOXES, [4])
    np.testing.assert_array_equal(scores, np.array([0.9, 0.06, 0.7, 0.6, 0.3, 0.2], np.float32))
    assert boxes[1].tolist() == [1, 1, 2, 2]
    assert (classes.tolist(), keeps.tolist()) == ([0, 0, 1, 1, 1, 1], [0, 3, 2, 1, 0, 3])
    assert (splits.tolist(), sizes.tolist()) == ([6], [[0, 2, 4]])


def test_detections_are_limited_over_all_classes() -> None:
    scores, _, _, _, keeps, _ = run(f"{DETECTRON2} detections_per_im=2", SCORES, BOXES, [4])
    np.testing.assert_array_equal(scores, np.array([0.9, 0.7], np.float32))
    assert keeps.tolist() == [0, 2]


def test_detections_of_equal_scores_stand_as_std_sort_leaves_them() -> None:
    boxes = [[10 * i, 0, 10 * i + 5, 5] for i in range(20)]
    keeps = run(DETECTRON2, [[0.5, 0.1]] * 20, boxes, [20])[4]
    assert keeps.tolist() == [10, *range(19, 10, -1), 0, *range(9, 0, -1)]


def test_boxes_without_area_suppress_each_other() -> None:
    keeps = run(DETECTRON2, [[0.5, 0.1], [0.6, 0.1], [0.7, 0.1]], [[2, 2, 2, 2], [2, 2, 2, 2], [0, 0, 4, 4]], [3])[4]
    assert keeps.tolist() == [2, 1]


def test_an_overlap_equal_to_the_threshold_is_kept() -> None:
    half = [[0.5, 0.1], [0.6, 0.1]], [[0, 0, 4, 4], [0, 0, 4, 8]], [2]
    assert len(run(DETECTRON2, *half)[4]) == 2
    assert len(run(DETECTRON2.replace("nms=0.5", "nms=0.49"), *half)[4]) == 1


def test_levels_by_size() -> None:
    sides = [(112, 112), (224, 224), (223.9, 224), (447, 448), (448, 448), (1, 1), (0, 0)]
    *levels, restore = run("DistributeFpnProposals legacy_plus_one=0", [[0, 0, w, h] for w, h in sides])
    assert [len(level) for level in levels] == [2, 2, 2, 1]
    assert restore.tolist() == [2, 4, 3, 5, 6, 0, 1]
    assert all(level.shape[1] == 5 for level in levels)


def test_roi_align_by_hand() -> None:
    """On a plane whose value is 5 y + x the mean of the samples is the value at the bin's centre, less half a cell."""
    x = np.arange(25, dtype=np.float32).reshape(1, 1, 5, 5)
    aligned = run("RoIAlign pooled_h=4 pooled_w=4 aligned=1", x, [[0, 1, 1, 3, 3]])[0][0, 0]
    assert aligned[:, 0].tolist() == [4.5, 7, 9.5, 12]
    assert aligned[0].tolist() == [4.5, 5, 5.5, 6]
    shifted = run("RoIAlign pooled_h=4 pooled_w=4 aligned=0", x, [[1, 1, 3, 3]])[0][0, 0]
    assert (shifted - aligned == 3).all()
    empty = run("RoIAlign pooled_h=2 pooled_w=2 aligned=1", x, [[0, 1, 1, 1, 3]])[0]
    assert (empty == 0).all()


def test_a_square_and_itself_turned_by_45_degrees_share_an_octagon() -> None:
    square, turned = np.array([5, 5, 2, 2, 0], np.float32), np.array([5, 5, 2, 2, 45], np.float32)
    assert shared_area(square, turned[None]) == pytest.approx(8 * (np.sqrt(2) - 1), rel=1e-12)
    assert rotated_iou(square, turned[None])[0] == np.float32(np.sqrt(0.5))


def test_rotated_boxes_are_clipped_where_they_are_almost_upright() -> None:
    rois = [[0, 2, 3, 10, 4, 0.5], [0, 2, 3, 10, 4, 1.5]]
    boxes, _ = run("BBoxTransform rotated=1 legacy_plus_one=0", rois, np.zeros((2, 5), np.float32), [[20, 30, 1]])
    assert boxes.tolist() == [[3.5, 3, 7, 4, 0.5], [2, 3, 10, 4, 1.5]]
