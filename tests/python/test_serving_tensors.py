"""Requests of the Open Inference Protocol, read and written: worked ones, hostile ones, and mutations of both."""

from __future__ import annotations

import json
import struct
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

grpc_messages = pytest.importorskip("d2deploy.serving.grpc_messages")  # the extra `serve`
from d2deploy.errors import Error, InvalidArgument, Unsupported  # noqa: E402
from d2deploy.serving import protocol  # noqa: E402
from d2deploy.serving.errors import TooLarge  # noqa: E402
from d2deploy.serving.tensors import DTYPES, Tensor, from_binary, from_json, to_binary, to_json  # noqa: E402

MIB = 1 << 20
FP32 = {"name": "x", "shape": [2, 2], "datatype": "FP32"}


def body_of(*inputs: Any, tail: bytes = b"", **more: Any) -> tuple[bytes, str | None]:
    head = json.dumps({"inputs": list(inputs), **more}).encode()
    return head + tail, (str(len(head)) if tail else None)


def decode(*inputs: Any, tail: bytes = b"", **more: Any) -> protocol.InferRequest:
    return protocol.decode(*body_of(*inputs, tail=tail, **more), MIB)


def binary(entry: dict[str, Any], size: Any) -> dict[str, Any]:
    return {**entry, "parameters": {"binary_data_size": size}}


# ---- Worked ------------------------------------------------------------------------------------------


def test_numbers_in_json() -> None:
    flat = decode({**FP32, "data": [1, 2.5, -3, 4e2]}, id="7", parameters={"threshold": 0.5})
    nested = decode({**FP32, "data": [[1, 2.5], [-3, 4e2]]})
    assert flat.id == "7"
    assert flat.parameters == {"threshold": 0.5}
    for request in (flat, nested):
        assert request.inputs["x"].array.dtype == np.float32
        assert request.inputs["x"].array.tolist() == [[1, 2.5], [-3, 400]]


def test_bytes_behind_json() -> None:
    values = np.array([[1, 2], [3, 4]], "<u2")
    text = struct.pack("<I", 2) + b"ab" + struct.pack("<I", 0)
    request = decode(
        binary({"name": "n", "shape": [2, 2], "datatype": "UINT16"}, 8),
        {**FP32, "data": [0, 0, 0, 0]},
        binary({"name": "t", "shape": [2], "datatype": "BYTES"}, len(text)),
        tail=values.tobytes() + text,
        outputs=[{"name": "a", "parameters": {"binary_data": False}}, {"name": "b"}],
    )
    assert (request.inputs["n"].array == values).all()
    assert request.inputs["t"].elements == [b"ab", b""]
    assert request.outputs == [protocol.Output("a", False), protocol.Output("b", None)]


def test_an_answer_in_json_and_bytes() -> None:
    boxes = Tensor("boxes", "FP32", (1, 2), np.array([[1, 2]], np.float32))
    texts = Tensor("masks", "BYTES", (2,), [b"ab", b"c"])
    response = protocol.InferResponse("m", "3", "7", [boxes, texts])
    plain, length = protocol.encode(response, protocol.InferRequest("7", {}, {}))
    assert length is None
    assert json.loads(plain) == {
        "model_name": "m",
        "model_version": "3",
        "id": "7",
        "outputs": [
            {"name": "boxes", "datatype": "FP32", "shape": [1, 2], "data": [1, 2]},
            {"name": "masks", "datatype": "BYTES", "shape": [2], "data": ["ab", "c"]},
        ],
    }
    mixed, length = protocol.encode(
        response, protocol.InferRequest("7", {}, {}, [protocol.Output("boxes", False)], True)
    )
    assert length is not None
    rows = json.loads(mixed[:length])["outputs"]
    assert rows[0]["data"] == [1, 2]
    assert rows[1]["parameters"] == {"binary_data_size": 11}
    assert mixed[length:] == struct.pack("<I", 2) + b"ab" + struct.pack("<I", 1) + b"c"


@pytest.mark.parametrize("values", [np.array([np.nan], np.float32), np.array([1], np.float16)])
def test_json_has_no_form_for_some_values(values: Any) -> None:
    name = {2: "FP16", 4: "FP32"}[values.itemsize]
    with pytest.raises(InvalidArgument, match="ask for it with binary_data"):
        to_json(Tensor("y", name, values.shape, values))


