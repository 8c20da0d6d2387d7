"""What a server costs beside the net: pictures per second over HTTP and without a server, in turn on one machine."""

from __future__ import annotations

import asyncio
import io
import itertools
import statistics
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from d2deploy.images import read_image
from load.client import Connection
from load.kinds import PREDICT, wanted
from load.server import Server, serving
from load.truth import Picture, check_prediction, load_detector, load_pictures

if TYPE_CHECKING:
    from d2deploy.runtime import Detector

# So many requests are under way for each session: a next one waits when a session is done, as it does without a server.
REQUESTS_PER_SESSION = 2


@dataclass(frozen=True)
class Round:
    """One measurement.

    Attributes:
        rate: pictures per second.
        cpu_seconds: per picture, of all threads of the process that answers.
    """

    rate: float
    cpu_seconds: float


@dataclass(frozen=True)
class Result:
    """The rounds, in which each was measured in turn.

    Attributes:
        net: `Detector.predict` on pixels, in as many threads as the server has sessions.
        whole: likewise, and before it the picture's file read: what any program has to do.
        http: the server.
    """

    net: list[Round]
    whole: list[Round]
    http: list[Round]

    def lost(self, base: list[Round]) -> float:
        """What of the throughput of others the server does not reach, 0.03 for 3 %: median of the rounds' own."""
        return statistics.median(1 - http.rate / other.rate for http, other in zip(self.http, base, strict=True))

    def more_cpu(self, base: list[Round]) -> float:
        """What more of the CPUs a picture takes, as a part of what others take; neighbours change this less."""
        return statistics.median(
            http.cpu_seconds / other.cpu_seconds - 1 for http, other in zip(self.http, base, strict=True)
        )


def without_server(work: Callable[[Picture], object], pictures: list[Picture], count: int, sessions: int) -> Round:
    """In threads of this process."""
    with ThreadPoolExecutor(sessions) as pool:
        start, cpu = time.perf_counter(), time.process_time()
        list(pool.map(work, itertools.islice(itertools.cycle(pictures), count)))
        return Round(count / (time.perf_counter() - start), (time.process_time() - cpu) / count)


async def over_http(server: Server, pictures: list[Picture], count: int) -> Round:
    """Of the server; answers are looked at when the time is taken."""
    work = itertools.islice(itertools.cycle(pictures), count)
    answers = []

    async def ask(connection: Connection) -> None:
        async with connection:
            for picture in work:
                answers.append((await connection.ask("POST", PREDICT, picture.data), picture))

    connections = [Connection(server.port) for _ in range(REQUESTS_PER_SESSION * server.sessions)]
    for connection in connections:
        await connection.open()
    start, cpu = time.perf_counter(), server.cpu_seconds()
    await asyncio.gather(*map(ask, connections))
    seconds, cpu = time.perf_counter() - start, server.cpu_seconds() - cpu
    for answer, picture in answers:
        wanted(answer, 200)
        check_prediction(answer, picture)
    return Round(count / seconds, cpu / count)


def run(model: Path, rounds: int, count: int) -> Result:
    """Measures in turn; a first round of each does not count.

    Args:
        model: folder of the model, with pictures.
        rounds: that count.
        count: pictures of a round.
    """
    detector = load_detector(model)
    pictures = load_pictures(model, detector)
    result = Result([], [], [])
    with serving(model) as server:
        measures: list[tuple[list[Round], Callable[[], Round]]] = [
            (
                result.net,
                lambda: without_server(lambda p: _predict(detector, p.pixels), pictures, count, server.sessions),
            ),
            (result.whole, lambda: without_server(lambda p: _whole(detector, p), pictures, count, server.sessions)),
            (result.http, lambda: asyncio.run(over_http(server, pictures, count))),
        ]
        for number in range(rounds + 1):
            for row, measure in measures:
                measured = measure()
                if number:
                    row.append(measured)
    return result


def _predict(detector: Detector, pixels: NDArray[np.uint8]) -> object:
    return detector.predict(pixels, "RGB")


def _whole(detector: Detector, picture: Picture) -> object:
    return _predict(detector, read_image(io.BytesIO(picture.data), "RGB"))


def report(result: Result) -> str:
    """As lines of text."""
    lines = []
    for name, rows in {"net": result.net, "net, files read": result.whole, "HTTP": result.http}.items():
        rates = sorted(row.rate for row in rows)
        cpu = 1000 * statistics.median(row.cpu_seconds for row in rows)
        told = f"({rates[0]:.3f} to {rates[-1]:.3f} in {len(rows)} rounds), {cpu:.1f} ms of CPU each"
        lines.append(f"{name:16} {statistics.median(rates):9.3f} pictures/s {told}")
    for name, base in {"net": result.net, "net with files read": result.whole}.items():
        lost, more = 100 * result.lost(base), 100 * result.more_cpu(base)
        lines.append(f"HTTP beside the {name}: {lost:.1f} % fewer pictures/s, {more:.1f} % more of the CPUs")
    return "\n".join(lines)
