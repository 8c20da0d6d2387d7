"""All engines of one model measured side by side: each in a process of its own that stays warm, one run at a time."""

from __future__ import annotations

import os
import statistics
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

from benchmarking.processes import FailedError

Array = npt.NDArray[Any]
# Threads of some pools look for work for a while after a run, OpenMP's of some up to 200 ms: that is the next engine's
# time, unless it waits.
PAUSE = 0.25
# A detection is found again where class, overlap and score are about the same.
OVERLAP = 0.9
SCORE = 0.05


class Asked(Protocol):
    """What answers requests: a Process, or what stands for one in tests."""

    def ask(self, seconds: float, **request: Any) -> dict[str, Any]: ...

    def close(self) -> None: ...


@dataclass
class Measured:
    """What one engine did with one model at one size; seconds, bytes. `fault` says why it did not."""

    engine: str
    load: float = 0.0
    runs: list[float] = field(default_factory=list)
    cpu: list[float] = field(default_factory=list)
    peak: int = 0
    answers: str = ""
    fault: str = ""

    @property
    def median(self) -> float:
        return statistics.median(self.runs)


@dataclass
class Setting:
    """One model, one size of picture, one number of threads, and all engines."""

    model: str
    size: str
    threads: int
    rows: list[Measured]
    date: str = ""
    command: str = ""

    @property
    def name(self) -> tuple[str, str, int]:
        return self.model, self.size, self.threads


@contextmanager
def warm(
    engines: Sequence[str], folder: Path, threads: int, limit: float, start: Callable[[], Asked]
) -> Iterator[tuple[dict[str, Asked], dict[str, Measured]]]:
    """Processes that have loaded the model, and what all engines have to show so far."""
    processes: dict[str, Asked] = {}
    loaded: dict[str, Measured] = {}
    try:
        for engine in engines:
            loaded[engine] = row = Measured(engine)
            process = start()
            try:
                answer = process.ask(limit, do="load", engine=engine, folder=str(folder), threads=threads)
            except FailedError as failure:
                row.fault = str(failure)
                process.close()
                continue
            row.load, row.peak = answer["seconds"], answer["peak_bytes"]
            processes[engine] = process
        yield processes, loaded
    finally:
        for process in processes.values():
            process.close()


def measure(
    model: str,
    folder: Path,
    sizes: Sequence[str],
    threads: int,
    engines: Sequence[str],
    *,
    rounds: int,
    limit: float,
    start: Callable[[], Asked],
    pause: float = PAUSE,
    progress: Callable[[str], None] = lambda text: None,
) -> list[Setting]:
    """Measures all engines in turn, size by size.

    Args:
        model: name, for the report.
        folder: its files.
        sizes: HxW, as the inputs in the folder are called.
        threads: of a run; 0: as many as this process may use.
        engines: names; the first one that works is what the others' answers are compared with.
        rounds: runs of each engine that count; one goes before.
        limit: seconds for loading, and for one run.
        start: makes a process.
        pause: seconds between runs.
        progress: told what is going on.
    """
    threads = threads or len(os.sched_getaffinity(0))
    progress(f"{model}: loading")
    settings = []
    with warm(engines, folder, threads, limit, start) as (processes, loaded):
        for size in sizes:
            rows = [Measured(engine, row.load, peak=row.peak, fault=row.fault) for engine, row in loaded.items()]
            settings.append(Setting(model, size, threads, rows))
            reference: dict[str, Array] = {}
            for turn in range(rounds + 1):
                for row in rows:
                    if row.fault or row.engine not in processes:
                        continue
                    progress(f"{model} {size}, {threads} threads: round {turn} of {rounds}, {row.engine}")
                    outputs = None if turn else folder / f"{row.engine}.outputs.npz"
                    try:
                        _run(processes[row.engine], row, folder / f"{size}.npz", outputs, limit)
                    except FailedError as failure:
                        row.fault = loaded[row.engine].fault = str(failure)
                        processes.pop(row.engine).close()
                        continue
                    if outputs is not None:
                        with np.load(outputs) as file:
                            found = dict(file)
                        outputs.unlink()
                        row.answers = agreement(reference, found) if reference else "reference"
                        reference = reference or found
                    time.sleep(pause)
    return settings


def _run(process: Asked, row: Measured, inputs: Path, outputs: Path | None, limit: float) -> None:
    """One run; the first one, which writes its outputs, does not count."""
    answer = process.ask(limit, do="run", inputs=str(inputs), outputs=str(outputs) if outputs else None)
    row.peak = max(row.peak, answer["peak_bytes"])
    if outputs is None:
        row.runs.append(answer["seconds"])
        row.cpu.append(answer["cpu_seconds"])


def agreement(reference: dict[str, Array], found: dict[str, Array]) -> str:
    """How far the outputs of an engine are those of another, in words."""
    if "bbox_nms" in reference:
        wanted, others = (tuple(x[k] for k in ("bbox_nms", "score_nms", "class_nms")) for x in (reference, found))
        return f"{matched(wanted, others)} of {len(wanted[1])} found again, {len(others[1])} in all"
    gaps = [_gap(values, found[name]) for name, values in reference.items() if name in found]
    return f"outputs differ by at most {max(gaps):.2g} of their spread" if gaps else "no output in common"


def _gap(wanted: Array, found: Array) -> float:
    if wanted.shape != found.shape:
        return float("inf")
    return float(np.abs(wanted.astype(np.float64) - found).max() / (wanted.std() or 1.0))


def matched(wanted: tuple[Array, ...], found: tuple[Array, ...]) -> int:
    """How many detections are found again; each is boxes (R, 4) xyxy, scores (R,), classes (R,)."""
    boxes, scores, classes = found
    free, count = np.ones(len(scores), bool), 0
    for box, score, kind in zip(*wanted, strict=True):
        low, high = np.maximum(boxes[:, :2], box[:2]), np.minimum(boxes[:, 2:], box[2:])
        inner = np.prod(np.clip(high - low, 0, None), axis=1)
        whole = np.prod(boxes[:, 2:] - boxes[:, :2], axis=1) + np.prod(box[2:] - box[:2]) - inner
        overlap = np.where(free & (classes == kind) & (np.abs(scores - score) <= SCORE), inner / whole, 0.0)
        if len(overlap) and overlap.max() >= OVERLAP:
            free[overlap.argmax()] = False
            count += 1
    return count
