"""Feature pyramid on top of a backbone, with one or two coarser levels.

Source: Lin et al., Feature Pyramid Networks, section 3; detectron2/modeling/backbone/fpn.py.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from torch import Tensor, nn
from torch.nn import functional

from d2deploy.config import Config
from d2deploy.errors import InvalidArgument
from d2deploy.modeling.layers import Conv2d, ShapeSpec, get_norm
from d2deploy.modeling.registry import BACKBONES
from d2deploy.modeling.resnet import build_resnet_backbone

__all__ = ["FPN", "LastLevelMaxPool", "LastLevelP6P7"]


class LastLevelMaxPool(nn.Module):
    """P6: every second element of P5, (N, C, H, W) -> (N, C, H / 2, W / 2) rounded up."""

    num_levels = 1
    in_feature = "p5"

    def forward(self, x: Tensor) -> list[Tensor]:
        return [functional.max_pool2d(x, kernel_size=1, stride=2, padding=0)]


class LastLevelP6P7(nn.Module):
    """P6 and P7 of RetinaNet: convolutions of stride 2, from C5 or P5.

    Source: Lin et al., Focal Loss for Dense Object Detection, section 4.
    """

    num_levels = 2

    def __init__(self, in_channels: int, out_channels: int, in_feature: str = "res5") -> None:
        super().__init__()
        self.in_feature = in_feature
        self.p6 = nn.Conv2d(in_channels, out_channels, 3, 2, 1)
        self.p7 = nn.Conv2d(out_channels, out_channels, 3, 2, 1)

    def forward(self, x: Tensor) -> list[Tensor]:
        p6 = self.p6(x)
        return [p6, self.p7(functional.relu(p6))]


class FPN(nn.Module):
    """Feature pyramid network: outputs p<n> of stride 2^n with the same number of channels.

    Args:
        bottom_up: backbone with `output_shape()`; its outputs' strides must double from one to the next.
        in_features: outputs of `bottom_up`, finest first.
        out_channels: channels of all outputs.
        norm: norm of all convolutions here.
        top_block: module with `num_levels` and `in_feature` that adds coarser levels.
        fuse_type: "sum" or "avg" of a lateral map and the coarser map above it.

    Raises:
        InvalidArgument: `in_features` is not a pyramid of `bottom_up`, or `fuse_type` is not known.
    """

    def __init__(
        self,
        bottom_up: Any,
        in_features: Sequence[str],
        out_channels: int,
        norm: str = "",
        top_block: Any = None,
        fuse_type: str = "sum",
    ) -> None:
        super().__init__()
        shapes = pyramid(bottom_up.output_shape(), in_features)
        if fuse_type not in ("sum", "avg"):
            raise InvalidArgument(f"MODEL.FPN.FUSE_TYPE is {fuse_type}, must be sum or avg")
        self.bottom_up = bottom_up
        self.in_features = tuple(in_features)
        self.top_block = top_block
        self.fuse_type = fuse_type
        self.stages = [stride.bit_length() - 1 for _, stride in shapes]
        for stage, (channels, _) in zip(self.stages, shapes):
            lateral = Conv2d(channels, out_channels, 1, bias=not norm, norm=get_norm(norm, out_channels))
            output = Conv2d(out_channels, out_channels, 3, padding=1, bias=not norm, norm=get_norm(norm, out_channels))
            self.add_module(f"fpn_lateral{stage}", lateral)
            self.add_module(f"fpn_output{stage}", output)
        levels = list(self.stages)
        if top_block is not None:
            levels += range(levels[-1] + 1, levels[-1] + 1 + top_block.num_levels)
        self._shapes = {f"p{level}": ShapeSpec(out_channels, stride=2**level) for level in levels}
        self.size_divisibility = 2 ** self.stages[-1]

    def output_shape(self) -> dict[str, ShapeSpec]:
        """Channels and stride of each output."""
        return dict(self._shapes)

    def forward(self, x: Tensor) -> dict[str, Tensor]:
        """Maps (N, C, H, W), H and W divisible by `size_divisibility`, to the outputs by name, finest first."""
        bottom_up: dict[str, Tensor] = self.bottom_up(x)
        outputs: list[Tensor] = []
        above: Tensor | None = None
        for stage, feature in zip(reversed(self.stages), reversed(self.in_features)):
            here = self.get_submodule(f"fpn_lateral{stage}")(bottom_up[feature])
            if above is not None:
                here = here + functional.interpolate(above, scale_factor=2.0, mode="nearest")
                if self.fuse_type == "avg":
                    here = here / 2
            outputs.insert(0, self.get_submodule(f"fpn_output{stage}")(here))
            above = here
        named = dict(zip(self._shapes, outputs))
        if self.top_block is not None:
            feature = self.top_block.in_feature
            outputs += self.top_block(bottom_up[feature] if feature in bottom_up else named[feature])
        return dict(zip(self._shapes, outputs))


def pyramid(shapes: dict[str, ShapeSpec], in_features: Sequence[str]) -> list[tuple[int, int]]:
    """Channels and stride of each of the features; InvalidArgument where they are missing or not a pyramid."""
    if not in_features or (missing := [f for f in in_features if f not in shapes]):
        found = ", ".join(missing) if in_features else "empty"
        raise InvalidArgument(f"MODEL.FPN.IN_FEATURES: {found}; the backbone gives: {', '.join(shapes)}")
    levels = [(shapes[f].channels, shapes[f].stride or 0) for f in in_features]
    strides = [stride for _, stride in levels]
    if strides != [strides[0] << i for i in range(len(strides))] or strides[0] & (strides[0] - 1):
        raise InvalidArgument(f"MODEL.FPN.IN_FEATURES: strides must be powers of two that double, got {strides}")
    return levels


@BACKBONES.register()
def build_resnet_fpn_backbone(cfg: Config, input_shape: ShapeSpec) -> FPN:
    """ResNet with p2 to p6."""
    node = cfg.MODEL.FPN
    bottom_up = build_resnet_backbone(cfg, input_shape)
    return FPN(bottom_up, node.IN_FEATURES, node.OUT_CHANNELS, node.NORM, LastLevelMaxPool(), node.FUSE_TYPE)


@BACKBONES.register()
def build_retinanet_resnet_fpn_backbone(cfg: Config, input_shape: ShapeSpec) -> FPN:
    """ResNet with p3 to p7; p6 and p7 come from res5."""
    return _with_p6_and_p7(cfg, input_shape, "res5")


@BACKBONES.register()
def build_fcos_resnet_fpn_backbone(cfg: Config, input_shape: ShapeSpec) -> FPN:
    """ResNet with p3 to p7; p6 and p7 come from p5."""
    return _with_p6_and_p7(cfg, input_shape, "p5")


def _with_p6_and_p7(cfg: Config, input_shape: ShapeSpec, source: str) -> FPN:
    node = cfg.MODEL.FPN
    bottom_up = build_resnet_backbone(cfg, input_shape)
    shapes = bottom_up.output_shape()
    if "res5" not in shapes:
        raise InvalidArgument(f"MODEL.RESNETS.OUT_FEATURES must have res5 for p6 and p7, got {', '.join(shapes)}")
    channels = shapes["res5"].channels if source == "res5" else node.OUT_CHANNELS
    top = LastLevelP6P7(channels, node.OUT_CHANNELS, source)
    return FPN(bottom_up, node.IN_FEATURES, node.OUT_CHANNELS, node.NORM, top, node.FUSE_TYPE)
