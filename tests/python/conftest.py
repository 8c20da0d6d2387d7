"""What the tests of the built programs share: where they, the module d2deploy._ext and the example model are."""

from __future__ import annotations

import functools
import os
import sys
from collections.abc import Callable
from importlib.machinery import EXTENSION_SUFFIXES
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from exported import Exported

ROOT = Path(__file__).resolve().parents[2]


def add_extension() -> None:
    """Lets `d2deploy._ext` be found: that beside $D2DEPLOY_BIN_DIR, or else that which was built last."""
    folder = os.environ.get("D2DEPLOY_BIN_DIR")
    builds = [Path(folder).resolve().parent] if folder else [ROOT / "build" / preset for preset in ("dev", "release")]
    files = [build / "python" / "d2deploy" / f"_ext{suffix}" for build in builds for suffix in EXTENSION_SUFFIXES]
    if built := [file for file in files if file.is_file()]:
        sys.path.insert(0, str(max(built, key=lambda file: file.stat().st_mtime).parents[1]))


add_extension()


def find_program(name: str) -> Path:
    """The program in $D2DEPLOY_BIN_DIR, or else the one of build/dev and build/release that was built last."""
    folder = os.environ.get("D2DEPLOY_BIN_DIR")
    if folder:
        program = Path(folder).resolve() / name
        if not program.is_file():
            pytest.fail(f"D2DEPLOY_BIN_DIR is {folder}, but {name} is not there")
        return program
    built = [p for p in (ROOT / "build" / preset / "bin" / name for preset in ("dev", "release")) if p.is_file()]
    if not built:
        pytest.skip(f"{name} is not built: cmake --preset dev && cmake --build --preset dev")
    return max(built, key=lambda p: p.stat().st_mtime)


@pytest.fixture(scope="session")
def example() -> Path:
    """The folder of the small trained Mask R-CNN: model.pb, model_init.pb, input.png."""
    return ROOT / "examples" / "mask_rcnn"


@pytest.fixture(scope="session")
def exported(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Exported]:
    """Gives a model of exported.MODELS with its files; the first call converts it, which takes seconds."""
    from exported import export

    return functools.cache(lambda name: export(name, tmp_path_factory.mktemp(name)))
