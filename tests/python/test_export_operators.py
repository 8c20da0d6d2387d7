"""The custom operators: registered as PyTorch wants them, their fakes as their bodies, their bodies as the oracles."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from oracles import ORACLES, Arguments
from torch import Tensor

from d2deploy.export.operators import OPERATORS

_OPS = torch.ops.d2deploy
ANGLES: dict[str, Any] = {
    "angle_bound_on": True,
    "angle_bound_lo": -180,
    "angle_bound_hi": 180,
    "clip_angle_thresh": 1.0,
    "legacy_plus_one": False,
}
Inputs = list[Any]  # tensors, or one list of them
Draw = Callable[[np.random.Generator], tuple[Inputs, dict[str, Any]]]


def tensor(values: Any) -> Tensor:
    return torch.from_numpy(np.ascontiguousarray(values, np.float32))


def boxes(random: np.random.Generator, count: int, size: float = 60) -> np.ndarray:
    """(count, 4) xyxy, every fifth without area."""
    corner = random.uniform(-5, size, (count, 2))
    sides = random.uniform(1, size / 2, (count, 2))
    sides[::5] = 0
    return np.concatenate([corner, corner + sides], axis=1)


def rotated(random: np.random.Generator, count: int, size: float = 60) -> np.ndarray:
    """(count, 5); the first ones have almost no angle, so that they are clipped."""
    angle = random.uniform(-180, 180, (count, 1))
    angle[:3] = random.uniform(-0.9, 0.9, angle[:3].shape)
    return np.concatenate([random.uniform(0, size, (count, 2)), random.uniform(2, size / 2, (count, 2)), angle], axis=1)


def with_images(rows: np.ndarray, images: int) -> np.ndarray:
    """Puts the image's index first; rows are grouped by image."""
    return np.concatenate([np.sort(np.arange(len(rows)) % images)[:, None], rows], axis=1)


def infos(images: int) -> np.ndarray:
    return np.array([[64, 80, 1], [50, 61, 1.25]][:images], np.float32)


def proposals(images: int, dim: int = 4, **changes: Any) -> Draw:
    def draw(random: np.random.Generator) -> tuple[Inputs, dict[str, Any]]:
        half = random.uniform(4, 16, (3, 2))
        anchors = np.concatenate([-half, half], axis=1) if dim == 4 else rotated(random, 3, 30)
        anchors[:, :2] = anchors[:, :2] if dim == 4 else 0
        scores = random.permutation(images * 3 * 8 * 10).reshape(images, 3, 8, 10) / 100
        deltas = random.normal(0, 0.4, (images, 3 * dim, 8, 10))
        arguments = {
            "spatial_scale": 0.125,
            "pre_nms_topN": 100,
            "post_nms_topN": 40,
            "nms_thresh": 0.7,
            "min_size": 4.0,
        }
        return [tensor(x) for x in (scores, deltas, infos(images), anchors)], {
            **arguments,
            **ANGLES,
            "detectron2_order": True,
            **changes,
        }

    return draw


