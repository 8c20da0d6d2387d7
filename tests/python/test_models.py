"""Whole models with random weights: shapes, batches, state dicts, tracing, registries, refusals."""

from __future__ import annotations

import warnings
from typing import Any

import pytest
import torch
from small_models import ARCHITECTURES, one_block_per_stage, proposals_of, random_image, small_config, small_model
from torch import Tensor, nn

from d2deploy.errors import DeviceError, InvalidArgument, Unsupported
from d2deploy.modeling import BACKBONES, ROI_BOX_HEADS, Registry, ShapeSpec, build_model
from d2deploy.structures import Boxes, RotatedBoxes


def assert_same(a: dict[str, Any], b: dict[str, Any]) -> None:
    """The same predictions up to float32 rounding, which may differ between batch sizes."""
    assert set(a) == set(b)
    for name in {"instances", "proposals"} & set(a):
        fields, others = a[name].get_fields(), b[name].get_fields()
        assert list(fields) == list(others)
        for key, value in fields.items():
            x, y = (v.tensor if isinstance(v, Boxes) else v for v in (value, others[key]))
            if key == "pred_masks":
                assert (x != y).float().mean() < 1e-3
            elif key != "pred_keypoint_heatmaps":
                torch.testing.assert_close(x, y, atol=2e-2, rtol=1e-3)
    if "sem_seg" in a:
        torch.testing.assert_close(a["sem_seg"], b["sem_seg"], atol=1e-3, rtol=1e-3)


@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_predictions_are_well_formed_and_a_batch_gives_what_each_image_gets_alone(architecture: str) -> None:
    model = small_model(architecture)
    inputs: list[dict[str, Any]] = [
        {"image": random_image(96, 128), "height": 120, "width": 200},
        {"image": random_image(96, 128, seed=1)},
    ]
    for x in inputs:
        x |= proposals_of(model, x["image"])
    alone = [model([x])[0] for x in inputs]
    for one, both in zip(alone, model(inputs)):
        assert_same(one, both)
    for output, size in zip(alone, [(120, 200), (96, 128)]):
        if architecture in ("semantic_fpn", "pointrend_semantic"):
            assert set(output) == {"sem_seg"}
            assert output["sem_seg"].shape == (4, *size)
            continue
        found = output.get("instances", output.get("proposals"))
        boxes = found.pred_boxes if found.has("pred_boxes") else found.proposal_boxes
        assert found.image_size == size
        assert 0 < len(found) <= (30 if "proposals" in output else 8)
        if isinstance(boxes, RotatedBoxes):
            continue
        assert (boxes.tensor >= 0).all()
        assert (boxes.tensor[:, 2::2] <= torch.tensor(size[1])).all()
        if found.has("pred_masks"):
            assert found.pred_masks.shape == (len(found), *size)
            assert found.pred_masks.dtype == torch.bool
        if found.has("pred_keypoints"):
            assert found.pred_keypoints.shape == (len(found), 3, 3)
        if "panoptic_seg" in output:
            labels, segments = output["panoptic_seg"]
            assert labels.shape == size
            assert set(labels.unique().tolist()) - {0} == {segment["id"] for segment in segments}


@pytest.mark.parametrize(
    "architecture", ["mask_fpn", "keypoint_fpn", "mask_c4", "panoptic_fpn", "retinanet", "rotated_dc5", "pointrend"]
)
def test_an_image_without_detections(architecture: str) -> None:
    keys = ("MODEL.ROI_HEADS.SCORE_THRESH_TEST", 1.0, "MODEL.RETINANET.SCORE_THRESH_TEST", 1.0)
    (output,) = small_model(architecture, *keys)([{"image": random_image(64, 64)}])
    assert len(output["instances"]) == 0


