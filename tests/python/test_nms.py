"""Overlaps and suppression: worked values, float64 oracles, laws."""

from __future__ import annotations

import time

import numpy as np
import pytest
import torch
from oracles import boxes as upright
from oracles import rotated
from small_models import random_boxes, random_rotated

from d2deploy.modeling import nms as module
from d2deploy.modeling.nms import batched_nms, iou, iou_rotated, nms


def scores_of(count: int) -> torch.Tensor:
    return torch.rand(count, generator=torch.Generator().manual_seed(5))


def test_iou_equals_the_oracle() -> None:
    a, b = random_boxes(9), random_boxes(7, seed=1)
    expected = np.stack([upright.iou(box, b.numpy(), 0) for box in a.numpy()])
    np.testing.assert_allclose(iou(a, b), expected, rtol=1e-5)


def test_rotated_iou_equals_the_oracle() -> None:
    a, b = random_rotated(20), random_rotated(20, seed=1)
    expected = np.stack([rotated.rotated_iou(box, b.numpy()) for box in a.numpy()])
    assert (expected > 0.1).sum() > 20
    np.testing.assert_allclose(iou_rotated(a, b), expected, atol=1e-5)


def test_rotated_iou_of_boxes_that_share_edges() -> None:
    box = [50.0, 40.0, 20.0, 10.0]
    boxes = torch.tensor([[*box, 30.0], [*box, 210.0], [50.0, 40.0, 10.0, 20.0, -60.0]])
    torch.testing.assert_close(iou_rotated(boxes, boxes), torch.ones(3, 3))
    # The left half, upright: 5 of 10 pixels per row are common, of 10 in all.
    half = torch.tensor([[5.0, 5.0, 10.0, 10.0, 0.0], [2.5, 5.0, 5.0, 10.0, 0.0], [20.0, 5.0, 0.0, 3.0, 0.0]])
    torch.testing.assert_close(iou_rotated(half[:1], half), torch.tensor([[1.0, 0.5, 0.0]]))


def test_rotated_iou_does_not_change_when_both_turn() -> None:
    a, b = random_rotated(10), random_rotated(10, seed=2)
    radians = torch.tensor(0.7)
    turn = torch.tensor([[torch.cos(radians), -torch.sin(radians)], [torch.sin(radians), torch.cos(radians)]])
    turned = [torch.cat([x[:, :2] @ turn, x[:, 2:4], x[:, 4:] + 0.7 * 180 / torch.pi], dim=1) for x in (a, b)]
    torch.testing.assert_close(iou_rotated(*turned), iou_rotated(a, b), atol=1e-5, rtol=0)


@pytest.mark.parametrize("threshold", [0.1, 0.5, 0.9])
@pytest.mark.parametrize("block", [4, 256])
def test_nms_equals_the_oracle(threshold: float, block: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "BLOCK", block)
    boxes, scores = random_boxes(120), scores_of(120)
    order = np.argsort(-scores.numpy(), kind="stable")
    expected = upright.nms(boxes.numpy(), order.tolist(), threshold, 0, upright.upright(0))
    assert nms(boxes, scores, threshold).tolist() == expected
    boxes = random_rotated(60)
    order = order[order < 60]
    expected = upright.nms(boxes.numpy(), order.tolist(), threshold, 0, rotated.rotated_iou)
    assert nms(boxes, scores[:60], threshold).tolist() == expected


def test_nms_twice_is_nms_once() -> None:
    boxes, scores = random_boxes(100), scores_of(100)
    keep = nms(boxes, scores, 0.3)
    assert nms(boxes[keep], scores[keep], 0.3).tolist() == list(range(len(keep)))


def test_of_equal_scores_the_first_stays() -> None:
    boxes = torch.tensor([[0.0, 0.0, 10.0, 10.0]]).repeat(3, 1)
    assert nms(boxes, torch.tensor([0.5, 0.5, 0.5]), 0.5).tolist() == [0]


def test_an_overlap_at_the_threshold_suppresses_rotated_boxes_alone() -> None:
    boxes = torch.tensor([[0.0, 0.0, 10.0, 10.0], [0.0, 0.0, 5.0, 10.0]])
    assert nms(boxes, torch.tensor([0.9, 0.8]), 0.5).tolist() == [0, 1]
    same = torch.tensor([[5.0, 5.0, 10.0, 10.0, 0.0], [2.5, 5.0, 5.0, 10.0, 0.0]])
    assert nms(same, torch.tensor([0.9, 0.8]), 0.5).tolist() == [0]
    assert nms(same, torch.tensor([0.9, 0.8]), 0.5001).tolist() == [0, 1]


def test_groups_do_not_see_each_other() -> None:
    boxes, scores = random_boxes(90), scores_of(90)
    groups = torch.arange(90) % 3
    expected = []
    for group in range(3):
        members = torch.nonzero(groups == group).flatten()
        expected += members[nms(boxes[members], scores[members], 0.4)].tolist()
    expected.sort(key=lambda index: -float(scores[index]))
    assert batched_nms(boxes, scores, groups, 0.4).tolist() == expected


@pytest.mark.parametrize("columns", [4, 5])
def test_no_boxes(columns: int) -> None:
    nothing = torch.zeros(0, columns)
    assert nms(nothing, torch.zeros(0), 0.5).tolist() == []
    assert batched_nms(nothing, torch.zeros(0), torch.zeros(0, dtype=torch.int64), 0.5).tolist() == []


def test_thousands_of_boxes_take_no_seconds() -> None:
    boxes, scores = random_boxes(6000), scores_of(6000)
    start = time.process_time()
    nms(boxes, scores, 0.7)
    assert time.process_time() - start < 5  # about 0.1 s; an algorithm without blocks takes more than a minute
