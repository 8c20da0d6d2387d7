"""Work on a stream of things: several at a time, results in order, few in memory."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Generator, Iterable
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TypeVar

__all__ = ["in_order"]

T = TypeVar("T")
R = TypeVar("R")


def in_order(
    pool: ThreadPoolExecutor, function: Callable[[T], R], things: Iterable[T], ahead: int
) -> Generator[R, None, None]:
    """Calls a function for each of the things in the threads of a pool, while the caller uses what is done.

    Args:
        pool: its threads are not ended here; what waits for one when the generator is closed is not begun.
        function: what it raises is raised here, in the place of its result.
        things: taken one by one.
        ahead: so many are begun before the first result is given.

    Yields:
        The results, in the order of the things.
    """
    pending: deque[Future[R]] = deque()
    try:
        for thing in things:
            pending.append(pool.submit(function, thing))
            if len(pending) >= ahead:
                yield pending.popleft().result()
        while pending:
            yield pending.popleft().result()
    finally:
        for future in pending:
            future.cancel()
