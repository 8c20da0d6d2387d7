"""From a configuration to a model."""

from __future__ import annotations

from typing import Any

import torch

from d2deploy.errors import DeviceError, InvalidArgument
from d2deploy.modeling.layers import ShapeSpec
from d2deploy.modeling.registry import BACKBONES, META_ARCHS

__all__ = ["build_model", "make_backbone"]


def make_backbone(cfg: Any) -> Any:
    """The backbone that MODEL.BACKBONE.NAME asks for, for images of as many channels as MODEL.PIXEL_MEAN has."""
    return BACKBONES.build(cfg.MODEL.BACKBONE.NAME, cfg, ShapeSpec(len(cfg.MODEL.PIXEL_MEAN)))


def build_model(cfg: Any) -> Any:
    """The model that a configuration describes, with random weights, in eval mode, on MODEL.DEVICE.

    Args:
        cfg: the configuration.

    Returns:
        The module of MODEL.META_ARCHITECTURE: list[dict] in, list[dict] out.

    Raises:
        InvalidArgument: a value of the configuration is wrong, or a name is not registered.
        Unsupported: Detectron2 has such a part, d2deploy does not.
        DeviceError: MODEL.DEVICE is not there.
    """
    device = make_device(cfg.MODEL.DEVICE)
    if len(cfg.MODEL.PIXEL_MEAN) != len(cfg.MODEL.PIXEL_STD):
        raise InvalidArgument(
            f"MODEL.PIXEL_MEAN has {len(cfg.MODEL.PIXEL_MEAN)} numbers, MODEL.PIXEL_STD {len(cfg.MODEL.PIXEL_STD)}; "
            "both need one per channel"
        )
    model = META_ARCHS.build(cfg.MODEL.META_ARCHITECTURE, cfg)
    return model.eval().requires_grad_(False).to(device)


def make_device(name: str) -> torch.device:
    """The device of that name; DeviceError where PyTorch has none, InvalidArgument where it is no name of one."""
    try:
        device = torch.device(name)
    except RuntimeError:
        raise InvalidArgument(f"MODEL.DEVICE is {name}, must be cpu, cuda or cuda:N") from None
    if device.type == "cuda" and (device.index or 0) >= torch.cuda.device_count():
        count = torch.cuda.device_count()
        raise DeviceError(f"MODEL.DEVICE is {name}, but PyTorch sees {count} CUDA devices; set MODEL.DEVICE to cpu")
    return device
