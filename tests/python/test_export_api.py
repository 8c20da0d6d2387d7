"""Caffe2Tracer and Caffe2Model: files, ONNX, TorchScript, pictures, configurations; and what they say of misuse."""

from __future__ import annotations

import copy
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
import torch
from exported import Exported, image, tensor
from google.protobuf import text_format
from small_models import small_config, small_model
from torch import nn

import d2deploy
from d2deploy.errors import InvalidArgument, InvalidModel, Unsupported
from d2deploy.export import Caffe2Model, Caffe2Tracer, add_export_config, export_caffe2_model, export_onnx_model
from d2deploy.export.netdef import Dims
from d2deploy.export.shapes import readable_shapes
from d2deploy.export.verify import compare
from d2deploy.nets import files, proto
from d2deploy.padding import Padding, net_inputs

Export = Callable[[str], Exported]


@pytest.fixture(scope="module", params=["faster_r18"])  # the smallest with a pyramid
def one(request: pytest.FixtureRequest, exported: Export) -> Exported:
    return exported(request.param)


def test_files_are_read_again(one: Exported) -> None:
    again = Caffe2Model.load_protobuf(one.folder)
    assert again.predict_net == one.nets.predict_net
    assert again.init_net == one.nets.init_net
    assert text_format.Parse((one.folder / "model.pbtxt").read_text(), proto.NetDef()) == one.nets.predict_net
    # Making the files left the traced model as it was.
    assert one.tracer.export_caffe2().predict_net == one.nets.predict_net


def test_the_init_net_makes_every_parameter(one: Exported) -> None:
    made = [op.output[0] for op in one.nets.init_net.op]
    assert ["data", "im_info", *made] == list(one.nets.predict_net.external_input)
    assert made == list(one.nets.init_net.external_output)
    assert {op.type for op in one.nets.init_net.op} == {"GivenTensorFill"}
    assert not any(op.HasField("device_option") for op in one.nets.predict_net.op)
    weights = {op.output[0]: {a.name: a for a in op.arg} for op in one.nets.init_net.op}
    weight = one.model.backbone.fpn_lateral5.weight.detach().numpy()
    stored = weights["backbone.fpn_lateral5.weight"]
    assert list(stored["shape"].ints) == list(weight.shape)
    np.testing.assert_array_equal(proto.floats_of(stored["values"]).reshape(weight.shape), weight)


def test_what_was_traced_is_traced_again(one: Exported) -> None:
    tracer = Caffe2Tracer(one.cfg, one.model)
    converted = tracer.export_caffe2()
    tracer.forget()
    tracer.forget()
    again = tracer.export_caffe2()
    for found in (converted, again):
        assert found.predict_net == one.nets.predict_net
        assert found.init_net == one.nets.init_net


def test_weights_that_were_changed_are_saved(one: Exported, tmp_path: Path) -> None:
    converted = Caffe2Tracer(one.cfg, one.model).export_caffe2()
    converted.init_net.name = "changed"
    converted.save_protobuf(tmp_path)
    assert files.read_net(tmp_path / "model_init.pb").name == "changed"