@given(st.sampled_from(sorted(DTYPES)), st.data())
def test_bytes_come_back(datatype: str, data: st.DataObject) -> None:
    array = data.draw(hnp.arrays(DTYPES[datatype], hnp.array_shapes(min_dims=0, min_side=0, max_side=4)))
    tensor = Tensor("x", datatype, array.shape, array)
    again = from_binary("x", datatype, array.shape, to_binary(tensor))
    assert again.array.tobytes() == array.tobytes()
    assert again.array.shape == array.shape
    if datatype != "FP16" and np.isfinite(array).all():
        assert from_json("x", datatype, array.shape, json.loads(json.dumps(to_json(tensor)))).array.tolist() == (
            array.tolist()
        )


@given(st.lists(st.binary(max_size=9), max_size=5))
def test_texts_come_back(elements: list[bytes]) -> None:
    tensor = Tensor("x", "BYTES", (len(elements),), elements)
    assert from_binary("x", "BYTES", tensor.shape, to_binary(tensor)).elements == elements


# ---- Hostile -----------------------------------------------------------------------------------------

HOSTILE: dict[str, tuple[type[Error], str, tuple[Any, ...], dict[str, Any]]] = {
    "no inputs": (InvalidArgument, "inputs is", (), {}),
    "input is no object": (InvalidArgument, "must be a JSON object", (3,), {}),
    "too many inputs": (TooLarge, "65 entries", tuple([{**FP32, "data": []}] * 65), {}),
    "twice": (InvalidArgument, "stands twice", ({**FP32, "data": [1] * 4}, {**FP32, "data": [1] * 4}), {}),
    "long name": (InvalidArgument, "at most 256", ({**FP32, "name": "x" * 257, "data": []},), {}),
    "no name": (InvalidArgument, "name is None", ({"shape": [1]},), {}),
    "unknown type": (InvalidArgument, "datatype is 'FP8'", ({**FP32, "datatype": "FP8", "data": [1]},), {}),
    "type is a list": (InvalidArgument, "datatype is", ({**FP32, "datatype": ["FP32"], "data": [1]},), {}),
    "negative side": (InvalidArgument, "at least 0", ({**FP32, "shape": [-1, 4], "data": [1]},), {}),
    "flag as side": (InvalidArgument, "integers", ({**FP32, "shape": [True, 4], "data": [1]},), {}),
    "shape is text": (InvalidArgument, "shape is '44'", ({**FP32, "shape": "44", "data": [1]},), {}),
    "nine dimensions": (InvalidArgument, "at most 8", ({**FP32, "shape": [1] * 9, "data": [1]},), {}),
    "huge shape": (TooLarge, "elements", ({**FP32, "shape": [1 << 40, 1 << 40], "data": [1]},), {}),
    "huge shape with 0": (TooLarge, "elements", ({**FP32, "shape": [0, 1 << 40], "data": []},), {}),
    "too few": (InvalidArgument, "4 elements, data has 3", ({**FP32, "data": [1, 2, 3]},), {}),
    "too many": (InvalidArgument, "4 elements, data has 5", ({**FP32, "data": [[1, 2, 3, 4, 5, 6]]},), {}),
    "no data": (InvalidArgument, "data is None", (FP32,), {}),
    "null": (InvalidArgument, "holds None", ({**FP32, "data": [1, 2, 3, None]},), {}),
    "text for number": (InvalidArgument, "holds '4'", ({**FP32, "data": [1, 2, 3, "4"]},), {}),
    "flag for number": (InvalidArgument, "holds True", ({**FP32, "data": [1, 2, 3, True]},), {}),
    "float for integer": (InvalidArgument, "no INT8", ({**FP32, "datatype": "INT8", "data": [1, 2, 3, 0.5]},), {}),
    "beyond INT8": (InvalidArgument, "cannot hold", ({**FP32, "datatype": "INT8", "data": [1, 2, 3, 300]},), {}),
    "below UINT64": (InvalidArgument, "cannot hold", ({**FP32, "datatype": "UINT64", "data": [1, 2, 3, -1]},), {}),
    "beyond FP32": (InvalidArgument, "cannot hold", ({**FP32, "data": [1, 2, 3, 1e39]},), {}),
    "huge integer": (InvalidArgument, "cannot hold", ({**FP32, "data": [1, 2, 3, 10**400]},), {}),
    "FP16 in JSON": (InvalidArgument, "FP16 has no form", ({**FP32, "datatype": "FP16", "data": [1] * 4},), {}),
    "deep data": (
        InvalidArgument,
        "more than 8 levels",
        ({**FP32, "data": [[[[[[[[[1]]]]]]]]]},),
        {},
    ),
    "size lies up": (InvalidArgument, "binary_data_size is 17, 16 bytes", (binary(FP32, 17),), {"tail": bytes(16)}),
    "size lies down": (InvalidArgument, "takes 16 bytes, got 15", (binary(FP32, 15),), {"tail": bytes(16)}),
    "bytes left": (InvalidArgument, "3 bytes are left behind the tensors", (binary(FP32, 16),), {"tail": bytes(19)}),
    "negative size": (InvalidArgument, "binary_data_size is -1", (binary(FP32, -1),), {"tail": bytes(16)}),
    "size is text": (InvalidArgument, "binary_data_size is '16'", (binary(FP32, "16"),), {"tail": bytes(16)}),
    "size and data": (InvalidArgument, "both", ({**binary(FP32, 16), "data": [1] * 4},), {"tail": bytes(16)}),
    "BOOL of 2": (
        InvalidArgument,
        "bytes of 0 or 1",
        (binary({**FP32, "datatype": "BOOL"}, 4),),
        {"tail": b"\0\1\2\1"},
    ),
    "long element": (
        InvalidArgument,
        "element 0 is longer",
        (binary({"name": "x", "shape": [1], "datatype": "BYTES"}, 6),),
        {"tail": struct.pack("<I", 1 << 31) + b"ab"},
    ),
    "elements missing": (
        InvalidArgument,
        "take at least 4000 bytes",
        (binary({"name": "x", "shape": [1000], "datatype": "BYTES"}, 4),),
        {"tail": bytes(4)},
    ),
    "elements left": (
        InvalidArgument,
        "4 bytes are left behind its 1",
        (binary({"name": "x", "shape": [1], "datatype": "BYTES"}, 8),),
        {"tail": bytes(8)},
    ),
    "shared memory": (
        Unsupported,
        "shared memory",
        ({**FP32, "parameters": {"shared_memory_region": "r"}},),
        {},
    ),
    "classification": (
        Unsupported,
        "classification",
        ({**FP32, "data": [1] * 4},),
        {"outputs": [{"name": "y", "parameters": {"classification": 2}}]},
    ),
    "flag is text": (
        InvalidArgument,
        "binary_data is 'yes'",
        ({**FP32, "data": [1] * 4},),
        {"outputs": [{"name": "y", "parameters": {"binary_data": "yes"}}]},
    ),
    "id is a number": (InvalidArgument, "id is 3", ({**FP32, "data": [1] * 4},), {"id": 3}),
    "parameters": (InvalidArgument, "must be a JSON object", ({**FP32, "data": [1] * 4},), {"parameters": [1]}),
}


