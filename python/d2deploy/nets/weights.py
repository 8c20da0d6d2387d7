"""An init net as the arrays that it makes, and its file, written one weight at a time."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np

from d2deploy.errors import Unsupported
from d2deploy.nets import proto

__all__ = ["InitNet"]

OP, ARG, BYTES = 2, 5, 2  # fields of NetDef and OperatorDef; the wire type of what has a length


class InitNet:
    """A net that makes parameters. As a message, and as the message's bytes, weights would take twice their size more.

    Args:
        parameters: by blob, in order, of floats, which become float32, or integers.

    Raises:
        Unsupported: one is of another type; Caffe2 has fills for few.
    """

    def __init__(self, parameters: Mapping[str, np.ndarray]) -> None:
        for blob, array in parameters.items():
            if array.dtype.kind not in "fi":
                raise Unsupported(f"parameter '{blob}' is {array.dtype}, must be of floats or integers")
        self._parameters = parameters

    def shapes(self) -> dict[str, list[int | str]]:
        """Of the parameters, by blob."""
        return {blob: list(array.shape) for blob, array in self._parameters.items()}

    def size(self) -> int:
        """Bytes of the file."""
        return sum(map(len, self.parts()))

    def parts(self) -> Iterator[bytes]:
        """The bytes of the file, as protobuf would write the message: fields by number, lists in their order."""
        yield proto.NetDef(name="d2deploy_init").SerializeToString()
        for blob, array in self._parameters.items():
            operator, values = _fill(blob, array)
            shape = proto.argument("shape", list(array.shape)).SerializeToString()
            inside = [operator, *_prefixed(ARG, values), *_prefixed(ARG, shape)]
            yield _key(OP, sum(map(len, inside)))
            yield from inside
        yield proto.NetDef(external_output=list(self._parameters)).SerializeToString()

    def message(self) -> Any:
        """The same as a NetDef."""
        net = proto.NetDef()
        net.ParseFromString(b"".join(self.parts()))
        return net


def _fill(blob: str, array: np.ndarray) -> tuple[bytes, bytes]:
    """The operator that makes a parameter, without its arguments, and the argument with its values."""
    if array.dtype.kind == "f":
        kind, values = "GivenTensorFill", proto.floats_argument("values", array.astype(np.float32, copy=False))
    else:
        kind = "GivenTensorIntFill" if array.dtype == np.int32 else "GivenTensorInt64Fill"
        values = proto.argument("values", array).SerializeToString()
    return proto.OperatorDef(type=kind, output=[blob]).SerializeToString(), values


def _prefixed(field: int, content: bytes) -> tuple[bytes, bytes]:
    return _key(field, len(content)), content


def _key(field: int, length: int) -> bytes:
    """What stands before a field that has a length."""
    result = bytearray([(field << 3) | BYTES])
    while length > 0x7F:
        result.append(length & 0x7F | 0x80)
        length >>= 7
    return bytes([*result, length])
