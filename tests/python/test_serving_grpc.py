"""gRPC of `d2deploy serve`, in this process, on a model without a net: its queue, deadlines, refusals."""

from __future__ import annotations

import asyncio
import struct
from collections.abc import Awaitable, Callable
from typing import Any

import pytest

grpc: Any = pytest.importorskip("grpc", reason="needs the extra `serve`")
pytest.importorskip("d2deploy._ext", reason="not built: cmake --preset dev && cmake --build --preset dev")
from serving_stubs import WAIT_SECONDS, StubDetector, closed_gate, make_service, png, until  # noqa: E402

from d2deploy.serving.app import Service  # noqa: E402
from d2deploy.serving.grpc_messages import METHODS, SERVICE, message_class  # noqa: E402
from d2deploy.serving.grpc_service import make_server  # noqa: E402
from d2deploy.serving.settings import Limits  # noqa: E402

Scene = Callable[[Any, Service, StubDetector], Awaitable[None]]


def play(scene: Scene, **settings: Any) -> None:
    """Runs a scene with a client, the service, and its model."""

    async def run() -> None:
        service, detector = make_service(**settings)
        server = make_server(service)
        port = server.add_insecure_port("127.0.0.1:0")
        await server.start()
        try:
            async with grpc.aio.insecure_channel(f"127.0.0.1:{port}") as channel:
                await asyncio.wait_for(scene(channel, service, detector), 2 * WAIT_SECONDS)
        finally:
            detector.gate.set()
            await server.stop(0)

    asyncio.run(run())


def ask(channel: Any, method: str, request: Any = None, timeout: float = WAIT_SECONDS, **options: Any) -> Any:
    call = channel.unary_unary(
        f"/{SERVICE}/{method}",
        request_serializer=lambda value: value if isinstance(value, bytes) else value.SerializeToString(),
        response_deserializer=message_class(f"{method}Response").FromString,
    )
    return call(request if request is not None else message_class(f"{method}Request")(), timeout=timeout, **options)


def picture(**more: Any) -> Any:
    data = png(40, 30)
    return message_class("ModelInferRequest")(
        model_name="stub",
        inputs=[{"name": "image", "datatype": "BYTES", "shape": [1]}],
        raw_input_contents=[struct.pack("<I", len(data)) + data],
        **more,
    )


async def refused(call: Any, code: str, message: str) -> Any:
    with pytest.raises(grpc.RpcError) as error:
        await call
    assert error.value.code() == grpc.StatusCode[code]
    assert message in error.value.details()
    assert "secret" not in error.value.details()
    return dict(error.value.trailing_metadata())


def test_a_full_queue_and_a_deadline() -> None:
    async def scene(channel: Any, service: Service, detector: StubDetector) -> None:
        with closed_gate(detector):
            first = asyncio.ensure_future(ask(channel, "ModelInfer", picture(id="first")))
            await until(detector.entered.is_set)
            await refused(ask(channel, "ModelInfer", picture(), timeout=0.05), "DEADLINE_EXCEEDED", "")
            await until(lambda: service.engine.waiting == 0)
            second = asyncio.ensure_future(ask(channel, "ModelInfer", picture()))
            await until(lambda: service.engine.waiting == 1)
            told = await refused(
                ask(channel, "ModelInfer", picture(), metadata=(("x-request-id", "mine"),)),
                "RESOURCE_EXHAUSTED",
                "the server is busy",
            )
            assert (told["x-request-id"], int(told["retry-after"]) >= 1) == ("mine", True)
        assert (await first).id == "first"
        await second
        assert detector.begun == 2  # what had no time left was not begun

    play(scene, limits=Limits(queue=1))


def test_a_call_that_is_cancelled_is_not_begun() -> None:
    async def scene(channel: Any, service: Service, detector: StubDetector) -> None:
        with closed_gate(detector):
            first = asyncio.ensure_future(ask(channel, "ModelInfer", picture()))
            await until(detector.entered.is_set)
            second = ask(channel, "ModelInfer", picture())
            await until(lambda: service.engine.waiting == 1)
            second.cancel()
            await until(lambda: service.engine.waiting == 0)
        await first
        assert detector.begun == 1
        await until(lambda: service.in_flight == 0)
        assert 'code="CANCELLED"' in service.metrics.text().decode()

    play(scene)


