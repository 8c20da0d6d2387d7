"""Reading and resizing of images."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from PIL import Image

from d2deploy.errors import InvalidArgument, Unsupported
from d2deploy.images import ImageReader, read_image, resize_shortest_edge, resized_shape


@pytest.mark.parametrize(
    ("size", "expected"),
    [
        ((480, 640), (800, 1067)),  # 1066.67 is rounded
        ((640, 480), (1067, 800)),
        ((427, 640), (800, 1199)),
        ((300, 900), (444, 1333)),  # the longest side limits; 444.33
        ((500, 500), (800, 800)),
    ],
)
def test_resized_shape(size: tuple[int, int], expected: tuple[int, int]) -> None:
    assert resized_shape(*size, 800, 1333) == expected


def test_size_zero_keeps_the_image() -> None:
    assert resized_shape(37, 53, 0, 1333) == (37, 53)


def test_resizing_is_pillows_antialiased_bilinear() -> None:
    # Halved, the filter is a triangle 4 pixels wide: weights 1 3 3 1 inside, renormalised at the borders.
    row = np.array([0, 0, 80, 160, 240, 240, 0, 0], np.uint8)
    image = np.broadcast_to(row[None, :, None], (8, 8, 3)).copy()
    resized = resize_shortest_edge(image, 4, 100)
    inner = [(0 + 3 * 80 + 3 * 160 + 240) / 8, (160 + 3 * 240 + 3 * 240 + 0) / 8]
    assert resized[1, 1:3, 0].tolist() == [round(v) for v in inner]
    assert resized.shape == (4, 4, 3)
    assert resize_shortest_edge(image[:, :, :1], 4, 100).shape == (4, 4, 1)
    np.testing.assert_array_equal(resize_shortest_edge(image, 8, 100), image)


def test_reading_gives_the_wanted_channels(tmp_path: Path) -> None:
    file = tmp_path / "image.png"
    pixels = np.array([[[200, 10, 30], [0, 0, 255]]], np.uint8)
    Image.fromarray(pixels).save(file)
    np.testing.assert_array_equal(read_image(file, "RGB"), pixels)
    np.testing.assert_array_equal(read_image(file), pixels[:, :, ::-1])
    assert read_image(file, "L").shape == (1, 2, 1)


def test_reading_turns_images_upright(tmp_path: Path) -> None:
    pixels = np.zeros((2, 3, 3), np.uint8)
    pixels[0, 0] = 255, 100, 7
    exif = Image.Exif()
    exif[0x0112] = 6  # the camera was held so that row 0 is the right side
    Image.fromarray(pixels).save(tmp_path / "a.png", exif=exif)
    for image_format, first in (("RGB", [255, 100, 7]), ("BGR", [7, 100, 255])):
        read = read_image(tmp_path / "a.png", image_format)
        assert read.shape == (3, 2, 3)
        assert read[0, 1].tolist() == first


def test_what_is_refused(tmp_path: Path) -> None:
    with pytest.raises(Unsupported, match=r"INPUT.FORMAT is YUV-BT.601; available: BGR, RGB, L"):
        read_image(tmp_path / "image.png", "YUV-BT.601")
    (tmp_path / "text.png").write_text("no image")
    with pytest.raises(InvalidArgument, match=r"text\.png: cannot be read as an image"):
        read_image(tmp_path / "text.png")
    Image.new("RGB", (50, 50)).save(tmp_path / "whole.png")
    (tmp_path / "cut.png").write_bytes((tmp_path / "whole.png").read_bytes()[:-40])
    with pytest.raises(InvalidArgument, match=r"cut\.png: cannot be read as an image"):
        read_image(tmp_path / "cut.png")
    with pytest.raises(InvalidArgument, match=r"must be \(H, W, 1 or 3\) uint8, got \(3, 4, 4\) uint8"):
        resize_shortest_edge(np.zeros((3, 4, 4), np.uint8), 800, 1333)
    with pytest.raises(InvalidArgument, match=r"a side would become 0 pixels"):
        resize_shortest_edge(np.zeros((1, 3000, 3), np.uint8), 800, 1333)


def test_reader_of_a_config() -> None:
    cfg = SimpleNamespace(INPUT=SimpleNamespace(MIN_SIZE_TEST=192, MAX_SIZE_TEST=320, FORMAT="RGB"))
    assert ImageReader.from_config(cfg) == ImageReader(192, 320, "RGB")


def test_reading_resizes(tmp_path: Path) -> None:
    # Pillow's bilinear filter averages when it makes smaller: beside the edge, 1/8 and 7/8 of the 100.
    pixels = np.zeros((4, 8, 3), np.uint8)
    pixels[:, 4:] = 100
    Image.fromarray(pixels).save(tmp_path / "a.png")
    image = ImageReader(2, 100)(tmp_path / "a.png")["image"]
    assert image.shape == (3, 2, 4)
    assert image[0].tolist() == [[0, 13, 88, 100]] * 2
