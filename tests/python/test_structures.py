"""Boxes and keypoints of arrays and of tensors: worked values, laws, what is refused. Both kinds do the same."""

from __future__ import annotations

import copy
import math
import pickle
import subprocess
import sys
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from small_models import random_boxes, random_rotated

from d2deploy.errors import Error, InvalidArgument, Unsupported
from d2deploy.structures import Boxes, HostArray, Keypoints, RotatedBoxes

Make = Callable[[Any], Any]  # nested lists or a tensor -> an array of the kind that is tested
ROWS = [[0.0, 0.0, 2.0, 3.0], [1.0, 1.0, 5.0, 2.0], [0.0, 0.0, 1.0, 1.0]]
NAN, INFINITE = float("nan"), float("inf")


def as_array(values: Any) -> Any:
    return np.array(values.tolist() if isinstance(values, torch.Tensor) else values, np.float32)


def as_tensor(values: Any) -> Any:
    return torch.as_tensor(values, dtype=torch.float32).clone()


both = pytest.mark.parametrize("make", [as_array, as_tensor])


def values(result: Any, make: Make) -> Any:
    """A result as lists, if it is of the kind that went in."""
    assert isinstance(result, HostArray if make is as_array else torch.Tensor)
    return result.tolist()


# ---- Upright boxes ---------------------------------------------------------------------------------


@both
def test_areas_and_centres(make: Make) -> None:
    assert values(Boxes(make(ROWS)).area(), make) == [6.0, 4.0, 1.0]
    assert values(Boxes(make(ROWS)).get_centers(), make) == [[1.0, 1.5], [3.0, 1.5], [0.5, 0.5]]


@both
def test_sides_must_be_longer_than_the_threshold(make: Make) -> None:
    assert values(Boxes(make(ROWS)).nonempty(), make) == [True, True, True]
    assert values(Boxes(make(ROWS)).nonempty(1.0), make) == [True, False, False]
    assert values(Boxes(make([[2.0, 2.0, 1.0, 5.0], [NAN, 0.0, 1.0, 1.0]])).nonempty(), make) == [False, False]


@both
def test_the_image_has_its_first_border_but_not_its_last(make: Make) -> None:
    boxes = Boxes(make([[0.0, 0.0, 9.0, 4.0], [0.0, 0.0, 10.0, 4.0], [-1.0, 0.0, 5.0, 4.0], [0.0, 0.0, 9.0, 5.0]]))
    assert values(boxes.inside_box((5, 10)), make) == [True, False, False, False]
    assert values(boxes.inside_box((5, 10), 1), make) == [True, True, True, True]


@both
def test_clipping_and_scaling(make: Make) -> None:
    rows = make([[-3.0, 1.0, 5.0, 99.0], [30.0, 2.0, 40.0, 3.0]])
    boxes = Boxes(rows)
    boxes.clip((10, 20))
    assert values(boxes.tensor, make) == [[0.0, 1.0, 5.0, 10.0], [20.0, 2.0, 20.0, 3.0]]
    boxes.scale(2.0, 10.0)
    assert values(boxes.tensor, make) == [[0.0, 10.0, 10.0, 100.0], [40.0, 20.0, 40.0, 30.0]]
    assert rows.tolist() == [[-3.0, 1.0, 5.0, 99.0], [30.0, 2.0, 40.0, 3.0]]  # others who have the array see no change


@both
@pytest.mark.parametrize("bad", [NAN, INFINITE])
def test_what_is_not_finite_cannot_be_clipped(make: Make, bad: float) -> None:
    boxes = Boxes(make([*ROWS, [0.0, 0.0, bad, 1.0]]))
    with pytest.raises(InvalidArgument, match="Boxes: 1 of 4 boxes have infinite coordinates or NaN"):
        boxes.clip((10, 10))


# ---- Rotated boxes ---------------------------------------------------------------------------------


@both
def test_rotated_boxes(make: Make) -> None:
    boxes = RotatedBoxes(make([[4.0, 5.0, 2.0, 3.0, 30.0], [1.0, 1.0, 1.0, 0.0, 30.0]]))
    assert values(boxes.area(), make) == [6.0, 0.0]
    assert values(boxes.get_centers(), make) == [[4.0, 5.0], [1.0, 1.0]]
    assert values(boxes.nonempty(), make) == [True, False]
    assert values(boxes.nonempty(2.0), make) == [False, False]


@both
def test_angles_are_normalised(make: Make) -> None:
    boxes = RotatedBoxes(make([[1.0, 2.0, 3.0, 4.0, angle] for angle in (180.0, -180.0, 540.0, 359.0, -181.0, 7.0)]))
    boxes.normalize_angles()
    assert values(boxes.tensor[:, 4], make) == [-180.0, -180.0, -180.0, -1.0, 179.0, 7.0]
    assert boxes.tensor[:, :4].tolist() == [[1.0, 2.0, 3.0, 4.0]] * 6


