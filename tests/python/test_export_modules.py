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


def pad(mode: str, *sides: int, value: float = 0.0) -> nn.Module:
    return Call(lambda x: functional.pad(x, sides, mode, value))


def resize(factor: float, mode: str) -> nn.Module:
    return Call(lambda x: functional.interpolate(x, scale_factor=factor, mode=mode))


def bilinear(factor: int) -> nn.Module:
    return Call(lambda x: functional.interpolate(x, scale_factor=factor, mode="bilinear", align_corners=False))


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
    return NetWriter(to_onnx(module, {"data": torch.zeros(1, 4, 64, 64)}, outputs, 1), TRANSLATIONS).write()


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
        r"the files have no operators for .*Gelu in module 'neck.1' \(Call\).*Write these modules with convolutions"
    )
    with pytest.raises(Unsupported, match=message):
        convert(Odd(functional.gelu), ["y"])


def test_control_flow_that_depends_on_values_is_refused() -> None:
    message = r"module 'neck.1' \(Call\) cannot be traced: .*must not branch on the values of tensors"
    with pytest.raises(Unsupported, match=message):
        convert(Odd(lambda x: x if x.sum() > 0 else -x), ["y"])


def test_control_flow_that_depends_on_sizes_is_refused() -> None:
    message = (
        r"the model cannot be traced: Not all values of height .* satisfy the generated guard .* <= 99\. Its forward"
    )
    with pytest.raises(Unsupported, match=message):
        convert(Odd(lambda x: x[:, :, :100] * 2), ["y"])


def test_an_error_in_the_model_names_the_module() -> None:
    with pytest.raises(Unsupported, match=r"module 'neck.1' \(Call\) cannot be traced: too dark"):
        convert(Odd(lambda x: (_ for _ in ()).throw(ValueError("too dark"))), ["y"])


def test_operators_that_onnx_lacks_are_named_with_their_modules() -> None:
    message = r"module 'neck.1' \(Call\) uses aten.special_bessel_j0.default, which has no translation to ONNX"
    with pytest.raises(Unsupported, match=message):
        convert(Odd(torch.special.bessel_j0), ["y"])
