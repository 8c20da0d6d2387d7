#!/usr/bin/env python3
"""Usage: scripts/in_venv scripts/page_screenshot.py [FILE]

Makes the picture of the server's page that the README shows, docs/serve.jpg by default: converts a model of the tests,
serves it, lets it look at the sample, and photographs the page in Chromium. The tests of the page use what stands here,
too. The font of the picture is Inter where that is installed (Debian's fonts-inter).
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, TYPE_CHECKING

if TYPE_CHECKING:
    from playwright.sync_api import Browser

ROOT = Path(__file__).resolve().parents[1]
LARGEST_BYTES = 200_000  # of the picture
START_SECONDS = 120  # for the server on a busy machine
# What a browser does on its own account is off; root has no sandbox.
FLAGS = (
    *("--no-sandbox", "--no-first-run", "--disable-background-networking", "--disable-component-update"),
    *("--disable-sync", "--disable-default-apps", "--disable-domain-reliability", "--no-default-browser-check"),
)


def find_chromium() -> str | None:
    """The program Chromium, or one that is built from it; None where there is none."""
    names = ("chromium", "chromium-browser", "google-chrome")
    return next(filter(None, map(shutil.which, names)), None)


@contextmanager
def chromium() -> Iterator[Browser]:
    """A browser without a window."""
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=find_chromium(), args=FLAGS)
        try:
            yield browser
        finally:
            browser.close()


@contextmanager
def server(*arguments: str | Path) -> Iterator[str]:
    """The address of a server that runs as a process of its own, http://127.0.0.1:PORT.

    Args:
        arguments: of `d2deploy serve`: models and options.

    Raises:
        RuntimeError: it ended instead, with what it said.
    """
    options = ("--port", "0", "--grpc-port", "none")
    command = [sys.executable, "-m", "d2deploy", "serve", *options, *map(str, arguments)]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join([str(ROOT / "python"), *sys.path])}
    with tempfile.TemporaryFile() as log, subprocess.Popen(command, env=environment, stderr=log) as process:
        try:
            yield f"http://127.0.0.1:{_port(process, log)}"
        finally:
            process.terminate()


def _port(process: subprocess.Popen[bytes], log: IO[bytes]) -> int:
    """That of HTTP, as the log of a server tells it once it listens."""
    end = time.monotonic() + START_SECONDS
    while True:
        over = process.poll() is not None or time.monotonic() > end
        log.seek(0)
        said = log.read().decode()
        if found := re.search(r'"port": (\d+)', said):
            return int(found[1])
        if over:
            raise RuntimeError(f"the server did not start within {START_SECONDS} s:\n{said}")
        time.sleep(0.05)


def convert(folder: Path) -> Path:
    """Converts the trained Mask R-CNN of the tests, whose classes have names, into a folder."""
    source = ROOT / "tests" / "data" / "shapes" / "mask_rcnn"
    command = [
        *(sys.executable, ROOT / "scripts" / "caffe2_converter.py", "--config-file", source / "config.yaml"),
        *("--output", folder, "--class-names", "disc,square,triangle,star,cross", "--no-verify"),
        *("MODEL.WEIGHTS", source / "model_final.pkl", "MODEL.DEVICE", "cpu"),
    ]
    subprocess.run([str(word) for word in command], check=True, stdout=subprocess.DEVNULL)
    return folder


def photograph(browser: Browser, address: str) -> bytes:
    """The page with the sample, as JPEG of at most LARGEST_BYTES."""
    page = browser.new_page(viewport={"width": 1180, "height": 680}, device_scale_factor=1.5)
    for _ in range(3):  # the first answers of a server take longer
        page.goto(address)
        page.get_by_role("button", name="Try the sample").click()
        page.wait_for_selector("main[data-state=result]")
    photos = (page.screenshot(type="jpeg", quality=quality, full_page=True) for quality in range(92, 8, -4))
    return next(photo for photo in photos if len(photo) <= LARGEST_BYTES)


def main(arguments: list[str]) -> int:
    if arguments and arguments[0].startswith("-"):
        print(__doc__.strip())
        return 0 if arguments[0] in ("-h", "--help") else 2
    file = Path(arguments[0]) if arguments else ROOT / "docs" / "serve.jpg"
    with tempfile.TemporaryDirectory() as folder:
        model = convert(Path(folder) / "mask_rcnn")
        with server(model) as address, chromium() as browser:
            photo = photograph(browser, address)
    file.write_bytes(photo)
    print(f"{file}: {len(photo) / 1000:.0f} kB")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
