"""Requests and responses of the Open Inference Protocol v2 as they go over HTTP: JSON, and binary tensors behind it."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, NoReturn

from d2deploy.errors import InvalidArgument, Unsupported
from d2deploy.serving.errors import TooLarge
from d2deploy.serving.tensors import Tensor, checked_shape, from_binary, from_json, shown, to_binary, to_json

__all__ = ["InferRequest", "InferResponse", "Output", "check_stateless", "decode", "encode", "load_json"]

MOST_TENSORS = 64  # in one request
MOST_TEXT = 256  # characters of a name or an id
SHARED_MEMORY = "shared_memory_region"


@dataclass(frozen=True)
class Output:
    """An output that is asked for; `binary`: as bytes, None: as the request says of all."""

    name: str
    binary: bool | None = None


@dataclass(frozen=True)
class InferRequest:
    """A request, of either protocol.

    Attributes:
        id: comes back in the response.
        parameters: flags, numbers and texts by name.
        inputs: by name.
        outputs: those that are asked for; empty: all.
        binary: outputs are wanted as bytes where they do not say it themselves.
    """

    id: str
    parameters: Mapping[str, Any]
    inputs: Mapping[str, Tensor]
    outputs: Sequence[Output] = ()
    binary: bool = False


@dataclass(frozen=True)
class InferResponse:
    """What a model answered, and which one."""

    model: str
    version: str
    id: str
    outputs: Sequence[Tensor] = field(default_factory=tuple)


def load_json(data: bytes | memoryview, what: str = "the request") -> Any:
    """A JSON text's value.

    Raises:
        InvalidArgument: it is none, by the grammar of JSON, which has no NaN.
    """
    try:
        return json.loads(bytes(data).decode("utf-8"), parse_constant=_no_constant)
    except (ValueError, RecursionError) as error:  # of UTF-8 and JSON; integers of thousands of digits; nested lists
        reason = "it is nested too deeply" if isinstance(error, RecursionError) else str(error)
        raise InvalidArgument(f"{what} is not JSON: {reason[:200]}") from error


def _no_constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is no number in JSON")


def check_stateless(parameters: Mapping[str, Any]) -> None:
    """Raises Unsupported where a request, of either protocol, is one of a sequence; the id 0 or "" is of none."""
    if parameters.get("sequence_id"):
        raise Unsupported("the extension sequences is not available: models have no state; leave sequence_id out")


def decode(body: bytes, header_length: str | None, json_bytes: int) -> InferRequest:
    """Reads a request.

    Args:
        body: of HTTP.
        header_length: the header Inference-Header-Content-Length: bytes of JSON, behind which the binary tensors are;
            None: all is JSON.
        json_bytes: the most that the JSON may have.

    Raises:
        InvalidArgument: it is none.
        TooLarge: the JSON is longer.
        Unsupported: it wants an extension that is not here.
    """
    length = len(body)
    if header_length is not None:
        if not (header_length.isascii() and header_length.isdigit()) or len(header_length) > 18:
            raise InvalidArgument(
                f"Inference-Header-Content-Length is {shown(header_length)}, must be a number of bytes"
            )
        length = int(header_length)
        if length > len(body):
            raise InvalidArgument(f"Inference-Header-Content-Length is {length}, the body has {len(body)} bytes")
    if length > json_bytes:
        raise TooLarge(
            f"the request has {length} bytes of JSON, at most {json_bytes} are taken; send tensors as binary data"
        )
    message = _object(load_json(memoryview(body)[:length]), "the request")
    parameters = _parameters(message, "the request")
    check_stateless(parameters)
    inputs: dict[str, Tensor] = {}
    rest = memoryview(body)[length:]
    for entry in _list(message, "inputs", required=True):
        tensor, rest = _input(_object(entry, "an input"), rest)
        if inputs.setdefault(tensor.name, tensor) is not tensor:
            raise InvalidArgument(f"input {tensor.name!r}: stands twice")
    if len(rest):
        raise InvalidArgument(f"{len(rest)} bytes are left behind the tensors: no binary_data_size tells of them")
    outputs = [_output(_object(entry, "an output")) for entry in _list(message, "outputs")]
    return InferRequest(
        _text(_given(message, "id", ""), "id"),
        parameters,
        inputs,
        outputs,
        _flag(parameters, "binary_data_output", "the request") or False,
    )


def _input(entry: Mapping[str, Any], rest: memoryview) -> tuple[Tensor, memoryview]:
    """An input, and the bytes behind its own."""
    name = _text(entry.get("name"), "an input's name")
    datatype = entry.get("datatype")
    shape = checked_shape(name, datatype, entry.get("shape"))
    parameters = _parameters(entry, f"input {name!r}")
    size = parameters.get("binary_data_size")
    if size is None:
        return from_json(name, str(datatype), shape, entry.get("data")), rest
    if entry.get("data") is not None:
        raise InvalidArgument(f"input {name!r}: has both data and binary_data_size, wanted one of them")
    if type(size) is not int or not 0 <= size <= len(rest):
        raise InvalidArgument(f"input {name!r}: binary_data_size is {shown(size)}, {len(rest)} bytes are left")
    return from_binary(name, str(datatype), shape, rest[:size]), rest[size:]


def _output(entry: Mapping[str, Any]) -> Output:
    name = _text(entry.get("name"), "an output's name")
    parameters = _parameters(entry, f"output {name!r}")
    if parameters.get("classification"):
        raise Unsupported(f"output {name!r}: the extension classification is not available; leave it out")
    return Output(name, _flag(parameters, "binary_data", f"output {name!r}"))


def _object(value: Any, what: str) -> Mapping[str, Any]:
    if not isinstance(value, dict):
        raise InvalidArgument(f"{what} is {shown(value)}, must be a JSON object")
    return value


def _given(entry: Mapping[str, Any], key: str, default: Any) -> Any:
    """What stands under a key that need not be there. Clients made of classes write null for what was not set."""
    value = entry.get(key)
    return default if value is None else value


def _list(message: Mapping[str, Any], key: str, required: bool = False) -> list[Any]:
    value = _given(message, key, None if required else [])
    if not isinstance(value, list) or (required and not value):
        raise InvalidArgument(f"{key} is {shown(value)}, must be a list" + (" that is not empty" if required else ""))
    if len(value) > MOST_TENSORS:
        raise TooLarge(f"{key} has {len(value)} entries, at most {MOST_TENSORS} are taken")
    return value


def _text(value: Any, what: str) -> str:
    if not isinstance(value, str) or len(value) > MOST_TEXT:
        raise InvalidArgument(f"{what} is {shown(value)}, must be a text of at most {MOST_TEXT} characters")
    return value.encode("utf-8", "replace").decode()  # JSON may hold halves of characters, which no answer can


def _parameters(entry: Mapping[str, Any], what: str) -> Mapping[str, Any]:
    parameters = _object(_given(entry, "parameters", {}), f"{what}: parameters")
    if SHARED_MEMORY in parameters:
        raise Unsupported(f"{what}: shared memory is not available; send the tensor's bytes")
    return parameters


def _flag(parameters: Mapping[str, Any], key: str, what: str) -> bool | None:
    value = parameters.get(key)
    if value is not None and not isinstance(value, bool):
        raise InvalidArgument(f"{what}: {key} is {shown(value)}, must be true or false")
    return value


def encode(response: InferResponse, request: InferRequest) -> tuple[bytes, int | None]:
    """The body of the answer, and the bytes of JSON in it where binary tensors stand behind.

    Raises:
        InvalidArgument: JSON cannot hold an output that is wanted so.
    """
    wanted = {output.name: output.binary for output in request.outputs}
    outputs, tail = [], []
    for tensor in response.outputs:
        entry: dict[str, Any] = {"name": tensor.name, "datatype": tensor.datatype, "shape": list(tensor.shape)}
        binary = wanted.get(tensor.name)
        if request.binary if binary is None else binary:
            tail.append(to_binary(tensor))
            entry["parameters"] = {"binary_data_size": len(tail[-1])}
        else:
            entry["data"] = to_json(tensor)
        outputs.append(entry)
    message = {"model_name": response.model, "model_version": response.version, "outputs": outputs}
    if request.id:
        message["id"] = response.id
    head = json.dumps(message, allow_nan=False).encode()
    return b"".join([head, *tail]), (len(head) if tail else None)
