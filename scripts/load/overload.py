"""Ten times as many requests as a server can answer: it goes on with what it can, and says no to the rest at once."""

from __future__ import annotations

import asyncio
import itertools
import statistics
import time
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path

from load.client import Answer, Connection
from load.kinds import PREDICT, wanted
from load.overhead import over_http
from load.server import Fault, Server, serving
from load.truth import Picture, check_prediction, load_detector, load_pictures

TIMES = 10
# Requests that are under way at most; more are held back, and counted. Above the server's queue, below its connections.
MOST_OPEN = 200
LEAST_SHARE = 0.7  # of the capacity; the rest of the CPUs is for the client here, and for saying no


@dataclass
class Result:
    """What happened.

    Attributes:
        capacity: pictures per second, before, as many requests as keep the sessions busy.
        offered: requests per second.
        seconds: for so long.
        codes: how many answers of each.
        refused: seconds until each 429 was there, all of the server's and the client's own work included.
        held_back: requests that were not sent in time, since too many were under way.
        faults: answers that were wrong.
    """

    capacity: float
    offered: float = 0.0
    seconds: float = 0.0
    codes: Counter[int] = field(default_factory=Counter)
    refused: list[float] = field(default_factory=list)
    held_back: int = 0
    faults: list[str] = field(default_factory=list)

    @property
    def good(self) -> float:
        """Good answers per second."""
        return self.codes[200] / self.seconds

    def check(self) -> None:
        """Raises Fault where something was not as it must be."""
        if self.faults:
            raise Fault(f"{len(self.faults)} answers were wrong, as: " + "; ".join(self.faults[:5]))
        if self.good < LEAST_SHARE * self.capacity:
            raise Fault(f"{self.good:.1f} good answers per second, wanted {LEAST_SHARE:g} of {self.capacity:.1f}")
        if not self.refused:
            raise Fault("no request was refused: there was no overload")


async def _overload(server: Server, pictures: list[Picture], seconds: float, measured: int) -> Result:
    await over_http(server, pictures, 2 * server.sessions)
    result = Result((await over_http(server, pictures, measured)).rate)
    result.offered = TIMES * result.capacity
    idle: list[Connection] = []
    tasks: set[asyncio.Task[None]] = set()

    async def ask(picture: Picture) -> None:
        connection = idle.pop() if idle else Connection(server.port)
        try:
            _take(result, await connection.ask("POST", PREDICT, picture.data), picture)
        except Fault as fault:
            result.faults.append(str(fault))
        idle.append(connection)

    start = time.perf_counter()
    for number, picture in enumerate(itertools.islice(itertools.cycle(pictures), int(seconds * result.offered))):
        await asyncio.sleep(max(start + number / result.offered - time.perf_counter(), 0))
        if time.perf_counter() - start > seconds:
            break
        if len(tasks) >= MOST_OPEN:
            result.held_back += 1
            continue
        task = asyncio.create_task(ask(picture))
        tasks.add(task)
        task.add_done_callback(tasks.discard)
    result.seconds = time.perf_counter() - start
    on_time = Counter(result.codes)
    await asyncio.gather(*tasks)
    result.codes[200] = on_time[200]  # what is answered behind the end does not belong to a rate
    for connection in idle:
        await connection.close()
    return result


def _take(result: Result, answer: Answer, picture: Picture) -> None:
    wanted(answer, 200, 429)
    result.codes[answer.status] += 1
    if answer.status == 200:
        check_prediction(answer, picture)
    else:
        result.refused.append(answer.seconds)
        if not answer.headers.get("retry-after", "").isdigit():
            raise Fault("429 without the header Retry-After")


def run(model: Path, seconds: float, measured: int) -> Result:
    """Asks a server of its own.

    Args:
        model: folder of the model, with pictures.
        seconds: of overload.
        measured: pictures that its capacity is measured by.
    """
    with serving(model) as server:
        pictures = load_pictures(model, load_detector(model))
        return asyncio.run(_overload(server, pictures, seconds, measured))


def report(result: Result) -> str:
    """As lines of text."""
    refused = sorted(result.refused) or [0.0]
    late = refused[min(int(0.99 * len(refused)), len(refused) - 1)]
    return (
        f"capacity {result.capacity:.2f} pictures/s; offered {result.offered:.1f}/s for {result.seconds:.0f} s\n"
        f"good answers: {result.good:.2f} per second, {100 * result.good / result.capacity:.0f} % of the capacity\n"
        f"codes: {dict(sorted(result.codes.items()))}; held back by the client: {result.held_back}; wrong: "
        f"{len(result.faults)}\n"
        f"429 within {1000 * statistics.median(refused):.1f} ms in the median, {1000 * late:.1f} ms in 99 of 100"
    )
