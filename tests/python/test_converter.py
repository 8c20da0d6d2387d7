"""The command caffe2_converter: from a configuration and a checkpoint to files, tables, and exit codes."""

from __future__ import annotations

import re
import subprocess
import sys
from collections.abc import Callable
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import onnx
import pytest
import torch
from conftest import Conversion

from d2deploy import runtime
from d2deploy.cli import convert
from d2deploy.config import load_config
from d2deploy.modeling import build_model

ROOT = Path(__file__).parents[2]
SHAPES = ROOT / "tests" / "data" / "shapes"
CONFIG = SHAPES / "retinanet" / "config.yaml"
WEIGHTS = SHAPES / "retinanet" / "model_final.pkl"


@pytest.mark.parametrize("name", ["retinanet"])
def test_conversion_with_evaluation(converted: Callable[[str], Conversion], name: str) -> None:
    code, out, folder = converted(name)
    assert code == 0, out
    for file in ("model.pb", "model_init.pb", "model.pbtxt"):
        assert (folder / file).stat().st_size > 1000
    assert "<svg" in (folder / "model.svg").read_text()
    assert {node.domain for node in onnx.load(folder / "model.onnx").graph.node} == {""}
    assert 'name: "device"\n  s: "cuda"' in (folder / "model.pbtxt").read_text()
    assert re.search(r"^box_cls_0 +1 x 45 x \d+ x \d+ +\S+  ok$", out, re.MULTILINE)
    row = re.search(r"^bbox AP +(\S+) +(\S+) +\+0\.000$", out, re.MULTILINE)
    assert row is not None, out
    assert float(row[1]) > 10


