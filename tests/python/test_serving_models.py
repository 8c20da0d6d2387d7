"""Models of each kind behind `d2deploy serve`: what they say of themselves, and both forms of a request."""

from __future__ import annotations

import struct
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

pytest.importorskip("d2deploy._ext", reason="not built: cmake --preset dev && cmake --build --preset dev")
pytest.importorskip("starlette")  # the extra `serve`
from serving_stubs import png

from d2deploy.errors import InvalidArgument, Unsupported
from d2deploy.serving.engine import Stages
from d2deploy.serving.errors import TooLarge
from d2deploy.serving.inference import Inference, PredictQuery
from d2deploy.serving.models import ServedModel
from d2deploy.serving.protocol import InferRequest, load_json
from d2deploy.serving.settings import Limits
from d2deploy.serving.tensors import Tensor, from_binary

if TYPE_CHECKING:
    from exported import Exported

OPTIONS = {"threads": 1, "mode": "throughput", "min_size": 64, "max_size": 128}
INFERENCE = Inference(Limits())
OBJECTS = ["image_size", "boxes", "scores", "classes"]
OUTPUTS = {
    "mask_fpn": [*OBJECTS, "masks"],
    "keypoint_fpn": [*OBJECTS, "keypoints"],
    "panoptic_fpn": [*OBJECTS, "masks", "panoptic_map", "segments"],
    "semantic_fpn": ["image_size", "class_map"],
    "fast_fpn": OBJECTS,
    "rotated_dc5": OBJECTS,
    "retinanet": OBJECTS,
    "rpn_fpn": ["image_size", "boxes", "scores"],
}


def picture() -> Tensor:
    data = png(80, 64)
    return from_binary("image", "BYTES", (1,), struct.pack("<I", len(data)) + data)


def floats(name: str, array: Any) -> Tensor:
    return Tensor(name, "FP32", array.shape, np.asarray(array, np.float32))


def asked(*inputs: Tensor, **parameters: Any) -> InferRequest:
    return InferRequest("", parameters, {tensor.name: tensor for tensor in inputs})


@pytest.mark.parametrize("name", OUTPUTS)
def test_a_model(name: str, exported: Callable[[str], Exported]) -> None:
    one = exported(name)
    model = ServedModel.load(name, "1", one.folder, OPTIONS, True)
    said = model.describe()
    assert said["kind"] == one.tracer.meta_arch.name
    assert sorted(said["outputs"]) == sorted(OUTPUTS[name])

    given = [picture()]
    if name == "fast_fpn":
        with pytest.raises(InvalidArgument, match="'proposals' is missing"):
            INFERENCE.infer(model, asked(*given), Stages())
        with pytest.raises(Unsupported, match="finds no proposals itself"):
            INFERENCE.predict(model, png(80, 64), "", PredictQuery(), Stages())
        with pytest.raises(InvalidArgument, match=r"must be FP32 of shape \['n', 4\]"):
            INFERENCE.infer(model, asked(*given, floats("proposals", np.zeros((2, 5)))), Stages())
        with pytest.raises(TooLarge, match="at most 10000"):
            INFERENCE.infer(model, asked(*given, floats("proposals", np.zeros((10_001, 4)))), Stages())
        given.append(floats("proposals", np.array([[0, 0, 40, 40], [20, 10, 79, 60]])))
    else:
        body, _ = INFERENCE.predict(model, png(80, 64), "", PredictQuery(0.0), Stages())
        result = load_json(body)
        assert (result["width"], result["height"]) == (80, 64)
        drawn, kind = INFERENCE.predict(model, png(80, 64), "", PredictQuery(0.0, True), Stages())
        assert (drawn[:4], kind) == (b"\x89PNG", "image/png")

    response = INFERENCE.infer(model, asked(*given), Stages())
    raw = one.inputs(np.zeros((3, 64, 96), np.float32))
    tensors = INFERENCE.infer(model, asked(*[floats(key, array) for key, array in raw.items()]), Stages())
    specs = {spec.name: spec for spec in model.outputs}
    assert [*specs][len(OUTPUTS[name]) :] == [tensor.name for tensor in tensors.outputs]
    for tensor in [*response.outputs, *tensors.outputs]:
        spec = specs[tensor.name]
        assert tensor.datatype == spec.datatype
        assert len(tensor.shape) == len(spec.shape)
        assert all(want in (-1, side) for want, side in zip(spec.shape, tensor.shape)), (spec, tensor.shape)
    assert {spec.name for spec in model.inputs} == {"image", *raw}
    with pytest.raises(InvalidArgument, match="'more' is unknown; wanted: data"):
        INFERENCE.infer(model, asked(*[floats(key, raw[key]) for key in raw], floats("more", np.zeros(1))), Stages())
