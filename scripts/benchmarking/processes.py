"""A process with an engine in it, seen from outside."""

from __future__ import annotations

import contextlib
import json
import os
import select
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

SCRIPTS = Path(__file__).resolve().parents[1]
WORKER = (sys.executable, "-m", "benchmarking.worker")


def environment(build: Path) -> dict[str, str]:
    """That of the processes: they find the scripts, the package, and the module of that build folder."""
    paths = [SCRIPTS, SCRIPTS.parent / "python", build / "python"]
    return {**os.environ, "PYTHONPATH": os.pathsep.join(map(str, paths))}


class FailedError(Exception):
    """The process said why it cannot go on, or ended, or took too long."""


class Process:
    """A process that answers requests, one at a time.

    Args:
        environment: its variables.
        command: what runs.
    """

    def __init__(self, environment: dict[str, str], command: Sequence[str] = WORKER) -> None:
        self._errors = tempfile.TemporaryFile("w+b")  # noqa: SIM115  # lives as long as the process
        self._process = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=self._errors, env=environment
        )
        self._buffer = b""

    def ask(self, seconds: float, **request: Any) -> dict[str, Any]:
        """The answer to a request.

        Args:
            seconds: to wait for it; the process is ended where that is not enough.
            request: see worker.py.

        Raises:
            FailedError: there is none, or it says what went wrong.
        """
        requests = self._process.stdin
        if requests is None:
            raise FailedError("the process has no input")
        try:
            requests.write(json.dumps(request).encode() + b"\n")
            requests.flush()
        except BrokenPipeError:
            raise FailedError(self._end()) from None
        answer: dict[str, Any] = json.loads(self._line(seconds))
        if "error" in answer:
            raise FailedError(answer["error"])
        return answer

    def _line(self, seconds: float) -> bytes:
        out = self._process.stdout
        if out is None:
            raise FailedError("the process has no output")
        until = time.monotonic() + seconds
        while b"\n" not in self._buffer:
            if not select.select([out], [], [], max(until - time.monotonic(), 0))[0]:
                self.close()
                raise FailedError(f"gave no answer in {seconds:g} s (--limit)")
            if not (part := os.read(out.fileno(), 1 << 16)):
                raise FailedError(self._end())
            self._buffer += part
        line, _, self._buffer = self._buffer.partition(b"\n")
        return line

    def _end(self) -> str:
        """How the process ended, in words."""
        status = self._process.wait()
        self._errors.seek(0)
        last = self._errors.read().decode(errors="replace").strip().splitlines()[-1:] or ["it printed nothing"]
        return f"its process was ended by signal {-status}" if status < 0 else f"ended with status {status}: {last[0]}"

    def close(self) -> None:
        """Ends the process."""
        self._process.kill()
        self._process.wait()
        for pipe in (self._process.stdin, self._process.stdout, self._errors):
            if pipe is not None:
                with contextlib.suppress(BrokenPipeError):  # a request that it did not live to read
                    pipe.close()
