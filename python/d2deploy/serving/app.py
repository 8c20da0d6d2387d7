"""What both protocols share: the models, the engine, the token, and whether the server is ready."""

from __future__ import annotations

import asyncio
import hmac
import logging
import time
from collections.abc import Awaitable, Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Any

from starlette.exceptions import HTTPException

from d2deploy.errors import InvalidArgument, InvalidModel
from d2deploy.serving.bodies import Buffers, Disconnected
from d2deploy.serving.engine import Engine, Stages
from d2deploy.serving.errors import DeadlineExceeded, NotFound, Unauthorized, Unavailable, answer_to
from d2deploy.serving.inference import Inference
from d2deploy.serving.logs import LOGGER, fields
from d2deploy.serving.metrics import Metrics
from d2deploy.serving.models import Repository
from d2deploy.serving.settings import Settings

__all__ = ["EXTENSIONS", "SERVER_NAME", "Request", "Service"]

SERVER_NAME = "d2deploy"
EXTENSIONS = ("binary_tensor_data", "model_repository")


# Not errors of ours: the client went away, or Starlette wants another method.
QUIET = (Disconnected, HTTPException)


@dataclass
class Request:
    """One of either protocol.

    Attributes:
        protocol: "http" or "grpc".
        identity: its id, in its answer and in the log.
        route: name of what answers it: no label or line of a log holds an address that a client makes up.
        start: of time.perf_counter.
    """

    protocol: str
    identity: str
    route: str
    start: float = field(default_factory=time.perf_counter)


class Service:
    """A server without its sockets.

    Args:
        settings: of the server.
        repository: its models, loaded.
        engine: does the work.
    """

    def __init__(self, settings: Settings, repository: Repository, engine: Engine) -> None:
        self.settings = settings
        self.repository = repository
        self.engine = engine
        self.metrics = Metrics(engine)
        self.inference = Inference(settings.limits)
        self.buffers = Buffers(settings.limits)
        self.draining = False
        self.in_flight = 0
        self._loader = ThreadPoolExecutor(1, thread_name_prefix="load")

    @property
    def ready(self) -> bool:
        return not self.draining and self.repository.ready

    def check_token(self, authorization: str | None) -> None:
        """Raises Unauthorized where the header, or the metadata of gRPC, has not the server's token."""
        if self.settings.token is None:
            return
        scheme, _, given = (authorization or "").partition(" ")
        # Compared in a time that tells nothing of what is right in it.
        same = hmac.compare_digest(given.strip().encode("utf-8", "replace"), self.settings.token)
        if scheme.lower() != "bearer" or not same:
            raise Unauthorized("the token is missing or wrong; send the header Authorization: Bearer TOKEN")

    def check_accepting(self) -> None:
        """Raises Unavailable where the server ends."""
        if self.draining:
            raise Unavailable("the server is ending")

    async def run(
        self,
        work: Callable[[Stages], Any],
        seconds: float | None = None,
        gone: Callable[[], Awaitable[object]] | None = None,
    ) -> Any:
        """Has work done in a session, and waits for what it gives. Where nobody waits any more it is not begun.

        Args:
            work: for the engine.
            seconds: until an answer is wanted, at most those of the server.
            gone: ends when the client went away.

        Raises:
            DeadlineExceeded: there is none in this time.
            Disconnected: the client went away.
            Overloaded, Unavailable: as `Engine.submit`, and what `work` raises.
        """
        most = self.settings.limits.timeout_seconds
        seconds = most if seconds is None else min(seconds, most)

        def measured(stages: Stages) -> Any:
            result = work(stages)
            if stages.model:
                self.metrics.predicted(stages.model, stages.pictures, stages.seconds)
            return result

        job = asyncio.wrap_future(self.engine.submit(measured, time.monotonic() + seconds))
        waiter = asyncio.ensure_future(gone()) if gone else None
        try:
            done, _ = await asyncio.wait(
                {job, waiter} if waiter else {job}, timeout=seconds, return_when=asyncio.FIRST_COMPLETED
            )
            if job in done:
                return job.result()
            if waiter in done:
                raise Disconnected
            raise DeadlineExceeded(f"there was no answer within {seconds:g} seconds")
        finally:
            job.cancel()
            if waiter:
                waiter.cancel()

    def begun(self, request: Request) -> None:
        """Counts a request."""
        self.in_flight += 1
        self.metrics.in_flight.labels(request.protocol).inc()

    def ended(self, request: Request, code: str, error: Exception | None, **more: object) -> None:
        """Counts the end of a request, and writes it into the log.

        Args:
            request: that `begun` counted.
            code: of its answer.
            error: that it ended in.
            more: fields of its line.
        """
        seconds = time.perf_counter() - request.start
        self.in_flight -= 1
        self.metrics.in_flight.labels(request.protocol).dec()
        self.metrics.answered(request.protocol, request.route, code, seconds)
        said: dict[str, object] = {"request_id": request.identity, "protocol": request.protocol}
        said.update(route=request.route, status=code, ms=round(1000 * seconds, 3))
        if error is not None:
            self.metrics.failed(request.protocol, type(error).__name__)
            said["error"] = type(error).__name__
        hidden = error is not None and not isinstance(error, QUIET) and answer_to(error).hidden
        LOGGER.log(
            logging.ERROR if hidden else logging.INFO,
            "request",
            exc_info=error if hidden else None,
            extra=fields(**said, **more),
        )

    async def load(self, name: str) -> None:
        """As `Repository.load`, beside the event loop.

        Raises:
            NotFound: there is no such model.
            InvalidModel, DeviceError: it cannot be loaded. Whatever is wrong, it is with the server's files, whose
                paths no client is told.
        """
        try:
            await asyncio.get_running_loop().run_in_executor(self._loader, self.repository.load, name)
        except Exception as error:
            if isinstance(error, NotFound) or answer_to(error).hidden:
                raise
            raise InvalidModel(f"model {name!r} cannot be loaded: {error}") from error

    def check_load_parameters(self, names: Iterable[str]) -> None:
        """Raises InvalidArgument where a request to load or unload a model brings what there is no use for here."""
        if set(names) - {"unload_dependents"}:
            raise InvalidArgument("parameters: there are none here; models are loaded from the folders of the server")

    async def unload(self, name: str) -> None:
        """As `Repository.unload`."""
        await asyncio.get_running_loop().run_in_executor(self._loader, self.repository.unload, name)

    async def reload_all(self) -> None:
        """Loads all models anew that are loaded; what goes wrong is told in the log, and leaves a model as it was."""
        for name, entry in self.repository.entries.items():
            if entry.versions:
                try:
                    await self.load(name)
                except Exception:
                    LOGGER.exception("a model could not be loaded anew", extra=fields(model=name))

    def close(self, seconds: float) -> None:
        """Ends the engine, whose work it waits for, for so long at most, and the loader."""
        self.engine.close()
        self.engine.join(seconds)
        self._loader.shutdown(wait=False, cancel_futures=True)
