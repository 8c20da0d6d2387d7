"""Live Detectron2 models, the user's own parts included; skipped where Detectron2 is not installed.

Expectations are Detectron2's own predictions. Last run with its main branch at commit
02b5c4e295e990042a714712c21dc79b731e8833 and PyTorch 2.13.0.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable
from contextlib import suppress
from importlib import import_module
from typing import Any

import pytest
import torch
from small_models import ARCHITECTURES, proposals_of, random_image, small_config
from torch import Tensor, nn

from benchmarking.models import draw_weights
from d2deploy.errors import Unsupported
from d2deploy.export import Caffe2Tracer, add_export_config
from d2deploy.export.detectron2 import from_detectron2, is_detectron2
from d2deploy.export.verify import OF_REFINED_CELLS
from d2deploy.modeling import PointRendSemSegHead, build_model

with warnings.catch_warnings():
    warnings.simplefilter("ignore")
    reason = "Detectron2 is not installed"
    d2_config = pytest.importorskip("detectron2.config", reason=reason)
    d2 = pytest.importorskip("detectron2.modeling", reason=reason)
    d2_layers = pytest.importorskip("detectron2.layers", reason=reason)
    d2_structures = pytest.importorskip("detectron2.structures", reason=reason)
    d2_regression = pytest.importorskip("detectron2.modeling.box_regression", reason=reason)
    d2_fast_rcnn = pytest.importorskip("detectron2.modeling.roi_heads.fast_rcnn", reason=reason)

pytestmark = pytest.mark.filterwarnings("ignore")  # Detectron2's own

# Detectron2's registries hold classes for good, so each is registered once.


@d2.BACKBONE_REGISTRY.register()
class AdapterTestBackbone(d2.Backbone):  # type: ignore[misc, name-defined]
    """One map, `c3`, of stride 8."""

    def __init__(self, cfg: Any, input_shape: Any) -> None:
        super().__init__()
        self.first = nn.Conv2d(input_shape.channels, 16, 7, stride=4, padding=3)
        self.second = d2_layers.Conv2d(16, 32, 3, stride=2, padding=1, activation=nn.functional.silu)
        self._out_feature_channels = {"c3": 32}
        self._out_feature_strides = {"c3": 8}
        self._out_features = ["c3"]

    @property
    def size_divisibility(self) -> int:
        return 8

    def forward(self, x: Tensor) -> dict[str, Tensor]:
        return {"c3": self.second(self.first(x).relu())}


@d2.ROI_BOX_HEAD_REGISTRY.register()
class AdapterTestBoxHead(nn.Module):
    """Averages instead of fully connected layers."""

    def __init__(self, cfg: Any, input_shape: Any) -> None:
        super().__init__()
        self.conv = nn.Conv2d(input_shape.channels, 24, 3)
        self.output_shape = d2_layers.ShapeSpec(channels=24)

    def forward(self, x: Tensor) -> Tensor:
        result: Tensor = nn.functional.relu(self.conv(x)).mean(dim=[2, 3])
        return result


@d2.ANCHOR_GENERATOR_REGISTRY.register()
class AdapterTestAnchors(nn.Module):
    """Two boxes per cell, a quarter of a cell to the right and half of one down."""

    box_dim = 4
    num_anchors = (2,)
    num_cell_anchors = num_anchors
    boxes: Tensor

    def __init__(self, cfg: Any, input_shape: Any) -> None:
        super().__init__()
        self.stride = input_shape[0].stride
        self.register_buffer("boxes", torch.tensor([[-12.0, -16.0, 12.0, 16.0], [-30.0, -20.0, 30.0, 20.0]]), False)

    def forward(self, features: list[Tensor]) -> list[Any]:
        height, width = features[0].shape[-2:]
        y = (torch.arange(height) + 0.5) * self.stride
        x = (torch.arange(width) + 0.25) * self.stride
        y, x = torch.meshgrid(y, x, indexing="ij")
        centres = torch.stack([x, y, x, y], dim=-1).view(-1, 1, 4)
        return [d2_structures.Boxes((centres + self.boxes).view(-1, 4))]


@d2.SEM_SEG_HEADS_REGISTRY.register()
class AdapterTestSemSegHead(nn.Module):
    """Classifies the finest map and interpolates by itself."""

    def __init__(self, cfg: Any, input_shape: Any) -> None:
        super().__init__()
        self.predictor = nn.Conv2d(input_shape["p2"].channels, cfg.MODEL.SEM_SEG_HEAD.NUM_CLASSES, 1)

    def forward(self, features: dict[str, Tensor], targets: Any = None) -> tuple[Tensor, dict[str, Tensor]]:
        logits = self.predictor(features["p2"])
        return nn.functional.interpolate(logits, scale_factor=4.0, mode="bilinear", align_corners=False), {}


CUSTOM: list[Any] = [
    *("MODEL.BACKBONE.NAME", "AdapterTestBackbone", "MODEL.ROI_BOX_HEAD.NAME", "AdapterTestBoxHead"),
    *("MODEL.ANCHOR_GENERATOR.NAME", "AdapterTestAnchors"),
    *("MODEL.RPN.IN_FEATURES", ["c3"], "MODEL.ROI_HEADS.IN_FEATURES", ["c3"]),
]


def config(architecture: str, *overrides: Any) -> Any:
    """Detectron2's configuration with the values of `small_config`."""
    cfg = add_export_config(d2_config.get_cfg())
    cfg.set_new_allowed(True)  # PointRend's keys
    cfg.merge_from_other_cfg(d2_config.CfgNode.load_cfg(small_config(architecture).dump()))
    cfg.merge_from_list(list(overrides))
    return cfg


