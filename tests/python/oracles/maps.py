"""Oracles of operators on feature maps (N, C, ...): normalisations and their scales per channel, padding, resizing."""

from __future__ import annotations

import numpy as np

from .arguments import Arguments, Array
from .elementwise import float32


def _require_nchw(args: Arguments) -> None:
    if args.string("order", "NCHW") != "NCHW":
        raise ValueError("these oracles know order NCHW alone")


def _per_channel(values: Array, x: Array) -> Array:
    """(C) as (C, 1, ...), which goes with X (N, C, ...)."""
    return values.astype(np.float64).reshape(-1, *(1,) * (x.ndim - 2))


def _normalized(x: Array, groups: int, epsilon: float) -> tuple[Array, Array, Array]:
    """X less the mean of its channel group, over its standard deviation; those means, and 1 over those deviations.

    The variance is the mean squared distance from the mean: the sum is divided by the count, not by one less.
    """
    rows = x.astype(np.float64).reshape(x.shape[0], groups, int(np.prod(x.shape[1:])) // groups)
    with np.errstate(invalid="ignore", divide="ignore"):
        count = np.float64(rows.shape[2])
        mean = rows.sum(axis=2) / count
        inv_std = 1 / np.sqrt(((rows - mean[..., None]) ** 2).sum(axis=2) / count + epsilon)
        return ((rows - mean[..., None]) * inv_std[..., None]).reshape(x.shape), mean, inv_std


def group_norm(args: Arguments, inputs: list[Array]) -> list[Array]:
    """Groups of neighbouring channels normalised per image, then scaled and shifted per channel (Wu and He, 2018)."""
    _require_nchw(args)
    x, gamma, beta = inputs
    y, mean, inv_std = _normalized(x, args.integer("group", 32), args.number("epsilon", 1e-5))
    y = y * _per_channel(gamma, x) + _per_channel(beta, x)
    return [float32(y), float32(mean), float32(inv_std)]


def group_norm_relu(args: Arguments, inputs: list[Array]) -> list[Array]:
    return [np.maximum(group_norm(args, inputs)[0], np.float32(0))]
