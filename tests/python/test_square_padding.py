"""Models that take squares of one size: pictures are padded to it on every way in, and larger ones are refused."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
import torch
from conftest import Command, find_program
from exported import Array, image, tensor
from PIL import Image
from small_models import one_block_per_stage, small_config, small_model

from d2deploy.errors import InvalidArgument
from d2deploy.export import Caffe2Tracer
from d2deploy.export.verify import verify
from d2deploy.padding import Padding, net_inputs

if TYPE_CHECKING:
    from d2deploy import runtime
    from d2deploy.serving.models import ServedModel
else:
    pytest.importorskip("d2deploy._ext", reason="not built: cmake --preset dev && cmake --build --preset dev")
    from d2deploy import runtime
    from d2deploy.serving.models import ServedModel

SQUARE = 128
TOO_LARGE = f"takes at most {SQUARE} x {SQUARE} (its square_size); make it smaller, or let it be resized to a max_size"
SIZES = [(96, 128), (128, 70), (128, 128)]


@pytest.fixture(scope="module")
def model() -> Any:
    with one_block_per_stage():
        model = small_model("mask_fpn")
    model.backbone.padding_constraints = {"square_size": SQUARE}
    return model


@pytest.fixture(scope="module")
def tracer(model: Any) -> Caffe2Tracer:
    cfg = small_config("mask_fpn", "INPUT.MIN_SIZE_TEST", SQUARE, "INPUT.MAX_SIZE_TEST", SQUARE)
    return Caffe2Tracer(cfg, model)


@pytest.fixture(scope="module")
def folder(tracer: Caffe2Tracer, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder: Path = tmp_path_factory.mktemp("square")
    tracer.export_caffe2().save_protobuf(folder)
    return folder


def as_pixels(planes: Array) -> Array:
    return np.ascontiguousarray(planes.transpose(1, 2, 0)).astype(np.uint8)


def boxes_of(found: Any) -> Array:
    return np.asarray(getattr(found.pred_boxes, "tensor", found.pred_boxes))


def test_sides_are_those_of_the_square() -> None:
    assert Padding(0, 128).size(5, 128) == (128, 128)
    assert Padding(32, 100).size(100, 7) == (128, 128)
    with pytest.raises(InvalidArgument, match=r"the picture is 7 x 101 pixels large .* takes at most 100 x 100"):
        Padding(32, 100).size(7, 101)


def test_the_file_and_the_detector_tell_the_square(folder: Path) -> None:
    net = runtime.Caffe2Model.load_protobuf(folder, threads=1)
    assert net.info["square_size"] == net.detector.input["square_size"] == SQUARE
    assert net.shapes()["data"] == [1, 3, SQUARE, SQUARE]


@pytest.mark.parametrize("size", SIZES)
def test_files_agree_with_the_model(size: tuple[int, int], tracer: Caffe2Tracer, folder: Path) -> None:
    assert str(verify(tracer, folder, image(*size), threads=1)).count("ok") == len(tracer.meta_arch.outputs)


@pytest.mark.parametrize("size", SIZES)
def test_predictions_are_the_models(size: tuple[int, int], model: Any, folder: Path) -> None:
    pixels = image(*size)
    wanted = model([{"image": tensor(pixels)}])[0]["instances"]
    assert len(wanted) > 0
    found = runtime.Caffe2Model.load_protobuf(folder, threads=1, order="score")([{"image": pixels}])[0]["instances"]
    np.testing.assert_allclose(boxes_of(found), boxes_of(wanted), atol=5e-2)
    found = runtime.Predictor(folder, threads=1, min_size=0)(as_pixels(pixels))["instances"]
    np.testing.assert_allclose(boxes_of(found), boxes_of(wanted), atol=5e-2)


def test_any_picture_is_resized_to_fit(folder: Path) -> None:
    """By the sizes of the file, which are those of the square."""
    assert len(runtime.Predictor(folder, threads=1)(as_pixels(image(300, 500)))["instances"]) > 0


def test_larger_pictures_are_refused(model: Any, tracer: Caffe2Tracer, folder: Path) -> None:
    pixels = image(96, 129)
    net = runtime.Caffe2Model.load_protobuf(folder, threads=1)
    with pytest.raises(InvalidArgument, match=f"the image is 96 x 129 pixels .*{re.escape(TOO_LARGE)}"):
        net([{"image": pixels}])
    with pytest.raises(InvalidArgument, match=re.escape(TOO_LARGE)):
        runtime.Predictor(folder, threads=1, min_size=0)(as_pixels(pixels))
    with pytest.raises(InvalidArgument, match=re.escape(TOO_LARGE)):
        net.shapes([{"image": pixels}])
    with pytest.raises(InvalidArgument, match=re.escape(TOO_LARGE)):
        model([{"image": tensor(pixels)}])
    with pytest.raises(InvalidArgument, match=re.escape(TOO_LARGE)):
        verify(tracer, folder, pixels)


def test_the_commands(folder: Path, tmp_path: Path, command: Command) -> None:
    for name, size in (("fits.png", (96, 128)), ("large.png", (200, 128))):
        Image.fromarray(as_pixels(image(*size))[:, :, ::-1]).save(tmp_path / name)
    assert command("predict", folder, tmp_path / "large.png")[0] == 0  # resized
    code, _, err = command("predict", folder, tmp_path / "large.png", "--min-size", 0)
    assert code == 1
    assert TOO_LARGE in err
    assert command("verify", folder)[0] == 0
    nets = [f"--predict_net={folder / 'model.pb'}", f"--init_net={folder / 'model_init.pb'}"]
    program = [str(find_program("caffe2_mask_rcnn")), *nets, f"--output_dir={tmp_path}", f"--dump_dir={tmp_path}"]
    subprocess.run([*program, f"--input={tmp_path / 'fits.png'}"], check=True, capture_output=True)
    wanted = runtime.load(folder, 1).run(net_inputs(image(96, 128), [103.53, 116.28, 123.675], Padding(32, SQUARE)))
    np.testing.assert_allclose(np.load(tmp_path / "score_nms.npy"), wanted["score_nms"], atol=1e-4)
    done = subprocess.run([*program, f"--input={tmp_path / 'large.png'}"], check=False, capture_output=True, text=True)
    assert done.returncode == 1
    assert f"the image is 200 x 128 pixels large on its way into the net, which {TOO_LARGE}" in done.stderr


def test_a_server_tries_the_model(folder: Path) -> None:
    """With a picture that fits, as a picture and as tensors of the net."""
    model = ServedModel.load("square", "1", folder, {"threads": 1}, True)
    assert "scores" in model.found
    assert {"bbox_nms", "score_nms", "class_nms"} <= set(model.raw)


def test_the_square_is_no_size_for_tracing(tracer: Caffe2Tracer) -> None:
    data, _ = tracer.traceable_inputs
    assert data.shape == (1, 3, SQUARE, SQUARE)
    outputs = tracer.run(torch.zeros(1, 3, SQUARE, SQUARE), torch.tensor([[128.0, 128.0, 1.0]]))
    assert set(outputs) == set(tracer.meta_arch.outputs)