def test_images_of_different_sizes_are_padded_and_keep_their_sizes() -> None:
    model = small_model("mask_fpn")
    batch = model.preprocess_image([{"image": random_image(64, 96)}, {"image": random_image(80, 72).byte()}])
    assert batch.tensor.shape == (2, 3, 96, 96)
    assert batch.image_sizes == [(64, 96), (80, 72)]
    assert batch.tensor[1, :, 80:].abs().max() == 0
    expected = (random_image(64, 96) - torch.tensor([103.53, 116.28, 123.675])[:, None, None]) / 60
    torch.testing.assert_close(batch.tensor[0, :, :64], expected)


# Names and shapes that checkpoints of Detectron2's zoo have; a sample of each part.
STATE: dict[str, dict[str, tuple[int, ...]]] = {
    "mask_fpn": {
        "backbone.bottom_up.stem.conv1.weight": (32, 3, 7, 7),
        "backbone.bottom_up.stem.conv1.norm.running_var": (32,),
        "backbone.bottom_up.res4.5.conv3.norm.bias": (256,),
        "backbone.bottom_up.res2.0.shortcut.weight": (64, 32, 1, 1),
        "backbone.fpn_lateral5.bias": (32,),
        "backbone.fpn_output2.weight": (32, 32, 3, 3),
        "proposal_generator.rpn_head.conv.weight": (32, 32, 3, 3),
        "proposal_generator.rpn_head.objectness_logits.weight": (3, 32, 1, 1),
        "proposal_generator.rpn_head.anchor_deltas.bias": (12,),
        "roi_heads.box_head.fc1.weight": (48, 32 * 49),
        "roi_heads.box_predictor.cls_score.weight": (4, 48),
        "roi_heads.box_predictor.bbox_pred.weight": (12, 48),
        "roi_heads.mask_head.mask_fcn4.weight": (32, 32, 3, 3),
        "roi_heads.mask_head.deconv.weight": (32, 32, 2, 2),
        "roi_heads.mask_head.predictor.bias": (3,),
    },
    "mask_fpn_gn": {
        "backbone.fpn_lateral2.norm.weight": (32,),
        "roi_heads.box_head.conv4.norm.bias": (32,),
        "roi_heads.mask_head.mask_fcn1.norm.weight": (32,),
    },
    "mask_fpn_agnostic": {
        "roi_heads.box_predictor.bbox_pred.weight": (4, 48),
        "roi_heads.mask_head.predictor.weight": (1, 32, 1, 1),
    },
    "cascade_fpn": {
        "roi_heads.box_head.2.fc1.weight": (48, 32 * 49),
        "roi_heads.box_predictor.1.cls_score.weight": (4, 48),
        "roi_heads.box_predictor.0.bbox_pred.weight": (4, 48),
    },
    "mask_c4": {
        "backbone.res4.5.conv3.weight": (256, 128, 1, 1),
        "proposal_generator.rpn_head.objectness_logits.bias": (15,),
        "roi_heads.res5.2.conv3.norm.running_mean": (512,),
        "roi_heads.box_predictor.cls_score.weight": (4, 512),
        "roi_heads.mask_head.deconv.weight": (512, 32, 2, 2),
    },
    "keypoint_fpn": {
        "roi_heads.keypoint_head.conv_fcn2.bias": (16,),
        "roi_heads.keypoint_head.score_lowres.weight": (16, 3, 4, 4),
    },
    "panoptic_fpn": {
        "sem_seg_head.p2.0.norm.weight": (32,),
        "sem_seg_head.p5.4.weight": (32, 32, 3, 3),
        "sem_seg_head.predictor.weight": (4, 32, 1, 1),
    },
    "retinanet": {
        "backbone.top_block.p6.weight": (32, 512, 3, 3),
        "head.cls_subnet.6.weight": (32, 32, 3, 3),
        "head.bbox_pred.weight": (36, 32, 3, 3),
        "head.cls_score.bias": (27,),
    },
    "retinanet_bn": {
        "head.cls_subnet.1.weight": (32,),
        "head.cls_subnet.1.4.running_mean": (32,),
        "head.cls_subnet.3.weight": (32, 32, 3, 3),
        "head.bbox_subnet.10.0.num_batches_tracked": (),
    },
    "rotated_dc5": {
        "backbone.res5.2.conv2.weight": (256, 256, 3, 3),
        "proposal_generator.rpn_head.anchor_deltas.weight": (225, 512, 1, 1),
        "roi_heads.box_predictor.bbox_pred.weight": (15, 48),
    },
}


