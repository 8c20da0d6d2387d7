"""HTTP: the addresses, what they take, and what they give."""

from __future__ import annotations

import ipaddress
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from starlette.datastructures import Headers, MutableHeaders
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route, Router
from starlette.types import Message, Receive, Scope, Send

import d2deploy
from d2deploy.errors import InvalidArgument
from d2deploy.serving import protocol
from d2deploy.serving.app import EXTENSIONS, SERVER_NAME, Service
from d2deploy.serving.app import Request as ServedRequest
from d2deploy.serving.bodies import QUERY, Disconnected
from d2deploy.serving.engine import Stages
from d2deploy.serving.errors import Answer, Forbidden, NotFound, Overloaded, TooLarge, TooSlow, answer_to
from d2deploy.serving.inference import PredictQuery, threshold_of
from d2deploy.serving.logs import request_id
from d2deploy.serving.models import ServedModel, TensorSpec
from d2deploy.serving.openapi import document, page
from d2deploy.serving.tensors import shown

__all__ = ["Front", "metadata_of"]

PAGE = Path(__file__).parent / "page"
SAMPLE = Path(__file__).parents[1] / "data" / "sample.jpg"
MEDIA_TYPES = {
    ".css": "text/css",
    ".html": "text/html",
    ".jpg": "image/jpeg",
    ".js": "text/javascript",
    ".svg": "image/svg+xml",
}
# By their addresses.
PAGE_FILES = {"/": PAGE / "index.html"} | {
    f"/{file.name}": file for file in sorted([*PAGE.iterdir(), SAMPLE]) if file.suffix in MEDIA_TYPES
}
# What needs no token: whether the server lives, and pages that hold nothing of it.
PUBLIC = ("health_live", "health_ready", "static", "openapi", "docs")
SECURITY_HEADERS = {
    "x-content-type-options": "nosniff",
    "referrer-policy": "no-referrer",
    "content-security-policy": (
        "default-src 'self'; img-src 'self' blob: data:; media-src 'self' blob:; style-src 'self' 'unsafe-inline'; "
        "object-src 'none'; base-uri 'none'; form-action 'self'; frame-ancestors 'none'"
    ),
}
CLIENT_GONE = 499  # as others have it, where nobody was there for an answer
# The page has all of its scripts and styles in files; what it shows of pictures it makes itself.
PAGE_POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' blob: data:; connect-src 'self'; "
    "base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)
CLOSING = (TooLarge, TooSlow)  # what is left of their bodies is not read


