"""What may replace a value of a configuration: text becomes literals, types must fit, keys must exist.

All faults of one merge come out in one error, and nothing is changed then.
"""

from __future__ import annotations

import ast
import difflib
import logging
import re
import warnings
from collections.abc import Iterable, Iterator, Mapping, MutableMapping
from typing import Any

from d2deploy.errors import InvalidArgument

LEAVES = (str, bool, int, float, list, tuple, type(None))
MAX_LITERAL = 10_000  # characters; longer text stays text
MAX_FAULTS = 100  # shown; finding what was meant takes milliseconds for each


_LOGGER = logging.getLogger(__name__)
_TRAINING_SECTIONS = {"DATALOADER", "SOLVER", "WANDB"}
_TRAINING_WORDS = {"AUGMENTATION", "AUGMENTATIONS", "LOSS", "LOSSES", "PRETRAIN", "TRAIN", "TRAINING"}


class Mismatch(Exception):  # noqa: N818  # a fault on its way into the error that names them all
    """A value that must not replace another one."""


def decode(value: Any) -> Any:
    """Text that is a Python literal becomes what it says: "0.5" a float, "(800,)" a tuple, "None" none."""
    if not isinstance(value, str) or len(value) > MAX_LITERAL:
        return value
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # "\d" in quotes is a literal that Python would warn of
            return ast.literal_eval(value)
    except (ValueError, SyntaxError, TypeError, MemoryError, RecursionError):
        return value


def coerce(value: Any, original: Any) -> Any:
    """The value that takes the place of `original`: of its type; integers become floats, tuples and lists each other.

    Raises:
        Mismatch: the types do not fit. None fits everything, and everything fits None.
    """
    if isinstance(original, Mapping):
        raise Mismatch(f"is a section, got {value!r}")
    if not isinstance(value, LEAVES):
        raise Mismatch(f"must be {_type_name(original)}, got {_show(value)}")
    if type(value) is type(original) or value is None or original is None:
        return value
    if type(original) is float and type(value) is int:
        return float(value)
    if isinstance(original, (tuple, list)) and isinstance(value, (tuple, list)):
        return type(original)(value)
    raise Mismatch(f"must be {_type_name(original)}, got {_show(value)}")


def _type_name(value: Any) -> str:
    return "any plain value" if value is None else type(value).__name__


def _show(value: Any) -> str:
    text = repr(value)
    return f"{text if len(text) <= 60 else text[:57] + '...'} ({type(value).__name__})"


def keys_of(node: Mapping[str, Any], prefix: str = "") -> Iterator[str]:
    """The full names of all keys, sections among them."""
    for key, value in node.items():
        yield prefix + str(key)
        if isinstance(value, Mapping):
            yield from keys_of(value, f"{prefix}{key}.")


def _pairs(target: Mapping[str, Any], source: Mapping[Any, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    """Full names and values of what a nested source sets; an unknown section is named once, not key by key."""
    for key, value in source.items():
        inside = target.get(key)
        if isinstance(value, Mapping) and isinstance(inside, Mapping):
            yield from _pairs(inside, value, f"{prefix}{key}.")
        else:
            yield f"{prefix}{key}", value


def merge_nested(target: MutableMapping[str, Any], source: Mapping[Any, Any], where: str) -> None:
    """Sets in `target` what the nested mapping `source` says; see `merge_pairs`."""
    merge_pairs(target, _pairs(target, source), where)


def merge_pairs(target: MutableMapping[str, Any], pairs: Iterable[tuple[str, Any]], where: str) -> None:
    """Sets values by their full names; all of them or, where one is wrong, none.

    An unknown key that concerns training alone is a warning.

    Raises:
        InvalidArgument: names every unknown key (with the nearest known one) and every value of a wrong type. It
            begins with `where`.
    """
    known = set(keys_of(target))
    faults: list[str] = []
    training: list[str] = []
    changes: list[tuple[str, Any]] = []
    for key, value in pairs:
        if key not in known:
            if _is_of_training(key):
                training.append(key)
                continue
            suggestion = _suggestion(key, known) if len(faults) < MAX_FAULTS else ""
            faults.append(f"unknown key {key:.200}{suggestion}")
            continue
        try:
            changes.append((key, coerce(decode(value), _get(target, key))))
        except Mismatch as mismatch:
            faults.append(f"{key} {mismatch}")
    if faults:
        more = [f"and {len(faults) - MAX_FAULTS} more"] if len(faults) > MAX_FAULTS else []
        listed = faults[0] if len(faults) == 1 else "".join(f"\n  {f}" for f in [*faults[:MAX_FAULTS], *more])
        raise InvalidArgument(f"{where}: {listed}")
    if training:
        _LOGGER.warning("%s: keys that are not known and concern training alone: %s", where, ", ".join(training))
    for key, value in changes:
        section, _, last = key.rpartition(".")
        _get(target, section)[last] = value


def _is_of_training(key: str) -> bool:
    """Whether a key can matter to training alone, by the section it stands in or by its words."""
    words = re.split(r"[._]", key.upper())
    return words[0] in _TRAINING_SECTIONS or not _TRAINING_WORDS.isdisjoint(words)


def _get(node: Any, key: str) -> Any:
    for part in key.split(".") if key else []:
        node = node[part]
    return node


def _suggestion(key: str, known: set[str]) -> str:
    nearest = difflib.get_close_matches(key[:200], sorted(known), n=1, cutoff=0.7)
    return f"; did you mean {nearest[0]}?" if nearest else ""
