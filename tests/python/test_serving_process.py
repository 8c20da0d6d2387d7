"""`d2deploy serve` as a process, on the example: answers, reloading, its end, TLS, slow clients."""

from __future__ import annotations

import http.client
import json
import shutil
import signal
import socket
import ssl
import struct
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

if TYPE_CHECKING:
    import grpc

    from d2deploy import _ext
else:
    _ext = pytest.importorskip("d2deploy._ext", reason="not built: cmake --preset dev && cmake --build --preset dev")
    grpc = pytest.importorskip("grpc", reason="needs the extra `serve`")
from serving_process import ANSWER_SECONDS, END_SECONDS, SMALL, Server, command, environment

from d2deploy.images import read_image
from d2deploy.serving.grpc_messages import SERVICE, message_class
from d2deploy.serving.server import listen

PREDICT = "/v1/predict?threshold=0.3"
TOKEN = "0123456789abcdef"


@pytest.fixture(scope="module")
def server(example: Path) -> Iterator[Server]:
    with Server(f"shapes={example}", "--tensors", *SMALL) as server:
        yield server


@pytest.fixture(scope="module")
def picture(example: Path) -> bytes:
    return (example / "input.png").read_bytes()


def calls(channel: Any, method: str, **values: Any) -> Any:
    """A call of gRPC, and what it answers."""
    call = channel.unary_unary(
        f"/{SERVICE}/{method}",
        request_serializer=lambda message: message.SerializeToString(),
        response_deserializer=message_class(f"{method}Response").FromString,
    )
    options = {key: values.pop(key) for key in ("metadata",) if key in values}
    return call(message_class(f"{method}Request")(**values), timeout=ANSWER_SECONDS, **options)


def raw(values: Any) -> bytes:
    return bytes(np.ascontiguousarray(values).tobytes())


# ---- Answers -----------------------------------------------------------------------------------------


def test_it_finds_what_the_detector_finds(server: Server, example: Path, picture: bytes) -> None:
    detector = _ext.Detector(
        example / "model.pb", example / "model_init.pb", threads=1, min_size=96, max_size=160, mode="throughput"
    )
    found = detector.predict(read_image(example / "input.png", "RGB"), "RGB")
    kept = found["scores"] >= 0.3
    status, said = server.ask("POST", PREDICT, picture)
    assert status == 200
    assert len(said["instances"]) == kept.sum() > 3
    assert [row["box"] for row in said["instances"]] == found["boxes"][kept].tolist()
    codes = _ext.encode_masks(found["masks"][kept], found["boxes"][kept], *found["image_size"])
    assert [row["mask"]["counts"].encode() for row in said["instances"]] == codes

    with grpc.insecure_channel(f"127.0.0.1:{server.grpc_port}") as channel:
        answer = calls(
            channel,
            "ModelInfer",
            model_name="shapes",
            id="7",
            inputs=[{"name": "image", "datatype": "BYTES", "shape": [1]}],
            raw_input_contents=[struct.pack("<I", len(picture)) + picture],
            parameters={"threshold": {"double_param": 0.3}},
        )
    outputs = {entry.name: data for entry, data in zip(answer.outputs, answer.raw_output_contents)}
    assert (answer.id, answer.model_version) == ("7", "1")
    assert outputs["boxes"] == raw(found["boxes"][kept])
    assert outputs["classes"] == raw(found["classes"][kept])
    assert outputs["masks"] == b"".join(struct.pack("<I", len(code)) + code for code in codes)


def test_tensors_of_the_net(server: Server, example: Path) -> None:
    data = np.random.default_rng(3).uniform(0, 255, (2, 3, 64, 96)).astype(np.float32)
    info = np.array([[64, 96, 1], [60, 90, 1]], np.float32)
    wanted = _ext.Model(example / "model.pb", example / "model_init.pb", threads=1).run({"data": data, "im_info": info})
    entries = [
        {"name": name, "datatype": "FP32", "shape": list(array.shape), "parameters": {"binary_data_size": array.nbytes}}
        for name, array in (("data", data), ("im_info", info))
    ]
    head = json.dumps({"inputs": entries, "parameters": {"binary_data_output": True}}).encode()
    status, answer = server.ask(
        "POST",
        "/v2/models/shapes/infer",
        head + raw(data) + raw(info),
        {"inference-header-content-length": str(len(head))},
    )
    assert status == 200
    end = answer.index(b"]}]}") + 4 if b"]}]}" in answer else answer.index(b"}}]}") + 4
    rows, at = json.loads(answer[:end])["outputs"], end
    assert {row["name"] for row in rows} == set(wanted)
    for row in rows:
        size = row["parameters"]["binary_data_size"]
        assert tuple(row["shape"]) == wanted[row["name"]].shape
        assert answer[at : at + size] == raw(wanted[row["name"]])
        at += size
    assert at == len(answer)


