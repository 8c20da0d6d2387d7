"""HTTP of `d2deploy serve`, on a model without a net: pictures to JSON, limits, the queue, deadlines."""

from __future__ import annotations

import asyncio
import base64
import io
import struct
import zlib
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from pycocotools import mask as rle_code

pytest.importorskip("d2deploy._ext", reason="not built: cmake --preset dev && cmake --build --preset dev")
pytest.importorskip("starlette")  # the extra `serve`
from serving_stubs import (
    INFER,
    PREDICT,
    WAIT_SECONDS,
    Answer,
    StubDetector,
    ask,
    call,
    closed_gate,
    found_in,
    front,
    make_service,
    png,
    refused,
    stub_model,
    until,
)

from d2deploy.serving import models
from d2deploy.serving.http import Front
from d2deploy.serving.settings import Limits


def form_of(*parts: tuple[str, bytes]) -> tuple[bytes, dict[str, str]]:
    body = b"".join(
        f"--AB\r\nContent-Disposition: form-data; {head}\r\n\r\n".encode() + data + b"\r\n" for head, data in parts
    )
    return body + b"--AB--\r\n", {"content-type": "multipart/form-data; boundary=AB"}


# ---- Predictions of pictures ---------------------------------------------------------------------------


def test_a_prediction() -> None:
    app, _ = front()
    answer = ask(app, "POST", PREDICT, png(40, 30), {"content-type": "image/png"}, query="threshold=0.2")
    assert answer.status == 200
    said = answer.json
    assert (said["model"], said["version"], said["width"], said["height"]) == ("stub", "2", 40, 30)
    first, second = said["instances"]
    assert (first["class_id"], first["class_name"], first["box"]) == (1, "bee", [2, 3, 12, 13])
    assert first["score"] == pytest.approx(0.9)
    assert second["class_name"] == "ape"
    wanted = np.zeros((30, 40), np.uint8)
    wanted[3:13, 2:12] = 1
    counts = rle_code.encode(np.asfortranarray(wanted))["counts"].decode()
    assert first["mask"] == {"size": [30, 40], "counts": counts}
    points = found_in(1, 1)["keypoints"]
    assert np.allclose(second["keypoints"], points[1][:, [0, 1, 3]])
    assert set(said["milliseconds"]) == {"decode", "queue", "predict", "encode"}
    assert said["milliseconds"]["predict"] > 0


def test_the_threshold_is_a_half_unless_it_is_given() -> None:
    app, _ = front()
    assert len(ask(app, "POST", PREDICT, png()).json["instances"]) == 1
    assert len(ask(app, "POST", PREDICT, png(), query="threshold=0").json["instances"]) == 2
    assert ask(app, "POST", PREDICT, png(), query="threshold=1").json["instances"] == []


def test_a_picture_in_a_form() -> None:
    app, _ = front()
    for head in ('name="image"; filename="a.png"', 'name="file"', 'name="x"; filename="b"'):
        body, headers = form_of(('name="note"', b"a note"), (head, png(20, 10)))
        assert ask(app, "POST", PREDICT, body, headers).json["width"] == 20
    for body, headers in (form_of(), form_of(('name="note"', b"x"))):
        refused(ask(app, "POST", PREDICT, body, headers), 400, "the form has no picture")
    for picture_first in (True, False):  # else the threshold would be another one than what is asked for
        parts = [('name="image"; filename="a.png"', png()), ('name="threshold"', b"0.9")]
        body, headers = form_of(*(parts if picture_first else parts[::-1]))
        refused(
            ask(app, "POST", PREDICT, body, headers), 400, "'threshold': it belongs into the query, as in ?threshold="
        )
    body, headers = form_of(('name="image"', png()))
    refused(ask(app, "POST", PREDICT, body[:-20], headers), 400, "damaged, or ends too early")
    refused(ask(app, "POST", PREDICT, b"no form", headers), 400, "no multipart/form-data")
    refused(ask(app, "POST", PREDICT, body, {"content-type": "multipart/form-data"}), 400, "multipart/form-data")
    many, _ = form_of(*[('name="a"', b"")] * 17)
    refused(ask(app, "POST", PREDICT, many, headers), 413, "more than 16 parts")


def test_a_picture_with_what_was_found_on_it() -> None:
    app, _ = front()
    answer = ask(app, "POST", PREDICT, png(40, 30), query="format=png&threshold=0.2")
    assert answer.headers["content-type"] == "image/png"
    with Image.open(io.BytesIO(answer.body)) as drawn, Image.open(io.BytesIO(png(40, 30))) as given:
        assert drawn.size == (40, 30)
        assert (np.asarray(drawn)[13, 2:12] != np.asarray(given)[13, 2:12]).any()  # the box's lower side


