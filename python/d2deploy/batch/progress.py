"""How far a job is, told while it runs: a bar on a terminal, a line now and then in a log."""

from __future__ import annotations

import sys
import threading
import time
from collections.abc import Callable
from typing import Any

from tqdm import tqdm

from d2deploy.batch.entries import utf8
from d2deploy.batch.rows import Row
from d2deploy.errors import Error

__all__ = ["Progress", "Total"]

EVERY = 60.0  # seconds between two lines of a log
TOLD_ERRORS = 20  # the others are told by their number


class Total:
    """Counts the pictures that are to be done, in a thread: listing them all may take long.

    Args:
        counts: the pictures of one block after the other.
    """

    def __init__(self, counts: Callable[[], Any]) -> None:
        self.pictures: int | None = None
        self._counts, self._ended = counts, threading.Event()
        self._thread = threading.Thread(target=self._run, name="total", daemon=True)

    def __enter__(self) -> Total:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._ended.set()
        self._thread.join()

    def _run(self) -> None:
        total = 0
        try:
            for count in self._counts():
                total += count
                if self._ended.is_set():
                    return
        except (Error, OSError):  # who goes through the inputs themselves meets it too, and tells it
            return
        self.pictures = total


class Progress:
    """Tells how many pictures are done, at which rate, when all will be, and which have errors.

    Args:
        total: of what is to be done now.

    Attributes:
        pictures: done now.
        errors: of these.
        seconds: since it began.
    """

    def __init__(self, total: Total) -> None:
        self.pictures = self.errors = 0
        self._total, self._start = total, time.monotonic()
        self._told = self._start
        self._bar = tqdm(unit="picture", disable=None, file=sys.stderr)  # None: shown on terminals alone

    def __enter__(self) -> Progress:
        return self

    def __exit__(self, *_: object) -> None:
        self._bar.close()
        if self.errors > TOLD_ERRORS:
            print(f"error: {self.errors - TOLD_ERRORS} more pictures have an error", file=sys.stderr)

    @property
    def seconds(self) -> float:
        return time.monotonic() - self._start

    def add(self, row: Row) -> None:
        """A picture is done."""
        error = row.get("error")
        self.add_many(1, int(error is not None))
        if error is not None and self.errors <= TOLD_ERRORS:
            tqdm.write(f"error: {row['path']}: {error['message']}", file=sys.stderr)

    def add_many(self, pictures: int, errors: int) -> None:
        """Pictures are done, so many of them with an error."""
        self.pictures += pictures
        self.errors += errors
        self._bar.total = self._total.pictures
        self._bar.set_postfix(errors=self.errors, refresh=False)
        self._bar.update(pictures)
        if self._bar.disable and time.monotonic() - self._told >= EVERY:
            self._told = time.monotonic()
            print(self, file=sys.stderr, flush=True)

    def __str__(self) -> str:
        total, rate = self._total.pictures, self.pictures / max(self.seconds, 1e-9)
        left = "" if total is None else f" of {total}"
        ends = "" if total is None or not rate else f", {duration((total - self.pictures) / rate)} left"
        return utf8(f"{self.pictures}{left} pictures, {rate:.2f} pictures/s{ends}, {self.errors} errors")


def duration(seconds: float) -> str:
    """As 3 h 20 min."""
    minutes, hours = seconds / 60, seconds / 3600
    if hours >= 1:
        return f"{int(hours)} h {int(minutes) % 60} min"
    return f"{int(minutes)} min" if minutes >= 1 else f"{seconds:.0f} s"
