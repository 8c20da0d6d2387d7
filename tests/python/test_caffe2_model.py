"""Caffe2Model: the same out of files and out of nets as messages: called, saved, and drawn with shapes."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt
import pytest
from conftest import ROOT, Command
from PIL import Image

from d2deploy.errors import InvalidArgument, Unsupported
from d2deploy.nets import proto
from d2deploy.nets.files import read_net

if TYPE_CHECKING:
    from d2deploy import Caffe2Model, Predictor, _ext
else:
    _ext = pytest.importorskip("d2deploy._ext", reason="not built: cmake --preset dev && cmake --build --preset dev")
    from d2deploy import Caffe2Model, Predictor

Array = npt.NDArray[Any]
needs_dot = pytest.mark.skipif(shutil.which("dot") is None, reason="Graphviz's dot is not installed")


@pytest.fixture(scope="module")
def picture() -> Array:
    """(H, W, 3) RGB, with objects of the example model."""
    with Image.open(ROOT / "examples" / "mask_rcnn" / "input.png") as image:
        return np.asarray(image.convert("RGB"))


@pytest.fixture(scope="module")
def inputs(picture: Array) -> list[dict[str, Array]]:
    """The same in BGR, as Detectron2's models take it; the width is no multiple of 32."""
    return [{"image": np.ascontiguousarray(picture[:, :-5, ::-1].transpose(2, 0, 1))}]


@pytest.fixture(scope="module")
def loaded() -> Caffe2Model:
    return Caffe2Model.load_protobuf(dir=ROOT / "examples" / "mask_rcnn", threads=1)


def fields(found: dict[str, Any]) -> dict[str, Array]:
    return {k: np.asarray(getattr(v, "tensor", v)) for k, v in found["instances"].get_fields().items()}


def test_nets_as_messages_predict_as_their_files(example: Path, loaded: Caffe2Model, inputs: Any) -> None:
    nets = [read_net(example / name) for name in ("model.pb", "model_init.pb")]
    found, wanted = fields(Caffe2Model(*nets, threads=1)(inputs)[0]), fields(loaded(inputs)[0])
    assert len(wanted["scores"]) > 0
    assert found.keys() == wanted.keys() >= {"pred_boxes", "pred_masks"}
    assert all(np.array_equal(found[name], value) for name, value in wanted.items())


def test_options_are_passed_on(example: Path, picture: Array) -> None:
    options: dict[str, Any] = {"threads": 1, "min_size": 96, "max_size": 128, "input_format": "RGB"}
    rule = Caffe2Model.load_protobuf(example, **options).detector.input
    assert (rule["min_size"], rule["max_size"], rule["input_format"]) == (96, 128, "RGB")
    found = fields(Predictor(example, **options)(picture, "RGB"))
    # The picture resized by hand, in the order in which it is.
    height, width = picture.shape[:2]
    shorter = 96 / min(height, width)
    scale = shorter if max(height, width) * shorter <= 128 else 128 / max(height, width)
    small = _ext.resize(picture, int(height * scale + 0.5), int(width * scale + 0.5))
    sized = {"image": np.ascontiguousarray(small.transpose(2, 0, 1)), "height": height, "width": width}
    wanted = fields(Caffe2Model.load_protobuf(example, threads=1, order="score")([sized])[0])
    assert all(np.array_equal(found[name], value) for name, value in wanted.items())
    with pytest.raises(InvalidArgument, match="min_size"):
        Caffe2Model.load_protobuf(example, min_size=-1)


def test_files_are_saved_again(example: Path, loaded: Caffe2Model, tmp_path: Path) -> None:
    loaded.save_protobuf(tmp_path / "again")
    assert read_net(tmp_path / "again" / "model.pb") == read_net(example / "model.pb") == loaded.predict_net
    assert read_net(tmp_path / "again" / "model_init.pb") == read_net(example / "model_init.pb") == loaded.init_net
    assert "BoxWithNMSLimit" in (tmp_path / "again" / "model.pbtxt").read_text()


def shown(path: Path) -> set[str]:
    return set(re.findall(r">\s*([^<>]+?)</text>", path.read_text()))


