"""Anchors: worked values, order, refusals."""

from __future__ import annotations

import pytest
import torch
from small_models import small_config

from d2deploy.errors import InvalidArgument
from d2deploy.modeling import DefaultAnchorGenerator, RotatedAnchorGenerator, build_model


def test_cells_have_the_area_of_the_size_and_the_ratio_of_height_to_width() -> None:
    generator = DefaultAnchorGenerator(sizes=[[32, 64]], aspect_ratios=[[0.25, 1.0, 4.0]], strides=[4], offset=0.0)
    cells = next(iter(generator.cell_anchors))
    expected = [[64, 16], [32, 32], [16, 64], [128, 32], [64, 64], [32, 128]]
    assert (cells[:, 2:] - cells[:, :2]).tolist() == expected
    assert (cells[:, 2:] + cells[:, :2]).abs().max() == 0
    assert generator.num_anchors == [6]


def test_positions_go_row_by_row_and_the_offset_counts_in_strides() -> None:
    generator = DefaultAnchorGenerator(sizes=[2.0], aspect_ratios=[1.0], strides=[4, 8], offset=0.5)
    first, second = generator([torch.zeros(1, 1, 2, 3), torch.zeros(1, 1, 1, 1)])
    centres = (first[:, :2] + first[:, 2:]) / 2
    assert centres.tolist() == [[2, 2], [6, 2], [10, 2], [2, 6], [6, 6], [10, 6]]
    assert second.tolist() == [[3, 3, 5, 5]]


def test_rotated_cells_take_every_angle_last() -> None:
    generator = RotatedAnchorGenerator(sizes=[8], aspect_ratios=[1, 4], angles=[-30, 60], strides=[2], offset=0.0)
    (anchors,) = generator([torch.zeros(1, 1, 1, 2)])
    cells = [[8, 8, -30], [8, 8, 60], [4, 16, -30], [4, 16, 60]]
    assert anchors[:4].tolist() == [[0, 0, *cell] for cell in cells]
    assert anchors[4:].tolist() == [[2, 0, *cell] for cell in cells]


def test_anchors_are_no_part_of_the_state_dict() -> None:
    assert not RotatedAnchorGenerator(sizes=[8], aspect_ratios=[1], angles=[0], strides=[2]).state_dict()


def test_what_is_refused() -> None:
    with pytest.raises(InvalidArgument, match=r"SIZES: needs 1 or 3 lists, one per level, got \[\[1\], \[2\]\]"):
        DefaultAnchorGenerator(sizes=[[1], [2]], aspect_ratios=[[1.0]], strides=[4, 8, 16])
    with pytest.raises(InvalidArgument, match=r"OFFSET is 1\.0, must be at least 0 and below 1"):
        DefaultAnchorGenerator(sizes=[1], aspect_ratios=[1.0], strides=[4], offset=1.0)
    sizes = [[32], [64], [128], [256], [512, 600]]
    with pytest.raises(InvalidArgument, match=r"every level must have as many anchors .* got \[3, 3, 3, 3, 6\]"):
        build_model(small_config("mask_fpn", "MODEL.ANCHOR_GENERATOR.SIZES", sizes))
