"""d2deploy._ext.resize: Pillow's bits for any sizes, and what it refuses."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import conftest  # noqa: F401  # finds the module
import numpy as np
import numpy.typing as npt
import PIL
import pytest
from PIL import Image

from d2deploy import errors

if TYPE_CHECKING:
    from d2deploy import _ext
else:
    _ext = pytest.importorskip("d2deploy._ext", reason="not built: cmake --preset dev && cmake --build --preset dev")

Bytes = npt.NDArray[np.uint8]
PILLOW = int(PIL.__version__.partition(".")[0])


def pillow(image: Bytes, height: int, width: int) -> Bytes:
    """The image resized by Pillow, each channel as an image of its own: with alpha, Pillow would multiply by it."""
    if image.ndim == 3 and image.shape[2] == 3:
        return np.array(Image.fromarray(image).resize((width, height), Image.Resampling.BILINEAR))
    planes = image.reshape(*image.shape[:2], -1)
    resized = [
        np.array(
            Image.fromarray(np.ascontiguousarray(planes[:, :, c])).resize((width, height), Image.Resampling.BILINEAR)
        )
        for c in range(planes.shape[2])
    ]
    return np.stack(resized, axis=2).reshape(height, width, *image.shape[2:])


def goes_down_first(size: tuple[int, int, int, int]) -> bool:
    """Whether Pillow 13 resizes the height before the width; older versions never do."""
    height, width, new_height, new_width = size
    return new_height < height and height - new_height > 2 * (width - new_width)


def assert_is_pillows(size: tuple[int, int, int, int], shape: tuple[int, ...], image: Bytes, threads: int = 0) -> None:
    if PILLOW < 13 and size[1] != size[3] and goes_down_first(size):
        image, wanted = _ext.resize(image, size[2], size[1]), pillow(pillow(image, size[2], size[1]), *size[2:])
    else:
        wanted = pillow(image, *size[2:])
    have = _ext.resize(image, *size[2:], threads=threads)
    assert have.dtype == np.uint8
    assert have.shape == (*size[2:], *shape)
    wrong = np.argwhere(have != wanted)
    assert not len(wrong), f"{size}, {shape}: {len(wrong)} values of {have.size} differ, the first at {wrong[0]}"


def draw_image(random: np.random.Generator, shape: tuple[int, ...]) -> Bytes:
    """Noise, black and white alone in every second one: the largest sums, the hardest clipping."""
    image = random.integers(0, 256, shape, dtype=np.uint8)
    return np.where(image < 128, 0, 255).astype(np.uint8) if random.random() < 0.5 else image


# The largest side, and how many pairs of sizes: many small ones, few large ones.
@pytest.mark.parametrize(("most", "count"), [(8, 200), (40, 200), (300, 100), (1000, 20), (4000, 6)])
@pytest.mark.parametrize("shape", [(), (1,), (3,), (4,)], ids=str)
def test_gives_pillows_bits(most: int, count: int, shape: tuple[int, ...]) -> None:
    random = np.random.default_rng([most, sum(shape)])
    for _ in range(count if len(shape) == 0 else count // 2):
        height, width, new_height, new_width = np.exp(random.uniform(0, np.log(most + 0.4), 4)).round().astype(int)
        size = (int(height), int(width), int(new_height), int(new_width))
        assert_is_pillows(size, shape, draw_image(random, (*size[:2], *shape)))


@pytest.mark.parametrize(
    "size",
    [
        (480, 640, 800, 1067),  # what detectors ask for
        (1080, 1920, 750, 1333),
        (3000, 4000, 800, 1067),
        (1999, 601, 1333, 401),  # the height first
        (4000, 4000, 1, 1),
        (1, 1, 4000, 4000),
        (4000, 1, 3999, 2),
        (1, 4000, 2, 3999),
        (4000, 3, 7, 500),
        (3, 4000, 500, 7),
        (97, 101, 97, 55),  # one axis alone
        (97, 101, 97, 555),
        (97, 101, 55, 101),
        (97, 101, 555, 101),
        (97, 101, 97, 101),
    ],
    ids=str,
)
def test_gives_pillows_bits_at(size: tuple[int, int, int, int]) -> None:
    image = draw_image(np.random.default_rng(sum(size)), (*size[:2], 3))
    assert_is_pillows(size, (3,), image, threads=1)
    assert_is_pillows(size, (3,), image, threads=2)


def test_most_sizes_go_along_rows_first_and_some_do_not() -> None:
    """Both orders are among the sizes above, and they do differ."""
    image = draw_image(np.random.default_rng(1), (200, 50))
    down_first = _ext.resize(_ext.resize(image, 60, 50), 60, 40)
    along_first = _ext.resize(_ext.resize(image, 200, 40), 60, 40)
    assert (down_first != along_first).any()
    assert goes_down_first((200, 50, 60, 40))
    assert (_ext.resize(image, 60, 40) == down_first).all()
    assert not goes_down_first((50, 200, 40, 60))


def test_takes_images_that_are_not_contiguous() -> None:
    image = draw_image(np.random.default_rng(2), (60, 50, 3))
    for view in (image[:, :, ::-1], image[::-1], image[:, ::2], image.transpose(1, 0, 2), image[5:20, 7:30, 1]):
        np.testing.assert_array_equal(_ext.resize(view, 33, 44), pillow(np.ascontiguousarray(view), 33, 44))


@pytest.mark.parametrize(
    ("image", "size", "message"),
    [
        (np.zeros((4, 5), np.float32), (2, 2), "image is float32, wanted an array of uint8"),
        (None, (2, 2), "image is of type NoneType, wanted an array of uint8"),
        (np.zeros(5, np.uint8), (2, 2), "image must be (H, W) or (H, W, C), got 1 dimensions"),
        (np.zeros((1, 4, 5, 3), np.uint8), (2, 2), "got 4 dimensions"),
        (np.zeros((0, 5), np.uint8), (2, 2), "the image is empty: 0 x 5 pixels of 1 channels"),
        (np.zeros((4, 5, 0), np.uint8), (2, 2), "the image is empty: 4 x 5 pixels of 0 channels"),
        (np.zeros((4, 5), np.uint8), (0, 2), "the result would have 0 x 2 pixels"),
        (np.zeros((4, 5), np.uint8), (2, -7), "the result would have 2 x -7 pixels"),
        (np.zeros((4, 5), np.uint8), (2, 2**40), "a side may be at most 16777216"),
    ],
)
def test_refuses(image: Any, size: tuple[int, int], message: str) -> None:
    with pytest.raises(errors.InvalidArgument) as caught:
        _ext.resize(image, *size)
    assert message in str(caught.value)


def test_refuses_threads_below_zero() -> None:
    with pytest.raises(errors.InvalidArgument, match="threads is -1"):
        _ext.resize(np.zeros((4, 5), np.uint8), 2, 2, threads=-1)


def test_memory_that_does_not_suffice_is_an_error() -> None:
    with pytest.raises(errors.DeviceError, match=f"{2**48} bytes"):
        _ext.resize(np.zeros((4, 5), np.uint8), 2**24, 2**24)
