"""Tensors by name out of a checkpoint file of any of the formats."""

from __future__ import annotations

import argparse
import codecs
import logging
import pathlib
import pickle
import re
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors import SafetensorError
from safetensors.torch import load_file

from d2deploy.checkpoint.addresses import local_file
from d2deploy.checkpoint.detectron1 import detectron2_names
from d2deploy.errors import InvalidArgument, InvalidModel, Unsupported
from d2deploy.pickles.reader import read_pickle

# How files begin. Older versions of PyTorch wrote a pickle that starts with this number.
_ZIP = b"PK\x03\x04"
_OLD_TORCH = bytes.fromhex("80028a0a6cfc9c46f9206aa85019")
_WANTED = "wanted: a .pkl of Detectron2's zoo, a .pth of torch.save, or a .safetensors"

_NUMPY = {"scalar": np._core.multiarray.scalar, "_reconstruct": np._core.multiarray._reconstruct}  # type: ignore[attr-defined]
# Where training frameworks keep the weights; of several, the first.
_ENTRIES = ("model", "state_dict", "model_state_dict", "model_ema", "ema_state")
# What stands beside weights and does no harm: PyTorch's reader makes it of plain values. Names of NumPy 1 and 2.
_HARMLESS: list[Any] = [
    np.dtype,
    np.ndarray,
    *{type(np.dtype(code)) for code in "?bhilqBHILQefdSU"},
    *((function, f"numpy.{core}.multiarray.{name}") for core in ("core", "_core") for name, function in _NUMPY.items()),
    (codecs.encode, "_codecs.encode"),
    argparse.Namespace,
    pathlib.PurePosixPath,
    pathlib.PureWindowsPath,
    (pathlib.PurePosixPath, "pathlib.PosixPath"),
    (pathlib.PureWindowsPath, "pathlib.WindowsPath"),
]
_MAX_DEPTH = 4  # of dicts around the weights
_LOGGER = logging.getLogger(__name__)

BACKBONE_ALONE = (
    "holds a backbone to start training from, and no detector; give the weights that were trained with the "
    "configuration, for those of the zoo `zoo_weights(name)` tells where they are"
)


def load_checkpoint(address: str | Path) -> dict[str, torch.Tensor]:
    """The tensors of a checkpoint by name, on the CPU, of the types that they are stored in.

    Args:
        address: Path of a file, or https://... or detectron2://..., which are downloaded once.

    Raises:
        InvalidArgument: There is no such file, or it cannot be downloaded.
        InvalidModel: The file is damaged, of another format, or holds something else than tensors.
        Unsupported: The file holds no detector, or one of Detectron (the predecessor) with layers that are not known.
    """
    path = local_file(address)
    tensors = _read(path)
    strange = [name for name, value in tensors.items() if not isinstance(name, str) or not torch.is_tensor(value)]
    if strange:
        shown = ", ".join(f"{name!r:.60} ({type(tensors[name]).__name__})" for name in strange[:5])
        raise InvalidModel(
            f"{path}: {len(strange)} entries are not tensors with a name: {shown}; wanted: tensors by name, or "
            '{"model": tensors by name}'
        )
    if not tensors:
        raise InvalidModel(f"{path} holds no tensors")
    return tensors


def _read(path: Path) -> dict[str, Any]:
    try:
        with path.open("rb") as file:
            head = file.read(64)
    except OSError as error:
        raise InvalidArgument(f"cannot read the checkpoint {path}: {error.strerror}") from None
    if not head:
        raise InvalidModel(f"{path} is empty; {_WANTED}")
    if head.startswith(b"version https://git-lfs"):
        raise InvalidModel(f"{path} is a pointer of Git LFS, not the file itself; get it with `git lfs pull`")
    if head.startswith(_ZIP) or head.startswith(_OLD_TORCH):
        return _from_torch(path)
    if head[8:9] == b"{" and path.suffix != ".pkl":
        return _from_safetensors(path)
    if head.startswith(b"\x80") or path.suffix == ".pkl":
        return _from_pickle(path)
    raise InvalidModel(f"{path} is not a checkpoint (its first bytes are {head[:8]!r}); {_WANTED}")


def _from_safetensors(path: Path) -> dict[str, Any]:
    try:
        return dict(load_file(path))
    except (SafetensorError, OSError, ValueError) as error:
        raise InvalidModel(f"{path}: damaged or cut off: {error}") from None