def test_what_is_wrong_with_tensors(server: Server) -> None:
    def asked(shape: list[int], datatype: str = "FP32", info: int = 3) -> tuple[int, str]:
        entries = [
            {"name": "data", "datatype": datatype, "shape": shape, "data": [0] * int(np.prod(shape))},
            {"name": "im_info", "datatype": "FP32", "shape": [1, info], "data": [32] * info},
        ]
        status, said = server.ask("POST", "/v2/models/shapes/infer", json.dumps({"inputs": entries}).encode())
        return status, said.get("error", "")

    assert asked([1, 3, 32, 32])[0] == 200
    for shape, datatype, info in (([1, 3, 32], "FP32", 3), ([1, 3, 8, 8], "INT64", 3), ([1, 4, 8, 8], "FP32", 3)):
        status, said = asked(shape, datatype, info)
        assert (status, "data" in said) == (400, True), said
    assert asked([1, 3, 32, 32], info=4)[0] == 400
    status, said = asked([0, 3, 1 << 14, 1 << 14])
    assert status == 400
    entry = {"name": "data", "datatype": "UINT8", "shape": [1, 3, 1 << 12, 1 << 12], "data": [1]}
    assert server.ask("POST", "/v2/models/shapes/infer", json.dumps({"inputs": [entry]}).encode())[0] == 400


def test_it_is_told_what_is_wrong_by_grpc(server: Server) -> None:
    with grpc.insecure_channel(f"127.0.0.1:{server.grpc_port}") as channel:
        for values, code in (
            ({"model_name": "other"}, grpc.StatusCode.INVALID_ARGUMENT),  # no inputs
            ({"model_name": "shapes", "inputs": [{"name": "image"}]}, grpc.StatusCode.INVALID_ARGUMENT),
        ):
            with pytest.raises(grpc.RpcError) as error:
                calls(channel, "ModelInfer", **values)
            assert error.value.code() == code
        assert calls(channel, "ServerReady").ready
        assert calls(channel, "ModelReady", name="shapes").ready
        assert not calls(channel, "ModelReady", name="other").ready
        assert {spec.name for spec in calls(channel, "ModelMetadata", name="shapes").inputs} == {
            *("image", "data", "im_info")
        }


# ---- Reloading -----------------------------------------------------------------------------------------


def test_models_are_loaded_anew_without_a_dropped_request(server: Server, picture: bytes) -> None:
    statuses: list[int] = []
    stop = threading.Event()

    def client() -> None:
        for _ in range(400):
            if stop.is_set():
                return
            statuses.append(server.ask("POST", PREDICT, picture)[0])

    threads = [threading.Thread(target=client) for _ in range(3)]
    for thread in threads:
        thread.start()
    try:
        for _ in range(3):
            assert server.ask("POST", "/v2/repository/models/shapes/load")[0] == 200
        loaded = sum(line["message"] == "loaded" for line in server.lines)
        server.send(signal.SIGHUP)
        server.wait_for("loaded", loaded + 1)
    finally:
        stop.set()
        for thread in threads:
            thread.join(ANSWER_SECONDS)
    assert len(statuses) >= 3
    assert set(statuses) == {200}


def test_versions_come_and_go(example: Path, tmp_path: Path, picture: bytes) -> None:
    def add(version: str) -> None:
        (tmp_path / "shapes" / version).mkdir(parents=True)
        for name in ("model.pb", "model_init.pb"):
            shutil.copy(example / name, tmp_path / "shapes" / version)

    add("1")
    add("2")
    with Server(tmp_path / "shapes", *SMALL) as server:
        assert server.ask("POST", PREDICT, picture)[1]["version"] == "2"
        assert server.ask("POST", f"{PREDICT}&version=1", picture)[1]["version"] == "1"
        add("10")
        shutil.rmtree(tmp_path / "shapes" / "1")
        assert server.ask("POST", PREDICT, picture)[1]["version"] == "2"  # nobody has asked for it yet
        assert server.ask("POST", "/v2/repository/models/shapes/load")[0] == 200
        assert server.ask("POST", PREDICT, picture)[1]["version"] == "10"
        assert server.ask("POST", f"{PREDICT}&version=1", picture)[0] == 404
        (tmp_path / "shapes" / "10" / "model.pb").write_bytes(b"damaged")
        status, said = server.ask("POST", "/v2/repository/models/shapes/load")
        assert (status, str(tmp_path) in json.dumps(said)) == (500, False)
        assert server.ask("POST", PREDICT, picture)[1]["version"] == "10"  # that which was there goes on
        assert any(str(tmp_path) in line.get("trace", "") for line in server.lines)


