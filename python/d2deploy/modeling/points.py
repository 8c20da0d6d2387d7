"""Values of maps at points, which points of a map a head is least sure of, and how they are put back.

Registered as operators, so that an exporter finds them in a traced model.

Source: Kirillov et al., PointRend: Image Segmentation as Rendering, section 3;
detectron2/projects/PointRend/point_rend/point_features.py.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional

__all__ = ["grid_points", "own_class", "point_sample", "put_points", "uncertain_points"]


def grid_points(side: int) -> Tensor:
    """(1, side * side, 2): x, y of the middles of side x side equal cells of [0, 1] x [0, 1], row by row."""
    middles = (torch.arange(side, dtype=torch.float32) + 0.5) / side
    y, x = torch.meshgrid(middles, middles, indexing="ij")
    return torch.stack([x, y], dim=-1).view(1, side * side, 2)


def point_sample(
    x: Tensor, points: Tensor, rois: Tensor | None = None, *, spatial_scale: float = 1.0, width: int = 1
) -> Tensor:
    """A map at points, interpolated between the middles of its cells, and towards zeros around it.

    Args:
        x: (N, C, H, W).
        points: (R or 1, P, 2), x, y from 0 to 1, over the whole map or over the roi of the row.
        rois: (R, 4 or 5), xyxy in pixels of the image, with or without the image's index before them; without rois row
            r is image r, and R is N.
        spatial_scale: cells of the map per pixel of the image, for rois.
        width: columns of the result.

    Returns:
        (R, C, P / width, width).

    Law: `grid_points` of a map's size give the map.
    """
    tensors = [x, points] if rois is None else [x, points, rois]
    result: Tensor = torch.ops.d2deploy.PointSample(tensors, spatial_scale, width)
    return result


def uncertain_points(x: Tensor, count: int) -> tuple[Tensor, Tensor]:
    """The cells of each map of logits that are least certain, `count` of them or all where there are fewer.

    How certain a cell is: |x| of one channel; by how much the largest of several is above the next. NaN is least
    certain; of cells that are as certain as each other those that come first are taken.

    Args:
        x: (R, C, H, W).
        count: P.

    Returns:
        Their places int32 (R, P), ascending, row * W + column, and the points (R, P, 2) of their middles.
    """
    places, points = torch.ops.d2deploy.UncertainPoints(x, count)
    return places, points


def put_points(x: Tensor, places: Tensor, values: Tensor) -> Tensor:
    """x (R, C, H, W) with `values` (R, C, P, 1) in the cells that `places`, int32 (R, P), names; see
    `uncertain_points`."""
    result: Tensor = torch.ops.d2deploy.PutPoints(x, places, values)
    return result


def own_class(x: Tensor, classes: Tensor) -> Tensor:
    """(R, 1, H, W): of each row of x (R, K, H, W) the channel that `classes` (R,) names."""
    result: Tensor = torch.ops.d2deploy.OwnClass(x, classes)
    return result


def sample_points(tensors: Sequence[Tensor], spatial_scale: float, width: int) -> Tensor:
    """What `point_sample` is, as an operator: of X, points, and rois where there are any."""
    x, points = tensors[:2]
    if len(tensors) > 2:
        sampled = _sample_in_rois(x, points, tensors[2], spatial_scale)
    else:
        grids = points.expand(len(x), -1, -1)[:, :, None] * 2 - 1
        sampled = functional.grid_sample(x, grids, align_corners=False)
    return sampled.reshape(*sampled.shape[:2], points.shape[1] // width, width)


def _sample_in_rois(x: Tensor, points: Tensor, rois: Tensor, scale: float) -> Tensor:
    """(R, C, P, 1)."""
    boxes = rois[:, -4:]
    images = rois[:, 0].long() if rois.shape[1] == 5 else torch.zeros(len(rois), dtype=torch.long, device=x.device)
    pixels = boxes[:, None, :2] + points * (boxes[:, None, 2:] - boxes[:, None, :2])
    size = torch.tensor([x.shape[3], x.shape[2]], dtype=x.dtype, device=x.device)
    grids = pixels * (2 * scale) / size - 1
    result = x.new_zeros(len(rois), x.shape[1], points.shape[1], 1)
    for image in images.unique():  # type: ignore[no-untyped-call]
        own = images == image
        part = functional.grid_sample(x[image, None], grids[own][None], align_corners=False)
        result[own] = part[0].transpose(0, 1)[..., None]
    return result


def _sample_fake(tensors: Sequence[Tensor], spatial_scale: float, width: int) -> Tensor:
    x, points = tensors[:2]
    rows = tensors[2].shape[0] if len(tensors) > 2 else x.shape[0]
    return x.new_empty(rows, x.shape[1], points.shape[1] // width, width)


def find_uncertain_points(X: Tensor, count: int) -> tuple[Tensor, Tensor]:  # noqa: N803  # as the operator has it
    """What `uncertain_points` is, as an operator."""
    height, width = X.shape[2:]
    if X.shape[1] == 1:
        certain = X[:, 0].abs()
    else:
        largest = X.topk(2, dim=1).values
        certain = largest[:, 0] - largest[:, 1]
    certain = certain.flatten(1).nan_to_num(nan=-1.0, posinf=torch.inf)
    taken = min(count, height * width)
    if taken < height * width:
        bound = certain.kthvalue(taken, dim=1, keepdim=True).values
        less, equal = certain < bound, certain == bound
        chosen = less | (equal & (equal.cumsum(1) <= taken - less.sum(1, keepdim=True)))
        places = chosen.nonzero()[:, 1].reshape(len(X), taken)
    else:
        places = torch.arange(taken, device=X.device).repeat(len(X), 1)
    middles = [(places % width + 0.5) / width, (places // width + 0.5) / height]
    return places.int(), torch.stack(middles, dim=2)


def _uncertain_fake(X: Tensor, count: int) -> tuple[Tensor, Tensor]:  # noqa: N803
    taken = torch.sym_min(count, X.shape[2] * X.shape[3])  # type: ignore[no-untyped-call]
    return X.new_empty(X.shape[0], taken, dtype=torch.int32), X.new_empty(X.shape[0], taken, 2)


def set_points(X: Tensor, places: Tensor, values: Tensor) -> Tensor:  # noqa: N803
    """What `put_points` is, as an operator."""
    index = places.long()[:, None].expand(-1, X.shape[1], -1)
    return X.flatten(2).scatter(2, index, values.flatten(2)).view_as(X)


def pick_class(X: Tensor, classes: Tensor) -> Tensor:  # noqa: N803
    """What `own_class` is, as an operator."""
    return X[torch.arange(len(X), device=X.device), classes.long()][:, None]


def _register(name: str, body: Callable[..., Any], fake: Callable[..., Any]) -> None:
    operator = torch.library.custom_op(f"d2deploy::{name}", body, mutates_args=())
    operator.register_fake(fake)


_register("PointSample", sample_points, _sample_fake)
_register("UncertainPoints", find_uncertain_points, _uncertain_fake)
_register("PutPoints", set_points, lambda x, places, values: torch.empty_like(x))
_register("OwnClass", pick_class, lambda x, classes: x.new_empty(x.shape[0], 1, *x.shape[2:]))
