"""Convolution with norm and activation, the norms, and the shape that parts tell each other when a model is built.

Source: detectron2/layers/wrappers.py, batch_norm.py and shape_spec.py.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional

from d2deploy.errors import InvalidArgument

__all__ = ["BATCH_NORMS", "Conv2d", "FrozenBatchNorm2d", "LayerNorm", "ShapeSpec", "conv3x3", "get_norm"]


class ShapeSpec(NamedTuple):
    """What is known of a feature map when the model is built; `stride` is relative to the image."""

    channels: int
    height: int | None = None
    width: int | None = None
    stride: int | None = None


class FrozenBatchNorm2d(nn.Module):
    """Batch normalisation with fixed statistics and affine: four buffers of length `num_features`, no parameters.

    y = (x - running_mean) / sqrt(running_var + eps) * weight + bias, for maps (N, num_features, H, W). Before weights
    are loaded, `running_var` is 1 - eps as in Detectron2, so that y == x.
    """

    weight: Tensor
    bias: Tensor
    running_mean: Tensor
    running_var: Tensor

    def __init__(self, num_features: int, eps: float = 1e-5) -> None:
        super().__init__()
        self.num_features = num_features
        self.eps = eps
        self.register_buffer("weight", torch.ones(num_features))
        self.register_buffer("bias", torch.zeros(num_features))
        self.register_buffer("running_mean", torch.zeros(num_features))
        self.register_buffer("running_var", torch.ones(num_features) - eps)

    def forward(self, x: Tensor) -> Tensor:
        return functional.batch_norm(
            x, self.running_mean, self.running_var, self.weight, self.bias, False, 0.0, self.eps
        )


class LayerNorm(nn.Module):
    """Normalises the channels of each cell of maps (N, C, H, W): (x - mean) / sqrt(variance + eps) * weight + bias.

    Source: detectron2/layers/batch_norm.py, LayerNorm.
    """

    def __init__(self, channels: int, eps: float = 1e-6) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.ones(channels))
        self.bias = nn.Parameter(torch.zeros(channels))
        self.eps = eps

    def forward(self, x: Tensor) -> Tensor:
        centred = x - x.mean(1, keepdim=True)
        variance = centred.pow(2).mean(1, keepdim=True)
        return centred / torch.sqrt(variance + self.eps) * self.weight[:, None, None] + self.bias[:, None, None]


# All of them are the same thing once training is over.
BATCH_NORMS = ("BN", "SyncBN", "nnSyncBN", "naiveSyncBN", "naiveSyncBN_N")
GROUPS = 32


def get_norm(norm: str, channels: int) -> nn.Module | None:
    """The norm of that name for so many channels; None for the empty name.

    Raises:
        InvalidArgument: the name is not known, or the channels cannot be grouped.
    """
    if not norm:
        return None
    if norm in BATCH_NORMS:
        return nn.BatchNorm2d(channels)
    if norm == "FrozenBN":
        return FrozenBatchNorm2d(channels)
    if norm == "GN":
        if channels % GROUPS:
            raise InvalidArgument(f"norm GN: {channels} channels cannot be split into {GROUPS} groups; use BN")
        return nn.GroupNorm(GROUPS, channels)
    if norm == "LN":
        return LayerNorm(channels)
    known = ", ".join(["FrozenBN", "GN", "LN", *BATCH_NORMS])
    raise InvalidArgument(f"norm {norm} is not known; known: {known}, or empty for none")


class Conv2d(nn.Conv2d):
    """Convolution, then the norm, then the activation, the last two where they are given.

    Args:
        args: as for torch.nn.Conv2d.
        norm: module for (N, out_channels, H, W); its parameters are named `norm.*`.
        activation: function or module.
        kwargs: as for torch.nn.Conv2d.
    """

    def __init__(
        self,
        *args: Any,
        norm: nn.Module | None = None,
        activation: Callable[[Tensor], Tensor] | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(*args, **kwargs)
        self.norm = norm
        self.activation = activation

    def forward(self, x: Tensor) -> Tensor:
        x = super().forward(x)
        if self.norm is not None:
            x = self.norm(x)
        if self.activation is not None:
            x = self.activation(x)
        return x


def conv3x3(in_channels: int, out_channels: int, norm: str) -> Conv2d:
    """What heads are made of: a 3x3 convolution that keeps the size, with a norm or else a bias, and ReLU."""
    return Conv2d(
        in_channels,
        out_channels,
        3,
        padding=1,
        bias=not norm,
        norm=get_norm(norm, out_channels),
        activation=nn.ReLU(),
    )
