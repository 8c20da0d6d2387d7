"""Containers of predictions: indexing keeps fields together, wrong shapes are refused."""

from __future__ import annotations

import subprocess
import sys

import numpy as np
import pytest
import torch

from d2deploy.errors import InvalidArgument
from d2deploy.structures import Boxes, Instances, RotatedBoxes


def instances() -> Instances:
    boxes = torch.tensor([[0.0, 0.0, 2.0, 3.0], [1.0, 1.0, 5.0, 2.0], [0.0, 0.0, 1.0, 1.0]])
    return Instances((10, 20), pred_boxes=Boxes(boxes), scores=torch.tensor([0.9, 0.5, 0.1]))


def test_areas_and_centres() -> None:
    assert instances().pred_boxes.area().tolist() == [6.0, 4.0, 1.0]
    assert instances().pred_boxes.get_centers().tolist() == [[1.0, 1.5], [3.0, 1.5], [0.5, 0.5]]
    rotated = RotatedBoxes(np.array([[4.0, 5.0, 2.0, 3.0, 30.0]]))
    assert rotated.area().tolist() == [6.0]
    assert rotated.get_centers().tolist() == [[4.0, 5.0]]


@pytest.mark.parametrize(
    ("item", "scores"),
    [
        (slice(1, None), [0.5, 0.1]),
        (torch.tensor([2, 0]), [0.1, 0.9]),
        (torch.tensor([True, False, True]), [0.9, 0.1]),
        (1, [0.5]),
        (-1, [0.1]),
    ],
)
def test_indexing_takes_all_fields_along(item: object, scores: list[float]) -> None:
    part = instances()[item]
    assert part.scores.tolist() == pytest.approx(scores)
    assert len(part.pred_boxes) == len(part) == len(scores)
    assert part.image_size == (10, 20)


def test_index_out_of_range() -> None:
    with pytest.raises(IndexError, match="index 3 is out of range, there are 3"):
        instances()[3]


def test_iteration_ends() -> None:
    assert [float(box[2]) for box in instances().pred_boxes] == [2.0, 5.0, 1.0]


def test_fields() -> None:
    found = instances()
    found.pred_classes = torch.tensor([1, 2, 3])
    assert found.has("pred_classes")
    assert list(found.get_fields()) == ["pred_boxes", "scores", "pred_classes"]
    assert found.get("scores") is found.scores
    found.remove("pred_classes")
    assert not found.has("pred_classes")
    assert len(found.to("cpu")) == 3
    assert len(Instances((1, 1))) == 0


def test_what_is_refused() -> None:
    with pytest.raises(AttributeError, match="no field pred_masks; it has: pred_boxes, scores"):
        _ = instances().pred_masks
    with pytest.raises(InvalidArgument, match=r"field pred_classes has length 2, the others have \{'pred_boxes': 3"):
        instances().pred_classes = torch.tensor([1, 2])
    with pytest.raises(InvalidArgument, match=r"RotatedBoxes: must be \(N, 5\), got \(3, 4\)"):
        RotatedBoxes(torch.zeros(3, 4))


def test_importing_needs_neither_torch_nor_numpy() -> None:
    code = "import d2deploy.structures, sys; sys.exit(bool({'torch', 'numpy'} & set(sys.modules)))"
    assert (
        subprocess.run([sys.executable, "-c", code], env={"PYTHONPATH": ":".join(sys.path)}, check=False).returncode
        == 0
    )
