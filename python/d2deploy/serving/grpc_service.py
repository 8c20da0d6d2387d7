"""gRPC: the service inference.GRPCInferenceService."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import grpc

import d2deploy
from d2deploy.serving import grpc_messages
from d2deploy.serving.app import EXTENSIONS, SERVER_NAME, Request, Service
from d2deploy.serving.engine import Stages
from d2deploy.serving.errors import NotFound, NotServed, Overloaded, answer_to
from d2deploy.serving.grpc_messages import METHODS, SERVICE, message_class
from d2deploy.serving.http import metadata_of
from d2deploy.serving.logs import request_id

__all__ = ["make_server"]

PUBLIC = ("ServerLive", "ServerReady")  # need no token
MOST_NUMBER = (1 << 31) - 1  # that an option of gRPC can be; no message is larger either
MESSAGE_ROOM = 1 << 20  # bytes of a message beside its tensors


def make_server(service: Service) -> Any:
    """A server of gRPC without a port, for the running event loop."""
    limits = service.settings.limits
    most = min(limits.body_bytes + MESSAGE_ROOM, MOST_NUMBER)
    calls = min(limits.connections, MOST_NUMBER)
    server = grpc.aio.server(
        options=[
            ("grpc.max_receive_message_length", most),
            ("grpc.max_send_message_length", -1),
            ("grpc.so_reuseport", 0),  # a port that another server has is an error
            ("grpc.max_concurrent_streams", calls),
            ("grpc.server_handshake_timeout_ms", int(1000 * limits.header_seconds)),
        ],
        maximum_concurrent_rpcs=calls,
    )
    methods = _Methods(service)
    handlers = {name: methods.handler(name) for name in METHODS}
    server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler(SERVICE, handlers),))
    return server


class _Methods:
    """The functions behind the methods."""

    def __init__(self, service: Service) -> None:
        self.service = service
        self._functions: dict[str, Callable[..., Any]] = {
            "ServerLive": self.server_live,
            "ServerReady": self.server_ready,
            "ModelReady": self.model_ready,
            "ServerMetadata": self.server_metadata,
            "ModelMetadata": self.model_metadata,
            "ModelInfer": self.model_infer,
            "RepositoryIndex": self.repository_index,
            "RepositoryModelLoad": self.repository_model_load,
            "RepositoryModelUnload": self.repository_model_unload,
        }

    def handler(self, name: str) -> Any:
        """A method, with all that is done around each. Large messages are parsed in a session, as bytes come here."""
        parse = None if name == "ModelInfer" else message_class(f"{name}Request").FromString
        return grpc.unary_unary_rpc_method_handler(
            self._guarded(name, self._functions[name]),
            request_deserializer=parse,
            response_serializer=lambda message: message if isinstance(message, bytes) else message.SerializeToString(),
        )

    def _guarded(self, name: str, function: Callable[..., Any]) -> Callable[..., Any]:
        service = self.service

        async def call(message: Any, context: Any) -> Any:
            sent = {key: value for key, value in context.invocation_metadata() if isinstance(value, str)}
            request = Request("grpc", request_id(sent.get("x-request-id")), name)
            told = [("x-request-id", request.identity)]
            code, error = "CANCELLED", None
            service.begun(request)
            try:
                if name not in PUBLIC:
                    service.check_token(sent.get("authorization"))
                    service.check_accepting()
                result = await function(message, context)
                code = "OK"
                context.set_trailing_metadata(tuple(told))
                return result
            except Exception as caught:
                error, answer = caught, answer_to(caught)
                code = answer.grpc
                if isinstance(caught, Overloaded):
                    told.append(("retry-after", str(caught.retry_seconds)))
                await context.abort(grpc.StatusCode[code], answer.message, tuple(told))
            finally:
                service.ended(request, code, error)
                error = None  # else it and this frame would hold each other, and the message

        return call

    async def server_live(self, message: Any, context: Any) -> Any:
        return message_class("ServerLiveResponse")(live=True)

    async def server_ready(self, message: Any, context: Any) -> Any:
        return message_class("ServerReadyResponse")(ready=self.service.ready)

    async def model_ready(self, message: Any, context: Any) -> Any:
        try:
            self.service.repository.find(message.name, message.version)
        except (NotFound, NotServed):
            return message_class("ModelReadyResponse")(ready=False)
        return message_class("ModelReadyResponse")(ready=self.service.ready)

    async def server_metadata(self, message: Any, context: Any) -> Any:
        return message_class("ServerMetadataResponse")(
            name=SERVER_NAME, version=d2deploy.__version__, extensions=EXTENSIONS
        )

    async def model_metadata(self, message: Any, context: Any) -> Any:
        repository = self.service.repository
        model = repository.find(message.name, message.version)
        said = metadata_of(model, list(repository.entry(model.name).versions))
        return message_class("ModelMetadataResponse")(**said)

    async def model_infer(self, data: bytes, context: Any) -> bytes:
        def work(stages: Stages) -> bytes:
            with stages.of("decode"):
                message = grpc_messages.parse(data)
                asked = grpc_messages.decode(message)
                model = self.service.repository.find(message.model_name, message.model_version)
            answer = self.service.inference.infer(model, asked, stages)
            with stages.of("encode"):
                encoded: bytes = grpc_messages.encode(answer).SerializeToString()
                return encoded

        result: bytes = await self.service.run(work, context.time_remaining())
        return result

    async def repository_index(self, message: Any, context: Any) -> Any:
        return message_class("RepositoryIndexResponse")(models=self.service.repository.index(message.ready))

    async def repository_model_load(self, message: Any, context: Any) -> Any:
        self.service.check_load_parameters(message.parameters)
        await self.service.load(message.model_name)
        return message_class("RepositoryModelLoadResponse")()

    async def repository_model_unload(self, message: Any, context: Any) -> Any:
        self.service.check_load_parameters(message.parameters)
        await self.service.unload(message.model_name)
        return message_class("RepositoryModelUnloadResponse")()
