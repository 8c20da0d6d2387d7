"""The nets of tests/data/detectron2: files as Detectron2 wrote them, the photos, and what the real Caffe2 gave."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from conftest import ROOT

from d2deploy.nets import proto

Array = npt.NDArray[Any]
DATA = ROOT / "tests" / "data" / "detectron2"


def photo_of(name: str) -> Path:
    """The picture, of the size that the net was given."""
    return DATA / ("photo_224x320.png" if name == "faster_rcnn_rotated_v04" else "photo_320x448.png")


def fill(recipe: dict[str, Any]) -> Array:
    if "values" in recipe:
        return np.array(recipe["values"], np.float32)
    draw = np.random.RandomState(recipe["seed"]).standard_normal(int(np.prod(recipe["shape"])))
    values: Array = (draw * recipe["std"] + recipe["mean"]).astype(np.float32)
    return values


def write_files(name: str, to: Path) -> None:
    """Writes the net's two files, model.pb and model_init.pb, into a folder."""
    net = proto.NetDef()
    for recipe in json.loads((DATA / name / "weights.json").read_text()):
        op = net.op.add(type="GivenTensorFill", output=[recipe["blob"]])
        op.arg.add(name="shape", ints=recipe["shape"])
        op.arg.add(name="values", floats=fill(recipe))
    (to / "model_init.pb").write_bytes(net.SerializeToString())
    (to / "model.pb").write_bytes((DATA / name / "model.pb").read_bytes())


def caffe2_outputs(name: str) -> dict[str, Array]:
    """The real Caffe2's outputs by blob; masks are those of each detection's own class."""
    with np.load(DATA / name / "outputs.npz") as file:
        return dict(file)