@pytest.mark.parametrize("architecture", list(STATE))
def test_names_are_those_of_checkpoints(architecture: str) -> None:
    state = build_model(small_config(architecture)).state_dict()
    found = {name: tuple(state[name].shape) if name in state else None for name in STATE[architecture]}
    assert found == STATE[architecture]
    assert not any("pixel_" in name or "anchor_generator" in name for name in state)


def test_several_convolutions_in_the_rpn_head() -> None:
    head = build_model(small_config("mask_fpn", "MODEL.RPN.CONV_DIMS", [-1, 16])).proposal_generator.rpn_head
    shapes = {name: tuple(value.shape) for name, value in head.state_dict().items()}
    assert shapes["conv.conv0.weight"] == (32, 32, 3, 3)
    assert shapes["conv.conv1.weight"] == (16, 32, 3, 3)
    assert shapes["anchor_deltas.weight"] == (12, 16, 1, 1)


class Network(nn.Module):
    """What of a model is network alone: no boxes."""

    def __init__(self, model: Any) -> None:
        super().__init__()
        self.model = model

    def forward(self, x: Tensor) -> Any:
        features = self.model.backbone(x)
        if hasattr(self.model, "head"):
            return self.model.head([features[f] for f in self.model.head_in_features])
        outputs = self.model.proposal_generator.rpn_head(
            [features[f] for f in self.model.proposal_generator.in_features]
        )
        return (outputs, self.model.sem_seg_head.layers(features)) if hasattr(self.model, "sem_seg_head") else outputs


@pytest.mark.parametrize("architecture", ["mask_c4", "panoptic_fpn", "retinanet_bn"])
def test_networks_are_traced_for_every_size(architecture: str) -> None:
    with one_block_per_stage():
        model = small_model(architecture)
    stride = max(1, model.backbone.size_divisibility)
    sizes = {
        2 + axis: stride * torch.export.Dim(name, max=64) if stride > 1 else torch.export.Dim.DYNAMIC
        for axis, name in enumerate("hw")
    }
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # torch's own, about its inner workings
        # Large enough that no level has a side of 1, which the trace would take for granted.
        program = torch.export.export(Network(model), (torch.zeros(1, 3, 256, 384),), dynamic_shapes={"x": sizes})
    x = random_image(256, 160)[None]
    torch.testing.assert_close(program.module()(x), Network(model)(x), atol=1e-3, rtol=1e-3)


def test_parts_of_ones_own(monkeypatch: pytest.MonkeyPatch) -> None:
    for registry in (BACKBONES, ROI_BOX_HEADS):
        monkeypatch.setattr(registry, "_entries", dict(registry._entries))

    @BACKBONES.register("test_backbone")
    def build(cfg: Any, input_shape: ShapeSpec) -> nn.Module:
        class Patches(nn.Conv2d):
            def output_shape(self) -> dict[str, ShapeSpec]:
                return {"res4": ShapeSpec(8, stride=16)}

            def forward(self, x: Tensor) -> Any:
                return {"res4": super().forward(x)}

        return Patches(input_shape.channels, 8, 16, stride=16)

    @ROI_BOX_HEADS.register("test_box_head")
    class Flat(nn.Flatten):
        @classmethod
        def from_config(cls, cfg: Any, input_shape: ShapeSpec) -> Flat:
            head = cls()
            head.output_shape = input_shape
            return head

        output_shape: ShapeSpec

    keys: list[Any] = ["MODEL.BACKBONE.NAME", "test_backbone", "MODEL.ROI_BOX_HEAD.NAME", "test_box_head"]
    keys += ["MODEL.RPN.IN_FEATURES", ["res4"], "MODEL.ROI_HEADS.IN_FEATURES", ["res4"]]
    model = build_model(small_config("rotated_dc5", *keys))
    assert model.roi_heads.box_predictor.cls_score.weight.shape == (4, 8 * 49)
    assert len(model([{"image": random_image(64, 64)}])) == 1


