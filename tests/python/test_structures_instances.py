"""Instances: fields stay together, as Detectron2's do; what they do not have is said in errors of both worlds."""

from __future__ import annotations

import copy
import pickle
from typing import Any

import numpy as np
import pytest
import torch

from d2deploy.errors import InvalidArgument, Unsupported
from d2deploy.structures import Boxes, HostArray, Instances, Keypoints, ROIMasks

ROWS = [[0.0, 0.0, 2.0, 3.0], [1.0, 1.0, 5.0, 2.0], [0.0, 0.0, 1.0, 1.0]]
SCORES = [0.875, 0.5, 0.125]


def instances(kind: str = "torch") -> Instances:
    make: Any = torch.tensor if kind == "torch" else np.array
    return Instances((10, 20), pred_boxes=Boxes(make(ROWS)), scores=make(SCORES), names=["a", "b", "c"])


both = pytest.mark.parametrize("kind", ["torch", "numpy"])


@both
@pytest.mark.parametrize(
    ("item", "rows"),
    [
        (slice(1, None), [1, 2]),
        (slice(None, None, 2), [0, 2]),
        (torch.tensor([2, 0]), [2, 0]),
        (np.array([2, 0]), [2, 0]),
        ([2, 0], [2, 0]),
        (torch.tensor([True, False, True]), [0, 2]),
        (np.array([True, False, True]), [0, 2]),
        (np.zeros(3, bool), []),
        (1, [1]),
        (-3, [0]),
        (np.int32(2), [2]),
        (torch.tensor(2), [2]),
    ],
)
def test_indexing_takes_all_fields_along(kind: str, item: object, rows: list[int]) -> None:
    part = instances(kind)[item]
    assert isinstance(part.scores, torch.Tensor if kind == "torch" else HostArray)
    assert part.scores.tolist() == [SCORES[row] for row in rows]
    assert part.pred_boxes.tensor.tolist() == [ROWS[row] for row in rows]
    assert part.names == [["a", "b", "c"][row] for row in rows]
    assert (len(part), len(part.pred_boxes), part.image_size) == (len(rows), len(rows), (10, 20))


@both
def test_a_field_chooses_instances(kind: str) -> None:
    found = instances(kind)
    assert found[found.scores > 0.3].names == ["a", "b"]


def test_index_out_of_range() -> None:
    for item in (3, -4, np.int64(3)):
        with pytest.raises(IndexError, match=f"Instances: index {item} is out of range, there are 3"):
            instances()[item]


def test_fields() -> None:
    found = instances()
    found.pred_classes = torch.tensor([1, 2, 3])
    assert found.has("pred_classes")
    assert list(found.get_fields()) == ["pred_boxes", "scores", "names", "pred_classes"]
    assert found.get("scores") is found.scores
    found.scores = found.scores * 2
    assert found.scores.tolist() == [1.75, 1.0, 0.25]
    found.remove("pred_classes")
    assert not found.has("pred_classes")
    assert not hasattr(found, "pred_classes")
    found.get_fields()["scores"] = found.scores[:1]  # the dictionary itself, and as in Detectron2 unchecked
    assert len(found.scores) == 1
    found._remark = "not a field"
    assert not found.has("_remark")


def test_arrays_are_kept_on_their_memory() -> None:
    scores = np.array(SCORES)
    found = Instances((1, 1), scores=scores)
    assert np.shares_memory(found.scores, scores)
    assert type(found.scores.cpu().numpy()) is np.ndarray
    assert found.get("scores") is found.scores


def test_moving() -> None:
    moved = instances().to("meta")
    assert (moved.scores.device.type, moved.pred_boxes.device.type, moved.names) == ("meta", "meta", ["a", "b", "c"])
    assert instances("numpy").to("cpu").scores.tolist() == SCORES
    with pytest.raises(Unsupported, match="NumPy arrays are on the CPU, not on cuda"):
        instances("numpy").to("cuda")


def test_without_fields_there_is_no_length() -> None:
    empty = Instances((1, 2))
    for error in (NotImplementedError, InvalidArgument):
        with pytest.raises(error, match="Instances: without a field there is no length"):
            len(empty)
    assert str(empty) == "Instances(image_height=1, image_width=2, fields=[])"
    assert empty.to("cpu").image_size == (1, 2)


