"""RoIAlign and the choice of levels: worked values, float64 oracles, laws."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from oracles.arguments import Arguments
from oracles.roi import roi_align as roi_align_oracle
from oracles.roi import roi_align_rotated
from small_models import random_boxes, random_rotated

from d2deploy.errors import InvalidArgument, Unsupported
from d2deploy.modeling import roi_align as module
from d2deploy.modeling.pooler import ROIPooler, assign_levels
from d2deploy.modeling.roi_align import roi_align
from d2deploy.structures import Boxes, RotatedBoxes


def features(count: int, height: int = 12, width: int = 17) -> torch.Tensor:
    return torch.randn(count, 3, height, width, generator=torch.Generator().manual_seed(7))


def with_image(boxes: torch.Tensor, images: int) -> torch.Tensor:
    return torch.cat([(torch.arange(len(boxes)) % images)[:, None].float(), boxes], dim=1)


def test_worked_values() -> None:
    # f(y, x) = 5 y + x is its own interpolation, so a bin's mean is f at its centre, shifted by the aligned half pixel.
    ramp = torch.arange(25.0).view(1, 1, 5, 5)
    pooled = roi_align(ramp, torch.tensor([[0.0, 1.0, 1.0, 3.0, 3.0]]), (2, 2), 1.0, 2, True)
    assert pooled.flatten().tolist() == pytest.approx([6.0, 7.0, 11.0, 12.0])
    legacy = roi_align(ramp, torch.tensor([[0.0, 1.0, 1.0, 3.0, 3.0]]), (2, 2), 1.0, 2, False)
    assert legacy.flatten().tolist() == pytest.approx([9.0, 10.0, 14.0, 15.0])


@pytest.mark.parametrize("aligned", [True, False])
@pytest.mark.parametrize("ratio", [0, 2])
@pytest.mark.parametrize("limit", [1 << 20, 50])
def test_equals_the_oracle(aligned: bool, ratio: int, limit: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "MAX_POINTS", limit)
    maps, rois = features(2), with_image(random_boxes(25), 2)
    arguments = Arguments(
        {"pooled_h": 3, "pooled_w": 4, "spatial_scale": 0.25, "sampling_ratio": ratio, "aligned": int(aligned)}
    )
    expected = roi_align_oracle(arguments, [maps.numpy(), rois.numpy()])[0]
    pooled = roi_align(maps, rois, (3, 4), 0.25, ratio, aligned)
    np.testing.assert_allclose(pooled, expected, atol=1e-5)


@pytest.mark.parametrize("ratio", [0, 2])
def test_rotated_equals_the_oracle(ratio: int) -> None:
    maps, rois = features(2), with_image(random_rotated(25), 2)
    arguments = Arguments({"pooled_h": 3, "pooled_w": 4, "spatial_scale": 0.25, "sampling_ratio": ratio, "aligned": 1})
    expected = roi_align_rotated(arguments, [maps.numpy(), rois.numpy()])[0]
    pooled = roi_align(maps, rois, (3, 4), 0.25, ratio, True)
    np.testing.assert_allclose(pooled, expected, atol=1e-4)


def test_a_rotated_box_without_angle_is_upright() -> None:
    maps, boxes = features(1), random_boxes(10)
    centred = torch.cat([(boxes[:, :2] + boxes[:, 2:]) / 2, boxes[:, 2:] - boxes[:, :2], torch.zeros(10, 1)], dim=1)
    expected = roi_align(maps, with_image(boxes, 1), (2, 2), 0.25, 2, True)
    torch.testing.assert_close(roi_align(maps, with_image(centred, 1), (2, 2), 0.25, 2, True), expected)


def test_empty_boxes_and_no_boxes() -> None:
    assert roi_align(features(1), torch.tensor([[0.0, 3.0, 3.0, 3.0, 9.0]]), (2, 2), 1.0, 0, True).abs().sum() == 0
    assert roi_align(features(1), torch.zeros(0, 5), (2, 3), 1.0, 0, True).shape == (0, 3, 2, 3)


def test_levels() -> None:
    sides = torch.tensor([10.0, 111.9, 112.0, 224.0, 447.9, 448.0, 2000.0])
    boxes = torch.stack([torch.zeros(7), torch.zeros(7), sides, sides], dim=1)
    assert assign_levels(boxes, 2, 5, 224, 4).tolist() == [0, 0, 1, 2, 2, 3, 3]
    rotated = torch.stack([torch.zeros(7), torch.zeros(7), sides * 2, sides / 2, sides], dim=1)
    assert assign_levels(rotated, 2, 5, 224, 4).tolist() == [0, 0, 1, 2, 2, 3, 3]


@pytest.mark.parametrize("kind", ["ROIAlignV2", "ROIAlign", "ROIAlignRotated"])
def test_pooler_takes_each_box_from_its_level_and_image(kind: str) -> None:
    maps = [features(2, 64, 64), features(2, 32, 32)]
    pooler = ROIPooler(2, [1 / 4, 1 / 8], 2, kind, canonical_box_size=32, canonical_level=2)
    boxes = random_rotated(12) if kind == "ROIAlignRotated" else random_boxes(12)
    boxes[::2, 2:4] += 60
    container = RotatedBoxes if kind == "ROIAlignRotated" else Boxes
    pooled = pooler(maps, [container(boxes[:5]), container(boxes[5:])])
    levels = assign_levels(boxes, 2, 3, 32, 2).tolist()
    assert set(levels) == {0, 1}
    for index, level in enumerate(levels):
        roi = torch.cat([torch.tensor([float(index >= 5)]), boxes[index]])[None]
        expected = roi_align(maps[level], roi, (2, 2), 1 / 4 / 2**level, 2, kind != "ROIAlign")
        torch.testing.assert_close(pooled[index], expected[0])


def test_pooler_without_boxes() -> None:
    pooler = ROIPooler(7, [1 / 4, 1 / 8], 0, "ROIAlignV2")
    nothing = Boxes(torch.zeros(0, 4))
    assert pooler([features(2, 64, 64), features(2, 32, 32)], [nothing, nothing]).shape == (0, 3, 7, 7)


def test_what_is_refused() -> None:
    with pytest.raises(
        Unsupported, match="pooler_type is ROIPool, which cannot be exported; train with one of ROIAlign"
    ):
        ROIPooler(7, [1 / 4], 0, "ROIPool")
    with pytest.raises(InvalidArgument, match="pooler_type is empty; known: ROIAlign, ROIAlignV2, ROIAlignRotated"):
        ROIPooler(7, [1 / 4], 0, "")
    with pytest.raises(InvalidArgument, match=r"powers of two, each half of the one before, got \[0.25, 0.0625\]"):
        ROIPooler(7, [1 / 4, 1 / 16], 0, "ROIAlign")