@needs_dot
def test_a_picture_has_the_shapes_of_a_run(loaded: Caffe2Model, inputs: Any, tmp_path: Path) -> None:
    loaded.save_graph(tmp_path / "net.svg", inputs=inputs)
    height, width = (-(-side // 32) * 32 for side in inputs[0]["image"].shape[1:])
    boxes = len(loaded(inputs)[0]["instances"])
    assert {f"1 × 3 × {height} × {width}", "1 × 3", f"{boxes} × 4"} <= shown(tmp_path / "net.svg")


def test_every_blob_has_the_shape_that_a_run_gives(example: Path, loaded: Caffe2Model, inputs: Any) -> None:
    shapes = loaded.shapes(inputs)
    net = _ext.Model(example / "model.pb", example / "model_init.pb", threads=1)
    data = np.zeros([int(side) for side in shapes["data"]], np.float32)
    height, width = inputs[0]["image"].shape[1:]
    data[0] = np.reshape(loaded.detector.input["pixel_mean"], (3, 1, 1))
    data[0, :, :height, :width] = inputs[0]["image"]
    outputs = net.run({"data": data, "im_info": np.array([[height, width, 1]], np.float32)})
    assert {name: shapes[name] for name in outputs} == {name: list(array.shape) for name, array in outputs.items()}
    made = {blob for operator in loaded.predict_net.op for blob in operator.output}
    assert len(made & shapes.keys()) > 0.9 * len(made)
    planned = loaded.shapes()  # with the most boxes that there can be
    assert planned.keys() == shapes.keys()
    assert planned["bbox_nms"][0] >= shapes["bbox_nms"][0]  # type: ignore[operator]


def test_drawing_wants_inputs_as_calls_do(loaded: Caffe2Model, tmp_path: Path) -> None:
    wrong: list[tuple[Any, str]] = [
        ([], 'no "image"'),
        ({"image": 1}, "must be a list of dicts"),
        ([{"image": np.zeros(3)}], r"must be \(C, H, W\), got \(3,\)"),
    ]
    for inputs, message in wrong:
        with pytest.raises(InvalidArgument, match=message):
            loaded.save_graph(tmp_path / "net.svg", inputs)


def test_nets_as_messages_tell_their_faults_when_they_are_called() -> None:
    net = proto.NetDef(external_input=["data"], external_output=["y"])
    net.op.add(type="Sing", input=["data"], output=["y"])
    weights = proto.NetDef(external_output=["w"])
    weights.op.add(type="ConstantFill", output=["w"]).arg.extend([proto.argument("shape", [1])])
    model = Caffe2Model(net, weights)
    assert model.predict_net is net
    with pytest.raises(Unsupported, match="Sing"):
        model([{"image": np.zeros((3, 8, 8), np.uint8)}])


HIDE = """
import sys
class Refuse:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in ("torch", "onnx", "onnx_ir", "onnxscript", "sympy"):
            raise ModuleNotFoundError("hidden", name=name)
sys.meta_path.insert(0, Refuse())
from d2deploy.cli import main
sys.exit(main(sys.argv[1:]))
"""


@needs_dot
def test_the_command_draws_without_pytorch_and_onnx(example: Path, tmp_path: Path) -> None:
    run = subprocess.run(
        [sys.executable, "-c", HIDE, "graph", str(example), "--output", str(tmp_path / "net.svg"), "--min-size", "96"],
        capture_output=True,
        text=True,
        check=False,
        env={**os.environ, "PYTHONPATH": f"{ROOT / 'python'}:{Path(_ext.__file__).parents[1]}"},
    )
    assert (run.returncode, run.stderr) == (0, "")
    assert {"1 × 3 × 96 × 128", "1 × 3"} <= shown(tmp_path / "net.svg")


@needs_dot
def test_the_command_draws_what_cannot_run_here(command: Command, example: Path, tmp_path: Path) -> None:
    data = (example / "model.pb").read_bytes()
    shutil.copy(example / "model_init.pb", tmp_path)
    (tmp_path / "model.pb").write_bytes(data.replace(b"CollectRpnProposals", b"CollectRpnProposalz"))
    code, _, error = command("graph", tmp_path, "--output", tmp_path / "net.svg")
    assert code == 0
    assert re.match(r"warning: drawn without shapes: .*CollectRpnProposalz", error)
    assert "CollectRpnProposalz" in shown(tmp_path / "net.svg")
