"""Laws that detection kernels obey whatever the numbers: checked on drawn boxes, without an oracle."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from conftest import find_program
from oracles import Array
from oracles.program import compute

Kernel = Callable[..., list[Array]]
DETECTRON2 = "legacy_plus_one=0 input_boxes_include_bg_cls=0 output_classes_include_bg_cls=0 score_thresh=0.05 nms=0.5"
SEEDS = range(5)


@pytest.fixture
def kernel(tmp_path: Path) -> Kernel:
    """Calls `kernel("Type name=value", input, input, ...)`: the outputs of the portable kernel."""
    program = find_program("operator_test")

    def run(call: str, *inputs: Array) -> list[Array]:
        folder = tmp_path / str(len(list(tmp_path.iterdir())))
        folder.mkdir()
        cases = folder / "law.cases"
        cases.write_text(f"{call} : {' '.join(map(word, inputs))}\n")
        [computed] = compute(program, cases, folder)
        return computed.outputs

    return run


def word(x: Array) -> str:
    """An input as a case line has it, with enough digits for every float32."""
    dims = "x".join(map(str, x.shape))
    values = ",".join(f"{v:.9g}" for v in x.reshape(-1).tolist())
    return f"{x.dtype}:{dims}" + (f"={values}" if values else "")


def draw_boxes(random: np.random.Generator, count: int, size: float = 40) -> Array:
    """Boxes (count, 4) xyxy that overlap a lot."""
    corners = random.uniform(0, size, (count, 2))
    return np.concatenate([corners, corners + random.uniform(2, size / 2, (count, 2))], axis=1).astype(np.float32)


def draw_scores(random: np.random.Generator, count: int, classes: int) -> Array:
    """Different scores (count, classes + 1) above the threshold, the background last."""
    scores = random.permutation(count * (classes + 1)).reshape(count, classes + 1) + 1
    return (scores / (count * (classes + 1)) * 0.9 + 0.06).astype(np.float32)


@pytest.mark.parametrize("seed", SEEDS)
def test_suppression_is_idempotent(kernel: Kernel, seed: int) -> None:
    """What is kept is kept again, in the same order."""
    random = np.random.default_rng(seed)
    scores, boxes = draw_scores(random, 40, 1), draw_boxes(random, 40)
    call = f"BoxWithNMSLimit {DETECTRON2}"
    first = kernel(call, scores, boxes)
    assert 1 < len(first[0]) < 40
    again = kernel(call, np.stack([first[0], first[0]], axis=1), first[1])
    np.testing.assert_array_equal(again[0], first[0])
    np.testing.assert_array_equal(again[1], first[1])


def draw_rotated_boxes(random: np.random.Generator, count: int, angle: float = 180) -> Array:
    """Boxes (count, 5): centre, size, degrees, that overlap a lot."""
    centres, sizes = random.uniform(0, 30, (count, 2)), random.uniform(2, 20, (count, 2))
    return np.hstack([centres, sizes, random.uniform(-angle, angle, (count, 1))]).astype(np.float32)


@pytest.mark.parametrize("seed", SEEDS)
def test_rotated_boxes_at_no_angle_are_upright_ones(kernel: Kernel, seed: int) -> None:
    random = np.random.default_rng(seed)
    scores, rotated = draw_scores(random, 40, 1), np.round(draw_rotated_boxes(random, 40, 0))
    upright = np.hstack([rotated[:, :2] - rotated[:, 2:4] / 2, rotated[:, :2] + rotated[:, 2:4] / 2])
    for more in ("", "soft_nms_enabled=1", "soft_nms_enabled=1 soft_nms_method=gaussian"):
        plain = kernel(f"BoxWithNMSLimit {DETECTRON2} {more}", scores, upright)
        turned = kernel(f"BoxWithNMSLimit {DETECTRON2} {more} rotated=1", scores, rotated)
        assert len(plain[0]) > 1
        np.testing.assert_allclose(turned[0], plain[0], atol=1e-6)
        np.testing.assert_array_equal(turned[4], plain[4])


@pytest.mark.parametrize("seed", SEEDS)
def test_turning_the_image_changes_no_suppression(kernel: Kernel, seed: int) -> None:
    """Boxes that are turned together overlap as before; so does a box with its sides swapped and a quarter turn."""
    random = np.random.default_rng(seed)
    scores, boxes = draw_scores(random, 40, 1), draw_rotated_boxes(random, 40)
    plain = kernel(f"BoxWithNMSLimit {DETECTRON2} rotated=1", scores, boxes)
    assert 1 < len(plain[0]) < 40
    turn = np.radians(37)
    turned = boxes + np.array([0, 0, 0, 0, 37], np.float32)
    turned[:, :2] = boxes[:, :2] @ np.array([[np.cos(turn), -np.sin(turn)], [np.sin(turn), np.cos(turn)]])
    swapped = np.column_stack([boxes[:, :2], boxes[:, 3], boxes[:, 2], boxes[:, 4] + 90])
    for same in (turned, swapped):
        again = kernel(f"BoxWithNMSLimit {DETECTRON2} rotated=1", scores, same.astype(np.float32))
        np.testing.assert_array_equal(again[4], plain[4])


@pytest.mark.parametrize("seed", SEEDS)
def test_rotated_rois_at_no_angle_pool_as_upright_ones(kernel: Kernel, seed: int) -> None:
    random = np.random.default_rng(seed)
    x = random.uniform(-1, 1, (1, 3, 10, 12)).astype(np.float32)
    rotated = np.round(draw_rotated_boxes(random, 8, 0)) / 2
    upright = np.hstack([rotated[:, :2] - rotated[:, 2:4] / 2, rotated[:, :2] + rotated[:, 2:4] / 2])
    args = "pooled_h=3 pooled_w=2 aligned=1 spatial_scale=0.5"
    [want], [have] = kernel(f"RoIAlign {args}", x, upright), kernel(f"RoIAlignRotated {args}", x, rotated)
    np.testing.assert_allclose(have, want, atol=2e-6)


@pytest.mark.parametrize("seed", SEEDS)
def test_a_far_box_of_low_score_changes_nothing(kernel: Kernel, seed: int) -> None:
    random = np.random.default_rng(seed)
    scores, boxes = draw_scores(random, 30, 3), draw_boxes(random, 30 * 3).reshape(30, 12)
    call = f"BoxWithNMSLimit {DETECTRON2}"
    plain = kernel(call, scores, boxes)
    far = np.tile(np.array([900, 900, 910, 910], np.float32), 3)
    more = kernel(call, np.vstack([scores, np.full((1, 4), 0.01, np.float32)]), np.vstack([boxes, far]))
    for i in range(3):
        np.testing.assert_array_equal(more[i], plain[i])


@pytest.mark.parametrize("seed", SEEDS)
def test_detections_do_not_depend_on_the_order_of_rows(kernel: Kernel, seed: int) -> None:
    """Where all scores differ."""
    random = np.random.default_rng(seed)
    scores, boxes = draw_scores(random, 30, 2), draw_boxes(random, 60).reshape(30, 8)
    call, shuffled = f"BoxWithNMSLimit {DETECTRON2} detections_per_im=7", random.permutation(30)
    plain, moved = kernel(call, scores, boxes), kernel(call, scores[shuffled], boxes[shuffled])
    assert len(plain[0]) == 7
    for i in range(3):
        np.testing.assert_array_equal(moved[i], plain[i])


@pytest.mark.parametrize("seed", SEEDS)
def test_images_of_a_batch_do_not_see_each_other(kernel: Kernel, seed: int) -> None:
    random = np.random.default_rng(seed)
    scores, boxes = draw_scores(random, 30, 2), draw_boxes(random, 60).reshape(30, 8)
    call = f"BoxWithNMSLimit {DETECTRON2}"
    both = kernel(call, scores, boxes, np.array([12, 18], np.float32))
    alone = [kernel(call, scores[:12], boxes[:12]), kernel(call, scores[12:], boxes[12:])]
    for i in range(3):
        np.testing.assert_array_equal(both[i], np.concatenate([alone[0][i], alone[1][i]]))
    assert both[3].tolist() == [len(alone[0][0]), len(alone[1][0])]


@pytest.mark.parametrize("seed", SEEDS)
def test_proposals_of_a_batch_are_those_of_each_image(kernel: Kernel, seed: int) -> None:
    random = np.random.default_rng(seed)
    scores = random.permutation(2 * 3 * 6 * 7).reshape(2, 3, 6, 7).astype(np.float32)
    deltas = random.uniform(-0.5, 0.5, (2, 12, 6, 7)).astype(np.float32)
    infos = np.array([[48, 56, 1], [40, 50, 2]], np.float32)
    anchors = np.array([[-8, -8, 8, 8], [-4, -8, 4, 8], [-12, -6, 12, 6]], np.float32)
    call = "GenerateProposals spatial_scale=0.125 min_size=0.0 legacy_plus_one=0 post_nms_topN=20"
    rois, probabilities = kernel(call, scores, deltas, infos, anchors)
    for image in range(2):
        one = slice(image, image + 1)
        alone, its = kernel(call, scores[one], deltas[one], infos[one], anchors)
        mine = rois[:, 0] == image
        assert len(alone) == 20
        np.testing.assert_array_equal(rois[mine, 1:], alone[:, 1:])
        np.testing.assert_array_equal(probabilities[mine], its)


@pytest.mark.parametrize("seed", SEEDS)
def test_distribution_is_undone_by_its_permutation(kernel: Kernel, seed: int) -> None:
    random = np.random.default_rng(seed)
    boxes = draw_boxes(random, 50, 900)
    rois = np.concatenate([np.repeat([[0], [1]], 25, axis=0), boxes], axis=1).astype(np.float32)
    *levels, restore = kernel("DistributeFpnProposals legacy_plus_one=0", rois)
    assert sum(len(level) > 0 for level in levels) > 1
    [restored] = kernel("BatchPermutation", np.concatenate(levels), restore)
    np.testing.assert_array_equal(restored, rois)


@pytest.mark.parametrize("seed", SEEDS)
def test_roi_align_gives_the_mean_of_a_constant_and_is_linear(kernel: Kernel, seed: int) -> None:
    random = np.random.default_rng(seed)
    a, b = random.uniform(-1, 1, (2, 1, 3, 10, 12)).astype(np.float32)
    rois = np.concatenate([np.zeros((8, 1), np.float32), draw_boxes(random, 8, 8)], axis=1).astype(np.float32)
    call = "RoIAlign pooled_h=3 pooled_w=2 sampling_ratio=2 aligned=1 spatial_scale=0.5"
    np.testing.assert_allclose(kernel(call, np.full_like(a, 7), rois)[0], 7, rtol=1e-6)
    both = kernel(call, a + 2 * b, rois)[0]
    np.testing.assert_allclose(both, kernel(call, a, rois)[0] + 2 * kernel(call, b, rois)[0], atol=2e-6)