@both
def test_only_rotated_boxes_that_are_almost_upright_are_clipped(make: Make) -> None:
    rows = [[1.0, 5.0, 4.0, 2.0, angle] for angle in (0.0, 361.0, -1.5, 90.0)]
    boxes = RotatedBoxes(make(rows))
    boxes.clip((10, 10))
    whole = [1.0, 5.0, 4.0, 2.0]
    assert values(boxes.tensor, make) == [[1.5, 5, 3, 2, 0], [1.5, 5, 3, 2, 1], [*whole, -1.5], [*whole, 90]]
    boxes = RotatedBoxes(make(rows))
    boxes.clip((10, 10), clip_angle_threshold=2.0)
    assert boxes.tensor[2].tolist() == [1.5, 5, 3, 2, -1.5]


@both
def test_a_rotated_box_is_inside_with_all_its_corners(make: Make) -> None:
    # Turned by 45 degrees, a square of side 2 reaches sqrt(2) = 1.41 from its centre.
    boxes = RotatedBoxes(make([[x, 5.0, 2.0, 2.0, angle] for x, angle in ((1.3, 0), (1.3, 45), (8.7, 45), (5, 45))]))
    assert values(boxes.inside_box((10, 10)), make) == [True, False, False, True]
    assert values(boxes.inside_box((10, 10), 1), make) == [True] * 4


@both
def test_scaling_rotated_boxes(make: Make) -> None:
    boxes = RotatedBoxes(make([[1.0, 2.0, 3.0, 4.0, 90.0], [1.0, 2.0, 3.0, 4.0, 0.0], [1.0, 2.0, 2.0, 2.0, 45.0]]))
    boxes.scale(2.0, 10.0)
    root = math.sqrt(2.0 * (2**2 + 10**2))
    slant = math.degrees(math.atan2(2.0, 10.0))
    expected: Any = [[2, 20, 30, 8, 90], [2, 20, 6, 40, 0], [2, 20, root, root, slant]]
    np.testing.assert_allclose(values(boxes.tensor, make), expected, rtol=1e-5, atol=1e-5)


# ---- Laws ------------------------------------------------------------------------------------------

OPERATIONS: dict[str, Callable[[Any], Any]] = {
    "area": lambda boxes: boxes.area(),
    "centres": lambda boxes: boxes.get_centers(),
    "nonempty": lambda boxes: boxes.nonempty(10.0),
    "inside": lambda boxes: boxes.inside_box((50, 60), 3),
    "clip": lambda boxes: boxes.clip((50, 60)),
    "scale": lambda boxes: boxes.scale(0.7, 2.0),
}


def random_rows(kind: type[Boxes], seed: int) -> torch.Tensor:
    if kind is Boxes:
        return random_boxes(40, seed)
    rows = random_rotated(40, seed)
    rows[::2, 4] /= 180  # upright to within a degree
    return rows


def outcome(kind: type[Boxes], rows: Any, operation: str) -> Any:
    """What an operation gives, or makes of the boxes."""
    boxes = kind(rows)
    result = OPERATIONS[operation](boxes)
    return np.asarray(boxes.tensor if result is None else result)


@pytest.mark.parametrize("operation", OPERATIONS)
@settings(max_examples=30)
@given(seed=st.integers(0, 99), kind=st.sampled_from([Boxes, RotatedBoxes]))
def test_arrays_and_tensors_give_the_same_for_any_order_of_the_rows(
    operation: str, kind: type[Boxes], seed: int
) -> None:
    rows = random_rows(kind, seed)
    order = torch.randperm(len(rows), generator=torch.Generator().manual_seed(seed))
    have, want = outcome(kind, rows.numpy(), operation), outcome(kind, rows[order], operation)
    assert have.dtype == want.dtype
    np.testing.assert_allclose(have[order.numpy()], want, rtol=1e-5, atol=1e-4)


@both
@pytest.mark.parametrize("kind", [Boxes, RotatedBoxes])
@settings(max_examples=30)
@given(seed=st.integers(0, 99))
def test_laws_of_clip_scale_and_cat(make: Make, kind: type[Boxes], seed: int) -> None:
    boxes = kind(make(random_rows(kind, seed)))
    clipped = boxes.clone()
    clipped.clip((50, 60))
    again = clipped.clone()
    again.clip((50, 60))
    np.testing.assert_allclose(again, clipped, rtol=1e-5, atol=1e-4)
    if kind is Boxes:
        assert Boxes(clipped.tensor - 1e-3).inside_box((50, 60), 1e-3).all()
    scaled = boxes.clone()
    scaled.scale(3.0, 3.0)
    np.testing.assert_allclose(scaled.area(), boxes.area() * 9, rtol=1e-4, atol=1e-3)
    scaled.scale(1 / 3, 1 / 3)
    np.testing.assert_allclose(scaled, boxes, rtol=1e-4, atol=1e-3)
    joined = kind.cat([boxes[:7], boxes[7:7], boxes[7:]])
    np.testing.assert_array_equal(joined, boxes)


