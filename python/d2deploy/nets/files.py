"""The two files of a model, read into messages and written from them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from google.protobuf import text_format
from google.protobuf.message import DecodeError

from d2deploy.errors import InvalidArgument, InvalidModel, Unsupported
from d2deploy.nets import proto
from d2deploy.nets.weights import InitNet

__all__ = ["constant_shapes", "read_net", "write_net", "write_nets"]

# A protobuf message cannot be larger; a weight takes five bytes.
MAX_BYTES = 2**31 - 1


def read_net(path: Path) -> Any:
    """Reads a NetDef.

    Raises:
        InvalidArgument: the file is missing or cannot be read.
        InvalidModel: it is not a net.
    """
    try:
        data = path.read_bytes()
    except OSError as error:
        raise InvalidArgument(f"{path}: cannot be read: {error.strerror}") from error
    net = proto.NetDef()
    try:
        net.ParseFromString(data)
    except DecodeError as error:
        raise InvalidModel(f"{path}: is not a Caffe2 net, or is damaged") from error
    if not net.op:
        raise InvalidModel(f"{path}: holds no operators; is it a Caffe2 net?")
    return net


def write_nets(predict_net: Any, init_net: Any, folder: Path) -> None:
    """Writes `model.pb`, `model_init.pb` and `model.pbtxt`, the predict net as text.

    Args:
        predict_net: a NetDef.
        init_net: a NetDef, or an InitNet.
        folder: made where it is missing.

    Raises:
        Unsupported: the weights are more than a protobuf file can hold.
        InvalidArgument: the folder cannot be written.
    """
    size = max(net.size() if isinstance(net, InitNet) else net.ByteSize() for net in (predict_net, init_net))
    if size > MAX_BYTES:
        raise Unsupported(
            f"the model takes {size} bytes, a protobuf file holds {MAX_BYTES} at most (about 429 million weights); "
            "use a smaller backbone"
        )
    try:
        folder.mkdir(parents=True, exist_ok=True)
        write_net(predict_net, folder / "model.pb")
        write_net(init_net, folder / "model_init.pb")
        (folder / "model.pbtxt").write_text(text_format.MessageToString(predict_net))
    except OSError as error:
        raise InvalidArgument(f"{folder}: cannot be written: {error.strerror}; choose another folder") from error


def write_net(net: Any, path: Path) -> None:
    """Writes a NetDef, or an InitNet."""
    with path.open("wb") as file:
        file.writelines(net.parts() if isinstance(net, InitNet) else [net.SerializeToString()])


def constant_shapes(init_net: Any) -> dict[str, list[int | str]]:
    """The shapes of the tensors that an init net makes, by blob."""
    if isinstance(init_net, InitNet):
        return init_net.shapes()
    return {
        blob: list(argument.ints)
        for operator in init_net.op
        for argument in operator.arg
        if argument.name == "shape"
        for blob in operator.output
    }
