"""HTTP of `d2deploy serve`, on a model without a net: addresses, limits, refusals, what is told and what is not."""

from __future__ import annotations

import asyncio
import base64
import io
import json
import logging
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
    NAMES,
    WAIT_SECONDS,
    Answer,
    StubDetector,
    ask,
    call,
    closed_gate,
    found_in,
    make_service,
    png,
    stub_model,
    until,
)

from d2deploy.errors import DeviceError, InvalidArgument, InvalidModel, Unsupported
from d2deploy.serving import models
from d2deploy.serving.http import PAGE_FILES, Front
from d2deploy.serving.logs import JsonLines
from d2deploy.serving.openapi import document
from d2deploy.serving.settings import Limits

PREDICT = "/v1/predict"
INFER = "/v2/models/stub/infer"
TOKEN = b"0123456789abcdef"


def front(*args: Any, **options: Any) -> tuple[Front, StubDetector]:
    service, detector = make_service(*args, **options)
    return Front(service), detector


def refused(answer: Answer, status: int, message: str) -> None:
    assert answer.status == status, answer
    assert message in answer.json["error"]
    assert answer.json["request_id"] == answer.headers["x-request-id"]


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


# ---- The Open Inference Protocol -------------------------------------------------------------------------


def infer_body(image: bytes, **more: Any) -> tuple[bytes, dict[str, str]]:
    tail = struct.pack("<I", len(image)) + image
    entry = {"name": "image", "shape": [1], "datatype": "BYTES", "parameters": {"binary_data_size": len(tail)}}
    head = json.dumps({"inputs": [entry], **more}).encode()
    return head + tail, {"inference-header-content-length": str(len(head))}


def test_an_inference() -> None:
    app, _ = front()
    body, headers = infer_body(png(40, 30), id="7", outputs=[{"name": "scores"}, {"name": "masks"}])
    answer = ask(app, "POST", "/v2/models/stub/versions/1/infer", body, headers)
    said = answer.json
    assert (said["model_name"], said["model_version"], said["id"]) == ("stub", "1", "7")
    scores, masks = said["outputs"]
    assert scores["data"] == pytest.approx([0.9, 0.25])
    assert (masks["datatype"], masks["shape"]) == ("BYTES", [2])

    body, headers = infer_body(png(40, 30), parameters={"threshold": 0.5, "binary_data_output": True})
    answer = ask(app, "POST", INFER, body, headers)
    length = int(answer.headers["inference-header-content-length"])
    rows = {row["name"]: row for row in json.loads(answer.body[:length])["outputs"]}
    assert list(rows) == ["image_size", "boxes", "scores", "classes", "keypoints", "masks"]
    assert [row["shape"] for row in rows.values()] == [[2], [1, 4], [1], [1], [1, 3, 3], [1]]
    assert answer.body[length : length + 16] == struct.pack("<2q", 30, 40)

    encoded = base64.b64encode(png(40, 30)).decode()
    entry = {"name": "image", "shape": [1, 1], "datatype": "BYTES", "data": [[encoded]]}
    text = ask(app, "POST", INFER, json.dumps({"inputs": [entry]}).encode())
    assert text.json["outputs"][0]["data"] == [30, 40]


def test_what_is_wrong_with_an_inference() -> None:
    app, _ = front()

    def asked(entry: Any, **more: Any) -> Answer:
        return ask(app, "POST", INFER, json.dumps({"inputs": [entry], **more}).encode())

    image = {"name": "image", "shape": [1], "datatype": "BYTES", "data": ["!"]}
    refused(asked(image), 400, "data is no base64")
    refused(asked({**image, "shape": [2], "data": ["", ""]}), 400, "must be [1]: one picture in a request")
    refused(asked({**image, "datatype": "UINT8", "data": [1]}), 400, "is UINT8, wanted BYTES")
    refused(asked({**image, "name": "data"}), 501, "--tensors")
    refused(asked({**image, "name": "picture"}), 400, "inputs: 'image' is missing, 'picture' is unknown; wanted: image")
    body, headers = infer_body(png(), outputs=[{"name": "nothing"}])
    refused(ask(app, "POST", INFER, body, headers), 400, "'nothing' is unknown; there are: image_size, boxes")
    body, headers = infer_body(png(), parameters={"threshold": "high"})
    refused(ask(app, "POST", INFER, body, headers), 400, "threshold is 'high'")
    refused(ask(app, "POST", "/v2/models/other/infer", body, headers), 404, "no model 'other'")
    refused(ask(app, "POST", INFER, b"{", {}), 400, "is not JSON")