def test_registries_know_what_they_have() -> None:
    registry = Registry("THINGS", "MODEL.THING", {"old": "it is old; use one"})
    for name in ("two", "one"):
        registry.register(name)(lambda cfg: cfg)
    assert registry.build("one", 7) == 7
    with pytest.raises(
        InvalidArgument,
        match=r"MODEL.THING is three, which is not known; known: one, two; your own are added with @THINGS",
    ):
        registry.build("three", 7)
    with pytest.raises(InvalidArgument, match=r"MODEL.THING is empty, which"):
        registry.build("", 7)
    with pytest.raises(Unsupported, match=r"MODEL.THING is old: it is old; use one"):
        registry.build("old", 7)
    with pytest.raises(InvalidArgument, match="THINGS: one is registered already; choose another name"):
        registry.register("one")(lambda cfg: cfg)
    registry.register("old")(lambda cfg: 2 * cfg)
    assert registry.build("old", 7) == 14


def test_everything_unsupported_is_named_at_once() -> None:
    keys: list[Any] = ["MODEL.ROI_HEADS.NAME", "TridentStandardROIHeads"]
    keys += ["MODEL.ROI_MASK_HEAD.NAME", "CoarseMaskHead"]
    keys += ["MODEL.BACKBONE.NAME", "build_vit_backbone"]
    with pytest.raises(Unsupported) as caught:
        build_model(small_config("mask_fpn", *keys))
    assert [line.split(" is ")[0] for line in str(caught.value).split("\n")] == [
        "MODEL.BACKBONE.NAME",
        "MODEL.ROI_HEADS.NAME",
        "MODEL.ROI_MASK_HEAD.NAME",
    ]


