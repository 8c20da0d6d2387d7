"""Deformable convolution, versions 1 and 2, in plain PyTorch, which Detectron2 runs on GPUs alone.

Source: Dai et al., Deformable Convolutional Networks, section 2.1; Zhu et al., Deformable ConvNets v2, section 3.2;
detectron2/layers/deform_conv.py and its kernels.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from d2deploy.errors import InvalidArgument

__all__ = ["DeformConv", "deform_conv", "deform_windows"]


def _out_size(size: int, kernel: int, stride: int, pads: int, dilation: int) -> int:
    return (size + pads - dilation * (kernel - 1) - 1) // stride + 1


def _out_sizes(x: Tensor, weight: Tensor, strides: Sequence[int], pads: Sequence[int], dilations: Sequence[int]) -> Any:
    return [
        _out_size(x.shape[2 + i], weight.shape[2 + i], strides[i], pads[i] + pads[2 + i], dilations[i])
        for i in range(2)
    ]


def _interpolated(x: Tensor, rows: Tensor, columns: Tensor) -> Tensor:
    """Bilinear samples of a map that is surrounded by zeros.

    Args:
        x: (N, C, H, W).
        rows: (N, H2, W2), places in cells; as `columns`.
        columns: likewise.

    Returns:
        (N, C, H2, W2).
    """
    height, width = x.shape[2:]
    cells = x.flatten(2)
    result = x.new_zeros(*x.shape[:2], rows.shape[1] * rows.shape[2])
    top, left = rows.floor(), columns.floor()
    for r in (top, top + 1):
        for c in (left, left + 1):
            inside = (r >= 0) & (r < height) & (c >= 0) & (c < width)
            part = (1 - (rows - r).abs()) * (1 - (columns - c).abs())
            index = torch.where(inside, r * width + c, 0).long().flatten(1)[:, None].expand(-1, x.shape[1], -1)
            result += cells.gather(2, index) * torch.where(inside, part, 0).flatten(1)[:, None]
    return result.view(*result.shape[:2], *rows.shape[1:])


def _fake(
    tensors: Sequence[Tensor],
    kernels: Sequence[int],
    strides: Sequence[int],
    pads: Sequence[int],
    dilations: Sequence[int],
    *_: object,
) -> Tensor:
    x, weight = tensors[0], tensors[2]
    return x.new_empty(x.shape[0], weight.shape[0], *_out_sizes(x, weight, strides, pads, dilations))


def deform_windows(
    tensors: Sequence[Tensor],
    kernels: Sequence[int],
    strides: Sequence[int],
    pads: Sequence[int],
    dilations: Sequence[int],
    group: int,
    deformable_group: int,
    zero_border: bool,
) -> Tensor:
    """What `deform_conv` is, as an operator: of X, offset, weight, bias, and mask where there is one. Its arguments are
    Caffe2's; `zero_border` says that X is interpolated towards zeros, which it is here in any case."""
    x, offset, weight, bias = tensors[:4]
    height, width = _out_sizes(x, weight, strides, pads, dilations)
    y = x.new_zeros(x.shape[0], weight.shape[0], height, width)
    rows = torch.arange(height, device=x.device)[:, None] * strides[0] - pads[0]
    columns = torch.arange(width, device=x.device) * strides[1] - pads[1]
    for cell in range(kernels[0] * kernels[1]):
        i, j = divmod(cell, kernels[1])
        seen = []
        for d, part in enumerate(x.chunk(deformable_group, 1)):
            k = d * kernels[0] * kernels[1] + cell
            at = rows + i * dilations[0] + offset[:, 2 * k], columns + j * dilations[1] + offset[:, 2 * k + 1]
            sample = _interpolated(part, *at)
            seen.append(sample * tensors[4][:, k, None] if len(tensors) > 4 else sample)
        y += nn.functional.conv2d(torch.cat(seen, 1), weight[:, :, i, j, None, None], groups=group)
    return y + bias[:, None, None]


# Registered, so that an exporter finds it in a traced model.
_operator: Callable[..., Tensor] = torch.library.custom_op("d2deploy::DeformConv", deform_windows, mutates_args=())
_operator.register_fake(_fake)  # type: ignore[attr-defined]


