"""Connections of HTTP: no more than there may be, and none that takes its time to send a request."""

from __future__ import annotations

import asyncio
from typing import Any

import h11
from uvicorn.protocols.http.h11_impl import H11Protocol

from d2deploy.serving.settings import Limits

__all__ = ["protocol_of"]

# What is wrong with a body is told by whoever reads it. This is for bodies that nobody reads any more.
GRACE_SECONDS = 5.0


class _Connection(H11Protocol):
    """A connection with a timer, which runs while a request is incomplete: in its headers, then in its body."""

    limits: Limits

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        self._timer: asyncio.TimerHandle | None = None
        self._awaited: Any = None
        if len(self.connections) > self.limits.connections:
            transport.abort()
            return
        self._watch()

    def connection_lost(self, exc: Exception | None) -> None:
        self._stop()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        super().data_received(data)
        self._watch()

    def on_response_complete(self) -> None:
        super().on_response_complete()
        self._watch()

    def _watch(self) -> None:
        """Starts the timer anew where something else is awaited than before."""
        state = self.conn.their_state
        awaited = state if state in (h11.IDLE, h11.SEND_BODY) and not self.transport.is_closing() else None
        if awaited is self._awaited:
            return
        self._stop()
        self._awaited = awaited
        if awaited is not None:
            body = self.limits.body_seconds + GRACE_SECONDS
            seconds = self.limits.header_seconds if awaited is h11.IDLE else body
            self._timer = self.loop.call_later(seconds, self.transport.abort)

    def _stop(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None


def protocol_of(limits: Limits) -> type[H11Protocol]:
    """The class of connections with these limits, for uvicorn."""
    return type("Connection", (_Connection,), {"limits": limits})
