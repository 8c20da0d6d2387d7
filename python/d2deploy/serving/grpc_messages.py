"""The messages of the service inference.GRPCInferenceService, and what stands in them.

The table is the wire format of the Open Inference Protocol v2 with the extension model_repository. The descriptors are
made of it here, in a pool of our own: any protobuf from 5 on serves, and the stubs of a client may live in the same
process.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from google.protobuf import descriptor_pb2, descriptor_pool, message_factory
from google.protobuf.message import DecodeError

from d2deploy.errors import InvalidArgument, Unsupported
from d2deploy.serving.errors import TooLarge
from d2deploy.serving.protocol import MOST_TENSORS, SHARED_MEMORY, InferRequest, InferResponse, Output, check_stateless
from d2deploy.serving.tensors import Tensor, checked_shape, from_binary, from_json, to_binary

__all__ = ["MESSAGES", "METHODS", "SERVICE", "decode", "encode", "message_class", "parse"]

Field = descriptor_pb2.FieldDescriptorProto
SERVICE = "inference.GRPCInferenceService"

# Message -> (number, name, type). `repeated T` is a list, `map T` has texts for keys; of fields `oneof T` one is set.
# A name with a dot is a message inside of another.
MESSAGES: dict[str, list[tuple[int, str, str]]] = {
    "ServerLiveRequest": [],
    "ServerLiveResponse": [(1, "live", "bool")],
    "ServerReadyRequest": [],
    "ServerReadyResponse": [(1, "ready", "bool")],
    "ModelReadyRequest": [(1, "name", "string"), (2, "version", "string")],
    "ModelReadyResponse": [(1, "ready", "bool")],
    "ServerMetadataRequest": [],
    "ServerMetadataResponse": [(1, "name", "string"), (2, "version", "string"), (3, "extensions", "repeated string")],
    "ModelMetadataRequest": [(1, "name", "string"), (2, "version", "string")],
    "ModelMetadataResponse": [
        (1, "name", "string"),
        (2, "versions", "repeated string"),
        (3, "platform", "string"),
        (4, "inputs", "repeated ModelMetadataResponse.TensorMetadata"),
        (5, "outputs", "repeated ModelMetadataResponse.TensorMetadata"),
    ],
    "ModelMetadataResponse.TensorMetadata": [
        (1, "name", "string"),
        (2, "datatype", "string"),
        (3, "shape", "repeated int64"),
    ],
    "InferParameter": [
        (1, "bool_param", "oneof bool"),
        (2, "int64_param", "oneof int64"),
        (3, "string_param", "oneof string"),
        (4, "double_param", "oneof double"),
        (5, "uint64_param", "oneof uint64"),
    ],
    # What a tensor holds where it does not come as raw bytes: the one list that suits its datatype.
    "InferTensorContents": [
        (1, "bool_contents", "repeated bool"),
        (2, "int_contents", "repeated int32"),
        (3, "int64_contents", "repeated int64"),
        (4, "uint_contents", "repeated uint32"),
        (5, "uint64_contents", "repeated uint64"),
        (6, "fp32_contents", "repeated float"),
        (7, "fp64_contents", "repeated double"),
        (8, "bytes_contents", "repeated bytes"),
    ],
    "ModelInferRequest": [
        (1, "model_name", "string"),
        (2, "model_version", "string"),
        (3, "id", "string"),
        (4, "parameters", "map InferParameter"),
        (5, "inputs", "repeated ModelInferRequest.InferInputTensor"),
        (6, "outputs", "repeated ModelInferRequest.InferRequestedOutputTensor"),
        (7, "raw_input_contents", "repeated bytes"),
    ],
    "ModelInferRequest.InferInputTensor": [
        (1, "name", "string"),
        (2, "datatype", "string"),
        (3, "shape", "repeated int64"),
        (4, "parameters", "map InferParameter"),
        (5, "contents", "InferTensorContents"),
    ],
    "ModelInferRequest.InferRequestedOutputTensor": [(1, "name", "string"), (2, "parameters", "map InferParameter")],
    "ModelInferResponse": [
        (1, "model_name", "string"),
        (2, "model_version", "string"),
        (3, "id", "string"),
        (4, "parameters", "map InferParameter"),
        (5, "outputs", "repeated ModelInferResponse.InferOutputTensor"),
        (6, "raw_output_contents", "repeated bytes"),
    ],
    "ModelInferResponse.InferOutputTensor": [
        (1, "name", "string"),
        (2, "datatype", "string"),
        (3, "shape", "repeated int64"),
        (4, "parameters", "map InferParameter"),
        (5, "contents", "InferTensorContents"),
    ],
    "ModelRepositoryParameter": [
        (1, "bool_param", "oneof bool"),
        (2, "int64_param", "oneof int64"),
        (3, "string_param", "oneof string"),
        (4, "bytes_param", "oneof bytes"),
    ],
    "RepositoryIndexRequest": [(1, "repository_name", "string"), (2, "ready", "bool")],
    "RepositoryIndexResponse": [(1, "models", "repeated RepositoryIndexResponse.ModelIndex")],
    "RepositoryIndexResponse.ModelIndex": [
        (1, "name", "string"),
        (2, "version", "string"),
        (3, "state", "string"),
        (4, "reason", "string"),
    ],
    "RepositoryModelLoadRequest": [
        (1, "repository_name", "string"),
        (2, "model_name", "string"),
        (3, "parameters", "map ModelRepositoryParameter"),
    ],
    "RepositoryModelLoadResponse": [],
    "RepositoryModelUnloadRequest": [
        (1, "repository_name", "string"),
        (2, "model_name", "string"),
        (3, "parameters", "map ModelRepositoryParameter"),
    ],
    "RepositoryModelUnloadResponse": [],
}
# Each takes <method>Request and gives <method>Response; ModelInfer's are above.
METHODS = (
    *("ServerLive", "ServerReady", "ModelReady", "ServerMetadata", "ModelMetadata", "ModelInfer"),
    *("RepositoryIndex", "RepositoryModelLoad", "RepositoryModelUnload"),
)
# Where a datatype stands in InferTensorContents.
CONTENTS = {
    "BOOL": "bool_contents",
    **dict.fromkeys(("INT8", "INT16", "INT32"), "int_contents"),
    "INT64": "int64_contents",
    **dict.fromkeys(("UINT8", "UINT16", "UINT32"), "uint_contents"),
    "UINT64": "uint64_contents",
    "FP32": "fp32_contents",
    "FP64": "fp64_contents",
    "BYTES": "bytes_contents",
}


def _pool() -> descriptor_pool.DescriptorPool:
    file = descriptor_pb2.FileDescriptorProto(name="d2deploy/inference.proto", package="inference", syntax="proto3")
    entries: dict[str, Any] = {}
    for message, fields in MESSAGES.items():
        outer, dot, inner = message.partition(".")
        entry = entries[outer].nested_type.add(name=inner) if dot else file.message_type.add(name=outer)
        entries[message] = entry
        for number, name, kind in fields:
            _add(entry, f".inference.{message}", number, name, kind)
    pool = descriptor_pool.DescriptorPool()
    pool.Add(file)
    return pool


def _add(entry: Any, full_name: str, number: int, name: str, words: str) -> None:
    rule, _, kind = words.rpartition(" ")
    if rule == "map":  # in the wire format a list of pairs
        pair = "".join(word.capitalize() for word in name.split("_")) + "Entry"
        nested = entry.nested_type.add(name=pair)
        nested.options.map_entry = True
        _add(nested, "", 1, "key", "string")
        _add(nested, "", 2, "value", kind)
        kind, type_name = "message", f"{full_name}.{pair}"
    elif kind in MESSAGES:
        kind, type_name = "message", f".inference.{kind}"
    else:
        type_name = ""
    field = entry.field.add(name=name, number=number, type=getattr(Field, f"TYPE_{kind.upper()}"))
    field.label = Field.LABEL_REPEATED if rule in ("map", "repeated") else Field.LABEL_OPTIONAL
    if type_name:
        field.type_name = type_name
    if rule == "oneof":
        if not entry.oneof_decl:
            entry.oneof_decl.add(name="parameter_choice")
        field.oneof_index = 0


_POOL = _pool()


def message_class(name: str) -> Any:
    """The class of a message of the package."""
    return message_factory.GetMessageClass(_POOL.FindMessageTypeByName(f"inference.{name}"))


def parse(data: bytes) -> Any:
    """The ModelInferRequest of these bytes. Raises InvalidArgument."""
    try:
        return message_class("ModelInferRequest").FromString(data)
    except DecodeError as error:
        raise InvalidArgument("the request is no ModelInferRequest: its bytes are damaged") from error


def decode(message: Any) -> InferRequest:
    """Reads a ModelInferRequest.

    Raises:
        InvalidArgument: what is in it does not agree.
        TooLarge: it has too many tensors.
        Unsupported: it wants an extension that is not here.
    """
    raw = message.raw_input_contents
    if not message.inputs:
        raise InvalidArgument("inputs are missing")
    if max(len(message.inputs), len(message.outputs)) > MOST_TENSORS:
        raise TooLarge(f"a request has at most {MOST_TENSORS} inputs and outputs")
    if raw and len(raw) != len(message.inputs):
        raise InvalidArgument(f"raw_input_contents has {len(raw)} entries for {len(message.inputs)} inputs")
    parameters = dict(_parameters(message.parameters))
    check_stateless(parameters)
    inputs: dict[str, Tensor] = {}
    for number, entry in enumerate(message.inputs):
        name = entry.name
        if SHARED_MEMORY in entry.parameters:
            raise Unsupported(f"input {name!r}: shared memory is not available; send the tensor's bytes")
        if name in inputs:
            raise InvalidArgument(f"input {name!r}: stands twice")
        if raw and entry.HasField("contents"):
            raise InvalidArgument(f"input {name!r}: has both contents and raw_input_contents, wanted one of them")
        shape = checked_shape(name, entry.datatype, list(entry.shape))
        inputs[name] = (
            from_binary(name, entry.datatype, shape, raw[number])
            if raw
            else _from_contents(name, entry.datatype, shape, entry.contents)
        )
    outputs = []
    for entry in message.outputs:
        if "classification" in entry.parameters:
            raise Unsupported(f"output {entry.name!r}: the extension classification is not available; leave it out")
        if SHARED_MEMORY in entry.parameters:
            raise Unsupported(f"output {entry.name!r}: shared memory is not available")
        outputs.append(Output(entry.name, True))
    return InferRequest(message.id, parameters, inputs, outputs, True)


def _parameters(entries: Any) -> Iterator[tuple[str, Any]]:
    for name, value in entries.items():
        choice = value.WhichOneof("parameter_choice")
        yield name, getattr(value, choice) if choice else None


def _from_contents(name: str, datatype: str, shape: tuple[int, ...], contents: Any) -> Tensor:
    given = [field.name for field, _ in contents.ListFields()]
    wanted = CONTENTS.get(datatype)
    if wanted is None:
        raise InvalidArgument(f"input {name!r}: {datatype} has no field in contents; send raw_input_contents")
    if given not in ([], [wanted]):
        raise InvalidArgument(f"input {name!r}: {datatype} belongs in {wanted}, got {', '.join(given)}")
    elements = list(getattr(contents, wanted))
    if datatype == "BYTES":
        packed = Tensor(name, datatype, (len(elements),), elements)
        return from_binary(name, datatype, shape, to_binary(packed))
    return from_json(name, datatype, shape, elements)


def encode(response: InferResponse) -> Any:
    """A ModelInferResponse; all tensors are raw bytes, as most clients have it."""
    message = message_class("ModelInferResponse")(
        model_name=response.model, model_version=response.version, id=response.id
    )
    for tensor in response.outputs:
        message.outputs.add(name=tensor.name, datatype=tensor.datatype, shape=tensor.shape)
        message.raw_output_contents.append(to_binary(tensor))
    return message