def collect(rows: int) -> Draw:
    def draw(random: np.random.Generator) -> tuple[Inputs, dict[str, Any]]:
        rois = [with_images(boxes(random, n), 1) for n in (rows, 0, rows // 2)]
        scores = [random.normal(size=len(r)) for r in rois]
        arguments = {"rpn_max_level": 4, "rpn_min_level": 2, "rpn_post_nms_topN": 9}
        return [[tensor(x) for x in (*rois, *scores)]], arguments

    return draw


def distribute(rows: int, columns: int) -> Draw:
    def draw(random: np.random.Generator) -> tuple[Inputs, dict[str, Any]]:
        rois = boxes(random, rows, 900)
        arguments = {
            "roi_canonical_scale": 224,
            "roi_canonical_level": 4,
            "roi_max_level": 5,
            "roi_min_level": 2,
            "legacy_plus_one": False,
        }
        return [tensor(with_images(rois, 2) if columns == 5 else rois)], arguments

    return draw


def align(rows: int, images: int, dim: int = 4, with_image: bool = True, **changes: Any) -> Draw:
    def draw(random: np.random.Generator) -> tuple[Inputs, dict[str, Any]]:
        rois = boxes(random, rows, 30) if dim == 4 else rotated(random, rows, 30)
        rois[::5, 2:4] += 1  # of no area, one cell has no samples; that is a case of its own
        rois = with_images(rois, images) if with_image else rois
        arguments = {"order": "NCHW", "spatial_scale": 0.5, "pooled_h": 3, "pooled_w": 4, "sampling_ratio": 0}
        features = random.normal(size=(images, 3, 12, 14))
        return [tensor(features), tensor(rois)], {**arguments, "aligned": True, **changes}

    return draw


def permutation(rows: int) -> Draw:
    return lambda random: (
        [tensor(random.normal(size=(rows, 2, 3))), torch.from_numpy(random.permutation(rows)).int()],
        {},
    )


def transform(rows: int, images: int, dim: int = 4, with_image: bool = True) -> Draw:
    def draw(random: np.random.Generator) -> tuple[Inputs, dict[str, Any]]:
        rois = boxes(random, rows) if dim == 4 else rotated(random, rows)
        rois = with_images(rois, images) if with_image else rois
        deltas = random.normal(size=(rows, 3 * dim))
        arguments = {"weights": [10.0, 10.0, 5.0, 5.0], "apply_scale": True, "rotated": dim == 5}
        return [tensor(x) for x in (rois, deltas, infos(images))], {**arguments, **ANGLES}

    return draw


def limit(rows: int, images: int, dim: int = 4, agnostic: bool = False, **changes: Any) -> Draw:
    def draw(random: np.random.Generator) -> tuple[Inputs, dict[str, Any]]:
        scores = (random.permutation(rows * 4).reshape(rows, 4) + 1) / (rows * 4 + 2)
        blocks = [boxes(random, rows) if dim == 4 else rotated(random, rows) for _ in range(1 if agnostic else 3)]
        splits = np.bincount(np.arange(rows) % images, minlength=images)
        arguments = {
            "score_thresh": 0.05,
            "nms": 0.5,
            "detections_per_im": 12,
            "soft_nms_enabled": False,
            "soft_nms_method": "linear",
            "soft_nms_sigma": 0.5,
            "soft_nms_min_score_thres": 0.001,
            "rotated": dim == 5,
            "cls_agnostic_bbox_reg": agnostic,
            "input_boxes_include_bg_cls": False,
            "output_classes_include_bg_cls": False,
            "legacy_plus_one": False,
            "detectron2_order": True,
        }
        return [tensor(scores), tensor(np.concatenate(blocks, axis=1)), tensor(splits)], {**arguments, **changes}

    return draw


def keypoints(rows: int, softmax: bool) -> Draw:
    def draw(random: np.random.Generator) -> tuple[Inputs, dict[str, Any]]:
        return [tensor(random.normal(0, 3, (rows, 4, 8, 8))), tensor(boxes(random, rows))], {
            "should_output_softmax": softmax
        }

    return draw


def deform(images: int, masked: bool, **changes: Any) -> Draw:
    def draw(random: np.random.Generator) -> tuple[Inputs, dict[str, Any]]:
        arguments: dict[str, Any] = {
            "kernels": [3, 3],
            "strides": [2, 1],
            "pads": [1, 0, 1, 0],
            "dilations": [1, 2],
            "group": 2,
            "deformable_group": 1,
            "zero_border": True,
            **changes,
        }
        cells = 9 * arguments["deformable_group"]
        shapes = [(images, 8, 9, 11), (images, 2 * cells, 5, 7), (6, 4, 3, 3), (6,), (images, cells, 5, 7)]
        return [[tensor(random.normal(size=shape)) for shape in shapes[: 5 if masked else 4]]], arguments

    return draw


def sample(rows: int, images: int, columns: int = 0, width: int = 1) -> Draw:
    def draw(random: np.random.Generator) -> tuple[Inputs, dict[str, Any]]:
        rois = [boxes(random, rows, 30)] if columns else []
        rois = [with_images(rois[0], images)] if columns == 5 else rois
        inputs = [random.normal(size=(images, 3, 12, 14)), random.uniform(-0.1, 1.1, (rows, 6, 2)), *rois]
        return [[tensor(x) for x in inputs]], {"spatial_scale": 0.5, "width": width}

    return draw


def uncertain(shape: tuple[int, ...], count: int) -> Draw:
    return lambda random: ([tensor(random.integers(-9, 9, shape) / 2)], {"count": count})


def put(rows: int) -> Draw:
    def draw(random: np.random.Generator) -> tuple[Inputs, dict[str, Any]]:
        places = np.argsort(random.random((rows, 20)), axis=1)[:, :7].astype(np.int32)
        x, values = random.normal(size=(rows, 3, 4, 5)), random.normal(size=(rows, 3, 7, 1))
        return [tensor(x), torch.from_numpy(places), tensor(values)], {}

    return draw


def own_class(rows: int) -> Draw:
    return lambda random: (
        [tensor(random.normal(size=(rows, 4, 2, 3))), tensor(random.integers(0, 4, rows))],
        {},
    )


CASES: dict[str, list[Draw]] = {
    "GenerateProposals": [
        proposals(1),
        proposals(2),
        proposals(1, pre_nms_topN=20, post_nms_topN=-1),
        proposals(1, post_nms_topN=3, min_size=0.0),
        proposals(1, min_size=1000.0),
        proposals(1, dim=5),
        proposals(2, dim=5, min_size=0.0),
    ],
    "CollectRpnProposals": [collect(20), collect(4), collect(0)],
    "DeformConv": [deform(1, False), deform(2, True, deformable_group=4), deform(0, True)],
    "DistributeFpnProposals": [distribute(30, 5), distribute(30, 4), distribute(0, 5), distribute(0, 4)],
    "RoIAlign": [
        align(6, 2),
        align(6, 1, with_image=False),
        align(6, 2, sampling_ratio=2),
        align(6, 1, aligned=False),
        align(0, 1),
    ],
    "RoIAlignRotated": [
        align(6, 2, dim=5),
        align(6, 1, dim=5, with_image=False, sampling_ratio=2),
        align(0, 1, dim=5),
    ],
    "BatchPermutation": [permutation(7), permutation(0)],
    "BBoxTransform": [
        transform(20, 1),
        transform(20, 2),
        transform(9, 1, with_image=False),
        transform(20, 1, dim=5),
        transform(20, 2, dim=5),
        transform(0, 2),
        transform(0, 1, dim=5),
    ],
    "BoxWithNMSLimit": [
        limit(30, 1),
        limit(30, 2),
        limit(30, 2, agnostic=True),
        limit(30, 1, detections_per_im=-1),
        limit(30, 2, dim=5),
        limit(30, 1, dim=5, agnostic=True),
        limit(30, 1, score_thresh=2.0),
        limit(0, 2),
        limit(0, 1, dim=5),
    ],
    "PointSample": [sample(2, 2), sample(5, 2, 5), sample(5, 1, 4, width=3), sample(0, 2, 5), sample(0, 0)],
    "UncertainPoints": [
        uncertain((3, 1, 8, 9), 20),
        uncertain((2, 4, 6, 5), 7),
        uncertain((2, 1, 2, 2), 9),
        uncertain((0, 1, 4, 4), 3),
    ],
    "PutPoints": [put(3), put(0)],
    "OwnClass": [own_class(6), own_class(0)],
    "HeatmapMaxKeypoint": [keypoints(9, True), keypoints(9, False), keypoints(0, True)],
    "AliasWithName": [lambda random: ([tensor(random.normal(size=(2, 3)))], {"name": "rpn_rois"})],
}
PARAMETERS = [
    pytest.param(kind, draw, id=f"{kind}-{i}") for kind, draws in CASES.items() for i, draw in enumerate(draws)
]


def call(kind: str, inputs: Inputs, arguments: dict[str, Any]) -> list[Tensor]:
    result = getattr(_OPS, kind)(*inputs, **arguments)
    return [result] if isinstance(result, Tensor) else list(result)


def test_every_operator_has_cases() -> None:
    assert set(CASES) == {o.type for o in OPERATORS}


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize(("kind", "draw"), PARAMETERS)
def test_bodies_are_as_the_oracles(kind: str, draw: Draw, seed: int) -> None:
    inputs, arguments = draw(np.random.default_rng(seed))
    found = call(kind, inputs, arguments)
    plain = Arguments({n: int(v) if isinstance(v, bool) else v for n, v in arguments.items()})
    arrays = [x.numpy() for x in (inputs[0] if isinstance(inputs[0], list) else inputs)]
    wanted = ORACLES[kind].oracle(plain, arrays)
    assert len(found) == len(wanted)
    for have, want in zip(found, wanted):
        np.testing.assert_allclose(have.numpy(), want, rtol=1e-4, atol=2e-4, strict=True)


def test_a_crop_without_samples() -> None:
    """Where the box has no area, Caffe2 divides 0 by 0; PyTorch gives 0, which heads can bear."""
    rois = tensor([[0, 3, 3, 3, 3]])
    arguments = {
        "order": "NCHW",
        "spatial_scale": 1.0,
        "pooled_h": 2,
        "pooled_w": 2,
        "sampling_ratio": 0,
        "aligned": True,
    }
    assert _OPS.RoIAlign(torch.ones(1, 1, 8, 8), rois, **arguments).tolist() == [[[[0, 0], [0, 0]]]]


@pytest.mark.parametrize("kind", CASES)
def test_registered_as_pytorch_wants(kind: str) -> None:
    """Nothing is changed in place or returned as it came; the fake has the body's shapes, strides and types."""
    inputs, arguments = CASES[kind][0](np.random.default_rng(0))
    (operator,) = (o for o in OPERATORS if o.type == kind)
    tests = ("test_schema", "test_faketensor")
    torch.library.opcheck(operator.overload, tuple(inputs), arguments, test_utils=tests)


@pytest.mark.parametrize("kind", CASES)
def test_signatures_tell_inputs_attributes_and_outputs(kind: str) -> None:
    inputs, arguments = CASES[kind][0](np.random.default_rng(0))
    (operator,) = (o for o in OPERATORS if o.type == kind)
    assert len(operator.tensors) == len(inputs)
    assert list(arguments) == list(operator.attributes)
    outputs = call(kind, inputs, arguments)
    assert operator.many_outputs == (kind == "DistributeFpnProposals")
    assert operator.outputs == (1 if operator.many_outputs else len(outputs))