# ---- Containers ------------------------------------------------------------------------------------


def test_rows_are_kept_as_float32_and_lists_become_arrays() -> None:
    for rows in (
        ROWS,
        np.array(ROWS),
        np.array(ROWS, np.int64),
        torch.tensor(ROWS).double(),
        torch.tensor(ROWS).half(),
    ):
        boxes = Boxes(rows)
        assert "float32" in str(boxes.tensor.dtype)
        assert isinstance(boxes.tensor, torch.Tensor) == isinstance(rows, torch.Tensor)
        assert boxes.tensor.tolist() == ROWS
    array, tensor = as_array(ROWS), as_tensor(ROWS)
    assert np.shares_memory(Boxes(array).tensor, array)
    assert Boxes(tensor).tensor is tensor


def test_no_rows() -> None:
    for kind, columns in ((Boxes, 4), (RotatedBoxes, 5)):
        without: list[Any] = [[], np.zeros(0), np.zeros((0, 7)), torch.zeros(0), torch.zeros(0, columns)]
        for rows in without:
            assert kind(rows).tensor.shape == (0, columns)
        empty = kind.cat([])
        empty.scale(2, 2)
        empty.clip((3, 3))
        assert (len(empty), len(empty.area()), len(empty.inside_box((3, 3)))) == (0, 0, 0)


@both
def test_indexing_gives_boxes(make: Make) -> None:
    boxes = Boxes(make(ROWS))
    mask = np.array([True, False, True]) if make is as_array else torch.tensor([True, False, True])
    indices = np.array([2, 0]) if make is as_array else torch.tensor([2, 0])
    chosen: list[tuple[Any, list[int]]] = [
        (1, [1]),
        (-1, [2]),
        (np.int64(1), [1]),
        (torch.tensor(2), [2]),
        (slice(1, None), [1, 2]),
        ([2, 0], [2, 0]),
        (indices, [2, 0]),
        (mask, [0, 2]),
        (~mask, [1]),
        (mask & False, []),
    ]
    for item, rows in chosen:
        part = boxes[item]
        assert type(part) is Boxes
        assert values(part.tensor, make) == [ROWS[row] for row in rows]
    with pytest.raises(IndexError, match="Boxes: index 3 is out of range, there are 3"):
        boxes[3]
    with pytest.raises(InvalidArgument, match=r"must be \(N, 4\), got \(3, 2\)"):
        boxes[:, :2]


@both
def test_iteration_copies_and_devices(make: Make) -> None:
    boxes = Boxes(make(ROWS))
    assert [values(box, make) for box in boxes] == ROWS
    copied = boxes.clone()
    copied.tensor[0, 0] = 7
    assert boxes.tensor[0, 0] == 0
    assert str(boxes.device) == str(boxes.to("cpu").device) == "cpu"
    assert values(boxes.to(torch.device("cpu")).tensor, make) == ROWS
    assert repr(boxes) == f"Boxes({boxes.tensor})"
    for other in (copy.deepcopy(boxes), pickle.loads(pickle.dumps(boxes))):
        assert values(other.tensor, make) == ROWS
    array = np.asarray(boxes)
    assert type(array) is np.ndarray
    assert (str(array.dtype), array.tolist()) == ("float32", ROWS)
    assert np.asarray(boxes, np.int64).tolist() == ROWS
    assert not np.shares_memory(np.array(boxes), array)


def test_tensors_may_need_gradients_and_be_elsewhere() -> None:
    rows = torch.tensor(ROWS, requires_grad=True)
    assert np.asarray(Boxes(rows)).tolist() == ROWS
    boxes = Boxes(rows)
    boxes.scale(2.0, 2.0)
    boxes.area().sum().backward()
    assert rows.grad is not None
    assert Boxes(torch.tensor(ROWS)).to("meta").device.type == "meta"
    with pytest.raises(Unsupported, match=r"NumPy arrays are on the CPU, not on cuda:1; torch\.as_tensor"):
        Boxes(ROWS).to("cuda:1")


