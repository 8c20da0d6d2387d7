"""ONNX of standard operators: ONNX Runtime gives what PyTorch and our own runtime give."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from typing import Any

import numpy as np
import onnx
import pytest
import torch
from exported import Array, Exported, image
from small_models import small_config, small_model

from d2deploy.errors import Unsupported
from d2deploy.export import Caffe2Tracer
from d2deploy.export.verify import Report, compare

onnxruntime = pytest.importorskip("onnxruntime", reason="not installed: pip install --group dev")

Export = Callable[[str], Exported]
NAMES = [
    *("mask_fpn", "mask_resnext_agnostic", "cascade_fpn", "mask_c4", "keypoint_max", "panoptic_fpn"),
    *("retinanet", "rpn_fpn", "rpn_c4", "pointrend", "pointrend_semantic"),
]


@pytest.fixture(scope="module")
def standard(exported: Export) -> Callable[[str], onnx.ModelProto]:
    return cache(lambda name: exported(name).tracer.export_onnx(standard_ops=True))


def run(model: onnx.ModelProto, inputs: dict[str, Array]) -> dict[str, Array]:
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 3
    options.intra_op_num_threads = 1
    session = onnxruntime.InferenceSession(model.SerializeToString(), options, providers=["CPUExecutionProvider"])
    names = [output.name for output in session.get_outputs()]
    taken = {given.name for given in session.get_inputs()}
    return dict(zip(names, session.run(names, {k: v for k, v in inputs.items() if k in taken}), strict=True))


def in_pytorch(one: Exported, inputs: dict[str, Array]) -> dict[str, Array]:
    found = one.tracer.run(torch.from_numpy(inputs["data"]), torch.from_numpy(inputs["im_info"]))
    return {name: tensor.numpy() for name, tensor in found.items()}


@pytest.mark.parametrize("name", NAMES)
def test_onnx_runtime_agrees_with_pytorch_and_our_files(
    exported: Export, standard: Callable[[str], onnx.ModelProto], name: str
) -> None:
    one, model = exported(name), standard(name)
    onnx.checker.check_model(model, full_check=True)
    assert {node.domain for node in model.graph.node} == {""}
    assert not model.functions
    assert [value.name for value in model.graph.output] == one.tracer.meta_arch.outputs
    assert [value.name for value in model.graph.input] == ["data", "im_info"]
    for size in ((150, 220), (97, 64)):
        inputs = one.inputs(image(*size))
        found = run(model, inputs)
        report = compare(in_pytorch(one, inputs), found, one.tracer.meta_arch.refined)
        assert report.agrees, f"PyTorch\n{report}"
        assert report.detections != 0
        assert (report := by_our_runtime(one, inputs, found)).agrees, f"our runtime\n{report}"


def by_our_runtime(one: Exported, inputs: dict[str, Array], found: dict[str, Array]) -> Report:
    pytest.importorskip("d2deploy._ext", reason="not built: cmake --preset dev && cmake --build --preset dev")
    from d2deploy import runtime

    outputs = runtime.load(one.folder, threads=1).run(inputs)
    refined = one.tracer.meta_arch.refined
    return compare(
        {name: outputs[name] for name in found}, found, refined
    )  # a RetinaNet's file gives im_info back, too


@pytest.mark.parametrize("name", ["mask_fpn", "keypoint_max", "rpn_fpn"])
def test_no_proposal_at_all(exported: Export, standard: Callable[[str], onnx.ModelProto], name: str) -> None:
    inputs = {**exported(name).inputs(image(96, 96)), "im_info": np.array([[0, 0, 1]], np.float32)}
    wanted, found = in_pytorch(exported(name), inputs), run(standard(name), inputs)
    assert {k: v.shape for k, v in found.items()} == {k: v.shape for k, v in wanted.items()}
    assert not any(values.size for values in found.values())


@pytest.mark.parametrize("name", ["mask_fpn"])
def test_scale_of_the_picture(exported: Export, standard: Callable[[str], onnx.ModelProto], name: str) -> None:
    inputs = exported(name).inputs(image(150, 220))
    inputs["im_info"][0, 2] = 1.5  # boxes are clipped to the whole pixels of the picture before it was resized
    report = compare(in_pytorch(exported(name), inputs), run(standard(name), inputs))
    assert report.agrees, f"\n{report}"
    assert report.detections


@pytest.mark.parametrize("name", ["mask_fpn", "rpn_c4"])
def test_openvino_agrees(
    exported: Export, standard: Callable[[str], onnx.ModelProto], name: str, tmp_path: Any
) -> None:
    openvino = pytest.importorskip("openvino", reason="not installed: pip install --group bench")
    file = tmp_path / "model.onnx"
    file.write_bytes(standard(name).SerializeToString())
    options = {"INFERENCE_PRECISION_HINT": "f32", "INFERENCE_NUM_THREADS": 1}
    net = openvino.Core().compile_model(file, "CPU", options)
    inputs = exported(name).inputs(image(150, 220))
    found = {port.get_any_name(): np.array(values) for port, values in net(inputs).items()}
    report = compare(in_pytorch(exported(name), inputs), found)
    assert report.agrees, f"\n{report}"
    assert report.detections


def test_rotated_boxes_are_refused() -> None:
    tracer = Caffe2Tracer(small_config("rotated_dc5"), small_model("rotated_dc5"))
    with pytest.raises(Unsupported, match=r"proposal_generator, .*box_predictor: boxes are rotated, which no standard"):
        tracer.export_onnx(standard_ops=True)