def test_folders_that_cannot_be_used(one: Exported, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(InvalidArgument, match=r"file/folder: cannot be written: .*; choose another folder"):
        one.nets.save_protobuf(tmp_path / "file" / "folder")
    path = tmp_path / "model.pb"
    with pytest.raises(InvalidArgument, match=r"model\.pb: cannot be read: No such file"):
        files.read_net(path)
    path.write_bytes(b"\x12\xff")
    with pytest.raises(InvalidModel, match=r"model\.pb: is not a Caffe2 net, or is damaged"):
        files.read_net(path)
    path.write_bytes(b"")
    with pytest.raises(InvalidModel, match=r"model\.pb: holds no operators"):
        files.read_net(path)


def test_weights_that_no_file_can_hold(one: Exported, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(files, "MAX_BYTES", 1000)
    with pytest.raises(Unsupported, match=r"the model takes \d+ bytes, a protobuf file holds 1000 at most"):
        one.nets.save_protobuf(tmp_path / "new")
    assert not (tmp_path / "new").exists()


def test_run_gives_what_the_files_compute(one: Exported) -> None:
    inputs = net_inputs(image(75, 110), [103.53, 116.28, 123.675], Padding(32))
    found = one.tracer.run(torch.from_numpy(inputs["data"]), torch.from_numpy(inputs["im_info"]))
    assert list(found) == ["bbox_nms", "score_nms", "class_nms"]
    assert len({len(values) for values in found.values()}) == 1
    assert not found["bbox_nms"].requires_grad


# The second has normalisations that differ from level to level on shared convolutions.
@pytest.mark.parametrize("name", ["faster_r18", "retinanet_bn"])
def test_onnx_passes_its_checker(exported: Export, name: str) -> None:
    tracer = exported(name).tracer
    model = tracer.export_onnx()
    onnx.checker.check_model(model)
    assert [value.name for value in model.graph.output] == tracer.meta_arch.outputs
    assert [value.name for value in model.graph.input] == ["data", "im_info"]
    own = {node.op_type for node in model.graph.node if node.domain == "org.pytorch._caffe2"}
    assert ("BoxWithNMSLimit" in own) == (name == "faster_r18")
    sides = model.graph.input[0].type.tensor_type.shape.dim
    assert sides[2].dim_param
    assert sides[3].dim_param


@pytest.mark.filterwarnings("ignore:`torch.jit.load` is deprecated")
def test_torchscript_runs_and_agrees_at_other_sizes(one: Exported, tmp_path: Path) -> None:
    sample = [{"image": tensor(image(75, 110))}]  # as Detectron2's API wants one
    Caffe2Tracer(one.cfg, one.model, sample).export_torchscript().save(str(tmp_path / "model.ts"))
    script = torch.jit.load(str(tmp_path / "model.ts"))  # type: ignore[no-untyped-call]
    data, info = (
        torch.from_numpy(net_inputs(image(96, 128), [0] * 3, Padding(32))["data"]),
        torch.tensor([[96.0, 128.0, 1.0]]),
    )
    wanted = one.tracer.run(data, info)
    with torch.no_grad():
        found = dict(zip(wanted, script(data, info)))
    report = compare({k: v.numpy() for k, v in wanted.items()}, {k: v.numpy() for k, v in found.items()})
    assert report.agrees, f"\n{report}"
    assert report.detections


def test_what_was_just_converted_can_be_called(one: Exported) -> None:
    pytest.importorskip("d2deploy._ext", reason="not built")
    inputs = [{"image": tensor(image(75, 110)), "height": 150, "width": 220}]
    (found,), (wanted,) = one.nets(inputs), Caffe2Model.load_protobuf(one.folder, threads=1)(inputs)
    assert type(one.nets) is Caffe2Model is d2deploy.Caffe2Model
    assert len(found["instances"]) > 0
    assert found["instances"].image_size == (150, 220)
    for name, value in found["instances"].get_fields().items():
        other = wanted["instances"].get(name)
        assert torch.equal(getattr(value, "tensor", value), getattr(other, "tensor", other)), name


@pytest.fixture
def traced(one: Exported, monkeypatch: pytest.MonkeyPatch) -> None:
    """Tracers of this model need not trace it again, which takes most of the time."""
    model = one.tracer._trace()
    monkeypatch.setattr(Caffe2Tracer, "_trace", lambda self: model)


@pytest.mark.usefixtures("traced")
def test_the_names_of_older_versions(one: Exported) -> None:
    sample = [{"image": tensor(image(75, 110))}]
    assert export_caffe2_model(one.cfg, one.model, sample).predict_net == one.nets.predict_net
    assert export_onnx_model(one.cfg, one.model, sample) == one.tracer.export_onnx()


def test_what_is_traced(one: Exported) -> None:
    sample = [{"image": tensor(image(75, 110))}]
    tracer = Caffe2Tracer(one.cfg, one.model, sample)
    assert tracer.inputs is sample
    data, im_info = tracer.traceable_inputs
    wanted = net_inputs(image(75, 110), [103.53, 116.28, 123.675], Padding(32))
    np.testing.assert_array_equal(data.numpy(), wanted["data"])
    np.testing.assert_array_equal(im_info.numpy(), wanted["im_info"])
    with torch.no_grad():
        found = tracer.traceable_model(tracer.traceable_inputs)
    for name, value in zip(tracer.run(data, im_info).values(), found, strict=True):
        assert torch.equal(name, value)
    assert one.tracer.traceable_inputs[0].shape == (1, 3, 64, 96)  # without inputs a small picture
    with pytest.raises(InvalidArgument, match=r'inputs\[0\]: has no "image"'):
        _ = Caffe2Tracer(one.cfg, one.model, [{}]).traceable_inputs


@pytest.mark.usefixtures("traced")
def test_the_configuration_stays_as_it_was(one: Exported) -> None:
    ours: Any = copy.deepcopy(one.cfg)
    ours.freeze()
    theirs = Plain({name: copy.deepcopy(value) for name, value in one.cfg.items() if name != "EXPORT_CAFFE2"})
    for cfg in (ours, theirs):
        before = copy.deepcopy(cfg)
        tracer = Caffe2Tracer(cfg, one.model)
        tracer.export_caffe2()
        assert tracer.cfg["EXPORT_CAFFE2"] == {"USE_HEATMAP_MAX_KEYPOINT": False}
        assert cfg == before
        assert cfg.is_frozen()
    assert "EXPORT_CAFFE2" not in theirs


def test_models_that_cannot_be_exported() -> None:
    with pytest.raises(Unsupported, match="models of class Conv2d cannot be exported; can be: FCOS, GeneralizedRCNN"):
        Caffe2Tracer(small_config("mask_fpn"), nn.Conv2d(1, 1, 1))


def test_rotated_boxes_of_several_levels_are_refused() -> None:
    overrides: list[Any] = [
        *(
            "MODEL.BACKBONE.NAME",
            "build_resnet_fpn_backbone",
            "MODEL.RESNETS.OUT_FEATURES",
            ["res2", "res3", "res4", "res5"],
        ),
        *("MODEL.RESNETS.RES5_DILATION", 1, "MODEL.FPN.IN_FEATURES", ["res2", "res3", "res4", "res5"]),
        *("MODEL.RPN.IN_FEATURES", ["p4", "p5"], "MODEL.ROI_HEADS.IN_FEATURES", ["p4", "p5"]),
        *("MODEL.ANCHOR_GENERATOR.SIZES", [[32], [64]], "MODEL.RESNETS.DEPTH", 18),
    ]
    message = "rotated proposals from 2 levels: Caffe2 collects .*\nrotated boxes from 2 levels: Caffe2 distributes"
    with pytest.raises(Unsupported, match=message):
        Caffe2Tracer(small_config("rotated_dc5", *overrides), small_model("rotated_dc5", *overrides))


def test_a_weight_of_the_angle_is_refused() -> None:
    overrides: list[Any] = ["MODEL.ROI_BOX_HEAD.BBOX_REG_WEIGHTS", [10.0, 10.0, 5.0, 5.0, 2.0]]
    with pytest.raises(Unsupported, match=r"the weight of the angle is 2\.0, must be 1"):
        Caffe2Tracer(small_config("rotated_dc5", *overrides), small_model("rotated_dc5", *overrides))


class Plain(dict[str, Any]):
    """A configuration without the exporter's keys, as Detectron2's."""

    frozen = True

    def is_frozen(self) -> bool:
        return self.frozen

    def freeze(self) -> None:
        self.frozen = True

    def defrost(self) -> None:
        self.frozen = False

    def __getattr__(self, name: str) -> Any:
        if name in self:
            return self[name]
        raise AttributeError(name)

    def __setattr__(self, name: str, value: Any) -> None:
        if name == "frozen":
            super().__setattr__(name, value)
        elif self.frozen:
            raise AttributeError("frozen")
        else:
            self[name] = value


def test_export_keys_are_added_where_they_are_missing() -> None:
    cfg = Plain()
    assert add_export_config(cfg) is cfg
    assert cfg.EXPORT_CAFFE2 == {"USE_HEATMAP_MAX_KEYPOINT": False}
    assert cfg.is_frozen()
    ours = small_config("keypoint_fpn", "EXPORT_CAFFE2.USE_HEATMAP_MAX_KEYPOINT", True)
    assert add_export_config(ours).EXPORT_CAFFE2.USE_HEATMAP_MAX_KEYPOINT is True


def test_the_picture_names_operators_and_shapes(one: Exported, tmp_path: Path) -> None:
    pytest.importorskip("graphviz")
    try:
        one.nets.save_graph(tmp_path / "model.svg")
    except Unsupported as error:
        pytest.skip(str(error))
    text = (tmp_path / "model.svg").read_text()
    assert text.lstrip().startswith("<?xml")
    assert set(re.findall(r">([A-Z]\w+)</text>", text)) >= {op.type for op in one.nets.predict_net.op}
    for shape in ("1 × 3 × H × W", "1 × 32 × H/32 × W/32", "R2 × 5", "weights 32 × 3 × 7 × 7, 32"):
        assert shape in text
    one.nets.save_graph(tmp_path / "sized.svg", [{"image": tensor(image(75, 110))}])
    assert "1 × 3 × 96 × 128" in (tmp_path / "sized.svg").read_text()


def test_a_picture_needs_graphviz(one: Exported, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(Unsupported, match=r"drawing needs Graphviz's program `dot`.*install the package graphviz"):
        one.nets.save_graph(tmp_path / "model.svg")


def test_a_picture_that_graphviz_cannot_draw(one: Exported, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    dot = tmp_path / "dot"
    dot.write_text("#!/bin/sh\ncat >/dev/null\necho no memory >&2\nexit 1\n")
    dot.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:/usr/bin:/bin")
    with pytest.raises(Unsupported, match="Graphviz's program `dot` failed: no memory"):
        one.nets.save_graph(tmp_path / "model.svg")


def test_shapes_are_written_in_sizes_of_the_image_and_numbers_of_boxes() -> None:
    shapes: dict[str, Dims] = {
        "data": [1, 3, "32*s5", "32*s8"],
        "map": [1, 8, "2*s5", "2*s8 + 2"],
        "boxes": ["u3", 5],
        "more": ["u7", "u3"],
    }
    named = {"data": [1, 3, "H", "W"], "map": [1, 8, "H/16", "W/16 + 2"], "boxes": ["R1", 5], "more": ["R2", "R1"]}
    assert readable_shapes(shapes) == named


def test_borders_hold_the_mean() -> None:
    found = net_inputs(np.full((3, 33, 64), 7, np.uint8), [1.0, 2.0, 3.0], Padding(32))
    assert found["data"].shape == (1, 3, 64, 64)
    assert found["im_info"].tolist() == [[33, 64, 1]]
    assert (found["data"][:, :, :33] == 7).all()
    assert found["data"][0, :, 33:].reshape(3, -1).min(axis=1).tolist() == [1, 2, 3]
    assert found["data"][0, :, 33:].reshape(3, -1).max(axis=1).tolist() == [1, 2, 3]
    assert net_inputs(np.zeros((3, 33, 65)), [0.0] * 3, Padding())["data"].shape == (1, 3, 33, 65)


def outputs(**changes: Any) -> dict[str, Any]:
    """Two detections with masks, and a map."""
    values = {
        "bbox_nms": np.array([[0, 0, 9, 9], [5, 5, 20, 20]], np.float32),
        "score_nms": np.array([0.9, 0.5], np.float32),
        "class_nms": np.array([0, 1], np.float32),
        "mask_fcn_probs": np.linspace(0, 1, 32, dtype=np.float32).reshape(2, 1, 4, 4),
        "sem_seg": np.linspace(0, 1, 16, dtype=np.float32).reshape(1, 1, 4, 4),
    }
    return {**values, **changes}


@pytest.mark.parametrize(
    ("changes", "output", "fault"),
    [
        ({"bbox_nms": np.array([[0, 0, 9, 9], [5, 5, 20, 21]], np.float32)}, "bbox_nms", "1 of 2 detections matched"),
        ({"score_nms": np.array([0.8, 0.5], np.float32)}, "score_nms", "1 of 2 detections matched"),
        ({"class_nms": np.array([1, 1], np.float32)}, "class_nms", "1 of 2 detections matched"),
        ({"mask_fcn_probs": np.zeros((2, 1, 4, 4), np.float32)}, "mask_fcn_probs", "of the spread"),
        ({"sem_seg": np.zeros((1, 1, 4, 4), np.float32)}, "sem_seg", "of the spread"),
        ({"sem_seg": np.full((1, 1, 4, 4), np.nan, np.float32)}, "sem_seg", "of the spread"),
        ({"sem_seg": np.zeros((1, 1, 4, 5), np.float32)}, "sem_seg", "the shapes differ"),
    ],
)
def test_differences_are_found(changes: dict[str, Any], output: str, fault: str) -> None:
    report = compare(outputs(), outputs(**changes))
    assert not report.agrees
    (row,) = (row for row in report.rows if row.output == output)
    assert fault in row.fault
    assert f"{output} " in str(report)


def test_equal_outputs_agree_in_any_order() -> None:
    other = {key: values[::-1] if len(values) == 2 else values for key, values in outputs().items()}
    report = compare(outputs(), other)
    assert report.agrees
    assert "detections: 2 in PyTorch, 2 in the files, 2 matched" in str(report)
    missing = outputs()
    del missing["sem_seg"]
    assert compare(outputs(), missing).rows[-1].fault == "the files have no such output"
    empty = {key: values[:0] for key, values in outputs().items() if key != "sem_seg"}
    assert compare(empty, empty).agrees


def test_proposals_are_matched_in_any_order() -> None:
    rois = np.array([[0, 0, 0, 9, 9], [0, 5, 5, 20, 20]], np.float32)
    wanted = {"rpn_rois": rois, "rpn_scores": np.array([0.5, 0.4999], np.float32)}
    report = compare(wanted, {name: values[::-1] for name, values in wanted.items()})
    assert report.agrees, f"\n{report}"
    report = compare(wanted, {**wanted, "rpn_rois": rois + 10})
    assert "0 of 2 proposals matched" in report.rows[0].fault


def test_nothing_detected_is_said() -> None:
    nothing = {name: values[:0] for name, values in outputs().items() if name != "sem_seg"}
    report = compare(nothing, nothing)
    assert report.agrees
    assert "nothing was detected" in str(report)
