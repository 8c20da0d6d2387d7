"""Deformable convolution in PyTorch: worked values, the float64 oracle, laws; the blocks that are made of it."""

from __future__ import annotations

from typing import Any

import numpy as np
import onnx_ir
import pytest
import torch
from onnx.reference import ReferenceEvaluator
from oracles.arguments import Arguments
from oracles.deform import deform_conv as oracle
from small_models import small_config
from torch import Tensor, nn

from d2deploy.errors import InvalidArgument
from d2deploy.export.tracing import to_onnx
from d2deploy.modeling import BACKBONES, DeformConv, ShapeSpec
from d2deploy.modeling.deform_conv import deform_conv
from d2deploy.modeling.resnet import DeformBottleneckBlock, res5_head
from d2deploy.padding import Padding


def ramp() -> Tensor:
    return torch.arange(4.0).view(1, 1, 2, 2)


def test_worked_values() -> None:
    """Half a cell down and right: the last row and column fade to the zeros around."""
    half = torch.full((1, 2, 2, 2), 0.5)
    found = deform_conv(ramp(), half, torch.ones(1, 1, 1, 1))
    assert found.flatten().tolist() == [1.5, 1.0, 1.25, 0.75]
    found = deform_conv(
        ramp(), -half, torch.full((1, 1, 1, 1), 2.0), torch.ones(1), torch.tensor([[[[1, 1], [0, -1]]]])
    )
    assert found.flatten().tolist() == [1.0, 1.5, 1.0, -2.0]
    down = torch.tensor([1.0, 0.0]).view(1, 2, 1, 1).expand(1, 2, 2, 2)  # dy comes first
    assert deform_conv(ramp(), down, torch.ones(1, 1, 1, 1)).flatten().tolist() == [2.0, 3.0, 0.0, 0.0]


def test_places_that_are_none_count_nothing() -> None:
    offset = torch.tensor([[torch.nan, 0.0, torch.inf, -1e30], [0.0, torch.nan, 0.0, 0.0]]).view(1, 2, 2, 2)
    assert deform_conv(ramp() + 1, offset, torch.ones(1, 1, 1, 1)).flatten().tolist() == [0.0] * 4


