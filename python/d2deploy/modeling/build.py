"""From a configuration to a model. Source: detectron2/modeling/meta_arch/build.py and backbone/build.py."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import torch

from d2deploy.config import Config
from d2deploy.errors import DeviceError, InvalidArgument, Unsupported
from d2deploy.modeling.checks import check_numbers
from d2deploy.modeling.layers import ShapeSpec
from d2deploy.modeling.registry import (
    BACKBONES,
    META_ARCHS,
    PRECOMPUTED,
    PROPOSAL_GENERATORS,
    ROI_HEADS,
    ROI_MASK_HEADS,
)

__all__ = ["build_model", "make_backbone"]


def make_backbone(cfg: Config) -> Any:
    """The backbone that MODEL.BACKBONE.NAME asks for, for images of as many channels as MODEL.PIXEL_MEAN has."""
    return BACKBONES.build(cfg.MODEL.BACKBONE.NAME, cfg, ShapeSpec(len(cfg.MODEL.PIXEL_MEAN)))


def build_model(cfg: Config) -> Any:
    """The model that a configuration describes, with random weights, in eval mode, on MODEL.DEVICE.

    Args:
        cfg: the configuration.

    Returns:
        The module of MODEL.META_ARCHITECTURE: list[dict] in, list[dict] out.

    Raises:
        InvalidArgument: a value of the configuration is wrong, or a name is not registered.
        Unsupported: Detectron2 has such parts, d2deploy does not; all of them are named.
        DeviceError: MODEL.DEVICE is not there.
    """
    device = make_device(cfg.MODEL.DEVICE)
    if faults := list(unsupported(cfg)):
        raise Unsupported("\n".join(faults))
    check_numbers(cfg)
    model = META_ARCHS.build(cfg.MODEL.META_ARCHITECTURE, cfg)
    return model.eval().requires_grad_(False).to(device)


def unsupported(cfg: Config) -> Iterator[str]:
    """What the configuration asks for that Detectron2 has and d2deploy has not: the key, the value, the way out."""
    model = cfg.MODEL
    names = [(META_ARCHS, model.META_ARCHITECTURE), (BACKBONES, model.BACKBONE.NAME)]
    heads = model.META_ARCHITECTURE in ("GeneralizedRCNN", "PanopticFPN")
    if model.META_ARCHITECTURE == "ProposalNetwork" or (heads and model.PROPOSAL_GENERATOR.NAME != PRECOMPUTED):
        names.append((PROPOSAL_GENERATORS, model.PROPOSAL_GENERATOR.NAME))
    if heads:
        names.append((ROI_HEADS, model.ROI_HEADS.NAME))
        names += [(ROI_MASK_HEADS, model.ROI_MASK_HEAD.NAME)] if model.MASK_ON else []
    for registry, name in names:
        if registry.is_unsupported(name):
            yield str(registry.fault(name))


def make_device(name: str) -> torch.device:
    """The device of that name; DeviceError where PyTorch has none, InvalidArgument where it is not the name of one."""
    try:
        device = torch.device(name)
    except RuntimeError:
        device = None
    if device is None or device.type not in ("cpu", "cuda"):
        raise InvalidArgument(f"MODEL.DEVICE is {name}, must be cpu, cuda or cuda:N")
    if device.type == "cuda" and (device.index or 0) >= torch.cuda.device_count():
        count = torch.cuda.device_count()
        raise DeviceError(f"MODEL.DEVICE is {name}, but PyTorch sees {count} CUDA devices; set MODEL.DEVICE to cpu")
    return device