def test_what_is_refused() -> None:
    async def scene(channel: Any, service: Service, detector: StubDetector) -> None:
        await refused(ask(channel, "ModelInfer", b"\xff\xff\xff"), "INVALID_ARGUMENT", "its bytes are damaged")
        request = picture(outputs=[{"name": "nothing"}])
        await refused(ask(channel, "ModelInfer", request), "INVALID_ARGUMENT", "'nothing' is unknown")
        request = picture(model_version="3")
        await refused(ask(channel, "ModelInfer", request), "NOT_FOUND", "no such version")
        other = message_class("RepositoryModelLoadRequest")(model_name="other")
        await refused(ask(channel, "RepositoryModelLoad", other), "NOT_FOUND", "no model 'other'")
        files = {"config": {"string_param": "{}"}, "file:1/model.pb": {"bytes_param": b"x"}}
        for word in ("Load", "Unload"):
            sent = message_class(f"RepositoryModel{word}Request")(model_name="stub", parameters=files)
            await refused(ask(channel, f"RepositoryModel{word}", sent), "INVALID_ARGUMENT", "there are none here")
        large = picture()
        large.raw_input_contents[0] = bytes(service.settings.limits.body_bytes + (2 << 20))
        await refused(ask(channel, "ModelInfer", large), "RESOURCE_EXHAUSTED", "larger than max")
        detector.fault = RuntimeError("/secret")
        told = await refused(ask(channel, "ModelInfer", picture()), "INTERNAL", "internal error")
        assert told["x-request-id"]
        service.draining = True
        await refused(ask(channel, "ModelInfer", picture()), "UNAVAILABLE", "the server is ending")
        assert not (await ask(channel, "ServerReady")).ready
        assert (await ask(channel, "ServerLive")).live

    play(scene, limits=Limits(body_bytes=1 << 20))


def test_a_token() -> None:
    async def scene(channel: Any, service: Service, detector: StubDetector) -> None:
        public = ("ServerLive", "ServerReady")
        for method in METHODS:
            if method in public:
                await ask(channel, method)
                continue
            await refused(ask(channel, method), "UNAUTHENTICATED", "the token is missing or wrong")
        right = (("authorization", "Bearer 0123456789abcdef"),)
        assert (await ask(channel, "ServerMetadata", metadata=right)).name == "d2deploy"

    play(scene, token=b"0123456789abcdef")


def test_limits_may_be_as_large_as_one_likes() -> None:
    async def scene(channel: Any, service: Service, detector: StubDetector) -> None:
        assert (await ask(channel, "ModelInfer", picture(id="7"))).id == "7"

    play(scene, limits=Limits(body_bytes=1 << 62, buffer_bytes=1 << 62, connections=1 << 62))


def test_answers() -> None:
    async def scene(channel: Any, service: Service, detector: StubDetector) -> None:
        request = picture(
            outputs=[{"name": "scores"}, {"name": "masks"}], parameters={"threshold": {"double_param": 0.5}}
        )
        answer = await ask(channel, "ModelInfer", request)
        assert [(row.name, row.datatype, list(row.shape)) for row in answer.outputs] == [
            ("scores", "FP32", [1]),
            ("masks", "BYTES", [1]),
        ]
        assert answer.raw_output_contents[0] == struct.pack("<f", 0.9)
        index = await ask(channel, "RepositoryIndex")
        assert [(row.name, row.version, row.state) for row in index.models] == [
            ("stub", "1", "READY"),
            ("stub", "2", "READY"),
        ]
        metadata = await ask(channel, "ModelMetadata", message_class("ModelMetadataRequest")(name="stub"))
        assert list(metadata.versions) == ["1", "2"]
        unload = message_class("RepositoryModelUnloadRequest")(model_name="stub")
        await ask(channel, "RepositoryModelUnload", unload)
        await refused(ask(channel, "ModelInfer", picture()), "UNAVAILABLE", "not loaded")

    play(scene)