@pytest.mark.parametrize("masked", [False, True], ids=["v1", "v2"])
@pytest.mark.parametrize(("groups", "parts", "stride", "dilation"), [(1, 1, 1, 1), (2, 3, 2, 1), (3, 2, 1, 2)])
def test_equals_the_oracle(masked: bool, groups: int, parts: int, stride: int, dilation: int) -> None:
    random = torch.Generator().manual_seed(groups)
    x, weight = torch.randn(2, 12, 9, 11, generator=random), torch.randn(6, 12 // groups, 3, 3, generator=random)
    out = nn.functional.conv2d(x, weight, None, stride, 1, dilation, groups).shape[2:]
    offset = torch.randn(2, 18 * parts, *out, generator=random) * 3
    bias, mask = torch.randn(6, generator=random), torch.rand(2, 9 * parts, *out, generator=random)
    window: dict[str, Any] = {"kernel": 3, "stride": stride, "pad": 1, "dilation": dilation, "group": groups}
    inputs = [x, offset, weight, bias, *([mask] if masked else [])]
    arguments = Arguments({**window, "deformable_group": parts, "zero_border": 1})
    wanted = oracle(arguments, [value.numpy() for value in inputs])[0]
    found = deform_conv(*inputs, stride=stride, padding=1, dilation=dilation, groups=groups)
    np.testing.assert_allclose(found, wanted, atol=1e-5)


def test_without_offsets_it_is_a_convolution() -> None:
    torch.manual_seed(0)
    x, weight, bias = torch.randn(1, 4, 6, 7), torch.randn(8, 2, 3, 2), torch.randn(8)
    wanted = nn.functional.conv2d(x, weight, bias, (2, 1), (1, 0), (1, 2), 2)
    zeros = torch.zeros(1, 12, *wanted.shape[2:])
    found = deform_conv(x, zeros, weight, bias, stride=(2, 1), padding=(1, 0), dilation=(1, 2), groups=2)
    torch.testing.assert_close(found, wanted)


def test_a_whole_offset_moves_the_picture() -> None:
    torch.manual_seed(0)
    x, weight = torch.randn(1, 3, 8, 8), torch.randn(2, 3, 3, 3)
    offset = torch.cat([torch.full((1, 1, 8, 8), 1.0), torch.full((1, 1, 8, 8), -2.0)], 1).repeat(1, 9, 1, 1)
    moved = nn.functional.pad(x, (2, -2, -1, 1))
    torch.testing.assert_close(
        deform_conv(x, offset, weight, padding=1)[..., 1:-1, 3:-1],
        nn.functional.conv2d(moved, weight, padding=1)[..., 1:-1, 3:-1],
    )


def test_channels_that_do_not_fall_into_groups_are_refused() -> None:
    x, weight = torch.zeros(1, 4, 3, 3), torch.zeros(2, 4, 3, 3)
    for channels in (0, 9, 54):
        with pytest.raises(InvalidArgument, match=f"offset has {channels} channels, wanted 18 for each deformable"):
            deform_conv(x, torch.zeros(1, channels, 1, 1), weight)
    with pytest.raises(InvalidArgument, match="4 or 6 channels do not fall into 4 groups"):
        DeformConv(4, 6, 3, groups=4)


def backbone(*overrides: Any) -> Any:
    cfg = small_config("mask_fpn_dconv", *overrides)
    return BACKBONES.build("build_resnet_backbone", cfg, ShapeSpec(3)).eval()


def test_names_of_checkpoints() -> None:
    """Those of detectron2/modeling/backbone/resnet.py; the offsets' channels are 18 or 27 per deformable group."""
    state = backbone("MODEL.RESNETS.NORM", "BN").state_dict()
    names = {name.removeprefix("res3.1.") for name in state if name.startswith("res3.1.conv2")}
    norm = {f"conv2.norm.{part}" for part in ("weight", "bias", "running_mean", "running_var", "num_batches_tracked")}
    assert names == {"conv2.weight", "conv2_offset.weight", "conv2_offset.bias"} | norm
    assert "res2.0.conv2_offset.weight" not in state
    assert state["res4.0.conv2_offset.weight"].shape == (18, 128, 3, 3)
    modulated = backbone("MODEL.RESNETS.DEFORM_MODULATED", True, "MODEL.RESNETS.DEFORM_NUM_GROUPS", 2).state_dict()
    assert modulated["res5.2.conv2_offset.bias"].shape == (54,)


@pytest.mark.parametrize("modulated", [False, True])
def test_a_new_block_is_a_plain_one(modulated: bool) -> None:
    """Offsets start at 0, weights at a half."""
    torch.manual_seed(0)
    block = DeformBottleneckBlock(8, 8, bottleneck_channels=4, norm="", deform_modulated=modulated).eval()
    x = torch.randn(1, 8, 6, 7)
    middle = torch.relu(nn.functional.conv2d(torch.relu(block.conv1(x)), block.conv2.weight, padding=1))
    wanted = torch.relu(block.conv3(middle * (0.5 if modulated else 1)) + x)
    torch.testing.assert_close(block(x), wanted)


def test_what_cannot_be_deformable_is_refused() -> None:
    with pytest.raises(
        InvalidArgument, match=r"DEFORM_ON_PER_STAGE is \[False, True, True, True\], must be False where"
    ):
        backbone("MODEL.RESNETS.DEPTH", 18, "MODEL.RESNETS.RES2_OUT_CHANNELS", 64)
    with pytest.raises(
        InvalidArgument, match=r"DEFORM_ON_PER_STAGE is \[True\], must say True or False for res2 to res5"
    ):
        backbone("MODEL.RESNETS.DEFORM_ON_PER_STAGE", [True])
    with pytest.raises(InvalidArgument, match="DEFORM_NUM_GROUPS is 0, must be positive"):
        backbone("MODEL.RESNETS.DEFORM_NUM_GROUPS", 0)
    with pytest.raises(InvalidArgument, match="which cannot be deformable as a head of Res5ROIHeads"):
        res5_head(small_config("mask_c4", "MODEL.RESNETS.DEFORM_ON_PER_STAGE", [False, False, False, True]))


class Layers(nn.Module):
    """One with a norm, behind which it is used again with weights; no bias, and one."""

    def __init__(self) -> None:
        super().__init__()
        self.find = nn.Conv2d(3, 27, 3, padding=1)
        self.first = DeformConv(3, 4, 3, padding=1, norm=nn.BatchNorm2d(4))
        self.second = DeformConv(4, 2, 3, stride=2, padding=1, bias=True)
        for i, (name, tensor) in enumerate(self.first.state_dict().items()):
            if name.startswith("norm") and tensor.is_floating_point():
                tensor += i / 10

    def forward(self, data: Tensor, im_info: Tensor) -> tuple[Tensor]:
        offset, mask = self.find(data).split([18, 9], 1)
        x = self.first(data, offset * 3, mask.sigmoid())
        return (self.second(x, offset[:, :, ::2, ::2]),)


@pytest.mark.parametrize("standard", [False, True], ids=["caffe2", "standard"])
def test_traced(standard: bool) -> None:
    """Norms become part of the filters. With ONNX's own operator, its reference computes the same."""
    torch.manual_seed(0)
    module = Layers().eval()
    inputs: dict[str, Tensor] = {"data": torch.rand(1, 3, 64, 66), "im_info": torch.zeros(1, 3)}
    model = onnx_ir.to_proto(to_onnx(module, inputs, ["y"], Padding(2), standard))
    assert {node.op_type for node in model.graph.node} == {"Conv", "DeformConv", "Mul", "Sigmoid", "Slice", "Split"}
    assert {node.domain for node in model.graph.node if node.op_type == "DeformConv"} == {
        "" if standard else "org.pytorch._caffe2"
    }
    if standard:
        inputs["data"] = inputs["data"][:, :, :6, :8]  # the reference is slow
        found: Any = ReferenceEvaluator(model).run(None, {name: tensor.numpy() for name, tensor in inputs.items()})
        with torch.no_grad():
            np.testing.assert_allclose(found[0], module(inputs["data"], inputs["im_info"])[0], atol=1e-5)