class Front:
    """The whole of HTTP, as an ASGI application: checks, the addresses, errors, metrics and the log."""

    def __init__(self, service: Service) -> None:
        self.service = service
        self._allowed = service.settings.allowed_hosts
        self.routes = _Routes(service).all()
        self._router = Router(self.routes, default=_no_such_address, redirect_slashes=False)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            return
        headers = Headers(scope=scope)
        endpoint = self._endpoint(scope["path"])
        request = ServedRequest("http", request_id(headers.get("x-request-id")), endpoint or "none")
        status = 0

        async def answer(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                told = MutableHeaders(raw=message["headers"])
                told["x-request-id"] = request.identity
                for name, value in SECURITY_HEADERS.items():
                    told.setdefault(name, value)
            await send(message)

        self.service.begun(request)
        error: Exception | None = None
        try:
            scope["app"] = self  # Starlette's sign that errors are told here
            self._check(endpoint, headers)
            await self._router(scope, receive, answer)
        except Exception as caught:
            error = caught
            if not status and not isinstance(error, Disconnected):
                await _error_response(error, request.identity)(scope, receive, answer)
        finally:
            method = scope["method"] if scope["method"] in ("GET", "HEAD", "POST") else "other"
            self.service.ended(request, str(status or CLIENT_GONE), error, method=method)
            error = None  # else it and this frame would hold each other, and the body

    def _endpoint(self, path: str) -> str:
        """The name of the function behind an address; empty: there is none."""
        return next((route.endpoint.__name__ for route in self.routes if route.path_regex.match(path)), "")

    def _check(self, endpoint: str, headers: Headers) -> None:
        """Raises what is wrong with a request before it is looked at."""
        host, origin = headers.get("host"), headers.get("origin")
        if host is not None:  # no browser leaves it out, but health checks of HTTP/1.0 do
            self._check_host(_name_in(f"//{host}"))
        ours = origin is None or origin.partition("://")[2] == host or _name_in(origin) in self._allowed
        if not ours:
            raise Forbidden("the request comes from a page of another site")
        if endpoint not in PUBLIC:
            self.service.check_token(headers.get("authorization"))
        if endpoint not in ("health_live", "health_ready", "metrics"):
            self.service.check_accepting()

    def _check_host(self, name: str) -> None:
        """A page of another site cannot reach a server on this machine by a name of its own for the address."""
        if "*" in self._allowed or name in ("localhost", *self._allowed):
            return
        try:
            ipaddress.ip_address(name)
        except ValueError as error:
            raise Forbidden(
                f"the server is not called {shown(name)}; start it with --allowed-host for other names"
            ) from error


def _name_in(address: str) -> str:
    """The name of the host in an address; empty where it is none."""
    try:
        return urlsplit(address).hostname or ""
    except ValueError:
        return ""


async def _no_such_address(scope: Scope, receive: Receive, send: Send) -> None:
    raise NotFound("there is no such address; GET /docs tells which there are")


def _error_response(error: Exception, identity: str) -> Response:
    if isinstance(error, HTTPException):  # of Starlette: another method is wanted
        answer, headers = Answer(error.status_code, "", error.detail, False), dict(error.headers or {})
    else:
        answer, headers = answer_to(error), {}
    if isinstance(error, Overloaded):
        headers["retry-after"] = str(error.retry_seconds)
    if answer.status == 401:
        headers["www-authenticate"] = "Bearer"
    if isinstance(error, CLOSING):
        headers["connection"] = "close"
    return JSONResponse({"error": answer.message, "request_id": identity}, answer.status, headers)


def metadata_of(model: ServedModel, versions: list[str]) -> dict[str, Any]:
    """The protocol's metadata of a model."""

    def row(spec: TensorSpec) -> dict[str, Any]:
        return {"name": spec.name, "datatype": spec.datatype, "shape": list(spec.shape)}

    return {
        "name": model.name,
        "versions": versions,
        "platform": "d2deploy_caffe2",
        "inputs": list(map(row, model.inputs)),
        "outputs": list(map(row, model.outputs)),
    }


class _Routes:
    """The functions behind the addresses."""

    def __init__(self, service: Service) -> None:
        self.service = service
        self._static = {path: file.read_bytes() for path, file in PAGE_FILES.items()}

    def all(self) -> list[Route]:
        """Each of them stands in `openapi.document` too, but for the files of the page."""
        model, version = "/v2/models/{model}", "/versions/{version}"
        pages: list[tuple[str, str, Callable[..., Any]]] = [("GET", path, self.static) for path in PAGE_FILES]
        table: list[tuple[str, str, Callable[..., Any]]] = [
            ("GET", "/v1/models", self.models),
            ("POST", "/v1/predict", self.predict),
            ("GET", "/v2", self.server_metadata),
            ("GET", "/v2/health/live", self.health_live),
            ("GET", "/v2/health/ready", self.health_ready),
            *(("GET", f"{path}/ready", self.model_ready) for path in (model, model + version)),
            *(("GET", path, self.model_metadata) for path in (model, model + version)),
            *(("POST", f"{path}/infer", self.infer) for path in (model, model + version)),
            ("POST", "/v2/repository/index", self.index),
            ("POST", "/v2/repository/models/{model}/load", self.load),
            ("POST", "/v2/repository/models/{model}/unload", self.unload),
            ("GET", "/metrics", self.metrics),
            ("GET", "/openapi.json", self.openapi),
            ("GET", "/docs", self.docs),
        ]
        return [Route(path, function, methods=[method]) for method, path, function in [*table, *pages]]

    async def static(self, request: Request) -> Response:
        path = request.url.path
        headers = {"cache-control": "no-cache", "content-security-policy": PAGE_POLICY}
        return Response(self._static[path], media_type=MEDIA_TYPES[PAGE_FILES[path].suffix], headers=headers)

    async def openapi(self, request: Request) -> Response:
        return JSONResponse(document())

    async def docs(self, request: Request) -> Response:
        return Response(page(), media_type="text/html")

    async def metrics(self, request: Request) -> Response:
        return Response(self.service.metrics.text(), media_type=self.service.metrics.content_type)

    async def health_live(self, request: Request) -> Response:
        return JSONResponse({"live": True})

    async def health_ready(self, request: Request) -> Response:
        ready = self.service.ready
        return JSONResponse({"ready": ready}, 200 if ready else 503)

    async def server_metadata(self, request: Request) -> Response:
        said = {"name": SERVER_NAME, "version": d2deploy.__version__, "extensions": list(EXTENSIONS)}
        return JSONResponse(said)

    async def model_ready(self, request: Request) -> Response:
        model = self._model(request)
        return JSONResponse({"name": model.name, "ready": self.service.ready})

    async def model_metadata(self, request: Request) -> Response:
        model = self._model(request)
        return JSONResponse(metadata_of(model, list(self.service.repository.entry(model.name).versions)))

    async def models(self, request: Request) -> Response:
        return JSONResponse(self.service.repository.describe())

    async def index(self, request: Request) -> Response:
        body = await self.service.buffers.read(request.receive, request.headers)
        self.service.buffers.release(body)
        asked = protocol.load_json(body) if body else {}
        return JSONResponse(self.service.repository.index(isinstance(asked, dict) and asked.get("ready") is True))

    async def load(self, request: Request) -> Response:
        await self._without_config(request)
        await self.service.load(request.path_params["model"])
        return JSONResponse({})

    async def unload(self, request: Request) -> Response:
        await self._without_config(request)
        await self.service.unload(request.path_params["model"])
        return JSONResponse({})

    async def _without_config(self, request: Request) -> None:
        """Reads the body of a load request; a configuration, or files, cannot come with it."""
        body = await self.service.buffers.read(request.receive, request.headers)
        self.service.buffers.release(body)
        asked = protocol.load_json(body) if body else {}
        parameters = (asked.get("parameters") or {}) if isinstance(asked, dict) else None
        if not isinstance(parameters, dict):
            raise InvalidArgument("parameters must be a JSON object")
        self.service.check_load_parameters(parameters)

    async def infer(self, request: Request) -> Response:
        model, inference = self._model(request), self.service.inference
        length = request.headers.get("inference-header-content-length")

        def work(body: bytes, stages: Stages) -> tuple[bytes, int | None]:
            with stages.of("decode"):
                asked = protocol.decode(body, length, self.service.settings.limits.json_bytes)
            answer = inference.infer(model, asked, stages)
            with stages.of("encode"):
                return protocol.encode(answer, asked)

        body, json_length = await self._run(request, work)
        if json_length is None:
            return Response(body, media_type="application/json")
        return Response(
            body,
            media_type="application/octet-stream",
            headers={"inference-header-content-length": str(json_length)},
        )

    async def predict(self, request: Request) -> Response:
        model, query = self._asked(request.query_params)
        kind, inference = request.headers.get("content-type", ""), self.service.inference
        body, media_type = await self._run(
            request, lambda body, stages: inference.predict(model, body, kind, query, stages)
        )
        return Response(body, media_type=media_type)

    def _asked(self, query: Mapping[str, str]) -> tuple[ServedModel, PredictQuery]:
        unknown = set(query) - set(QUERY)
        if unknown:
            raise InvalidArgument(f"{shown(min(unknown))} is unknown in the query; known: {', '.join(QUERY)}")
        repository = self.service.repository
        name = query.get("model", "")
        if not name and len(repository.entries) > 1:
            raise InvalidArgument(f"model is missing in the query; there are: {', '.join(repository.entries)}")
        form = query.get("format", "json")
        if form not in ("json", "png"):
            raise InvalidArgument(f"format is {shown(form)}, must be json or png")
        model = repository.find(name or next(iter(repository.entries)), query.get("version", ""))
        return model, PredictQuery(threshold_of(query.get("threshold", 0.5)), form == "png")

    async def _run(self, request: Request, work: Callable[[bytes, Stages], Any]) -> Any:
        """Reads the body, and has it answered in a session."""
        service = self.service
        start, seconds = time.monotonic(), _seconds(request.headers.get("timeout"))
        service.engine.check()
        body = await service.buffers.read(request.receive, request.headers)
        try:
            left = None if seconds is None else seconds - (time.monotonic() - start)
            return await service.run(lambda stages: work(body, stages), left, lambda: _gone(request.receive))
        finally:
            service.buffers.release(body)

    def _model(self, request: Request) -> ServedModel:
        path = request.path_params
        return self.service.repository.find(path["model"], path.get("version", ""))


def _seconds(text: str | None) -> float | None:
    """The header `timeout`. Raises InvalidArgument."""
    if text is None:
        return None
    try:
        seconds = float(text)
    except ValueError:
        seconds = -1
    if not 0 < seconds < 1e6:
        raise InvalidArgument(f"the header timeout is {shown(text)}, must be a number of seconds above 0")
    return seconds


async def _gone(receive: Receive) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass
