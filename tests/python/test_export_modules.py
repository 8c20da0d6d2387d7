"""PyTorch's modules and functions: what the written files compute equals what PyTorch computes, at any size.

All of them are traced together, since every conversion costs seconds; each then is a test of its own.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional

from d2deploy.errors import Unsupported
from d2deploy.export.netdef import NetWriter
from d2deploy.export.tracing import to_onnx
from d2deploy.export.translations import TRANSLATIONS
from d2deploy.padding import Padding

if TYPE_CHECKING:
    from d2deploy import runtime
else:
    pytest.importorskip("d2deploy._ext", reason="not built: cmake --preset dev && cmake --build --preset dev")
    from d2deploy import runtime


class Call(nn.Module):
    """A function as a module."""

    def __init__(self, function: Callable[[Tensor], Tensor]) -> None:
        super().__init__()
        self.function = function

    def forward(self, x: Tensor) -> Tensor:
        return self.function(x)


class Twice(nn.Module):
    """A layer that is used twice, as the last stage of a C4 model is."""

    def __init__(self, layer: nn.Module) -> None:
        super().__init__()
        self.layer = layer

    def forward(self, x: Tensor) -> Tensor:
        return torch.cat([self.layer(x), self.layer(x * 0.5)], dim=1)


class SharedConvolution(nn.Module):
    """One convolution before several normalisations, as in RetinaNet's head with BN."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(4, 4, 3, padding=1)
        self.norms = nn.ModuleList([nn.BatchNorm2d(4), nn.BatchNorm2d(4)])

    def forward(self, x: Tensor) -> Tensor:
        return torch.cat([norm(self.conv(x * (i + 2))) for i, norm in enumerate(self.norms)], dim=1)


class Gate(nn.Module):
    """Squeeze and excitation."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(4, 4, 1)

    def forward(self, x: Tensor) -> Tensor:
        return x * torch.sigmoid(self.conv(functional.adaptive_avg_pool2d(x, 1)))


class Shuffle(nn.Module):
    """Channels of two groups in turn, as ShuffleNet has it."""

    def forward(self, x: Tensor) -> Tensor:
        n, c, h, w = x.shape
        return x.view(n, 2, c // 2, h, w).transpose(1, 2).contiguous().view(n, -1, h, w)


class Windows(nn.Module):
    """Windows of 3 x 2 cells, as window attention takes them; one row of channels per cell."""

    def forward(self, x: Tensor) -> Tensor:
        x = functional.interpolate(x, scale_factor=6, mode="nearest")
        n, c, h, w = x.shape
        return x.view(n, c, h // 3, 3, w // 2, 2).permute(0, 2, 4, 3, 5, 1).reshape(-1, 6, c)


class GeneralisedMean(nn.Module):
    """GeM pooling: a mean of powers, with an exponent that is learnt."""

    def __init__(self, *shape: int) -> None:
        super().__init__()
        self.p = nn.Parameter(torch.full(shape, 3.0))

    def forward(self, x: Tensor) -> Tensor:
        return functional.adaptive_avg_pool2d(x.clamp(min=1e-6).pow(self.p), 1).pow(1.0 / self.p)


class LayerNormOfChannels(nn.Module):
    """LayerNorm over the channels of a map; as a layer, or by the formula of Detectron2's LN."""

    def __init__(self, formula: bool, affine: bool = True) -> None:
        super().__init__()
        self.formula = formula
        self.norm = nn.LayerNorm(4, eps=1e-3, elementwise_affine=affine)

    def forward(self, x: Tensor) -> Tensor:
        if not self.formula:
            y: Tensor = self.norm(x.permute(0, 2, 3, 1)).permute(0, 3, 1, 2)
            return y
        u = x.mean(1, keepdim=True)
        s = (x - u).pow(2).mean(1, keepdim=True)
        x = (x - u) / torch.sqrt(s + 1e-3)
        return self.norm.weight[:, None, None] * x + self.norm.bias[:, None, None]


class Pyramid(nn.Module):
    """A smaller map, resized to the size of the larger one."""

    def __init__(self, mode: str, layer: nn.Module, **args: Any) -> None:
        super().__init__()
        self.layer, self.args = layer, {"mode": mode, **args}

    def forward(self, x: Tensor) -> Tensor:
        return x + functional.interpolate(self.layer(x), size=x.shape[2:], **self.args)


class GlobalResponseNorm(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        norms: Tensor = torch.norm(x, p=2, dim=(2, 3), keepdim=True)
        return x * (norms / (norms.mean(dim=1, keepdim=True) + 1e-6))


def attention(x: Tensor) -> Tensor:
    rows = x.flatten(2).transpose(1, 2)
    return functional.scaled_dot_product_attention(rows, rows * 2, rows + 1)


def pad(mode: str, *sides: int, value: float = 0.0) -> nn.Module:
    return Call(lambda x: functional.pad(x, sides, mode, value))


def resize(factor: float, mode: str) -> nn.Module:
    return Call(lambda x: functional.interpolate(x, scale_factor=factor, mode=mode))


def bilinear(factor: float | tuple[float, float], corners: bool = False) -> nn.Module:
    return Call(lambda x: functional.interpolate(x, scale_factor=factor, mode="bilinear", align_corners=corners))


# Name -> what maps (1, 4, H, W) to a tensor.
MODULES: dict[str, Callable[[], nn.Module]] = {
    "conv": lambda: nn.Conv2d(4, 6, 3, stride=2, padding=1),
    "conv_without_bias": lambda: nn.Conv2d(4, 6, (3, 1), bias=False),
    "conv_dilated": lambda: nn.Conv2d(4, 6, 3, padding=2, dilation=2, groups=2),
    "conv_depthwise": lambda: nn.Conv2d(4, 4, 3, padding="same", groups=4),
    "conv_bn": lambda: nn.Sequential(nn.Conv2d(4, 6, 3, bias=False), nn.BatchNorm2d(6)),
    "conv_bn_shared": lambda: Twice(nn.Sequential(nn.Conv2d(4, 6, 3), nn.BatchNorm2d(6), nn.ReLU())),
    "conv_shared_bn": SharedConvolution,
    "bn": lambda: nn.BatchNorm2d(4),
    "relu_bn": lambda: nn.Sequential(nn.ReLU(), nn.BatchNorm2d(4, eps=0.1)),
    "conv_transpose": lambda: nn.ConvTranspose2d(4, 6, 2, stride=2),
    "conv_transpose_grouped": lambda: nn.ConvTranspose2d(
        4, 6, (4, 3), stride=(3, 2), padding=1, output_padding=1, groups=2, bias=False
    ),
    "conv_transpose_bn": lambda: nn.Sequential(nn.ConvTranspose2d(4, 6, 4, stride=2, padding=1), nn.BatchNorm2d(6)),
    "group_norm": lambda: nn.GroupNorm(2, 4, eps=1e-3),
    "group_norm_plain": lambda: nn.GroupNorm(2, 4, affine=False),
    "instance_norm": lambda: nn.InstanceNorm2d(4, affine=True, eps=1e-3),
    "instance_norm_plain": lambda: nn.InstanceNorm2d(4),
    "max_pool": lambda: nn.MaxPool2d(3, 2, 1),
    "avg_pool": lambda: nn.AvgPool2d(3, 2, 1),
    "avg_pool_inside": lambda: nn.AvgPool2d((2, 3), (2, 1), (0, 1), count_include_pad=False),
    "global_pool": lambda: nn.AdaptiveAvgPool2d(1),
    "gate": Gate,
    "nearest_2": lambda: resize(2, "nearest"),
    "nearest_half": lambda: resize(0.5, "nearest"),
    "bilinear_2": lambda: bilinear(2),
    "bilinear_3": lambda: bilinear(3),
    "bilinear_4": lambda: bilinear(4),
    "bilinear_8": lambda: bilinear(8),
    "pad_constant": lambda: pad("constant", 1, 2, 0, 3, value=-1.5),
    "pad_edge": lambda: pad("replicate", 1, 2, 0, 3),
    "pad_reflect": lambda: pad("reflect", 1, 2, 1, 0),
    "linear": lambda: nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(4, 5)),
    "linear_without_bias": lambda: nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(4, 5, bias=False)),
    "linear_of_channels": lambda: nn.Sequential(Call(lambda x: x.permute(0, 2, 3, 1)), nn.Linear(4, 5)),
    "matrix_product": lambda: Call(lambda x: x @ x.transpose(2, 3)),
    "softmax": lambda: nn.Softmax(dim=-1),
    "relu": nn.ReLU,
    "gelu": nn.GELU,
    "gelu_tanh": lambda: nn.GELU("tanh"),
    "leaky_relu": lambda: nn.LeakyReLU(0.1),
    "prelu": lambda: nn.PReLU(4),
    "prelu_one": nn.PReLU,
    "elu": lambda: nn.ELU(0.7),
    "selu": nn.SELU,
    "celu": lambda: nn.CELU(0.5),
    "tanh": nn.Tanh,
    "softplus": nn.Softplus,
    "softplus_beta": lambda: nn.Softplus(beta=2.0),
    "mish": nn.Mish,
    "hardtanh": lambda: nn.Hardtanh(-0.3, 0.4),
    "softsign": nn.Softsign,
    "log_sigmoid": nn.LogSigmoid,
    "glu": lambda: nn.GLU(1),
    "tanhshrink": nn.Tanhshrink,
    "abs": lambda: Call(torch.abs),
    "log": lambda: Call(lambda x: (x + 2).log()),
    "erf": lambda: Call(torch.erf),
    "reciprocal": lambda: Call(lambda x: (x + 3).reciprocal() + torch.rsqrt(x + 2)),
    "maximum": lambda: Call(lambda x: torch.maximum(x, -2 * x) - torch.minimum(x, x.mean(dim=1, keepdim=True))),
    "softmax_of_channels": lambda: nn.Softmax2d(),
    "sum": lambda: Call(lambda x: x.sum(dim=1, keepdim=True) + x.sum()),
    "amax": lambda: Call(lambda x: x.amax(dim=(2, 3)) - x.amin(dim=(2, 3))),
    "norm": lambda: Call(lambda x: x / x.norm(dim=1, keepdim=True)),
    "normalize": lambda: Call(lambda x: functional.normalize(x, dim=1)),
    "global_response_norm": GlobalResponseNorm,
    "gem": lambda: GeneralisedMean(1),
    "gem_of_channels": lambda: GeneralisedMean(1, 4, 1, 1),
    "layer_norm": lambda: LayerNormOfChannels(formula=False),
    "layer_norm_plain": lambda: LayerNormOfChannels(formula=False, affine=False),
    "layer_norm_formula": lambda: LayerNormOfChannels(formula=True),
    "global_max_pool": lambda: nn.AdaptiveMaxPool2d(1),
    "adaptive_avg_pool": lambda: nn.AdaptiveAvgPool2d((3, 2)),
    "adaptive_max_pool": lambda: nn.AdaptiveMaxPool2d((2, 5)),
    "max_pool_ceil": lambda: nn.MaxPool2d(3, 2, ceil_mode=True),
    "max_pool_ceil_padded": lambda: nn.MaxPool2d(3, 2, 1, ceil_mode=True),
    "avg_pool_ceil": lambda: nn.AvgPool2d(2, 2, ceil_mode=True, count_include_pad=False),
    "channel_shuffle": lambda: nn.ChannelShuffle(2),
    "channel_shuffle_by_hand": Shuffle,
    "pixel_shuffle": lambda: nn.PixelShuffle(2),
    "pixel_unshuffle": lambda: nn.Sequential(nn.Upsample(scale_factor=2), nn.PixelUnshuffle(2)),
    "windows": Windows,
    "nearest_one_and_half": lambda: resize(1.5, "nearest"),
    "bilinear_one_and_half": lambda: bilinear(1.5),
    "bilinear_half": lambda: bilinear(0.5),
    "bilinear_2_3": lambda: bilinear((2.0, 3.0)),
    "bilinear_corners": lambda: bilinear(2, corners=True),
    "bilinear_size": lambda: Call(lambda x: functional.interpolate(x, size=(5, 8), mode="bilinear")),
    "pyramid_nearest": lambda: Pyramid("nearest", nn.MaxPool2d(3, 2, 1)),
    "pyramid_bilinear": lambda: Pyramid("bilinear", nn.AvgPool2d(2, 2), align_corners=False),
    "pyramid_corners": lambda: Pyramid("bilinear", nn.Conv2d(4, 4, 3, 2, 1), align_corners=True),
    "pooled_pyramid": lambda: Pyramid("bilinear", nn.AdaptiveAvgPool2d(2)),
    "sigmoid": nn.Sigmoid,
    "hardswish": nn.Hardswish,
    "hardsigmoid": nn.Hardsigmoid,
    "silu": nn.SiLU,
    "relu6": nn.ReLU6,
    "dropout": lambda: nn.Sequential(nn.ReLU(), nn.Dropout(0.5)),
    "clamp": lambda: Call(lambda x: x.clamp(min=-0.3)),
    "exp": lambda: Call(lambda x: x.exp()),
    "sqrt": lambda: Call(lambda x: (x * x + 1).sqrt()),
    "power": lambda: Call(lambda x: (x * x + 0.1) ** 1.5 + x**2),
    "negative": lambda: Call(lambda x: -x),
    "arithmetic": lambda: Call(lambda x: (3 - x) / (x * x + 2) + x / 4),
    "broadcast": lambda: Call(lambda x: x - x.mean(dim=1, keepdim=True)),
    "mean": lambda: Call(lambda x: x.mean(dim=[2, 3])),
    "slice": lambda: Call(lambda x: x[:, 1:3, 1:, :-2]),
    "slice_beyond": lambda: Call(lambda x: x[:, -9:, 2:]),
    "row": lambda: Call(lambda x: x[:, 2] + x[:, -1]),
    "split": lambda: Call(lambda x: torch.cat(torch.split(x, [1, 3], dim=1)[::-1], dim=1)),
    "chunk": lambda: Call(lambda x: x.chunk(2, dim=1)[0] - x.chunk(2, dim=1)[1]),
    "concat": lambda: Call(lambda x: torch.cat([x, x + 1, x], dim=2)),
    "transpose": lambda: Call(lambda x: x.permute(0, 2, 3, 1)),
    "flatten_pixels": lambda: Call(lambda x: x.flatten(2)),
    "reshape": lambda: Call(lambda x: x.reshape(1, 2, 2, -1)),
    "squeeze": lambda: Call(lambda x: x.squeeze(0).unsqueeze(-1)),
    "same": lambda: nn.Sequential(nn.ReLU(), nn.Identity()),
    "roll": lambda: Call(lambda x: torch.roll(x, (-2, 1), (2, 3)) + torch.roll(x, 1, 1)),
    "every_second_line": lambda: Call(
        lambda x: torch.cat([x[..., 1::2, :-1:][..., :2, :], x[:, :, ::2][:, :, :2, :-1]])
    ),
    "every_third_column": lambda: Call(lambda x: x[..., 2::3]),
    "conv_of_rows": lambda: nn.Sequential(nn.AdaptiveAvgPool2d((1, None)), nn.Flatten(2), nn.Conv1d(4, 6, 3, 2, 1)),
    "means_of_rows": lambda: Call(lambda x: x * functional.adaptive_avg_pool2d(x, (None, 1))),
    "mean_of_all": lambda: Call(lambda x: x - x.mean()),
    "avg_pool_by_divisor": lambda: nn.AvgPool2d(3, 2, 1, count_include_pad=False, divisor_override=5),
    "instance_norm_learnt": lambda: nn.InstanceNorm2d(4, affine=True, track_running_stats=True),
    "variance": lambda: Call(lambda x: x / (x.var((2, 3), correction=0, keepdim=True) + x.std(1).unsqueeze(1) + 1)),
    "variance_and_mean": lambda: Call(lambda x: torch.cat(torch.var_mean(x, 1, keepdim=True, unbiased=False), dim=1)),
    "attention": lambda: Call(attention),
    "nearest_unlike_caffe2": lambda: resize(0.3, "nearest"),
    "bilinear_half_size": lambda: nn.Sequential(
        nn.Upsample(scale_factor=2),
        Call(lambda x: functional.interpolate(x, size=(x.shape[2] // 2, x.shape[3] // 2), mode="bilinear")),
    ),
}


class Bench(nn.Module):
    """All modules side by side."""

    def __init__(self) -> None:
        super().__init__()
        self.model = nn.ModuleDict({name: make() for name, make in MODULES.items()})

    def forward(self, data: Tensor) -> tuple[Tensor, ...]:
        return tuple(module(data) for module in self.model.values())


@pytest.fixture(scope="module")
def bench() -> Bench:
    with torch.random.fork_rng():
        torch.manual_seed(0)
        result = Bench().eval()
        for name, buffer in [*result.named_parameters(), *result.named_buffers()]:
            if name.endswith(("running_mean", "running_var", "weight", "bias")):
                buffer.data.uniform_(0.2, 1.0)
    return result


def convert(module: nn.Module, outputs: list[str]) -> Any:
    return NetWriter(to_onnx(module, {"data": torch.zeros(1, 4, 64, 64)}, outputs, Padding()), TRANSLATIONS).write()


@pytest.fixture(scope="module")
def nets(bench: Bench) -> Any:
    return convert(bench, list(MODULES))


Results = tuple[dict[str, np.ndarray], dict[str, np.ndarray]]


@pytest.fixture(scope="module", params=[(7, 9), (12, 6)], ids=["7x9", "12x6"])
def results(
    request: pytest.FixtureRequest, bench: Bench, nets: Any, tmp_path_factory: pytest.TempPathFactory
) -> Results:
    """Of PyTorch and of the files, by name."""
    folder: Path = tmp_path_factory.mktemp("bench")
    (folder / "model.pb").write_bytes(nets.predict.SerializeToString())
    (folder / "model_init.pb").write_bytes(nets.init.SerializeToString())
    x = torch.rand(1, 4, *request.param, generator=torch.Generator().manual_seed(1)) * 2 - 1
    with torch.no_grad():
        wanted = dict(zip(MODULES, (y.numpy() for y in bench(x))))
    return wanted, runtime.load(folder, threads=1).run({"data": x.numpy()})


@pytest.mark.parametrize("name", MODULES)
def test_files_compute_what_pytorch_computes(name: str, results: Results) -> None:
    wanted, found = results
    np.testing.assert_allclose(found[name], wanted[name], rtol=1e-4, atol=2e-5, strict=True)


def operators_of(nets: Any, output: str) -> list[str]:
    """Types of the operators that an output hangs on, in order."""
    needed, types = {output}, []
    for op in reversed(nets.predict.op):
        if needed & set(op.output):
            needed |= set(op.input)
            types.append(op.type)
    return types[::-1]


@pytest.mark.parametrize(
    ("name", "types"),
    [
        ("conv_bn", ["Conv"]),
        ("conv_bn_shared", ["Conv", "Relu", "Mul", "Conv", "Relu", "Concat"]),
        ("conv_shared_bn", ["Mul", "Conv", "Mul", "Conv", "Concat"]),
        ("bn", ["SpatialBN"]),
        ("group_norm", ["GroupNorm"]),
        ("bilinear_2", ["PadImage", "ConvTranspose"]),
        ("linear_without_bias", ["ReduceMean", "Flatten", "FC"]),
        ("relu6", ["Clip"]),
        ("same", ["Relu", "Copy"]),
    ],
)
def test_what_is_written(nets: Any, name: str, types: list[str]) -> None:
    assert sorted(operators_of(nets, name)) == sorted(types)


def test_shared_layers_share_their_weights(nets: Any) -> None:
    weights = [n for n in nets.predict.external_input if n.startswith("conv_bn_shared.")]
    assert weights == ["conv_bn_shared.layer.0.weight", "conv_bn_shared.layer.0.bias"]


class Odd(nn.Module):
    """A module inside of a model that cannot be converted."""

    def __init__(self, function: Callable[[Tensor], Tensor]) -> None:
        super().__init__()
        self.model = nn.ModuleDict({"neck": nn.Sequential(nn.ReLU(), Call(function))})

    def forward(self, data: Tensor) -> Tensor:
        result: Tensor = self.model["neck"](data)
        return result


def test_operators_that_caffe2_lacks_are_named_with_their_modules() -> None:
    message = (
        r"the files have no operators for .*Asin in module 'neck.1' \(Call\).*Write these modules with convolutions"
    )
    with pytest.raises(Unsupported, match=message):
        convert(Odd(torch.asin), ["y"])


def test_what_cannot_be_resized_is_refused() -> None:
    with pytest.raises(Unsupported, match=r"module 'neck.1' \(Call\): resizing to .*, a size that no map has"):
        convert(Odd(lambda x: functional.interpolate(x, size=(x.shape[2] + 5, x.shape[3]))), ["y"])


def test_places_of_maxima_are_refused() -> None:
    def places(x: Tensor) -> Tensor:
        return functional.adaptive_max_pool2d(x, 3, return_indices=True)[1].float()

    with pytest.raises(Unsupported, match=r"module 'neck.1' \(Call\): the places of maxima \(return_indices\)"):
        convert(Odd(places), ["y"])


def test_control_flow_that_depends_on_values_is_refused() -> None:
    message = r"module 'neck.1' \(Call\) cannot be traced: .*must not branch on the values of tensors"
    with pytest.raises(Unsupported, match=message):
        convert(Odd(lambda x: x if x.sum() > 0 else -x), ["y"])


@pytest.mark.parametrize("multiple", [0, 32])
@pytest.mark.parametrize(
    ("function", "condition"),
    [
        (lambda x: x[:, :, :1000] * 2, "the height is from 256 to 999"),
        (lambda x: functional.avg_pool2d(x, x.shape[2:]), "the height is 512"),
        (lambda x: x + torch.linspace(0, 1, x.shape[3]), "the width is "),
        (lambda x: x if x.shape[2] > x.shape[3] else -x, r"height <= width"),
        (lambda x: x if x.shape[2] % 64 == 0 else -x, r"Eq\(Mod\(height, 64\), 0\)"),
        (lambda x: x if x.shape[2] * x.shape[3] < 1_000_000 else -x, r"height\*width < 1000000"),
        (lambda x: x @ x[:, :, : x.shape[3] // 2, :].transpose(2, 3) @ x, "height"),
    ],
)
def test_what_goes_by_the_size_of_the_picture_is_refused(
    function: Callable[[Tensor], Tensor], condition: str, multiple: int
) -> None:
    net, sample = Odd(function), {"data": torch.zeros(1, 4, 64, 96)}
    message = rf"module 'neck.1' \(Call\) goes by the picture's size: what was traced holds only where .*{condition}"
    with pytest.raises(Unsupported, match=message):
        to_onnx(net, sample, ["y"], Padding(size_divisibility=multiple))


@pytest.mark.parametrize(
    ("function", "message"),
    [
        (lambda x: x * x.shape[2], "numbers made of a map's size .Shape. in module 'neck.1' .Call."),
        (
            lambda x: torch.split(x, [x.shape[2] - 1, 1], dim=2)[0],
            "numbers made of a map's size .Shape. in module 'neck.1'",
        ),
        (lambda x: x / x.var(), "module 'neck.1' .Call.: an unbiased variance over height and width cannot be written"),
        (
            lambda x: functional.avg_pool2d(x, 2, ceil_mode=True, divisor_override=3),
            "module 'neck.1' .Call.: avg_pool2d with",
        ),
        (
            lambda x: functional.interpolate(x, scale_factor=0.5, mode="area"),
            "module 'neck.1' .Call. uses aten.adaptive_avg",
        ),
        (
            lambda x: functional.rrelu(x),
            "module 'neck.1' .Call. uses aten.rrelu.default, which has no translation to ONNX",
        ),
        (
            lambda x: x.flatten(2).unflatten(2, x.shape[2:]),
            "module 'neck.1' .Call.: a reshape of .* depends on the image's",
        ),
    ],
)
def test_a_refusal_names_the_module(function: Callable[[Tensor], Tensor], message: str) -> None:
    with pytest.raises(Unsupported, match=message):
        convert(Odd(function), ["y"])


def test_an_error_in_the_model_names_the_module() -> None:
    with pytest.raises(Unsupported, match=r"module 'neck.1' \(Call\) cannot be traced: too dark"):
        convert(Odd(lambda x: (_ for _ in ()).throw(ValueError("too dark"))), ["y"])


def test_operators_that_onnx_lacks_are_named_with_their_modules() -> None:
    message = r"module 'neck.1' \(Call\) uses aten.special_bessel_j0.default, which has no translation to ONNX"
    with pytest.raises(Unsupported, match=message):
        convert(Odd(torch.special.bessel_j0), ["y"])
