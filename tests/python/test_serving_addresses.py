"""HTTP of `d2deploy serve`, on a stand-in of a model: the Open Inference Protocol, loading, its description."""

from __future__ import annotations

import base64
import json
import struct
from pathlib import Path
from typing import Any

import numpy as np
import pytest

pytest.importorskip("d2deploy._ext", reason="not built: cmake --preset dev && cmake --build --preset dev")
pytest.importorskip("starlette")  # the extra `serve`
from serving_stubs import INFER, NAMES, PREDICT, Answer, StubDetector, ask, front, infer_body, png, refused, stub_model

from d2deploy.errors import DeviceError, InvalidArgument, InvalidModel, Unsupported
from d2deploy.serving import models
from d2deploy.serving.http import PAGE_FILES
from d2deploy.serving.openapi import document

# ---- The Open Inference Protocol -------------------------------------------------------------------------


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
