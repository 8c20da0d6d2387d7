"""ResNet, FPN and the norms: names, shapes, strides, refusals; equal to a second formulation."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from small_models import small_config

from d2deploy.errors import InvalidArgument
from d2deploy.modeling import BACKBONES, ShapeSpec, build_model
from d2deploy.modeling.layers import Conv2d, FrozenBatchNorm2d, get_norm


def backbone(*overrides: Any, name: str = "build_resnet_fpn_backbone") -> Any:
    cfg = small_config("mask_fpn", *overrides)
    return BACKBONES.build(name, cfg, ShapeSpec(3)).eval()


def test_frozen_norm_is_the_formula() -> None:
    norm = FrozenBatchNorm2d(2)
    norm.load_state_dict(
        {
            "weight": torch.tensor([2.0, 3.0]),
            "bias": torch.tensor([1.0, 0.0]),
            "running_mean": torch.tensor([0.5, -1.0]),
            "running_var": torch.tensor([4.0, 0.25]),
        }
    )
    x = torch.tensor([1.5, 1.0]).view(1, 2, 1, 1)
    torch.testing.assert_close(norm(x).flatten(), torch.tensor([2.0, 12.0]), atol=1e-3, rtol=0)
    assert not list(norm.parameters())


@pytest.mark.parametrize("name", ["BN", "SyncBN", "FrozenBN", "GN", "LN", ""])
def test_norms_run_on_the_cpu_and_have_the_names_of_checkpoints(name: str) -> None:
    conv = Conv2d(3, 32, 1, bias=False, norm=get_norm(name, 32)).eval()
    affine = {"weight", "norm.weight", "norm.bias"}
    statistics = {"norm.running_mean", "norm.running_var"}
    expected = {
        "": {"weight"},
        "GN": affine,
        "LN": affine,
        "FrozenBN": affine | statistics,
    }.get(name, affine | statistics | {"norm.num_batches_tracked"})
    assert set(conv.state_dict()) == expected
    assert conv(torch.zeros(1, 3, 2, 2)).shape == (1, 32, 2, 2)


def test_unknown_norms_are_refused() -> None:
    with pytest.raises(InvalidArgument, match="norm IN is not known; known: FrozenBN, GN, LN, BN"):
        get_norm("IN", 32)
    with pytest.raises(InvalidArgument, match="norm GN: 48 channels cannot be split into 32 groups; use BN"):
        get_norm("GN", 48)


def test_layer_norm_by_hand() -> None:
    """Channels 1 and 3 of a cell: mean 2, variance 1."""
    norm = get_norm("LN", 2)
    assert norm is not None
    norm.load_state_dict({"weight": torch.tensor([2.0, 3.0]), "bias": torch.tensor([10.0, 20.0])})
    x = torch.tensor([1.0, 3.0]).view(1, 2, 1, 1)
    torch.testing.assert_close(norm(x).flatten(), torch.tensor([8.0, 23.0]), atol=1e-4, rtol=0)


@pytest.mark.parametrize(
    ("depth", "convolutions", "last"),
    [(18, 20, "res5.1.conv2"), (34, 36, "res5.2.conv2"), (50, 53, "res5.2.conv3"), (101, 104, "res5.2.conv3")],
)
def test_depths(depth: int, convolutions: int, last: str) -> None:
    stem = 64 if depth < 50 else 32  # res2 has a shortcut in the deep ones alone, as at full width
    keys = ["MODEL.RESNETS.DEPTH", depth, "MODEL.RESNETS.NORM", "", "MODEL.RESNETS.STEM_OUT_CHANNELS", stem]
    model = backbone(*keys, name="build_resnet_backbone")
    names = [name.removesuffix(".weight") for name in model.state_dict()]
    # He et al. count the classifier instead of the shortcuts: 3 of them without bottlenecks, 4 with.
    assert len(names) == convolutions
    assert last in names
    assert "res5.0.shortcut" in names


@pytest.mark.parametrize(("dilation", "stride"), [(1, 32), (2, 16)])
def test_strides(dilation: int, stride: int) -> None:
    model = backbone("MODEL.RESNETS.RES5_DILATION", dilation, name="build_resnet_backbone")
    outputs = model(torch.zeros(1, 3, 64, 96))
    shapes = model.output_shape()
    assert {name: shape.stride for name, shape in shapes.items()} == {"res2": 4, "res3": 8, "res4": 16, "res5": stride}
    for name, shape in shapes.items():
        assert outputs[name].shape == (1, shape.channels, 64 // shape.stride, 96 // shape.stride)
    assert [shape.channels for shape in shapes.values()] == [64, 128, 256, 512]


def test_stages_after_the_last_output_are_left_out() -> None:
    model = backbone("MODEL.RESNETS.OUT_FEATURES", ["stem", "res3"], name="build_resnet_backbone")
    assert list(model(torch.zeros(1, 3, 32, 32))) == ["stem", "res3"]
    assert not any(name.startswith("res4") for name in model.state_dict())


@pytest.mark.parametrize("stride_in_1x1", [True, False])
def test_where_the_stride_is_and_the_groups(stride_in_1x1: bool) -> None:
    keys = ["MODEL.RESNETS.STRIDE_IN_1X1", stride_in_1x1, "MODEL.RESNETS.NUM_GROUPS", 4]
    block = backbone(*keys, name="build_resnet_backbone").res3[0]
    assert (block.conv1.stride[0], block.conv2.stride[0]) == ((2, 1) if stride_in_1x1 else (1, 2))
    assert block.conv2.groups == 4
    assert block.conv2.weight.shape == (256, 64, 3, 3)


@pytest.mark.parametrize("fuse", ["sum", "avg"])
def test_pyramid(fuse: str) -> None:
    model = backbone("MODEL.FPN.FUSE_TYPE", fuse)
    x = torch.randn(2, 3, 64, 96, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        outputs = model(x)
        below = model.bottom_up(x)
        coarse = model.fpn_lateral5(below["res5"])
        fine = model.fpn_lateral4(below["res4"]) + coarse.repeat_interleave(2, 2).repeat_interleave(2, 3)
        expected = model.fpn_output4(fine / 2 if fuse == "avg" else fine)
    torch.testing.assert_close(outputs["p4"], expected)
    torch.testing.assert_close(outputs["p6"], outputs["p5"][:, :, ::2, ::2])
    assert {name: 64 // x.shape[2] for name, x in outputs.items()} == {f"p{k}": 2**k for k in range(2, 7)}
    assert model.size_divisibility == 32


def test_pyramid_of_retinanet() -> None:
    keys = ["MODEL.FPN.IN_FEATURES", ["res3", "res4", "res5"]]
    model = backbone(*keys, name="build_retinanet_resnet_fpn_backbone")
    outputs = model(torch.zeros(1, 3, 128, 128))
    assert {name: 128 // x.shape[2] for name, x in outputs.items()} == {f"p{k}": 2**k for k in range(3, 8)}
    assert model.top_block.p6.weight.shape == (32, 512, 3, 3)


@pytest.mark.parametrize(
    ("overrides", "message"),
    [
        (["MODEL.RESNETS.DEPTH", 42], "MODEL.RESNETS.DEPTH is 42, known: 18, 34, 50, 101, 152"),
        (
            ["MODEL.RESNETS.DEPTH", 18, "MODEL.RESNETS.NUM_GROUPS", 2, "MODEL.RESNETS.RES2_OUT_CHANNELS", 32],
            "RES2_OUT_CHANNELS is 32, must be 64 where DEPTH is 18\nMODEL.RESNETS.NUM_GROUPS is 2, must be 1",
        ),
        (["MODEL.RESNETS.RES5_DILATION", 3], "RES5_DILATION is 3, must be 1 or 2"),
        (["MODEL.RESNETS.OUT_FEATURES", ["res6"]], "OUT_FEATURES is res6; possible: stem, res2, res3, res4, res5"),
        (["MODEL.RESNETS.OUT_FEATURES", []], "OUT_FEATURES is empty"),
        (["MODEL.FPN.FUSE_TYPE", "max"], "MODEL.FPN.FUSE_TYPE is max, must be sum or avg"),
        (["MODEL.FPN.IN_FEATURES", ["res2", "res9"]], "MODEL.FPN.IN_FEATURES: res9; the backbone gives: res2, res3"),
        (["MODEL.FPN.IN_FEATURES", ["res2", "res4"]], r"powers of two that double, got \[4, 16\]"),
    ],
)
def test_what_is_refused(overrides: list[Any], message: str) -> None:
    with pytest.raises(InvalidArgument, match=message):
        build_model(small_config("mask_fpn", *overrides))


def test_retinanet_needs_res5() -> None:
    keys = ["MODEL.RESNETS.OUT_FEATURES", ["res3", "res4"], "MODEL.FPN.IN_FEATURES", ["res3", "res4"]]
    with pytest.raises(InvalidArgument, match="OUT_FEATURES must have res5 for p6 and p7, got res3, res4"):
        build_model(small_config("retinanet", *keys))
