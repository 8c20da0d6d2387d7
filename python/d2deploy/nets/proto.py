"""The messages of Caffe2's nets (caffe2.NetDef and what it holds), for Python.

The wire format is that of cpp/proto/caffe2.proto, which a test compares with this table. Here the package is `caffe2`
as in the original, in a descriptor pool of our own: a real caffe2_pb2 may live in the same process.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from google.protobuf import descriptor_pb2, descriptor_pool, message_factory

Field = descriptor_pb2.FieldDescriptorProto

# Message -> (number, name, type, repeated). Nested nets and tensors are kept as bytes: no operator here has one.
MESSAGES: dict[str, list[tuple[int, str, str, bool]]] = {
    "Argument": [
        (1, "name", "string", False),
        (2, "f", "float", False),
        (3, "i", "int64", False),
        (4, "s", "bytes", False),
        (5, "floats", "float", True),
        (6, "ints", "int64", True),
        (7, "strings", "bytes", True),
        (8, "n", "bytes", False),
        (9, "nets", "bytes", True),
        (10, "t", "bytes", False),
        (11, "tensors", "bytes", True),
        (12, "qtensors", "bytes", True),
    ],
    "DeviceOption": [(1, "device_type", "int32", False), (2, "device_id", "int32", False)],
    "OperatorDef": [
        (1, "input", "string", True),
        (2, "output", "string", True),
        (3, "name", "string", False),
        (4, "type", "string", False),
        (5, "arg", "Argument", True),
        (6, "device_option", "DeviceOption", False),
        (7, "engine", "string", False),
    ],
    "NetDef": [
        (1, "name", "string", False),
        (2, "op", "OperatorDef", True),
        (3, "type", "string", False),
        (4, "num_workers", "int32", False),
        (5, "device_option", "DeviceOption", False),
        (6, "arg", "Argument", True),
        (7, "external_input", "string", True),
        (8, "external_output", "string", True),
    ],
}


def _message_classes() -> dict[str, Any]:
    file = descriptor_pb2.FileDescriptorProto(name="caffe2.proto", package="caffe2", syntax="proto2")
    for message, fields in MESSAGES.items():
        entry = file.message_type.add(name=message)
        for number, name, kind, repeated in fields:
            field = entry.field.add(name=name, number=number)
            field.label = Field.LABEL_REPEATED if repeated else Field.LABEL_OPTIONAL
            if kind in MESSAGES:
                field.type, field.type_name = Field.TYPE_MESSAGE, f".caffe2.{kind}"
            else:
                field.type = getattr(Field, f"TYPE_{kind.upper()}")
    pool = descriptor_pool.DescriptorPool()
    pool.Add(file)
    return {m: message_factory.GetMessageClass(pool.FindMessageTypeByName(f"caffe2.{m}")) for m in MESSAGES}


_CLASSES = _message_classes()
Argument: Any = _CLASSES["Argument"]
OperatorDef: Any = _CLASSES["OperatorDef"]
NetDef: Any = _CLASSES["NetDef"]

Value = float | int | bool | str | bytes | Sequence[float] | Sequence[int] | Sequence[str] | np.ndarray


def argument(name: str, value: Value) -> Any:
    """An argument in the one field that readers look for: floats in `f`, integers and flags in `i`, text in `s`, and
    lists in their plural. NumPy arrays become lists of floats or integers at the speed of memory.
    """
    result = Argument(name=name)
    if isinstance(value, np.ndarray):
        _fill_from_array(result, value)
    elif isinstance(value, bool | int | np.integer):
        result.i = int(value)
    elif isinstance(value, float | np.floating):
        result.f = float(value)
    elif isinstance(value, str | bytes):
        result.s = value.encode() if isinstance(value, str) else value
    elif any(isinstance(v, str) for v in value):
        result.strings.extend(str(v).encode() for v in value)
    elif any(isinstance(v, float) for v in value):
        result.floats.extend(float(v) for v in value)
    else:
        result.ints.extend(int(v) for v in value)
    return result


def _fill_from_array(result: Any, array: np.ndarray) -> None:
    if array.dtype != np.float32:
        result.ints.extend(array.astype(np.int64).ravel().tolist())
        return
    result.MergeFromString(_floats(array))


def _floats(array: np.ndarray) -> bytes:
    """The field `floats`. Lists are not packed in Caffe2's format: each has its tag, here written for all at once."""
    wire = np.empty(array.size, dtype=[("tag", "u1"), ("value", "<f4")])
    wire["tag"] = (5 << 3) | 5  # field 5, four bytes
    wire["value"] = array.ravel()
    return wire.tobytes()


def floats_argument(name: str, array: np.ndarray) -> bytes:
    """`argument(name, array)` of float32, as bytes, without the message."""
    header: bytes = Argument(name=name).SerializeToString()
    return header + _floats(array)


def floats_of(arg: Any) -> np.ndarray:
    """The list of floats of an argument, as float32."""
    return np.array(arg.floats, dtype=np.float32)
