"""Masks in boxes and of the whole image, of arrays and of tensors, against the bilinear formula in float64."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
import torch
from small_models import random_boxes

from d2deploy.errors import InvalidArgument
from d2deploy.modeling import postprocessing
from d2deploy.structures import BitMasks, Boxes, HostArray, ROIMasks, paste_masks

Array = npt.NDArray[Any]
SIZE = (50, 60)
kinds = pytest.mark.parametrize("make", [np.asarray, torch.as_tensor])


def probabilities(seed: int, count: int = 12, side: int = 6) -> Array:
    return np.random.default_rng(seed).uniform(0, 1, (count, side, side)).astype(np.float32)


def formula(mask: Array, box: Array) -> Array:
    """Probability of each pixel: a weighted sum over all cells of the mask, in float64."""
    result = np.zeros(SIZE)
    cell = (box[2:] - box[:2]) / mask.shape[::-1]
    y, x = np.indices(SIZE) + 0.5
    for (row, column), value in np.ndenumerate(mask):
        distance_x = np.abs((x - box[0]) / cell[0] - (column + 0.5))
        distance_y = np.abs((y - box[1]) / cell[1] - (row + 0.5))
        result += value * np.maximum(0, 1 - distance_x) * np.maximum(0, 1 - distance_y)
    return result


@kinds
@pytest.mark.parametrize("seed", range(3))
def test_pasting_equals_the_formula(make: Any, seed: int) -> None:
    masks, boxes = probabilities(seed), random_boxes(12, seed).numpy()
    pasted = ROIMasks(make(masks)).to_bitmasks(Boxes(make(boxes)), *SIZE, threshold=0.4).tensor
    assert isinstance(pasted, HostArray if make is np.asarray else torch.Tensor)
    assert (tuple(pasted.shape), str(pasted.dtype).removeprefix("torch.")) == ((12, *SIZE), "bool")
    for mask, box, image in zip(masks, boxes.astype(np.float64), np.asarray(pasted)):
        expected = formula(mask, box)
        clear = np.abs(expected - 0.4) > 1e-4
        np.testing.assert_array_equal(image[clear], (expected >= 0.4)[clear])
    assert pasted.any()


@pytest.mark.parametrize("seed", range(3))
def test_pasting_equals_that_of_the_eager_model(seed: int) -> None:
    masks, boxes = torch.from_numpy(probabilities(seed)), random_boxes(12, seed)
    have, want = paste_masks(masks, boxes, SIZE), postprocessing.paste_masks(masks, boxes, SIZE)
    assert (have != want).sum() <= 1  # a pixel whose probability is the threshold but for its rounding
    assert have.any()


@kinds
def test_a_full_mask_fills_its_box(make: Any) -> None:
    box = make(np.array([[2, 1, 6, 9]], np.float32))
    expected = np.zeros((1, 10, 8), bool)
    expected[0, 1:9, 2:6] = True
    full = make(np.ones((1, 4, 4), np.float32))
    np.testing.assert_array_equal(paste_masks(full, box, (10, 8)), expected)
    np.testing.assert_array_equal(paste_masks(full > 0, box, (10, 8)), expected)  # masks may be bool
    assert not paste_masks(full, box + 20, (10, 8)).any()
    assert not paste_masks(full, box + 1e30, (10, 8)).any()
    assert not paste_masks(full, box[:, [0, 1, 0, 3]], (10, 8)).any()  # no width
    assert not paste_masks(full, box[:, [2, 1, 0, 3]], (10, 8)).any()  # ends before it starts
    assert paste_masks(full[:0], box[:0], (10, 8)).shape == (0, 10, 8)
    huge = paste_masks(full, make(np.array([[-1e6, -1e6, 1e6, 1e6]], np.float32)), (10, 8))
    assert huge.all()


def test_pasting_refuses() -> None:
    masks = ROIMasks(probabilities(0, 2))
    for boxes in (
        np.ones((1, 4)),
        np.ones((2, 5)),
        np.array([[0, 0, 1, 1], [0, 0, np.nan, 1]]),
        np.full((2, 4), np.inf),
    ):
        with pytest.raises(
            InvalidArgument, match=r"paste_masks: boxes must be \(2, 4\), one for each mask, all of them"
        ):
            masks.to_bitmasks(boxes, 10, 10)


@kinds
def test_masks_in_boxes(make: Any) -> None:
    values = probabilities(0)
    masks = ROIMasks(make(values))
    assert (len(masks), str(masks.device), repr(masks)) == (12, "cpu", "ROIMasks(num_instances=12)")
    np.testing.assert_array_equal(masks[3].tensor, values[3:4])
    np.testing.assert_array_equal(masks.to("cpu")[2:9].tensor, values[2:9])
    np.testing.assert_array_equal(ROIMasks.cat([masks[:5], masks[5:]]), values)


@kinds
def test_masks_of_the_image(make: Any) -> None:
    values = np.zeros((4, 5, 7), np.uint8)
    values[0, 1:3, 2:6] = 1
    values[1, 4, 6] = 255
    values[3] = 1
    masks = BitMasks(make(values))
    assert (masks.image_size, len(masks), repr(masks)) == ((5, 7), 4, "BitMasks(num_instances=4)")
    assert masks.nonempty().tolist() == [True, True, False, True]
    boxes = masks.get_bounding_boxes()
    assert type(boxes.tensor) is type(masks.tensor)
    assert boxes.tensor.tolist() == [[2, 1, 6, 3], [6, 4, 7, 5], [0, 0, 0, 0], [0, 0, 7, 5]]
    assert masks[masks.nonempty()].get_bounding_boxes().tensor.tolist() == boxes[boxes.nonempty()].tensor.tolist()
    np.testing.assert_array_equal(np.asarray(masks), values != 0)
    assert len(masks[:0].get_bounding_boxes()) == 0


@pytest.mark.parametrize("kind", [BitMasks, ROIMasks])
def test_wrong_shapes(kind: type[BitMasks | ROIMasks]) -> None:
    with pytest.raises(InvalidArgument, match=rf"{kind.__name__}: must be \(N, .*\), got \(2, 2\)"):
        kind(np.ones((2, 2)))
    with pytest.raises(InvalidArgument, match=rf"{kind.__name__}: must be \(N, .*\), got list"):
        kind([[[1.0]]])
    with pytest.raises(InvalidArgument, match="must be"):
        kind(torch.ones(2, 3, 3))[:, 0]
