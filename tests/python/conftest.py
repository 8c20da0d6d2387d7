"""What the tests of the built programs share: where they, the module d2deploy._ext and the example model are."""

from __future__ import annotations

import contextlib
import functools
import io
import os
import re
import sys
from collections.abc import Callable, Iterator
from importlib.machinery import EXTENSION_SUFFIXES
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import pytest
from hypothesis import settings

if TYPE_CHECKING:
    from exported import Exported
    from playwright.sync_api import Browser, ConsoleMessage, Page, Route

ROOT = Path(__file__).resolve().parents[2]

settings.register_profile("any machine", deadline=None)  # a busy one takes its time
settings.load_profile("any machine")


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> Any:
    """Shares the tests out where several processes run them (pytest -n 2), each group to one of them."""
    from xdist.scheduler import LoadScopeScheduling

    class Groups(LoadScopeScheduling):  # type: ignore[misc]  # xdist has no types
        def _split_scope(self, nodeid: str) -> str:
            return group_of(nodeid)

    return Groups(config, log)


def group_of(nodeid: str) -> str:
    """Tests of one model, which takes long to convert, are a group; others, those of a file."""
    kinds = "mask|cascade|fast|faster|fcos|keypoint|panoptic|pointrend|retinanet|rotated|rpn|semantic"
    model = re.search(rf"\[(?:.*-)?((?:{kinds})_?[a-z0-9_]*)(?:-.*)?\]", nodeid)
    return model[1] if model else nodeid.partition("::")[0]


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


def c_library() -> Path:
    """The shared library of the build that d2deploy._ext is of, or of the wheel."""
    from d2deploy import _ext

    package = Path(_ext.__file__).parent
    found = [*package.glob("lib/libd2deploy.so.*"), package.parents[1] / "cpp" / "src" / "libd2deploy.so"]
    return next(file for file in found if file.is_file())


@pytest.fixture(scope="session")
def example() -> Path:
    """The folder of the small trained Mask R-CNN: model.pb, model_init.pb, input.png."""
    return ROOT / "examples" / "mask_rcnn"


@pytest.fixture(scope="session")
def exported(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Exported]:
    """Gives a model of exported.MODELS with its files; the first call converts it, which takes seconds."""
    from exported import export

    return functools.cache(lambda name: export(name, tmp_path_factory.mktemp(name)))


class Conversion(NamedTuple):
    """What the converter's command gave: its exit code, what it printed, and the folder of the files."""

    code: int
    out: str
    folder: Path


@pytest.fixture(scope="session")
def converted(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Conversion]:
    """Converts a trained model of tests/data/shapes, once; the retinanet with all that the command can do, the
    mask_rcnn with the names of its classes."""
    from d2deploy.cli import convert as command

    def convert(name: str) -> Conversion:
        folder, shapes = tmp_path_factory.mktemp(name) / "model", ROOT / "tests" / "data" / "shapes"
        source, val = shapes / name, shapes / "val"
        of_val = ["--dataset-json", val / "annotations.json", "--image-root", val / "images"]
        all_of_it = ["--standard-onnx", "--run-eval", *of_val]
        arguments = [
            *("--config-file", source / "config.yaml", "--output", folder, "--threads", 1),
            *(all_of_it if name == "retinanet" else ["--no-verify"]),
            *(["--class-names", "disc, square,triangle,star,cross"] if name == "mask_rcnn" else []),
            *("MODEL.WEIGHTS", source / "model_final.pkl", "MODEL.DEVICE", "cuda"),  # recorded; nothing runs there
        ]
        with contextlib.redirect_stdout(io.StringIO()) as out:
            code = command.main([str(argument) for argument in arguments])
        return Conversion(code, out.getvalue(), folder)

    return functools.cache(convert)


Command = Callable[..., tuple[int, str, str]]


@pytest.fixture
def command(capsys: pytest.CaptureFixture[str]) -> Command:
    """Runs the command `d2deploy`: its exit code, and what it prints to stdout and stderr."""
    from d2deploy import cli

    def run(*arguments: Any) -> tuple[int, str, str]:
        code = cli.main([str(argument) for argument in arguments])
        return (code, *capsys.readouterr())

    return run


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    """Chromium, without a window. Other tests that need an event loop of their own cannot run meanwhile."""
    pytest.importorskip("playwright", reason="needs playwright, which scripts/setup installs")
    from page_screenshot import chromium, find_chromium

    if not find_chromium():
        (pytest.fail if "CI" in os.environ else pytest.skip)("needs Chromium, which scripts/setup installs")
    with chromium() as opened:
        yield opened


@pytest.fixture(scope="session")
def address(converted: Callable[[str], Conversion]) -> Iterator[str]:
    """That of a server with three trained models of tests/data/shapes."""
    from page_screenshot import server

    with server(*(f"{name}={converted(name).folder}" for name in ("mask_rcnn", "keypoint_rcnn", "panoptic_fpn"))) as at:
        yield at


@pytest.fixture
def open_page(browser: Browser, address: str) -> Iterator[Callable[..., Page]]:
    """Opens the server's page and waits until it knows the models. Whatever the test does then, nothing may be asked of
    another host, nothing go wrong in a script, and nothing be refused by the page's policy.

    Args of what it gives:
        at: address of another server.
        ready: whether to wait.
        options: of a browser's context.
    """
    contexts, faults = [], []

    def opened(at: str = address, ready: bool = True, **options: Any) -> Page:
        contexts.append(browser.new_context(**options))
        page = contexts[-1].new_page()

        def only_here(route: Route) -> None:
            if route.request.url.startswith((at, "blob:", "data:")):
                route.fallback()
            else:
                faults.append(f"asked for {route.request.url}")
                route.abort()

        def told(line: ConsoleMessage) -> None:
            if not line.text.startswith("Failed to load resource"):  # which it says of every status that is an error
                faults.append(line.text)

        contexts[-1].route("**", only_here)
        page.on("pageerror", lambda error: faults.append(str(error)))
        page.on("console", told)
        page.goto(at)
        if ready:
            page.wait_for_selector("#model option", state="attached")
        return page

    yield opened
    for context in contexts:
        context.close()
    assert not faults
