"""Operators of PyTorch that the files have none for, as several that they have: tables for torch.export.

A function that returns NotImplemented leaves its operator as it is. What Unsupported says follows the module's name.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from math import prod
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional

from d2deploy.errors import Unsupported

_END = 2**63 - 1  # of a slice that has none


def written_as_others() -> dict[Any, Callable[..., Any]]:
    """Operators that the files have none for, as several that they have."""
    known, aten = torch.export.default_decompositions(), torch.ops.aten
    return {
        aten.einsum.default: known[aten.einsum.default],
        aten.unbind.int: _unbind,
        aten.roll.default: _roll,
        aten.conv1d.default: _conv1d,
        aten.adaptive_avg_pool2d.default: _strip_means,
        aten.avg_pool2d.default: _sums_by_divisor,
        aten.instance_norm.default: _instance_norm,
        aten.var.correction: _variance,
        aten.var.dim: _by_correction(_variance),
        aten.std.correction: _deviation,
        aten.std.dim: _by_correction(_deviation),
        aten.var_mean.correction: _variance_and_mean,
        aten.var_mean.dim: _by_correction(_variance_and_mean),
        aten.scaled_dot_product_attention.default: _attention,
    }


def _unbind(x: Tensor, dim: int = 0) -> list[Tensor]:
    return [x.select(dim, i) for i in range(x.shape[dim])]


def _roll(x: Tensor, shifts: Sequence[int], dims: Sequence[int] = ()) -> Tensor:
    """What goes out at one end comes in at the other."""
    if not dims or any(abs(shift) >= x.shape[dim] for shift, dim in zip(shifts, dims, strict=True)):
        return NotImplemented  # type: ignore[no-any-return]
    for shift, dim in zip(shifts, dims, strict=True):
        if shift:
            x = torch.cat([_slice(x, dim, -shift, _END), _slice(x, dim, 0, -shift)], dim=dim)
    return x


def _slice(x: Tensor, dim: int, start: int, end: int) -> Tensor:
    part: Tensor = torch.ops.aten.slice.Tensor(x, dim, start, end)
    return part


def _conv1d(
    x: Tensor,
    weight: Tensor,
    bias: Tensor | None = None,
    stride: Sequence[int] = (1,),
    padding: Sequence[int] = (0,),
    dilation: Sequence[int] = (1,),
    groups: int = 1,
) -> Tensor:
    """Of a map of one row."""
    row, kernel = x.unsqueeze(-2), weight.unsqueeze(-2)
    result = functional.conv2d(row, kernel, bias, (1, stride[0]), (0, padding[0]), (1, dilation[0]), groups)
    return result.squeeze(-2)


def _strip_means(x: Tensor, output_size: Sequence[int]) -> Tensor:
    """Means of rows and columns, where one size of the map stays and the other becomes 1."""
    if all(isinstance(size, int) for size in output_size):
        return NotImplemented  # type: ignore[no-any-return]  # the files have an operator
    dims = [dim for dim, size in zip((-2, -1), output_size, strict=True) if size == 1]
    stays = [dim for dim, size in zip((-2, -1), output_size, strict=True) if size == x.shape[dim]]
    if sorted({*dims, *stays}) != [-2, -1]:
        return NotImplemented  # type: ignore[no-any-return]
    return x.mean(dims, keepdim=True) if dims else x


def _sums_by_divisor(
    x: Tensor,
    kernel_size: Sequence[int],
    stride: Sequence[int] = (),
    padding: Sequence[int] = (0, 0),
    ceil_mode: bool = False,
    count_include_pad: bool = True,
    divisor_override: int | None = None,
) -> Tensor:
    """Sums that are divided by a number of the user's own, by means of whole windows."""
    if divisor_override is None:
        return NotImplemented  # type: ignore[no-any-return]
    if ceil_mode:
        raise Unsupported("avg_pool2d with divisor_override and ceil_mode cannot be written; leave one of them out")
    height, width = (*kernel_size, *kernel_size)[:2]
    means = functional.avg_pool2d(x, (height, width), tuple(stride) or None, tuple(padding))
    return means * (height * width / divisor_override)


def _instance_norm(
    x: Tensor,
    weight: Tensor | None,
    bias: Tensor | None,
    running_mean: Tensor | None,
    running_var: Tensor | None,
    use_input_stats: bool,
    momentum: float,
    eps: float,
    cudnn_enabled: bool,
) -> Tensor:
    """By what was learnt in training."""
    if use_input_stats or running_mean is None or running_var is None:
        return NotImplemented  # type: ignore[no-any-return]
    scale = torch.rsqrt(running_var + eps) if weight is None else weight * torch.rsqrt(running_var + eps)
    shift = -running_mean * scale if bias is None else bias - running_mean * scale
    shape = [1, -1] + [1] * (x.dim() - 2)
    return x * scale.view(shape) + shift.view(shape)


def _variance(
    x: Tensor, dim: Sequence[int] | None = None, *, correction: float | None = 1, keepdim: bool = False
) -> Tensor:
    """The mean of squares around the mean, times n / (n - correction)."""
    return _variance_and_mean(x, dim, correction=correction, keepdim=keepdim)[0]


def _deviation(
    x: Tensor, dim: Sequence[int] | None = None, *, correction: float | None = 1, keepdim: bool = False
) -> Tensor:
    return _variance(x, dim, correction=correction, keepdim=keepdim).sqrt()


def _variance_and_mean(
    x: Tensor, dim: Sequence[int] | None = None, *, correction: float | None = 1, keepdim: bool = False
) -> tuple[Tensor, Tensor]:
    dims = list(dim or range(x.dim()))
    count, less = prod(x.shape[d] for d in dims), 1 if correction is None else correction
    if less and not isinstance(count, int):
        raise Unsupported(
            "an unbiased variance over height and width cannot be written: its divisor depends on the picture's size; "
            "give it correction=0 (unbiased=False)"
        )
    mean = x.mean(dims, keepdim=True)
    variance = (x - mean).square().mean(dims, keepdim=keepdim)
    return variance * (count / (count - less)) if less else variance, mean if keepdim else x.mean(dims)


def _by_correction(function: Callable[..., Any]) -> Callable[..., Any]:
    """For the older form, which says whether the variance is unbiased."""

    def older(x: Tensor, dim: Sequence[int] | None, unbiased: bool = True, keepdim: bool = False) -> Any:
        return function(x, dim, correction=int(unbiased), keepdim=keepdim)

    return older


def _attention(
    query: Tensor,
    key: Tensor,
    value: Tensor,
    attn_mask: Tensor | None = None,
    dropout_p: float = 0.0,
    is_causal: bool = False,
    *,
    scale: float | None = None,
    enable_gqa: bool = False,
) -> Tensor:
    """softmax(scale Q K^T + mask) V; torch.onnx loses the shapes of its own."""
    if is_causal or enable_gqa or (attn_mask is not None and not attn_mask.is_floating_point()):
        return NotImplemented  # type: ignore[no-any-return]
    product = (query * (query.shape[-1] ** -0.5 if scale is None else scale)) @ key.transpose(-2, -1)
    return (product if attn_mask is None else product + attn_mask).softmax(dim=-1) @ value
