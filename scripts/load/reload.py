"""A model loaded anew while it is asked: no request is lost, and no answer is another."""

from __future__ import annotations

import asyncio
import itertools
import time
from dataclasses import dataclass, field
from pathlib import Path

from load.client import Connection
from load.kinds import PREDICT, wanted
from load.server import Fault, Server, serving
from load.truth import Picture, check_prediction, load_detector, load_pictures


@dataclass
class Result:
    """What happened.

    Attributes:
        good: answers that were right.
        loads: of the model meanwhile.
        slowest: seconds of the answer that took longest.
        resident: bytes of the server's memory before, and after.
        faults: what went wrong.
    """

    good: int = 0
    loads: int = 0
    slowest: float = 0.0
    resident: tuple[int, int] = (0, 0)
    faults: list[str] = field(default_factory=list)

    def check(self) -> None:
        """Raises Fault where something was not as it must be."""
        if self.faults:
            raise Fault(f"{len(self.faults)} requests went wrong, as: " + "; ".join(self.faults[:5]))
        if not self.loads or not self.good:
            raise Fault(f"{self.loads} loads and {self.good} answers: there was nothing to see")


async def _reload(server: Server, pictures: list[Picture], seconds: float) -> Result:
    result, end = Result(), time.monotonic() + seconds
    before = server.resident_bytes()

    async def ask(number: int) -> None:
        async with Connection(server.port) as connection:
            for picture in itertools.islice(itertools.cycle(pictures), number, None):
                if time.monotonic() > end:
                    return
                try:
                    answer = await connection.ask("POST", PREDICT, picture.data)
                    wanted(answer, 200)
                    check_prediction(answer, picture)
                    result.good += 1
                    result.slowest = max(result.slowest, answer.seconds)
                except Fault as fault:
                    result.faults.append(str(fault))

    async def load() -> None:
        async with Connection(server.port) as connection:
            while time.monotonic() < end - seconds / 4:
                await asyncio.sleep(seconds / 20)
                if result.loads % 2:
                    server.hang_up()
                else:
                    wanted(await connection.ask("POST", "/v2/repository/models/model/load"), 200)
                result.loads += 1

    await asyncio.gather(load(), *(ask(number) for number in range(2 * server.sessions)))
    result.resident = (before, server.resident_bytes())
    return result


def run(model: Path, seconds: float) -> Result:
    """Asks a server of its own for so long."""
    with serving(model) as server:
        pictures = load_pictures(model, load_detector(model))
        return asyncio.run(_reload(server, pictures, seconds))


def report(result: Result) -> str:
    """As lines of text."""
    return (
        f"{result.good} right answers, {len(result.faults)} wrong or missing, {result.loads} loads meanwhile; the "
        f"slowest answer took {1000 * result.slowest:.0f} ms; memory: {result.resident[0] / 2**20:.0f} MiB before, "
        f"{result.resident[1] / 2**20:.0f} after"
    )
