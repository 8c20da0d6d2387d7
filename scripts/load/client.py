"""A client of HTTP/1.1 that can do what clients should not: stop in the middle, be slow, go away."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from load.server import HOST, Fault

SECONDS = 120.0  # for any answer


@dataclass(frozen=True)
class Answer:
    """What the server said.

    Attributes:
        status: code of HTTP.
        headers: by their names in lower case.
        body: all of it.
        seconds: from the first byte that was sent to the last one that came.
    """

    status: int
    headers: Mapping[str, str]
    body: bytes
    seconds: float


def head(method: str, path: str, length: int | None, headers: Mapping[str, str]) -> bytes:
    """First line and headers of a request; `length`: of its body, None: none is told."""
    lines = [f"{method} {path} HTTP/1.1", f"Host: {HOST}", *(f"{name}: {value}" for name, value in headers.items())]
    lines += [] if length is None else [f"Content-Length: {length}"]
    return "\r\n".join([*lines, "", ""]).encode("latin-1")


class Connection:
    """One at a time to a server; it is opened when it is needed, and again where the server closed it."""

    def __init__(self, port: int) -> None:
        self.port = port
        self.reader: asyncio.StreamReader | None = None
        self.writer: asyncio.StreamWriter | None = None

    async def open(self) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        """Both directions of it."""
        if self.reader is None or self.writer is None or self.reader.at_eof() or self.writer.is_closing():
            await self.close()
            self.reader, self.writer = await asyncio.open_connection(HOST, self.port, limit=1 << 20)
        return self.reader, self.writer

    async def close(self) -> None:
        if self.writer is not None:
            self.writer.close()
            with contextlib.suppress(OSError):
                await self.writer.wait_closed()
        self.reader = self.writer = None

    async def ask(self, method: str, path: str, body: bytes = b"", **headers: str) -> Answer:
        """The answer to a whole request; names of headers have _ for -.

        Raises:
            Fault: there is none.
        """
        reader, writer = await self.open()
        start = time.perf_counter()
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        length = len(body) if body or method == "POST" else None
        with contextlib.suppress(ConnectionError):  # a server may answer before it has read all
            writer.write(head(method, path, length, named) + body)
            await writer.drain()
        return await self.read(reader, start)

    async def read(self, reader: asyncio.StreamReader, start: float) -> Answer:
        """The answer that comes next. Raises Fault where none comes."""
        try:
            return await asyncio.wait_for(self._read(reader, start), SECONDS)
        except (asyncio.TimeoutError, asyncio.IncompleteReadError, ConnectionError) as error:
            await self.close()
            raise Fault(f"no answer: {type(error).__name__} {error}") from error

    async def _read(self, reader: asyncio.StreamReader, start: float) -> Answer:
        text = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1")
        first, *rest = text[:-4].split("\r\n")
        headers = {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in rest)}
        body = await reader.readexactly(int(headers.get("content-length", "0")))
        answer = Answer(int(first.split()[1]), headers, body, time.perf_counter() - start)
        if headers.get("connection", "").lower() == "close":
            await self.close()
        return answer

    async def __aenter__(self) -> Connection:
        return self

    async def __aexit__(self, *_: Any) -> None:
        await self.close()
