"""HTTP of `d2deploy serve`, on a model without a net: who may ask, and what the log and the metrics are told."""

from __future__ import annotations

import json
import logging
from typing import Any

import pytest

pytest.importorskip("d2deploy._ext", reason="not built: cmake --preset dev && cmake --build --preset dev")
pytest.importorskip("starlette")  # the extra `serve`
from serving_stubs import INFER, PREDICT, ask, front, infer_body, png, refused

from d2deploy.errors import DeviceError
from d2deploy.serving.logs import JsonLines

TOKEN = b"0123456789abcdef"


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
