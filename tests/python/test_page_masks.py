"""masks.js of the server's page, beside pycocotools: run lengths, areas, outlines, maps."""

from __future__ import annotations

import base64
import io
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt
import pytest
from on_page import Open
from PIL import Image
from pycocotools import mask as coco

if TYPE_CHECKING:
    from playwright.sync_api import Page

pytestmark = pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")  # of pycocotools


def in_page(page: Page, script: str, argument: Any) -> Any:
    """What a function of masks.js, as `m`, and an argument, `x`, give."""
    return page.evaluate(
        f"async (x) => {{ const m = await import(`${{location.origin}}/masks.js`); {script} }}", argument
    )


def random_masks() -> list[npt.NDArray[np.uint8]]:
    """Of many sizes and densities: noise, blobs, all, nothing, one pixel, long runs."""
    random = np.random.default_rng(7)
    shapes = [(5, 7), (1, 1), (3000, 2000)]
    masks: list[npt.NDArray[Any]] = [np.eye(9), *map(np.ones, shapes), *map(np.zeros, shapes)]
    for share in (0.02, 0.3, 0.5, 0.9):
        masks += [random.random(random.integers(1, 40, 2)) < share for _ in range(12)]
    for _ in range(12):
        height, width = random.integers(20, 90, 2)
        y, x = np.mgrid[:height, :width]
        centre = random.random(2) * (height, width)
        masks.append((y - centre[0]) ** 2 + 0.3 * (x - centre[1]) ** 2 < (height / 3) ** 2)
    masks.append(np.pad(np.ones((1, 1)), ((70000, 0), (0, 30))))
    return [np.asfortranarray(mask, np.uint8) for mask in masks]


def encoded(mask: npt.NDArray[np.uint8]) -> dict[str, Any]:
    rle = coco.encode(np.asfortranarray(mask))
    return {"size": rle["size"], "counts": rle["counts"].decode()}


@pytest.mark.parametrize("step", [1, 2, 5])
def test_masks_are_decoded_as_pycocotools_does(open_page: Open, step: int) -> None:
    page, masks = open_page(), random_masks()
    script = (
        "return x.masks.map((mask) => { const b = m.bitmap(mask, x.step); return { ...b, bits: b.bits.join('') }; });"
    )
    given = in_page(page, script, {"masks": list(map(encoded, masks)), "step": step})
    for mask, part in zip(masks, given, strict=True):
        wanted = mask[::step, ::step]
        whole = np.zeros_like(wanted)
        left, top, width, height = (part[key] for key in ("left", "top", "width", "height"))
        bits = np.array(list(part["bits"]), np.uint8).reshape(height, width)
        whole[top : top + height, left : left + width] = bits
        np.testing.assert_array_equal(whole, wanted)
        if bits.size:  # no larger than it must be
            assert bits[[0, -1]].any(1).all()
            assert bits[:, [0, -1]].any(0).all()


def test_areas_are_those_of_pycocotools(open_page: Open) -> None:
    masks = list(map(encoded, random_masks()))
    areas = in_page(open_page(), "return x.map(m.area);", masks)
    assert areas == [int(coco.area(mask)) for mask in masks]


def test_an_outline_has_the_mask_inside_and_nothing_else(open_page: Open) -> None:
    masks = [mask for mask in random_masks() if mask.size < 10_000]
    script = """const context = new OffscreenCanvas(1, 1).getContext("2d");
      return x.map((mask) => {
        const path = m.outlinePath(m.bitmap(mask)), [height, width] = mask.size, bits = [];
        for (let i = 0; i < height * width; i++) {
          bits.push(Number(context.isPointInPath(path, i % width + 0.5, Math.floor(i / width) + 0.5)));
        }
        return bits.join("");
      });"""
    for mask, bits in zip(masks, in_page(open_page(), script, list(map(encoded, masks))), strict=True):
        np.testing.assert_array_equal(np.array(list(bits), np.uint8).reshape(mask.shape), mask)


def test_maps_are_read_as_they_are_written(open_page: Open) -> None:
    numbers = np.random.default_rng(3).choice([0, 1, 7, 255, 256, 65535, 65536, 70000], (31, 47))
    file = io.BytesIO()
    digits = np.stack([numbers & 255, numbers >> 8 & 255, numbers >> 16], 2).astype(np.uint8)
    Image.fromarray(digits).save(file, "PNG")
    script = """const map = await m.readMap(x), found = m.segmentsOf(map);
      return { ...map, numbers: [...map.numbers], seven: [...m.segmentBitmap(map, 7).bits], ...found[70000] };"""
    given = in_page(open_page(), script, base64.b64encode(file.getvalue()).decode())
    assert (given["height"], given["width"]) == numbers.shape
    assert given["numbers"] == numbers.ravel().tolist()
    assert given["seven"] == (numbers.ravel() == 7).astype(int).tolist()
    places = np.argwhere(numbers == 70000)
    assert given["pixels"] == len(places)
    assert given["middle"][::-1] == places[(len(places) + 1) // 2 - 1].tolist()
