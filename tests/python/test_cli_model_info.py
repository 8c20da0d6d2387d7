"""caffe2_mask_rcnn obeys what a model's file says of its input, and calls classes by the names in it."""

from __future__ import annotations

import pickle
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml
from conftest import ROOT, Conversion, find_program
from PIL import Image
from png import read_png, write_png
from test_cli import Prediction, predictions

from d2deploy.cli import convert
from d2deploy.images import read_image
from d2deploy.nets.proto import NetDef

SHAPES = ROOT / "tests" / "data" / "shapes"
Run = subprocess.CompletedProcess[str]


def run(model: Path, image: Path, folder: Path, *flags: str) -> Run:
    nets = [f"--predict_net={model}/model.pb", f"--init_net={model}/model_init.pb"]
    return subprocess.run(
        [str(find_program("caffe2_mask_rcnn")), *nets, f"--input={image}", "--threads=1", *flags],
        capture_output=True,
        text=True,
        check=False,
        cwd=folder,
        timeout=300,
    )


def found(result: Run) -> list[Prediction]:
    assert result.returncode == 0, result.stderr
    return predictions(result.stdout)


@pytest.fixture(scope="module")
def rgb_model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The Mask R-CNN of shapes with all that its first layer reads turned around: the same model, but of RGB."""
    folder = tmp_path_factory.mktemp("rgb")
    weights = pickle.loads((SHAPES / "mask_rcnn" / "model_final.pkl").read_bytes())
    first = "backbone.bottom_up.stem.conv1.weight"
    weights["model"][first] = np.ascontiguousarray(weights["model"][first][:, ::-1])
    (folder / "model.pkl").write_bytes(pickle.dumps(weights))
    config: dict[str, Any] = yaml.safe_load((SHAPES / "mask_rcnn" / "config.yaml").read_text())
    config["INPUT"]["FORMAT"] = "RGB"
    for name, usual in (("PIXEL_MEAN", [103.53, 116.28, 123.675]), ("PIXEL_STD", [1.0, 1.0, 1.0])):
        config["MODEL"][name] = config["MODEL"].get(name, usual)[::-1]
    (folder / "config.yaml").write_text(yaml.safe_dump(config))
    flags = ["--config-file", folder / "config.yaml", "--output", folder / "model", "--no-verify", "--threads", 1]
    assert convert.main([str(flag) for flag in [*flags, "MODEL.WEIGHTS", folder / "model.pkl"]]) == 0
    return folder / "model"


def test_a_model_of_rgb_finds_what_its_twin_of_bgr_finds(
    rgb_model: Path, converted: Callable[[str], Conversion], tmp_path: Path
) -> None:
    bgr_model = converted("mask_rcnn").folder
    images = sorted((SHAPES / "val" / "images").iterdir())[:3]
    count = 0
    for image in images:
        wanted, got = (found(run(model, image, tmp_path)) for model in (bgr_model, rgb_model))
        assert [(p.index, p.label) for p in got] == [(p.index, p.label) for p in wanted]
        for have, want in zip(got, wanted, strict=True):
            np.testing.assert_allclose(have.box, want.box, atol=0.05)
            assert have.score == pytest.approx(want.score, abs=1e-3)
        count += len(wanted)
    assert count >= 3


def identity(folder: Path, **arguments: Any) -> Path:
    """A net that gives its input, of which it says this. Relu changes no pixel, as none is negative."""
    net = NetDef(name="identity", external_input=["data"], external_output=["pixels"])
    net.op.add(type="Relu", input=["data"], output=["pixels"])
    for name, value in arguments.items():
        net.arg.add(name=name, **({"s": value} if isinstance(value, bytes) else {"floats": value}))
    folder.mkdir()
    (folder / "model.pb").write_bytes(net.SerializeToString())
    (folder / "model_init.pb").write_bytes(NetDef(name="init").SerializeToString())
    return folder


@pytest.mark.parametrize("name", ["BGR", "RGB", "L"])
def test_channels_are_as_the_file_says(name: str, tmp_path: Path) -> None:
    means = [110.0] if name == "L" else [1.0, 2.0, 3.0]
    model = identity(tmp_path / "model", input_format=name.encode(), pixel_mean=means)
    pixels = np.random.default_rng(5).integers(0, 256, (9, 13, 3), np.uint8)
    Image.fromarray(pixels).save(tmp_path / "a.png")
    result = run(model, tmp_path / "a.png", tmp_path, f"--dump_dir={tmp_path}")
    assert result.returncode == 0, result.stderr
    wanted = read_image(tmp_path / "a.png", name).transpose(2, 0, 1)[None]
    np.testing.assert_array_equal(np.load(tmp_path / "pixels.npy"), wanted)


def test_without_a_format_it_is_bgr(tmp_path: Path) -> None:
    pixels = np.random.default_rng(6).integers(0, 256, (4, 5, 3), np.uint8)
    Image.fromarray(pixels).save(tmp_path / "a.png")
    result = run(identity(tmp_path / "model"), tmp_path / "a.png", tmp_path, f"--dump_dir={tmp_path}")
    assert result.returncode == 0, result.stderr
    np.testing.assert_array_equal(np.load(tmp_path / "pixels.npy")[0], pixels.transpose(2, 0, 1)[::-1])


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        ({"input_format": b"YUV-BT.601"}, 2, "input_format is 'YUV-BT.601', available: BGR, RGB, L"),
        ({"pixel_mean": [1.0] * 4}, 1, "the image has 3 channels, the model takes 4"),
        ({"input_format": b"L", "pixel_mean": [1.0] * 3}, 2, "1 channels by its input_format, 3 by its pixel_mean"),
    ],
)
def test_formats_that_cannot_be_served(arguments: dict[str, Any], code: int, message: str, tmp_path: Path) -> None:
    write_png(tmp_path / "a.png", np.zeros((4, 5, 3), np.uint8))
    result = run(identity(tmp_path / "model", **arguments), tmp_path / "a.png", tmp_path)
    assert result.returncode == code, result.stderr
    assert message in result.stderr


def named(example: Path, folder: Path, names: list[bytes]) -> Path:
    net = NetDef()
    net.ParseFromString((example / "model.pb").read_bytes())
    kept = [argument for argument in net.arg if argument.name != "class_names"]
    del net.arg[:]
    net.arg.extend(kept)
    if names:
        net.arg.add(name="class_names", strings=names)
    folder.mkdir()
    (folder / "model.pb").write_bytes(net.SerializeToString())
    (folder / "model_init.pb").write_bytes((example / "model_init.pb").read_bytes())
    return folder


def test_classes_go_by_their_names(example: Path, tmp_path: Path) -> None:
    image = example / "input.png"
    names = [b"disc", b"squ\x1b[are\n", b"triangle"]  # the others are left to their numbers
    with_names = run(named(example, tmp_path / "a", names), image, tmp_path, "--visualize=names.png")
    without = run(named(example, tmp_path / "b", []), image, tmp_path, "--visualize=numbers.png")
    assert found(with_names) == found(without)  # the line begins as it ever did
    lines = [line for line in with_names.stdout.splitlines() if line.startswith("Prediction ")]
    endings = {0: "; label=0; name=disc", 1: "; label=1; name=squ?[are?", 2: "; label=2; name=triangle"}
    labels = [p.label for p in found(with_names)]
    assert {0, 1, 2, 3} <= set(labels)
    for line, label in zip(lines, labels, strict=True):
        assert line.endswith(endings.get(label, f"; label={label}"))
    assert "name=" not in without.stdout
    drawn, numbers = read_png(tmp_path / "names.png"), read_png(tmp_path / "numbers.png")
    assert (drawn != numbers).any()
