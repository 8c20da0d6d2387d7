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
class Rates:
    """Pictures per second of each round.

    Attributes:
        net: `Detector.predict` on pixels, in as many threads as the server has sessions.
        whole: likewise, and before it the picture's file read: what any program has to do.
        http: the server.
    """

    net: list[float]
    whole: list[float]
    http: list[float]

    @property
    def cost(self) -> float:
        """What the server takes of the throughput of the net alone, 0.03 for 3 %: median of the rounds' own."""
        return statistics.median(1 - http / net for http, net in zip(self.http, self.net, strict=True))

    @property
    def cost_of_whole(self) -> float:
        """Likewise, of the net's with the files read."""
        return statistics.median(1 - http / whole for http, whole in zip(self.http, self.whole, strict=True))


def without_server(work: Callable[[Picture], object], pictures: list[Picture], count: int, sessions: int) -> float:
    """Pictures per second in threads of this process."""
    with ThreadPoolExecutor(sessions) as pool:
        start = time.perf_counter()
        list(pool.map(work, itertools.islice(itertools.cycle(pictures), count)))
        return count / (time.perf_counter() - start)


async def over_http(server: Server, pictures: list[Picture], count: int) -> float:
    """Pictures per second of the server; answers are looked at when the time is taken."""
    work = itertools.islice(itertools.cycle(pictures), count)
    answers = []

    async def ask(connection: Connection) -> None:
        async with connection:
            for picture in work:
                answers.append((await connection.ask("POST", PREDICT, picture.data), picture))

    connections = [Connection(server.port) for _ in range(REQUESTS_PER_SESSION * server.sessions)]
    for connection in connections:
        await connection.open()
    start = time.perf_counter()
    await asyncio.gather(*map(ask, connections))
    seconds = time.perf_counter() - start
    for answer, picture in answers:
        wanted(answer, 200)
        check_prediction(answer, picture)
    return count / seconds


def run(model: Path, rounds: int, count: int) -> Rates:
    """Measures in turn; a first round of each does not count.

    Args:
        model: folder of the model, with pictures.
        rounds: that count.
        count: pictures of a round.
    """
    detector = load_detector(model)
    pictures = load_pictures(model, detector)
    rates = Rates([], [], [])
    with serving(model) as server:
        measures: list[tuple[list[float], Callable[[], float]]] = [
            (
                rates.net,
                lambda: without_server(lambda p: _predict(detector, p.pixels), pictures, count, server.sessions),
            ),
            (rates.whole, lambda: without_server(lambda p: _whole(detector, p), pictures, count, server.sessions)),
            (rates.http, lambda: asyncio.run(over_http(server, pictures, count))),
        ]
        for number in range(rounds + 1):
            for row, measure in measures:
                rate = measure()
                if number:
                    row.append(rate)
    return rates


def _predict(detector: Detector, pixels: NDArray[np.uint8]) -> object:
    return detector.predict(pixels, "RGB")


def _whole(detector: Detector, picture: Picture) -> object:
    return _predict(detector, read_image(io.BytesIO(picture.data), "RGB"))


def report(rates: Rates) -> str:
    """As lines of text."""
    rows = {"net": rates.net, "net, files read": rates.whole, "HTTP": rates.http}
    lines = [
        f"{name:16} {statistics.median(row):9.3f} pictures/s, {min(row):.3f} to {max(row):.3f} in {len(row)} rounds"
        for name, row in rows.items()
    ]
    return "\n".join(
        [
            *lines,
            f"HTTP does {100 * rates.cost:.1f} % less than the net alone, {100 * rates.cost_of_whole:.1f} % less than "
            "the net with files read",
        ]
    )
