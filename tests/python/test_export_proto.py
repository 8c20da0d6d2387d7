"""The messages: the table against the .proto file, values in the right fields, the bytes that are written."""

from __future__ import annotations

import re
import shutil
import struct
import subprocess
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from conftest import ROOT
from google.protobuf import descriptor_pb2

from d2deploy.errors import Unsupported
from d2deploy.nets.files import write_net
from d2deploy.nets.proto import MESSAGES, Argument, NetDef, OperatorDef, argument, floats_of
from d2deploy.nets.weights import InitNet

PROTO = ROOT / "cpp" / "proto" / "caffe2.proto"


def test_the_table_is_that_of_the_proto_file() -> None:
    text = re.sub(r"//.*", "", PROTO.read_text())
    found = {
        message: [
            (int(number), name, kind, label == "repeated")
            for label, kind, name, number in re.findall(r"(optional|repeated) (\w+) (\w+) = (\d+);", body)
        ]
        for message, body in re.findall(r"message (\w+) \{(.*?)\}", text, flags=re.DOTALL)
    }
    assert found == MESSAGES


@pytest.mark.skipif(shutil.which("protoc") is None, reason="protoc is not installed")
def test_the_table_is_what_protoc_reads(tmp_path: Path) -> None:
    out = tmp_path / "set"
    subprocess.run(
        ["protoc", f"--proto_path={PROTO.parent}", f"--descriptor_set_out={out}", PROTO.name], check=True, timeout=60
    )
    (file,) = descriptor_pb2.FileDescriptorSet.FromString(out.read_bytes()).file
    kinds = {
        number: name.removeprefix("TYPE_").lower() for name, number in descriptor_pb2.FieldDescriptorProto.Type.items()
    }
    found = {
        message.name: [
            (f.number, f.name, f.type_name.rsplit(".", 1)[-1] if f.type_name else kinds[f.type], f.label == 3)
            for f in message.field
        ]
        for message in file.message_type
    }
    assert found == MESSAGES


@pytest.mark.parametrize(
    ("value", "field", "stored"),
    [
        (2.5, "f", 2.5),
        (np.float32(2.5), "f", 2.5),
        (0.0, "f", 0.0),
        (7, "i", 7),
        (-1, "i", -1),
        (np.int64(7), "i", 7),
        (True, "i", 1),
        (False, "i", 0),
        ("NCHW", "s", b"NCHW"),
        (b"\xff\0", "s", b"\xff\0"),
        ([1, 2], "ints", [1, 2]),
        ((0, -3), "ints", [0, -3]),
        ([1.0, 2.5], "floats", [1.0, 2.5]),
        ([1, 2.5], "floats", [1.0, 2.5]),
        (["disc", "Ähre"], "strings", [b"disc", "Ähre".encode()]),
        (np.array([[1, 2], [3, 4]]), "ints", [1, 2, 3, 4]),
        (np.array([[1, 2]], np.int32), "ints", [1, 2]),
        (np.array([0.5, -2], np.float32), "floats", [0.5, -2.0]),
        ([], None, None),
        (np.zeros((0, 4), np.float32), None, None),
    ],
)
def test_every_value_lies_in_one_field(value: Any, field: str | None, stored: Any) -> None:
    message = argument("key", value)
    filled = {f.name: v for f, v in Argument.FromString(message.SerializeToString()).ListFields()}
    assert filled.pop("name") == "key"
    found = {name: v if isinstance(stored, (int, float, bytes)) else list(v) for name, v in filled.items()}
    assert found == ({} if field is None else {field: stored})


def test_floats_keep_their_bits_and_are_not_packed() -> None:
    special = [0.0, -0.0, np.inf, -np.inf, np.nan, 1e-45, 3.4028235e38, 1 / 3]
    values = np.array([*special, *np.random.default_rng(0).normal(size=1000)], np.float32)
    message = argument("values", values.reshape(-1, 4))
    wire = message.SerializeToString()
    head = b"\x0a\x06values"  # field 1, six bytes
    assert wire == head + b"".join(b"\x2d" + struct.pack("<f", v) for v in values)
    assert floats_of(Argument.FromString(wire)).tobytes() == values.tobytes()


def test_integers_are_not_packed() -> None:
    wire = argument("shape", [3, 300]).SerializeToString()
    assert wire == b"\x0a\x05shape" + b"\x30\x03" + b"\x30\xac\x02"


def test_nets_have_their_fields_in_order() -> None:
    """Readers such as Netron tell a net by its first bytes."""
    net = NetDef(external_output=["y"], external_input=["x"], op=[OperatorDef(type="Relu", input=["x"], output=["y"])])
    net.arg.append(argument("size_divisibility", 32))
    net.device_option.device_type = 0
    net.name = "net"
    data, at, tags = net.SerializeToString(), 0, []
    while at < len(data):
        tags.append(data[at] >> 3)
        at += 2 + data[at + 1]  # all fields are short strings or messages
    assert tags == [1, 2, 5, 6, 7, 8]


def test_an_init_net_is_what_its_message_is(tmp_path: Path) -> None:
    parameters: dict[str, Any] = {
        "scalar": np.array(2.5, np.float64),
        "map": np.arange(60_000, dtype=np.float32).reshape(3, 2, 10_000),
        "none": np.zeros((0, 4), np.float32),
        "small": np.array([-1, 2**31 - 1], np.int32),
        "large": np.array([[-(2**60)]], np.int64),
    }
    kinds = ["GivenTensorFill"] * 3 + ["GivenTensorIntFill", "GivenTensorInt64Fill"]
    wanted = NetDef(name="d2deploy_init", external_output=list(parameters))
    for kind, (blob, array) in zip(kinds, parameters.items(), strict=True):
        values = array.astype(np.float32) if array.dtype == np.float64 else array
        operator = wanted.op.add(type=kind, output=[blob])
        operator.arg.extend([argument("values", values), argument("shape", list(array.shape))])
    net = InitNet(parameters)
    assert net.message() == wanted
    assert net.shapes() == {blob: list(array.shape) for blob, array in parameters.items()}
    write_net(net, tmp_path / "net.pb")
    assert (tmp_path / "net.pb").read_bytes() == wanted.SerializeToString()
    assert net.size() == wanted.ByteSize()
    with pytest.raises(Unsupported, match="parameter 'w' is bool, must be of floats or integers"):
        InitNet({"w": np.array([True])})