def test_metadata() -> None:
    app, _ = front()
    said = ask(app, "GET", "/v2/models/stub").json
    assert (said["name"], said["versions"]) == ("stub", ["1", "2"])
    assert said["inputs"] == [{"name": "image", "datatype": "BYTES", "shape": [1]}]
    assert {row["name"]: row["shape"] for row in said["outputs"]}["keypoints"] == [-1, 3, 3]
    assert ask(app, "GET", "/v2").json["extensions"] == ["binary_tensor_data", "model_repository"]
    assert ask(app, "GET", "/v2/models/stub/versions/2/ready").json == {"name": "stub", "ready": True}
    refused(ask(app, "GET", "/v2/models/stub/versions/9/ready"), 404, "no such version")
    (model,) = ask(app, "GET", "/v1/models").json
    assert (model["versions"], model["default_version"], model["class_names"]) == (["1", "2"], "2", NAMES)
    assert "keypoint_names" not in model


def test_keypoint_names_where_they_are_those_of_persons() -> None:
    detector = StubDetector()
    detector.info["keypoint_oks_sigmas"] = [sigma / 1000 for sigma in models.PERSON_SIGMAS]  # type: ignore[assignment]
    app, _ = front(detector)
    names = ask(app, "GET", "/v1/models").json[0]["keypoint_names"]
    assert (names[0], names[-1], len(names)) == ("nose", "right_ankle", 17)


# ---- Loading -----------------------------------------------------------------------------------------


def test_loading_and_unloading(monkeypatch: pytest.MonkeyPatch) -> None:
    app, detector = front()
    monkeypatch.setattr(models, "version_folders", lambda folder: {"7": folder})
    monkeypatch.setattr(models.ServedModel, "load", lambda name, version, *_: stub_model(name, version, detector))
    old = app.service.repository.find("stub")
    assert ask(app, "POST", "/v2/repository/models/stub/load").status == 200
    assert app.service.repository.find("stub").version == "7"
    assert old.version == "2"  # whoever has it goes on with it
    assert ask(app, "POST", "/v2/repository/index", b'{"ready": true}').json == [
        {"name": "stub", "version": "7", "state": "READY", "reason": ""}
    ]
    assert ask(app, "POST", "/v2/repository/models/stub/unload", b'{"parameters": {}}').status == 200
    assert ask(app, "POST", "/v2/repository/index", b"{}").json == [
        {"name": "stub", "version": "", "state": "UNAVAILABLE", "reason": "unloaded"}
    ]
    assert ask(app, "POST", "/v2/repository/index", b'{"ready": true}').json == []
    refused(ask(app, "POST", PREDICT, png()), 503, "model 'stub' is not loaded")
    assert ask(app, "GET", "/v1/models").json == []
    assert ask(app, "GET", "/v2/health/ready").status == 200  # as it was asked for
    for word in ("load", "unload"):
        refused(ask(app, "POST", f"/v2/repository/models/other/{word}"), 404, "no model 'other'")
    body = b'{"parameters": {"config": "{}"}}'
    refused(ask(app, "POST", "/v2/repository/models/stub/load", body), 400, "loaded from the folders of the server")


