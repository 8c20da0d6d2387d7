"""The detection operators in ONNX's standard operators, so that any runtime of ONNX runs the model.

A function for each of operators.py, which computes what kernels.py does, of one image; boxes are upright, (R, 4) xyxy.
Equal scores come in the same order, but for detections that are cut off at the most that an image keeps.

Source: the definitions of RoiAlign 16, NonMaxSuppression 11, TopK 11 and GatherND 13 at onnx.ai; NonMaxSuppression
drops a box above the threshold, as here, and never one without area.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from itertools import pairwise
from typing import Any

import onnx
import torch
from onnxscript import opset20
from torch import Tensor, nn

from d2deploy.errors import Unsupported
from d2deploy.export import kernels
from d2deploy.export.onnx_domain import translation
from d2deploy.export.operators import OPERATORS
from d2deploy.modeling import points
from d2deploy.modeling.boxes import SCALE_CLAMP

_OPS = torch.ops.d2deploy
# A value of the graph under construction, as torch.onnx hands it to a translation.
Value = Any
op: Any = opset20  # typed for values of models that run, not for these
FLOAT, INT32, INT64 = (onnx.TensorProto.DataType.Value(name) for name in ("FLOAT", "INT32", "INT64"))
END = 2**31 - 1  # of a slice that has none


def translations() -> dict[Callable[..., Any], Callable[..., Any]]:
    """The table for torch.onnx."""
    return {o.overload: translation(o, _FUNCTIONS[o.type]) for o in OPERATORS if o.type in _FUNCTIONS}


def decompositions() -> dict[Any, Callable[..., Any]]:
    """Operators that PyTorch's own make up, which torch.onnx knows."""

    def heatmap_max_keypoint(heatmaps: Tensor, boxes: Tensor, should_output_softmax: bool) -> Tensor:
        return kernels.heatmap_max_keypoint(heatmaps, boxes, should_output_softmax)

    return {
        _OPS.HeatmapMaxKeypoint.default: heatmap_max_keypoint,
        _OPS.OwnClass.default: _own_class,
        _OPS.PointSample.default: _point_sample,
        _OPS.PutPoints.default: points.set_points,
        _OPS.UncertainPoints.default: _uncertain_points,
    }


def _own_class(x: Tensor, classes: Tensor) -> Tensor:
    return x.gather(1, classes.long()[:, None, None, None].expand(-1, 1, x.shape[2], x.shape[3]))


