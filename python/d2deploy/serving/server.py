"""The process of a server: its sockets, its signals, its end."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import signal
import socket
import ssl
import sys
import time
import warnings
from collections.abc import Iterator
from typing import Any

import grpc
import uvicorn
from PIL import Image

from d2deploy.errors import InvalidArgument
from d2deploy.serving.app import Service
from d2deploy.serving.connections import protocol_of
from d2deploy.serving.engine import Engine
from d2deploy.serving.grpc_service import make_server
from d2deploy.serving.http import Front
from d2deploy.serving.logs import LOGGER, fields, log_as_json
from d2deploy.serving.models import Repository
from d2deploy.serving.settings import Settings

__all__ = ["listen", "serve"]

KEEP_ALIVE_SECONDS = 10
CLOSING_SECONDS = 3  # for connections, once all requests are answered
TICK_SECONDS = 0.05
BACKLOG = 256
INTERRUPTED = 128 + signal.SIGINT


def serve(settings: Settings) -> int:
    """Loads the models and serves them until SIGTERM or SIGINT comes.

    Returns:
        The exit code: 0, or 130 after SIGINT.

    Raises:
        InvalidArgument: an address cannot be listened on, a certificate cannot be read, or as `Repository.load`.
        InvalidModel, Unsupported, DeviceError: a model cannot be loaded.
    """
    log_as_json()
    # Sizes of pictures are looked at by limits of our own.
    warnings.simplefilter("ignore", Image.DecompressionBombWarning)
    listener = listen(settings.host, settings.port)
    with contextlib.closing(listener):
        tls = _read_tls(settings)
        repository = Repository(settings.models, settings.runtime, settings.tensors)
        repository.load_all()
        streams = max(
            model.detector.streams for entry in repository.entries.values() for model in entry.versions.values()
        )
        service = Service(settings, repository, Engine(settings.sessions or streams, settings.limits.queue))
        return asyncio.run(_Server(service, listener, tls).run())


def listen(host: str, port: int) -> socket.socket:
    """A socket that listens. It says that it is TCP's: for others asyncio leaves Nagle's algorithm on, which lets the
    second half of an answer wait for 40 ms.
    """
    try:
        kind, tcp = socket.SOCK_STREAM, socket.IPPROTO_TCP
        family, *_, address = socket.getaddrinfo(host, port, type=kind, proto=tcp, flags=socket.AI_PASSIVE)[0]
        with contextlib.ExitStack() as stack:
            listener = stack.enter_context(socket.socket(family, kind, tcp))
            listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            listener.bind(address)
            listener.listen(BACKLOG)
            stack.pop_all()
            return listener
    except (OSError, UnicodeError) as error:  # of a name that is none: UnicodeError
        reason = getattr(error, "strerror", "that is no name of a host")
        raise InvalidArgument(f"cannot listen on {host}:{port}: {reason}; choose another --host or --port") from error


def _read_tls(settings: Settings) -> tuple[bytes, bytes] | None:
    """Certificate and key in PEM, which fit each other."""
    if settings.tls is None:
        return None
    certificate, key = settings.tls
    try:
        ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER).load_cert_chain(certificate, key, _no_password)
        return certificate.read_bytes(), key.read_bytes()
    except OSError as error:  # an SSLError is one
        reason = error.strerror or str(error)
        raise InvalidArgument(f"--tls-cert {certificate}, --tls-key {key}: cannot be used: {reason}") from error


def _no_password() -> str:
    """Instead of a question on the terminal, which a service has not."""
    raise InvalidArgument(
        "--tls-key: the key is encrypted, and there is nobody who could be asked for its password; decrypt it with "
        "openssl pkey -in KEY -out FILE, which only the server may read"
    )


class _Uvicorn(uvicorn.Server):
    """Signals are ours."""

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield


class _Server:
    """A service with its sockets."""

    def __init__(self, service: Service, listener: socket.socket, tls: tuple[bytes, bytes] | None) -> None:
        self.service, self.listener, self.tls = service, listener, tls
        self._ending: asyncio.Event = asyncio.Event()
        self._signal = signal.SIGTERM
        self._reload: asyncio.Task[None] | None = None

    async def run(self) -> int:
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, self._end, number)
        loop.add_signal_handler(signal.SIGHUP, self._begin_reload)
        calls, grpc_port = await self._start_grpc()
        web = _Uvicorn(self._config())
        task = asyncio.create_task(web.serve([self.listener]))
        while not web.started and not task.done():
            await asyncio.sleep(TICK_SECONDS)
        self._say_listening(grpc_port)
        ended = asyncio.create_task(self._ending.wait())
        await asyncio.wait({task, ended}, return_when=asyncio.FIRST_COMPLETED)
        whole = await self._drain()
        if calls:
            await calls.stop(CLOSING_SECONDS if whole else 0)
        web.should_exit = True
        web.force_exit = not whole
        await task
        self.service.close(CLOSING_SECONDS if whole else 0)
        code = INTERRUPTED if self._signal == signal.SIGINT else 0
        LOGGER.info("ended", extra=fields(code=code))
        loading = self._reload is not None and not self._reload.done()
        if loading or not whole:  # they cannot be stopped; the end of the interpreter would wait for them
            logging.shutdown()
            sys.stdout.flush()
            os._exit(code)
        return code

    def _config(self) -> uvicorn.Config:
        settings = self.service.settings
        certificate, key = settings.tls or (None, None)
        return uvicorn.Config(
            Front(self.service),
            http=protocol_of(settings.limits),
            loop="asyncio",
            ws="none",
            lifespan="off",
            log_config=None,
            access_log=False,
            proxy_headers=False,
            server_header=False,
            timeout_keep_alive=KEEP_ALIVE_SECONDS,
            timeout_graceful_shutdown=CLOSING_SECONDS,
            ssl_certfile=certificate,
            ssl_keyfile=key,
        )

    async def _start_grpc(self) -> tuple[Any, int | None]:
        """The server of gRPC and its port, where there is one."""
        settings = self.service.settings
        if settings.grpc_port is None:
            return None, None
        server = make_server(self.service)
        host = f"[{settings.host}]" if ":" in settings.host else settings.host
        address = f"{host}:{settings.grpc_port}"
        try:
            if self.tls:
                certificate, key = self.tls
                port = server.add_secure_port(address, grpc.ssl_server_credentials([(key, certificate)]))
            else:
                port = server.add_insecure_port(address)
        except RuntimeError as error:
            raise InvalidArgument(f"cannot listen on {address}; choose another --grpc-port, or 'none'") from error
        await server.start()
        return server, port

    def _say_listening(self, grpc_port: int | None) -> None:
        service = self.service
        host, port = self.listener.getsockname()[:2]
        if service.settings.token is None and host not in ("127.0.0.1", "::1"):
            LOGGER.warning("anybody who reaches this address may use the server: there is no --token-file")
        LOGGER.info(
            "listening",
            extra=fields(
                host=host,
                port=port,
                grpc_port=grpc_port,
                tls=self.tls is not None,
                models=list(service.repository.entries),
                sessions=service.engine.sessions,
                pid=os.getpid(),
            ),
        )

    def _end(self, number: signal.Signals) -> None:
        if self._ending.is_set():  # asked twice: at once
            LOGGER.warning("ended at once: asked twice", extra=fields(unanswered=self.service.in_flight))
            logging.shutdown()
            os._exit(128 + number)
        self._signal = number
        self._ending.set()

    def _begin_reload(self) -> None:
        if self._reload is None or self._reload.done():
            LOGGER.info("loading all models anew")
            self._reload = asyncio.create_task(self.service.reload_all())

    async def _drain(self) -> bool:
        """Lets the requests end that were accepted; whether all of them did."""
        service = self.service
        service.draining = True
        LOGGER.info("ending", extra=fields(unanswered=service.in_flight))
        end = time.monotonic() + service.settings.limits.drain_seconds
        while service.in_flight or service.engine.running or service.engine.waiting:
            if time.monotonic() > end:
                LOGGER.warning("requests are left unanswered", extra=fields(unanswered=service.in_flight))
                return False
            await asyncio.sleep(TICK_SECONDS)
        return True