@pytest.mark.parametrize(
    ("kind", "told"),
    [
        *((InvalidModel, 500), (InvalidArgument, 500), (Unsupported, 500), (DeviceError, 503)),
        *((PermissionError, 500), (MemoryError, 500)),
    ],
)
def test_a_model_that_cannot_be_loaded_leaves_the_old_one(
    kind: type[Exception], told: int, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    app, _ = front()

    def fail(*_: Any) -> None:
        raise kind("/secret/model.pb: is damaged")

    monkeypatch.setattr(models, "version_folders", lambda folder: {"1": folder})
    monkeypatch.setattr(models.ServedModel, "load", fail)
    answer = ask(app, "POST", "/v2/repository/models/stub/load")
    refused(answer, told, "internal error; the server's log has more")
    assert b"secret" not in answer.body
    assert "/secret/model.pb: is damaged" in caplog.text
    assert ask(app, "POST", PREDICT, png()).status == 200
    assert ask(app, "POST", "/v2/repository/index").json[0]["reason"] == f"the last load failed: {kind.__name__}"


def test_the_versions_in_a_folder(tmp_path: Path) -> None:
    with pytest.raises(InvalidModel, match=r"neither model.pb nor folders 1, 2"):
        models.version_folders(tmp_path)
    for name in ("1", "12", "x", "3"):
        (tmp_path / name).mkdir()
        if name != "3":
            (tmp_path / name / "model.pb").touch()
    assert models.version_folders(tmp_path) == {"1": tmp_path / "1", "12": tmp_path / "12"}
    (tmp_path / "01").mkdir()
    (tmp_path / "01" / "model.pb").touch()
    with pytest.raises(InvalidModel, match=r"two folders of one version: 01, 1, 12; remove one"):
        models.version_folders(tmp_path)
    (tmp_path / "model.pb").touch()
    assert models.version_folders(tmp_path) == {"1": tmp_path}


# ---- Who may ask ---------------------------------------------------------------------------------------


def test_a_token() -> None:
    app, detector = front(token=TOKEN)
    right = {"authorization": f"Bearer {TOKEN.decode()}"}
    for wrong in ({}, {"authorization": "Bearer x"}, {"authorization": TOKEN.decode()}, {"authorization": "Basic a"}):
        for method, path in (("GET", "/v2"), ("GET", "/metrics"), ("POST", PREDICT), ("GET", "/no/such/address")):
            answer = ask(app, method, path, headers=wrong)
            refused(answer, 401, "the token is missing or wrong")
            assert answer.headers["www-authenticate"] == "Bearer"
    assert detector.begun == 0
    assert ask(app, "POST", PREDICT, png(), right).status == 200
    assert ask(app, "GET", "/metrics", headers={"authorization": f"bearer {TOKEN.decode()}"}).status == 200
    for path in ("/v2/health/live", "/v2/health/ready", "/docs", "/openapi.json"):
        assert ask(app, "GET", path).status == 200


def test_pages_of_other_sites() -> None:
    app, _ = front()
    for headers in ({"origin": "http://evil.example"}, {"origin": "null"}, {"origin": "http://localhost:1234"}):
        refused(ask(app, "POST", PREDICT, png(), headers), 403, "a page of another site")
    for host in ("evil.example", "localhost.evil.example:80", "", "[::1", "a b", "//localhost"):
        refused(ask(app, "GET", "/v2", headers={"host": host}), 403, "the server is not called")
    for host in ("localhost:8000", "127.0.0.1", "[::1]:80"):
        assert ask(app, "GET", "/v2", headers={"host": host, "origin": f"http://{host}"}).status == 200
    refused(ask(app, "GET", "/v2", headers={"origin": "http://[::1"}), 403, "a page of another site")
    app, _ = front(allowed_hosts=["detector"])
    assert ask(app, "GET", "/v2", headers={"host": "detector:8000"}).status == 200
    assert ask(app, "GET", "/v2", headers={"origin": "https://detector"}).status == 200  # behind a proxy
    app, _ = front(allowed_hosts=["*"])
    assert ask(app, "GET", "/v2", headers={"host": "any"}).status == 200


def test_a_server_that_ends() -> None:
    app, _ = front()
    app.service.draining = True
    for method, path in (("POST", PREDICT), ("GET", "/v2"), ("POST", INFER)):
        refused(ask(app, method, path), 503, "the server is ending")
    assert ask(app, "GET", "/v2/health/ready").status == 503
    assert ask(app, "GET", "/v2/health/live").status == 200
    assert ask(app, "GET", "/metrics").status == 200


# ---- Faults, ids, logs, metrics ------------------------------------------------------------------------


def lines(caplog: pytest.LogCaptureFixture) -> list[dict[str, Any]]:
    return [json.loads(JsonLines().format(record)) for record in caplog.records if record.name == "d2deploy.serving"]


@pytest.mark.parametrize(("fault", "status"), [(RuntimeError("/secret is wrong"), 500), (DeviceError("/secret"), 503)])
def test_a_fault_is_told_to_the_log_alone(fault: Exception, status: int, caplog: pytest.LogCaptureFixture) -> None:
    app, detector = front()
    detector.fault = fault
    with caplog.at_level(logging.INFO, "d2deploy.serving"):
        answer = ask(app, "POST", PREDICT, png())
    refused(answer, status, "internal error; the server's log has more under this request id")
    assert b"secret" not in answer.body
    (line,) = lines(caplog)
    assert line["request_id"] == answer.headers["x-request-id"]
    assert (line["level"], line["error"]) == ("error", type(fault).__name__)
    assert "/secret" in line["trace"]
    detector.fault = None
    assert ask(app, "POST", PREDICT, png()).status == 200


def test_a_line_for_each_request(caplog: pytest.LogCaptureFixture) -> None:
    app, _ = front()
    with caplog.at_level(logging.INFO, "d2deploy.serving"):
        ask(app, "POST", PREDICT, png(), {"x-request-id": "my-id.7"}, query="threshold=0.123")
        ask(app, "GET", "/a/secret/place")
        ask(app, "PATCH", "/v2")
    first, second, third = lines(caplog)
    assert first["request_id"] == "my-id.7"
    assert (first["route"], first["status"], first["method"], first["level"]) == ("predict", "200", "POST", "info")
    assert first["ms"] > 0
    assert set(first) == {"time", "level", "message", "request_id", "protocol", "route", "status", "ms", "method"}
    assert (second["route"], second["status"]) == ("none", "404")
    assert (third["method"], third["status"]) == ("other", "405")
    assert "secret" not in caplog.text
    assert "0.123" not in json.dumps([first, second, third])


@pytest.mark.parametrize("given", ["x" * 65, "a b", 'a"b', "é", ""])
def test_an_id_that_a_log_cannot_hold_is_replaced(given: str) -> None:
    app, _ = front()
    answer = ask(app, "GET", "/v2", headers={"x-request-id": given})
    assert len(answer.headers["x-request-id"]) == 32


def test_metrics() -> None:
    app, _ = front()
    ask(app, "POST", PREDICT, png())
    body, headers = infer_body(png())
    ask(app, "POST", INFER, body, headers)
    ask(app, "POST", PREDICT, b"no picture")
    text = ask(app, "GET", "/metrics").body.decode()
    for line in (
        'd2deploy_requests_total{code="200",protocol="http",route="predict"} 1.0',
        'd2deploy_requests_total{code="400",protocol="http",route="predict"} 1.0',
        'd2deploy_errors_total{kind="InvalidArgument",protocol="http"} 1.0',
        'd2deploy_pictures_total{model="stub"} 2.0',
        *(
            f'd2deploy_stage_seconds_count{{model="stub",stage="{s}"}} 2.0'
            for s in ("queue", "decode", "predict", "encode")
        ),
        "d2deploy_queue_length 0.0",
        "d2deploy_sessions 1.0",
        'd2deploy_requests_in_flight{protocol="http"} 1.0',  # that of the metrics
    ):
        assert line in text.splitlines(), text


# ---- What is told of itself ------------------------------------------------------------------------------


def test_the_document_and_the_addresses_agree() -> None:
    app, _ = front()
    described = {(path, method.upper()) for path, methods in document()["paths"].items() for method in methods}
    real = {
        (route.path, method)
        for route in app.routes
        for method in (route.methods or set()) - {"HEAD"}
        if route.path not in PAGE_FILES
    }
    assert described == real
    page = ask(app, "GET", "/docs").body.decode()
    assert all(path in page for path, _ in real)
    assert "://" not in page  # nothing from elsewhere


def check(value: Any, schema: dict[str, Any], where: str = "answer") -> None:
    """Holds a value against a schema, as far as the document uses them; nothing may stand in it that is not told."""
    if "$ref" in schema:
        name = schema["$ref"].rpartition("/")[2]
        return check(value, document()["components"]["schemas"][name], f"{where} ({name})")
    kinds = {"string": str, "number": (int, float), "integer": int, "boolean": bool, "array": list, "object": dict}
    wanted = schema.get("type", "object")
    wanted = wanted if isinstance(wanted, list) else [wanted]
    assert any(value is None if kind == "null" else isinstance(value, kinds[kind]) for kind in wanted), (where, value)  # type: ignore[arg-type]
    if isinstance(value, list):
        for element in value:
            check(element, schema.get("items", {"type": ["number", "string"]}), f"{where}[]")
    if isinstance(value, dict) and "properties" in schema:
        assert set(schema["required"]) <= set(value) <= set(schema["properties"]), (where, value)
        for key, element in value.items():
            check(element, schema["properties"][key], f"{where}.{key}")
    return None


def test_answers_are_as_the_document_says(monkeypatch: pytest.MonkeyPatch) -> None:
    detector = StubDetector()
    detector.extra = {
        "panoptic_map": np.ones((30, 40), np.int32),
        "segments": [{"id": 1, "isthing": False, "category_id": 1, "area": 3}],
    }
    app, _ = front(detector)
    monkeypatch.setattr(models, "version_folders", lambda folder: {"1": folder})
    monkeypatch.setattr(models.ServedModel, "load", lambda name, version, *_: stub_model(name, version, detector))
    encoded = base64.b64encode(png()).decode()
    entry = {"name": "image", "shape": [1], "datatype": "BYTES", "data": [encoded]}
    bodies = {"/v1/predict": png(), "/infer": json.dumps({"inputs": [entry]}).encode()}
    seen = 0
    for path, methods in document()["paths"].items():
        for method, operation in methods.items():
            schema = operation["responses"]["200"]["content"].get("application/json")
            if schema is None:
                continue
            body = next((body for end, body in bodies.items() if path.endswith(end)), b"")
            address = path.replace("{model}", "stub").replace("{version}", "1")
            if path.endswith("/unload"):
                continue  # last
            answer = ask(app, method.upper(), address, body)
            assert answer.status == 200, (path, answer)
            check(answer.json, schema["schema"], path)
            seen += 1
    assert seen == 14  # all but unload, and those whose answers are no JSON
    check(ask(app, "POST", "/v2/repository/models/stub/unload").json, {"type": "object"})
    answer = ask(app, "GET", "/v2/models/stub")
    assert answer.status == 503
    check(answer.json, {"$ref": "#/components/schemas/Error"})


@pytest.mark.parametrize("path", PAGE_FILES)
def test_the_files_of_the_page(path: str) -> None:
    app, _ = front()
    answer = ask(app, "GET", path)
    assert answer.status == 200
    assert answer.body == PAGE_FILES[path].read_bytes()
    kinds = {".css": "text/css", ".html": "text/html", ".jpg": "image/jpeg", ".js": "text/javascript"}
    kind = {**kinds, ".svg": "image/svg+xml"}[PAGE_FILES[path].suffix]
    assert answer.headers["content-type"].partition(";")[0] == kind
    assert answer.headers["content-security-policy"].startswith("default-src 'none'; script-src 'self'; ")
    assert "frame-ancestors 'none'" in answer.headers["content-security-policy"]
    assert answer.headers["x-content-type-options"] == "nosniff"
