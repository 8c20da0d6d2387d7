"""The server's page in a real browser, with a real server behind it: what a person does and sees.

What no model of the tests answers is answered in the server's place.
"""

from __future__ import annotations

import base64
import io
import json
import re

import numpy as np
import pytest
from on_page import IMAGES, PICTURE, Open, answer_with, asked, canvas, found, rows, set_threshold, take, transfer
from PIL import Image
from pycocotools import mask as coco

from d2deploy.images import read_image

pytest.importorskip("playwright", reason="needs playwright, which scripts/setup installs")
from playwright.sync_api import Route, expect

pytestmark = pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")  # of pycocotools


def test_a_dropped_picture_shows_its_instances(open_page: Open, address: str) -> None:
    page = open_page()
    page.dispatch_event("main", "drop", {"dataTransfer": transfer(page, "a.jpg", PICTURE.read_bytes(), "image/jpeg")})
    page.wait_for_selector("main[data-state=result]")
    wanted = found(address)
    assert len(wanted) > 3
    shown = rows(page)
    assert [(row[1], row[2]) for row in shown] == [(i["class_name"], f"{i['score']:.2f}") for i in wanted]
    expect(page.get_by_role("heading", name=f"{len(wanted)} instances")).to_be_visible()
    expect(page.get_by_role("status").first).to_have_text(re.compile(rf"^{len(wanted)} instances: \d \w+"))
    expect(page.locator("#caption")).to_have_text("a.jpg, 144 × 124 pixels")
    for stage in ("network", "decode", "queue", "predict", "encode"):
        expect(page.locator("#times")).to_contain_text(re.compile(rf"{stage}\s*[\d.]+ ms"))


def test_a_pasted_picture_and_the_sample_are_taken(open_page: Open) -> None:
    page = open_page()
    pasted = transfer(page, "image.png", PICTURE.read_bytes(), "image/jpeg")
    page.evaluate("(data) => document.dispatchEvent(new ClipboardEvent('paste', { clipboardData: data }))", pasted)
    page.wait_for_selector("main[data-state=result]")
    expect(page.locator("#caption")).to_contain_text("144 × 124")
    page.reload()
    page.get_by_role("button", name="Try the sample").click()
    page.wait_for_selector("main[data-state=result]")
    expect(page.locator("#caption")).to_have_text("sample.jpg, 209 × 197 pixels")
    assert rows(page)


@pytest.mark.parametrize("model", ["mask_rcnn", "keypoint_rcnn", "panoptic_fpn"])
def test_each_layer_is_drawn_and_can_be_hidden(open_page: Open, model: str) -> None:
    page = open_page()
    take(page, model=model)
    boxes = page.locator("#layers input:visible")
    names = {"mask_rcnn": ["masks", "boxes", "names"], "keypoint_rcnn": ["boxes", "keypoints", "names"]}
    assert [box.get_attribute("value") for box in boxes.all()] == names.get(model, ["masks", "names"])
    if model != "panoptic_fpn":
        set_threshold(page, 0.2)
    for box in boxes.all():
        before = canvas(page)
        box.uncheck()
        assert (canvas(page) != before).any()
    plain = Image.fromarray(canvas(page)).resize((144, 124), Image.Resampling.BOX)
    assert np.abs(np.asarray(plain, float) - read_image(PICTURE, "RGB")).mean() < 3  # the picture alone is left


def test_masks_are_where_the_server_says(open_page: Open, address: str) -> None:
    page = open_page()
    take(page)
    for layer in ("Boxes", "Names"):
        page.get_by_label(layer).uncheck()
    painted = canvas(page)
    page.get_by_label("Masks").uncheck()
    changed = (painted != canvas(page)).any(2)
    share = np.asarray(Image.fromarray(np.uint8(255 * changed)).resize((144, 124), Image.Resampling.BOX)) / 255
    union = np.any([coco.decode(instance["mask"]) for instance in found(address)], axis=0)
    inner = np.lib.stride_tricks.sliding_window_view(np.pad(union, 2), (5, 5))
    assert share[inner.all((2, 3))].min() == 1  # all pixels that have the border further away than two pixels
    assert share[~inner.any((2, 3))].max() == 0


