"""Geometry of boxes: worked values, float64 oracles, laws."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from oracles import boxes as upright
from oracles import rotated
from oracles.arguments import Arguments
from small_models import random_boxes, random_rotated

from d2deploy.modeling.boxes import Box2BoxTransform, Box2BoxTransformRotated
from d2deploy.structures import Boxes, RotatedBoxes, as_boxes
from d2deploy.structures.geometry import clip, nonempty, scale


def test_zero_deltas_give_the_anchors() -> None:
    boxes = random_boxes(5)
    decoded = Box2BoxTransform((10.0, 10.0, 5.0, 5.0)).apply_deltas(torch.zeros(5, 8), boxes)
    torch.testing.assert_close(decoded, boxes.repeat(1, 2))


def test_worked_deltas() -> None:
    # The centre (10, 20) of 4 x 8 moves by (0.5 * 4, -0.25 * 8); the width doubles.
    anchors = torch.tensor([[8.0, 16.0, 12.0, 24.0]])
    decoded = Box2BoxTransform((2.0, 2.0, 1.0, 1.0)).apply_deltas(
        torch.tensor([[1.0, -0.5, math.log(2), 0.0]]), anchors
    )
    torch.testing.assert_close(decoded, torch.tensor([[8.0, 14.0, 16.0, 22.0]]))


@pytest.mark.parametrize("classes", [1, 3])
def test_decoding_equals_the_oracle(classes: int) -> None:
    boxes, deltas = random_boxes(20), torch.randn(20, 4 * classes, generator=torch.Generator().manual_seed(1)) * 3
    weights = (10.0, 10.0, 5.0, 0.5)  # the last one takes some heights to the bound
    decoded = Box2BoxTransform(weights).apply_deltas(deltas, boxes)
    for c in range(classes):
        columns = slice(4 * c, 4 * c + 4)
        expected = upright.decode(boxes.numpy(), deltas[:, columns].numpy(), weights, 0)
        np.testing.assert_allclose(decoded[:, columns], expected, rtol=1e-5, atol=1e-3)


def test_rotated_decoding_equals_the_oracle_and_angles_are_normalised() -> None:
    boxes, deltas = random_rotated(20), torch.randn(20, 10, generator=torch.Generator().manual_seed(1))
    weights = (10.0, 10.0, 5.0, 5.0, 1.0)
    decoded = Box2BoxTransformRotated(weights).apply_deltas(deltas, boxes)
    no_bounds = Arguments({"angle_bound_on": 0})
    for c in range(2):
        part = decoded[:, 5 * c : 5 * c + 5].numpy()
        expected = rotated.decode_rotated(no_bounds, boxes.numpy(), deltas[:, 5 * c : 5 * c + 5].numpy(), weights[:4])
        np.testing.assert_allclose(part[:, :4], expected[:, :4], rtol=1e-5, atol=1e-4)
        assert ((part[:, 4] >= -180) & (part[:, 4] < 180)).all()
        turns = (part[:, 4] - expected[:, 4]) / 360
        np.testing.assert_allclose(turns, np.round(turns), atol=1e-5)


@pytest.mark.parametrize("columns", [4, 5])
def test_deltas_of_half_precision_are_decoded_in_single(columns: int) -> None:
    kind, boxes = (Box2BoxTransform, random_boxes(5)) if columns == 4 else (Box2BoxTransformRotated, random_rotated(5))
    transform = kind([10.0, 10.0, 5.0, 5.0, 1.0][:columns])
    deltas = torch.randn(5, 2 * columns, generator=torch.Generator().manual_seed(1)).half()
    decoded = transform.apply_deltas(deltas, boxes.double())
    assert decoded.dtype == torch.float32
    assert torch.equal(decoded, transform.apply_deltas(deltas.float(), boxes))


def test_clipping_equals_the_oracle() -> None:
    boxes = random_boxes(30) * 2
    np.testing.assert_allclose(clip(boxes, (50, 70)), upright.clip(boxes.numpy(), 50, 70, 0), atol=1e-5)
    boxes = random_rotated(30) * torch.tensor([2.0, 2.0, 2.0, 2.0, 0.01])
    expected = rotated.clip_rotated(Arguments({}), boxes.numpy(), 50, 70, 0)
    np.testing.assert_allclose(clip(boxes, (50, 70)), expected, atol=1e-4)


def test_clipping_twice_is_clipping_once() -> None:
    for boxes in (random_boxes(30) * 2, random_rotated(30)):
        once = clip(boxes, (50, 70))
        torch.testing.assert_close(clip(once, (50, 70)), once)


def test_sides_must_be_longer_than_the_threshold() -> None:
    boxes = torch.tensor([[0.0, 0.0, 3.0, 3.0], [0.0, 0.0, 2.0, 3.0], [4.0, 0.0, 3.0, 9.0]])
    assert nonempty(boxes, 2.0).tolist() == [True, False, False]
    assert nonempty(torch.tensor([[0.0, 0.0, 3.0, 0.0, 45.0], [0.0, 0.0, 1.0, 1.0, 45.0]])).tolist() == [False, True]


def test_scaling() -> None:
    assert scale(torch.tensor([[1.0, 2.0, 3.0, 4.0]]), 2.0, 10.0).tolist() == [[2.0, 20.0, 6.0, 40.0]]
    # A quarter turn exchanges the factors of width and height; equal factors leave the angle.
    quarter = scale(torch.tensor([[1.0, 2.0, 3.0, 4.0, 90.0]]), 2.0, 10.0)
    torch.testing.assert_close(quarter, torch.tensor([[2.0, 20.0, 30.0, 8.0, 90.0]]))
    boxes = random_rotated(10)
    torch.testing.assert_close(scale(boxes, 3.0, 3.0), boxes * torch.tensor([3.0, 3.0, 3.0, 3.0, 1.0]))


def test_containers_by_columns() -> None:
    assert type(as_boxes(torch.zeros(2, 4))) is Boxes
    assert type(as_boxes(torch.zeros(2, 5))) is RotatedBoxes
