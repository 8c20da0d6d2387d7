"""The tensors of the Open Inference Protocol, between their bytes or JSON and arrays. All that comes in is hostile."""

from __future__ import annotations

import math
import struct
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from d2deploy.errors import InvalidArgument, Unsupported
from d2deploy.serving.errors import TooLarge

__all__ = [
    "DTYPES",
    "Tensor",
    "checked_shape",
    "datatype_of",
    "from_binary",
    "from_json",
    "shown",
    "to_binary",
    "to_json",
]

DTYPES: dict[str, np.dtype[Any]] = {
    "BOOL": np.dtype("?"),
    **{f"UINT{8 * size}": np.dtype(f"<u{size}") for size in (1, 2, 4, 8)},
    **{f"INT{8 * size}": np.dtype(f"<i{size}") for size in (1, 2, 4, 8)},
    **{f"FP{8 * size}": np.dtype(f"<f{size}") for size in (2, 4, 8)},
}
MOST_DIMENSIONS = 8
MOST_ELEMENTS = 1 << 30
SHOWN = 60  # characters of what a client sent, in a message


@dataclass(frozen=True)
class Tensor:
    """A named tensor.

    Attributes:
        name: of the input or output.
        datatype: a key of DTYPES, or "BYTES".
        shape: its dimensions.
        data: array of that shape; of BYTES the elements.
        from_json: its elements came as JSON, where BYTES are text.
    """

    name: str
    datatype: str
    shape: tuple[int, ...]
    data: npt.NDArray[Any] | list[bytes]
    from_json: bool = False

    @property
    def array(self) -> npt.NDArray[Any]:
        """Raises InvalidArgument where it holds BYTES."""
        if isinstance(self.data, list):
            raise InvalidArgument(f"input {self.name!r}: is BYTES, wanted numbers")
        return self.data

    @property
    def elements(self) -> list[bytes]:
        """Raises InvalidArgument where it holds numbers."""
        if not isinstance(self.data, list):
            raise InvalidArgument(f"input {self.name!r}: is {self.datatype}, wanted BYTES")
        return self.data


def shown(value: Any) -> str:
    """What a client sent, short enough for a message."""
    text = repr(value)
    return text if len(text) <= SHOWN else text[:SHOWN] + "..."


def checked_shape(name: str, datatype: Any, shape: Any) -> tuple[int, ...]:
    """The dimensions of an input.

    Raises:
        InvalidArgument: they are none, or the datatype is unknown.
        TooLarge: there are too many elements.
    """
    if datatype != "BYTES" and (not isinstance(datatype, str) or datatype not in DTYPES):
        raise InvalidArgument(
            f"input {name!r}: datatype is {shown(datatype)}, must be one of {', '.join(DTYPES)}, BYTES"
        )
    if not isinstance(shape, Sequence) or isinstance(shape, str) or len(shape) > MOST_DIMENSIONS:
        raise InvalidArgument(f"input {name!r}: shape is {shown(shape)}, must be at most {MOST_DIMENSIONS} numbers")
    if any(type(side) is not int or side < 0 for side in shape):
        raise InvalidArgument(f"input {name!r}: shape is {shown(list(shape))}, must be integers of at least 0")
    if math.prod(side for side in shape if side) > MOST_ELEMENTS:
        raise TooLarge(f"input {name!r}: shape {shown(list(shape))} has more than {MOST_ELEMENTS} elements")
    return tuple(shape)


def from_binary(name: str, datatype: str, shape: tuple[int, ...], data: bytes | memoryview) -> Tensor:
    """A tensor from little-endian bytes in row-major order; of BYTES each element stands behind its length, 4 bytes.

    Args:
        name: of the input.
        datatype: checked, as `shape` is, by `checked_shape`.
        shape: see `datatype`.
        data: all of its bytes and no others; numbers are not copied.

    Raises:
        InvalidArgument: there are too few bytes, or too many, or they are no elements.
    """
    count = math.prod(shape)
    if datatype == "BYTES":
        return Tensor(name, datatype, shape, _split(name, count, data))
    dtype = DTYPES[datatype]
    if len(data) != count * dtype.itemsize:
        raise InvalidArgument(
            f"input {name!r}: {datatype} of shape {list(shape)} takes {count * dtype.itemsize} bytes, got {len(data)}"
        )
    if datatype == "BOOL" and (np.frombuffer(data, np.uint8) > 1).any():
        raise InvalidArgument(f"input {name!r}: BOOL must be bytes of 0 or 1")
    return Tensor(name, datatype, shape, np.frombuffer(data, dtype).reshape(shape))