def _from_torch(path: Path) -> dict[str, Any]:
    try:
        if zipfile.is_zipfile(path):
            with zipfile.ZipFile(path) as archive:
                if any(entry.compress_type != zipfile.ZIP_STORED for entry in archive.infolist()):
                    raise InvalidModel(f"{path}: refused: its parts are compressed, which torch.save does not do")
        with torch.serialization.safe_globals(_HARMLESS):
            content = torch.load(path, map_location="cpu", weights_only=True)
    except pickle.UnpicklingError as error:
        raise InvalidModel(
            f"{path}: refused: it holds more than tensors, or is damaged ({_refused(str(error))}). Save the tensors "
            'alone: torch.save({"model": model.state_dict()}, "model.pth")'
        ) from None
    except InvalidModel:
        raise
    except Exception as error:  # PyTorch's reader meets damage with whatever Python raises there
        raise InvalidModel(f"{path}: damaged or cut off: {error!s:.300}") from None
    return _state_dict(content, path)


def _refused(message: str) -> str:
    """What PyTorch's reader refused, out of its message, which is for terminals."""
    plain = re.sub(r"\x1b\[[0-9;]*m|\[9[0-9]m|\[0m", "", message)
    reason = plain.rpartition("WeightsUnpickler error: ")[2]  # before it, PyTorch advises to run what the file says
    found = re.search(r"Unsupported (?:global: GLOBAL|class) ?([\w.]+)|\bGLOBAL ([\w.]+)", reason)
    if found:
        return f"{found[1] or found[2]}, which is neither a tensor nor a plain value"
    return reason.split("\n")[0].replace("Weights only load failed. ", "")[:300]


def _from_pickle(path: Path) -> dict[str, Any]:
    content = read_pickle(path)
    state = _state_dict(content, path)
    known: dict[int, torch.Tensor] = {}  # arrays that have two names stay one tensor
    if state is content and not any("." in str(name) for name in state):  # names of Caffe2, as conv1_w
        blobs = state.get("blobs")
        if not isinstance(blobs, Mapping):
            raise Unsupported(f"{path} {BACKBONE_ALONE}")
        _LOGGER.warning(
            "%s is of Detectron, whose boxes include their last pixel: detections differ a little from those there",
            path,
        )
        return detectron2_names({name: _tensor(value, known) for name, value in blobs.items()}, path)
    return {name: _tensor(value, known) for name, value in state.items()}


def _tensor(value: Any, known: dict[int, torch.Tensor]) -> Any:
    if not isinstance(value, np.ndarray):
        return value
    if id(value) not in known:
        known[id(value)] = torch.from_numpy(value.astype(value.dtype.newbyteorder("="), order="C", copy=True))
    return known[id(value)]


def _state_dict(content: Any, path: Path) -> dict[str, Any]:
    """What {"model": ...} holds, as Detectron2 writes it, or another entry for weights, or the content itself."""
    if not isinstance(content, Mapping):
        raise InvalidModel(f'{path} holds {type(content).__name__}; wanted: {{"model": tensors by name}}')
    if content.get("matching_heuristics"):
        raise Unsupported(f"{path} {BACKBONE_ALONE}")
    if "model" in content and not isinstance(content["model"], Mapping) and not torch.is_tensor(content["model"]):
        raise InvalidModel(f'{path}: "model" is {type(content["model"]).__name__}; wanted: tensors by name')
    taken: list[str] = []
    others: list[str] = []
    state: Any = content
    while len(taken) < _MAX_DEPTH and (entries := _entries(state, path)):
        others += entries[1:]
        taken.append(str(entries[0]))
        state = state[entries[0]]
        if _holds_arrays(state):
            break
    if taken and (taken != ["model"] or others):
        beside = f"; it also holds {', '.join(others)}" if others else ""
        _LOGGER.warning("%s: the weights are those of its entry '%s'%s", path, ".".join(taken), beside)
    return dict(state) if state is not content else content


def _entries(content: Mapping[Any, Any], path: Path) -> list[Any]:
    """Names of what may be the weights in a dict that holds more; of names that are not known there must be one."""
    known = [name for name in _ENTRIES if isinstance(content.get(name), Mapping)]
    if known or _holds_arrays(content):
        return known
    others = [name for name, value in content.items() if isinstance(value, Mapping) and _holds_arrays(value)]
    others = [name for name in others if name != "blobs"]  # of Detectron, whose names are others
    if len(others) > 1:
        raise InvalidModel(
            f"{path} holds several sets of tensors: {', '.join(map(repr, others))}; save that of the model alone, as "
            '{"model": tensors by name}'
        )
    return others


def _holds_arrays(content: Mapping[Any, Any]) -> bool:
    return any(torch.is_tensor(value) or isinstance(value, np.ndarray) for value in content.values())