@pytest.mark.parametrize(
    ("kind", "rows", "message"),
    [
        (Boxes, [[1.0, 2.0]], r"Boxes: must be \(N, 4\), got \(1, 2\)"),
        (Boxes, [1.0, 2.0, 3.0, 4.0], r"Boxes: must be \(N, 4\), got \(4,\)"),
        (Boxes, 3.0, r"Boxes: must be \(N, 4\), got \(\)"),
        (Boxes, np.zeros((3, 0)), r"Boxes: must be \(N, 4\), got \(3, 0\)"),
        (RotatedBoxes, torch.zeros(3, 4), r"RotatedBoxes: must be \(N, 5\), got \(3, 4\)"),
        (Boxes, [[1.0, 2.0, 3.0, 4.0], [1.0]], "Boxes: must be a tensor, an array or lists of numbers; "),
        (Boxes, "boxes", "Boxes: must be a tensor, an array or lists of numbers; "),
        (Keypoints, [[1.0, 2.0, 3.0]], r"Keypoints: must be \(N, K, 3\), got \(1, 3\)"),
        (Keypoints, np.zeros((1, 1, 2)), r"Keypoints: must be \(N, K, 3\), got \(1, 1, 2\)"),
    ],
)
def test_wrong_shapes(kind: type[Boxes | Keypoints], rows: Any, message: str) -> None:
    with pytest.raises(InvalidArgument, match=message):
        kind(rows)


def test_what_cannot_be_joined() -> None:
    for parts, message in (
        ([Boxes(ROWS), Boxes(torch.tensor(ROWS))], "Boxes.cat: all must be of one type, got HostArray, Tensor"),
        ([Boxes(ROWS), ROWS], "Boxes.cat: need Boxes, got Boxes, list"),
        ([Boxes(ROWS), RotatedBoxes(np.ones((2, 5)))], r"Boxes.cat: cannot join \(3, 4\), \(2, 5\); "),
        ([Boxes(as_tensor(ROWS)), RotatedBoxes(torch.ones(2, 5))], r"Boxes.cat: cannot join \(3, 4\), \(2, 5\); "),
    ):
        with pytest.raises(InvalidArgument, match=message):
            Boxes.cat(parts)  # type: ignore[arg-type]
    with pytest.raises(InvalidArgument, match=r"Keypoints\.cat: need Keypoints, got none"):
        Keypoints.cat([])


@both
def test_keypoints(make: Make) -> None:
    rows = [[[1.0, 2.0, 2.0], [3.0, 4.0, 0.0]], [[5.0, 6.0, 1.0], [0.0, 0.0, 0.0]]]
    points = Keypoints(make(rows))
    assert (len(points), str(points.device), repr(points)) == (2, "cpu", "Keypoints(num_instances=2)")
    assert values(points[1].tensor, make) == rows[1:]
    assert values(points.to("cpu")[[False, True]].tensor, make) == rows[1:]
    assert values(Keypoints.cat([points[1], points[0]]).tensor, make) == rows[::-1]
    assert len(points[points.tensor[:, 0, 0] > 9]) == 0
    assert np.asarray(points).tolist() == rows


# ---- Arrays ----------------------------------------------------------------------------------------


def test_arrays_have_the_methods_by_which_tensors_are_taken_to_numpy() -> None:
    boxes = Boxes(as_array(ROWS))
    plain = boxes.tensor.detach().cpu().numpy()
    assert type(plain) is np.ndarray
    assert np.shares_memory(plain, boxes.tensor)
    chosen = boxes.tensor[boxes.area() > 3, 2:]  # what is computed from them has them too
    assert chosen.to("cpu", non_blocking=True).clone().numpy().tolist() == [[2.0, 3.0], [5.0, 2.0]]
    assert (
        (boxes.tensor > 2).any(dim=0).tolist() == (boxes.tensor > 2).any(axis=0).tolist() == [False, False, True, True]
    )
    assert (boxes.tensor > 2).any()


def test_sums_of_arrays_are_numbers() -> None:
    area = Boxes(ROWS).area()
    assert {type(area.max()), type(area.sum()), type(area[0]), type(np.mean(area))} == {np.float32}
    assert f"{area.max():.1f}" == "6.0"
    assert type(area.sum(keepdims=True)) is HostArray


def test_errors_are_ours_and_pythons() -> None:
    with pytest.raises(Error) as raised:
        Boxes(ROWS)[9]
    assert isinstance(raised.value, IndexError)


def test_all_of_it_works_without_pytorch() -> None:
    code = """
import sys
import numpy as np
from d2deploy.structures import Boxes, Instances, Keypoints, ROIMasks
found = Instances((9, 9), pred_boxes=Boxes([[1, 1, 5, 5]]), scores=np.ones(1), pred_keypoints=Keypoints([[[1, 1, 1]]]))
found = Instances.cat([found, found.to("cpu")])[found.scores.cpu().numpy().argmax()]
found.pred_boxes.clip((4, 4))
assert ROIMasks(np.ones((1, 4, 4))).to_bitmasks(found.pred_boxes, 9, 9).tensor.sum() == 9
assert "torch" not in sys.modules
"""
    result = subprocess.run(
        [sys.executable, "-c", code], env={"PYTHONPATH": ":".join(sys.path)}, capture_output=True, check=False
    )
    assert (result.returncode, result.stderr) == (0, b"")
