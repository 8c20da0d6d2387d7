"""COCO results of a finished job, made of its parts."""

from __future__ import annotations

import json
import os
import re
import uuid
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from d2deploy.batch.output import finished_parts
from d2deploy.errors import InvalidArgument, Unsupported
from d2deploy.results import coco_results

__all__ = ["write_coco"]

COLUMNS = ["id", "path", "boxes", "scores", "classes", "class_names", "masks", "keypoints"]
ROWS_AT_ONCE = 64
NUMBER = re.compile(r"-?(0|[1-9]\d{0,17})")


def write_coco(folder: Path) -> Path:
    """Writes the results of a finished job as `coco.json` into its folder.

    `image_id` is the id of the manifest where all pictures have one that is a whole number, otherwise the place of the
    picture among all, counted from 1. Pictures with an error have no results.

    Returns:
        The file.

    Raises:
        InvalidArgument: the job is not finished, a part is damaged, two pictures have one id, or the file cannot be
            written.
        Unsupported: classes of pixels, which COCO results cannot hold.
    """
    parts = finished_parts(folder)
    by_id = _ids_are_numbers(parts)
    file = folder / "coco.json"
    beside = folder / "unfinished" / f"{file.name}.{uuid.uuid4().hex[:8]}.unfinished"
    try:
        with beside.open("x", encoding="utf-8") as out:
            out.write("[")
            first = True
            for place, row in enumerate(_rows(parts, COLUMNS), start=1):
                image_id = int(row["id"]) if by_id else place
                for result in coco_results(row, image_id, row["path"]):
                    out.write(("" if first else ",") + "\n" + json.dumps(result))
                    first = False
            out.write("\n]\n")
            out.flush()
            os.fsync(out.fileno())
        beside.replace(file)
    except OSError as error:
        raise InvalidArgument(f"{file}: cannot be written: {error.strerror}") from error
    finally:
        beside.unlink(missing_ok=True)
    return file


def _ids_are_numbers(parts: Sequence[Path]) -> bool:
    """Whether all pictures have an id that is a whole number; and that no two have the same.

    Raises:
        InvalidArgument: two have.
        Unsupported: a part holds classes of pixels.
    """
    numbers: list[Any] = []
    for part in parts:
        rows = list(_rows([part], ["id", "path", "class_map_png"]))
        if any(row["class_map_png"] is not None for row in rows):
            raise Unsupported(f"{part}: holds classes of pixels, which COCO results cannot hold")
        if any(row["id"] is None or not NUMBER.fullmatch(row["id"]) for row in rows):
            return False
        numbers.append(np.array([int(row["id"]) for row in rows], np.int64))
    ids = np.sort(np.concatenate(numbers)) if numbers else np.zeros(0, np.int64)
    twice = ids[1:][ids[1:] == ids[:-1]]
    if len(twice):
        id_ = str(twice[0])
        paths = [row["path"] for row in _rows(parts, ["id", "path"]) if row["id"] == id_]
        raise InvalidArgument(
            f"{len(twice)} pictures have the id of another one, which COCO results cannot tell apart: {id_} is that of "
            f"{paths[0]!r} and {paths[1]!r}; the parts hold all of them"
        )
    return len(ids) > 0


def _rows(parts: Sequence[Path], columns: list[str]) -> Iterator[dict[str, Any]]:
    for part in parts:
        try:
            with pq.ParquetFile(part) as file:
                for batch in file.iter_batches(ROWS_AT_ONCE, columns=columns):
                    yield from batch.to_pylist()
        except (OSError, pa.ArrowException) as error:
            raise InvalidArgument(
                f"{part}: is damaged: {error}; delete it, and the command that began the job makes it again"
            ) from error
