"""Kinds of requests, good and bad, each with the answer that it must get."""

from __future__ import annotations

import asyncio
import base64
import io
import json
import random
import struct
import time
import zlib
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any

from PIL import Image

from load.client import Answer, Connection, head
from load.server import Fault
from load.truth import Picture, check_prediction, check_tensors

PREDICT, INFER = "/v1/predict", "/v2/models/model/infer"
# Of the server, so that slow clients are told so in a short time; the others never need so long.
BODY_SECONDS = HEADER_SECONDS = 2.0
OPTIONS = ["--body-timeout", str(BODY_SECONDS), "--header-timeout", str(HEADER_SECONDS), "--queue", "128"]
ABORT_SECONDS = BODY_SECONDS + 15
Ask = Callable[["Asker"], Awaitable[None]]


@dataclass
class Asker:
    """One of several that ask at the same time: its connection, and what it draws its pictures by."""

    connection: Connection
    pictures: list[Picture]
    chance: random.Random

    @property
    def port(self) -> int:
        return self.connection.port

    def picture(self) -> Picture:
        return self.chance.choice(self.pictures)


def wanted(answer: Answer, *codes: int) -> None:
    """Raises Fault where the code is none of these."""
    if answer.status not in codes:
        raise Fault(f"code {answer.status}, wanted {' or '.join(map(str, codes))}: {answer.body[:300]!r}")
    if answer.status >= 400 and "error" not in json.loads(answer.body):
        raise Fault(f"code {answer.status} without a message: {answer.body[:300]!r}")


# --- Good ones -------------------------------------------------------------------------------------------------------
async def predict(asker: Asker) -> None:
    picture = asker.picture()
    answer = await asker.connection.ask("POST", PREDICT, picture.data)
    wanted(answer, 200)
    check_prediction(answer, picture)


async def form(asker: Asker) -> None:
    picture = asker.picture()
    part = (
        b'--edge\r\nContent-Disposition: form-data; name="image"; filename="a"\r\n\r\n%b\r\n--edge--\r\n' % picture.data
    )
    answer = await asker.connection.ask("POST", PREDICT, part, content_type="multipart/form-data; boundary=edge")
    wanted(answer, 200)
    check_prediction(answer, picture)


async def drawn(asker: Asker) -> None:
    picture = asker.picture()
    answer = await asker.connection.ask("POST", f"{PREDICT}?format=png", picture.data)
    wanted(answer, 200)
    size = Image.open(io.BytesIO(answer.body)).size
    if size != (picture.pixels.shape[1], picture.pixels.shape[0]):
        raise Fault(f"{picture.name}: the drawn picture has {size} pixels")


async def infer_json(asker: Asker) -> None:
    picture = asker.picture()
    data = base64.b64encode(picture.data).decode()
    message = {"inputs": [{"name": "image", "datatype": "BYTES", "shape": [1], "data": [data]}]}
    answer = await asker.connection.ask("POST", INFER, json.dumps(message).encode())
    wanted(answer, 200)
    check_tensors(answer, picture)


async def infer_binary(asker: Asker) -> None:
    picture = asker.picture()
    element = struct.pack("<I", len(picture.data)) + picture.data
    message = json.dumps(_binary_message(len(element))).encode()
    length = str(len(message))
    answer = await asker.connection.ask("POST", INFER, message + element, inference_header_content_length=length)
    wanted(answer, 200)
    check_tensors(answer, picture)


def _binary_message(size: int) -> dict[str, Any]:
    entry = {"name": "image", "datatype": "BYTES", "shape": [1], "parameters": {"binary_data_size": size}}
    return {"inputs": [entry], "parameters": {"binary_data_output": True}}


async def look(asker: Asker) -> None:
    path = asker.chance.choice(
        ["/v1/models", "/v2", "/v2/health/live", "/v2/health/ready", "/metrics", "/openapi.json"]
    )
    wanted(await asker.connection.ask("GET", path), 200)


