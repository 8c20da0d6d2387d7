"""Predictions for a stream of pictures: several at a time where the model is made for it, and in order."""

from __future__ import annotations

import time
from collections.abc import Generator, Iterable
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import TYPE_CHECKING, Any, NamedTuple

from d2deploy.cli.pictures import Frame
from d2deploy.errors import Error
from d2deploy.order import in_order

if TYPE_CHECKING:
    from d2deploy.runtime import Detector

__all__ = ["Predicted", "predict_in_order"]


class Predicted(NamedTuple):
    """What became of a frame.

    Attributes:
        frame: as it was given.
        result: what `Detector.predict` gives, or why it gives nothing; None of a frame without pixels.
        seconds: that the prediction took.
    """

    frame: Frame
    result: dict[str, Any] | Error | None
    seconds: float


def predict_in_order(detector: Detector, frames: Iterable[Frame]) -> Generator[Predicted, None, None]:
    """Predicts all frames, as many at a time as the model has streams, while the caller uses those that are done.

    Args:
        detector: the model.
        frames: taken one by one, a few more than are predicted at a time.

    Yields:
        All of them in order. What is wrong with one is its result, and stops no other.
    """
    if detector.streams == 1:  # all threads are at work: nothing is gained by another one
        for frame in frames:
            yield _predict(detector, frame)
        return
    pool = ThreadPoolExecutor(detector.streams, thread_name_prefix="predict")
    ahead = 2 * detector.streams  # no stream waits for the caller, and memory has a bound
    try:
        yield from in_order(pool, partial(_predict, detector), frames, ahead)
    finally:
        pool.shutdown(cancel_futures=True)


def _predict(detector: Detector, frame: Frame) -> Predicted:
    if frame.pixels is None:
        return Predicted(frame, None, 0)
    start = time.perf_counter()
    result: dict[str, Any] | Error
    try:
        result = detector.predict(frame.pixels, "RGB")
    except Error as error:
        result = type(error)(f"{frame.name}: {error}")
    return Predicted(frame, result, time.perf_counter() - start)