def _pair(value: int | Sequence[int]) -> tuple[int, int]:
    return (value, value) if isinstance(value, int) else (value[0], value[1])


def deform_conv(
    x: Tensor,
    offset: Tensor,
    weight: Tensor,
    bias: Tensor | None = None,
    mask: Tensor | None = None,
    *,
    stride: int | Sequence[int] = 1,
    padding: int | Sequence[int] = 0,
    dilation: int | Sequence[int] = 1,
    groups: int = 1,
) -> Tensor:
    """Convolution whose window sees x at its usual places plus an offset, interpolated, times a weight.

    Args:
        x: (N, C, H, W).
        offset: (N, 2 * D * kh * kw, H2, W2): dy, dx in cells of x, for each cell of the window, row by row, of one of D
            deformable groups, each with C / D channels, after the other.
        weight: (M, C / groups, kh, kw).
        bias: (M,).
        mask: (N, D * kh * kw, H2, W2), the weights; version 1 has none.
        stride: of the window, as padding and dilation; one number, or those of height and width.
        padding: zeros around x.
        dilation: steps from cell to cell of the window.
        groups: as of a convolution.

    Returns:
        (N, M, H2, W2). Beyond the border x is interpolated towards zeros.

    Raises:
        InvalidArgument: the channels of offset, or of x, do not fall into such groups.

    Law: with offset 0 and no mask it is conv2d.
    """
    cells = weight.shape[2] * weight.shape[3]
    parts = offset.shape[1] // (2 * cells)
    if parts == 0 or offset.shape[1] != 2 * cells * parts or x.shape[1] % parts:
        raise InvalidArgument(
            f"offset has {offset.shape[1]} channels, wanted {2 * cells} for each deformable group of the "
            f"{x.shape[1]} channels of x"
        )
    pads = _pair(padding)
    tensors = [x, offset, weight, weight.new_zeros(weight.shape[0]) if bias is None else bias]
    if mask is not None:
        tensors.append(mask)
    window = list(weight.shape[2:]), list(_pair(stride)), [*pads, *pads], list(_pair(dilation))
    return _operator(tensors, *window, groups, parts, True)


class DeformConv(nn.Module):
    """Deformable convolution, then the norm and the activation where they are given.

    Args:
        in_channels: C.
        out_channels: M.
        kernel_size: of the window; the others as for `deform_conv`.
        bias: whether it has one.
        norm: module for (N, M, H, W); its parameters are named `norm.*`.
        activation: function or module.

    Raises:
        InvalidArgument: the channels do not fall into the groups.
    """

    no_bias: Tensor

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        kernel_size: int | Sequence[int],
        stride: int | Sequence[int] = 1,
        padding: int | Sequence[int] = 0,
        dilation: int | Sequence[int] = 1,
        groups: int = 1,
        bias: bool = False,
        norm: nn.Module | None = None,
        activation: Callable[[Tensor], Tensor] | None = None,
    ) -> None:
        super().__init__()
        if in_channels % groups or out_channels % groups:
            raise InvalidArgument(f"{in_channels} or {out_channels} channels do not fall into {groups} groups")
        self.window: dict[str, Any] = {"stride": stride, "padding": padding, "dilation": dilation, "groups": groups}
        self.weight = nn.Parameter(torch.empty(out_channels, in_channels // groups, *_pair(kernel_size)))
        self.bias = nn.Parameter(torch.zeros(out_channels)) if bias else None
        self.register_buffer("no_bias", torch.zeros(out_channels), persistent=False)
        nn.init.kaiming_uniform_(self.weight, nonlinearity="relu")
        self.norm = norm
        self.activation = activation

    def forward(self, x: Tensor, offset: Tensor, mask: Tensor | None = None) -> Tensor:
        bias = self.no_bias if self.bias is None else self.bias
        x = deform_conv(x, offset, self.weight, bias, mask, **self.window)
        if self.norm is not None:
            x = self.norm(x)
        if self.activation is not None:
            x = self.activation(x)
        return x