# --- Pictures that are none ------------------------------------------------------------------------------------------
async def damaged(asker: Asker) -> None:
    """A picture that ends too early, or bytes of which some are others."""
    data = bytearray(asker.picture().data)
    if asker.chance.random() < 0.5:
        wanted(await asker.connection.ask("POST", PREDICT, bytes(data[: len(data) // 2])), 400)
        return
    for _ in range(8):
        data[asker.chance.randrange(len(data))] = asker.chance.randrange(256)
    wanted(await asker.connection.ask("POST", PREDICT, bytes(data)), 200, 400, 413)


async def no_picture(asker: Asker) -> None:
    data = asker.chance.randbytes(asker.chance.randrange(1, 5000))
    wanted(await asker.connection.ask("POST", PREDICT, data), 400)


async def empty(asker: Asker) -> None:
    wanted(await asker.connection.ask("POST", PREDICT), 400)


def _chunk(kind: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def bomb(width: int, height: int) -> bytes:
    """A PNG of a kilobyte that says to be as large as this, in black and white."""
    lines = zlib.compress(bytes(min((1 + width // 8) * height, 10**6)), 9)
    sizes = struct.pack(">IIBBBBB", width, height, 1, 0, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + _chunk(b"IHDR", sizes) + _chunk(b"IDAT", lines) + _chunk(b"IEND", b"")


BOMBS = [bomb(8000, 8000), bomb(50_000, 50_000), bomb(2**31 - 1, 2**31 - 1)]


async def bombs(asker: Asker) -> None:
    wanted(await asker.connection.ask("POST", PREDICT, asker.chance.choice(BOMBS)), 413)


# --- Requests that are wrong -----------------------------------------------------------------------------------------
_IMAGE = {"name": "image", "datatype": "BYTES", "shape": [1], "data": ["AAAA"]}
WRONG_TENSORS: list[tuple[int, Any]] = [
    (400, {"inputs": []}),
    (400, {"inputs": [{**_IMAGE, "name": "picture"}]}),
    (400, {"inputs": [{**_IMAGE, "datatype": "FP32", "data": [1.5]}]}),
    (400, {"inputs": [{**_IMAGE, "shape": [2], "data": ["AAAA", "AAAA"]}]}),
    (400, {"inputs": [{**_IMAGE, "shape": [-1]}]}),
    (400, {"inputs": [{**_IMAGE, "shape": [1, 1, 1, 1]}]}),
    (400, {"inputs": [{**_IMAGE, "datatype": "COMPLEX"}]}),
    (400, {"inputs": [{**_IMAGE, "data": ["no base64!"]}]}),
    (400, {"inputs": [_IMAGE, _IMAGE]}),
    (400, {"inputs": [_IMAGE], "outputs": [{"name": "none"}]}),
    (400, _binary_message(10**12)),
    (400, [[[]]]),
    (501, {"inputs": [{"name": "data", "datatype": "FP32", "shape": [1, 1, 1, 1], "data": [0.0]}]}),
]


async def wrong_tensors(asker: Asker) -> None:
    code, message = asker.chance.choice(WRONG_TENSORS)
    wanted(await asker.connection.ask("POST", INFER, json.dumps(message).encode()), code)


async def no_json(asker: Asker) -> None:
    body = asker.chance.choice([b"", b"{", b"\xff\xfe", b"[" * 100_000, b"9" * 10_000, b'{"inputs": NaN}'])
    wanted(await asker.connection.ask("POST", INFER, body), 400)


async def wrong_address(asker: Asker) -> None:
    code, method, path = asker.chance.choice(
        [
            (404, "GET", "/v2/models/none"),
            (404, "POST", "/v2/models/model/versions/9/infer"),
            (404, "GET", "/../../etc/passwd"),
            (404, "POST", f"{PREDICT}?model=none"),
            (405, "DELETE", "/v1/models"),
            (400, "POST", f"{PREDICT}?threshold=2"),
            (400, "POST", f"{PREDICT}?unknown=1"),
        ]
    )
    answer = await asker.connection.ask(method, path, asker.picture().data if method == "POST" else b"")
    wanted(answer, code)


async def wrong_headers(asker: Asker) -> None:
    code, headers = asker.chance.choice(
        [
            (415, {"content_type": "text/html"}),
            (415, {"content_encoding": "gzip"}),
            (400, {"timeout": "never"}),
            (504, {"timeout": "0.000001"}),
            (403, {"origin": "http://elsewhere.example"}),
            (400, {"content_type": "multipart/form-data; boundary=missing"}),
        ]
    )
    wanted(await asker.connection.ask("POST", PREDICT, asker.picture().data, **headers), code)


async def too_large(asker: Asker) -> None:
    """More than is taken is announced; nothing of it is sent."""
    async with Connection(asker.port) as connection:
        reader, writer = await connection.open()
        writer.write(head("POST", PREDICT, 10**9, {}))
        wanted(await connection.read(reader, time.perf_counter()), 413)


# --- Clients that go away, or take their time ------------------------------------------------------------------------
async def half_sent(asker: Asker) -> None:
    """Goes away in the middle of headers or body."""
    async with Connection(asker.port) as connection:
        _, writer = await connection.open()
        data = asker.picture().data
        whole = head("POST", PREDICT, len(data), {}) + data
        writer.write(whole[: asker.chance.randrange(1, len(whole))])
        await writer.drain()
        if asker.chance.random() < 0.5:
            writer.transport.abort()


async def cancelled(asker: Asker) -> None:
    """Sends all of it, and does not wait for the answer."""
    async with Connection(asker.port) as connection:
        _, writer = await connection.open()
        data = asker.picture().data
        writer.write(head("POST", PREDICT, len(data), {}) + data)
        await writer.drain()
        await asyncio.sleep(asker.chance.choice([0, 0.005, 0.05]))
        writer.transport.abort()


async def slow_but_in_time(asker: Asker) -> None:
    """A body in five pieces, which arrives before its time is over."""
    picture = asker.picture()
    async with Connection(asker.port) as connection:
        reader, writer = await connection.open()
        writer.write(head("POST", PREDICT, len(picture.data), {}))
        step = -(-len(picture.data) // 5)
        for start in range(0, len(picture.data), step):
            writer.write(picture.data[start : start + step])
            await asyncio.sleep(0.1)
        answer = await connection.read(reader, time.perf_counter())
    wanted(answer, 200)
    check_prediction(answer, picture)


async def slow_body(asker: Asker) -> None:
    """A body that never comes to its end."""
    async with Connection(asker.port) as connection:
        reader, writer = await connection.open()
        data = asker.picture().data
        writer.write(head("POST", PREDICT, len(data), {}) + data[:100])
        wanted(await connection.read(reader, time.perf_counter()), 408)


async def slow_headers(asker: Asker) -> None:
    """Headers that never come to their end: the connection is closed."""
    async with Connection(asker.port) as connection:
        reader, writer = await connection.open()
        writer.write(head("POST", PREDICT, 10, {})[:-2])
        try:
            left = await asyncio.wait_for(reader.read(), ABORT_SECONDS)
        except ConnectionError:
            return
        except asyncio.TimeoutError as error:
            raise Fault(f"the connection is open {ABORT_SECONDS:g} s after half of the headers") from error
        if left:
            raise Fault(f"an answer to half of the headers: {left[:200]!r}")


# How often each comes, of 1000.
KINDS: dict[Ask, int] = {
    predict: 250,
    form: 50,
    drawn: 30,
    infer_json: 75,
    infer_binary: 75,
    look: 100,
    damaged: 80,
    no_picture: 50,
    empty: 20,
    bombs: 40,
    wrong_tensors: 70,
    no_json: 30,
    wrong_address: 30,
    wrong_headers: 30,
    too_large: 10,
    half_sent: 25,
    cancelled: 25,
    slow_but_in_time: 6,
    slow_body: 2,
    slow_headers: 2,
}
