"""Many requests of all kinds: each is answered as it must be, and the server is at the end what it was before."""

from __future__ import annotations

import asyncio
import random
import statistics
import time
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path

from load.client import Connection
from load.kinds import KINDS, OPTIONS, Ask, Asker
from load.server import Fault, Server, serving
from load.truth import Picture, load_detector, load_pictures

MOST_SECONDS = 1800.0
# Sides of what the net sees: what is tried is the server, and most of the time should be its own.
SIZES = {"min_size": 96, "max_size": 160}
SAMPLE_SECONDS = 0.5
MOST_FAULTS = 50  # more are not worth waiting for
# Memory: what allocators keep reaches its level in steps, the last of which may come after some thousand requests; what
# leaks goes on growing where there are more of them. Files: connections that are being closed.
MOST_GROWTH = 0.05
MOST_MORE_FILES = 8


@dataclass
class Result:
    """What happened.

    Attributes:
        asked: requests, by kind.
        faults: those that went wrong, by kind, with the reason.
        seconds: all took.
        resident: bytes of the server's memory, sampled at equal distances.
        files: that the server had open before, and after.
    """

    asked: Counter[str] = field(default_factory=Counter)
    faults: list[str] = field(default_factory=list)
    seconds: float = 0.0
    resident: list[int] = field(default_factory=list)
    files: tuple[int, int] = (0, 0)

    @property
    def growth(self) -> float:
        """Of the memory, from the third quarter of the time to the fourth: medians, as a part of the first of them."""
        half, last = len(self.resident) // 2, len(self.resident) * 3 // 4
        before, after = (statistics.median(part) for part in (self.resident[half:last], self.resident[last:]))
        return (after - before) / before

    def check(self) -> None:
        """Raises Fault where something was not as it must be."""
        if self.faults:
            raise Fault(f"{len(self.faults)} answers were wrong, as: " + "; ".join(self.faults[:5]))
        if self.growth > MOST_GROWTH:
            raise Fault(
                f"memory grew by {100 * self.growth:.1f} % in the second half, at most {100 * MOST_GROWTH:g} % may"
            )
        before, after = self.files
        if after > before + MOST_MORE_FILES:
            raise Fault(f"{after} files are open, before there were {before}")


def draw(count: int, seed: int) -> list[Ask]:
    """The kinds of so many requests, each as often as KINDS says and at least once, in an order that the seed gives."""
    chance = random.Random(seed)
    kinds = [*KINDS, *chance.choices(list(KINDS), list(KINDS.values()), k=max(count - len(KINDS), 0))][:count]
    chance.shuffle(kinds)
    return kinds


async def _ask_all(server: Server, pictures: list[Picture], kinds: list[Ask], askers: int, seed: int) -> Result:
    result, rest, start = Result(), iter(kinds), time.monotonic()
    before = server.open_files()

    async def work(number: int) -> None:
        async with Connection(server.port) as connection:
            asker = Asker(connection, pictures, random.Random(seed * 1000 + number))
            for kind in rest:  # shared: each takes the next one
                if time.monotonic() - start > MOST_SECONDS or len(result.faults) >= MOST_FAULTS:
                    return
                result.asked[kind.__name__] += 1
                try:
                    await kind(asker)
                except Fault as fault:
                    result.faults.append(f"{kind.__name__}: {fault}")

    async def watch() -> None:
        while server.alive():
            result.resident.append(server.resident_bytes())
            await asyncio.sleep(SAMPLE_SECONDS)

    watcher = asyncio.create_task(watch())
    await asyncio.gather(*(work(number) for number in range(askers)))
    watcher.cancel()
    result.seconds = time.monotonic() - start
    await asyncio.sleep(1.0)  # for connections that are being closed
    result.files = (before, server.open_files())
    return result


def run(model: Path, requests: int, askers: int, seed: int) -> Result:
    """Asks a server of its own. Raises Fault where it does not end well; what else went wrong stands in the result."""
    sizes = [word for name, side in SIZES.items() for word in ("--" + name.replace("_", "-"), str(side))]
    with serving(model, *OPTIONS, *sizes) as server:
        pictures = load_pictures(model, load_detector(model, **SIZES))
        return asyncio.run(_ask_all(server, pictures, draw(requests, seed), askers, seed))


def report(result: Result) -> str:
    """As lines of text."""
    mib = [value / 2**20 for value in result.resident]
    kinds = ", ".join(f"{name} {count}" for name, count in sorted(result.asked.items()))
    return (
        f"{result.asked.total()} requests in {result.seconds:.0f} s: {kinds}\n"
        f"wrong answers: {len(result.faults)}\n"
        f"memory: {mib[0]:.0f} MiB at the beginning, {mib[len(mib) // 2]:.0f} in the middle, {mib[-1]:.0f} at the end, "
        f"at most {max(mib):.0f}; {100 * result.growth:+.2f} % from the third quarter to the fourth\n"
        f"open files: {result.files[0]} before, {result.files[1]} after"
    )
