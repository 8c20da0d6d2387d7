"""What stands in the two files of a model, read with the standard library alone: it costs little, and also tells of
files that cannot run here. The wire format is that of cpp/proto/caffe2.proto.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from d2deploy.errors import InvalidArgument, InvalidModel

__all__ = ["Net", "Node", "read_net"]

VARINT, FIXED64, BYTES, FIXED32 = 0, 1, 2, 5  # wire types
Value = int | memoryview


@dataclass
class Node:
    """An operator of a net: its type, and the names of what it reads and writes."""

    kind: str = ""
    inputs: list[str] = field(default_factory=list)
    outputs: list[str] = field(default_factory=list)


@dataclass
class Net:
    """A net: its operators in order, names of what goes in and out, and elements of the tensors it fills."""

    nodes: list[Node] = field(default_factory=list)
    inputs: list[str] = field(default_factory=list)
    outputs: list[str] = field(default_factory=list)
    filled: dict[str, int] = field(default_factory=dict)

    @property
    def operators(self) -> list[str]:
        """Their types."""
        return [node.kind for node in self.nodes]


def read_net(path: Path) -> Net:
    """Reads a NetDef.

    Raises:
        InvalidArgument: the file cannot be read.
        InvalidModel: it is no net.
    """
    try:
        data = memoryview(path.read_bytes())
    except OSError as error:
        raise InvalidArgument(f"{path}: cannot be read: {error.strerror}; wanted a folder with both files") from error
    net = Net()
    try:
        for number, value in _fields(data):
            if number == 2:
                _add_operator(net, value)
            elif number in (7, 8):
                (net.inputs if number == 7 else net.outputs).append(_text(value))
    except (IndexError, ValueError) as error:
        raise InvalidModel(f"{path}: is not a Caffe2 net, or is damaged: {error}") from error
    if not net.nodes:
        raise InvalidModel(f"{path}: holds no operators; is it a Caffe2 net?")
    return net


def _add_operator(net: Net, operator: Value) -> None:
    node, elements = Node(), None
    for number, value in _fields(operator):
        if number in (1, 2):
            (node.inputs if number == 1 else node.outputs).append(_text(value))
        elif number == 4:
            node.kind = _text(value)
        elif number == 5 and elements is None:
            elements = _elements(value)
    net.nodes.append(node)
    if node.kind.endswith("Fill") and elements is not None:
        net.filled.update((output, elements) for output in node.outputs)


def _elements(argument: Value) -> int | None:
    """How many elements the tensor has whose `shape` the argument is; None for another argument."""
    dims: list[int] = []
    for number, value in _fields(argument):
        if number == 1:
            if _text(value) != "shape":
                return None  # before its values are looked at, which may be millions
        elif number == 6:
            dims += [value] if isinstance(value, int) else _packed(value)
    return math.prod(dims)


def _packed(data: memoryview) -> list[int]:
    values, at = [], 0
    while at < len(data):
        value, at = _varint(data, at)
        values.append(value)
    return values


def _fields(message: Value) -> Iterator[tuple[int, Value]]:
    """Number and value of each field: an int, or the bytes."""
    if isinstance(message, int):
        raise ValueError("a number in place of a message")
    at = 0
    while at < len(message):
        key, at = _varint(message, at)
        kind, length = key & 7, 0
        if kind == VARINT:
            value, at = _varint(message, at)
            yield key >> 3, value
            continue
        if kind == BYTES:
            length, at = _varint(message, at)
        elif kind in (FIXED32, FIXED64):
            length = 4 if kind == FIXED32 else 8
        else:
            raise ValueError(f"wire type {kind}")
        if length > len(message) - at:
            raise ValueError(f"{length} bytes are announced, {len(message) - at} are left")
        yield key >> 3, message[at : at + length]
        at += length


def _varint(data: memoryview, at: int) -> tuple[int, int]:
    value = 0
    for shift in range(0, 70, 7):
        byte = data[at]
        at += 1
        value |= (byte & 127) << shift
        if byte < 128:
            return value, at
    raise ValueError("a number of more than 10 bytes")


def _text(value: Value) -> str:
    if isinstance(value, int):
        raise ValueError("a number in place of a text")
    return bytes(value).decode("utf-8", "replace")
