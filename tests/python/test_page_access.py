"""The server's page is for everybody: by keyboard, with a screen reader, in the dark, on a phone; and it is safe."""

from __future__ import annotations

import io
import urllib.request
from typing import Any

import numpy as np
import pytest
from conftest import ROOT
from on_page import PICTURE, Open, fail_with, rows, take
from PIL import Image

pytest.importorskip("playwright", reason="needs playwright, which scripts/setup installs")
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import expect

PAGE = ROOT / "python" / "d2deploy" / "serving" / "page"


def test_all_of_it_works_by_keyboard(open_page: Open) -> None:
    def tab_to(**wanted: Any) -> None:
        target = page.get_by_role(**wanted)
        for _ in range(40):
            page.keyboard.press("Tab")
            focused = page.locator(":focus")
            outline = focused.evaluate("(at) => [getComputedStyle(at).outlineStyle, getComputedStyle(at).outlineWidth]")
            assert outline == ["solid", "3px"], focused
            if target.evaluate("(at) => at === document.activeElement"):
                return
        raise AssertionError(f"the focus never comes to {wanted}")

    page = open_page()
    page.on("filechooser", lambda chooser: None)  # none is opened on a screen, from now on
    tab_to(role="button", name="Choose a picture")
    with page.expect_file_chooser():
        page.keyboard.press("Enter")
    tab_to(role="button", name="Try the sample")
    page.keyboard.press("Enter")
    page.wait_for_selector("main[data-state=result]")
    expect(page.get_by_role("button", name="Choose another picture")).to_be_focused()
    count = len(rows(page))
    tab_to(role="slider", name="Threshold")
    page.keyboard.press("Home")
    assert len(rows(page)) > count
    tab_to(role="button", name="All classes off")
    page.keyboard.press("Space")
    assert rows(page) == []
    tab_to(role="checkbox", name="star")
    page.keyboard.press("Space")
    assert {row[1] for row in rows(page)} == {"star"}
    tab_to(role="checkbox", name="Masks")
    tab_to(role="button", name="Copy JSON")
    tab_to(role="region", name="Instances", exact=True)
    page.keyboard.press("Tab")
    page.keyboard.press("Enter")
    assert page.locator("#rows button[aria-pressed=true]").count() == 1


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_no_rule_of_accessibility_is_broken(open_page: Open, scheme: str) -> None:
    def check() -> None:
        results = Axe().run(page)
        assert results.violations_count == 0, results.generate_report()

    page = open_page(color_scheme=scheme, reduced_motion="reduce")
    check()
    take(page)
    check()
    take(page, model="panoptic_fpn")
    check()
    fail_with(page, 500)
    take(page, state="failed")
    check()
    page.unroute("**/v1/predict?*")
    fail_with(page, 401)
    page.get_by_role("button", name="Try again").click()
    page.get_by_role("dialog").wait_for()
    check()


def test_the_page_is_dark_where_the_system_is(open_page: Open) -> None:
    lights = []
    for scheme in ("light", "dark"):
        page = open_page(color_scheme=scheme)
        lights.append(np.asarray(Image.open(io.BytesIO(page.screenshot())).convert("L")).mean())
    assert lights[0] > 200
    assert lights[1] < 60


@pytest.mark.parametrize("width", [320, 400, 860])
def test_nothing_is_wider_than_a_narrow_screen(open_page: Open, width: int) -> None:
    page = open_page(viewport={"width": width, "height": 640})

    def check() -> None:
        assert page.evaluate("document.documentElement.scrollWidth") <= width

    check()
    take(page, {"name": f"{'long_' * 40}.jpg", "mimeType": "image/jpeg", "buffer": PICTURE.read_bytes()})
    check()
    fail_with(page, 413, "x" * 300)
    take(page, state="failed")
    check()


@pytest.mark.parametrize("reduced", [False, True])
def test_nothing_moves_where_motion_is_reduced(open_page: Open, reduced: bool) -> None:
    page = open_page(reduced_motion="reduce" if reduced else "no-preference")
    page.route("**/v1/predict?*", lambda route: None)
    take(page, state="busy")
    assert (page.evaluate("document.getAnimations().length") == 0) == reduced


def test_a_changed_window_is_drawn_anew(open_page: Open) -> None:
    page = open_page(viewport={"width": 1200, "height": 800}, device_scale_factor=2)
    take(page)
    wide = page.evaluate("[canvas.width, canvas.clientWidth]")
    assert wide[0] == 2 * wide[1]
    page.set_viewport_size({"width": 400, "height": 800})
    page.wait_for_function("canvas.width === 2 * canvas.clientWidth && canvas.clientWidth < 400")


def test_the_policy_allows_nothing_from_elsewhere(address: str) -> None:
    with urllib.request.urlopen(address) as response:
        policy = dict(rule.split(maxsplit=1) for rule in response.headers["Content-Security-Policy"].split("; "))
    assert policy["default-src"] == "'none'"
    assert {policy[kind] for kind in ("script-src", "style-src", "connect-src")} == {"'self'"}


def test_every_file_of_the_page_is_served_and_readable(address: str) -> None:
    files = sorted(PAGE.iterdir())
    assert files
    for file in files:
        text = file.read_text("utf-8")
        with urllib.request.urlopen(f"{address}/{file.name}") as response:
            assert response.read().decode() == text
        assert max(map(len, text.splitlines())) <= 120, file
        assert "\t" not in text, file
