"""Points of maps in PyTorch, and the heads that are made of them: worked values and laws."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from small_models import random_image, small_model
from torch import Tensor

from d2deploy.modeling.points import grid_points, own_class, point_sample, put_points, uncertain_points


def ramp() -> Tensor:
    return torch.tensor([[[[1.0, 2.0], [3.0, 4.0]]]])


def test_worked_values() -> None:
    points = torch.tensor([[[0.25, 0.25], [0.5, 0.5], [0.0, 0.0], [0.75, 0.25]]])  # x comes first
    assert point_sample(ramp(), points).flatten().tolist() == [1.0, 2.5, 0.25, 2.0]
    rois = torch.tensor([[0.0, 0.0, 4.0, 4.0], [2.0, 0.0, 2.0, 4.0]])
    found = point_sample(ramp(), points[:, :2], rois, spatial_scale=0.5)
    assert found.flatten().tolist() == [1.0, 2.5, 1.5, 2.5]


def test_rois_of_several_images_in_any_order() -> None:
    maps = torch.stack([torch.full((2, 3, 3), value) for value in (1.0, 5.0)])
    rois = torch.tensor([[1.0, 0, 0, 3, 3], [0, 0, 0, 3, 3], [1, 1, 1, 2, 2]])
    assert point_sample(maps, torch.full((1, 1, 2), 0.5), rois)[:, 0, 0, 0].tolist() == [5.0, 1.0, 5.0]
    assert point_sample(maps, torch.full((1, 4, 2), 0.5), rois[:0], width=2).shape == (0, 2, 2, 2)


@pytest.mark.parametrize("size", [(5, 5), (8, 8)])
def test_grid_points_give_the_map(size: tuple[int, int]) -> None:
    x = torch.randn(2, 3, *size, generator=torch.Generator().manual_seed(0))
    torch.testing.assert_close(point_sample(x, grid_points(size[0]), width=size[1]), x, atol=1e-5, rtol=1e-5)
    whole = torch.tensor([[i, 0, 0, 4.0 * size[1], 4.0 * size[0]] for i in (1, 0)])
    found = point_sample(x, grid_points(size[0]), whole, spatial_scale=0.25, width=size[1])
    torch.testing.assert_close(found, x.flip(0), atol=1e-5, rtol=1e-5)


def test_least_certain_points() -> None:
    places, points = uncertain_points(torch.tensor([[[[3.0, -1, 0.5], [-1, torch.nan, -torch.inf]]]]), 3)
    assert places.tolist() == [[1, 2, 4]]
    torch.testing.assert_close(points, torch.tensor([[[0.5, 0.25], [5 / 6, 0.25], [0.5, 0.75]]]))
    several = torch.tensor([[[[1.0, 5, torch.inf]], [[3, 5, torch.inf]], [[0, 1, 2]]]])
    assert uncertain_points(several, 2)[0].tolist() == [[1, 2]]
    assert uncertain_points(several, 9)[0].tolist() == [[0, 1, 2]]
    assert uncertain_points(torch.zeros(0, 1, 4, 4), 3)[0].shape == (0, 3)


def test_points_are_put_back_where_they_were() -> None:
    x = torch.randn(3, 2, 6, 7, generator=torch.Generator().manual_seed(1))
    places, points = uncertain_points(x, 10)
    torch.testing.assert_close(put_points(x, places, point_sample(x, points)), x, atol=1e-5, rtol=1e-5)
    changed = put_points(x, places, torch.full((3, 2, 10, 1), 9.0))
    assert (changed == 9).sum().item() == 3 * 2 * 10
    assert (changed != 9).logical_and(changed != x).sum().item() == 0


def test_own_class() -> None:
    x = torch.arange(12.0).view(2, 3, 1, 2)
    assert own_class(x, torch.tensor([2.0, 0.0])).tolist() == [[[[4, 5]]], [[[6, 7]]]]


def test_masks_whose_points_are_all_predicted_anew() -> None:
    """With as many points as a mask has cells, it is the point head's answer on a regular grid."""
    head: Any = small_model("pointrend").roi_heads.mask_head
    head.num_points, head.steps = 56 * 56, 1
    random = torch.Generator().manual_seed(0)
    features = {f"p{level}": torch.randn(1, 32, 96 >> level, 96 >> level, generator=random) for level in (2, 3, 4, 5)}
    rois, classes = torch.tensor([[5.0, 10, 60, 50], [0, 0, 96, 96]]), torch.tensor([2, 0])
    found = head.masks(features, rois, classes)
    coarse = head.coarse_head(point_sample(features["p2"], grid_points(14), rois, spatial_scale=0.25, width=14))
    fine = point_sample(features["p2"], grid_points(56), rois, spatial_scale=0.25)
    logits = head.point_head(fine, point_sample(coarse, grid_points(56)))
    torch.testing.assert_close(found.flatten(1), logits[torch.arange(2), classes, :, 0], atol=1e-4, rtol=1e-4)


def test_images_of_a_batch_do_not_see_each_other() -> None:
    model = small_model("pointrend")
    images = [random_image(96, 128), random_image(72, 104, seed=1)]
    both = model([{"image": x} for x in images])
    for x, found in zip(images, both):
        alone = model([{"image": x}])[0]["instances"]
        assert len(alone) == len(found["instances"]) > 0
        assert (alone.pred_masks != found["instances"].pred_masks).float().mean() < 1e-3


def test_no_detections_have_no_masks() -> None:
    model = small_model("pointrend", "MODEL.ROI_HEADS.SCORE_THRESH_TEST", 2.0)
    assert model([{"image": random_image(96, 128)}])[0]["instances"].pred_masks.shape == (0, 96, 128)


def test_semantic_map_is_as_large_as_the_image() -> None:
    model = small_model("pointrend_semantic")
    found = model([{"image": random_image(72, 104)}])[0]["sem_seg"]
    assert found.shape == (4, 72, 104)
    assert torch.isfinite(found).all()
