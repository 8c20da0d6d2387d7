"""The folder of a job: what it is (job.json), its parts, its reports; each file appears whole or not at all.

job.json         the model, the options and the inputs: a process with others is refused
parts/           a Parquet file for each block that is finished, and nothing else
reports/         what each shard told at its end; all of a job's shards have one: the job is finished
unfinished/      parts that are being written, and locks
"""

from __future__ import annotations

import fcntl
import hashlib
import json
import os
import re
import socket
import threading
import time
import uuid
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from d2deploy.batch.entries import Block, Shard
from d2deploy.batch.rows import Row, to_table
from d2deploy.errors import InvalidArgument

__all__ = ["FORMAT", "Counts", "Output", "fingerprint"]

FORMAT = 1  # of job.json and the parts
ABANDONED = 3600  # seconds after which nobody writes an unfinished file any more; writing one takes seconds
PART = re.compile(r"part-(\d{6}-\d{8})-([0-9a-f]{16})\.parquet")


def fingerprint(file: Path) -> str:
    """SHA-256 of a file.

    Raises:
        InvalidArgument: it cannot be read.
    """
    try:
        digest = hashlib.sha256()
        with file.open("rb") as opened:
            while piece := opened.read(1 << 20):
                digest.update(piece)
        return digest.hexdigest()
    except OSError as error:
        raise InvalidArgument(f"{file}: cannot be read: {error.strerror}") from error


class Counts:
    """Pictures of parts, and how many of them have an error."""

    def __init__(self, pictures: int = 0, errors: int = 0) -> None:
        self.pictures, self.errors = pictures, errors

    def add(self, other: Counts) -> None:
        self.pictures += other.pictures
        self.errors += other.errors