@pytest.mark.parametrize("name", HOSTILE)
def test_a_hostile_request_is_refused(name: str) -> None:
    kind, message, inputs, more = HOSTILE[name]
    with pytest.raises(kind, match=message):
        decode(*inputs, **more)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (b"", "is not JSON"),
        (b"\xff{}", "is not JSON"),
        (b'{"inputs": [NaN]}', "NaN is no number"),
        (b'{"inputs": [-Infinity]}', "Infinity is no number"),
        (b"[" * 100_000, "is not JSON: it is nested too deeply|is not JSON"),
        (b'{"a":' * 50_000, "is not JSON"),
        (b"1" * 10_000, "is not JSON"),  # more digits than Python turns into a number
        (b"[1]", "must be a JSON object"),
    ],
)
def test_text_that_is_no_request(text: bytes, message: str) -> None:
    with pytest.raises(InvalidArgument, match=message):
        protocol.decode(text, None, MIB)


@pytest.mark.parametrize("length", ["-1", "x", "1e3", "99999999999999999999", "4", "٣"])
def test_a_length_of_the_json_that_lies(length: str) -> None:
    with pytest.raises(InvalidArgument, match="Inference-Header-Content-Length"):
        protocol.decode(b"{}", length, MIB)


def test_null_is_what_was_not_set() -> None:
    """Clients made of classes write it, as pydantic's."""
    entry = {"name": "x", "datatype": "FP32", "shape": [1], "data": [1.5], "parameters": None}
    body = {"id": None, "parameters": None, "inputs": [entry], "outputs": [{"name": "y", "parameters": None}]}
    request = protocol.decode(json.dumps(body).encode(), None, 1 << 20)
    assert (request.id, request.parameters, request.outputs[0].binary) == ("", {}, None)
    assert request.inputs["x"].array.tolist() == [1.5]
    assert protocol.decode(json.dumps({**body, "outputs": None}).encode(), None, 1 << 20).outputs == []