def test_the_slider_and_the_classes_filter_without_asking_again(open_page: Open, address: str) -> None:
    page = open_page()
    requests: list[str] = []
    page.on("request", lambda request: requests.append(request.url))
    take(page)
    assert len(requests) == 1
    before = canvas(page)
    for least in (0, 0.3, 0.95, 1):
        set_threshold(page, least)
        assert len(rows(page)) == len(found(address, least))
    assert (canvas(page) != before).any()
    expect(page.locator("#no-rows")).to_have_text("Nothing reaches the threshold in the classes that are on.")

    set_threshold(page, 0.5)
    names = [instance["class_name"] for instance in found(address)]
    expect(page.locator("#class-list li", has_text="disc")).to_have_text(f"disc{names.count('disc')}")
    page.get_by_role("checkbox", name="disc").uncheck()
    assert [row[1] for row in rows(page)] == [name for name in names if name != "disc"]
    expect(page.locator("#class-list li", has_text="disc")).to_have_text(f"disc{names.count('disc')}")
    page.get_by_role("button", name="All classes off").click()
    assert rows(page) == []
    page.get_by_role("button", name="All classes on").click()
    assert len(rows(page)) == len(names)
    assert len(requests) == 1


def test_colours_are_of_classes_or_of_instances(open_page: Open, address: str) -> None:
    def colours() -> list[str]:
        swatches = page.locator("#rows tr:not([hidden]) .swatch").all()
        return [swatch.evaluate("(swatch) => swatch.style.background") for swatch in swatches]

    page = open_page()
    take(page)
    names = [instance["class_name"] for instance in found(address)]
    assert len(set(names)) < len(names)
    by_class = colours()
    assert len(set(zip(names, by_class, strict=True))) == len(set(by_class)) == len(set(names))
    page.get_by_label("By instance").check()
    assert len(set(colours())) == len(names)


def test_an_instance_is_pointed_out_from_the_picture_and_from_the_table(open_page: Open, address: str) -> None:
    page = open_page()
    take(page)
    all_of_them = canvas(page)
    best = found(address)[0]
    x = (best["box"][0] + best["box"][2]) / 2 / 144
    y = (best["box"][1] + best["box"][3]) / 2 / 124
    box = page.locator("#canvas").bounding_box()
    assert box
    page.mouse.move(box["x"] + x * box["width"], box["y"] + y * box["height"])
    expect(page.locator("#rows tr.active td").first).to_have_text("1")
    assert (canvas(page) != all_of_them).any()
    page.mouse.move(0, 0)
    expect(page.locator("#rows tr.active")).to_have_count(0)
    np.testing.assert_array_equal(canvas(page), all_of_them)
    button = page.locator("#rows button").nth(1)
    button.press("Enter")
    expect(button).to_have_attribute("aria-pressed", "true")
    expect(page.locator("#rows tr.active td").first).to_have_text("2")
    button.press("Enter")
    expect(button).to_have_attribute("aria-pressed", "false")


def test_panoptic_segments_are_listed_beside_instances(open_page: Open, address: str) -> None:
    page = open_page()
    take(page, model="panoptic_fpn")
    answer = asked(address, model="panoptic_fpn")
    names = sorted(segment["class_name"] for segment in answer["panoptic"]["segments"])
    assert sorted(row[1] for row in rows(page)) == names
    expect(page.get_by_label("Threshold")).to_be_hidden()
    expect(page.get_by_role("heading", name="Segments", exact=True)).to_be_visible()
    page.get_by_role("checkbox", name=names[0]).uncheck()
    assert sorted(row[1] for row in rows(page)) == [name for name in names if name != names[0]]
    page.get_by_role("radio", name="Instances").check()
    assert len(rows(page)) == sum(instance["score"] >= 0.5 for instance in answer["instances"])
    take(page, IMAGES / "000020.jpg")
    expect(page.get_by_role("radio", name="Instances")).to_be_checked()


