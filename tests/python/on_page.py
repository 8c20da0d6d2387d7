"""What the tests of the server's page do in it, and read from it."""

from __future__ import annotations

import base64
import io
import json
import urllib.request
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt
from conftest import ROOT
from PIL import Image

if TYPE_CHECKING:
    from playwright.sync_api import Page

Open = Callable[..., "Page"]  # the fixture open_page

IMAGES = ROOT / "tests" / "data" / "shapes" / "val" / "images"
PICTURE = IMAGES / "000086.jpg"


def take(page: Page, file: Path | dict[str, Any] = PICTURE, model: str = "", state: str = "result") -> None:
    """Chooses a model and a picture, a file or {"name", "mimeType", "buffer"}, and waits for what comes of it."""
    if model:
        page.select_option("#model", label=model)
    page.evaluate("delete document.querySelector('main').dataset.state")  # of the picture before
    page.set_input_files("#file", file)  # type: ignore[arg-type]  # a dictionary serves as a FilePayload
    page.wait_for_selector(f"main[data-state={state}]")


def transfer(page: Page, name: str, data: bytes, media_type: str) -> Any:
    """A file as it is dropped or pasted."""
    return page.evaluate_handle(
        """([name, type, data]) => {
          const transfer = new DataTransfer(), bytes = Uint8Array.from(atob(data), (letter) => letter.charCodeAt(0));
          transfer.items.add(new File([bytes], name, { type }));
          return transfer;
        }""",
        [name, media_type, base64.b64encode(data).decode()],
    )


def asked(address: str, file: Path = PICTURE, model: str = "mask_rcnn") -> dict[str, Any]:
    """What the server itself answers."""
    url = f"{address}/v1/predict?model={model}&threshold=0"
    request = urllib.request.Request(url, file.read_bytes(), {"Content-Type": "image/jpeg"})
    with urllib.request.urlopen(request) as response:
        answer: dict[str, Any] = json.load(response)
        return answer


def found(address: str, least: float = 0.5, file: Path = PICTURE) -> list[dict[str, Any]]:
    """The instances of the server's answer that reach a threshold, the best first."""
    instances = [instance for instance in asked(address, file)["instances"] if instance["score"] >= least]
    return sorted(instances, key=lambda instance: -instance["score"])


def rows(page: Page) -> list[list[str]]:
    """The table as it is shown."""
    texts: list[list[str]] = page.eval_on_selector_all(
        "#rows tr:not([hidden])", "rows => rows.map((row) => [...row.cells].map((cell) => cell.innerText.trim()))"
    )
    return texts


def canvas(page: Page) -> npt.NDArray[np.uint8]:
    """The picture as it is drawn, (H, W, 3) RGB."""
    data = page.evaluate("document.getElementById('canvas').toDataURL()").partition(",")[2]
    return np.asarray(Image.open(io.BytesIO(base64.b64decode(data))).convert("RGB"))


def set_threshold(page: Page, value: float) -> None:
    page.locator("#threshold").fill(str(value))


def answer_with(page: Page, **answer: Any) -> None:
    """Has the next predictions answered in the server's place."""
    times = {"decode": 1, "queue": 0, "predict": 20, "encode": 2}
    whole = {"model": "mask_rcnn", "version": "1", "width": 144, "height": 124, "milliseconds": times, **answer}
    page.route("**/v1/predict?*", lambda route: route.fulfill(json=whole))


def fail_with(page: Page, status: int, error: str = "", headers: dict[str, str] | None = None) -> None:
    page.route("**/v1/predict?*", lambda route: route.fulfill(status=status, json={"error": error}, headers=headers))