def test_too_much_json() -> None:
    body, _ = body_of({**FP32, "data": [1] * 4})
    with pytest.raises(TooLarge, match="send tensors as binary data"):
        protocol.decode(body, None, len(body) - 1)


def test_half_a_character_does_no_harm() -> None:
    tensor = rb'{"name": "x", "datatype": "BYTES", "shape": [1], "data": ["\udfff"]}'
    request = protocol.decode(rb'{"id": "\ud800", "inputs": [' + tensor + b"]}", None, MIB)
    assert request.inputs["x"].elements == [b"?"]
    protocol.encode(protocol.InferResponse("m", "1", request.id), request)[0].decode("utf-8")


# ---- gRPC --------------------------------------------------------------------------------------------


def message_of(**values: Any) -> Any:
    return grpc_messages.message_class("ModelInferRequest")(model_name="m", **values)


@pytest.mark.parametrize("identity", [5, "five"])
def test_sequences_are_refused(identity: int | str) -> None:
    values = {**FP32, "data": [1, 2, 3, 4]}
    with pytest.raises(Unsupported, match="sequences is not available"):
        decode(values, parameters={"sequence_id": identity})
    for none in (0, ""):
        assert decode(values, parameters={"sequence_id": none}).inputs
    message = message_of(
        inputs=[{"name": "x", "datatype": "FP32", "shape": [1], "contents": {"fp32_contents": [1]}}],
        parameters={"sequence_id": {"int64_param" if isinstance(identity, int) else "string_param": identity}},
    )
    with pytest.raises(Unsupported, match="sequences is not available"):
        grpc_messages.decode(message)


def test_a_message_with_raw_contents_and_one_with_typed_ones() -> None:
    raw = message_of(
        id="7",
        parameters={"threshold": {"double_param": 0.5}, "flag": {"bool_param": True}},
        inputs=[{"name": "x", "datatype": "FP32", "shape": [1, 2]}],
        outputs=[{"name": "y"}],
        raw_input_contents=[struct.pack("<2f", 1, 2)],
    )
    typed = message_of(
        inputs=[
            {"name": "x", "datatype": "FP32", "shape": [1, 2], "contents": {"fp32_contents": [1, 2]}},
            {"name": "t", "datatype": "BYTES", "shape": [2], "contents": {"bytes_contents": [b"a", b"\xff\0"]}},
            {"name": "i", "datatype": "INT8", "shape": [1], "contents": {"int_contents": [-5]}},
        ]
    )
    request = grpc_messages.decode(grpc_messages.parse(raw.SerializeToString()))
    assert (request.id, request.parameters) == ("7", {"threshold": 0.5, "flag": True})
    assert request.outputs == [protocol.Output("y", True)]
    assert request.inputs["x"].array.tolist() == [[1, 2]]
    request = grpc_messages.decode(typed)
    assert request.inputs["x"].array.tolist() == [[1, 2]]
    assert request.inputs["t"].elements == [b"a", b"\xff\0"]
    assert request.inputs["i"].array.dtype == np.int8


@pytest.mark.parametrize(
    ("message", "values"),
    [
        ("inputs are missing", {}),
        ("2 entries for 1", {"inputs": [FP32], "raw_input_contents": [b"", b""]}),
        ("takes 16 bytes, got 3", {"inputs": [FP32], "raw_input_contents": [b"abc"]}),
        (
            "both contents and raw",
            {"inputs": [{**FP32, "contents": {"fp32_contents": [1]}}], "raw_input_contents": [bytes(16)]},
        ),
        ("belongs in fp32_contents, got int_contents", {"inputs": [{**FP32, "contents": {"int_contents": [1] * 4}}]}),
        ("4 elements, data has 0", {"inputs": [FP32]}),
        ("FP16 has no field", {"inputs": [{**FP32, "datatype": "FP16"}]}),
        ("at least 0", {"inputs": [{**FP32, "shape": [-4]}], "raw_input_contents": [bytes(16)]}),
        (
            "cannot hold",
            {"inputs": [{**FP32, "datatype": "INT8", "shape": [1], "contents": {"int_contents": [300]}}]},
        ),
        ("stands twice", {"inputs": [FP32, FP32], "raw_input_contents": [bytes(16), bytes(16)]}),
    ],
)
def test_a_hostile_message_is_refused(message: str, values: dict[str, Any]) -> None:
    with pytest.raises(InvalidArgument, match=message):
        grpc_messages.decode(message_of(**values))


