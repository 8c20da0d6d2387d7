"""What tests of batches share: a stand-in of a detector, pictures, and the rows of a finished job."""

from __future__ import annotations

import io
import tarfile
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow.parquet as pq
from conftest import ROOT
from PIL import Image

from d2deploy.batch.entries import WHOLE, Shard
from d2deploy.batch.inputs import Inputs
from d2deploy.batch.job import Job, Listing, predict_blocks
from d2deploy.batch.output import Output
from d2deploy.batch.workers import Lane, Workers

Row = dict[str, Any]


class Killed(BaseException):
    """Ends a run where a kill would: nothing that catches errors sees it."""


class Brightness:
    """Stands for a Detector: finds one object in each picture, whose score tells how bright it is."""

    class_names = ("dark", "bright")

    def __init__(self, streams: int = 2, before: Callable[[npt.NDArray[np.uint8]], object] = lambda _: None) -> None:
        self.streams, self.before = streams, before

    def predict(self, image: npt.NDArray[np.uint8], _: str = "BGR") -> dict[str, Any]:
        self.before(image)
        height, width = image.shape[:2]
        score = np.float32(image.mean() / 255)
        return {
            "image_size": (height, width),
            "boxes": np.array([[0, 0, width, height]], np.float32),
            "scores": np.array([score], np.float32),
            "classes": np.array([int(score > 0.5)]),
        }


def picture(level: int, size: tuple[int, int] = (6, 4)) -> bytes:
    """A PNG file of one gray."""
    out = io.BytesIO()
    Image.new("L", size, level).save(out, "png")
    return out.getvalue()


def write_grays(folder: Path) -> Path:
    """Six pictures, each of one gray."""
    folder.mkdir()
    for number in range(6):
        (folder / f"{number}.png").write_bytes(picture(40 * number))
    return folder


def write_cuts(folder: Path, count: int, damaged: int) -> Path:
    """Cuts of the example's picture, of several sizes, in files 00.png, 01.png, ...; one is damaged."""
    with Image.open(ROOT / "examples" / "mask_rcnn" / "input.png") as image:
        whole = image.convert("RGB")
    for number in range(count):
        whole.crop((4 * number, 0, 4 * number + 150, 96 + number)).save(folder / f"{number:02d}.png")
    file = folder / f"{damaged:02d}.png"
    file.write_bytes(file.read_bytes()[:300])
    return folder


def write_tar(path: Path, members: Iterable[tuple[str, bytes]]) -> Path:
    with tarfile.open(path, "w") as tar:
        for name, data in members:
            info = tarfile.TarInfo(name)
            info.size = len(data)
            tar.addfile(info, io.BytesIO(data))
    return path


def run_job(
    folder: Path,
    arguments: Iterable[Path | str],
    *,
    detector: Any = None,
    block_size: int = 3,
    shard: Shard = WHOLE,
    redo_errors: bool = False,
    inputs: Mapping[str, Any] | None = None,
) -> list[str]:
    """Does a shard of a job with a stand-in of a detector: the paths of the pictures that were predicted now."""
    job = Job("model", Inputs([str(a) for a in arguments], **(inputs or {})), block_size, threshold=0.0)
    identity = {"block size": block_size, "inputs": list(job.inputs.arguments)}
    output = Output(folder, identity)
    done: list[str] = []
    with output.lock(shard):
        listing = Listing(job, output, shard)
        if redo_errors:
            listing.discard_errors()
        with Workers([Lane(detector or Brightness(), "cpu", 2)], job.threshold) as workers:
            predict_blocks(listing.unfinished(), workers, output.write, lambda row: done.append(row["path"]))
        output.write_report(shard, {})
    return done


def rows_of(folder: Path) -> list[Row]:
    """All rows of a job in the order of its blocks, without times."""
    rows: list[Row] = []
    for part in sorted((folder / "parts").iterdir()):
        rows += pq.read_table(part).drop_columns("milliseconds").to_pylist()
    return rows
