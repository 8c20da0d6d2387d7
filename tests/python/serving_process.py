"""A server in a process of its own, and a client for it."""

from __future__ import annotations

import http.client
import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from conftest import ROOT

from d2deploy import _ext

START_SECONDS, END_SECONDS, ANSWER_SECONDS = 120, 60, 60
SMALL = ("--threads", 1, "--min-size", 96, "--max-size", 160)  # the example's answers stay, and take less time


def command(*arguments: Any) -> list[str]:
    return [sys.executable, "-m", "d2deploy", "serve", *map(str, arguments)]


def environment() -> dict[str, str]:
    path = os.pathsep.join([str(ROOT / "python"), str(Path(_ext.__file__).parents[1])])
    return {**os.environ, "PYTHONPATH": path}


class Server:
    """`d2deploy serve` on ports of 127.0.0.1 that are free.

    Args:
        arguments: of the command, beside the ports.
    """

    def __init__(self, *arguments: Any) -> None:
        self.lines: list[dict[str, Any]] = []
        self._process = subprocess.Popen(
            command(*arguments, "--port", 0, "--grpc-port", 0),
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            text=True,
            env=environment(),
        )
        self._listening = threading.Event()
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    def _read(self) -> None:
        assert self._process.stderr
        with self._process.stderr as lines:
            for line in lines:
                self.lines.append(json.loads(line))  # each is JSON, whoever wrote it
                if self.lines[-1]["message"] == "listening":
                    self._listening.set()
        self._listening.set()

    def __enter__(self) -> Server:
        assert self._listening.wait(START_SECONDS)
        assert self._process.poll() is None, self.lines
        said = next(line for line in self.lines if line["message"] == "listening")
        self.port, self.grpc_port, self.sessions = said["port"], said["grpc_port"], said["sessions"]
        return self

    def __exit__(self, *_: object) -> None:
        if self._process.poll() is None:
            self._process.kill()
        self._process.wait(END_SECONDS)
        self._reader.join(END_SECONDS)

    def send(self, number: signal.Signals) -> None:
        self._process.send_signal(number)

    def end(self, number: signal.Signals = signal.SIGTERM) -> int:
        """Asks it to end, and gives its exit code."""
        self.send(number)
        return self._process.wait(END_SECONDS)

    def wait_for(self, message: str, count: int = 1) -> None:
        """Waits until it has logged this so many times."""
        end = time.monotonic() + ANSWER_SECONDS
        while sum(line["message"] == message for line in self.lines) < count:
            assert time.monotonic() < end, self.lines
            time.sleep(0.02)

    def connect(self) -> http.client.HTTPConnection:
        return http.client.HTTPConnection("127.0.0.1", self.port, timeout=ANSWER_SECONDS)

    def ask(
        self, method: str, path: str, body: bytes | None = None, headers: Mapping[str, str] | None = None
    ) -> tuple[int, Any]:
        """A request in a connection of its own: the status, and the JSON or bytes of the answer."""
        connection = self.connect()
        try:
            connection.request(method, path, body, dict(headers or {}))
            response = connection.getresponse()
            data = response.read()
            return response.status, json.loads(data) if "json" in response.headers["content-type"] else data
        finally:
            connection.close()