def test_too_many_tensors_and_shared_memory_in_a_message() -> None:
    with pytest.raises(TooLarge, match="at most 64"):
        grpc_messages.decode(message_of(inputs=[FP32] * 65))
    with pytest.raises(Unsupported, match="shared memory"):
        grpc_messages.decode(
            message_of(inputs=[{**FP32, "parameters": {"shared_memory_region": {"string_param": "r"}}}])
        )
    with pytest.raises(Unsupported, match="classification"):
        grpc_messages.decode(
            message_of(
                inputs=[FP32],
                raw_input_contents=[bytes(16)],
                outputs=[{"name": "y", "parameters": {"classification": {"int64_param": 1}}}],
            )
        )


# ---- Fuzzing -----------------------------------------------------------------------------------------

KEYS = st.sampled_from(
    [
        *("inputs", "outputs", "parameters", "name", "datatype", "shape", "data", "id"),
        *("binary_data_size", "binary_data", "binary_data_output", "classification"),
    ]
)
LEAVES = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(-2, 20),
    st.integers(),
    st.floats(),
    st.text(max_size=5),
    st.sampled_from([*DTYPES, "BYTES", "x", "image"]),
)
VALUES = st.recursive(
    LEAVES, lambda inner: st.lists(inner, max_size=5) | st.dictionaries(KEYS, inner, max_size=6), max_leaves=40
)
INPUTS = st.fixed_dictionaries(
    {"name": LEAVES, "datatype": LEAVES, "shape": st.lists(st.integers(0, 3), max_size=3) | VALUES},
    optional={"data": VALUES, "parameters": st.dictionaries(KEYS, st.integers(0, 20) | VALUES, max_size=3)},
)
REQUESTS = st.fixed_dictionaries(
    {"inputs": st.lists(INPUTS, max_size=3) | VALUES}, optional={"outputs": VALUES, "parameters": VALUES, "id": VALUES}
)


def answered(decode: Any) -> None:
    """It gives a request whose tensors are what they say, or raises an error that clients are told."""
    try:
        request = decode()
    except Error as error:
        refusal = str(error)
    else:
        refusal = ""
        check_tensors(request)
    assert len(refusal) < 1000


def check_tensors(request: protocol.InferRequest) -> None:
    for tensor in request.inputs.values():
        if tensor.datatype == "BYTES":
            assert len(tensor.elements) == np.prod(tensor.shape, dtype=int)
        else:
            assert tensor.array.shape == tensor.shape
            assert tensor.array.dtype == DTYPES[tensor.datatype]


@given(REQUESTS | VALUES, st.binary(max_size=40))
def test_any_json_is_read_or_refused(value: Any, tail: bytes) -> None:
    head = json.dumps(value).encode()
    answered(lambda: protocol.decode(head + tail, str(len(head)) if tail else None, MIB))


GOOD, GOOD_LENGTH = body_of(
    binary(FP32, 16),
    binary({"name": "t", "shape": [2], "datatype": "BYTES"}, 11),
    tail=bytes(16) + struct.pack("<I", 2) + b"ab" + struct.pack("<I", 1) + b"c",
)


@given(st.lists(st.tuples(st.integers(0, len(GOOD) - 1), st.integers(0, 255)), max_size=4), st.integers(0, len(GOOD)))
def test_a_damaged_request_is_read_or_refused(changes: list[tuple[int, int]], end: int) -> None:
    body = bytearray(GOOD)
    for place, value in changes:
        body[place] = value
    answered(lambda: protocol.decode(bytes(body), GOOD_LENGTH, MIB))
    answered(lambda: protocol.decode(bytes(body[:end]), GOOD_LENGTH, MIB))


GOOD_MESSAGE: bytes = message_of(
    inputs=[FP32, {"name": "t", "datatype": "BYTES", "shape": [1]}],
    outputs=[{"name": "y"}],
    raw_input_contents=[bytes(16), struct.pack("<I", 1) + b"a"],
).SerializeToString()


@given(st.lists(st.tuples(st.integers(0, len(GOOD_MESSAGE) - 1), st.integers(0, 255)), max_size=4), st.binary())
def test_a_damaged_message_is_read_or_refused(changes: list[tuple[int, int]], more: bytes) -> None:
    data = bytearray(GOOD_MESSAGE)
    for place, value in changes:
        data[place] = value
    answered(lambda: grpc_messages.decode(grpc_messages.parse(bytes(data))))
    answered(lambda: grpc_messages.decode(grpc_messages.parse(more)))
