"""What tests of `d2deploy serve` share: a model without a net, a service on it, and a client without sockets."""

from __future__ import annotations

import asyncio
import io
import json
import struct
import threading
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from PIL import Image

from d2deploy.serving.app import Service
from d2deploy.serving.engine import Engine
from d2deploy.serving.http import Front
from d2deploy.serving.models import Repository, ServedModel
from d2deploy.serving.settings import Limits, Settings

WAIT_SECONDS = 30.0  # for what comes at once, on a machine that is busy
NAMES = ["ape", "bee"]
PREDICT = "/v1/predict"
INFER = "/v2/models/stub/infer"


def png(width: int = 40, height: int = 30) -> bytes:
    out = io.BytesIO()
    Image.fromarray(np.arange(height * width * 3, dtype=np.uint32).reshape(height, width, 3).astype(np.uint8)).save(
        out, "PNG"
    )
    return out.getvalue()


def found_in(height: int, width: int) -> dict[str, Any]:
    """Two objects, as `Detector.predict` gives them."""
    masks = np.zeros((2, 28, 28), np.float32)
    masks[0], masks[1, :14] = 1, 1
    return {
        "image_size": (height, width),
        "boxes": np.array([[2, 3, 12, 13], [1, 1, 9, 29]], np.float32),
        "scores": np.array([0.9, 0.25], np.float32),
        "classes": np.array([1, 0], np.int64),
        "masks": masks,
        "keypoints": np.arange(24, dtype=np.float32).reshape(2, 3, 4) / 24,
    }


class StubDetector:
    """Finds the same in each picture, once its gate is open.

    Attributes:
        begun: predictions that have begun.
        entered: is set when one begins.
        gate: they wait for it.
        fault: what a prediction raises.
    """

    takes_proposals = False
    streams = 1
    precision = "float32"

    def __init__(self, min_size: int = 0) -> None:
        self.info = {"meta_architecture": "GeneralizedRCNN"}
        self.input = {"input_format": "BGR", "channels": 3, "min_size": min_size, "max_size": 1333}
        self.class_names = NAMES
        self.stuff_class_names: list[str] = []
        self.begun = 0
        self.entered = threading.Event()
        self.gate = threading.Event()
        self.gate.set()
        self.fault: Exception | None = None
        self.extra: dict[str, Any] = {}

    def predict(self, image: npt.NDArray[np.uint8], input_format: str, boxes: Any = None) -> dict[str, Any]:
        assert input_format == "RGB"
        self.begun += 1
        self.entered.set()
        assert self.gate.wait(WAIT_SECONDS)
        if self.fault:
            raise self.fault
        return {**found_in(*image.shape[:2]), **self.extra}


def stub_model(name: str, version: str, detector: Any) -> ServedModel:
    return ServedModel(name, version, detector, None, {**found_in(1, 1), **detector.extra}, {})


def make_service(
    detector: StubDetector | None = None, *, sessions: int = 1, limits: Limits | None = None, **settings: Any
) -> tuple[Service, StubDetector]:
    """A service with the model `stub` in versions 1 and 2."""
    detector = detector or StubDetector()
    limits = limits or Limits()
    repository = Repository({"stub": Path("nowhere")}, {}, False)
    repository.entries["stub"].versions = {v: stub_model("stub", v, detector) for v in ("1", "2")}
    settings = {"limits": limits, **settings}
    service = Service(Settings(repository_folders(repository), **settings), repository, Engine(sessions, limits.queue))
    return service, detector


def repository_folders(repository: Repository) -> dict[str, Path]:
    return {name: entry.folder for name, entry in repository.entries.items()}


@dataclass
class Answer:
    """A response of HTTP."""

    status: int
    headers: Mapping[str, str]
    body: bytes

    @property
    def json(self) -> Any:
        return json.loads(self.body)


async def call(
    app: Front,
    method: str,
    path: str,
    body: bytes | Iterable[bytes] = b"",
    headers: Mapping[str, str] | None = None,
    *,
    query: str = "",
    silent: bool = False,
    gone: asyncio.Event | None = None,
) -> Answer:
    """A request to an ASGI application.

    Args:
        app: to call.
        method: of HTTP.
        path: without the query.
        body: whole, or in chunks.
        headers: beside Host.
        query: of the address.
        silent: the body is begun, and never ends.
        gone: the client goes away when it is set.
    """
    chunks = [body] if isinstance(body, bytes) else list(body)
    fields = {"host": "localhost", **({"content-length": str(len(body))} if isinstance(body, bytes) else {})}
    sent: list[dict[str, Any]] = []

    async def receive() -> dict[str, Any]:
        if chunks:
            chunk = chunks.pop(0)
            return {"type": "http.request", "body": chunk, "more_body": bool(chunks) or silent}
        await (gone or asyncio.Event()).wait()
        return {"type": "http.disconnect"}

    async def send(message: Any) -> None:
        sent.append(message)

    scope = {
        "type": "http",
        "method": method,
        "path": path,
        "root_path": "",
        "scheme": "http",
        "query_string": query.encode(),
        "headers": [(k.lower().encode(), v.encode()) for k, v in {**fields, **(headers or {})}.items()],
    }
    await asyncio.wait_for(app(scope, receive, send), WAIT_SECONDS)
    if not sent:
        return Answer(0, {}, b"")
    told = {k.decode().lower(): v.decode() for k, v in sent[0]["headers"]}
    return Answer(sent[0]["status"], told, b"".join(message.get("body", b"") for message in sent[1:]))


def ask(app: Front, method: str, path: str, *args: Any, **options: Any) -> Answer:
    """`call`, outside of an event loop."""
    return asyncio.run(call(app, method, path, *args, **options))


async def until(true: Callable[[], bool]) -> None:
    """Waits until something holds, for a while."""
    for _ in range(int(WAIT_SECONDS / 0.01)):
        if true():
            return
        await asyncio.sleep(0.01)
    raise AssertionError("it did not come true in time")


@contextmanager
def closed_gate(detector: StubDetector) -> Iterator[None]:
    """Predictions wait meanwhile."""
    detector.gate.clear()
    try:
        yield
    finally:
        detector.gate.set()


def front(*args: Any, **options: Any) -> tuple[Front, StubDetector]:
    service, detector = make_service(*args, **options)
    return Front(service), detector


def refused(answer: Answer, status: int, message: str) -> None:
    assert answer.status == status, answer
    assert message in answer.json["error"]
    assert answer.json["request_id"] == answer.headers["x-request-id"]


def infer_body(image: bytes, **more: Any) -> tuple[bytes, dict[str, str]]:
    tail = struct.pack("<I", len(image)) + image
    entry = {"name": "image", "shape": [1], "datatype": "BYTES", "parameters": {"binary_data_size": len(tail)}}
    head = json.dumps({"inputs": [entry], **more}).encode()
    return head + tail, {"inference-header-content-length": str(len(head))}
