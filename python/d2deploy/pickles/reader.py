"""Reads pickles that hold nothing but plain values and NumPy arrays, without Python's own unpickler.

A pickle is a program. This machine for it knows only the instructions that such values need; it calls nothing that a
file names, and its memory is bounded by the length of the file.
"""

from __future__ import annotations

import mmap
import pickletools
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

from d2deploy.errors import InvalidModel
from d2deploy.pickles.arrays import ArrayLike, DType, Fault, Global, build, call, items

MAX_INSTRUCTIONS = 500_000  # a file of the zoo has 20 thousand; this many take a second or two
MAX_DEPTH = 100

_MARK = object()
# Instructions that push their argument as it is.
_PUSH = {
    *("INT", "BININT", "BININT1", "BININT2", "LONG", "LONG1", "LONG4", "FLOAT", "BINFLOAT"),
    *("STRING", "BINSTRING", "SHORT_BINSTRING", "UNICODE", "BINUNICODE", "SHORT_BINUNICODE", "BINUNICODE8"),
    *("BINBYTES", "SHORT_BINBYTES", "BINBYTES8", "BYTEARRAY8"),
}
_IGNORED = {"PROTO", "FRAME"}
_PUT = {"PUT", "BINPUT", "LONG_BINPUT"}
_GET = {"GET", "BINGET", "LONG_BINGET"}


def read_pickle(path: Path) -> Any:
    """The value in a pickle: dicts, lists, tuples, text, bytes, numbers, and NumPy arrays and scalars of numbers.

    Text of Python 2 is taken for Latin-1. Arrays are views of bytes and cannot be written to.

    Raises:
        InvalidModel: The file is damaged, or holds anything else; then the message names it.
    """
    try:
        with path.open("rb") as file:
            if not path.stat().st_size:
                raise InvalidModel(f"{path} is empty")
            with mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as data:
                program = pickletools.genops(data)  # type: ignore[arg-type]  # it reads as a file does
                return _plain(_Machine(len(data)).run(program))
    except Fault as fault:
        raise InvalidModel(f"{path}: {fault}") from None
    except (ValueError, IndexError, KeyError, TypeError, MemoryError, OverflowError, RecursionError) as error:
        raise InvalidModel(f"{path} is not a pickle, or is damaged or cut off: {error}") from None


