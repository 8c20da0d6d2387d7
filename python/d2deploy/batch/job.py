"""A job: a model, its options, the inputs, cut in blocks of which those without a part are predicted."""

from __future__ import annotations

import os
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from d2deploy.batch.entries import Block, Entry, Shard, blocks
from d2deploy.batch.inputs import Inputs
from d2deploy.batch.output import Counts, Output, fingerprint
from d2deploy.batch.rows import Row
from d2deploy.batch.workers import Workers

__all__ = ["Job", "Listing", "predict_blocks"]


@dataclass(frozen=True)
class Job:
    """What decides the output, but for what the files hold that are named here.

    Attributes:
        model: folder with `model.pb` and `model_init.pb`.
        inputs: the pictures.
        block_size: most pictures of a block.
        threshold: least score of the instances that are kept.
        detector: options of `Detector` that decide what is found: precision, calibration, input_format, ...
    """

    model: str
    inputs: Inputs
    block_size: int = 512
    threshold: float = 0.5
    detector: Mapping[str, Any] = field(default_factory=dict)

    def identity(self) -> dict[str, Any]:
        """What must be the same for the same output, as JSON can hold it.

        Raises:
            InvalidArgument: a file of the model cannot be read.
        """
        folder = Path(self.model)
        files = {name: folder / name for name in ("model.pb", "model_init.pb")}
        options = dict(self.detector)
        calibration = options.pop("calibration", None)
        if options.get("precision") == "int8":
            files["calibration"] = Path(calibration or folder / "calibration.txt")
        arguments = [*self.inputs.arguments, *filter(None, [self.inputs.columns.root])]
        return {
            "model": {name: fingerprint(file) for name, file in files.items()},
            "options": options,
            "threshold": self.threshold,
            "block size": self.block_size,
            "inputs": list(self.inputs.arguments),
            "columns": list(self.inputs.columns),
            "folder": None if all(map(os.path.isabs, arguments)) else os.getcwd(),
        }


class Listing:
    """The blocks of a shard, and what is known of them.

    Args:
        job: the job.
        output: its folder.
        shard: the part of it.

    Attributes:
        finished: pictures of blocks that had their part.
    """

    def __init__(self, job: Job, output: Output, shard: Shard) -> None:
        self.job, self.output, self.shard = job, output, shard
        self.finished = Counts()

    def all(self) -> Iterator[Block]:
        return blocks(self.job.inputs.found(), self.job.block_size, self.shard)

    def discard_errors(self) -> None:
        """Makes the blocks unfinished in which a picture has an error.

        Raises:
            InvalidArgument: as `unfinished`.
        """
        for block in self.all():
            if self.output.is_finished(block) and self.output.counts(block).errors:
                self.output.discard(block)

    def unfinished(self) -> Iterator[Block]:
        """Those that lack their part, in order.

        Raises:
            InvalidArgument: the inputs have changed since the job began, or a part is damaged.
        """
        keys = set()
        for block in self.all():
            keys.add(block.key)
            if self.output.is_finished(block):
                self.finished.add(self.output.counts(block))
            else:
                yield block
        self.output.check_rest(keys, self.shard)

    def pictures_to_do(self) -> Iterator[int]:
        """Pictures of each block that lacked its part when the job was begun or resumed, whatever is done meanwhile."""
        for block in self.all():
            if not self.output.was_finished(block):
                yield len(block.entries)


def predict_blocks(
    unfinished: Iterable[Block],
    workers: Workers,
    done: Callable[[Block, list[Row]], object],
    each: Callable[[Row], object],
) -> None:
    """Predicts blocks; the workers go on with the next block while one is written.

    Args:
        unfinished: the blocks, taken as they are wanted.
        workers: make the rows.
        done: is given each block with its rows, in order.
        each: is given each row as soon as it is there.

    Raises:
        DeviceError: a device has failed for good.
    """
    begun: deque[Block] = deque()

    def entries() -> Iterator[Entry]:
        for block in unfinished:
            begun.append(block)
            yield from block.entries

    rows: list[Row] = []
    for row in workers.rows(entries()):
        rows.append(row)
        each(row)
        if len(rows) == len(begun[0].entries):
            done(begun.popleft(), rows)
            rows = []
