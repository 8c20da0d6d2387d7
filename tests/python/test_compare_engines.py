"""scripts/compare_engines, where scripts/build_caffe2_engine and a release build have been made; skipped elsewhere."""

from __future__ import annotations

import os
import re
import subprocess
from pathlib import Path

import pytest
from conftest import find_program

ROOT = Path(__file__).resolve().parents[2]
EXAMPLE = ROOT / "examples/mask_rcnn"


def engine_library() -> Path:
    cache = Path(os.environ.get("XDG_CACHE_HOME", Path.home() / ".cache"))
    return Path(os.environ.get("D2DEPLOY_CAFFE2_LIBRARY", cache / "d2deploy/caffe2/libd2deploy_caffe2.so"))


def compare(program: Path, *arguments: str | Path) -> subprocess.CompletedProcess[str]:
    command = [ROOT / "scripts/compare_engines", f"--program={program}", "--rounds=1", "--runs=2", *arguments]
    return subprocess.run([str(c) for c in command], capture_output=True, text=True, check=False)


@pytest.fixture
def program() -> Path:
    return find_program("caffe2_mask_rcnn")


@pytest.mark.skipif(not engine_library().exists(), reason="scripts/build_caffe2_engine has not been run")
def test_engines_agree_on_the_example(program: Path) -> None:
    result = compare(program, EXAMPLE, EXAMPLE / "input.png")
    assert result.returncode == 0, result.stderr
    gaps = dict(re.findall(r"^  (\w+) +\([\d, ]+\): largest difference ([\d.e+-]+)", result.stdout, re.MULTILINE))
    assert gaps.keys() == {"bbox_nms", "score_nms", "class_nms", "mask_fcn_probs"}
    assert float(gaps["bbox_nms"]) < 0.05  # pixels
    assert float(gaps["score_nms"]) < 0.002
    assert float(gaps["class_nms"]) == 0
    assert float(gaps["mask_fcn_probs"]) < 0.01
    for row in ("run", "load", "peak memory"):
        assert re.search(
            rf"^  {row} \(.*native +[\d.]+ +caffe2 +[\d.]+ +caffe2/native +[\d.]+$", result.stdout, re.MULTILINE
        )


def test_a_failing_engine_is_reported(program: Path, tmp_path: Path) -> None:
    result = compare(program, tmp_path, EXAMPLE / "input.png")
    assert result.returncode == 1
    assert re.search(r"^compare_engines: engine native ended with status 1: .*model\.pb", result.stderr, re.MULTILINE)
