"""Models of every architecture, converted: the files agree with the traced model and with the eager one."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from exported import MODELS, Array, Exported, image, tensor
from small_models import proposals_of

from d2deploy.errors import InvalidArgument
from d2deploy.export import Caffe2Model
from d2deploy.export.verify import OBJECTS, OF_REFINED_CELLS, verify
from d2deploy.structures import Instances

if TYPE_CHECKING:
    from d2deploy import runtime
else:
    pytest.importorskip("d2deploy._ext", reason="not built: cmake --preset dev && cmake --build --preset dev")
    from d2deploy import runtime

Export = Callable[[str], Exported]
every_model = pytest.mark.parametrize("name", MODELS)

BOXES = ["bbox_nms", "score_nms", "class_nms"]
MASKS = [*BOXES, "mask_fcn_probs"]
PROPOSALS = ["rpn_rois", "rpn_scores"]
RETINANET = [f"feature_{i}" for i in range(5)] + [f"box_{part}_{i}" for i in range(5) for part in ("cls", "delta")]
FCOS = [f"feature_{i}" for i in range(5)] + [f"box_{p}_{i}" for i in range(5) for p in ("cls", "delta", "centerness")]
# What readers of Detectron2's files expect; a proposal network is not among them.
OUTPUTS = {
    "faster_c4": BOXES,
    "faster_dconv2": BOXES,
    "faster_r18": BOXES,
    "faster_fpn_ln": BOXES,
    "fast_fpn": BOXES,
    "semantic_fpn": ["sem_seg"],
    "pointrend_semantic": ["sem_seg"],
    "rotated_dc5": BOXES,
    "keypoint_fpn": [*BOXES, "kps_score"],
    "keypoint_max": [*BOXES, "keypoints_out"],
    "panoptic_fpn": [*MASKS, "sem_seg"],
    "fcos": FCOS,
    "retinanet": RETINANET,
    "retinanet_bn": RETINANET,
    "rpn_fpn": PROPOSALS,
    "rpn_c4": PROPOSALS,
    **dict.fromkeys(("mask_fpn", "mask_fpn_dconv", "mask_fpn_gn", "mask_resnext_agnostic", "cascade_fpn"), MASKS),
    **dict.fromkeys(("mask_c4", "mask_dc5", "pointrend", "pointrend_variant", "pointrend_implicit"), MASKS),
}
EMPTY: dict[str, dict[str, tuple[int, ...]]] = {
    "mask_fpn": {"mask_fcn_probs": (0, 3, 28, 28)},
    "mask_resnext_agnostic": {"mask_fcn_probs": (0, 1, 28, 28)},
    "cascade_fpn": {"mask_fcn_probs": (0, 3, 28, 28)},
    "mask_c4": {"mask_fcn_probs": (0, 3, 14, 14)},
    "pointrend": {"mask_fcn_probs": (0, 1, 224, 224)},
    "pointrend_implicit": {"mask_fcn_probs": (0, 1, 224, 224)},
    "pointrend_variant": {"mask_fcn_probs": (0, 1, 56, 56)},
    "keypoint_fpn": {"kps_score": (0, 3, 56, 56)},
    "keypoint_max": {"keypoints_out": (0, 4, 3)},
    "panoptic_fpn": {"mask_fcn_probs": (0, 3, 28, 28), "sem_seg": (1, 4, 96, 128)},
    "rotated_dc5": {"bbox_nms": (0, 5)},
}


@every_model
def test_names(exported: Export, name: str) -> None:
    net = exported(name).nets.predict_net
    # RetinaNet hands im_info through, as Detectron2's files do.
    handed_on = ["im_info"] if arguments(net)["meta_architecture"] == "RetinaNet" else []
    assert list(net.external_output) == handed_on + OUTPUTS[name]
    assert list(net.external_input[:2]) == ["data", "im_info"]
    assert (net.external_input[2] == "proposals") == (name == "fast_fpn")
    assert "normalized_data" in {blob for op in net.op for blob in op.output}
    assert not [blob for blob in net.external_input if "pixel_" not in blob and "model." in blob]


@every_model
@pytest.mark.parametrize("size", [(96, 128), (75, 110)], ids=["96x128", "75x110"])
def test_files_agree_with_the_traced_model(exported: Export, name: str, size: tuple[int, int]) -> None:
    one = exported(name)
    report = verify(one.tracer, one.folder, image(*size), threads=1)
    assert report.agrees, f"\n{report}"
    assert [row.output for row in report.rows] == OUTPUTS[name]
    assert report.detections or not set(OUTPUTS[name]) & set(BOXES)


def fields(output: dict[str, Any]) -> dict[str, Array]:
    """Of the instances or proposals, and the maps of a panoptic or semantic model."""
    found = next((output[key] for key in ("instances", "proposals") if key in output), Instances((1, 1)))
    values = {key: getattr(value, "tensor", value) for key, value in found.get_fields().items()}
    if "sem_seg" in output:
        values["sem_seg"] = output["sem_seg"]
    if "panoptic_seg" in output:
        values["panoptic_seg"] = output["panoptic_seg"][0]
    return {key: np.asarray(value) for key, value in values.items()}


@every_model
def test_predictions_of_the_files_are_those_of_the_model(exported: Export, name: str) -> None:
    """The model is Detectron2's, without anything of the exporter: anchors, weights, order, frames, pasting."""
    one = exported(name)
    pixels = image(75, 110)
    given = {"height": 150, "width": 300, **proposals_of(one.model, tensor(pixels))}
    wanted = one.model([{"image": tensor(pixels), **given}])[0]
    model = runtime.Caffe2Model.load_protobuf(one.folder, threads=1, order="score")
    found = model([{"image": pixels, **given}])[0]
    assert found.keys() == wanted.keys()
    a, b = fields(wanted), fields(found)
    assert a.keys() - ({"pred_keypoint_heatmaps"} if name == "keypoint_max" else set()) == b.keys()
    assert len(next(iter(a.values()))) > 0
    for key, value in b.items():
        assert (value.shape, value.dtype) == (a[key].shape, a[key].dtype), key
        if key in ("pred_masks", "panoptic_seg"):
            assert (value != a[key]).mean() < 1e-3
        elif key in one.tracer.meta_arch.refined:
            assert (np.abs(value - a[key]) > 1e-3).mean() < OF_REFINED_CELLS
        elif key == "pred_keypoints" and name == "keypoint_max":
            # Of random maps, the highest cell is not where bicubic resizing finds its peak; but it lies in the box.
            low, high = a["pred_boxes"][:, None, :2], a["pred_boxes"][:, None, 2:]
            assert (value[:, :, :2] >= low - (high - low) / 20).all()
            assert (value[:, :, :2] <= high + (high - low) / 20).all()
            assert ((value[:, :, 2] > 0) & (value[:, :, 2] <= 1)).all()
        else:
            atol = 5e-2 if "box" in key or "keyp" in key else 1e-3
            np.testing.assert_allclose(value, a[key], atol=atol, rtol=1e-3, err_msg=key)
    if "panoptic_seg" in wanted:
        keys = ("id", "isthing", "category_id")
        segments = [[[s[key] for key in keys] for s in output["panoptic_seg"][1]] for output in (wanted, found)]
        assert segments[0] == segments[1]


