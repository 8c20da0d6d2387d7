"""ResNet and ResNeXt: the backbone of all models, and the head of those that pool from res4.

Source: He et al., Deep Residual Learning, section 4.1 with table 1; Xie et al., Aggregated Residual Transformations,
section 3; detectron2/modeling/backbone/resnet.py.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from torch import Tensor, nn
from torch.nn import functional

from d2deploy.config import Config
from d2deploy.errors import InvalidArgument
from d2deploy.modeling.deform_conv import DeformConv
from d2deploy.modeling.layers import Conv2d, ShapeSpec, get_norm
from d2deploy.modeling.registry import BACKBONES

__all__ = [
    "BasicBlock",
    "BasicStem",
    "BottleneckBlock",
    "DeformBottleneckBlock",
    "ResNet",
    "build_resnet_backbone",
    "res5_head",
]

BLOCKS = {18: (2, 2, 2, 2), 34: (3, 4, 6, 3), 50: (3, 4, 6, 3), 101: (3, 4, 23, 3), 152: (3, 8, 36, 3)}
SHALLOW = (18, 34)
STAGES = ("res2", "res3", "res4", "res5")


def conv_norm(in_channels: int, out_channels: int, kernel: int, norm: str, **kwargs: Any) -> Conv2d:
    """Convolution that keeps the size at stride 1, without bias, with a norm."""
    padding = kwargs.get("dilation", 1) * (kernel // 2)
    return Conv2d(
        in_channels, out_channels, kernel, padding=padding, bias=False, norm=get_norm(norm, out_channels), **kwargs
    )


class BasicStem(nn.Module):
    """From the image (N, C, H, W) to stride 4: a 7x7 convolution and a max pooling, each of stride 2."""

    stride = 4

    def __init__(self, in_channels: int, out_channels: int, norm: str) -> None:
        super().__init__()
        self.out_channels = out_channels
        self.conv1 = conv_norm(in_channels, out_channels, 7, norm, stride=2)

    def forward(self, x: Tensor) -> Tensor:
        return functional.max_pool2d(functional.relu(self.conv1(x)), kernel_size=3, stride=2, padding=1)


class Block(nn.Module):
    """Base of residual blocks: relu(branch(x) + shortcut(x)), with a convolution as shortcut where channels change."""

    shortcut: Conv2d | None

    def __init__(self, in_channels: int, out_channels: int, stride: int, norm: str) -> None:
        super().__init__()
        self.out_channels = out_channels
        self.stride = stride
        self.shortcut = None
        if in_channels != out_channels:
            self.shortcut = conv_norm(in_channels, out_channels, 1, norm, stride=stride)

    def branch(self, x: Tensor) -> Tensor:
        raise NotImplementedError

    def forward(self, x: Tensor) -> Tensor:
        shortcut = x if self.shortcut is None else self.shortcut(x)
        return functional.relu(self.branch(x) + shortcut)


class BasicBlock(Block):
    """Two 3x3 convolutions, as in ResNet-18 and 34."""

    def __init__(self, in_channels: int, out_channels: int, *, stride: int = 1, norm: str = "BN") -> None:
        super().__init__(in_channels, out_channels, stride, norm)
        self.conv1 = conv_norm(in_channels, out_channels, 3, norm, stride=stride)
        self.conv2 = conv_norm(out_channels, out_channels, 3, norm)

    def branch(self, x: Tensor) -> Tensor:
        out: Tensor = self.conv2(functional.relu(self.conv1(x)))
        return out


class BottleneckBlock(Block):
    """1x1, 3x3 (grouped in ResNeXt), 1x1; the stride is in the first or in the second one."""

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        *,
        bottleneck_channels: int,
        stride: int = 1,
        num_groups: int = 1,
        norm: str = "BN",
        stride_in_1x1: bool = False,
        dilation: int = 1,
    ) -> None:
        super().__init__(in_channels, out_channels, stride, norm)
        first, second = (stride, 1) if stride_in_1x1 else (1, stride)
        width = bottleneck_channels
        self.conv1 = conv_norm(in_channels, width, 1, norm, stride=first)
        self.conv2: Any = conv_norm(width, width, 3, norm, stride=second, groups=num_groups, dilation=dilation)
        self.conv3 = conv_norm(width, out_channels, 1, norm)

    def branch(self, x: Tensor) -> Tensor:
        out: Tensor = self.conv3(functional.relu(self.middle(functional.relu(self.conv1(x)))))
        return out

    def middle(self, x: Tensor) -> Tensor:
        out: Tensor = self.conv2(x)
        return out


class DeformBottleneckBlock(BottleneckBlock):
    """A bottleneck block whose 3x3 convolution is deformable; another convolution finds its offsets and, where it is
    modulated, weights."""

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        *,
        bottleneck_channels: int,
        stride: int = 1,
        num_groups: int = 1,
        norm: str = "BN",
        stride_in_1x1: bool = False,
        dilation: int = 1,
        deform_modulated: bool = False,
        deform_num_groups: int = 1,
    ) -> None:
        super().__init__(
            in_channels,
            out_channels,
            bottleneck_channels=bottleneck_channels,
            stride=stride,
            num_groups=num_groups,
            norm=norm,
            stride_in_1x1=stride_in_1x1,
            dilation=dilation,
        )
        width, place = bottleneck_channels, dict[str, Any](stride=1 if stride_in_1x1 else stride, padding=dilation)
        self.weights = 9 * deform_num_groups if deform_modulated else 0  # channels of conv2_offset behind the offsets
        self.offsets = 18 * deform_num_groups
        self.conv2_offset = Conv2d(width, self.offsets + self.weights, 3, dilation=dilation, **place)
        self.conv2 = DeformConv(
            width, width, 3, dilation=dilation, groups=num_groups, norm=get_norm(norm, width), **place
        )
        for parameter in self.conv2_offset.parameters():
            nn.init.zeros_(parameter)

    def middle(self, x: Tensor) -> Tensor:
        found = self.conv2_offset(x)
        if not self.weights:
            out: Tensor = self.conv2(x, found)
        else:
            offset, mask = found.split([self.offsets, self.weights], 1)
            out = self.conv2(x, offset, mask.sigmoid())
        return out


def make_stage(block: type[Block], count: int, stride: int, in_channels: int, out: int, **kwargs: Any) -> nn.Sequential:
    """Blocks of one resolution; the first one has the stride."""
    blocks = []
    for index in range(count):
        blocks.append(block(out if index else in_channels, out, stride=1 if index else stride, **kwargs))
    return nn.Sequential(*blocks)


class ResNet(nn.Module):
    """Stem and stages res2 to res5.

    Args:
        stem: module with `out_channels` and `stride`.
        stages: stages in order, each a Sequential of blocks with `out_channels` and `stride`.
        out_features: names among stem, res2, ..., res5 that `forward` gives; later stages are left out.

    Raises:
        InvalidArgument: an output is not one of those.
    """

    size_divisibility = 0

    def __init__(self, stem: BasicStem, stages: Sequence[nn.Sequential], out_features: Sequence[str]) -> None:
        super().__init__()
        names = STAGES[: len(stages)]
        if not out_features or (wrong := [f for f in out_features if f not in ("stem", *names)]):
            found = ", ".join(wrong) if out_features else "empty"
            raise InvalidArgument(f"MODEL.RESNETS.OUT_FEATURES is {found}; possible: stem, {', '.join(names)}")
        self.stem = stem
        self.out_features = tuple(out_features)
        self.stage_names = names[: max((names.index(f) + 1 for f in out_features if f in names), default=0)]
        stride = stem.stride
        self._shapes = {"stem": ShapeSpec(stem.out_channels, stride=stride)}
        for name, stage in zip(self.stage_names, stages):
            self.add_module(name, stage)
            blocks: list[Any] = list(stage)
            for block in blocks:
                stride *= block.stride
            self._shapes[name] = ShapeSpec(blocks[-1].out_channels, stride=stride)

    def output_shape(self) -> dict[str, ShapeSpec]:
        """Channels and stride of each output."""
        return {name: self._shapes[name] for name in self.out_features}

    def forward(self, x: Tensor) -> dict[str, Tensor]:
        """Maps (N, C, H, W) to the outputs by name, each (N, channels, H / stride, W / stride), rounded up."""
        outputs = {"stem": self.stem(x)}
        x = outputs["stem"]
        for name in self.stage_names:
            x = outputs[name] = self.get_submodule(name)(x)
        return {name: outputs[name] for name in self.out_features}


def check_resnet(cfg: Config) -> None:
    """Raises InvalidArgument with all that is wrong in MODEL.RESNETS."""
    node = cfg.MODEL.RESNETS
    wrong = []
    if node.DEPTH not in BLOCKS:
        wrong.append(f"DEPTH is {node.DEPTH}, known: {', '.join(map(str, BLOCKS))}")
    if node.RES5_DILATION not in (1, 2):
        wrong.append(f"RES5_DILATION is {node.RES5_DILATION}, must be 1 or 2")
    if len(node.DEFORM_ON_PER_STAGE) != len(STAGES):
        wrong.append(
            f"DEFORM_ON_PER_STAGE is {list(node.DEFORM_ON_PER_STAGE)}, must say True or False for res2 to res5"
        )
    elif node.DEPTH in SHALLOW and any(node.DEFORM_ON_PER_STAGE):
        wrong.append(
            f"DEFORM_ON_PER_STAGE is {list(node.DEFORM_ON_PER_STAGE)}, must be False where DEPTH is {node.DEPTH}"
        )
    if node.DEFORM_NUM_GROUPS < 1:
        wrong.append(f"DEFORM_NUM_GROUPS is {node.DEFORM_NUM_GROUPS}, must be positive")
    if node.DEPTH in SHALLOW:
        for name, value in (("RES2_OUT_CHANNELS", 64), ("RES5_DILATION", 1), ("NUM_GROUPS", 1)):
            if node[name] != value:
                wrong.append(f"{name} is {node[name]}, must be {value} where DEPTH is {node.DEPTH}")
    if wrong:
        raise InvalidArgument("".join(f"MODEL.RESNETS.{fault}\n" for fault in wrong).rstrip())


@BACKBONES.register()
def build_resnet_backbone(cfg: Config, input_shape: ShapeSpec) -> ResNet:
    """ResNet or ResNeXt as MODEL.RESNETS says."""
    check_resnet(cfg)
    node = cfg.MODEL.RESNETS
    stem = BasicStem(input_shape.channels, node.STEM_OUT_CHANNELS, node.NORM)
    stages = []
    channels = node.STEM_OUT_CHANNELS
    for index, count in enumerate(BLOCKS[node.DEPTH]):
        dilation = node.RES5_DILATION if index == 3 else 1
        stride = 1 if index == 0 or dilation == 2 else 2
        out = node.RES2_OUT_CHANNELS * 2**index
        if node.DEPTH in SHALLOW:
            stage = make_stage(BasicBlock, count, stride, channels, out, norm=node.NORM)
        else:
            kind, extra = BottleneckBlock, bottleneck(cfg, 2**index)
            if node.DEFORM_ON_PER_STAGE[index]:
                kind = DeformBottleneckBlock
                extra |= {"deform_modulated": node.DEFORM_MODULATED, "deform_num_groups": node.DEFORM_NUM_GROUPS}
            stage = make_stage(kind, count, stride, channels, out, dilation=dilation, **extra)
        stages.append(stage)
        channels = out
    return ResNet(stem, stages, node.OUT_FEATURES)


def bottleneck(cfg: Config, factor: int) -> dict[str, Any]:
    """What all bottleneck blocks of a stage share; `factor` is 1 for res2 and doubles with each stage."""
    node = cfg.MODEL.RESNETS
    return {
        "bottleneck_channels": node.NUM_GROUPS * node.WIDTH_PER_GROUP * factor,
        "num_groups": node.NUM_GROUPS,
        "norm": node.NORM,
        "stride_in_1x1": node.STRIDE_IN_1X1,
    }


def res5_head(cfg: Config) -> tuple[nn.Sequential, int]:
    """The stage res5 that Res5ROIHeads apply to pooled res4 features, always three blocks; with its output channels.

    Raises:
        InvalidArgument: it is to be deformable, which Detectron2 refuses, too.
    """
    check_resnet(cfg)
    if cfg.MODEL.RESNETS.DEFORM_ON_PER_STAGE[3]:
        raise InvalidArgument(
            "MODEL.RESNETS.DEFORM_ON_PER_STAGE is True for res5, which cannot be deformable as a head of Res5ROIHeads"
        )
    out = cfg.MODEL.RESNETS.RES2_OUT_CHANNELS * 8
    return make_stage(BottleneckBlock, 3, 2, out // 2, out, **bottleneck(cfg, 8)), out