# Standard deviations that some layers' outputs get, which keep boxes near their anchors and scores apart.
SPREADS = {
    **dict.fromkeys(["objectness_logits", "cls_score", "predictor", "score_lowres"], 1.5),
    **dict.fromkeys(["anchor_deltas", "bbox_pred"], 0.3),
}


def detectron2_model(cfg: Any) -> Any:
    """Detectron2's model with random weights, training."""

    def spread(layer: Any, inputs: Any, output: Tensor) -> Tensor:
        handles.pop(layer).remove()
        factor = SPREADS[names[layer]] / output.std()
        for value in layer.parameters():
            value.mul_(factor)
        return output * factor

    with torch.random.fork_rng(), torch.no_grad():
        torch.manual_seed(0)
        model = d2.build_model(cfg)
        draw_weights(model, {"conv2_offset": 0.3})  # large random offsets would magnify every rounding
        names = {layer: name.split(".")[-1] for name, layer in model.named_modules()}
        handles = {layer: layer.register_forward_hook(spread) for layer, name in names.items() if name in SPREADS}
        image = random_image(128, 160)
        model.eval()([{"image": image, **given_to(model, image)}])
    assert not handles
    return model.train()


def given_to(theirs: Any, image: Tensor) -> dict[str, Any]:
    """Proposals as Detectron2's Instances, for a model that finds none itself."""
    given = proposals_of(theirs, image)
    if given:
        found = d2_structures.Instances(tuple(image.shape[1:]))
        found.proposal_boxes = d2_structures.Boxes(given["proposals"].proposal_boxes.tensor)
        given["proposals"] = found
    return given


def custom_model() -> tuple[Any, Any]:
    cfg = config("mask_dc5", *CUSTOM)
    return cfg, detectron2_model(cfg)


def assert_same_predictions(model: Any, theirs: Any) -> None:
    """On two images of one batch, one of them wanted in another size."""
    inputs: list[dict[str, Any]] = [
        {"image": random_image(90, 128), "height": 120, "width": 200},
        {"image": random_image(96, 113, seed=1)},
    ]
    for x in inputs:
        x |= given_to(theirs, x["image"])
    with torch.no_grad():
        expected = theirs.eval()(inputs)
    for ours, other in zip(model(inputs), expected):
        assert set(ours) == set(other)
        if set(ours) == {"sem_seg"}:
            beyond = (ours["sem_seg"] - other["sem_seg"]).abs() > 1e-4 * (1 + other["sem_seg"].abs())
            refined = isinstance(model.sem_seg_head, PointRendSemSegHead)
            assert beyond.float().mean() <= (OF_REFINED_CELLS if refined else 0)
            continue
        name = "instances" if "instances" in other else "proposals"
        assert len(ours[name]) == len(other[name]) > 0
        assert set(ours[name].get_fields()) == set(other[name].get_fields())
        for key, value in other[name].get_fields().items():
            x, y = (getattr(v, "tensor", v) for v in (ours[name].get_fields()[key], value))
            if key == "pred_masks":
                assert (x != y).float().mean() < 1e-4
            else:
                torch.testing.assert_close(x, y, atol=2e-3, rtol=1e-4)
        if "panoptic_seg" in other:
            torch.testing.assert_close(ours["sem_seg"], other["sem_seg"], atol=1e-4, rtol=1e-4)
            assert (ours["panoptic_seg"][0] != other["panoptic_seg"][0]).float().mean() < 1e-3