def _point_sample(tensors: Sequence[Tensor], spatial_scale: float, width: int) -> Tensor:
    x, where = tensors[:2]
    if len(tensors) == 2:
        grids = where.expand(x.shape[0], -1, -1)[:, :, None] * 2 - 1
        sampled: Tensor = torch.ops.aten.grid_sampler_2d(x, grids, 0, 0, False)  # bilinear, zeros around
        return sampled.reshape(x.shape[0], x.shape[1], where.shape[1] // width, width)
    boxes = tensors[2]
    pixels = boxes[:, None, :2] + where * (boxes[:, None, 2:] - boxes[:, None, :2])
    grid = [pixels[..., i] * (2 * spatial_scale) / x.shape[3 - i] - 1 for i in range(2)]
    sampled = nn.functional.grid_sample(x, torch.stack(grid, dim=-1)[None], align_corners=False)
    return sampled[0].transpose(0, 1).reshape(boxes.shape[0], x.shape[1], where.shape[1] // width, width)


def _uncertain_points(x: Tensor, count: int) -> tuple[Tensor, Tensor]:
    """In any order, since all that is done to them is done to each."""
    height, width = x.shape[2:]
    largest = x.topk(2, dim=1).values if x.shape[1] > 1 else None
    certain = x[:, 0].abs() if largest is None else largest[:, 0] - largest[:, 1]
    certain = certain.flatten(1)
    if isinstance(height * width, int):
        places = certain.topk(min(count, height * width), dim=1, largest=False).indices
    else:  # how many there are is known for a picture alone, and a slice ends at the last one
        places = certain.sort(dim=1).indices[:, :count]
    rows = (places / width).floor()  # exact below 2^24 cells
    middles = [(places - rows * width + 0.5) / width, (rows + 0.5) / height]
    return places.int(), torch.stack(middles, dim=2)


def check_standard(model: nn.Module) -> None:
    """Raises Unsupported where standard operators cannot express the model."""
    if rotated := list(_rotated(model)):
        raise Unsupported(
            f"{', '.join(rotated)}: boxes are rotated, which no standard operator of ONNX knows; "
            "export the model as Caffe2 files, or to ONNX with the operators of domain org.pytorch._caffe2"
        )


def _rotated(model: nn.Module) -> Iterator[str]:
    for name, module in model.named_modules():
        if len(getattr(getattr(module, "box2box_transform", None), "weights", ())) == 5:
            yield name


def _ints(*numbers: int) -> Value:
    return op.Constant(value_ints=list(numbers))


def _floats(*numbers: float) -> Value:
    return op.Constant(value_floats=[float(number) for number in numbers])


def _columns(x: Value, first: int, end: int = END) -> Value:
    """x[:, first:end]."""
    return op.Slice(x, _ints(first), _ints(end), _ints(1))


def _row_count(x: Value) -> Value:
    """The first dimension, int64 (1,)."""
    return op.Shape(x, start=0, end=1)


def _row_numbers(count: Value) -> Value:
    """0, 1, ..., int64 (count,)."""
    return op.Range(op.Constant(value_int=0), op.Squeeze(count), op.Constant(value_int=1))


def _top(values: Value, most: int, largest: int = 1) -> tuple[Value, Value]:
    """The best values (R,), at most `most` or, where it is 0 or less, all, best first, and their rows."""
    count = _row_count(values)
    kept = op.Min(count, _ints(most)) if most > 0 else count
    best, rows = op.TopK(values, kept, axis=0, largest=largest)
    return best, rows


def _decoded(boxes: Value, deltas: Value) -> Value:
    """Boxes (R, K, 4) from boxes (R, 1, 4) and deltas (R, K, 4): see Box2BoxTransform."""
    low, high = op.Split(boxes, axis=2, num_outputs=2)
    move, grow = op.Split(deltas, axis=2, num_outputs=2)
    size = op.Sub(high, low)
    centre = op.Add(op.Mul(move, size), op.Add(low, op.Mul(size, _floats(0.5))))
    half = op.Mul(op.Mul(op.Exp(op.Min(grow, _floats(SCALE_CLAMP))), size), _floats(0.5))
    return op.Concat(op.Sub(centre, half), op.Add(centre, half), axis=2)


def _clipped(boxes: Value, size: Value) -> Value:
    """Boxes (..., 4) cut to an image; `size` is (1, 2), height and width."""
    return op.Min(op.Max(boxes, _floats(0)), op.Gather(size, _ints(1, 0, 1, 0), axis=1))


def _generate_proposals(
    scores: Value,
    deltas: Value,
    im_info: Value,
    anchors: Value,
    *,
    spatial_scale: float,
    pre_nms_topN: int,  # noqa: N803  # arguments keep Caffe2's spelling
    post_nms_topN: int,  # noqa: N803
    nms_thresh: float,
    min_size: float,
    **_: object,
) -> tuple[Value, Value]:
    logits = op.Reshape(op.Transpose(scores, perm=[0, 2, 3, 1]), _ints(-1))
    logits, best = _top(logits, pre_nms_topN)
    # Row (y W + x) A + a is the anchor a, moved by x and y strides.
    per_cell = _ints(anchors.shape[0])
    width = op.Shape(scores, start=3, end=4)
    cell = op.Div(best, per_cell)
    xy = op.Concat(op.Unsqueeze(op.Mod(cell, width), _ints(1)), op.Unsqueeze(op.Div(cell, width), _ints(1)), axis=1)
    shift = op.Mul(op.Cast(op.Concat(xy, xy, axis=1), to=FLOAT), _floats(round(1 / spatial_scale)))
    own = op.Add(op.Gather(anchors, op.Mod(best, per_cell)), shift)
    moves = op.Gather(op.Reshape(op.Transpose(deltas, perm=[0, 2, 3, 1]), _ints(-1, 4)), best)
    boxes = op.Squeeze(_decoded(op.Unsqueeze(own, _ints(1)), op.Unsqueeze(moves, _ints(1))), _ints(1))
    boxes = _clipped(boxes, op.Floor(_columns(im_info, 0, 2)))
    keep = _large_and_inside(boxes, im_info, min_size)
    boxes, logits = op.Compress(boxes, keep, axis=0), op.Compress(logits, keep, axis=0)
    # They are sorted: places from behind, all above 0, stand for the logits, so that equal ones keep their order.
    count = _row_count(logits)
    places = op.Cast(op.Sub(count, _row_numbers(count)), to=FLOAT)
    kept = _suppressed(op.Unsqueeze(boxes, _ints(0)), op.Unsqueeze(places, _ints(0, 1)), post_nms_topN, nms_thresh, 0.0)
    kept = op.Squeeze(_columns(kept, 2), _ints(1))
    kept_boxes = op.Gather(boxes, kept)
    return _with_image(kept_boxes), op.Gather(logits, kept)


def _suppressed(boxes: Value, scores: Value, most: int, threshold: float, score_threshold: float) -> Value:
    """Rows (group, class, box) of what is kept, int64 (S, 3): by group, then class, then falling score.

    Args:
        boxes: (groups, R, 4).
        scores: (groups, classes, R).
        most: that a class of a group keeps; 0 or less: all.
        threshold: intersection over union that suppresses.
        score_threshold: scores must be above it.
    """
    count = _ints(most if most > 0 else END)
    limits = _floats(threshold), _floats(score_threshold)
    return op.NonMaxSuppression(boxes, scores, count, *limits)


def _large_and_inside(boxes: Value, im_info: Value, min_size: float) -> Value:
    """Mask (R,) of boxes (R, 4) whose sides are long enough and whose centre is in the image."""
    low, size = _columns(boxes, 0, 2), op.Sub(_columns(boxes, 2), _columns(boxes, 0, 2))
    centre = op.Add(low, op.Mul(size, _floats(0.5)))
    large = op.GreaterOrEqual(size, op.Mul(_columns(im_info, 2), _floats(min_size)))
    inside = op.Less(centre, op.Gather(im_info, _ints(1, 0), axis=1))
    both = op.Cast(op.And(large, inside), to=INT64)
    return op.Equal(op.ReduceSum(both, _ints(1), keepdims=0), _ints(2))


def _collect(*rois_and_scores: Value, rpn_post_nms_topN: int, **_: object) -> Value:  # noqa: N803
    levels = len(rois_and_scores) // 2
    rois, scores = op.Concat(*rois_and_scores[:levels], axis=0), op.Concat(*rois_and_scores[levels:], axis=0)
    return op.Gather(rois, _top(scores, rpn_post_nms_topN)[1])


def _with_image(rois: Value) -> Value:
    """Rois (R, 5) that begin with the image's index, which is 0 for boxes (R, 4)."""
    if rois.shape is not None and rois.shape[1] == 5:
        return rois
    images = op.Expand(_floats(0), op.Concat(_row_count(rois), _ints(1), axis=0))
    return op.Concat(images, rois, axis=1)


def _distribute(
    rois: Value,
    *,
    roi_canonical_scale: int,
    roi_canonical_level: int,
    roi_max_level: int,
    roi_min_level: int,
    **_: object,
) -> tuple[Value, ...]:
    rois = _with_image(rois)
    size = op.Sub(_columns(rois, 3), _columns(rois, 1, 3))
    area = op.Squeeze(op.Mul(_columns(size, 0, 1), _columns(size, 1)), _ints(1))
    # floor(level + log2(side)) >= l where side >= 2^(l - level): no logarithm can fall below a whole number.
    side = op.Add(op.Div(op.Sqrt(area), _floats(roi_canonical_scale)), _floats(1e-8))
    above = [
        op.GreaterOrEqual(side, _floats(2.0 ** (level - roi_canonical_level)))
        for level in range(roi_min_level + 1, roi_max_level + 1)
    ]
    masks = [
        op.Not(above[0]),
        *(op.And(low, op.Not(high)) for low, high in pairwise(above)),
        above[-1],
    ]
    numbers = _row_numbers(_row_count(rois))
    sources = [op.Compress(numbers, mask, axis=0) for mask in masks]
    order = op.Concat(*sources, axis=0)
    places = op.ScatterElements(numbers, order, numbers, axis=0)  # all are overwritten
    return (*(op.Gather(rois, source) for source in sources), op.Cast(places, to=INT32))


def _roi_align(
    x: Value,
    rois: Value,
    *,
    spatial_scale: float,
    pooled_h: int,
    pooled_w: int,
    sampling_ratio: int,
    aligned: bool,
    **_: object,
) -> Value:
    rois = _with_image(rois)
    return op.RoiAlign(
        x,
        _columns(rois, 1),
        op.Cast(op.Squeeze(_columns(rois, 0, 1), _ints(1)), to=INT64),
        coordinate_transformation_mode="half_pixel" if aligned else "output_half_pixel",
        mode="avg",
        output_height=pooled_h,
        output_width=pooled_w,
        sampling_ratio=sampling_ratio,
        spatial_scale=spatial_scale,
    )


def _transform_boxes(
    rois: Value, deltas: Value, im_info: Value, *, weights: Sequence[float], **_: object
) -> tuple[Value, Value]:
    scale = _columns(im_info, 2)
    boxes = op.Unsqueeze(op.Div(_columns(_with_image(rois), 1), scale), _ints(1))
    moves = op.Div(op.Reshape(deltas, _ints(0, deltas.shape[1] // 4, 4)), _floats(*weights))
    size = op.Floor(op.Add(op.Div(_columns(im_info, 0, 2), scale), _floats(0.5)))
    found = op.Mul(_clipped(_decoded(boxes, moves), size), scale)
    return op.Reshape(found, op.Shape(deltas)), op.Cast(_row_count(rois), to=FLOAT)


def _limit_boxes(
    scores: Value,
    boxes: Value,
    batch_splits: Value,
    *,
    score_thresh: float,
    nms: float,
    detections_per_im: int,
    cls_agnostic_bbox_reg: bool,
    **_: object,
) -> tuple[Value, ...]:
    # (K, R), without the background.
    by_class = op.Slice(op.Transpose(scores, perm=[1, 0]), _ints(0), _ints(-1), _ints(0))
    # Boxes of their own make each class a group, so that no box meets those of other classes.
    if cls_agnostic_bbox_reg:
        groups, group_scores, which = op.Unsqueeze(boxes, _ints(0)), op.Unsqueeze(by_class, _ints(0)), 1
    else:
        groups = op.Transpose(op.Reshape(boxes, _ints(0, boxes.shape[1] // 4, 4)), perm=[1, 0, 2])
        group_scores, which = op.Unsqueeze(by_class, _ints(1)), 0
    kept = _suppressed(groups, group_scores, detections_per_im, nms, score_thresh)
    classes, rows = _columns(kept, which, which + 1), _columns(kept, 2)
    found = op.GatherND(by_class, op.Concat(classes, rows, axis=1))
    if detections_per_im > 0:
        best = _top(found, detections_per_im)[1]
        best = _top(best, 0, largest=0)[0]  # as they were: by class, then falling score
        kept, classes, rows = op.Gather(kept, best), op.Gather(classes, best), op.Gather(rows, best)
        found = op.Gather(found, best)
    kept_boxes = op.GatherND(groups, op.Concat(_columns(kept, 0, 1), rows, axis=1))
    classes = op.Squeeze(classes, _ints(1))
    of_class = op.Equal(op.Unsqueeze(classes, _ints(0)), op.Unsqueeze(_row_numbers(_row_count(by_class)), _ints(1)))
    counts = op.ReduceSum(op.Cast(of_class, to=INT64), _ints(1), keepdims=0)
    return (
        found,
        kept_boxes,
        op.Cast(classes, to=FLOAT),
        op.Cast(_row_count(found), to=FLOAT),
        op.Cast(op.Squeeze(rows, _ints(1)), to=INT32),
        op.Cast(op.Unsqueeze(op.Concat(_ints(0), counts, axis=0), _ints(0)), to=INT32),
    )


def _deform_conv(
    x: Value,
    offset: Value,
    weight: Value,
    *bias_and_mask: Value,
    kernels: Sequence[int],
    strides: Sequence[int],
    pads: Sequence[int],
    dilations: Sequence[int],
    group: int,
    deformable_group: int,
    **_: object,
) -> Value:
    return op.DeformConv(
        x,
        weight,
        offset,
        *bias_and_mask,
        kernel_shape=kernels,
        strides=strides,
        pads=pads,
        dilations=dilations,
        group=group,
        offset_group=deformable_group,
    )


_FUNCTIONS: dict[str, Callable[..., Any]] = {
    "AliasWithName": lambda x, name: op.Identity(x),
    "BatchPermutation": op.Gather,
    "BBoxTransform": _transform_boxes,
    "BoxWithNMSLimit": _limit_boxes,
    "CollectRpnProposals": _collect,
    "DeformConv": _deform_conv,
    "DistributeFpnProposals": _distribute,
    "GenerateProposals": _generate_proposals,
    "RoIAlign": _roi_align,
}
