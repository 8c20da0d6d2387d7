"""What a server is told when it starts."""

from __future__ import annotations

import os
import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from d2deploy.errors import InvalidArgument

__all__ = ["Limits", "Settings", "model_folders", "read_token"]

MIB = 1 << 20
NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,63}")
LEAST_TOKEN = 16  # characters; fewer can be guessed


@dataclass(frozen=True)
class Limits:
    """What a client may ask of the server.

    Attributes:
        body_bytes: of one request.
        json_bytes: of the JSON in it: it is parsed in one go, in which no other thread of Python runs.
        buffer_bytes: of all bodies that are in memory.
        pixels: of a picture as it comes.
        net_pixels: of what a net sees: a picture after it is resized, all images of a tensor.
        connections: of HTTP that are open, and calls of gRPC that are not answered.
        header_seconds: for the first line and the headers of a request.
        body_seconds: for its body.
        queue: requests that may wait beside those that are worked on.
        timeout_seconds: until a request is answered; clients may ask for less.
        drain_seconds: for the requests that were accepted, when the server ends.
    """

    body_bytes: int = 64 * MIB
    json_bytes: int = 8 * MIB
    buffer_bytes: int = 512 * MIB
    pixels: int = 50_000_000
    net_pixels: int = 4 * MIB
    connections: int = 256
    header_seconds: float = 10
    body_seconds: float = 30
    queue: int = 32
    timeout_seconds: float = 60
    drain_seconds: float = 30


@dataclass(frozen=True)
class Settings:
    """Of a whole server.

    Attributes:
        models: folder of each, by name.
        host: address to listen on.
        port: of HTTP; 0: one that is free.
        grpc_port: likewise, of gRPC; None: there is none.
        token: that clients must show; None: none.
        tls: certificate and key, files in PEM; None: plain text.
        allowed_hosts: names of this server, beside addresses and localhost, that requests may be for; "*": any.
        sessions: predictions at the same time; 0: as many as the mode has.
        tensors: also take the raw tensors of the nets.
        runtime: options of `Detector`.
        limits: what clients may ask.
    """

    models: dict[str, Path]
    host: str = "127.0.0.1"
    port: int = 8000
    grpc_port: int | None = 8001
    token: bytes | None = None
    tls: tuple[Path, Path] | None = None
    allowed_hosts: Sequence[str] = ()
    sessions: int = 0
    tensors: bool = False
    runtime: dict[str, Any] = field(default_factory=dict)
    limits: Limits = field(default_factory=Limits)


def model_folders(words: Sequence[str]) -> dict[str, Path]:
    """Folders by the names of the models: from `NAME=DIR`, or `DIR`, whose last part is the name.

    Raises:
        InvalidArgument: a name that cannot be one, or stands twice.
    """
    folders: dict[str, Path] = {}
    for word in words:
        name, equals, folder = word.partition("=")
        if not equals or "/" in name:
            name, folder = Path(os.path.realpath(word)).name, word
        if not NAME.fullmatch(name):
            raise InvalidArgument(
                f"{word}: {name!r} cannot be a model's name: it must be 1 to 64 letters, digits, '_', '.' and '-'; "
                "give another as NAME=DIR"
            )
        if name in folders:
            raise InvalidArgument(f"{word}: there are two models of the name {name!r}; give others as NAME=DIR")
        folders[name] = Path(folder)
    return folders


def read_token(file: Path) -> bytes:
    """The token in a file, without white space around it.

    Raises:
        InvalidArgument: the file cannot be read, or what is in it is no token.
    """
    try:
        token = file.read_bytes().strip()
    except OSError as error:
        raise InvalidArgument(f"--token-file {file}: cannot be read: {error.strerror}") from error
    if len(token) < LEAST_TOKEN or not re.fullmatch(rb"[\x21-\x7e]+", token):
        raise InvalidArgument(
            f"--token-file {file}: must hold one word of at least {LEAST_TOKEN} printable ASCII characters; "
            "openssl rand -hex 32 makes one"
        )
    return token
