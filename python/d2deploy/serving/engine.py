"""Work that takes long, in as many threads as predictions should run at the same time, behind a queue with an end."""

from __future__ import annotations

import math
import threading
import time
from collections import deque
from collections.abc import Callable, Iterator
from concurrent.futures import Future
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

from d2deploy.serving.errors import DeadlineExceeded, Overloaded, Unavailable

__all__ = ["Engine", "Stages"]

MOST_RETRY_SECONDS = 60
NEW_SHARE = 0.2  # of the newest job, in the mean of what jobs take


class Stages:
    """What was done for a request.

    Attributes:
        seconds: that each stage of it took.
        model: that was run; empty: none was.
        pictures: that it was run on.
    """

    def __init__(self) -> None:
        self.seconds: dict[str, float] = {}
        self.model = ""
        self.pictures = 0

    @contextmanager
    def of(self, stage: str) -> Iterator[None]:
        start = time.perf_counter()
        try:
            yield
        finally:
            self.seconds[stage] = self.seconds.get(stage, 0) + time.perf_counter() - start

    @property
    def milliseconds(self) -> dict[str, float]:
        return {stage: round(1000 * seconds, 3) for stage, seconds in self.seconds.items()}


@dataclass
class _Job:
    work: Callable[[Stages], Any]
    deadline: float  # of time.monotonic
    future: Future[Any] = field(default_factory=Future)
    stages: Stages = field(default_factory=Stages)
    submitted: float = field(default_factory=time.perf_counter)


class Engine:
    """Does work in its threads.

    Args:
        sessions: threads.
        queue: how much may wait when all of them are at work.
    """

    def __init__(self, sessions: int, queue: int) -> None:
        self.sessions = sessions
        self.queue = queue
        self._jobs: deque[_Job] = deque()
        self._running = 0
        self._mean_seconds = 0.0
        self._closed = False
        self._changed = threading.Condition()
        # Daemons: at the end of the process nobody waits for work that nobody waits for.
        self._threads = [
            threading.Thread(target=self._serve, name=f"session-{i}", daemon=True) for i in range(sessions)
        ]
        for thread in self._threads:
            thread.start()

    @property
    def waiting(self) -> int:
        """Jobs that have not begun."""
        return len(self._jobs)

    @property
    def running(self) -> int:
        """Jobs that have begun, and not ended."""
        return self._running

    def check(self) -> None:
        """Raises what `submit` would raise now: better known before a body is read."""
        if self._closed:
            raise Unavailable("the server is ending")
        pending = self._running + len(self._jobs)
        if pending >= self.sessions + self.queue:
            seconds = math.ceil(self._mean_seconds * pending / self.sessions)
            raise Overloaded(
                f"the server is busy: {len(self._jobs)} requests wait, at most {self.queue} may",
                min(max(seconds, 1), MOST_RETRY_SECONDS),
            )

    def submit(self, work: Callable[[Stages], Any], deadline: float) -> Future[Any]:
        """Has `work` done in one of the threads.

        Args:
            work: is given the stages, in which "queue" stands already.
            deadline: of time.monotonic, behind which it is not begun.

        Returns:
            What it gives or raises. Work that has not begun can be cancelled, and leaves the queue.

        Raises:
            Overloaded: the queue is full.
            Unavailable: the engine is closed.
        """
        job = _Job(work, deadline)
        with self._changed:
            self.check()
            self._jobs.append(job)
            self._changed.notify()
        job.future.add_done_callback(self._forget)
        return job.future

    def _forget(self, future: Future[Any]) -> None:
        """Takes a job that was cancelled out of the queue."""
        if future.cancelled():
            with self._changed:
                self._jobs = deque(job for job in self._jobs if job.future is not future)

    def _serve(self) -> None:
        while self._do_next():
            pass

    def _do_next(self) -> bool:
        """Waits for a job and does it; False at the end. What a job holds is let go before the next is waited for."""
        with self._changed:
            self._changed.wait_for(lambda: self._jobs or self._closed)
            if not self._jobs:
                return False
            job = self._jobs.popleft()
            self._running += 1
        start = time.perf_counter()
        try:
            self._do(job, start)
        finally:
            del job  # an error of its work would hold this frame, and with it the body of a request, for long
            with self._changed:
                self._running -= 1
                seconds = time.perf_counter() - start
                self._mean_seconds += NEW_SHARE * (seconds - self._mean_seconds)
                self._changed.notify_all()
        return True

    @staticmethod
    def _do(job: _Job, now: float) -> None:
        if not job.future.set_running_or_notify_cancel():
            return
        if time.monotonic() > job.deadline:
            job.future.set_exception(DeadlineExceeded("the time for an answer was over before the work began"))
            return
        job.stages.seconds["queue"] = now - job.submitted
        try:
            result = job.work(job.stages)
        except BaseException as error:  # whatever it is, it is the caller's, and the thread goes on
            job.future.set_exception(error)
            del job  # likewise
        else:
            job.future.set_result(result)

    def close(self) -> None:
        """Takes no more work; what was taken is done."""
        with self._changed:
            self._closed = True
            self._changed.notify_all()

    def join(self, seconds: float) -> bool:
        """Waits, once it is closed, for the end of its threads, for so long at most; whether they have ended."""
        end = time.monotonic() + seconds
        for thread in self._threads:
            thread.join(max(end - time.monotonic(), 0))
        return not any(thread.is_alive() for thread in self._threads)