class _Machine:
    """The stack and the memory of a pickle's program."""

    def __init__(self, file_bytes: int) -> None:
        self.stack: list[Any] = []
        self.memo: dict[int, Any] = {}
        self.left = 2 * file_bytes  # of what calls may copy: text made bytes, and bytes made arrays, once each
        self.simple: dict[str, Callable[[], None]] = {
            "MARK": lambda: self.stack.append(_MARK),
            "POP": lambda: self.stack.__delitem__(-1),
            "POP_MARK": lambda: self.since_mark().clear(),
            "DUP": lambda: self.stack.append(self.stack[-1]),
            "NONE": lambda: self.stack.append(None),
            "NEWTRUE": lambda: self.stack.append(True),
            "NEWFALSE": lambda: self.stack.append(False),
            "EMPTY_TUPLE": lambda: self.stack.append(()),
            "EMPTY_LIST": lambda: self.stack.append([]),
            "EMPTY_DICT": lambda: self.stack.append({}),
            "TUPLE": lambda: self.stack.append(tuple(self.since_mark())),
            "TUPLE1": lambda: self.stack.append(tuple(self.take(1))),
            "TUPLE2": lambda: self.stack.append(tuple(self.take(2))),
            "TUPLE3": lambda: self.stack.append(tuple(self.take(3))),
            "LIST": lambda: self.stack.append(self.since_mark()),
            "DICT": lambda: self.stack.append(items(self.since_mark())),
            "APPEND": lambda: self.append(self.take(1)),
            "APPENDS": lambda: self.append(self.since_mark()),
            "SETITEM": lambda: self.set_items(self.take(2)),
            "SETITEMS": lambda: self.set_items(self.since_mark()),
            "STACK_GLOBAL": lambda: self.stack.append(Global.named(*self.take(2))),
            "REDUCE": lambda: self.stack.append(self.called(*self.take(2))),
            "NEWOBJ": lambda: self.stack.append(self.called(*self.take(2))),
            "BUILD": lambda: self.built(*self.take(1)),
            "MEMOIZE": lambda: self.memo.__setitem__(len(self.memo), self.stack[-1]),
        }

    def run(self, program: Iterable[tuple[pickletools.OpcodeInfo, Any, int | None]]) -> Any:
        for count, (instruction, argument, _) in enumerate(program):
            name = instruction.name
            if count >= MAX_INSTRUCTIONS:
                raise Fault(f"has more than {MAX_INSTRUCTIONS} instructions; this is not a checkpoint")
            if name in _PUSH:
                self.stack.append(argument)
            elif name in self.simple:
                self.simple[name]()
            elif name in _PUT:
                self.memo[argument] = self.stack[-1]
            elif name in _GET:
                self.stack.append(self.memo[argument])
            elif name == "GLOBAL":
                self.stack.append(Global.named(*argument.split(" ", 1)))
            elif name not in _IGNORED and name != "STOP":
                raise Fault(f"refused: the pickle's instruction {name} is not one that checkpoints of arrays need")
        (result,) = self.stack
        return result

    def take(self, count: int) -> list[Any]:
        taken = self.stack[-count:]
        if len(taken) < count or any(value is _MARK for value in taken):
            raise ValueError("an instruction lacks its values")
        del self.stack[-count:]
        return taken

    def since_mark(self) -> list[Any]:
        for start in range(len(self.stack) - 1, -1, -1):
            if self.stack[start] is _MARK:
                values = self.stack[start + 1 :]
                del self.stack[start:]
                return values
        raise ValueError("an instruction lacks its mark")

    def append(self, values: list[Any]) -> None:
        if not isinstance(self.stack[-1], list):
            raise ValueError("something is appended to what is not a list")
        self.stack[-1].extend(values)

    def set_items(self, values: list[Any]) -> None:
        if not isinstance(self.stack[-1], dict):
            raise ValueError("an item is set in what is not a dict")
        self.stack[-1].update(items(values))

    def called(self, function: Any, arguments: Any) -> Any:
        if not isinstance(function, Global) or not isinstance(arguments, tuple):
            raise ValueError("something is called that is not a function")
        for argument in arguments:
            self.spend(argument)
        return call(function, arguments)

    def built(self, state: Any) -> None:
        self.spend(state[-1] if isinstance(state, tuple) and state else None)
        build(self.stack[-1], state)

    def spend(self, copied: Any) -> None:
        self.left -= len(copied) if isinstance(copied, (str, bytes, bytearray, list, tuple)) else 0
        if self.left < 0:
            raise Fault("refused: its arrays are larger than the file")


def _plain(value: Any) -> Any:
    """The value with arrays in place of the machine's stand-ins."""
    done: dict[int, Any] = {}

    def convert(value: Any, depth: int) -> Any:
        if isinstance(value, (str, bytes, bytearray, int, float, type(None))):
            return value
        if depth > MAX_DEPTH:
            raise Fault("is nested too deeply")
        if id(value) not in done:
            if isinstance(value, dict):
                done[id(value)] = {key: convert(inner, depth + 1) for key, inner in value.items()}
            elif isinstance(value, (list, tuple)):
                done[id(value)] = type(value)(convert(inner, depth + 1) for inner in value)
            elif isinstance(value, ArrayLike):
                done[id(value)] = value.array()
            elif isinstance(value, (Global, DType)):
                raise Fault(f"holds {value}, which is neither an array nor a plain value")
            else:  # NumPy scalars
                return value
        return done[id(value)]

    return convert(value, 0)