MASK, POINTS, IMPLICIT, SEMANTIC_POINTS = "mask_fpn", "pointrend", "pointrend_implicit", "pointrend_semantic"
REFUSED: list[tuple[str, str, Any, type[Exception], str]] = [
    (MASK, "ROI_BOX_HEAD.POOLER_TYPE", "ROIPool", Unsupported, "MODEL.ROI_BOX_HEAD.POOLER_TYPE is ROIPool"),
    (MASK, "ROI_MASK_HEAD.POOLER_TYPE", "", InvalidArgument, "MODEL.ROI_MASK_HEAD.POOLER_TYPE is empty"),
    (
        MASK,
        "ROI_HEADS.NAME",
        "Mine",
        InvalidArgument,
        "known: CascadeROIHeads, PointRendROIHeads, RROIHeads, Res5ROIHeads, StandardROIHeads",
    ),
    (MASK, "RPN.CONV_DIMS", [0], InvalidArgument, r"CONV_DIMS: each must be positive or -1, .* got \[0\]"),
    (MASK, "RPN.IN_FEATURES", ["p9"], InvalidArgument, "MODEL.RPN.IN_FEATURES: p9; the backbone gives: p2"),
    (MASK, "ROI_HEADS.IN_FEATURES", [], InvalidArgument, "MODEL.ROI_HEADS.IN_FEATURES: empty"),
    (MASK, "ROI_BOX_HEAD.NUM_FC", 0, InvalidArgument, "NUM_CONV and NUM_FC are both 0"),
    (MASK, "ROI_BOX_HEAD.BBOX_REG_WEIGHTS", [1.0], InvalidArgument, r"needs 4 numbers, got \[1.0\]"),
    (POINTS, "ROI_MASK_HEAD.POOLER_TYPE", "ROIAlignV2", InvalidArgument, "PointRendMaskHead reads the maps itself"),
    (POINTS, "ROI_MASK_HEAD.POINT_HEAD_ON", False, InvalidArgument, "POINT_HEAD_ON is False, which is for training"),
    (POINTS, "ROI_MASK_HEAD.IN_FEATURES", ["p6"], InvalidArgument, "ROI_MASK_HEAD.IN_FEATURES: p6; the backbone gives"),
    (POINTS, "POINT_HEAD.IN_FEATURES", [], InvalidArgument, "MODEL.POINT_HEAD.IN_FEATURES: empty"),
    (
        POINTS,
        "POINT_HEAD.NUM_CLASSES",
        80,
        InvalidArgument,
        "POINT_HEAD.NUM_CLASSES is 80, MODEL.ROI_HEADS.NUM_CLASSES 3",
    ),
    (POINTS, "POINT_HEAD.NAME", "ImplicitPointHead", InvalidArgument, "PointRendMaskHead needs StandardPointHead"),
    (POINTS, "ROI_MASK_HEAD.NAME", "ImplicitPointRendMaskHead", InvalidArgument, "needs ImplicitPointHead"),
    (IMPLICIT, "POINT_HEAD.SUBDIVISION_NUM_POINTS", 50, InvalidArgument, "it must be a square number"),
    (
        POINTS,
        "POINT_HEAD.NAME",
        "Mine",
        InvalidArgument,
        "POINT_HEAD.NAME is Mine, which is not known; known: Implicit",
    ),
    (
        SEMANTIC_POINTS,
        "POINT_HEAD.SUBDIVISION_STEPS",
        3,
        InvalidArgument,
        "makes a map 8 times as large; .*STRIDE is 4",
    ),
    (SEMANTIC_POINTS, "POINT_HEAD.NUM_CLASSES", 5, InvalidArgument, "is 5, MODEL.SEM_SEG_HEAD.NUM_CLASSES 4; both"),
    ("rpn_fpn", "PROPOSAL_GENERATOR.NAME", "PrecomputedProposals", Unsupported, "without RoI heads have nothing to do"),
    (MASK, "PROPOSAL_GENERATOR.NAME", "RRPN", InvalidArgument, "RRPN: needs anchors of 5 numbers"),
    (MASK, "PIXEL_STD", [1.0], InvalidArgument, "PIXEL_MEAN has 3 numbers, MODEL.PIXEL_STD 1"),
    (MASK, "PIXEL_STD", [1.0, 0.0, 1.0], InvalidArgument, r"MODEL.PIXEL_STD is \[1.0, 0.0, 1.0\], must be positive"),
    (MASK, "PIXEL_MEAN", ["a", "b", "c"], InvalidArgument, r"MODEL.PIXEL_MEAN is \['a', 'b', 'c'\], must be finite"),
    (MASK, "ROI_HEADS.NUM_CLASSES", -1, InvalidArgument, "MODEL.ROI_HEADS.NUM_CLASSES is -1, must be at least 1"),
    (MASK, "ROI_BOX_HEAD.POOLER_RESOLUTION", 0, InvalidArgument, "POOLER_RESOLUTION is 0, must be at least 1"),
    (MASK, "ANCHOR_GENERATOR.SIZES", [["a"]], InvalidArgument, r"SIZES is \[\['a'\]\], must be positive numbers"),
    (
        MASK,
        "ANCHOR_GENERATOR.ASPECT_RATIOS",
        [[0.0]],
        InvalidArgument,
        r"RATIOS is \[\[0.0\]\], must be positive numbers",
    ),
    (MASK, "RPN.BBOX_REG_WEIGHTS", [0.0] * 4, InvalidArgument, "MODEL.RPN.BBOX_REG_WEIGHTS is .*, must be positive"),
    (MASK, "RPN.NMS_THRESH", float("nan"), InvalidArgument, "MODEL.RPN.NMS_THRESH is nan, must be a number"),
    (
        MASK,
        "ROI_HEADS.IN_FEATURES",
        ["p2", "p4"],
        InvalidArgument,
        "ROI_BOX_HEAD: the maps p2, p4 cannot be pooled from",
    ),
    ("semantic_fpn", "SEM_SEG_HEAD.NUM_CLASSES", 0, InvalidArgument, "MODEL.SEM_SEG_HEAD.NUM_CLASSES is 0, must be at"),
    ("keypoint_fpn", "ROI_KEYPOINT_HEAD.NUM_KEYPOINTS", 0, InvalidArgument, "NUM_KEYPOINTS is 0, must be at least 1"),
    (MASK, "DEVICE", "cuda:99", DeviceError, "MODEL.DEVICE is cuda:99, but PyTorch sees [0-9]+ CUDA devices; set"),
    (MASK, "DEVICE", "gpu", InvalidArgument, "MODEL.DEVICE is gpu, must be cpu, cuda or cuda:N"),
    (MASK, "DEVICE", "fpga", InvalidArgument, "MODEL.DEVICE is fpga, must be cpu, cuda or cuda:N"),
    (
        "cascade_fpn",
        "ROI_BOX_HEAD.CLS_AGNOSTIC_BBOX_REG",
        False,
        InvalidArgument,
        "set .*CLS_AGNOSTIC_BBOX_REG to True",
    ),
    (
        "cascade_fpn",
        "ROI_BOX_CASCADE_HEAD.IOUS",
        [0.5],
        InvalidArgument,
        r"needs four numbers for each stage, .* \[0.5\]",
    ),
    (
        *("cascade_fpn", "ROI_BOX_HEAD.BBOX_REG_WEIGHTS", [1.0] * 4, InvalidArgument),
        r"are \[1.0, 1.0, 1.0, 1.0\], the first of .* \[10.0, 10.0, 5.0, 5.0\]; both must be the same",
    ),
    ("mask_c4", "KEYPOINT_ON", True, InvalidArgument, r"Res5ROIHeads, .* got \['res4'\] and MODEL.KEYPOINT_ON True"),
    ("rotated_dc5", "MASK_ON", True, InvalidArgument, "RROIHeads, which has neither masks nor keypoints"),
    ("rotated_dc5", "ROI_BOX_HEAD.POOLER_TYPE", "ROIAlign", InvalidArgument, "RROIHeads need ROIAlignRotated"),
    ("retinanet", "RETINANET.BBOX_REG_WEIGHTS", [1.0], InvalidArgument, r"needs 4 weights, got \[1.0\]"),
    ("retinanet", "ANCHOR_GENERATOR.NAME", "RotatedAnchorGenerator", InvalidArgument, "needs upright anchors"),
]


