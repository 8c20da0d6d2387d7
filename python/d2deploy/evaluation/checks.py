"""What reading hostile JSON needs: values told safely, numbers that are numbers, faults and repairs counted."""

from __future__ import annotations

import json
import logging
import reprlib
import unicodedata
from collections import Counter
from pathlib import Path
from typing import Any, TypeGuard

from d2deploy.errors import InvalidArgument

__all__ = ["FAR", "Findings", "is_file", "is_number", "is_text", "quoted", "read_file", "read_json", "say"]

# Faults that are told one by one; the rest is counted.
MOST_FAULTS = 10
# Coordinates beyond are no places in a picture, and would overflow where pycocotools computes with integers.
FAR = 1e9
LONGEST_TEXT = 1000  # of names of files and classes

_QUOTE = reprlib.Repr()
_QUOTE.maxlevel, _QUOTE.maxlist, _QUOTE.maxdict, _QUOTE.maxstring, _QUOTE.maxlong = 3, 5, 3, 60, 30


def quoted(value: Any) -> str:
    """A value of JSON in a message: short whatever its length and depth, and on one line."""
    return _QUOTE.repr(value)


def is_number(value: Any, most: float = FAR) -> TypeGuard[float]:
    """Whether it is an int or float, finite, and not beyond `most` on either side."""
    return type(value) in (int, float) and -most <= value <= most  # false for NaN


def is_text(value: Any) -> TypeGuard[str]:
    """Whether it is text that can be printed in a line: some, not too much, no control or half characters."""
    if not isinstance(value, str) or not 0 < len(value) <= LONGEST_TEXT:
        return False
    return not any(unicodedata.category(character) in ("Cc", "Cs") for character in value)


def is_file(path: Path) -> bool:
    """Whether it is a file; a path that can be none, as one that is too long, is not."""
    try:
        return path.is_file()
    except (OSError, ValueError):
        return False


def say(message: str) -> None:
    """Shows what a user must know and what is no error: on stderr, where a program has not set up logging."""
    logging.getLogger("d2deploy.evaluation").warning("%s", message)


class Findings:
    """What was found wrong in a file: faults, which make it an error, and repairs, which are counted by kind."""

    def __init__(self, file: Path) -> None:
        self._file = file
        self._faults: list[str] = []
        self._count = 0
        self._repairs: dict[str, tuple[int, str]] = {}

    def fault(self, text: str) -> None:
        """Notes a fault: where it is, what was found, what was wanted."""
        self._count += 1
        if len(self._faults) < MOST_FAULTS:
            self._faults.append(text)

    def repair(self, kind: str, where: str) -> None:
        """Notes a repair: what was found, and what was made of it."""
        count, first = self._repairs.get(kind, (0, where))
        self._repairs[kind] = count + 1, first

    def check(self, wanted: str) -> None:
        """Raises InvalidArgument where there are faults."""
        if self._count:
            more = f"; and {self._count - len(self._faults)} more" if self._count > len(self._faults) else ""
            raise InvalidArgument(f"{self._file}: is not in {wanted}: {'; '.join(self._faults)}{more}")

    def repairs(self) -> list[str]:
        """A sentence for each kind of repair."""
        return [
            f"{kind}: {'once' if count == 1 else f'{count} times'}, first in {first}"
            for kind, (count, first) in self._repairs.items()
        ]


def read_file(file: Path, wanted: str) -> bytes:
    """What a file holds. A device is none: it may never end.

    Args:
        file: the file.
        wanted: what the file should be, for messages.

    Raises:
        InvalidArgument: it cannot be read.
    """
    try:
        if file.exists() and not file.is_file():
            raise InvalidArgument(f"{file}: is no file; wanted one with annotations in {wanted}")
        return file.read_bytes()
    except OSError as e:
        raise InvalidArgument(f"{file}: cannot be read: {e.strerror}; wanted annotations in {wanted}") from None
    except ValueError as e:  # a path that can be none
        raise InvalidArgument(f"{file}: cannot be read: {e}; wanted annotations in {wanted}") from None


def read_json(file: Path, wanted: str, parts: tuple[str, ...]) -> dict[str, Any]:
    """The object in a file of JSON. Of a key that an object has twice the last value counts, and that is shown.

    Args:
        file: the file.
        wanted: what the file should be, for messages.
        parts: keys that must hold lists.

    Raises:
        InvalidArgument: it cannot be read, is not JSON, or lacks a list.
    """
    twice: list[str] = []

    def dict_of(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        result = dict(pairs)
        if len(result) < len(pairs):
            twice.append(Counter(key for key, _ in pairs).most_common(1)[0][0])
        return result

    try:
        data = json.loads(read_file(file, wanted), object_pairs_hook=dict_of)
    except (ValueError, RecursionError) as e:
        reason = "a number has thousands of digits" if "integer string conversion" in str(e) else e
        raise InvalidArgument(f"{file}: is not JSON: {reason}; wanted annotations in {wanted}") from None
    except MemoryError:
        raise InvalidArgument(f"{file}: is too large for the memory there is") from None
    if twice:
        times = f"{len(twice)} times, the first is {quoted(twice[0])}"
        say(f"{file}: a key that an object has twice, the last value taken: {times}")
    if not isinstance(data, dict):
        raise InvalidArgument(f"{file}: holds a {type(data).__name__}, wanted an object with {', '.join(parts)}")
    missing = [key for key in parts if not isinstance(data.get(key), list)]
    if missing == ["annotations"] and "annotations" not in data:
        raise InvalidArgument(
            f"{file}: has no annotations, so there is nothing to compare with; COCO's test sets are evaluated on its "
            f"server alone, take a validation set"
        )
    if missing:
        raise InvalidArgument(f"{file}: has no list of {', '.join(missing)}; wanted {wanted}, with {', '.join(parts)}")
    return data