def test_an_image_of_other_channels_is_refused(exported: Export) -> None:
    one = exported("rpn_fpn")
    with pytest.raises(InvalidArgument, match=r"image: must be \(3, H, W\), as many channels .*; got \(1, 8, 8\)"):
        verify(one.tracer, one.folder, np.zeros((1, 8, 8), np.float32), threads=1)


@every_model
def test_two_images_at_once_give_what_each_gives_alone(exported: Export, name: str) -> None:
    one = exported(name)
    images = [image(96, 128), image(75, 110, seed=1)]
    model = runtime.load(one.folder, threads=1)
    inputs = one.inputs(*images)
    both = model.run(inputs)
    first = 0
    for i in range(2):
        own_inputs = {key: value[i : i + 1] for key, value in inputs.items()}
        if "proposals" in inputs:
            rois = inputs["proposals"]
            own_inputs["proposals"] = rois[rois[:, 0] == i] * np.array([0, 1, 1, 1, 1], np.float32)
        alone = model.run(own_inputs)
        for key, wanted in alone.items():
            if key.startswith("rpn"):
                own = both["rpn_rois"][:, 0] == i
                found = both[key][own].copy()
                if key == "rpn_rois":
                    found[:, 0] = 0
            elif key in (*OBJECTS, "mask_fcn_probs", "kps_score", "keypoints_out"):
                assert len(wanted) == both["batch_splits"][i]
                found = both[key][first : first + len(wanted)]
            else:
                found = both[key][i : i + 1]
            np.testing.assert_allclose(found, wanted, rtol=1e-3, atol=2e-3, err_msg=key)
        first += len(alone.get("bbox_nms", ()))


