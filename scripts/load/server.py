"""A server's process on this machine: started, looked at, ended."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

HOST = "127.0.0.1"  # the only address that anything here is sent to
START_SECONDS = 120.0
END_SECONDS = 60.0


class Fault(Exception):  # noqa: N818
    """The server did something wrong: what was found, and what was wanted."""


class Server:
    """`d2deploy serve` in a process of its own, by the Python of this one.

    Args:
        model: folder of the model, which is served under the name `model`.
        options: more of the command line.
        log: file for its stderr.
    """

    def __init__(self, model: Path, options: Sequence[str], log: Path) -> None:
        self.log = log
        command = [sys.executable, "-m", "d2deploy", "serve", f"model={model}", "--host", HOST, "--port", "0"]
        with log.open("wb") as stderr:
            self._process = subprocess.Popen([*command, "--grpc-port", "none", *options], stderr=stderr)
        self.pid = self._process.pid
        said = self._wait_until_listening()
        self.port, self.sessions = int(said["port"]), int(said["sessions"])

    def _wait_until_listening(self) -> dict[str, Any]:
        end = time.monotonic() + START_SECONDS
        while time.monotonic() < end and self._process.poll() is None:
            for line in self.log.read_text().splitlines():
                if '"listening"' in line:
                    with contextlib.suppress(json.JSONDecodeError):  # it is being written
                        return dict(json.loads(line))
            time.sleep(0.05)
        self.kill()
        raise Fault(f"the server did not listen within {START_SECONDS:g} s: {self.log.read_text()[-2000:]}")

    def resident_bytes(self) -> int:
        """Of its memory, what is in RAM."""
        pages = int(Path(f"/proc/{self.pid}/statm").read_text().split()[1])
        return pages * os.sysconf("SC_PAGE_SIZE")

    def cpu_seconds(self) -> float:
        """Of all its threads, since it began."""
        words = Path(f"/proc/{self.pid}/stat").read_text().rpartition(")")[2].split()
        return (int(words[11]) + int(words[12])) / os.sysconf("SC_CLK_TCK")

    def open_files(self) -> int:
        """Its file descriptors, connections among them."""
        return len(list(Path(f"/proc/{self.pid}/fd").iterdir()))

    def faults(self) -> list[str]:
        """Lines of its log that tell of an error of its own."""
        return [line for line in self.log.read_text().splitlines() if '"level": "error"' in line or "Traceback" in line]

    def hang_up(self) -> None:
        """Sends SIGHUP: all models are loaded anew."""
        self._process.send_signal(signal.SIGHUP)

    def end(self) -> None:
        """Sends SIGTERM. Raises Fault where it does not end with 0."""
        self._process.send_signal(signal.SIGTERM)
        try:
            code = self._process.wait(END_SECONDS)
        except subprocess.TimeoutExpired as error:
            raise Fault(f"the server did not end within {END_SECONDS:g} s of SIGTERM") from error
        if code:
            raise Fault(f"the server ended with {code}, wanted 0")

    def alive(self) -> bool:
        return self._process.poll() is None

    def kill(self) -> None:
        """Ends it at once, where it has not ended."""
        if self.alive():
            self._process.kill()
            self._process.wait()


@contextlib.contextmanager
def serving(model: Path, *options: str) -> Iterator[Server]:
    """A server, which must end well where nothing else went wrong."""
    with tempfile.TemporaryDirectory() as folder:
        server = Server(model, options, Path(folder) / "log.jsonl")
        try:
            yield server
            if not server.alive():
                raise Fault(f"the server has died: {server.log.read_text()[-2000:]}")
            server.end()
            if found := server.faults():
                raise Fault(f"the server's log has {len(found)} errors, the first: {found[0][:2000]}")
        finally:
            server.kill()