def test_maps_of_panoptic_and_semantic_models() -> None:
    numbers = np.arange(12, dtype=np.int32).reshape(3, 4) * 70_000
    detector = StubDetector()
    detector.stuff_class_names = ["things", "sky"]
    detector.extra = {
        "panoptic_map": numbers,
        "segments": [
            {"id": 1, "isthing": True, "score": 0.5, "category_id": 0, "instance_id": 0},
            {"id": 2, "isthing": False, "category_id": 1, "area": 3},
        ],
    }
    app, _ = front(detector)
    panoptic = ask(app, "POST", PREDICT, png(4, 3)).json["panoptic"]
    with Image.open(io.BytesIO(base64.b64decode(panoptic["png"]))) as image:
        digits = np.asarray(image).astype(int)
    assert (digits @ [1, 256, 65536] == numbers).all()
    assert panoptic["size"] == [3, 4]
    assert panoptic["segments"] == [
        {"id": 1, "class_id": 0, "class_name": "ape", "isthing": True, "score": 0.5},
        {"id": 2, "class_id": 1, "class_name": "sky", "isthing": False, "pixels": 3},
    ]

    class Semantic(StubDetector):
        def predict(self, *_: Any) -> dict[str, Any]:
            return {"image_size": (1, 3), "class_map": np.array([[1, 1, 5]], np.int32)}

    app, _ = front(Semantic())
    said = ask(app, "POST", PREDICT, png(3, 1)).json
    assert said["instances"] == []
    assert [(s["class_name"], s["pixels"]) for s in said["sem_seg"]["segments"]] == [("class 1", 2), ("class 5", 1)]


def test_what_is_wrong_with_a_question() -> None:
    app, _ = front()

    def asked(query: str) -> Answer:
        return ask(app, "POST", PREDICT, png(), query=query)

    for text in ("2", "-1", "x", "nan", "1e999"):
        refused(asked(f"threshold={text}"), 400, "must be from 0 to 1")
    refused(asked("format=gif"), 400, "format is 'gif', must be json or png")
    refused(asked("treshold=0.5"), 400, "'treshold' is unknown in the query")
    refused(asked("model=other"), 404, "there is no model 'other'")
    refused(asked("model=" + "x" * 100), 404, "there is no such model")
    refused(asked("model=stub&version=3"), 404, "no such version; loaded: 1, 2")
    assert asked("model=stub&version=1").json["version"] == "1"
    for text in ("0", "-3", "soon", "inf", "nan"):
        refused(ask(app, "POST", PREDICT, png(), {"timeout": text}), 400, "number of seconds above 0")


def test_which_model_is_meant_where_there_are_two() -> None:
    service, detector = make_service()
    service.repository.entries["other"] = models.Entry("other", Path("x"), {"1": stub_model("other", "1", detector)})
    app = Front(service)
    refused(ask(app, "POST", PREDICT, png()), 400, "model is missing in the query; there are: stub, other")
    assert ask(app, "POST", PREDICT, png(), query="model=other").json["model"] == "other"


# ---- Pictures that are none, and limits ----------------------------------------------------------------


def huge_png(width: int, height: int) -> bytes:
    """A PNG file that claims a size, of a few bytes."""
    parts = [(b"IHDR", struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)), (b"IDAT", zlib.compress(bytes(99)))]
    return b"\x89PNG\r\n\x1a\n" + b"".join(
        struct.pack(">I", len(body)) + name + body + struct.pack(">I", zlib.crc32(name + body)) for name, body in parts
    )