class SquareBackbone(AdapterTestBackbone):
    @property
    def padding_constraints(self) -> dict[str, int]:
        return {"square_size": 200}


def test_images_are_padded_to_the_square_of_the_backbone() -> None:
    cfg, model = custom_model()
    model.backbone.__class__ = SquareBackbone
    ours = from_detectron2(cfg, model)
    assert ours.preprocess_image([{"image": random_image(90, 128)}]).tensor.shape == (1, 3, 200, 200)
    assert_same_predictions(ours, model)


POINT_REND = ("pointrend", "pointrend_implicit", "pointrend_semantic")


def d2_fcos() -> tuple[Any, Any]:
    """FCOS, which lazy configurations alone describe, on a backbone of RetinaNet's; training."""
    fcos = pytest.importorskip("detectron2.modeling.meta_arch.fcos")
    cfg = config("retinanet", "MODEL.FPN.OUT_CHANNELS", 64)
    backbone = d2.build_backbone(cfg)
    names = ["p3", "p4", "p5", "p6", "p7"]
    shapes = [backbone.output_shape()[name] for name in names]
    head = fcos.FCOSHead(input_shape=shapes, num_classes=3, conv_dims=[64, 64], norm="GN", prior_prob=0.1)
    model = fcos.FCOS(
        backbone=backbone,
        head=head,
        head_in_features=names,
        num_classes=3,
        pixel_mean=cfg.MODEL.PIXEL_MEAN,
        pixel_std=cfg.MODEL.PIXEL_STD,
    )
    with torch.no_grad():
        torch.manual_seed(0)
        draw_weights(model, {"bbox_pred": 0.3, "ctrness": 0.5})
        head.bbox_pred.bias.add_(2)
    return cfg, model.train()


def test_fcos_gives_the_same() -> None:
    cfg, theirs = d2_fcos()
    model: Any = from_detectron2(cfg, theirs)
    assert set(model.state_dict()) == set(theirs.state_dict())
    assert_same_predictions(model, theirs)
    outputs = Caffe2Tracer(cfg, theirs).meta_arch.outputs
    assert outputs[5:8] == ["box_cls_0", "box_delta_0", "box_centerness_0"]
    theirs.box2box_transform.normalize_by_size = False
    with pytest.raises(Unsupported, match="normalize_by_size is False; the files' readers take True"):
        from_detectron2(cfg, theirs)


def test_our_fcos_has_the_names_of_theirs() -> None:
    cfg = config("retinanet", "MODEL.FPN.OUT_CHANNELS", 64, "MODEL.RETINANET.NUM_CONVS", 2)
    cfg.merge_from_list(["MODEL.META_ARCHITECTURE", "FCOS", "MODEL.RETINANET.NORM", "GN"])
    _, theirs = d2_fcos()
    ours = build_model(cfg)
    ours.load_state_dict(theirs.state_dict())
    for name in ("test_score_thresh", "test_nms_thresh", "max_detections_per_image"):
        setattr(ours, name, getattr(theirs, name))
    assert_same_predictions(ours, theirs)


def register_point_rend() -> None:
    """Imports Detectron2's project, which registers its heads."""
    for name in ("detectron2.projects.point_rend", "point_rend"):
        with suppress(ImportError):
            import_module(name)
            return
    pytest.skip("Detectron2's project PointRend is not there")


@pytest.mark.parametrize("architecture", POINT_REND)
def test_point_rend_gives_the_same(architecture: str) -> None:
    register_point_rend()
    cfg = config(architecture)
    theirs = detectron2_model(cfg)
    ours: Any = build_model(cfg)
    ours.load_state_dict(theirs.state_dict())
    for model in (from_detectron2(cfg, theirs), ours):
        assert set(model.state_dict()) == set(theirs.state_dict())
        assert_same_predictions(model, theirs)
    assert Caffe2Tracer(cfg, theirs).meta_arch.refined == Caffe2Tracer(cfg, ours).meta_arch.refined != []


