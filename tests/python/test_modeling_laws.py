"""The laws that docstrings of d2deploy.modeling, export.kernels and padding state, on drawn boxes, maps and scores.

test_laws.py has those of the C++ kernels.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from torch import Tensor, nn

from d2deploy.export import kernels
from d2deploy.modeling.anchors import shifted_anchors, sides
from d2deploy.modeling.box_head import select_detections
from d2deploy.modeling.boxes import Box2BoxTransform, Box2BoxTransformRotated
from d2deploy.modeling.images import ImageModel
from d2deploy.modeling.nms import batched_nms, iou, iou_rotated, nms
from d2deploy.modeling.pooler import assign_levels
from d2deploy.modeling.postprocessing import (
    combine_panoptic,
    detector_postprocess,
    heatmaps_to_keypoints,
    paste_masks,
    sem_seg_postprocess,
)
from d2deploy.modeling.roi_align import roi_align
from d2deploy.modeling.rpn import per_anchor, select_proposals
from d2deploy.padding import Padding
from d2deploy.structures import Boxes, Instances
from d2deploy.structures.geometry import clip, normalised, scale

Law = Callable[..., None]
SIZE = (60, 80)  # of the image: height, width


def law(*strategies: st.SearchStrategy[Any]) -> Callable[[Law], Law]:
    """A test with drawn arguments: the same ones each time."""
    return lambda test: settings(max_examples=25, deadline=None, derandomize=True)(given(*strategies)(test))


def floats(low: float, high: float) -> st.SearchStrategy[float]:
    return st.floats(low, high, width=32)


def tensors(*shape: int, low: float = -4, high: float = 4) -> st.SearchStrategy[Tensor]:
    return arrays(np.float32, shape, elements=floats(low, high)).map(lambda x: torch.as_tensor(x))


@st.composite
def upright(draw: st.DrawFn, count: int = 6, least: float = 0, most: float = 50) -> Tensor:
    """(count, 4) xyxy around the image, sides from `least` to `most`."""
    low = draw(tensors(count, 2, low=-20, high=70))
    return torch.cat([low, low + draw(tensors(count, 2, low=least, high=most))], dim=1)


@st.composite
def rotated(draw: st.DrawFn, count: int = 6, least: float = 1) -> Tensor:
    """(count, 5) around the image, at any angle; many are nearly upright."""
    angle = draw(tensors(count, 1, low=-180, high=175) | tensors(count, 1, low=-1.5, high=1.5))
    return torch.cat(
        [draw(tensors(count, 2, low=0, high=70)), draw(tensors(count, 2, low=least, high=40)), angle], dim=1
    )


def different(count: int) -> st.SearchStrategy[Tensor]:
    """(count,) scores between 0 and 1 that all differ."""
    return st.permutations(range(1, count + 1)).map(lambda ranks: torch.tensor(ranks) / (count + 1))


both_kinds = upright() | rotated()
weights = st.sampled_from([(1.0, 1.0, 1.0, 1.0), (10.0, 10.0, 5.0, 5.0)])


def upright_of(boxes: Tensor) -> Tensor:
    """Rotated boxes without their angle."""
    return torch.cat([boxes[:, :2] - boxes[:, 2:4] / 2, boxes[:, :2] + boxes[:, 2:4] / 2], dim=1)


def same(have: Tensor, want: Tensor, atol: float = 1e-3) -> None:
    torch.testing.assert_close(have, want, atol=atol, rtol=1e-4)


# ---- Boxes -----------------------------------------------------------------------------------------


@law(upright(least=1), upright(least=1), weights)
def test_deltas_to_a_box_give_that_box(source: Tensor, target: Tensor, w: tuple[float, ...]) -> None:
    size, wanted = (box[:, 2:] - box[:, :2] for box in (source, target))
    move = ((target[:, :2] + target[:, 2:]) - (source[:, :2] + source[:, 2:])) / 2 / size
    deltas = torch.cat([move, torch.log(wanted / size)], dim=1) * torch.tensor(w)
    same(Box2BoxTransform(w).apply_deltas(deltas, source), target)


@law(rotated(), rotated(), weights)
def test_deltas_to_a_rotated_box_give_that_box(source: Tensor, target: Tensor, w: tuple[float, ...]) -> None:
    move = (target[:, :2] - source[:, :2]) / source[:, 2:4]
    turn = torch.deg2rad(target[:, 4:] - source[:, 4:])
    deltas = torch.cat([move, torch.log(target[:, 2:4] / source[:, 2:4]), turn], dim=1) * torch.tensor([*w, 2.0])
    found = Box2BoxTransformRotated([*w, 2.0]).apply_deltas(deltas, source)
    same(found[:, :4], target[:, :4])
    turns = (found[:, 4] - target[:, 4]) / 360
    same(turns, turns.round(), atol=1e-5)


@law(both_kinds)
def test_deltas_of_nothing_change_nothing(boxes: Tensor) -> None:
    transform = Box2BoxTransform([2.0] * 4) if boxes.shape[1] == 4 else Box2BoxTransformRotated([2.0] * 5)
    same(transform.apply_deltas(torch.zeros_like(boxes), boxes), boxes)


@law(tensors(8, low=-1000, high=1000))
def test_angles_are_the_same_after_a_turn(angles: Tensor) -> None:
    once = normalised(angles)
    assert ((once >= -180) & (once < 180)).all()
    turns = (normalised(angles + 360) - once) / 360
    same(turns, turns.round(), atol=1e-6)


@law(both_kinds)
def test_clipping_is_idempotent(boxes: Tensor) -> None:
    once = clip(boxes, SIZE)
    same(clip(once, SIZE), once, atol=1e-4)
    if boxes.shape[1] == 4:
        assert (once >= 0).all()
        assert (once[:, 0::2] <= SIZE[1]).all()
        assert (once[:, 1::2] <= SIZE[0]).all()
        assert torch.equal(clip(once, SIZE), once)


@law(both_kinds, floats(0.25, 4), floats(0.25, 4))
def test_scaling_is_undone(boxes: Tensor, x: float, y: float) -> None:
    y = x if boxes.shape[1] == 5 else y
    there = scale(boxes, x, y)
    back = scale(there, 1 / x, 1 / y)
    same(back[:, :4], boxes[:, :4])
    if boxes.shape[1] == 5:
        turns = (back[:, 4] - boxes[:, 4]) / 360
        same(turns, turns.round(), atol=1e-5)


# ---- Overlap and suppression -----------------------------------------------------------------------


@law(upright(least=1), upright(least=1))
def test_iou_of_upright_boxes(a: Tensor, b: Tensor) -> None:
    overlap = iou(a, b)
    assert ((overlap >= 0) & (overlap <= 1 + 1e-6)).all()
    same(overlap.T, iou(b, a), atol=1e-6)
    same(iou(a, a).diagonal(), torch.ones(len(a)), atol=1e-6)
    same(iou(a * 4, b * 4), overlap, atol=1e-6)
    same(iou(a + 64, b + 64), overlap, atol=1e-4)


@law(rotated(), rotated(), floats(-180, 180))
def test_iou_of_rotated_boxes(a: Tensor, b: Tensor, angle: float) -> None:
    overlap = iou_rotated(a, b)
    assert ((overlap >= 0) & (overlap <= 1 + 1e-6)).all()
    same(overlap.T, iou_rotated(b, a), atol=1e-4)
    same(iou_rotated(a, a).diagonal(), torch.ones(len(a)), atol=1e-4)
    cosine, sine = math.cos(math.radians(angle)), math.sin(math.radians(angle))
    turn = torch.tensor([[cosine, -sine], [sine, cosine]])  # of rows x y, counter-clockwise with y pointing down
    turned = (torch.cat([x[:, :2] @ turn, x[:, 2:4], x[:, 4:] + angle], dim=1) for x in (a, b))
    same(iou_rotated(*turned), overlap, atol=1e-3)
    a, b = (torch.cat([x[:, :4], torch.zeros(len(x), 1)], dim=1) for x in (a, b))
    same(iou_rotated(a, b), iou(upright_of(a), upright_of(b)), atol=1e-4)


@law(upright(12, least=1) | rotated(12), different(12), floats(0.0625, 0.875))
def test_suppression(boxes: Tensor, scores: Tensor, threshold: float) -> None:
    kept = nms(boxes, scores, threshold)
    assert scores[kept].tolist() == sorted(scores[kept].tolist(), reverse=True)
    overlap = (iou if boxes.shape[1] == 4 else iou_rotated)(boxes, boxes)
    among = overlap[kept][:, kept].fill_diagonal_(0)
    assert (among <= threshold).all()
    for dropped in set(range(len(boxes))) - set(kept.tolist()):
        better = kept[scores[kept] >= scores[dropped]]
        assert overlap[dropped, better].max() >= threshold
    assert nms(boxes[kept], scores[kept], threshold).tolist() == list(range(len(kept)))


@law(upright(12, least=1) | rotated(12), different(12), arrays(np.int64, 12, elements=st.integers(0, 2)))
def test_suppression_within_groups(boxes: Tensor, scores: Tensor, groups: Any) -> None:
    kept = batched_nms(boxes, scores, torch.from_numpy(groups), 0.4)
    for group in range(3):
        own = torch.from_numpy(np.flatnonzero(groups == group))
        alone = own[nms(boxes[own], scores[own], 0.4)]
        assert [i for i in kept.tolist() if groups[i] == group] == alone.tolist()


# ---- Anchors and convolutions' outputs -------------------------------------------------------------


@law(both_kinds, st.integers(1, 4), st.integers(1, 4), st.sampled_from([4, 16]), floats(0, 0.875))
def test_anchors_are_cells_moved(cell: Tensor, height: int, width: int, stride: int, offset: float) -> None:
    anchors = shifted_anchors(cell, (height, width), stride, offset).view(height, width, len(cell), -1)
    points = 2 if cell.shape[1] == 4 else 1
    for y in range(height):
        for x in range(width):
            move = torch.zeros(cell.shape[1])
            move[: 2 * points] = torch.tensor([x + offset, y + offset] * points) * stride
            same(anchors[y, x], cell + move)


@law(floats(1, 512), floats(0.25, 4))
def test_sides_of_anchors(size: float, ratio: float) -> None:
    [(width, height)] = sides([size], [ratio])
    assert math.isclose(width * height, size**2, rel_tol=1e-6)
    assert math.isclose(height / width, ratio, rel_tol=1e-6)


@law(tensors(2, 3 * 5, 2, 4))
def test_outputs_per_anchor(x: Tensor) -> None:
    rows = per_anchor(x, 5).view(2, 2, 4, 3, 5)
    for a in range(3):
        assert torch.equal(rows[:, :, :, a], x[:, 5 * a : 5 * a + 5].permute(0, 2, 3, 1))


# ---- Pooling ---------------------------------------------------------------------------------------


def with_image(boxes: Tensor) -> Tensor:
    return torch.cat([torch.zeros(len(boxes), 1), boxes], dim=1)


@law(both_kinds, tensors(1, 2, 6, 8), tensors(1, 2, 6, 8), st.booleans(), st.permutations(range(6)))
def test_pooling(boxes: Tensor, a: Tensor, b: Tensor, aligned: bool, order: list[int]) -> None:
    def pool(features: Tensor, rois: Tensor) -> Tensor:
        return roi_align(features, with_image(rois), (2, 3), 0.125, 2, aligned)

    pooled = pool(a, boxes)
    same(pool(a + 2 * b, boxes), pooled + 2 * pool(b, boxes))
    same(pool(a, boxes[order]), pooled[order])
    if boxes.shape[1] == 5:
        level = torch.cat([boxes[:, :4], torch.zeros(6, 1)], dim=1)
        same(pool(a, level), roi_align(a, with_image(upright_of(level)), (2, 3), 0.125, 2, True))


@law(upright(), floats(-4, 4))
def test_pooling_of_a_constant(boxes: Tensor, value: float) -> None:
    rois = with_image(clip(boxes, SIZE))
    same(roi_align(torch.full((1, 1, 8, 10), value), rois, (2, 2), 0.125, 2, True), torch.full((6, 1, 2, 2), value))


@law(upright(least=1))
def test_levels(boxes: Tensor) -> None:
    levels, above = (assign_levels(boxes * factor, -20, 20, 32, 4) - 20 for factor in (1, 2))
    assert torch.equal(above, levels + 1)
    assert torch.equal(assign_levels(boxes, 2, 5, 32, 4), levels.clamp(2, 5) - 2)


# ---- Predictions -----------------------------------------------------------------------------------


@law(upright(least=1))
def test_a_mask_of_ones_fills_its_box(boxes: Tensor) -> None:
    y, x = torch.meshgrid(*(torch.arange(side) + 0.5 for side in SIZE), indexing="ij")
    for whole, (x0, y0, x1, y1) in zip(paste_masks(torch.ones(len(boxes), 4, 4), boxes, SIZE, 0.25), boxes):
        rounding = 1e-3
        inside = (x > x0 + rounding) & (x < x1 - rounding) & (y > y0 + rounding) & (y < y1 - rounding)
        cell = torch.stack([x1 - x0, y1 - y0]) / 8 + rounding
        near = (x > x0 - cell[0]) & (x < x1 + cell[0]) & (y > y0 - cell[1]) & (y < y1 + cell[1])
        assert whole[inside].all()
        assert not whole[~near].any()


@law(tensors(3, 2, 6, 6), upright(3), floats(-4, 4))
def test_peaks_of_heatmaps(maps: Tensor, boxes: Tensor, constant: float) -> None:
    points = heatmaps_to_keypoints(maps, boxes)
    size = (boxes[:, 2:] - boxes[:, :2]).clamp(min=1)
    relative = (points[:, :, :2] - boxes[:, None, :2]) / size[:, None]
    assert ((relative > 0) & (relative < 1)).all()
    raised = heatmaps_to_keypoints(maps + constant, boxes)
    same(raised[:, :, 2], points[:, :, 2] + constant)
    same(raised[:, :, 3], points[:, :, 3])


@law(tensors(2, 8, 10), st.integers(1, 8), st.integers(1, 10))
def test_semantic_logits_at_their_own_size(logits: Tensor, height: int, width: int) -> None:
    same(sem_seg_postprocess(logits, (height, width), height, width), logits[:, :height, :width])


@law(upright(), different(6), st.permutations(range(6)))
def test_predictions_at_another_size(boxes: Tensor, scores: Tensor, order: list[int]) -> None:
    found, moved = (
        detector_postprocess(Instances(SIZE, pred_boxes=Boxes(boxes[rows]), scores=scores[rows]), 30, 160)
        for rows in (torch.arange(6), torch.tensor(order))
    )
    corners = found.pred_boxes.tensor
    assert ((corners >= 0) & (corners <= torch.tensor([160, 30, 160, 30]))).all()
    assert (corners[:, 2:] > corners[:, :2]).all()
    assert moved.scores.tolist() == [s for s in scores[order].tolist() if s in found.scores.tolist()]


@law(arrays(bool, (3, 6, 7)), arrays(np.int64, (6, 7), elements=st.integers(0, 3)), different(3))
def test_panoptic_segments(masks: Any, labels: Any, scores: Tensor) -> None:
    things = Instances((6, 7), pred_masks=torch.from_numpy(masks), scores=scores, pred_classes=torch.arange(3))
    limits = {"overlap_thresh": 0.5, "stuff_area_thresh": 3, "instances_score_thresh": 0.3}
    output, segments = combine_panoptic(things, torch.from_numpy(labels), **limits)
    assert set(output.flatten().tolist()) - {0} == {s["id"] for s in segments}
    for segment in segments:
        own = output == segment["id"]
        if segment["isthing"]:
            assert things.pred_masks[segment["instance_id"]][own].all()
        else:
            assert own.sum() == segment["area"] >= 3
            assert (torch.from_numpy(labels)[own] == segment["category_id"]).all()


@law(upright(8), different(16), st.permutations(range(8)))
def test_detections_do_not_depend_on_the_order_of_rows(boxes: Tensor, scores: Tensor, order: list[int]) -> None:
    limits = {"score_thresh": 0.05, "nms_thresh": 0.5, "topk": 7}
    plain, moved = (
        select_detections(b, s, SIZE, **limits)  # type: ignore[arg-type]
        for b, s in ((boxes, scores.view(8, 2)), (boxes[order], scores.view(8, 2)[order]))
    )
    for name, values in plain.get_fields().items():
        assert torch.equal(getattr(values, "tensor", values), getattr(moved.get(name), "tensor", moved.get(name)))
    corners = plain.pred_boxes.tensor
    assert ((corners >= 0) & (corners <= torch.tensor([80, 60, 80, 60]))).all()


@law(upright(16), different(16))
def test_proposals_of_an_image_do_not_depend_on_the_others(boxes: Tensor, scores: Tensor) -> None:
    limits = {"nms_thresh": 0.7, "pre_nms_topk": 6, "post_nms_topk": 5, "min_box_size": 1.0}
    levels, logits, image_sizes = boxes.view(2, 8, 4), scores.view(2, 8), [SIZE, (40, 50)]
    together = select_proposals([levels], [logits], image_sizes, **limits)  # type: ignore[arg-type]
    for i, found in enumerate(together):
        (alone,) = select_proposals([levels[i : i + 1]], [logits[i : i + 1]], [image_sizes[i]], **limits)  # type: ignore[arg-type]
        assert torch.equal(found.proposal_boxes.tensor, alone.proposal_boxes.tensor)


# ---- Padding ---------------------------------------------------------------------------------------


class Backbone(nn.Module):
    size_divisibility = 32


@law(st.integers(1, 100), st.integers(1, 100), st.integers(1, 100), st.integers(1, 100))
def test_images_of_a_batch_do_not_see_each_other(h0: int, w0: int, h1: int, w1: int) -> None:
    model = ImageModel(backbone=Backbone(), pixel_mean=[7.0], pixel_std=[2.0], input_format="L")
    images = [torch.full((1, h0, w0), 9.0), torch.full((1, h1, w1), 11.0)]
    batch, image_sizes = model.preprocess_image([{"image": image} for image in images])
    assert batch.shape == (2, 1, *Padding(32).size(max(h0, h1), max(w0, w1)))
    for one, (height, width), value in zip(batch, image_sizes, (1, 2)):
        assert (one[:, :height, :width] == value).all()
        assert one.sum() == value * height * width


@law(st.integers(1, 4000), st.integers(1, 4000), st.integers(0, 64))
def test_padded_sides_are_the_next_multiples(height: int, width: int, divisibility: int) -> None:
    multiple = max(divisibility, 1)
    for side, padded in zip((height, width), Padding(divisibility).size(height, width)):
        assert padded % multiple == 0
        assert side <= padded < side + multiple


# ---- Bodies of Caffe2's operators ------------------------------------------------------------------


@law(upright(9), different(9), st.permutations(range(3)))
def test_collecting_does_not_depend_on_the_order_of_levels(boxes: Tensor, scores: Tensor, order: list[int]) -> None:
    rois, logits = with_image(boxes).view(3, 3, 5), scores.view(3, 3)
    plain = kernels.collect_rpn_proposals([*rois, *logits], 5)
    assert torch.equal(plain, kernels.collect_rpn_proposals([*rois[order], *logits[order]], 5))
    assert torch.equal(plain, with_image(boxes)[scores.argsort(descending=True)[:5]])


@law(upright(12, most=400))
def test_distribution_is_undone_by_its_places(boxes: Tensor) -> None:
    *levels, places = kernels.distribute_fpn_proposals(boxes, 64, 4, 5, 2)
    assert len(levels) == 4
    assert torch.equal(torch.cat(levels)[places.long()], with_image(boxes))


@law(both_kinds, floats(0.5, 2))
def test_boxes_without_deltas_are_the_rois_clipped(boxes: Tensor, factor: float) -> None:
    info = torch.tensor([[SIZE[0] * factor, SIZE[1] * factor, factor]])
    is_rotated = boxes.shape[1] == 5
    rois = boxes.clone()
    rois[:, :4] *= factor
    found, rows = kernels.bbox_transform(rois, torch.zeros_like(boxes), info, [10.0, 10.0, 5.0, 5.0], is_rotated)
    wanted = clip(boxes, SIZE)
    wanted[:, :4] *= factor
    same(found, wanted, atol=5e-3)
    assert rows.tolist() == [len(boxes)]


@law(upright(10), different(30), st.permutations(range(10)))
def test_detections_of_images_and_rows(boxes: Tensor, scores: Tensor, order: list[int]) -> None:
    probabilities = scores.view(10, 3)

    def detect(rows: Any, *splits: float) -> list[Tensor]:
        limits = (0.05, 0.5, 4, False, True)
        return list(kernels.box_with_nms_limit(probabilities[rows], boxes[rows], torch.tensor(splits), *limits)[:3])

    first, second = detect(slice(0, 4), 4), detect(slice(4, 10), 6)
    for have, *alone in zip(detect(slice(0, 10), 4, 6), first, second):
        assert torch.equal(have, torch.cat(alone))
    for have, want in zip(detect(order, 10), detect(slice(0, 10), 10)):
        assert torch.equal(have, want)


@law(different(2 * 3 * 4 * 5), tensors(2, 12, 4, 5, low=-0.5, high=0.5))
def test_proposals_of_a_batch_are_those_of_each_image(scores: Tensor, deltas: Tensor) -> None:
    info = torch.tensor([[32.0, 40.0, 1.0], [24.0, 36.0, 2.0]])
    anchors = torch.tensor([[-8.0, -8.0, 8.0, 8.0], [-4.0, -8.0, 4.0, 8.0], [-12.0, -6.0, 12.0, 6.0]])

    def propose(*images: int) -> tuple[Tensor, Tensor]:
        rows = list(images)
        maps = scores.view(2, 3, 4, 5)[rows], deltas[rows], info[rows]
        return kernels.generate_proposals(*maps, anchors, 8, 30, 10, 0.7, 2.0)

    rois, logits = propose(0, 1)
    for image in range(2):
        alone, its = propose(image)
        own = rois[:, 0] == image
        assert torch.equal(rois[own, 1:], alone[:, 1:])
        assert torch.equal(logits[own], its)


@law(tensors(2, 3, 5, 5), upright(2, least=1), st.sampled_from([-2.0, 0.5, 4.0]))
def test_peaks_of_paraboloids(maps: Tensor, boxes: Tensor, constant: float) -> None:
    maps = (maps * 16).round() / 16  # so that a constant can be added without rounding
    peaks = kernels.heatmap_max_keypoint(maps, boxes, True)
    raised = kernels.heatmap_max_keypoint(maps + constant, boxes, True)
    change = torch.tensor([0.0, 0.0, constant, 0.0])[:, None]
    same(raised, peaks + change, atol=1e-2)
    same(kernels.heatmap_max_keypoint(maps, boxes + 8, True)[:, :2], peaks[:, :2] + 8, atol=1e-2)
