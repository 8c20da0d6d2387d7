"""The body of a request of HTTP: read up to its limits, and the picture that is in it."""

from __future__ import annotations

import time
from asyncio import TimeoutError as AsyncTimeout
from asyncio import wait_for
from collections.abc import Mapping

from python_multipart.exceptions import FormParserError
from python_multipart.multipart import MultipartParser, parse_options_header
from starlette.types import Receive

from d2deploy.errors import InvalidArgument
from d2deploy.serving.errors import Overloaded, TooLarge, TooSlow, UnknownMediaType
from d2deploy.serving.settings import Limits
from d2deploy.serving.tensors import shown

__all__ = ["QUERY", "Buffers", "Disconnected", "picture_in"]

MOST_PARTS = 16  # of a multipart body
QUERY = ("model", "version", "threshold", "format")  # of a request that brings a picture
PICTURE_FIELDS = ("image", "picture", "file")


class Disconnected(Exception):  # noqa: N818  # no fault: the client went away
    """Nobody is there any more to be answered."""


class Buffers:
    """Reads bodies, and knows how much of them is in memory. For the event loop alone."""

    def __init__(self, limits: Limits) -> None:
        self._limits = limits
        self.held = 0

    async def read(self, receive: Receive, headers: Mapping[str, str]) -> bytes:
        """All of a body; `release` gives its memory back.

        Raises:
            TooLarge, TooSlow: it is more, or takes longer, than there may be.
            Overloaded: too many others are in memory.
            UnknownMediaType: it is compressed.
            Disconnected: the client went away.
        """
        encoding = headers.get("content-encoding", "")
        if encoding.lower() not in ("", "identity"):
            raise UnknownMediaType(f"Content-Encoding is {shown(encoding)}, compressed bodies are not taken")
        length = headers.get("content-length", "0")
        if int(length) > self._limits.body_bytes:  # a number: h11 has looked at it
            raise self._too_large()
        chunks, held, end = [], 0, time.monotonic() + self._limits.body_seconds
        try:
            while True:
                try:
                    message = await wait_for(receive(), max(end - time.monotonic(), 0))
                except AsyncTimeout as error:
                    raise TooSlow(f"the body did not arrive within {self._limits.body_seconds:g} seconds") from error
                if message["type"] == "http.disconnect":
                    raise Disconnected
                chunk = message.get("body", b"")
                held += len(chunk)
                self.held += len(chunk)
                if held > self._limits.body_bytes:
                    raise self._too_large()
                if self.held > self._limits.buffer_bytes:
                    raise Overloaded("the server is busy: its memory for requests is in use")
                chunks.append(chunk)
                if not message.get("more_body", False):
                    return b"".join(chunks)
        except BaseException:
            self.held -= held
            raise

    def release(self, body: bytes) -> None:
        """Says that a body is let go."""
        self.held -= len(body)

    def _too_large(self) -> TooLarge:
        return TooLarge(f"the body has more than {self._limits.body_bytes} bytes, which is the most that is taken")


def picture_in(body: bytes, content_type: str) -> bytes:
    """The bytes of the picture: the body, or of a form its field `image`.

    Args:
        body: as it came.
        content_type: its header; empty: none.

    Raises:
        UnknownMediaType: the header is neither that of pictures, nor of bytes, nor of a form.
        InvalidArgument: there is no picture, or a form has a field that belongs into the query.
    """
    kind, options = parse_options_header(content_type)
    if kind == b"multipart/form-data":
        body = _field(body, options.get(b"boundary", b""))
    elif (
        kind
        and not kind.startswith(b"image/")
        and kind
        not in (
            b"application/octet-stream",
            b"application/x-www-form-urlencoded",  # what curl --data-binary says, whatever it sends
        )
    ):
        raise UnknownMediaType(
            f"Content-Type is {shown(content_type)}, wanted image/*, application/octet-stream or multipart/form-data"
        )
    if not body:
        raise InvalidArgument("the body is empty, wanted a picture")
    return body


def _field(body: bytes, boundary: bytes) -> bytes:
    """The content of the first part that is a file, or called as pictures are."""
    parts = _Parts()
    try:
        MultipartParser(boundary, parts.callbacks()).write(body)  # type: ignore[arg-type]
    except FormParserError:
        parts.whole = False
    if not boundary or not parts.whole:
        raise InvalidArgument("the body is no multipart/form-data: it is damaged, or ends too early")
    picture = None
    for headers, content in parts.done:
        _, options = parse_options_header(headers.get(b"content-disposition", b""))
        name = options.get(b"name", b"").decode("latin-1")
        if name in PICTURE_FIELDS or b"filename" in options:
            picture = content if picture is None else picture
        elif name in QUERY:  # it would be silently something else than what is asked for
            raise InvalidArgument(f"the form has a field {name!r}: it belongs into the query, as in ?{name}=...")
    if picture is not None:
        return bytes(picture)
    raise InvalidArgument(f"the form has no picture: wanted a file in the field {PICTURE_FIELDS[0]!r}")


class _Parts:
    """Collects the parts of a form."""

    def __init__(self) -> None:
        self.done: list[tuple[dict[bytes, bytes], bytearray]] = []
        self.whole = False
        self._name, self._value = b"", b""

    def callbacks(self) -> dict[str, object]:
        return {
            "on_part_begin": self._begin,
            "on_part_data": lambda data, start, end: self.done[-1][1].extend(memoryview(data)[start:end]),
            "on_header_field": self._add_name,
            "on_header_value": self._add_value,
            "on_header_end": self._end_header,
            "on_end": self._end,
        }

    def _end(self) -> None:
        self.whole = True

    def _begin(self) -> None:
        if len(self.done) == MOST_PARTS:
            raise TooLarge(f"the form has more than {MOST_PARTS} parts")
        self.done.append(({}, bytearray()))

    def _add_name(self, data: bytes, start: int, end: int) -> None:
        self._name += data[start:end]

    def _add_value(self, data: bytes, start: int, end: int) -> None:
        self._value += data[start:end]

    def _end_header(self) -> None:
        self.done[-1][0][self._name.lower()] = self._value
        self._name, self._value = b"", b""