def test_other_point_heads_are_refused() -> None:
    register_point_rend()
    cfg = config("pointrend")
    theirs = d2.build_model(cfg)
    theirs.roi_heads.mask_head.point_head = nn.Identity()
    with pytest.raises(Unsupported, match=r"mask_head.point_head is a Identity; can be: StandardPointHead"):
        from_detectron2(cfg, theirs)
    theirs.roi_heads.mask_head.mask_point_on = False
    with pytest.raises(Unsupported, match="mask_point_on is False, which is for training"):
        from_detectron2(cfg, theirs)
    theirs.roi_heads.mask_head.forward = lambda *_: None
    with pytest.raises(Unsupported, match="mask_head is a PointRendMaskHead, which changes forward"):
        from_detectron2(cfg, theirs)
    theirs = d2.build_model(config("pointrend_implicit"))
    theirs.roi_heads.mask_head.point_head = nn.Identity()
    with pytest.raises(Unsupported, match=r"mask_head.point_head is a Identity; can be: ImplicitPointHead"):
        from_detectron2(cfg, theirs)


@pytest.mark.parametrize("architecture", [name for name in ARCHITECTURES if name not in ("fcos", *POINT_REND)])
def test_zoo_models_give_the_same_and_keep_their_names(architecture: str) -> None:
    cfg = config(architecture)
    theirs = detectron2_model(cfg)
    assert is_detectron2(theirs)
    model = from_detectron2(cfg, theirs)
    assert theirs.training  # the user's model stays as it is
    assert not is_detectron2(model)
    assert set(model.state_dict()) == set(theirs.state_dict())
    assert_same_predictions(model, theirs)


def test_modulated_layers_give_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    """Detectron2 has them for GPUs alone; what they call there is torchvision's operator."""
    deform_conv2d = pytest.importorskip("torchvision.ops").deform_conv2d

    def operator(x: Tensor, offset: Tensor, mask: Tensor, weight: Tensor, bias: Any, *window: int) -> Tensor:
        result: Tensor = deform_conv2d(x, offset, weight, bias, *window[:3], mask)
        return result

    monkeypatch.setattr("detectron2.layers.deform_conv.modulated_deform_conv", operator)
    keys: list[Any] = ["MODEL.RESNETS.DEFORM_MODULATED", True, "MODEL.RESNETS.DEFORM_NUM_GROUPS", 2]
    cfg = config("mask_fpn_dconv", *keys, "MODEL.RESNETS.NUM_GROUPS", 4)
    theirs = detectron2_model(cfg)
    model = from_detectron2(cfg, theirs)
    assert set(model.state_dict()) == set(theirs.state_dict())
    assert_same_predictions(model, theirs)