@pytest.mark.parametrize("name", EMPTY)
def test_without_detections_every_output_is_empty(exported: Export, name: str, tmp_path: Any) -> None:
    """The threshold lies in the file, so that another one needs no other conversion."""
    one = exported(name)
    net = type(one.nets.predict_net)()
    net.CopyFrom(one.nets.predict_net)
    for op in net.op:
        for argument in op.arg:
            if argument.name == "score_thresh":
                argument.f = 2.0
    Caffe2Model(net, one.nets.init_net).save_protobuf(tmp_path)
    model = runtime.load(tmp_path, threads=1)
    found = {key: value.shape for key, value in model.run(one.inputs(image(96, 128))).items()}
    boxes: dict[str, tuple[int, ...]] = {"bbox_nms": (0, 4), "score_nms": (0,), "class_nms": (0,)}
    assert found == boxes | EMPTY[name]
    assert (
        len(fields(runtime.Caffe2Model.load_protobuf(tmp_path, threads=1)([{"image": image(96, 128)}])[0])["scores"])
        == 0
    )


@pytest.mark.parametrize("name", ["mask_fpn", "mask_c4", "rotated_dc5", "retinanet", "rpn_fpn"])
@pytest.mark.parametrize("value", [0, 255])
def test_a_plain_image_is_no_special_case(exported: Export, name: str, value: int) -> None:
    one = exported(name)
    report = verify(one.tracer, one.folder, np.full((3, 96, 96), value, np.float32), threads=1)
    shapes = {row.output: (row.shape, row.shape_in_files) for row in report.rows if row.output not in MASKS}
    assert all(a == b for a, b in shapes.values())
    assert all(np.isfinite(row.difference) for row in report.rows)


def arguments(net: Any) -> dict[str, Any]:
    result = {}
    for a in net.arg:
        plain = a.f if a.HasField("f") else a.i if a.HasField("i") else a.s.decode() if a.HasField("s") else None
        result[a.name] = plain if plain is not None else [*a.floats, *a.ints, *(s.decode() for s in a.strings)]
    return result


@pytest.mark.parametrize(("name", "divisibility"), [("mask_fpn", 32), ("mask_c4", 0)])
def test_arguments_of_the_net(exported: Export, name: str, divisibility: int) -> None:
    """Detectron2's come first and in its order."""
    common = {"size_divisibility": divisibility, "device": "cpu", "meta_architecture": "GeneralizedRCNN"}
    found = arguments(exported(name).nets.predict_net)
    assert list(found)[:3] == list(common)
    assert common.items() <= found.items()
    assert found["input_format"] == "BGR"
    assert found["pixel_mean"] == pytest.approx([103.53, 116.28, 123.675])
    assert (found["min_size_test"], found["max_size_test"]) == (800, 1333)


@pytest.mark.parametrize("name", ["panoptic_fpn"])
def test_arguments_of_a_panoptic_net(exported: Export, name: str) -> None:
    found = arguments(exported(name).nets.predict_net)
    assert list(found)[2:6] == [
        "meta_architecture",
        "combine_overlap_threshold",
        "combine_stuff_area_limit",
        "combine_instances_confidence_threshold",
    ]
    assert list(found.values())[2:6] == ["PanopticFPN", 0.5, 4096, 0.5]


@pytest.mark.parametrize("name", ["retinanet"])
def test_arguments_of_a_retinanet(exported: Export, name: str) -> None:
    one = exported(name)
    found = arguments(one.nets.predict_net)
    wanted = {
        "meta_architecture": "RetinaNet",
        "score_threshold": pytest.approx(0.05),
        "topk_candidates": 1000,
        "nms_threshold": 0.5,
        "max_detections_per_image": 8,
        "bbox_reg_weights": [1.0, 1.0, 1.0, 1.0],
    }
    assert list(found)[2:8] == list(wanted)
    assert list(found.values())[2:8] == list(wanted.values())
    assert found["anchor_strides"] == [8, 16, 32, 64, 128]
    cells = np.array(found["cell_anchors"]).reshape(5, 9, 4)
    # Centred on the cell, since the offset is half a stride; three sizes per octave, three shapes.
    centres = (cells[:, :, :2] + cells[:, :, 2:]) / 2
    np.testing.assert_allclose(centres, np.broadcast_to(4 * 2.0 ** np.arange(5)[:, None, None], (5, 9, 2)), atol=1e-4)
    sides = cells[:, :, 2:] - cells[:, :, :2]
    areas = np.outer(32 * 2.0 ** np.arange(5), 2 ** (np.arange(3) / 3)) ** 2
    np.testing.assert_allclose(np.sort(sides.prod(axis=2), axis=1)[:, ::3], areas, rtol=1e-4)
