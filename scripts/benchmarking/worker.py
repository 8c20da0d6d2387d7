"""The process of one engine: loads a model and runs it when it is told to, one request and one answer a line (JSON).

    {"do": "load", "engine": ..., "folder": ..., "threads": ...}  ->  {"seconds": ..., "peak_bytes": ...}
    {"do": "run", "inputs": FILE.npz, "outputs": FILE.npz or null}  ->  {"seconds": ..., "cpu_seconds": ..., ...}

An answer {"error": ...} says what went wrong. The process ends when its input does.
"""

from __future__ import annotations

import json
import os
import sys
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, TextIO

import numpy as np

from benchmarking.engines import ENGINES, Arrays, Engine, Run, UnavailableError

INSTALL = "pip install --group bench"


def peak_bytes() -> int:
    """The most memory that this process ever had. Not getrusage's, which begins with that of the parent."""
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith("VmHWM:"):
            return int(line.split()[1]) * 1024
    raise RuntimeError("/proc/self/status tells no VmHWM")


class Worker:
    """Answers requests.

    Args:
        engines: by name.
    """

    def __init__(self, engines: Mapping[str, Engine]) -> None:
        self.engines = engines
        self.run: Run | None = None
        self.inputs: tuple[str, Arrays] = ("", {})

    def answer(self, request: dict[str, Any]) -> dict[str, Any]:
        """Does what a request says; whatever fails is part of the answer, since engines may raise anything."""
        known: dict[str, Callable[..., dict[str, Any]]] = {"load": self._load, "run": self._run}
        try:
            return known[request.pop("do")](**request)
        except ModuleNotFoundError as error:
            return {"error": f"the package {error.name} is not installed; {INSTALL} brings it"}
        except UnavailableError as error:
            return {"error": str(error)}
        except Exception as error:
            return {"error": f"{type(error).__name__}: {' '.join(str(error).split())[:300]}"}

    def _load(self, engine: str, folder: str, threads: int) -> dict[str, Any]:
        if package := self.engines[engine].package:
            __import__(package)  # importing Python's packages is no part of loading
        start = time.perf_counter()
        self.run = self.engines[engine].load(Path(folder), threads)
        return {"seconds": time.perf_counter() - start, "peak_bytes": peak_bytes()}

    def _run(self, inputs: str, outputs: str | None) -> dict[str, Any]:
        if self.run is None:
            raise RuntimeError("nothing is loaded")
        if self.inputs[0] != inputs:
            with np.load(inputs) as file:
                self.inputs = (inputs, dict(file))
        cpu, start = time.process_time(), time.perf_counter()
        found: dict[str, Any] = self.run(self.inputs[1])
        seconds, cpu_seconds = time.perf_counter() - start, time.process_time() - cpu
        if outputs:
            np.savez(outputs, **found)
        return {"seconds": seconds, "cpu_seconds": cpu_seconds, "peak_bytes": peak_bytes()}


def serve(requests: TextIO, answers: TextIO, engines: Mapping[str, Engine]) -> None:
    """Answers line by line until the requests end."""
    worker = Worker(engines)
    for line in requests:
        print(json.dumps(worker.answer(json.loads(line))), file=answers, flush=True)


def main() -> None:
    # What engines print must not get between the answers.
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)
    serve(sys.stdin, answers, ENGINES)


if __name__ == "__main__":
    main()