def test_help_of_the_script() -> None:
    run = subprocess.run(
        [sys.executable, ROOT / "scripts" / "caffe2_converter.py", "--help"], capture_output=True, text=True, check=True
    )
    for word in ("--config-file", "--run-eval", "--dataset-json", "--no-verify", "KEY VALUE", "exit codes:"):
        assert word in run.stdout


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        (["--config-file", "nowhere.yaml"], 1, r"nowhere\.yaml"),
        (
            ["--config-file", str(CONFIG), "MODEL.WEIGHTS", ""],
            1,
            r"MODEL\.WEIGHTS is empty; give the trained model as MODEL\.WEIGHTS FILE",
        ),
        (
            ["--config-file", "COCO-Detection/retinanet_R_50_FPN_3x.yaml"],
            1,
            r"weights of a backbone alone; the zoo's are MODEL\.WEIGHTS detectron2://COCO-Detection/retinanet_R_50_FPN_3x/",
        ),
        (["--config-file", str(CONFIG), "MODEL.DEVICE"], 1, r"KEY VALUE: 1 words after the options \(MODEL\.DEVICE\)"),
        (["--config-file", str(CONFIG), "MODEL.COLOUR", "red"], 1, r"unknown key MODEL\.COLOUR"),
        (["--config-file", str(CONFIG), "--threads", "-1"], 1, r"--threads is -1, must be at least 0"),
        (["--config-file", str(CONFIG), "--bogus"], 1, r"--bogus|KEY VALUE"),
        ([], 1, r"the following arguments are required: --config-file; --help shows the usage"),
        (["--config-file", str(CONFIG), "--dataset-json", "x.json"], 1, r"--dataset-json and --image-root go together"),
        (
            ["--config-file", str(CONFIG), "--dataset-json", "x.json", "--image-root", "."],
            1,
            r"--dataset-json is for --run-eval",
        ),
        (  # before the long work of converting
            [
                *("--config-file", str(CONFIG), "--run-eval", "--dataset-json", "x.json", "--image-root", "."),
                *("MODEL.WEIGHTS", str(WEIGHTS)),
            ],
            1,
            r"x\.json: cannot be read: .*wanted annotations in COCO's format",
        ),
        (
            ["--config-file", str(CONFIG), "MODEL.WEIGHTS", str(WEIGHTS), "INPUT.FORMAT", "YUV-BT.601"],
            2,
            r"INPUT\.FORMAT is YUV-BT\.601; available: BGR, RGB, L",
        ),
        (
            ["--config-file", str(CONFIG), "MODEL.WEIGHTS", str(WEIGHTS), "INPUT.FORMAT", "L"],
            1,
            r"INPUT\.FORMAT is L, 1 channels, but MODEL\.PIXEL_MEAN has 3 numbers; set INPUT\.FORMAT to BGR or RGB",
        ),
        (
            [
                *("--config-file", str(CONFIG), "--image", str(CONFIG), "MODEL.WEIGHTS", str(WEIGHTS)),
                *("MODEL.PIXEL_MEAN", "[1.0, 2.0]"),
            ],
            1,
            r"--image: pictures have 1 or 3 channels, the model takes 2",
        ),
        (["--config-file", str(CONFIG), "--format", "onnx"], 2, r"--format onnx: .* --standard-onnx adds model\.onnx"),
        (["--config-file", str(CONFIG), "--format", "torchscript"], 2, r"export_torchscript\(\) gives it"),
        (["--config-file", str(CONFIG), "--format", "keras"], 1, r"--format is keras; available: caffe2"),
        (["--config-file", str(CONFIG), "--export-method", "scripting"], 2, r"are made by caffe2_tracing"),
        (["--config-file", str(CONFIG), "--export-method", "magic"], 1, r"--export-method is magic; available"),
        (["--config-file", str(CONFIG), "--sample-image", "nowhere.jpg"], 1, r"--image nowhere\.jpg: no such file"),
        (["--config-file", str(CONFIG), "--output", str(CONFIG)], 1, r"config\.yaml: is a file; wanted a folder"),
        (
            ["--config-file", str(CONFIG), "--output", f"{CONFIG}/out"],
            1,
            r"config\.yaml/out: cannot be written: Not a dir",
        ),
        (["--config-file", str(CONFIG), "--image", str(CONFIG.parent)], 1, r"--image .*: is a folder"),
        (
            ["--config-file", str(CONFIG), "--", "MODEL.DEVICE"],
            1,
            r"KEY VALUE: 1 words after the options \(MODEL\.DEVICE\)",
        ),
        (
            ["--config-file", str(CONFIG), "--import", "./my_parts.py"],
            1,
            r"--import \./my_parts\.py: is no name of a module",
        ),
        (["MODEL.DEVICE", "cpu", "--config-fil", "x", "--colour", "red"], 1, r"unknown option --colour;"),
        (["MODEL.DEVICE", "cpu", "--sample-imag=x", "--outptu", "red"], 1, r"--outptu; did you mean --output\?"),
        (
            ["MODEL.WEIGHTS", str(WEIGHTS), "--config-file", str(CONFIG), "TEST.DETECTIONS_PER_IMAGE", "0"],
            1,
            r"TEST\.DETECTIONS_PER_IMAGE: 0 would leave no detection at all; wanted at least 1",
        ),
        (
            ["MODEL.WEIGHTS", str(WEIGHTS), "--config-file", str(CONFIG), "MODEL.RETINANET.TOPK_CANDIDATES_TEST", "-5"],
            1,
            r"MODEL\.RETINANET\.TOPK_CANDIDATES_TEST is -5; wanted at least 1",
        ),
        (
            [
                *("--config-file", str(CONFIG), "--image", str(CONFIG), "MODEL.WEIGHTS", str(WEIGHTS)),
                *("--format", "caffe2", "--export-method", "caffe2_tracing"),
            ],
            1,
            r"config\.yaml: cannot be read as an image",
        ),
        (
            ["--config-file", str(CONFIG), "--import", "no_such_module"],
            1,
            r"--import no_such_module: ModuleNotFoundError: No module",
        ),
        (
            ["--config-file", str(CONFIG), "--class-names", "disc,,star"],
            1,
            r"--class-names disc,,star: has an empty name",
        ),
        (
            ["--config-file", str(CONFIG), "--class-names", "disc,star", "MODEL.WEIGHTS", str(WEIGHTS)],
            1,
            r"class_names are 2 \(disc, star\), the model has 5 classes",
        ),
        (
            ["--config-file", str(CONFIG), "MODEL.WEIGHTS", str(SHAPES / "mask_rcnn" / "model_final.pkl")],
            2,
            r"model_final\.pkl",
        ),
    ],
)
def test_errors(
    arguments: list[str], code: int, message: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert convert.main(["--output", str(tmp_path / "model"), *arguments]) == code
    error = capsys.readouterr().err
    assert error.startswith("error: ")
    assert re.search(message, error), error
    assert not (tmp_path / "model").exists()


def test_names_of_classes_in_a_file(tmp_path: Path) -> None:
    (tmp_path / "names.txt").write_text("traffic light\nstop sign \n\n")
    assert convert.class_names_of(str(tmp_path / "names.txt")) == ["traffic light", "stop sign"]
    assert convert.class_names_of("traffic light, stop sign") == ["traffic light", "stop sign"]


OWN_BACKBONE = """
from torch import nn

from d2deploy.config import Config
from d2deploy.modeling import BACKBONES
from d2deploy.modeling.layers import ShapeSpec


def add_config(cfg):
    cfg.MODEL.TINYNET = {"WIDTH": 8}


@BACKBONES.register()
class TinyNet(nn.Module):
    size_divisibility = 0

    def __init__(self, channels, width):
        super().__init__()
        self.body = nn.Sequential(nn.Conv2d(channels, width, 3, stride=4, padding=1), nn.GELU(), nn.MaxPool2d(4))
        self.width = width

    @classmethod
    def from_config(cls, cfg, input_shape):
        return cls(input_shape.channels, cfg.MODEL.TINYNET.WIDTH)

    def output_shape(self):
        return {"t4": ShapeSpec(self.width, stride=16)}

    def forward(self, x):
        return {"t4": self.body(x)}
"""
OWN_CONFIG = """
MODEL:
  DEVICE: cpu
  BACKBONE: {NAME: TinyNet}
  TINYNET: {WIDTH: 16}
  RPN: {IN_FEATURES: [t4], PRE_NMS_TOPK_TEST: 60, POST_NMS_TOPK_TEST: 30}
  ROI_HEADS: {NAME: StandardROIHeads, IN_FEATURES: [t4], NUM_CLASSES: 2}
  ROI_BOX_HEAD: {NAME: FastRCNNConvFCHead, NUM_FC: 1, FC_DIM: 32, POOLER_RESOLUTION: 7}
  WEIGHTS: weights.pth
SOLVER: {LOOKAHEAD: 5}
"""


def test_a_module_adds_parts_and_keys(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(tmp_path)
    (tmp_path / "tiny_net_of_mine.py").write_text(OWN_BACKBONE)
    (tmp_path / "config.yaml").write_text(OWN_CONFIG)
    module = import_module("tiny_net_of_mine")
    cfg = load_config("config.yaml", ["MODEL.TINYNET.WIDTH", 12], [module.add_config])
    assert cfg.MODEL.TINYNET.WIDTH == 12
    torch.save({"model": build_model(cfg).state_dict()}, "weights.pth")
    args = ["--config-file", "config.yaml", "--output", "out", "--import", "tiny_net_of_mine"]
    assert convert.main([*args, "MODEL.TINYNET.WIDTH", "12"]) == 0
    found = capsys.readouterr()
    assert "warning: config.yaml: keys that are not known and concern training alone: SOLVER.LOOKAHEAD" in found.err
    assert re.search(r"^bbox_nms .* ok$", found.out, re.MULTILINE), found.out


@pytest.mark.parametrize(("channels", "order"), [(1, "L"), (4, "BGR")])
def test_other_numbers_of_channels(
    channels: int, order: str, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(tmp_path)
    name = f"net_of_{channels}_channels"
    (tmp_path / f"{name}.py").write_text(OWN_BACKBONE.replace("TinyNet", f"Net{channels}"))
    (tmp_path / "config.yaml").write_text(OWN_CONFIG.replace("TinyNet", f"Net{channels}"))
    keys = ["MODEL.PIXEL_MEAN", [100.0] * channels, "MODEL.PIXEL_STD", [50.0] * channels, "INPUT.FORMAT", order]
    cfg = load_config("config.yaml", keys, [import_module(name).add_config])
    model = build_model(cfg)
    torch.save({"model": model.state_dict()}, "weights.pth")
    args = ["--config-file", "config.yaml", "--output", "out", "--import", name]
    assert convert.main([*args, *map(str, keys)]) == 0
    out = capsys.readouterr().out
    assert ("comparing on random numbers" in out) == (channels == 4)
    assert re.search(r"^bbox_nms .* ok$", out, re.MULTILINE), out
    image = np.random.default_rng(1).integers(0, 256, (channels, 96, 128), np.uint8)
    (wanted,) = model([{"image": torch.from_numpy(image)}])
    found = runtime.Caffe2Model.load_protobuf("out", threads=1, order="score")([{"image": image}])[0]
    boxes = wanted["instances"].pred_boxes.tensor.numpy()
    assert len(boxes) > 0
    np.testing.assert_allclose(found["instances"].pred_boxes.tensor, boxes, atol=1e-2)


def test_a_module_that_ends_the_program(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "ends_at_once.py").write_text("import sys\nsys.exit('usage')\n")
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(str(tmp_path))
    assert convert.main(["--config-file", str(CONFIG), "--output", "new/out", "--import", "ends_at_once"]) == 1
    assert "--import ends_at_once: SystemExit: usage" in capsys.readouterr().err
    assert not (tmp_path / "new").exists()


@pytest.mark.parametrize("hook", ["add_config", "add_pointrend_config"])
def test_a_hook_that_fails_is_named(
    hook: str, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.syspath_prepend(tmp_path)
    (tmp_path / f"bad_{hook}.py").write_text(f"def {hook}(cfg):\n    cfg.MODEL.NO_SUCH.KEY = 1\n")
    args = ["--config-file", str(CONFIG), "--output", str(tmp_path / "out"), "--import", f"bad_{hook}"]
    assert convert.main(args) == 1
    assert f"--import bad_{hook}: {hook}: AttributeError: no key NO_SUCH" in capsys.readouterr().err


def test_of_several_hooks_none_is_taken(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(tmp_path)
    (tmp_path / "two_hooks.py").write_text("add_one_config = add_two_config = len\n")
    assert convert._import("two_hooks") is None


@pytest.mark.skipif(find_spec("detectron2") is not None, reason="Detectron2 is installed here")
def test_missing_detectron2(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert convert.main(["--config-file", str(CONFIG), "--output", str(tmp_path), "--detectron2"]) == 1
    assert "Detectron2 cannot be imported" in capsys.readouterr().err


def test_files_that_disagree(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    from d2deploy.export import verify

    fault = verify.Report([verify.Row("sem_seg", (1, 2), (1, 2), 0.5, "differs")], 0, 0, 0)
    monkeypatch.setattr(verify, "verify", lambda *_: fault)
    args = ["--config-file", str(CONFIG), "--output", str(tmp_path), "MODEL.WEIGHTS", str(WEIGHTS)]
    monkeypatch.setattr("d2deploy.export.api.Caffe2Tracer.export_caffe2", lambda _: _Nothing())
    assert convert.main(args) == convert.DISAGREE
    assert "do not compute what PyTorch computes" in capsys.readouterr().err


class _Nothing:
    """Stands for a converted model, to leave out the seconds of converting."""

    def save_protobuf(self, _: Path) -> None: ...

    def save_graph(self, _: Path) -> None: ...
