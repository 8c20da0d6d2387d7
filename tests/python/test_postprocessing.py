"""From raw outputs to predictions: worked values, a second formulation in NumPy, laws."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from small_models import random_boxes

from d2deploy.modeling.box_head import select_detections
from d2deploy.modeling.boxes import Box2BoxTransform
from d2deploy.modeling.postprocessing import (
    class_masks,
    combine_panoptic,
    decode_retinanet,
    detector_postprocess,
    heatmaps_to_keypoints,
    paste_masks,
    sem_seg_postprocess,
)
from d2deploy.modeling.rpn import per_anchor, select_proposals
from d2deploy.structures import Boxes, Instances


def random(*shape: int, seed: int = 0) -> torch.Tensor:
    return torch.rand(*shape, generator=torch.Generator().manual_seed(seed))


def test_detections_are_scaled_clipped_and_dropped_where_nothing_is_left() -> None:
    boxes = torch.tensor([[1.0, 2.0, 3.0, 5.0], [-4.0, 0.0, -1.0, 3.0], [8.0, 8.0, 99.0, 99.0]])
    found = Instances((10, 20), pred_boxes=Boxes(boxes), scores=torch.tensor([0.9, 0.8, 0.7]))
    output = detector_postprocess(found, 20, 60)
    assert output.pred_boxes.tensor.tolist() == [[3, 4, 9, 10], [24, 16, 60, 20]]
    assert output.scores.tolist() == pytest.approx([0.9, 0.7])
    assert output.image_size == (20, 60)
    assert found.pred_boxes.tensor.tolist() == boxes.tolist()


def test_proposals_are_postprocessed_too() -> None:
    found = Instances((10, 10), proposal_boxes=Boxes(torch.tensor([[1.0, 1.0, 2.0, 2.0]])))
    assert detector_postprocess(found, 20, 20).proposal_boxes.tensor.tolist() == [[2, 2, 4, 4]]


def test_keypoints_are_scaled_and_their_scores_are_not() -> None:
    keypoints = torch.tensor([[[1.0, 2.0, 0.5]]])
    found = Instances((10, 10), pred_boxes=Boxes(torch.tensor([[0.0, 0.0, 5.0, 5.0]])), pred_keypoints=keypoints)
    assert detector_postprocess(found, 20, 30).pred_keypoints.tolist() == [[[3.0, 4.0, 0.5]]]


def test_masks_of_classes() -> None:
    masks = random(3, 4, 2, 2)
    chosen = class_masks(masks, torch.tensor([2, 0, 3]))
    torch.testing.assert_close(chosen, torch.stack([masks[0, 2:3], masks[1, 0:1], masks[2, 3:4]]))
    assert class_masks(masks[:, :1], torch.tensor([2, 0, 3])).shape == (3, 1, 2, 2)
    assert class_masks(masks[:0], torch.zeros(0, dtype=torch.int64)).shape == (0, 1, 2, 2)


def paste_one(mask: np.ndarray, box: np.ndarray, height: int, width: int) -> np.ndarray:
    """Probability of each pixel of the image, from the bilinear formula with zeros around the mask, in float64."""
    padded = np.pad(mask.astype(np.float64), 1)
    x = (np.arange(width) + 0.5 - box[0]) / (box[2] - box[0]) * mask.shape[1] - 0.5
    y = (np.arange(height) + 0.5 - box[1]) / (box[3] - box[1]) * mask.shape[0] - 0.5
    rows = [np.clip(1 - np.abs(y[:, None] - np.arange(-1, mask.shape[0] + 1)), 0, 1)]
    columns = [np.clip(1 - np.abs(x[:, None] - np.arange(-1, mask.shape[1] + 1)), 0, 1)]
    return np.asarray(rows[0] @ padded @ columns[0].T)


def test_pasting_equals_the_formula() -> None:
    masks, boxes = random(12, 6, 6), random_boxes(12)
    pasted = paste_masks(masks, boxes, (50, 60))
    for mask, box, image in zip(masks.numpy(), boxes.numpy().astype(np.float64), pasted.numpy()):
        expected = paste_one(mask, box, 50, 60)
        clear = np.abs(expected - 0.5) > 1e-4
        np.testing.assert_array_equal(image[clear], (expected >= 0.5)[clear])
    assert pasted.any()


def test_pasting_a_full_mask_fills_its_box() -> None:
    pasted = paste_masks(torch.ones(1, 4, 4), torch.tensor([[2.0, 1.0, 6.0, 9.0]]), (10, 8))
    expected = torch.zeros(1, 10, 8, dtype=torch.bool)
    expected[0, 1:9, 2:6] = True
    assert torch.equal(pasted, expected)
    assert paste_masks(torch.ones(0, 4, 4), torch.zeros(0, 4), (10, 8)).shape == (0, 10, 8)
    assert not paste_masks(torch.ones(1, 4, 4), torch.tensor([[20.0, 20.0, 30.0, 30.0]]), (10, 8)).any()


def test_a_peak_becomes_a_keypoint() -> None:
    # Of the size of its box, the heatmap is not resized: the peak is a pixel, and its centre is half a pixel further.
    maps = torch.zeros(1, 2, 8, 8)
    maps[0, 0, 3, 5] = 4.0
    maps[0, 1, 0, 7] = 2.0
    x, y, logit, probability = heatmaps_to_keypoints(maps, torch.tensor([[10.0, 20.0, 18.0, 28.0]]))[0].unbind(1)
    assert x.tolist() == [15.5, 17.5]
    assert y.tolist() == [23.5, 20.5]
    assert logit.tolist() == [4.0, 2.0]
    expected = [math.exp(peak) / (math.exp(peak) + 63) for peak in (4.0, 2.0)]
    assert probability.tolist() == pytest.approx(expected)


def test_keypoints_stay_in_their_box() -> None:
    boxes = random_boxes(6)
    boxes[0, 2:] = boxes[0, :2]
    points = heatmaps_to_keypoints(random(6, 3, 14, 14) * 9, boxes)[:, :, :2]
    size = (boxes[:, 2:] - boxes[:, :2]).clamp(min=1)
    relative = (points - boxes[:, None, :2]) / size[:, None]
    assert ((relative > 0) & (relative < 1)).all()
    assert heatmaps_to_keypoints(torch.zeros(0, 3, 14, 14), torch.zeros(0, 4)).shape == (0, 3, 4)


def test_semantic_logits_are_cropped_before_they_are_resized() -> None:
    logits = random(3, 8, 8)
    same = sem_seg_postprocess(logits, (6, 5), 6, 5)
    torch.testing.assert_close(same, logits[:, :6, :5])
    assert sem_seg_postprocess(logits, (6, 5), 12, 10).shape == (3, 12, 10)


def panoptic(**changes: float) -> tuple[list[list[int]], list[dict[str, object]]]:
    masks = torch.zeros(3, 2, 4, dtype=torch.bool)
    masks[0, :, :2] = True  # 4 pixels
    masks[1, 0, 1:] = True  # 3 pixels, one of them taken by a better one
    masks[2, 1, :2] = True  # all taken
    labels = torch.tensor([[0, 0, 0, 0], [7, 7, 7, 5]])
    thresholds = {"overlap_thresh": 0.5, "stuff_area_thresh": 1, "instances_score_thresh": 0.3, **changes}
    scores, classes = torch.tensor([0.9, 0.8, 0.7]), torch.tensor([2, 1, 0])
    instances = Instances((2, 4), scores=scores, pred_classes=classes, pred_masks=masks)
    output, segments = combine_panoptic(instances, labels, **thresholds)
    return output.tolist(), segments


def test_panoptic_by_hand() -> None:
    output, segments = panoptic()
    assert output == [[1, 1, 2, 2], [1, 1, 4, 3]]
    assert [(s["id"], s["isthing"], s["category_id"]) for s in segments] == [
        (1, True, 2),
        (2, True, 1),
        (3, False, 5),
        (4, False, 7),
    ]
    assert [s["instance_id"] for s in segments[:2]] == [0, 1]
    assert [s["area"] for s in segments[2:]] == [1, 1]
    assert panoptic(stuff_area_thresh=2)[0] == [[1, 1, 2, 2], [1, 1, 0, 0]]
    assert panoptic(overlap_thresh=0.3)[0][0] == [1, 1, 0, 0]
    assert panoptic(instances_score_thresh=0.85)[0][0] == [1, 1, 0, 0]


def test_things_at_the_thresholds_stay() -> None:
    whole = [1, 1, 2, 2]
    assert panoptic(overlap_thresh=1 / 3)[0][0] == whole  # one of three pixels is taken
    assert panoptic(overlap_thresh=np.nextafter(1 / 3, 0))[0][0] == [1, 1, 0, 0]
    at = float(np.float32(0.8))
    assert panoptic(instances_score_thresh=at)[0][0] == whole
    assert panoptic(instances_score_thresh=np.nextafter(at, 1))[0][0] == [1, 1, 0, 0]


def test_outputs_of_convolutions_in_the_order_of_anchors() -> None:
    x = torch.arange(2 * 6 * 2 * 3).view(2, 6, 2, 3)
    rows = per_anchor(x, 2)  # 3 anchors of 2 numbers
    assert rows.shape == (2, 18, 2)
    for row, column, anchor in ((0, 0, 0), (1, 2, 1), (0, 1, 2)):
        assert (
            rows[1, (row * 3 + column) * 3 + anchor].tolist() == x[1, 2 * anchor : 2 * anchor + 2, row, column].tolist()
        )


def test_proposals_by_hand() -> None:
    boxes = torch.tensor(
        [
            [[0, 0, 10, 10], [0, 0, 10, 9], [50, 50, 51, 51], [-5, -5, 4, 4]],
            [[0, 0, 10, 10], [1, 1, 9, 9.5], [2, 2, 8, 8], [0, 0, 3, 3]],
        ]
    ).float()[:, None]
    logits = torch.tensor([[[4.0, 3.0, 2.0, 1.0]], [[3.5, 0.0, -1.0, float("inf")]]])
    settings = {"nms_thresh": 0.7, "pre_nms_topk": 3, "post_nms_topk": 2, "min_box_size": 2.0}
    (found,) = select_proposals(list(boxes), list(logits), [(20, 20)], **settings)  # type: ignore[arg-type]
    # Level 0: the second overlaps the first, the third is clipped away, the fourth is not among the best three.
    # Level 1: what is not finite is dropped; level 0 does not suppress it.
    assert found.objectness_logits.tolist() == [4.0, 3.5]
    assert found.proposal_boxes.tensor.tolist() == [[0, 0, 10, 10], [0, 0, 10, 10]]


@pytest.mark.parametrize("agnostic", [True, False])
def test_detections_by_hand(agnostic: bool) -> None:
    boxes = torch.tensor([[0.0, 0.0, 10.0, 10.0], [0.0, 0.0, 10.0, 9.0], [5.0, 5.0, 30.0, 30.0]])
    scores = torch.tensor([[0.9, 0.3], [0.6, 0.35], [0.05, 0.04]])
    if not agnostic:
        boxes = boxes.repeat(1, 2)
    found = select_detections(boxes, scores, (20, 20), score_thresh=0.04, nms_thresh=0.5, topk=3)
    # Within class 0 the first suppresses the second, within class 1 the second the first.
    assert found.scores.tolist() == pytest.approx([0.9, 0.35, 0.05])
    assert found.pred_classes.tolist() == [0, 1, 0]
    assert found.pred_boxes.tensor.tolist() == [[0, 0, 10, 10], [0, 0, 10, 9], [5, 5, 20, 20]]
    assert len(select_detections(boxes, scores, (20, 20), score_thresh=0.04, nms_thresh=0.5, topk=1)) == 1
    assert len(select_detections(boxes, scores, (20, 20), score_thresh=0.01, nms_thresh=1.0, topk=-1)) == 6


def test_detections_that_are_not_finite_are_dropped() -> None:
    boxes = torch.tensor([[0.0, 0.0, 10.0, float("nan")], [0.0, 0.0, 10.0, 9.0]])
    found = select_detections(boxes, torch.tensor([[0.9], [0.6]]), (20, 20), score_thresh=0.0, nms_thresh=0.5, topk=9)
    assert found.scores.tolist() == pytest.approx([0.6])


def test_retinanet_by_hand() -> None:
    # One level, one row of two positions, one anchor each, two classes; the deltas move the second anchor by its width.
    logits = [torch.tensor([[[2.0, -1.0]], [[-9.0, 1.0]]])]
    deltas = [torch.tensor([[[0.0, 1.0]], [[0.0, 0.0]], [[0.0, 0.0]], [[0.0, 0.0]]])]
    anchors = [torch.tensor([[0.0, 0.0, 4.0, 4.0], [4.0, 0.0, 8.0, 4.0]])]
    found = decode_retinanet(
        logits,
        deltas,
        anchors,
        (4, 8),
        box2box_transform=Box2BoxTransform((1.0, 1.0, 1.0, 1.0)),
        score_thresh=0.2,
        topk_candidates=9,
        nms_thresh=0.5,
        max_detections=9,
    )
    assert found.scores.tolist() == pytest.approx([1 / (1 + math.exp(-v)) for v in (2.0, 1.0, -1.0)])
    assert found.pred_classes.tolist() == [0, 1, 0]
    assert found.pred_boxes.tensor.tolist() == [[0, 0, 4, 4], [8, 0, 12, 4], [8, 0, 12, 4]]


@pytest.mark.parametrize("centerness", [None, [torch.zeros(1, 1, 2)]])
def test_dense_scores_must_be_above_the_threshold(centerness: list[torch.Tensor] | None) -> None:
    # The logit 0 is the score 0.5, and so is the root of 0.5 * 0.5.
    logits = [torch.tensor([[[0.0, 1e-6]]])]
    anchors = [torch.tensor([[0.0, 0.0, 4.0, 4.0], [4.0, 0.0, 8.0, 4.0]])]
    found = decode_retinanet(
        logits,
        [torch.zeros(4, 1, 2)],
        anchors,
        (4, 8),
        box2box_transform=Box2BoxTransform((1.0, 1.0, 1.0, 1.0)),
        score_thresh=0.5,
        topk_candidates=9,
        nms_thresh=0.5,
        max_detections=9,
        centerness=centerness,
    )
    assert found.pred_boxes.tensor.tolist() == [[4, 0, 8, 4]]
