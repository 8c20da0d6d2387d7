"""The server's page where something is wrong, or unusual: errors, tokens, pictures that browsers read otherwise."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from conftest import Conversion
from on_page import PICTURE, Open, canvas, fail_with, found, rows, take, transfer
from PIL import Image

from d2deploy.images import read_image
from page_screenshot import server

pytest.importorskip("playwright", reason="needs playwright, which scripts/setup installs")
from playwright.sync_api import expect

TOKEN = "a-token-for-the-tests"


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP"])
def test_pictures_are_upright_where_the_server_has_them_so(
    open_page: Open, tmp_path: Path, kind: str, orientation: int
) -> None:
    exif = Image.Exif()
    exif[0x0112] = orientation
    file = tmp_path / f"turned.{kind.lower()}"
    pixels = np.zeros((60, 80, 3), np.uint8)
    pixels[:30, :40], pixels[:30, 40:], pixels[30:, :40] = (250, 20, 20), (20, 250, 20), (20, 20, 250)
    Image.fromarray(pixels).save(file, kind, exif=exif, quality=95)
    page = open_page()
    take(page, file)
    upright = read_image(file, "RGB")
    expect(page.locator("#caption")).to_have_text(f"{file.name}, {upright.shape[1]} × {upright.shape[0]} pixels")
    for box in page.locator("#layers input:visible").all():
        box.uncheck()
    drawn = Image.fromarray(canvas(page)).resize(upright.shape[1::-1], Image.Resampling.BOX)
    assert np.abs(np.asarray(drawn, float) - upright).mean() < 3


def test_a_picture_that_browsers_cannot_show_is_looked_at(open_page: Open, tmp_path: Path, address: str) -> None:
    file = tmp_path / "scan.tiff"
    Image.fromarray(read_image(PICTURE, "RGB")).save(file)
    page = open_page()
    take(page, file)
    assert len(rows(page)) == len(found(address))
    expect(page.locator("#caption")).to_have_text(
        "This browser cannot show such pictures; only what was found is drawn. scan.tiff, 144 × 124 pixels"
    )


@pytest.mark.parametrize(
    ("status", "headers", "said", "again"),
    [
        (429, {"Retry-After": "7"}, "The server is busy. Try again in 7 seconds.", True),
        (429, {"Retry-After": "1"}, "The server is busy. Try again in a moment.", True),
        (503, {}, "The server is not ready. Try again in a moment.", True),
        (413, {}, "The picture is too large. What the server says.", False),
        (415, {}, "The server cannot use this picture. What the server says.", False),
        (404, {}, "The server does not have this. What the server says.", True),
        (504, {}, "That took too long. What the server says.", True),
        (500, {}, "The server could not answer (500). What the server says.", True),
    ],
)
def test_an_error_says_what_to_do(
    open_page: Open, status: int, headers: dict[str, str], said: str, again: bool
) -> None:
    page = open_page()
    fail_with(page, status, "what the server says", headers)
    take(page, state="failed")
    expect(page.get_by_role("alert").locator("p")).to_have_text(said)
    expect(page.get_by_role("button", name="Try again")).to_be_visible(visible=again)
    expect(page.locator("#panel")).to_be_hidden()


def test_trying_again_helps_where_the_server_is_back(open_page: Open) -> None:
    page = open_page()
    page.route("**/v1/predict?*", lambda route: route.abort())
    take(page, state="failed")
    expect(page.get_by_role("alert").locator("p")).to_have_text(
        "No connection to the server. It may have stopped, or the network is down."
    )
    page.unroute("**/v1/predict?*")
    page.get_by_role("button", name="Try again").press("Enter")
    page.wait_for_selector("main[data-state=result]")
    expect(page.get_by_role("alert")).to_be_hidden()
    expect(page.get_by_role("button", name="Choose another picture")).to_be_focused()


def test_what_is_no_picture_is_refused(open_page: Open) -> None:
    page = open_page()
    page.dispatch_event("main", "drop", {"dataTransfer": transfer(page, "notes.txt", b"some text", "text/plain")})
    alert = page.get_by_role("alert").locator("p")
    expect(alert).to_have_text("This is not a picture. notes.txt is of the type text/plain.")
    take(page, {"name": "a.png", "mimeType": "image/png", "buffer": b"some text"}, state="failed")
    expect(alert).to_have_text(re.compile(r"^The server cannot use this picture\. The picture .*JPEG.*\.$"))
    empty = page.evaluate_handle("new DataTransfer()")
    page.dispatch_event("main", "drop", {"dataTransfer": empty})
    expect(alert).to_have_text("This is not a picture. Drop the file of one.")


def test_a_page_of_a_proxy_is_no_answer(open_page: Open) -> None:
    page = open_page()
    page.route("**/v1/predict?*", lambda route: route.fulfill(status=502, body="<html>Bad gateway</html>"))
    take(page, state="failed")
    expect(page.get_by_role("alert").locator("p")).to_have_text("The server could not answer (502).")


def test_a_token_is_asked_for_and_sent(open_page: Open, tmp_path: Path, converted: Callable[[str], Conversion]) -> None:
    file = tmp_path / "token"
    file.write_text(TOKEN)
    with server(f"mask_rcnn={converted('mask_rcnn').folder}", "--token-file", file) as at:
        page = open_page(at, ready=False)
        dialog = page.get_by_role("dialog", name="This server wants a token")
        expect(dialog).to_contain_text("Whoever runs it can give you one.")
        page.keyboard.press("Escape")
        expect(page.get_by_role("alert").locator("p")).to_have_text("The server wants a token.")
        page.get_by_role("button", name="Try again").click()
        page.get_by_role("textbox", name="Token").fill("something else")
        page.keyboard.press("Enter")
        expect(dialog).to_contain_text("The one that you gave is not right.")
        page.get_by_role("textbox", name="Token").fill(TOKEN)
        page.get_by_role("button", name="Continue").click()
        expect(dialog).to_be_hidden()
        take(page)
        assert rows(page)
