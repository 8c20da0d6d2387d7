"""8-bit PNG files, gray or RGB, as arrays: all that the tests need, without an image library."""

from __future__ import annotations

import struct
import zlib
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import numpy.typing as npt

Pixels = npt.NDArray[np.uint8]

SIGNATURE = b"\x89PNG\r\n\x1a\n"
CHANNELS = {0: 1, 2: 3}  # color type -> samples of a pixel


def chunks(data: bytes) -> Iterator[tuple[bytes, bytes]]:
    position = len(SIGNATURE)
    while position < len(data):
        (length,) = struct.unpack_from(">I", data, position)
        yield data[position + 4 : position + 8], data[position + 8 : position + 8 + length]
        position += 12 + length


def unfilter(kind: int, line: bytes, above: bytes, step: int) -> bytes:
    """Undoes one of the five filters of a row; `step` is the number of bytes of a pixel."""
    row = bytearray(line)
    for i in range(len(row)):
        left, up = row[i - step] if i >= step else 0, above[i]
        corner = above[i - step] if i >= step else 0
        nearest = min((left, up, corner), key=lambda v: abs(left + up - corner - v))
        row[i] = (row[i] + (0, left, up, (left + up) // 2, nearest)[kind]) & 255
    return bytes(row)


def read_png(path: Path) -> Pixels:
    """Pixels of shape (height, width) where gray, (height, width, 3) where RGB."""
    data = path.read_bytes()
    assert data.startswith(SIGNATURE), f"{path} is not a PNG file"
    parts = list(chunks(data))
    width, height, depth, color, _, _, interlaced = struct.unpack(">IIBBBBB", parts[0][1])
    assert (depth, interlaced) == (8, 0), f"{path}: {depth} bits, interlaced {interlaced}"
    step = CHANNELS[color]
    stride = width * step
    packed = zlib.decompress(b"".join(body for name, body in parts if name == b"IDAT"))
    rows = [bytes(stride)]
    for start in range(0, height * (stride + 1), stride + 1):
        rows.append(unfilter(packed[start], packed[start + 1 : start + 1 + stride], rows[-1], step))
    shape = (height, width) if step == 1 else (height, width, step)
    return np.frombuffer(b"".join(rows[1:]), np.uint8).reshape(shape)


def write_png(path: Path, pixels: Pixels) -> None:
    """Writes RGB pixels of shape (height, width, 3)."""
    height, width, channels = pixels.shape
    assert channels == 3
    rows = b"".join(b"\0" + row.tobytes() for row in pixels)
    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    body = b""
    for name, part in ((b"IHDR", header), (b"IDAT", zlib.compress(rows)), (b"IEND", b"")):
        body += struct.pack(">I", len(part)) + name + part + struct.pack(">I", zlib.crc32(name + part))
    path.write_bytes(SIGNATURE + body)
