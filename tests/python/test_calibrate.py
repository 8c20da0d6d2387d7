"""`d2deploy calibrate`, and what runs in int8 after it."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pytest
from conftest import Command

if TYPE_CHECKING:
    from d2deploy import _ext
else:
    _ext = pytest.importorskip("d2deploy._ext", reason="not built: cmake --preset dev && cmake --build --preset dev")

from d2deploy.images import read_image
from d2deploy.runtime import Predictor

SMALL = ("--threads", "1", "--min-size", "128", "--max-size", "192")


@pytest.fixture(autouse=True)
def emulated(monkeypatch: pytest.MonkeyPatch) -> None:
    """CPUs without VNNI would run float32."""
    monkeypatch.setenv("D2DEPLOY_EMULATE", "int8")


@pytest.fixture(scope="module")
def folder(example: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of the example's files."""
    folder = tmp_path_factory.mktemp("calibrate")
    for name in ("model.pb", "model_init.pb", "shapes_1.jpg", "shapes_2.jpg"):
        shutil.copy(example / name, folder / name)
    return folder


def test_what_is_calibrated_predicts_nearly_the_same(folder: Path, command: Command) -> None:
    code, output, error = command("calibrate", str(folder), "--images", str(folder), "--max-images", "2", *SMALL)
    assert code == 0, error
    assert "layers run in int8" in output
    assert "calibration.txt: ranges from 2 pictures" in output
    image = read_image(folder / "shapes_1.jpg", "RGB")
    exact, narrow = (
        Predictor(folder, precision=precision, threads=1, min_size=192, max_size=320)(image, "RGB")["instances"]
        for precision in ("float32", "int8")
    )
    sure = np.asarray(exact.scores) > 0.9
    assert sure.sum() >= 1
    for box, kind in zip(np.asarray(exact.pred_boxes.tensor)[sure], np.asarray(exact.pred_classes)[sure], strict=True):
        gaps = np.abs(np.asarray(narrow.pred_boxes.tensor) - box).max(axis=1)
        assert gaps.min() < 6
        assert np.asarray(narrow.pred_classes)[gaps.argmin()] == kind
    assert not np.array_equal(np.asarray(exact.scores), np.asarray(narrow.scores))


def test_the_file_may_stand_elsewhere(folder: Path, tmp_path: Path, command: Command) -> None:
    file = tmp_path / "street.txt"
    code, _, error = command("calibrate", str(folder), "--images", str(folder / "*.jpg"), "--out", str(file), *SMALL)
    assert code == 0, error
    code, output, error = command("verify", str(folder), "--precision", "int8", "--calibration", str(file), *SMALL)
    assert code == 0, error
    assert "ok:" in output


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        (["--images", "nothing.jpg"], 1, "no picture of these can be read"),
        (["--images", "FOLDER", "--max-images", "0"], 1, "--max-images is 0, must be at least 1"),
        (["--images", "FOLDER", "--threads", "-1"], 1, "--threads is -1, must be at least 0"),
        (["--images", "FOLDER", "--max-error", "-1"], 1, "most_error is -1"),
        (["--images", "FOLDER", "--out", "no/folder/file"], 1, "cannot be written, wanted a file in a folder"),
        (["--images", "http://a/b.jpg"], 1, "is a URL"),
        ([], 1, "--images"),
    ],
)
def test_wrong_use(arguments: list[str], code: int, message: str, folder: Path, command: Command) -> None:
    have, _, error = command("calibrate", str(folder), *[str(folder) if a == "FOLDER" else a for a in arguments])
    assert (have, message in error) == (code, True), error


def test_without_a_calibration_the_message_has_the_command(example: Path, command: Command) -> None:
    code, _, error = command("verify", str(example), "--precision", "int8")
    assert code == 1
    assert f"there is no {example / 'calibration.txt'}; make one with: d2deploy calibrate {example} --images" in error


def test_a_foreign_calibration_is_refused(folder: Path, tmp_path: Path, command: Command) -> None:
    file = tmp_path / "foreign.txt"
    file.write_text("d2deploy calibration 1\nmodel 0000000000000001\n")
    code, _, error = command("verify", str(folder), "--precision", "int8", "--calibration", str(file))
    assert code == 2
    assert "is the calibration of another model, or of other weights" in error
