"""Pictures of every kind, read by the program and by Python: the same pixels, or refused by both."""

from __future__ import annotations

import re
import struct
import subprocess
import zlib
from collections.abc import Callable
from io import BytesIO
from pathlib import Path
from typing import Any, Literal

import numpy as np
import numpy.typing as npt
import pytest
from conftest import find_program
from PIL import Image

from d2deploy.errors import InvalidArgument
from d2deploy.images import read_image
from d2deploy.nets.proto import NetDef

Pixels = npt.NDArray[np.uint8]
Reader = Callable[[Path], "Pixels | str"]

HEIGHT, WIDTH = 11, 14
ROW, COLUMN = np.mgrid[0:HEIGHT, 0:WIDTH]
RGB = np.stack([COLUMN * 18, ROW * 23, (ROW + COLUMN) * 10], axis=2).astype(np.uint8)
GRAY = np.ascontiguousarray(RGB[:, :, 0])
ALPHA = ((COLUMN * 37 + ROW * 11) % 256).astype(np.uint8)
WORDS = (COLUMN * 4600 + ROW * 97 + 200).astype(np.uint16)
COLORED_WORDS = np.stack([WORDS, WORDS[::-1], WORDS[:, ::-1]], axis=2)
NOISE = np.random.default_rng(0).integers(0, 256, (200, 300, 3), np.uint8)
PALETTE = Image.fromarray(RGB).quantize(16)


def gray3(values: npt.NDArray[Any]) -> Pixels:
    return np.repeat(values.astype(np.uint8)[:, :, None], 3, axis=2)


def saved(image: Image.Image, kind: str, **options: Any) -> bytes:
    out = BytesIO()
    image.save(out, kind, **options)
    return out.getvalue()


def oriented(kind: str, orientation: int, **options: Any) -> bytes:
    exif = Image.Exif()
    exif[0x0112] = orientation
    return saved(Image.fromarray(RGB), kind, exif=exif, **options)


def png(values: npt.NDArray[Any], color: int, extra: bytes = b"", size: tuple[int, int] = (WIDTH, HEIGHT)) -> bytes:
    """PNG of 8 or 16 bits, by hand: Pillow writes no colors of 16 bits."""
    depth = values.dtype.itemsize * 8
    rows = b"".join(b"\0" + row.astype(f">u{depth // 8}").tobytes() for row in values)
    parts = [(b"IHDR", struct.pack(">IIBBBBB", *size, depth, color, 0, 0, 0))]
    parts += [(b"eXIf", extra)] if extra else []
    parts += [(b"IDAT", zlib.compress(rows)), (b"IEND", b"")]
    return b"\x89PNG\r\n\x1a\n" + b"".join(
        struct.pack(">I", len(body)) + name + body + struct.pack(">I", zlib.crc32(name + body)) for name, body in parts
    )


def tiff(values: npt.NDArray[Any], photometric: int, order: Literal["<", ">"] = "<", **tags: int) -> bytes:
    """TIFF in one strip, by hand: of either byte order, any type of values, any tags."""
    samples = 1 if values.ndim == 2 else values.shape[2]
    body = values.astype(values.dtype.newbyteorder(order)).tobytes()
    bits = values.dtype.itemsize * 8
    kind = {"u": 1, "i": 2, "f": 3}[values.dtype.kind]
    tail = 8 + len(body)
    lists = {258: [bits] * samples, 339: [kind] * samples}
    fields = {256: [values.shape[1]], 257: [values.shape[0]], 259: [1], 262: [photometric], 273: [8], 277: [samples]}
    fields |= {278: [values.shape[0]], 279: [len(body)], 284: [1]} | lists
    fields |= {int(name[1:]): [value] for name, value in tags.items()}
    extra, directory = b"", b""
    for tag, numbers in sorted(fields.items()):
        packed = struct.pack(f"{order}{len(numbers)}H", *numbers)
        if len(packed) > 4:
            extra, packed = extra + packed, struct.pack(f"{order}I", tail + len(extra))
        directory += struct.pack(f"{order}HHI", tag, 3, len(numbers)) + packed.ljust(4, b"\0")
    head = (b"II" if order == "<" else b"MM") + struct.pack(f"{order}HI", 42, tail + len(extra))
    return head + body + extra + struct.pack(f"{order}H", len(fields)) + directory + b"\0" * 4


def netpbm(kind: int, maximum: int, values: npt.NDArray[Any]) -> bytes:
    head = f"P{kind} # a comment\n{values.shape[1]} {values.shape[0]}\n{maximum}\n".encode()
    if kind in (2, 3):
        return head + b" ".join(str(v).encode() for v in values.ravel()) + b"\n"
    return head + values.astype(">u2" if maximum > 255 else "u1").tobytes()