@pytest.mark.parametrize(("architecture", "key", "value", "error", "message"), REFUSED)
def test_what_is_refused(architecture: str, key: str, value: Any, error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        build_model(small_config(architecture, f"MODEL.{key}", value))


def test_features_of_different_channels_are_refused() -> None:
    keys = ["MODEL.RESNETS.OUT_FEATURES", ["res4", "res5"]]
    with pytest.raises(InvalidArgument, match=r"MODEL.RPN.IN_FEATURES must have equal channels, got \[256, 512\]"):
        build_model(small_config("rotated_dc5", *keys, "MODEL.RPN.IN_FEATURES", ["res4", "res5"]))
    with pytest.raises(InvalidArgument, match=r"MODEL.ROI_HEADS.IN_FEATURES must have equal channels"):
        build_model(small_config("rotated_dc5", *keys, "MODEL.ROI_HEADS.IN_FEATURES", ["res4", "res5"]))


def test_wrong_inputs_are_all_named() -> None:
    model = build_model(small_config("rpn_fpn"))
    with pytest.raises(InvalidArgument, match=r"number 1 has \(64, 64, 3\), number 2 has no image"):
        model([{"image": random_image(64, 64)}, {"image": torch.zeros(64, 64, 3)}, {}])
    with pytest.raises(InvalidArgument, match="the list is empty"):
        model([])
