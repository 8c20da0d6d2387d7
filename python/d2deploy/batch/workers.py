"""Threads that make rows of pictures: one reads, another predicts, a third encodes, on one device or several."""

from __future__ import annotations

import io
import os
import stat
import threading
import time
from collections.abc import Generator, Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from d2deploy.batch.entries import Entry
from d2deploy.batch.rows import Row, found_row, row_of_error
from d2deploy.batch.tars import read_member
from d2deploy.errors import DeviceError, Error, InternalError, InvalidArgument, Unsupported
from d2deploy.images import read_image
from d2deploy.order import in_order

__all__ = ["Lane", "Predicts", "Workers", "lanes_on"]

STREAMS_OF_A_GPU = 2  # predictions at a time: one is on its way while the other is computed
PROBE = (64, 64, 3)


class Predicts(Protocol):
    """What is used of a `Detector`."""

    @property
    def streams(self) -> int: ...

    @property
    def class_names(self) -> Sequence[str]: ...

    def predict(self, image: NDArray[np.uint8], input_format: str = "BGR") -> dict[str, Any]: ...


@dataclass
class Lane:
    """A model on a device, and how many threads serve it.

    Attributes:
        detector: the model.
        device: its name.
        threads: that read pictures and encode what was found; as many of them predict as the model has streams.
    """

    detector: Predicts
    device: str
    threads: int
    turns: threading.Semaphore = field(init=False)

    def __post_init__(self) -> None:
        self.turns = threading.Semaphore(self.detector.streams)


def lanes_on(devices: Sequence[str], model: str, options: Mapping[str, Any], threads: int = 0) -> list[Lane]:
    """The model of a folder on each device.

    Args:
        devices: their names, as `Detector` has them.
        model: the folder.
        options: of `Detector`, besides.
        threads: predictions at a time on each; 0: on the CPU as many as there are threads that may be used.

    Raises:
        InvalidArgument, InvalidModel, Unsupported, DeviceError: as `Detector`.
        Unsupported: the model is given proposals.
    """
    from d2deploy.runtime import Detector

    lanes = []
    for device in devices:
        at_a_time = threads or (0 if device == "cpu" else STREAMS_OF_A_GPU)
        detector = Detector(
            os.path.join(model, "model.pb"),
            os.path.join(model, "model_init.pb"),
            mode="throughput",
            threads=at_a_time,
            device=device,
            **options,
        )
        if detector.takes_proposals:
            raise Unsupported(
                f"{model}: the model finds no proposals itself, and batches have none to give; use "
                "d2deploy.runtime.Predictor"
            )
        # Beside a GPU the CPUs read and encode; where they compute themselves, more threads than CPUs gain nothing.
        more = 0 if device == "cpu" else max(usable_cpus() // len(devices), 1)
        lanes.append(Lane(detector, device, detector.streams + more))
    return lanes


def usable_cpus() -> int:
    """CPUs that this process may run on."""
    return len(os.sched_getaffinity(0))


class Workers:
    """Makes rows of pictures, several at a time.

    Args:
        lanes: the model, on each device.
        threshold: least score of the instances that are kept.
    """

    def __init__(self, lanes: Sequence[Lane], threshold: float) -> None:
        self.lanes, self.threshold = lanes, threshold
        self.seconds = {"read": 0.0, "predict": 0.0, "encode": 0.0}
        self._lock = threading.Lock()
        self._mine = threading.local()
        # In turn: the pool starts no more threads than it needs, and they should serve all devices.
        most = max((lane.threads for lane in lanes), default=0)
        free = [lane for number in range(most) for lane in lanes if number < lane.threads]
        self._threads = len(free)

        def take_lane() -> None:
            with self._lock:
                self._mine.lane = free.pop()

        self._pool = ThreadPoolExecutor(self._threads, thread_name_prefix="picture", initializer=take_lane)

    def __enter__(self) -> Workers:
        return self

    def __exit__(self, *_: object) -> None:
        self._pool.shutdown(cancel_futures=True)

    def rows(self, entries: Iterable[Entry]) -> Generator[Row, None, None]:
        """The rows of pictures, in their order. What is wrong with one is told in its row.

        Raises:
            DeviceError: a device has failed for good.
        """
        return in_order(self._pool, self._row, entries, 2 * self._threads)

    def _row(self, entry: Entry) -> Row:
        lane: Lane = self._mine.lane
        times = [time.perf_counter()]
        waited = 0.0
        size = None
        try:
            pixels = _read(entry)
            times.append(time.perf_counter())
            size = (pixels.shape[0], pixels.shape[1])
            with lane.turns:
                waited = time.perf_counter() - times[-1]
                found = lane.detector.predict(pixels, "RGB")
            times.append(time.perf_counter())
            row = found_row(entry, found, self.threshold, lane.detector.class_names)
        except Exception as error:
            if isinstance(error, DeviceError):
                _check_alive(lane, error)
            row = _row_of_exception(entry, error, size)
        times.append(time.perf_counter())
        row["milliseconds"] = 1000 * (times[-1] - times[0] - waited)
        steps = [after - before for before, after in pairwise(times)]
        if len(steps) == len(self.seconds):
            steps[1] -= waited
            with self._lock:
                for step, seconds in zip(self.seconds, steps):
                    self.seconds[step] += seconds
        return row


def _read(entry: Entry) -> NDArray[np.uint8]:
    """The pixels of a picture. Messages do not name its file, whose name the row has."""
    if entry.fault:
        raise InvalidArgument(entry.fault)
    try:
        if entry.offset >= 0:
            return read_image(io.BytesIO(read_member(entry)), "RGB")
        if not stat.S_ISREG(os.stat(entry.file).st_mode):  # nobody may ever write into a pipe
            raise InvalidArgument("is a folder, a pipe or a device, wanted a file")
        with open(entry.file, "rb") as file:
            return read_image(file, "RGB")
    except OSError as error:
        raise InvalidArgument(f"cannot be read: {error.strerror or error}") from error
    except ValueError as error:
        if isinstance(error, InvalidArgument):
            raise
        raise InvalidArgument(f"cannot be read: {error}") from error  # a path that is none


def _row_of_exception(entry: Entry, error: Exception, size: tuple[int, int] | None) -> Row:
    if isinstance(error, Error):
        return row_of_error(entry, type(error).__name__, str(error), size)
    if isinstance(error, MemoryError):
        return row_of_error(entry, DeviceError.__name__, "the memory does not suffice", size)
    return row_of_error(entry, InternalError.__name__, f"{type(error).__name__}: {error}", size)


def _check_alive(lane: Lane, error: DeviceError) -> None:
    """Whether a device that failed on one picture serves others: else each of a million would get an error.

    Raises:
        DeviceError: it does not.
    """
    try:
        with lane.turns:
            lane.detector.predict(np.zeros(PROBE, np.uint8), "RGB")
    except DeviceError:
        raise DeviceError(
            f"{lane.device}: {error}; a small picture fails as well, so the job stops here. No picture is lost: the "
            "same command goes on with it"
        ) from error