def turned(orientation: int) -> Pixels:
    """By EXIF's words: which side of what is seen the first row is, and which the first column."""
    rows = {1: 0, 2: 0, 3: 2, 4: 2, 5: 3, 6: 1, 7: 1, 8: 3}[orientation]  # top, right, bottom, left
    upright = {0: RGB, 1: np.rot90(RGB, -1), 2: np.rot90(RGB, 2), 3: np.rot90(RGB, 1)}[rows]
    mirrored = {2: upright[:, ::-1], 4: upright[:, ::-1], 5: upright[::-1], 7: upright[::-1]}
    return np.ascontiguousarray(mirrored.get(orientation, upright))


EXIF_6 = tiff(GRAY[:1, :1], 1, ">", t274=6)
XMP_6 = b'<x:xmpmeta xmlns:x="adobe:ns:meta/"><rdf:Description tiff:Orientation="6"/></x:xmpmeta>'
COMPOSED = np.dstack([RGB, ALPHA])
MULTIPLIED = np.dstack([(RGB * (ALPHA[:, :, None] / 255)).astype(np.uint8), ALPHA])
DIVISOR = np.where(ALPHA == 0, 255, ALPHA)[:, :, None].astype(int)
RESTORED = np.minimum(255, MULTIPLIED[:, :, :3].astype(int) * 255 // DIVISOR).astype(np.uint8)
PAGES = [Image.fromarray(RGB[::-1].copy())]

# File, its bytes, the pixels that must come out in RGB. Lossy formats are given what Pillow makes of them.
TAKEN: dict[str, tuple[bytes, Pixels | None]] = {
    "rgb.png": (png(RGB, 2), RGB),
    "gray.png": (png(GRAY, 0), gray3(GRAY)),
    "alpha.png": (png(COMPOSED, 6), RGB),
    "gray_alpha.png": (png(np.dstack([GRAY, ALPHA]), 4), gray3(GRAY)),
    "gray_16.png": (png(WORDS, 0), gray3(WORDS >> 8)),
    "rgb_16.png": (png(COLORED_WORDS, 2), (COLORED_WORDS >> 8).astype(np.uint8)),
    "alpha_16.png": (png(np.dstack([COLORED_WORDS, WORDS]), 6), (COLORED_WORDS >> 8).astype(np.uint8)),
    "gray_alpha_16.png": (png(np.dstack([WORDS, WORDS]), 4), gray3(WORDS >> 8)),
    "palette.png": (saved(PALETTE, "PNG"), np.asarray(PALETTE.convert("RGB"))),
    "palette_alpha.png": (saved(PALETTE, "PNG", transparency=3), np.asarray(PALETTE.convert("RGB"))),
    "bit.png": (saved(Image.fromarray(GRAY > 100), "PNG"), gray3((GRAY > 100) * 255)),
    "animated.png": (saved(Image.fromarray(RGB), "PNG", save_all=True, append_images=PAGES), RGB),
    "exif_16.png": (png(COLORED_WORDS, 2, EXIF_6), np.rot90(COLORED_WORDS >> 8, -1).astype(np.uint8)),
    "damaged_exif.png": (png(RGB, 2, EXIF_6[:9]), RGB),
    "rgb.tif": (tiff(RGB, 2), RGB),
    "big_endian.tif": (tiff(RGB, 2, ">"), RGB),
    "gray_16.tif": (tiff(WORDS, 1), gray3(WORDS >> 8)),
    "big_endian_16.tif": (tiff(WORDS, 1, ">"), gray3(WORDS >> 8)),
    "rgb_16.tif": (tiff(COLORED_WORDS, 2), (COLORED_WORDS >> 8).astype(np.uint8)),
    "big_endian_rgb_16.tif": (tiff(COLORED_WORDS, 2, ">"), (COLORED_WORDS >> 8).astype(np.uint8)),
    "turned_gray.tif": (tiff(GRAY, 1, t274=8), gray3(np.rot90(GRAY))),
    "turned_16.tif": (tiff(WORDS, 1, t274=6), gray3(np.rot90(WORDS >> 8, -1))),
    "white_is_zero.tif": (tiff(GRAY, 0), gray3(255 - GRAY)),
    "alpha.tif": (tiff(COMPOSED, 2, t338=2), RGB),
    "unknown_alpha.tif": (tiff(COMPOSED, 2, t338=0), RGB),
    "multiplied_alpha.tif": (tiff(MULTIPLIED, 2, t338=1), RESTORED),
    "gray_alpha.tif": (saved(Image.fromarray(np.dstack([GRAY, ALPHA])), "TIFF"), gray3(GRAY)),
    "palette.tif": (saved(PALETTE, "TIFF"), np.asarray(PALETTE.convert("RGB"))),
    "bit.tif": (saved(Image.fromarray(GRAY > 100), "TIFF"), gray3((GRAY > 100) * 255)),
    "fax.tif": (saved(Image.fromarray(GRAY > 100), "TIFF", compression="group4"), gray3((GRAY > 100) * 255)),
    "lzw.tif": (saved(Image.fromarray(COMPOSED), "TIFF", compression="tiff_lzw"), RGB),
    "cmyk.tif": (saved(Image.fromarray(RGB).convert("CMYK"), "TIFF"), RGB),
    "pages.tif": (saved(Image.fromarray(RGB), "TIFF", save_all=True, append_images=PAGES), RGB),
    "rgb.jpg": (saved(Image.fromarray(RGB), "JPEG", quality=95), None),
    "gray.jpg": (saved(Image.fromarray(GRAY), "JPEG"), None),
    "cmyk.jpg": (saved(Image.fromarray(RGB).convert("CMYK"), "JPEG", quality=95), None),
    "rgb.webp": (saved(Image.fromarray(RGB), "WEBP", lossless=True), RGB),
    "alpha.webp": (saved(Image.fromarray(COMPOSED), "WEBP", lossless=True, exact=True), RGB),
    "xmp.webp": (saved(Image.fromarray(RGB), "WEBP", lossless=True, xmp=XMP_6), np.rot90(RGB, -1)),
    "lossy.webp": (saved(Image.fromarray(RGB), "WEBP"), None),
    "rgb.bmp": (saved(Image.fromarray(RGB), "BMP"), RGB),
    "palette.bmp": (saved(PALETTE, "BMP"), np.asarray(PALETTE.convert("RGB"))),
    "rgb.jp2": (saved(Image.fromarray(RGB), "JPEG2000"), RGB),
    "bit.pbm": (saved(Image.fromarray(GRAY > 100), "PPM"), gray3((GRAY > 100) * 255)),
    "gray.pgm": (netpbm(5, 255, GRAY), gray3(GRAY)),
    "dark.pgm": (netpbm(5, 15, GRAY // 16), gray3(GRAY // 16 * 17)),
    "dark.ppm": (netpbm(6, 5, RGB // 51), RGB // 51 * 51),
    "plain.ppm": (netpbm(3, 5, RGB // 51), RGB // 51 * 51),
    "words.pgm": (netpbm(5, 65535, WORDS), gray3(WORDS >> 8)),
    "ten_bits.pgm": (netpbm(5, 1023, WORDS // 64), gray3(np.rint(WORDS // 64 / 1023 * 65535).astype(int) >> 8)),
    "plain_ten_bits.pgm": (netpbm(2, 1023, WORDS // 64), gray3(np.rint(WORDS // 64 / 1023 * 65535).astype(int) >> 8)),
    "words.ppm": (netpbm(6, 65535, COLORED_WORDS), np.rint(COLORED_WORDS / 257).astype(np.uint8)),
}
for _orientation in range(1, 9):
    TAKEN[f"exif_{_orientation}.png"] = oriented("PNG", _orientation), turned(_orientation)
    TAKEN[f"exif_{_orientation}.webp"] = oriented("WEBP", _orientation, lossless=True), turned(_orientation)
    TAKEN[f"exif_{_orientation}.tif"] = oriented("TIFF", _orientation), turned(_orientation)
    TAKEN[f"exif_{_orientation}.jpg"] = oriented("JPEG", _orientation, quality=100, subsampling=0), None


def cut(data: bytes, share: float = 0.6) -> bytes:
    return data[: int(len(data) * share)]


ONLY_YOU = "of which only you know what is white; scale them to 8 bits and save that as PNG"
TOO_LARGE = "30000 x 30000 pixels, at most 178956970|exceeds limit of 178956970"
# File, its bytes, and what both must say.
REFUSED: dict[str, tuple[bytes, str]] = {
    "float.tif": (tiff(WORDS.astype(np.float32), 1), rf"floating-point values, {ONLY_YOU}"),
    "int32.tif": (tiff(WORDS.astype(np.int32), 1), rf"integers.* {ONLY_YOU}"),
    "uint32.tif": (tiff(WORDS.astype(np.uint32), 1), rf"integers of 32 bits,.* {ONLY_YOU}"),
    "int16.tif": (tiff(WORDS.astype(np.int16), 1), rf"signed.* {ONLY_YOU}"),
    "int8.tif": (tiff(GRAY.astype(np.int8), 1), rf"signed.* {ONLY_YOU}"),
    "white_is_zero_16.tif": (tiff(WORDS, 0), r"photometric interpretation 0 with 16 bits .* save it in RGB or gray"),
    "float.pfm": (b"Pf\n14 11\n-1.0\n" + GRAY.astype("<f4").tobytes(), rf"floating-point values, {ONLY_YOU}"),
    "animated.webp": (
        saved(Image.fromarray(RGB), "WEBP", save_all=True, append_images=PAGES),
        r"is an animated WebP file; save one frame",
    ),
    "bomb.png": (png(RGB, 2, size=(30000, 30000)), TOO_LARGE),
    "bomb.bmp": (
        saved(Image.fromarray(RGB), "BMP")[:18] + struct.pack("<II", 30000, 30000) + saved(PALETTE, "BMP")[26:],
        TOO_LARGE,
    ),
    "bomb.tif": (tiff(RGB, 2, t256=30000, t257=30000), TOO_LARGE),
    "cut.png": (cut(png(RGB, 2)), ""),
    "cut.jpg": (cut(saved(Image.fromarray(RGB), "JPEG", quality=95), 0.9), ""),
    "half.jpg": (cut(saved(Image.fromarray(NOISE), "JPEG"), 0.5), ""),
    "no_end.jpg": (saved(Image.fromarray(NOISE), "JPEG")[:-2], ""),
    "cut.tif": (cut(tiff(RGB, 2)), ""),
    "cut_lzw.tif": (cut(saved(Image.fromarray(RGB), "TIFF", compression="tiff_lzw")), ""),
    "cut.webp": (cut(saved(Image.fromarray(RGB), "WEBP", lossless=True)), ""),
    "cut.bmp": (cut(saved(Image.fromarray(RGB), "BMP")), ""),
    "cut.ppm": (cut(netpbm(6, 255, RGB)), ""),
    "head.png": (png(RGB, 2)[:8], ""),
    "head.tif": (b"II*\0", ""),
    "head.jpg": (b"\xff\xd8\xff\xe1", ""),
    "nothing.ppm": (b"P6", ""),
}


@pytest.fixture(scope="module")
def by_program(tmp_path_factory: pytest.TempPathFactory) -> Reader:
    """The pixels that a net gets from the program, in RGB, or what it says instead."""
    folder = tmp_path_factory.mktemp("identity")
    # Relu changes no pixel, as none is negative.
    net = NetDef(name="identity", external_input=["data"], external_output=["pixels"])
    net.op.add(type="Relu", input=["data"], output=["pixels"])
    (folder / "model.pb").write_bytes(net.SerializeToString())
    (folder / "model_init.pb").write_bytes(NetDef(name="init").SerializeToString())
    program = find_program("caffe2_mask_rcnn")

    def read(path: Path) -> Pixels | str:
        flags = [f"--predict_net={folder}/model.pb", f"--init_net={folder}/model_init.pb", f"--dump_dir={folder}"]
        result = subprocess.run(
            [str(program), *flags, f"--input={path}", "--threads=1"],
            capture_output=True,
            text=True,
            check=False,
            timeout=100,
        )
        if result.returncode != 0:
            assert result.returncode == 1, result.stderr
            assert len(result.stderr.splitlines()) == 1, result.stderr
            return result.stderr
        bgr = np.load(folder / "pixels.npy")[0]
        return np.ascontiguousarray(bgr[::-1].transpose(1, 2, 0)).astype(np.uint8)

    return read


def by_python(path: Path) -> Pixels | str:
    try:
        return read_image(path, "RGB")
    except InvalidArgument as error:
        return str(error)


@pytest.mark.parametrize("name", TAKEN)
def test_both_readers_give_these_pixels(name: str, by_program: Reader, tmp_path: Path) -> None:
    data, wanted = TAKEN[name]
    file = tmp_path / name
    file.write_bytes(data)
    python, program = by_python(file), by_program(file)
    assert not isinstance(python, str), python
    assert not isinstance(program, str), program
    # CMYK is computed from rounded products, which Pillow and OpenCV order in their own ways; JPEG decoders round too.
    slack = 1 if name.endswith(".jpg") else 0
    np.testing.assert_allclose(program.astype(int), python.astype(int), atol=slack)
    if wanted is not None:
        np.testing.assert_array_equal(python, wanted)
    elif name.startswith("exif_"):
        upright = turned(int(name[5]))
        assert python.shape == upright.shape
        assert np.abs(python.astype(int) - upright).mean() < 3


@pytest.mark.parametrize("name", REFUSED)
def test_both_readers_refuse(name: str, by_program: Reader, tmp_path: Path) -> None:
    data, message = REFUSED[name]
    file = tmp_path / name
    file.write_bytes(data)
    for reader in (by_python, by_program):
        said = reader(file)
        assert isinstance(said, str), f"{reader} gave pixels {said.shape}"
        assert name in said
        assert re.search(message, said), said


def test_gray_of_16_bits_as_one_channel(tmp_path: Path) -> None:
    (tmp_path / "a.png").write_bytes(png(WORDS, 0, EXIF_6))
    np.testing.assert_array_equal(read_image(tmp_path / "a.png", "L")[:, :, 0], np.rot90(WORDS >> 8, -1))