# ---- The end -----------------------------------------------------------------------------------------


def begin(server: Server, picture: bytes) -> http.client.HTTPConnection:
    """A request whose body is sent but for its last byte."""
    connection = server.connect()
    connection.putrequest("POST", PREDICT)
    connection.putheader("Content-Length", str(len(picture)))
    connection.endheaders(picture[:-1])
    return connection


def in_flight(server: Server) -> int:
    text = server.ask("GET", "/metrics")[1].decode()
    line = next(line for line in text.splitlines() if line.startswith('d2deploy_requests_in_flight{protocol="http"}'))
    return int(float(line.rpartition(" ")[2])) - 1  # that of the metrics


def wait_in_flight(server: Server, count: int) -> None:
    for _ in range(1000):
        if in_flight(server) == count:
            return
    raise AssertionError("the request did not arrive")


def test_what_was_accepted_is_answered_before_the_end(example: Path, picture: bytes) -> None:
    with Server(example, *SMALL) as server:
        accepted = begin(server, picture)
        wait_in_flight(server, 1)
        server.send(signal.SIGTERM)
        server.wait_for("ending")
        assert server.ask("GET", "/v2/health/ready")[0] == 503
        status, said = server.ask("POST", PREDICT, picture)
        assert (status, said["error"]) == (503, "the server is ending")
        with grpc.insecure_channel(f"127.0.0.1:{server.grpc_port}") as channel:
            assert not calls(channel, "ServerReady").ready
            with pytest.raises(grpc.RpcError) as error:
                calls(channel, "ServerMetadata")
            assert error.value.code() == grpc.StatusCode.UNAVAILABLE
        accepted.send(picture[-1:])
        answer = accepted.getresponse()
        assert answer.status == 200
        assert json.loads(answer.read())["instances"]
        accepted.close()
        assert server._process.wait(END_SECONDS) == 0
    assert server.lines[-1]["message"] == "ended"


def test_the_end_does_not_wait_for_ever(example: Path, picture: bytes) -> None:
    with Server(example, *SMALL, "--drain-timeout", 0.2) as server:
        accepted = begin(server, picture)
        wait_in_flight(server, 1)
        assert server.end() == 0
        accepted.close()
    assert any(line["message"] == "requests are left unanswered" for line in server.lines)


def test_an_interrupt_ends_it_as_it_ends_others(example: Path) -> None:
    with Server(example, *SMALL) as server:
        assert server.end(signal.SIGINT) == 130


# ---- Clients that are slow, or many --------------------------------------------------------------------


def closed(connection: socket.socket) -> bool:
    """Whether the server closes it, without an answer."""
    connection.settimeout(ANSWER_SECONDS)
    try:
        return connection.recv(1) == b""
    except ConnectionResetError:
        return True


def test_slow_and_many_clients(example: Path, picture: bytes) -> None:
    limits = ("--header-timeout", 0.5, "--body-timeout", 2, "--max-connections", 3)
    with Server(example, *SMALL, *limits) as server:
        address = ("127.0.0.1", server.port)
        for sent in (b"", b"GET /v2 HTT", b"GET /v2 HTTP/1.1\r\nHost: localhost\r\nX-Slow: "):
            with socket.create_connection(address) as connection:
                connection.sendall(sent)
                assert closed(connection)
        slow = begin(server, picture)
        answer = slow.getresponse()
        assert (answer.status, answer.headers["connection"]) == (408, "close")
        slow.close()
        with socket.create_connection(address) as connection:
            connection.sendall(b"no HTTP at all\r\n\r\n")
            assert connection.recv(12) == b"HTTP/1.1 400"
        waiting = [begin(server, picture) for _ in range(3)]
        with socket.create_connection(address) as connection:
            connection.sendall(b"GET /v2 HTTP/1.1\r\nHost: localhost\r\n\r\n")
            assert closed(connection)
        for one in waiting:
            assert one.getresponse().status == 408
            one.close()
        assert server.ask("POST", PREDICT, picture)[0] == 200


def test_a_health_check_of_http_1_0(server: Server) -> None:
    """As load balancers send them: without Host, which no browser leaves out."""
    with socket.create_connection(("127.0.0.1", server.port), ANSWER_SECONDS) as connection:
        connection.sendall(b"GET /v2/health/ready HTTP/1.0\r\n\r\n")
        assert b"".join(iter(lambda: connection.recv(4096), b"")).endswith(b'{"ready":true}')


# ---- TLS and the token -----------------------------------------------------------------------------------