def test_what_is_no_picture() -> None:
    app, detector = front()
    refused(ask(app, "POST", PREDICT, b""), 400, "the body is empty")
    refused(ask(app, "POST", PREDICT, b"GIF8 no picture"), 400, "in none of the formats BMP, GIF, JPEG, PNG")
    refused(ask(app, "POST", PREDICT, png()[:-30]), 400, "the picture: cannot be read")
    # A program would run for this one.
    refused(
        ask(app, "POST", PREDICT, b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n"), 400, "in none of the formats"
    )
    refused(ask(app, "POST", PREDICT, png(), {"content-type": "text/html"}), 415, "Content-Type is 'text/html'")
    refused(ask(app, "POST", PREDICT, png(), {"content-encoding": "gzip"}), 415, "compressed bodies are not taken")
    assert detector.begun == 0


@pytest.mark.parametrize("size", [(10_000, 10_000), (12_000, 8_000), (1 << 30, 1 << 30)])
def test_a_small_file_that_claims_many_pixels(size: tuple[int, int]) -> None:
    app, detector = front()
    refused(ask(app, "POST", PREDICT, huge_png(*size)), 413, "pixels")
    assert detector.begun == 0


def test_what_the_net_would_see_has_a_limit() -> None:
    app, _ = front(StubDetector(min_size=800), limits=Limits(net_pixels=800 * 1000))
    refused(ask(app, "POST", PREDICT, png(40, 30)), 413, "the net would see 1067 x 800 pixels, at most 800000")
    assert ask(app, "POST", PREDICT, png(30, 30)).status == 200


def test_a_body_has_a_limit() -> None:
    app, detector = front(limits=Limits(body_bytes=1000))
    told = ask(app, "POST", PREDICT, bytes(1001))
    refused(told, 413, "more than 1000 bytes")
    assert told.headers["connection"] == "close"  # nobody reads the rest
    refused(ask(app, "POST", PREDICT, [bytes(600), bytes(600), bytes(600)]), 413, "more than 1000 bytes")
    assert ask(app, "POST", INFER, bytes(1001)).status == 413
    assert ask(app, "POST", "/v2/repository/index", bytes(1001)).status == 413
    assert detector.begun == 0
    assert app.service.buffers.held == 0


def test_bodies_that_are_compressed_are_refused() -> None:
    app, _ = front()
    refused(ask(app, "POST", PREDICT, png(), {"content-encoding": "gzip"}), 415, "compressed bodies are not taken")
    for plain in ("identity", "Identity", ""):
        assert ask(app, "POST", PREDICT, png(), {"content-encoding": plain}).status == 200


def test_all_bodies_have_a_limit() -> None:
    app, _ = front(limits=Limits(buffer_bytes=1000))
    answer = ask(app, "POST", PREDICT, [bytes(600), bytes(600)])
    refused(answer, 429, "memory for requests is in use")
    assert answer.headers["retry-after"] == "1"
    assert app.service.buffers.held == 0
    ask(app, "POST", PREDICT, bytes(600))
    assert app.service.buffers.held == 0


def test_a_body_that_does_not_come() -> None:
    app, _ = front(limits=Limits(body_seconds=0.05))
    refused(ask(app, "POST", PREDICT, [b"begun"], silent=True), 408, "did not arrive within 0.05 seconds")


# ---- The queue, deadlines, clients that go away ----------------------------------------------------------


def test_a_full_queue_refuses_at_once() -> None:
    async def scene() -> None:
        app, detector = front(limits=Limits(queue=1))
        with closed_gate(detector):
            first = asyncio.create_task(call(app, "POST", PREDICT, png()))
            await until(detector.entered.is_set)
            second = asyncio.create_task(call(app, "POST", PREDICT, png()))
            await until(lambda: app.service.engine.waiting == 1)
            for path in (PREDICT, INFER):
                third = await call(app, "POST", path, png())
                refused(third, 429, "the server is busy: 1 requests wait, at most 1 may")
                assert int(third.headers["retry-after"]) >= 1
            assert detector.begun == 1
        assert (await first).status == (await second).status == 200

    asyncio.run(scene())


def test_a_deadline_is_kept_and_what_waits_behind_it_is_not_begun() -> None:
    async def scene() -> None:
        app, detector = front(limits=Limits(timeout_seconds=WAIT_SECONDS))
        with closed_gate(detector):
            first = asyncio.create_task(call(app, "POST", PREDICT, png()))
            await until(detector.entered.is_set)
            refused(await call(app, "POST", PREDICT, png(), {"timeout": "0.05"}), 504, "no answer within")
            assert app.service.engine.waiting == 0
        assert (await first).status == 200
        assert detector.begun == 1

    asyncio.run(scene())


def test_the_server_has_a_deadline_of_its_own() -> None:
    app, detector = front(limits=Limits(timeout_seconds=0.05))
    with closed_gate(detector):
        refused(ask(app, "POST", PREDICT, png(), {"timeout": "1000"}), 504, "within 0.05 seconds")


def test_what_a_client_waits_for_no_more_is_not_begun() -> None:
    async def scene() -> None:
        app, detector = front()
        with closed_gate(detector):
            first = asyncio.create_task(call(app, "POST", PREDICT, png()))
            await until(detector.entered.is_set)
            gone = asyncio.Event()
            second = asyncio.create_task(call(app, "POST", PREDICT, png(), gone=gone))
            await until(lambda: app.service.engine.waiting == 1)
            gone.set()
            assert (await second).status == 0
            assert app.service.engine.waiting == 0
        assert (await first).status == 200
        assert detector.begun == 1
        assert 'code="499"' in app.service.metrics.text().decode()

    asyncio.run(scene())
