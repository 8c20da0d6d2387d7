"""Layers of transformers as backbones: what the written files compute equals what PyTorch computes.

Their sizes are known, as those of a model whose pictures are padded to a square are. All are traced together, since
every conversion costs seconds; each then is a test of its own.
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

SIDE, CHANNELS, HEADS = 10, 8, 2


class Layer(nn.Module):
    """A function of maps (N, H, W, C), for an image."""

    def __init__(self, layer: nn.Module | Callable[[Tensor], Tensor]) -> None:
        super().__init__()
        self.layer = layer

    def forward(self, x: Tensor) -> Tensor:
        return self.layer(x.permute(0, 2, 3, 1))


def partition(x: Tensor, side: int) -> Tensor:
    """(N, H, W, C) as windows (M, side, side, C)."""
    n, h, w, c = x.shape
    return x.reshape(n, h // side, side, w // side, side, c).transpose(2, 3).reshape(-1, side, side, c)


def joined(windows: Tensor, height: int, width: int) -> Tensor:
    """What `partition` took apart."""
    side, c = windows.shape[1], windows.shape[3]
    grid = windows.reshape(-1, height // side, width // side, side, side, c)
    return grid.transpose(2, 3).reshape(-1, height, width, c)


def relative(table: Tensor, queries: int, keys: int) -> Tensor:
    """Rows of a table of distances for each query and key: (queries, keys, C); the table is resized to fit them."""
    wanted = 2 * max(queries, keys) - 1
    rows = functional.interpolate(table.T[None], size=wanted, mode="linear")[0].T
    q = torch.arange(queries)[:, None] * max(keys / queries, 1.0)
    k = torch.arange(keys)[None] * max(queries / keys, 1.0)
    return rows[(q - k + (keys - 1) * max(queries / keys, 1.0)).long()]


class Attention(nn.Module):
    """Heads that look at all cells of a map, with relative positions of rows and columns.

    Args:
        window: of windows by themselves; 0: of the whole map.
        stride: queries are sums over windows that are so many cells apart, keys and values over those twice as far;
            0: of single cells.
    """

    def __init__(self, window: int = 0, stride: int = 0) -> None:
        super().__init__()
        self.window, self.stride = window, stride
        depth = CHANNELS // HEADS
        self.norm = nn.LayerNorm(CHANNELS, eps=1e-6)
        self.qkv = nn.Linear(CHANNELS, 3 * CHANNELS)
        self.project = nn.Linear(CHANNELS, CHANNELS)
        self.down, self.across = (nn.Parameter(torch.empty(2 * 6 - 1, depth)) for _ in range(2))
        if stride:
            self.pool_k = nn.Conv2d(depth, depth, 3, 2 * stride, 1, groups=depth, bias=False)
            self.pool_q = nn.Conv2d(depth, depth, 3, stride, 1, groups=depth, bias=False)
        self.pool_x = nn.MaxPool2d(stride + 1, stride, (stride + 1) // 2) if stride > 1 else nn.Identity()

    def forward(self, x: Tensor) -> Tensor:
        maps = self.norm(x)
        _, h, w, _ = maps.shape
        if self.window:
            below, right = -h % self.window, -w % self.window
            maps = partition(functional.pad(maps, (0, 0, 0, right, 0, below)), self.window)
        maps = self.attend(maps)
        if self.window:
            maps = joined(maps, h + below, w + right)[:, :h, :w]
        return self.pooled(x, self.pool_x) + functional.gelu(maps)

    def attend(self, x: Tensor) -> Tensor:
        n, h, w, _ = x.shape
        qkv = self.qkv(x).reshape(n, h, w, 3, HEADS, -1).permute(3, 0, 4, 1, 2, 5)
        q, k, v = qkv.reshape(3, n * HEADS, h, w, -1).unbind(0)
        if self.stride:
            q, k, v = self.pooled(q, self.pool_q), self.pooled(k, self.pool_k), self.pooled(v, self.pool_k)
        (_, qh, qw, depth), (_, kh, kw, _) = q.shape, k.shape
        logits = q.flatten(1, 2) * depth**-0.5 @ k.flatten(1, 2).transpose(1, 2)
        by_row = torch.einsum("nhwc,hkc->nhwk", q, relative(self.down, qh, kh))
        by_column = torch.einsum("nhwc,wkc->nhwk", q, relative(self.across, qw, kw))
        logits = logits.view(-1, qh, qw, kh, kw) + by_row[..., None] + by_column[..., None, :]
        y = logits.view(-1, qh * qw, kh * kw).softmax(-1) @ v.flatten(1, 2)
        y = y.view(-1, qh, qw, depth)
        y += q
        y = y.view(n, HEADS, qh, qw, depth).permute(0, 2, 3, 1, 4).reshape(n, qh, qw, -1)
        result: Tensor = self.project(y)
        return result

    def pooled(self, x: Tensor, pool: nn.Module) -> Tensor:
        result: Tensor = pool(x.permute(0, 3, 1, 2)).permute(0, 2, 3, 1)
        return result


class ShiftedWindows(nn.Module):
    """Windows of a map that is moved around its border, whose cells see those alone that were their neighbours."""

    places: Tensor

    def __init__(self, side: int, shift: int) -> None:
        super().__init__()
        self.side, self.shift = side, shift
        self.qkv = nn.Linear(CHANNELS, 3 * CHANNELS, bias=False)
        self.bias = nn.Parameter(torch.empty((2 * side - 1) ** 2, HEADS))
        cells = torch.stack(torch.meshgrid(torch.arange(side), torch.arange(side), indexing="ij")).flatten(1)
        apart = (cells[:, :, None] - cells[:, None]) + side - 1
        self.register_buffer("places", apart[0] * (2 * side - 1) + apart[1])

    def forward(self, x: Tensor) -> Tensor:
        _, h, w, c = x.shape
        cells = self.side**2
        region = torch.zeros(1, h, w, 1)
        for number, cut in enumerate([slice(0, -self.side), slice(-self.side, -self.shift), slice(-self.shift, None)]):
            region[:, cut] += 3 * number
            region[:, :, cut] += number
        names = partition(region, self.side).view(-1, cells)
        mask = (names[:, None] != names[:, :, None]) * -100.0
        windows = partition(torch.roll(x, (-self.shift, -self.shift), (1, 2)), self.side).view(-1, cells, c)
        q, k, v = self.qkv(windows).reshape(-1, cells, 3, HEADS, c // HEADS).permute(2, 0, 3, 1, 4)
        logits = q @ k.transpose(-2, -1) + self.bias[self.places.view(-1)].view(cells, cells, -1).permute(2, 0, 1)
        logits = logits.view(-1, len(mask), HEADS, cells, cells) + mask[None, :, None]
        y = logits.view(-1, HEADS, cells, cells).softmax(-1) @ v
        maps = joined(y.transpose(1, 2).reshape(-1, self.side, self.side, c), h, w)
        return torch.roll(maps, (self.shift, self.shift), (1, 2))


class Merging(nn.Module):
    """Four cells become one."""

    def __init__(self) -> None:
        super().__init__()
        self.norm = nn.LayerNorm(4 * CHANNELS)
        self.reduce = nn.Linear(4 * CHANNELS, 2 * CHANNELS, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        parts = [x[:, down::2, across::2] for across in (0, 1) for down in (0, 1)]
        result: Tensor = self.reduce(self.norm(torch.cat(parts, -1)))
        return result


class Positions(nn.Module):
    """Of a smaller picture, with a token in front."""

    def __init__(self) -> None:
        super().__init__()
        self.table = nn.Parameter(torch.empty(1, 1 + 4 * 4, CHANNELS))

    def forward(self, x: Tensor) -> Tensor:
        maps = self.table[:, 1:].reshape(1, 4, 4, CHANNELS).permute(0, 3, 1, 2)
        return x + functional.interpolate(maps, size=x.shape[1:3], mode="bicubic").permute(0, 2, 3, 1)


# Name -> what maps (1, 10, 10, 8) to a tensor.
LAYERS: dict[str, Callable[[], nn.Module | Callable[[Tensor], Tensor]]] = {
    "positions": Positions,
    "attention": Attention,
    "window_attention": lambda: Attention(window=5),
    "window_attention_padded": lambda: Attention(window=4),
    "pooled_attention": lambda: Attention(stride=1),
    "pooled_attention_strided": lambda: Attention(stride=2),
    "shifted_windows": lambda: ShiftedWindows(5, 2),
    "merging": Merging,
    "linear": lambda: nn.Linear(CHANNELS, 3),
    "linear_without_bias": lambda: nn.Linear(CHANNELS, 3, bias=False),
    "layer_norm": lambda: nn.LayerNorm(CHANNELS, eps=1e-3),
    "layer_norm_of_two": lambda: nn.LayerNorm((SIDE, CHANNELS)),
    "layer_norm_without_bias": lambda: nn.LayerNorm(CHANNELS, bias=False),
    "einsum": lambda: lambda x: torch.einsum("nhwc,nhvc->nhwv", x, x),
    "unbind": lambda: lambda x: x.unbind(1)[0] - x.unbind(2)[-1],
    "every_third": lambda: lambda x: x[:, :, 1:9:3],
    "every_third_to_the_end": lambda: lambda x: x[:, 1::3],
    "every_fourth_from_one_before": lambda: lambda x: x[:, 3::4],
    "every_second_channel": lambda: lambda x: x[..., ::2],
    "pad_inside": lambda: lambda x: functional.pad(x, (0, 0, 1, 2, 0, 3), value=0.5),
    "pad_apart": lambda: lambda x: functional.pad(x, (1, 0, 0, 0, 2, 1)),
    "pad_one": lambda: lambda x: functional.pad(x, (0, 0, 0, 0, 2, 0)),
    "pad_images": lambda: lambda x: functional.pad(x, (0, 0, 0, 0, 0, 0, 1, 2)),
    "pad_nothing": lambda: lambda x: functional.pad(x, (0, 0, 0, 0)) + 1,
}


class Bench(nn.Module):
    """All layers side by side."""

    def __init__(self, layers: dict[str, Callable[[], nn.Module | Callable[[Tensor], Tensor]]]) -> None:
        super().__init__()
        self.model = nn.ModuleDict({name: Layer(make()) for name, make in layers.items()})

    def forward(self, data: Tensor) -> tuple[Tensor, ...]:
        return tuple(layer(data) for layer in self.model.values())


def convert(bench: nn.Module, outputs: list[str]) -> Any:
    sample = torch.zeros(1, CHANNELS, SIDE, SIDE)
    return NetWriter(to_onnx(bench, {"data": sample}, outputs, Padding(0, SIDE)), TRANSLATIONS).write()


@pytest.fixture(scope="module")
def bench() -> Bench:
    with torch.random.fork_rng():
        torch.manual_seed(0)
        result = Bench(LAYERS).eval()
        for parameter in result.parameters():
            parameter.data.uniform_(-0.7, 0.7)
    return result


@pytest.fixture(scope="module")
def nets(bench: Bench) -> Any:
    return convert(bench, list(LAYERS))


Results = tuple[dict[str, np.ndarray], dict[str, np.ndarray]]


@pytest.fixture(scope="module")
def results(bench: Bench, nets: Any, tmp_path_factory: pytest.TempPathFactory) -> Results:
    """Of PyTorch and of the files, by name."""
    folder: Path = tmp_path_factory.mktemp("transformers")
    (folder / "model.pb").write_bytes(nets.predict.SerializeToString())
    (folder / "model_init.pb").write_bytes(nets.init.SerializeToString())
    x = torch.rand(1, CHANNELS, SIDE, SIDE, generator=torch.Generator().manual_seed(1)) * 2 - 1
    with torch.no_grad():
        wanted = dict(zip(LAYERS, (y.numpy() for y in bench(x)), strict=True))
    return wanted, runtime.load(folder, threads=1).run({"data": x.numpy()})


@pytest.mark.parametrize("name", LAYERS)
def test_files_compute_what_pytorch_computes(name: str, results: Results) -> None:
    wanted, found = results
    np.testing.assert_allclose(found[name], wanted[name], rtol=1e-4, atol=2e-5, strict=True)


@pytest.mark.parametrize(
    ("name", "types"),
    [
        ("positions", ["Transpose", "Add"]),
        ("linear", ["Transpose", "Reshape", "FC", "Reshape"]),
        ("layer_norm", ["Transpose", "LayerNorm"]),
        ("pad_inside", ["Transpose", "Reshape", "PadImage", "Reshape"]),
    ],
)
def test_what_is_written(nets: Any, name: str, types: list[str]) -> None:
    needed, found = {name}, []
    for op in reversed(nets.predict.op):
        if needed & set(op.output):
            needed |= set(op.input)
            found.append(op.type)
    assert found[::-1] == types


def test_layers_keep_their_names(nets: Any) -> None:
    assert {"linear.layer.weight", "linear.layer.bias", "layer_norm.layer.weight"} <= set(nets.predict.external_input)


@pytest.mark.parametrize(
    ("function", "message"),
    [
        (
            lambda x: x[:, ::3],
            "a slice of 10 cells from 0 to 10 in steps of 3 cannot be written; pad the axis to a multiple",
        ),
        (lambda x: functional.pad(x, (0, 0, -1, 0)), "negative padding cannot be written"),
    ],
)
def test_what_cannot_be_written_is_refused(function: Callable[[Tensor], Tensor], message: str) -> None:
    with pytest.raises(Unsupported, match=message):
        convert(Bench({"layer": lambda: function}), ["y"])