def test_tls_and_a_token_for_both_protocols(example: Path, tmp_path: Path, picture: bytes) -> None:
    certificate, key, token = tmp_path / "server.pem", tmp_path / "server.key", tmp_path / "token"
    token.write_text(f"{TOKEN}\n")
    subprocess.run(
        [
            *("openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", "-subj", "/CN=localhost"),
            *("-addext", "subjectAltName=DNS:localhost", "-keyout", key, "-out", certificate),
        ],
        check=True,
        capture_output=True,
    )
    secure = ("--tls-cert", certificate, "--tls-key", key, "--token-file", token)
    with Server(example, *SMALL, *secure) as server:
        trusted = ssl.create_default_context(cafile=str(certificate))

        def asked(headers: dict[str, str]) -> int:
            connection = http.client.HTTPSConnection("localhost", server.port, timeout=ANSWER_SECONDS, context=trusted)
            connection.request("POST", PREDICT, picture, headers)
            status = connection.getresponse().status
            connection.close()
            return status

        assert asked({}) == 401
        assert asked({"Authorization": f"Bearer {TOKEN}"}) == 200
        with pytest.raises((ConnectionError, http.client.HTTPException)):
            server.ask("GET", "/v2/health/live")  # plain text
        credentials = grpc.ssl_channel_credentials(certificate.read_bytes())
        with grpc.secure_channel(f"localhost:{server.grpc_port}", credentials) as channel:
            assert calls(channel, "ServerLive").live
            with pytest.raises(grpc.RpcError) as error:
                calls(channel, "ServerMetadata", metadata=(("authorization", "Bearer 0123456789abcdeX"),))
            assert error.value.code() == grpc.StatusCode.UNAUTHENTICATED
            said = calls(channel, "ServerMetadata", metadata=(("authorization", f"Bearer {TOKEN}"),))
            assert said.name == "d2deploy"
        assert TOKEN not in json.dumps(server.lines)


# ---- What is wrong at the start --------------------------------------------------------------------------


def failed(code: int, message: str, *arguments: Any) -> None:
    run = subprocess.run(
        command(*arguments), capture_output=True, text=True, check=False, env=environment(), timeout=END_SECONDS
    )
    assert run.returncode == code, run.stderr
    *log, error = run.stderr.splitlines()
    assert message in error
    assert all(map(json.loads, log))  # nothing that others write, as gRPC


def test_what_is_wrong_at_the_start(example: Path, tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        failed(1, f"cannot listen on 127.0.0.1:{port}", example, "--port", port)
        failed(1, f"cannot listen on 127.0.0.1:{port}", example, "--port", 0, "--grpc-port", port)
    failed(2, "has neither model.pb nor folders 1, 2", tmp_path, "--port", 0)
    (tmp_path / "key").write_text("no key")
    failed(
        *(1, "cannot be used", example, "--port", 0),
        *("--tls-cert", tmp_path / "key", "--tls-key", tmp_path / "key"),
    )
    encrypted = tmp_path / "encrypted"
    subprocess.run(
        ["openssl", "genpkey", "-algorithm", "ed25519", "-aes256", "-pass", "pass:word", "-out", encrypted],
        check=True,
        capture_output=True,
    )
    files = ("--tls-cert", tmp_path / "cert", "--tls-key", encrypted)
    subprocess.run(
        [
            *("openssl", "req", "-x509", "-key", encrypted, "-passin", "pass:word", "-subj", "/CN=localhost"),
            *("-out", tmp_path / "cert"),
        ],
        check=True,
        capture_output=True,
    )
    failed(1, "the key is encrypted, and there is nobody who could be asked", example, "--port", 0, *files)


STARTING = """
import os, signal, sys, time
from d2deploy.cli import main, serve

def starting(args):
    os.kill(os.getpid(), signal.SIGHUP)
    print("goes on", flush=True)
    os.kill(os.getpid(), signal.SIGTERM)
    time.sleep(60)

serve._serve = starting
sys.exit(main(["serve", "model"]))
"""


def test_signals_before_it_serves() -> None:
    """SIGHUP has nothing to load anew yet; SIGTERM ends it."""
    run = subprocess.run(
        [sys.executable, "-c", STARTING], capture_output=True, text=True, check=False, env=environment()
    )
    assert (run.returncode, run.stdout, run.stderr) == (0, "goes on\n", "")


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost"])
def test_answers_do_not_wait_for_acknowledgements(host: str) -> None:
    """asyncio turns Nagle's algorithm off for sockets that say that they are TCP's."""
    with listen(host, 0) as listener, socket.create_connection(listener.getsockname()[:2]):
        accepted, _ = listener.accept()
        with accepted:
            assert accepted.proto == socket.IPPROTO_TCP