def _split(name: str, count: int, data: bytes | memoryview) -> list[bytes]:
    elements, at, end = [], 0, len(data)
    if 4 * count > end:
        raise InvalidArgument(f"input {name!r}: {count} BYTES take at least {4 * count} bytes, got {end}")
    for number in range(count):
        size = struct.unpack_from("<I", data, at)[0] if at + 4 <= end else end
        if at + 4 + size > end:
            raise InvalidArgument(f"input {name!r}: element {number} is longer than what was sent, {end} bytes")
        elements.append(bytes(data[at + 4 : at + 4 + size]))
        at += 4 + size
    if at != end:
        raise InvalidArgument(f"input {name!r}: {end - at} bytes are left behind its {count} elements")
    return elements


def from_json(name: str, datatype: str, shape: tuple[int, ...], data: Any) -> Tensor:
    """A tensor from numbers, flags or texts in JSON: in one list, or in lists of lists, in row-major order.

    Args:
        name: of the input.
        datatype: checked, as `shape` is, by `checked_shape`.
        shape: see `datatype`.
        data: what the JSON holds.

    Raises:
        InvalidArgument: there are too few elements, or too many, or of another kind.
    """
    count = math.prod(shape)
    elements = _flat(name, data, count)
    if len(elements) != count:
        raise InvalidArgument(f"input {name!r}: shape {list(shape)} has {count} elements, data has {len(elements)}")
    if datatype == "BYTES":
        _check_kind(name, datatype, elements, (str,))
        return Tensor(name, datatype, shape, [element.encode("utf-8", "replace") for element in elements], True)
    if datatype == "FP16":
        raise InvalidArgument(f"input {name!r}: FP16 has no form in JSON; send it as binary data")
    dtype = DTYPES[datatype]
    _check_kind(name, datatype, elements, {"b": (bool,), "f": (int, float)}.get(dtype.kind, (int,)))
    try:
        with np.errstate(over="ignore"):
            array = np.array(elements, dtype).reshape(shape)
    except (OverflowError, ValueError) as error:
        raise InvalidArgument(f"input {name!r}: data has numbers that {datatype} cannot hold") from error
    if dtype.kind == "f" and not np.isfinite(array).all():
        raise InvalidArgument(f"input {name!r}: data has numbers that {datatype} cannot hold")
    return Tensor(name, datatype, shape, array, True)


def _flat(name: str, data: Any, most: int) -> list[Any]:
    """The elements in order, and at most one more than `most` of them."""
    if not isinstance(data, list):
        raise InvalidArgument(f"input {name!r}: data is {shown(data)}, must be a list")
    if not any(isinstance(element, list) for element in data):
        return data
    elements: list[Any] = []
    stack = [iter(data)]
    while stack and len(elements) <= most:
        element = next(stack[-1], stack)
        if element is stack:
            stack.pop()
        elif not isinstance(element, list):
            elements.append(element)
        elif len(stack) == MOST_DIMENSIONS:
            raise InvalidArgument(f"input {name!r}: data has lists in more than {MOST_DIMENSIONS} levels")
        else:
            stack.append(iter(element))
    return elements


def _check_kind(name: str, datatype: str, elements: list[Any], kinds: tuple[type, ...]) -> None:
    """type(), since Python takes flags for integers."""
    wrong = next((element for element in elements if type(element) not in kinds), None)
    if wrong is not None or None in elements:
        raise InvalidArgument(f"input {name!r}: data holds {shown(wrong)}, which is no {datatype}")


def datatype_of(array: npt.NDArray[Any]) -> str:
    """The protocol's name of an array's type."""
    name = next((name for name, dtype in DTYPES.items() if dtype == array.dtype), None)
    if name is None:
        raise Unsupported(f"the protocol has no datatype for {array.dtype}")
    return name


def to_binary(tensor: Tensor) -> bytes:
    """The opposite of `from_binary`."""
    if isinstance(tensor.data, list):
        return b"".join(struct.pack("<I", len(element)) + element for element in tensor.data)
    return tensor.data.astype(DTYPES[tensor.datatype], copy=False).tobytes()


def to_json(tensor: Tensor) -> list[Any]:
    """The elements in one list.

    Raises:
        InvalidArgument: JSON cannot hold them.
    """
    if isinstance(tensor.data, list):
        return [element.decode("utf-8", "replace") for element in tensor.data]
    if tensor.datatype == "FP16" or (tensor.data.dtype.kind == "f" and not np.isfinite(tensor.data).all()):
        raise InvalidArgument(
            f"output {tensor.name!r}: holds values that JSON has no form for; ask for it with binary_data"
        )
    values: list[Any] = tensor.data.ravel().tolist()
    return values