def test_a_semantic_map_is_shown_alone(open_page: Open) -> None:
    page = open_page()
    numbers = np.zeros((124, 144, 3), np.uint8)
    numbers[:31, :, 0] = 3
    file = io.BytesIO()
    Image.fromarray(numbers).save(file, "PNG")
    segments = [{"id": 0, "class_id": 0, "class_name": "road"}, {"id": 3, "class_id": 3, "class_name": "sky"}]
    answer_with(page, instances=[], sem_seg={"png": base64.b64encode(file.getvalue()).decode(), "segments": segments})
    take(page)
    assert rows(page) == [["1", "road", "stuff", "75.0 %", "13,392"], ["2", "sky", "stuff", "25.0 %", "4,464"]]
    expect(page.locator("#views")).to_be_hidden()
    expect(page.get_by_role("img", name="The picture with 2 segments: 1 road, 1 sky")).to_be_visible()


def test_rotated_boxes_and_proposals_are_drawn(open_page: Open) -> None:
    page = open_page()
    thin = {"class_id": 1, "class_name": "square", "score": 0.9, "box": [72, 62, 80, 4, 45]}
    answer_with(page, instances=[thin])
    take(page)
    page.get_by_label("Names").uncheck()
    with_it = canvas(page)
    set_threshold(page, 1)
    changed = (with_it != canvas(page)).any(2)
    height, width = changed.shape
    np.testing.assert_allclose(np.argwhere(changed).mean(0), (height / 2, width / 2), rtol=0.02)
    upper = changed[: height // 2]  # counter-clockwise: the long side goes up to the right
    assert upper[:, width // 2 :].sum() > 10 * upper[:, : width // 2].sum()
    proposals = [
        {"class_id": None, "class_name": "proposal", "score": 8 - 0.1 * i, "box": [i, i, i + 20, i + 20]}
        for i in range(100)
    ]
    page.unroute("**/v1/predict?*")
    answer_with(page, instances=proposals)
    take(page, IMAGES / "000020.jpg")
    assert 50 <= len(rows(page)) <= 51  # at first: as a step of the slider has it
    page.get_by_label("Threshold").press("Home")
    assert len(rows(page)) == 100
    page.unroute("**/v1/predict?*")
    take(page)
    expect(page.locator("#threshold-value")).to_have_text("0.50")


def test_a_picture_without_instances_says_so(open_page: Open) -> None:
    page = open_page()
    answer_with(page, instances=[])
    take(page)
    expect(page.get_by_role("heading", name="Nothing found")).to_be_visible()
    expect(page.locator("#no-rows")).to_have_text("The model finds nothing in this picture.")


def test_another_model_looks_at_the_same_picture(open_page: Open) -> None:
    page = open_page()
    take(page)
    page.get_by_label("Model").select_option(label="panoptic_fpn")
    expect(page.get_by_role("heading", name="Segments", exact=True)).to_be_visible()
    expect(page.locator("#caption")).to_contain_text(PICTURE.name)


def test_the_last_picture_counts(open_page: Open) -> None:
    page = open_page()
    held: list[Route] = []
    page.route("**/v1/predict?*", lambda route: route.fallback() if held else held.append(route))
    take(page, state="busy")
    expect(page.locator("main")).to_have_attribute("aria-busy", "true")
    take(page, IMAGES / "000020.jpg")
    held[0].abort()
    expect(page.locator("#caption")).to_contain_text("000020.jpg")
    expect(page.get_by_role("alert")).to_be_hidden()


def test_the_result_is_copied_and_saved(open_page: Open, address: str) -> None:
    page = open_page(permissions=["clipboard-read", "clipboard-write"])
    take(page)
    page.get_by_role("checkbox", name="disc").uncheck()
    page.get_by_role("button", name="Copy JSON").click()
    expect(page.locator("#taken")).to_have_text("Copied.")
    copied = json.loads(page.evaluate("navigator.clipboard.readText()"))
    wanted = [instance for instance in asked(address)["instances"] if instance["score"] >= 0.5]
    assert copied["instances"] == [instance for instance in wanted if instance["class_name"] != "disc"]
    assert copied["model"] == "mask_rcnn"
    with page.expect_download() as download:
        page.get_by_role("button", name="Save JSON").click()
    assert download.value.suggested_filename == "000086.json"
    assert json.loads(download.value.path().read_text()) == copied
    with page.expect_download() as download:
        page.get_by_role("button", name="Save picture").click()
    assert download.value.suggested_filename == "000086_found.png"
    with Image.open(download.value.path()) as saved:
        assert saved.size == (144, 124)
