"""The inputs of a job, cut in blocks: what each process finds alike, however many there are.

Needs the standard library alone.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import NamedTuple, Protocol

from d2deploy.errors import InvalidArgument

__all__ = ["WHOLE", "Block", "Entry", "Shard", "Shelf", "blocks", "shard_of", "utf8"]

DIGEST = 16  # hexadecimal digits of the names in a block, in the name of its part


class Entry(NamedTuple):
    """A picture of the inputs, which was not looked at yet.

    Attributes:
        name: for the reader: a path, of a member of a tar file `shard.tar::member`. What is not UTF-8 in it is escaped
            as Python escapes names of files (surrogateescape).
        file: to be read.
        id: that a manifest gives it.
        offset: of the member in the file, in bytes; -1: the file is the picture.
        size: of the member, in bytes.
        fault: why there is no picture here; empty where there may be one.
    """

    name: str
    file: str
    id: str | None = None
    offset: int = -1
    size: int = -1
    fault: str = ""


class Shelf(Protocol):
    """A file of many pictures that is cut in blocks of its own: a tar file."""

    def entries(self) -> Iterator[Entry]: ...


class Block(NamedTuple):
    """Pictures that are predicted, written and resumed together.

    Attributes:
        source: 0, or the number of the tar file, counted from 1, that they are members of.
        number: of the block in its source.
        entries: the pictures.
    """

    source: int
    number: int
    entries: tuple[Entry, ...]

    @property
    def key(self) -> str:
        """Its place; keys sort as the blocks follow each other."""
        return f"{self.source:06d}-{self.number:08d}"

    @property
    def digest(self) -> str:
        """Of what was listed: two blocks of one place with two digests are of inputs that changed."""
        listed = [[e.name, e.id, e.offset, e.size, bool(e.fault)] for e in self.entries]
        return hashlib.sha256(json.dumps(listed).encode()).hexdigest()[:DIGEST]

    def to_json(self) -> str:
        return json.dumps(self)

    @classmethod
    def from_json(cls, text: str) -> Block:
        source, number, entries = json.loads(text)
        return cls(source, number, tuple(Entry(*entry) for entry in entries))


@dataclass(frozen=True)
class Shard:
    """One part of a job of `count` parts, counted from 0."""

    index: int = 0
    count: int = 1

    def has(self, source: int, number: int) -> bool:
        """Whether a block is its own. All blocks of a tar file are in one shard: the others need not look into it."""
        return (source - 1 if source else number) % self.count == self.index

    def __str__(self) -> str:
        return f"{self.index}/{self.count}"


WHOLE = Shard()


def blocks(found: Iterable[Entry | Shelf], size: int, shard: Shard = WHOLE) -> Iterator[Block]:
    """The blocks of a shard, in order.

    Args:
        found: the inputs. Entries that stand alone are cut in blocks together, those of each shelf by themselves.
        size: most entries of a block.
        shard: which of them.

    Law: the blocks of all shards of any count are those of one shard.
    """
    alone: list[Entry] = []
    number = source = 0
    for item in found:
        if not isinstance(item, Entry):
            source += 1
            if shard.has(source, 0):
                yield from _cut(source, item.entries(), size)
            continue
        alone.append(item)
        if len(alone) == size:
            if shard.has(0, number):
                yield Block(0, number, tuple(alone))
            number, alone = number + 1, []
    if alone and shard.has(0, number):
        yield Block(0, number, tuple(alone))


def _cut(source: int, entries: Iterable[Entry], size: int) -> Iterator[Block]:
    number, taken = 0, list[Entry]()
    for entry in entries:
        taken.append(entry)
        if len(taken) == size:
            yield Block(source, number, tuple(taken))
            number, taken = number + 1, []
    if taken:
        yield Block(source, number, tuple(taken))


def shard_of(text: str, environment: Mapping[str, str] = os.environ) -> Shard:
    """What `--shard` means.

    Args:
        text: "i/n", i from 0; "auto" in a Slurm array, which tells both; "auto/n" there, or in an indexed job of
            Kubernetes, which tells i alone.
        environment: where both tell it.

    Raises:
        InvalidArgument: something else, or nothing tells it.
    """
    match = re.fullmatch(r"(\d{1,9}|auto)(?:/(\d{1,9}))?", text)
    if not match or (match[1] != "auto" and not match[2]):
        raise InvalidArgument(f"--shard is {text}, wanted i/n as 0/4, or auto, or auto/n")
    if match[1] != "auto":
        return _checked(text, int(match[1]), int(match[2]))
    if "SLURM_ARRAY_TASK_ID" in environment:
        task, first, step, count = (
            _number(environment, f"SLURM_ARRAY_TASK_{name}", default)
            for name, default in (("ID", None), ("MIN", 0), ("STEP", 1), ("COUNT", int(match[2] or 0)))
        )
        if match[2] is None and not count:
            raise InvalidArgument("--shard auto: SLURM_ARRAY_TASK_COUNT is not set; say how many there are: auto/n")
        return _checked(text, (task - first) // max(step, 1), int(match[2] or count))
    if "JOB_COMPLETION_INDEX" in environment:
        if match[2] is None:
            raise InvalidArgument(
                "--shard auto: Kubernetes tells the index (JOB_COMPLETION_INDEX) and not how many there are; give "
                "auto/n, n as spec.completions"
            )
        return _checked(text, _number(environment, "JOB_COMPLETION_INDEX", None), int(match[2]))
    raise InvalidArgument(
        f"--shard {text}: neither SLURM_ARRAY_TASK_ID nor JOB_COMPLETION_INDEX is set; give i/n, as 0/4"
    )


def _number(environment: Mapping[str, str], name: str, default: int | None) -> int:
    text = environment.get(name, str(default))
    if not re.fullmatch(r"\d{1,9}", text):
        raise InvalidArgument(f"--shard auto: {name} is {text!r}, wanted a number")
    return int(text)


def _checked(text: str, index: int, count: int) -> Shard:
    if not index < count:
        raise InvalidArgument(f"--shard {text}: is shard {index} of {count}, they count from 0 to {max(count - 1, 0)}")
    return Shard(index, count)


def utf8(text: str) -> str:
    """A text that any program reads: bytes that are not UTF-8, and lone surrogates, as `\\xff` and `\\ud800`."""
    try:
        text.encode()
    except UnicodeEncodeError:
        try:
            return os.fsencode(text).decode("utf-8", "backslashreplace")
        except UnicodeEncodeError:
            return text.encode("utf-8", "backslashreplace").decode()
    return text
