"""Programs that torch.onnx need not take apart: the files are the same, and others are taken apart as ever."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from exported import MODELS
from small_models import one_block_per_stage, small_config, small_model
from torch import Tensor, nn

from d2deploy.export import Caffe2Tracer, whole
from d2deploy.export.tracing import to_onnx
from d2deploy.padding import Padding

# Of each kind of layer one: pyramids, masks, GroupNorm, bilinear resizing, C4 (layers used twice), keypoints, dense
# heads, rotated boxes, deformable layers.
NAMES = ("mask_fpn_gn", "panoptic_fpn", "mask_c4", "keypoint_fpn", "retinanet_bn", "rotated_dc5", "faster_dconv2")


class Spy:
    """Lets `keep_whole` work, or not, and notes whether it changed the program."""

    def __init__(self, works: bool) -> None:
        self.works, self.changed, self.original = works, False, whole.keep_whole

    def __call__(self, program: Any) -> bool:
        self.changed = self.works and self.original(program)
        return self.changed


def files_of(architecture: str, overrides: list[Any], folder: Path) -> list[bytes]:
    with one_block_per_stage():
        model = small_model(architecture, *overrides)
    Caffe2Tracer(small_config(architecture, *overrides), model).export_caffe2().save_protobuf(folder)
    return [(folder / name).read_bytes() for name in ("model.pb", "model_init.pb")]


@pytest.mark.parametrize("name", NAMES)
def test_files_are_the_same_to_the_last_bit(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    found = []
    for works in (True, False):
        monkeypatch.setattr(whole, "keep_whole", spy := Spy(works))
        found.append(files_of(*MODELS[name], tmp_path))
        monkeypatch.undo()
        assert spy.changed == works
    assert found[0] == found[1]


class Module(nn.Module):
    """One layer as the exporter gets it."""

    def __init__(self, layer: nn.Module) -> None:
        super().__init__()
        self.layer = layer

    def forward(self, data: Tensor, im_info: Tensor) -> tuple[Tensor]:
        return (self.layer(data),)


class TimesTwo(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        return x * 2


@pytest.mark.parametrize(
    "layer", [nn.ReLU(inplace=True), nn.Hardswish(), nn.BatchNorm2d(3, affine=False), TimesTwo()], ids=str
)
def test_other_programs_are_taken_apart(layer: nn.Module, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(whole, "keep_whole", spy := Spy(works=True))
    to_onnx(Module(layer).eval(), {"data": torch.rand(1, 3, 64, 70), "im_info": torch.zeros(1, 3)}, ["y"], Padding())
    assert not spy.changed