class Output:
    """The folder of a job.

    Args:
        folder: of the job; made where it is missing.
        job: what the job is, as JSON can hold it.

    Raises:
        InvalidArgument: the folder cannot be written, or holds another job.
    """

    def __init__(self, folder: Path, job: Mapping[str, Any]) -> None:
        self.job = json.loads(json.dumps({**job, "format": FORMAT}))
        self.folder, self.parts = folder, folder / "parts"
        self.reports, self.unfinished = folder / "reports", folder / "unfinished"
        try:
            for place in (self.parts, self.reports, self.unfinished):
                place.mkdir(parents=True, exist_ok=True)
            self._begin(self.job)
            self._sweep()
            self._finished = _finished_in(self.parts)
        except OSError as error:
            raise InvalidArgument(f"--output {folder}: cannot be written: {error}") from error

    def _begin(self, job: dict[str, Any]) -> None:
        file = self.folder / "job.json"
        if not file.exists():
            if any(self.parts.iterdir()):
                raise InvalidArgument(
                    f"--output {self.folder}: has parts and no job.json, so nobody knows of what; give another folder"
                )
            beside = self._beside(file.name)
            _write(beside, json.dumps(job, indent=1).encode())
            try:
                os.link(beside, file)  # unlike a rename: of several processes that begin, one is the first
            except FileExistsError:
                pass
            except OSError:  # a file system without links
                beside.replace(file)
            beside.unlink(missing_ok=True)
            _sync_folder(self.folder)
        found = load_job(self.folder)
        differing = [key for key in sorted(found.keys() | job.keys()) if found.get(key) != job.get(key)]
        if differing:
            told = "; ".join(f"{key} was {_short(found.get(key))}, now {_short(job.get(key))}" for key in differing)
            raise InvalidArgument(
                f"--output {self.folder}: holds a job that was begun otherwise: {told}. Go on with the same command, "
                "or give another folder"
            )

    def _sweep(self) -> None:
        """Removes what processes that were killed left."""
        for file in self.unfinished.glob("*.unfinished"):
            try:
                if time.time() - file.stat().st_mtime > ABANDONED:
                    file.unlink()
            except FileNotFoundError:  # another process did it
                continue

    def _beside(self, name: str) -> Path:
        unique = f"{socket.gethostname()}-{os.getpid()}-{threading.get_ident()}-{uuid.uuid4().hex[:8]}"
        return self.unfinished / f"{name}.{unique}.unfinished"

    @contextmanager
    def lock(self, shard: Shard) -> Iterator[None]:
        """Keeps other processes of this machine from the same shard.

        Where the file system has no locks, or on another machine, both do the same work, and both end well.

        Raises:
            InvalidArgument: another one has it.
        """
        file = self.unfinished / f"shard-{shard.index}-of-{shard.count}.lock"
        with file.open("wb") as opened:
            try:
                fcntl.flock(opened, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                raise InvalidArgument(
                    f"--output {self.folder}: another process works on shard {shard} of this job; wait for it, or end "
                    "it first"
                ) from None
            except OSError:
                pass
            yield

    def part(self, block: Block) -> Path:
        """The file of a block's part, whether it is there or not."""
        return self.parts / f"part-{block.key}-{block.digest}.parquet"

    def was_finished(self, block: Block) -> bool:
        """Whether a block had its part when this object was made.

        Raises:
            InvalidArgument: there is a part of other inputs in its place.
        """
        digest = self._finished.get(block.key)
        if digest is None:
            return False
        if digest != block.digest:
            raise InvalidArgument(
                f"--output {self.folder}: the inputs have changed since the job began: part {block.key} is of other "
                f"pictures than those from {block.entries[0].name!r} on; bring them back, or give another folder"
            )
        return True

    def is_finished(self, block: Block) -> bool:
        """The same, or another process has made it meanwhile."""
        return self.was_finished(block) or self.part(block).exists()

    def check_rest(self, keys: set[str], shard: Shard) -> None:
        """Raises InvalidArgument where there are parts of a shard besides those of these keys."""
        found = {key for key in self._finished if shard.has(*map(int, key.split("-")))}
        if found - keys:
            raise InvalidArgument(
                f"--output {self.folder}: the inputs have changed since the job began: {len(found - keys)} parts, "
                f"{min(found - keys)} the first, are of pictures that are no longer among them; bring them back, or "
                "give another folder"
            )

    def discard(self, block: Block) -> None:
        """Makes a block unfinished."""
        self.part(block).unlink(missing_ok=True)
        self._finished.pop(block.key, None)

    def counts(self, block: Block) -> Counts:
        """Of a block that is finished.

        Raises:
            InvalidArgument: its part is damaged.
        """
        return self.counts_of(self.part(block).name)

    def counts_of(self, name: str) -> Counts:
        """The same, of the name of a part."""
        file = self.parts / name
        try:
            footer = pq.read_metadata(file)
            return Counts(footer.num_rows, int((footer.metadata or {})[b"errors"]))
        except (OSError, KeyError, ValueError, pa.ArrowException) as error:
            raise InvalidArgument(f"{file}: is damaged: {error}; delete it, and its block is made again") from error

    def write(self, block: Block, rows: Sequence[Row]) -> Counts:
        """Makes the part of a block.

        Raises:
            InvalidArgument: it cannot be written.
        """
        counts = Counts(len(rows), sum(row.get("error") is not None for row in rows))
        table = to_table(rows).replace_schema_metadata({"errors": str(counts.errors), "format": str(FORMAT)})
        buffer = pa.BufferOutputStream()
        pq.write_table(table, buffer, compression="zstd")
        file = self.part(block)
        beside = self._beside(file.name)
        try:
            _write(beside, buffer.getvalue())
            beside.replace(file)
            _sync_folder(self.parts)
        except OSError as error:
            beside.unlink(missing_ok=True)
            raise InvalidArgument(
                f"{file}: cannot be written: {error.strerror}; make room, and the same command goes on"
            ) from error
        return counts

    def _report(self, shard: Shard) -> Path:
        return self.reports / f"shard-{shard.index}-of-{shard.count}.json"

    def has_report(self, shard: Shard) -> bool:
        """Whether a shard was finished before."""
        return self._report(shard).exists()

    def write_report(self, shard: Shard, report: Mapping[str, Any]) -> None:
        """Says that a shard is finished."""
        file = self._report(shard)
        beside = self._beside(file.name)
        _write(beside, (json.dumps(report, indent=1) + "\n").encode())
        beside.replace(file)
        _sync_folder(self.reports)


def load_job(folder: Path) -> dict[str, Any]:
    """What the job of a folder is.

    Raises:
        InvalidArgument: there is none, or one of another version.
    """
    file = folder / "job.json"
    try:
        job = json.loads(file.read_bytes())
    except OSError as error:
        raise InvalidArgument(f"--output {folder}: has no job: {file}: {error.strerror}") from error
    except ValueError as error:
        raise InvalidArgument(f"{file}: is damaged: {error}; give another folder") from error
    if not isinstance(job, dict) or job.get("format") != FORMAT:
        raise InvalidArgument(f"{file}: is not of a job in format {FORMAT}; give another folder")
    return job


def finished_parts(folder: Path) -> list[Path]:
    """The parts of a job all of whose shards have ended, in order.

    Raises:
        InvalidArgument: some have not, or there is no job.
    """
    load_job(folder)
    ended: dict[int, set[int]] = {}
    for file in (folder / "reports").glob("shard-*-of-*.json"):
        if match := re.fullmatch(r"shard-(\d+)-of-(\d+)\.json", file.name):
            ended.setdefault(int(match[2]), set()).add(int(match[1]))
    if not any(len(indices) == count for count, indices in ended.items()):
        told = "; ".join(f"{len(indices)} of {count} shards have ended" for count, indices in sorted(ended.items()))
        raise InvalidArgument(
            f"--output {folder}: the job is not finished: {told or 'no shard has ended'}; go on with the command that "
            "began it"
        )
    return sorted(file for file in (folder / "parts").iterdir() if PART.fullmatch(file.name))


def _finished_in(parts: Path) -> dict[str, str]:
    """Key -> digest of the parts that are there."""
    matches = (PART.fullmatch(name) for name in os.listdir(parts))
    return {match[1]: match[2] for match in matches if match}


def _write(file: Path, data: Any) -> None:
    """Writes a new file; it is on the disk then."""
    with file.open("xb") as opened:
        opened.write(data)
        opened.flush()
        os.fsync(opened.fileno())


def _sync_folder(folder: Path) -> None:
    """What was renamed in a folder stays renamed when the power fails, where the file system can promise that."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        with suppress(OSError):
            os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _short(value: Any) -> str:
    text = json.dumps(value)
    return text if len(text) <= 200 else f"{text[:200]}..."