def test_instances_are_not_iterated_over() -> None:
    for error in (NotImplementedError, InvalidArgument):
        with pytest.raises(error, match=r"Instances: cannot be iterated over; instances\[i\] has the i-th alone"):
            iter(instances())


@both
def test_text(kind: str) -> None:
    found = instances(kind)
    assert repr(found) == str(found)
    assert str(found) == (
        "Instances(num_instances=3, image_height=10, image_width=20, fields=["
        f"pred_boxes: {found.pred_boxes}, scores: {found.scores}, names: ['a', 'b', 'c']])"
    )


@both
def test_joining(kind: str) -> None:
    found = instances(kind)
    found.masks = ROIMasks(found.scores.clone().reshape(3, 1, 1))
    found.points = Keypoints(found.pred_boxes.tensor[:, None, :3])
    joined = Instances.cat([found[1:], found[:0], found[:1]])
    assert isinstance(joined.scores, type(found.scores))
    assert joined.scores.tolist() == [0.5, 0.125, 0.875]
    assert joined.pred_boxes.tensor.tolist() == [*ROWS[1:], ROWS[0]]
    assert joined.names == ["b", "c", "a"]
    assert (len(joined.masks), len(joined.points), joined.image_size) == (3, 3, (10, 20))
    assert Instances.cat([found]) is found
    other = found[:1]
    other.more = [1]
    assert list(Instances.cat([found, other]).get_fields()) == list(found.get_fields())


def test_what_cannot_be_joined() -> None:
    found, other = instances(), instances("numpy")
    for parts, message in (
        ([], "Instances.cat: need Instances, got none"),
        ([found, found.scores], "Instances.cat: need Instances, got Instances, Tensor"),
        ([found, Instances((10, 21))], r"Instances.cat: all must be of one image size, got \(10, 20\), \(10, 21\)"),
        ([found, Instances((10, 20), scores=[1])], "Instances: no field pred_boxes; it has: scores"),
        ([found, other], "Boxes.cat: all must be of one type, got HostArray, Tensor"),
        ([Instances((1, 1), a="x")] * 2, "Instances.cat: field a is str, which cannot be joined; lists can"),
        (
            [Instances((1, 1), a=np.ones((1, 2))), Instances((1, 1), a=np.ones((1, 3)))],
            r"Instances.cat: field a: cannot join \(1, 2\), \(1, 3\)",
        ),
        (
            [Instances((1, 1), a=np.ones((1, 4))), Instances((1, 1), a=Boxes(np.ones((1, 4))))],
            "Instances.cat: field a: all must be of one type, got Boxes, HostArray",
        ),
        (
            [Instances((1, 1), a=[1]), Instances((1, 1), a=np.ones(1))],
            "Instances.cat: field a is HostArray, list, which cannot be joined; lists can",
        ),
    ):
        with pytest.raises(InvalidArgument, match=message):
            Instances.cat(parts)


def test_copies() -> None:
    for found in (instances("numpy"), instances()):
        for other in (copy.copy(found), copy.deepcopy(found), pickle.loads(pickle.dumps(found))):
            assert str(other) == str(found)
            assert type(other.scores) is type(found.scores)


def test_what_is_refused() -> None:
    found = instances()
    for error in (AttributeError, KeyError, InvalidArgument):
        with pytest.raises(error, match=r"^Instances: no field pred_masks; it has: pred_boxes, scores, names$"):
            _ = found.pred_masks
    with pytest.raises(KeyError, match="no field pred_masks"):
        found.get("pred_masks")
    with pytest.raises(KeyError, match="no field pred_masks"):
        found.remove("pred_masks")
    with pytest.raises(InvalidArgument, match=r"field pred_classes has length 2, the others have \{'pred_boxes': 3"):
        found.pred_classes = torch.tensor([1, 2])
    with pytest.raises(InvalidArgument, match="field count must have a length; "):
        found.count = 3
    with pytest.raises(InvalidArgument, match="field count must have a length; "):
        found.count = torch.tensor(3)
    for name in ("image_size", "to", "cat"):
        with pytest.raises(InvalidArgument, match=f"a field cannot be called {name}, which Instances have already"):
            setattr(found, name, (1, 2, 3))
