"""The engine of `d2deploy serve`: what is done, in which order, and what is not begun any more."""

from __future__ import annotations

import gc
import threading
import time
import weakref
from collections.abc import Callable, Iterator
from concurrent.futures import CancelledError, wait
from functools import partial
from typing import Any

import pytest

from d2deploy.errors import InvalidModel
from d2deploy.serving.engine import Engine, Stages
from d2deploy.serving.errors import DeadlineExceeded, Overloaded, Unavailable

LATER = 1e9  # seconds


def until(true: Callable[[], bool]) -> None:
    """Waits until something holds, for a while."""
    for _ in range(30_000):
        if true():
            return
        time.sleep(0.001)
    raise AssertionError("it did not come true in time")


class Gate:
    """Work that waits."""

    def __init__(self) -> None:
        self.entered, self.open = threading.Event(), threading.Event()

    def __call__(self, stages: Stages) -> str:
        self.entered.set()
        assert self.open.wait(30)
        return "done"


@pytest.fixture
def gate() -> Iterator[Gate]:
    gate = Gate()
    yield gate
    gate.open.set()


def busy(sessions: int, queue: int, gate: Gate) -> tuple[Engine, Any]:
    """An engine of which one session waits at the gate."""
    engine = Engine(sessions, queue)
    future = engine.submit(gate, LATER)
    assert gate.entered.wait(30)
    return engine, future


def test_work_is_done_in_its_order_and_gives_what_it_gives(gate: Gate) -> None:
    engine, first = busy(1, 9, gate)
    order: list[int] = []

    def noted(number: int, stages: Stages) -> float:
        order.append(number)
        return stages.seconds["queue"]

    futures = [engine.submit(partial(noted, number), LATER) for number in range(5)]
    assert (engine.running, engine.waiting) == (1, 5)
    gate.open.set()
    assert first.result(30) == "done"
    assert all(future.result(30) >= 0 for future in futures)
    assert order == [0, 1, 2, 3, 4]


def test_what_work_raises_is_the_callers_and_the_session_goes_on() -> None:
    engine = Engine(1, 1)

    def fail(stages: Stages) -> None:
        raise InvalidModel("wrong")

    with pytest.raises(InvalidModel, match="wrong"):
        engine.submit(fail, LATER).result(30)
    with pytest.raises(SystemExit):
        engine.submit(lambda stages: exec("raise SystemExit"), LATER).result(30)
    assert engine.submit(lambda stages: 3, LATER).result(30) == 3


@pytest.mark.parametrize(("sessions", "queue"), [(1, 0), (1, 2), (2, 1)])
def test_the_queue_has_an_end(sessions: int, queue: int, gate: Gate) -> None:
    engine = Engine(sessions, queue)
    futures = [engine.submit(gate, LATER) for _ in range(sessions + queue)]
    with pytest.raises(Overloaded, match=f"at most {queue} may") as error:
        engine.submit(gate, LATER)
    assert error.value.retry_seconds == 1
    with pytest.raises(Overloaded):
        engine.check()
    gate.open.set()
    assert [future.result(30) for future in futures] == ["done"] * len(futures)
    until(lambda: engine.running == 0)  # the last one is about to end
    engine.check()


def test_work_that_is_given_up_leaves_the_queue_and_is_not_begun(gate: Gate) -> None:
    engine, first = busy(1, 1, gate)
    begun: list[int] = []
    second = engine.submit(lambda stages: begun.append(2), LATER)
    assert second.cancel()
    assert engine.waiting == 0
    third = engine.submit(lambda stages: begun.append(3), LATER)
    assert not first.cancel()  # it is in work
    gate.open.set()
    third.result(30)
    assert begun == [3]
    with pytest.raises(CancelledError):
        second.result()


def test_work_is_not_begun_behind_its_deadline(gate: Gate) -> None:
    engine, _ = busy(1, 1, gate)
    begun: list[int] = []
    late = engine.submit(lambda stages: begun.append(1), time.monotonic())
    gate.open.set()
    with pytest.raises(DeadlineExceeded, match="before the work began"):
        late.result(30)
    assert not begun


def test_a_closed_engine_ends_what_it_has(gate: Gate) -> None:
    engine, first = busy(1, 2, gate)
    second = engine.submit(lambda stages: 2, LATER)
    engine.close()
    with pytest.raises(Unavailable, match="ending"):
        engine.submit(gate, LATER)
    assert not engine.join(0)
    gate.open.set()
    assert (first.result(30), second.result(30)) == ("done", 2)
    assert engine.join(30)


class Body:
    """What a request holds."""

    def answer(self, stages: Stages) -> None: ...

    def fail(self, stages: Stages) -> None:
        raise InvalidModel("wrong")


@pytest.mark.parametrize("work", ["answer", "fail"])
def test_nothing_of_work_is_kept(work: str) -> None:
    engine, body = Engine(1, 1), Body()
    gone = weakref.ref(body)
    gc.disable()  # what only a cycle holds stays for long
    try:
        future = engine.submit(getattr(body, work), LATER)
        wait([future], 30)
        del body, future
        until(lambda: gone() is None)  # a thread that waits must not hold it
    finally:
        gc.enable()
    engine.close()
    assert engine.join(30)


def test_the_time_to_try_again_grows_with_what_work_takes() -> None:
    engine = Engine(1, 0)
    engine._mean_seconds = 7.2
    gate = Gate()
    engine.submit(gate, LATER)
    with pytest.raises(Overloaded) as error:
        engine.submit(gate, LATER)
    assert error.value.retry_seconds == 8
    gate.open.set()


def test_stages_add_up() -> None:
    stages = Stages()
    for _ in range(2):
        with stages.of("decode"):
            pass
    with pytest.raises(ValueError, match="x"), stages.of("predict"):
        raise ValueError("x")
    assert set(stages.milliseconds) == {"decode", "predict"}