def test_torchvisions_layer_gives_the_same() -> None:
    layer = pytest.importorskip("torchvision.ops").DeformConv2d(4, 6, 3, padding=1, groups=2)

    class Branch(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.layer = self.again = layer

        def forward(self, x: Tensor, offset: Tensor) -> Tensor:
            result: Tensor = self.layer(x, offset) + self.again(x, -offset)
            return result

    cfg, theirs = custom_model()
    theirs.backbone.branch = Branch()
    model: Any = from_detectron2(cfg, theirs)
    x, offset = torch.randn(1, 4, 5, 6), torch.randn(1, 36, 5, 6)
    branch = model.backbone.branch
    assert branch.layer is branch.again is not layer
    torch.testing.assert_close(branch(x, offset), theirs.backbone.branch(x, offset))


def test_the_models_parts_are_copies() -> None:
    cfg, theirs = custom_model()
    model: Any = from_detectron2(cfg, theirs)
    with torch.no_grad():
        theirs.backbone.first.weight.zero_()
    assert model.backbone.first.weight.abs().sum() > 0


def test_registered_backbone_head_and_anchors() -> None:
    cfg, theirs = custom_model()
    assert_same_predictions(from_detectron2(cfg, theirs), theirs)


def test_registered_semantic_head() -> None:
    cfg = config("panoptic_fpn", "MODEL.SEM_SEG_HEAD.NAME", "AdapterTestSemSegHead")
    theirs = detectron2_model(cfg)
    assert_same_predictions(from_detectron2(cfg, theirs), theirs)


class TemperedPredictor(d2_fast_rcnn.FastRCNNOutputLayers):  # type: ignore[misc, name-defined]
    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        scores, deltas = super().forward(x)
        return scores * 0.5, deltas


def test_predictor_with_a_forward_of_its_own() -> None:
    cfg, theirs = custom_model()
    theirs.roi_heads.box_predictor.__class__ = TemperedPredictor
    assert_same_predictions(from_detectron2(cfg, theirs), theirs)


def test_sigmoid_scores() -> None:
    cfg = config("mask_dc5", "MODEL.ROI_BOX_HEAD.USE_SIGMOID_CE", True)
    theirs = detectron2_model(cfg)
    assert_same_predictions(from_detectron2(cfg, theirs), theirs)


def test_offset_of_the_anchors() -> None:
    cfg = config("retinanet", "MODEL.ANCHOR_GENERATOR.OFFSET", 0.5)
    theirs = detectron2_model(cfg)
    model: Any = from_detectron2(cfg, theirs)
    assert_same_predictions(model, theirs)
    # Stride 8, so the offset is 4 pixels; the second anchor is the square of 32 x 32.
    torch.testing.assert_close(next(iter(model.anchor_generator.cell_anchors))[1], torch.tensor([-12.0, -12, 20, 20]))


def test_detectron2s_configuration_builds_our_models() -> None:
    cfg = config("mask_fpn")
    cfg.freeze()
    assert add_export_config(cfg) is cfg
    theirs = detectron2_model(cfg)
    model = build_model(cfg)
    model.load_state_dict(theirs.state_dict())
    assert_same_predictions(model, theirs)


def test_export_configuration_is_added_to_a_frozen_configuration() -> None:
    cfg = d2_config.get_cfg()
    cfg.freeze()
    assert not add_export_config(cfg).EXPORT_CAFFE2.USE_HEATMAP_MAX_KEYPOINT
    assert cfg.is_frozen()


def test_tracer_takes_the_live_model() -> None:
    cfg, theirs = custom_model()
    tracer = Caffe2Tracer(cfg, theirs)
    image = random_image(88, 128)
    with torch.no_grad():
        expected = theirs.eval()([{"image": image}])[0]["instances"]
    raw = tracer.run(image[None], torch.tensor([[88.0, 128.0, 1.0]]))
    order = torch.sort(raw["score_nms"], descending=True, stable=True).indices
    assert len(order) == len(expected) > 0
    torch.testing.assert_close(raw["bbox_nms"][order], expected.pred_boxes.tensor, atol=2e-3, rtol=1e-4)
    assert raw["class_nms"][order].tolist() == expected.pred_classes.tolist()
    types = [op.type for op in tracer.export_caffe2().predict_net.op]
    assert {"GenerateProposals", "RoIAlign", "BoxWithNMSLimit", "Sigmoid"} <= set(types)


class ChangedRCNN(d2.GeneralizedRCNN):  # type: ignore[misc, name-defined]
    def inference(self, *args: Any, **kwargs: Any) -> Any:
        return super().inference(*args, **kwargs)


class ChangedPredictor(d2_fast_rcnn.FastRCNNOutputLayers):  # type: ignore[misc, name-defined]
    def predict_probs(self, predictions: Any, proposals: Any) -> Any:
        return super().predict_probs(predictions, proposals)


class RandomAnchors(AdapterTestAnchors):
    def forward(self, features: list[Tensor]) -> list[Any]:
        grid = super().forward(features)[0].tensor
        return [d2_structures.Boxes(grid * torch.linspace(1, 2, len(grid))[:, None])]


def roi_pool(heads: Any) -> Any:
    return d2.poolers.ROIPooler(7, [1 / 8], 0, "ROIPool")


def spoil_mask_pooler(model: Any) -> None:
    model.roi_heads.mask_pooler = None


def spoil_mask_head(model: Any) -> None:
    model.roi_heads.mask_head = nn.Identity()


def spoil_box_pooler(model: Any) -> None:
    model.roi_heads.box_pooler = roi_pool(model.roi_heads)


def spoil_predictor(model: Any) -> None:
    model.roi_heads.box_predictor.__class__ = ChangedPredictor


def spoil_predictor_entirely(model: Any) -> None:
    model.roi_heads.box_predictor = nn.Linear(24, 4)


def spoil_forward_of_the_instance(model: Any) -> None:
    model.proposal_generator.forward = lambda *args: ([], {})


def spoil_anchors(model: Any) -> None:
    model.proposal_generator.anchor_generator.__class__ = RandomAnchors


def spoil_transform(model: Any) -> None:
    model.proposal_generator.box2box_transform = d2_regression.Box2BoxTransform((1.0, 1, 1, 1), scale_clamp=2.0)


def spoil_transform_entirely(model: Any) -> None:
    model.proposal_generator.box2box_transform = d2_regression.Box2BoxTransformLinear()


def spoil_layers(model: Any) -> None:
    class ChangedDeformConv(d2_layers.DeformConv):  # type: ignore[misc, name-defined]
        def forward(self, x: Tensor, offset: Tensor) -> Tensor:
            result: Tensor = super().forward(x, offset * 2)
            return result

    model.backbone.extra = nn.Sequential(d2_layers.DeformConv(4, 4, 3), ChangedDeformConv(4, 4, 3))


def spoil_meta_architecture(model: Any) -> None:
    model.__class__ = ChangedRCNN


REFUSALS: dict[Callable[[Any], None], str] = {
    spoil_mask_pooler: r"roi_heads.mask_pooler is None: heads that read the feature maps themselves cannot be",
    spoil_mask_head: r"roi_heads.mask_head is a Identity; can be: BaseMaskRCNNHead, and classes derived from them",
    spoil_box_pooler: r"roi_heads.box_pooler pools with RoIPool, which the files have no operator for; use ROIAlignV2",
    spoil_predictor: r"box_predictor is a ChangedPredictor, which changes predict_probs of FastRCNNOutputLayers",
    spoil_predictor_entirely: r"roi_heads.box_predictor is a Linear; can be: FastRCNNOutputLayers, Rotated",
    spoil_forward_of_the_instance: r"proposal_generator is a RPN, which changes forward of RPN: only RPN's own code",
    spoil_anchors: r"proposal_generator.anchor_generator \(RandomAnchors\): its anchors are not a regular grid",
    spoil_transform: r"proposal_generator.box2box_transform.scale_clamp is 2.0; .* leave it at its default",
    spoil_transform_entirely: r"box2box_transform is a Box2BoxTransformLinear; can be: Box2BoxTransform, ",
    spoil_layers: r"backbone.extra.1 is a ChangedDeformConv, which changes forward of DeformConv: only its own",
    spoil_meta_architecture: r"the model is a ChangedRCNN, which changes inference of GeneralizedRCNN",
}


@pytest.mark.parametrize("spoil", REFUSALS, ids=lambda spoil: str(spoil.__name__)[6:])
def test_what_cannot_be_converted_is_named(spoil: Callable[[Any], None]) -> None:
    cfg, model = custom_model()
    spoil(model)
    with pytest.raises(Unsupported, match=REFUSALS[spoil]):
        from_detectron2(cfg, model)


def test_all_faults_are_in_one_error() -> None:
    cfg, model = custom_model()
    for spoil in (spoil_box_pooler, spoil_predictor, spoil_anchors):
        spoil(model)
    with pytest.raises(Unsupported) as caught:
        from_detectron2(cfg, model)
    assert [line.split()[0] for line in str(caught.value).splitlines()[1:]] == [
        "proposal_generator.anchor_generator",
        "roi_heads.box_pooler",
        "roi_heads.box_predictor",
    ]


def test_a_changed_stage_of_a_cascade_is_refused() -> None:
    cfg = config("cascade_fpn")
    model = d2.build_model(cfg)
    model.roi_heads.box_predictor[1].__class__ = ChangedPredictor
    with pytest.raises(
        Unsupported, match=r"box_predictor.1 is a ChangedPredictor, which changes predict_probs of Fast"
    ):
        from_detectron2(cfg, model)


def test_other_meta_architectures_are_refused() -> None:
    cfg = config("panoptic_fpn")
    with pytest.raises(Unsupported, match="the model is a FPN; can be: GeneralizedRCNN, PanopticFPN, "):
        from_detectron2(cfg, d2.build_backbone(cfg))
