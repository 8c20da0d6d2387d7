"""Deformable convolutions of live models: Detectron2's and torchvision's layers give way to ours."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from torch import nn

from d2deploy.modeling import DeformConv

# Layers that run on GPUs alone, or call operators that no exporter knows: ours take their place.
_LAYERS = {
    ("detectron2", "DeformConv"),
    ("detectron2", "ModulatedDeformConv"),
    ("torchvision", "DeformConv2d"),
}


def _deformable(layer: nn.Module) -> type | None:
    """Which of the libraries' deformable convolutions a layer is of, or derived from."""
    return next((k for k in type(layer).__mro__ if (k.__module__.partition(".")[0], k.__name__) in _LAYERS), None)


def layer_faults(model: nn.Module) -> Iterator[str]:
    """Those that compute something else than their libraries' classes."""
    for path, layer in model.named_modules():
        base: Any = _deformable(layer)
        if base and ("forward" in vars(layer) or type(layer).forward is not base.forward):
            own = type(layer).__name__
            yield f"{path} is a {own}, which changes forward of {base.__name__}: only its own code can be converted"


def replace_layers(model: nn.Module) -> None:
    """Puts ours in the places of layers; one that stands in several places stays one."""
    made: dict[nn.Module, nn.Module] = {}
    for parent in list(model.modules()):
        for name, child in list(parent._modules.items()):
            if child is not None and _deformable(child):
                made[child] = made.get(child) or _deform_conv(child)
                setattr(parent, name, made[child])


def _deform_conv(layer: Any) -> DeformConv:
    out_channels, in_channels, *kernel = layer.weight.shape
    result = DeformConv(
        in_channels * layer.groups,
        out_channels,
        kernel,
        stride=layer.stride,
        padding=layer.padding,
        dilation=layer.dilation,
        groups=layer.groups,
        bias=layer.bias is not None,
        norm=getattr(layer, "norm", None),
        activation=getattr(layer, "activation", None),
    )
    result.weight = layer.weight
    if layer.bias is not None:
        result.bias = layer.bias
    return result
