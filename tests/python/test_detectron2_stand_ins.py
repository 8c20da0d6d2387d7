"""The adapter of live Detectron2 models, on stand-ins of its classes, and these beside the originals.

test_detectron2_adapter.py has Detectron2's own predictions, where it is installed.
"""

from __future__ import annotations

import copy
import importlib
import re
import warnings
from collections.abc import Callable
from typing import Any

import detectron2_stand_ins as stand_ins
import pytest
import torch
from detectron2_stand_ins import CLASSES, POINT_REND, as_detectron2, stand_in
from small_models import ARCHITECTURES, one_block_per_stage, proposals_of, random_image, small_config, small_model
from torch import Tensor, nn

from d2deploy import modeling as ours
from d2deploy.errors import Unsupported
from d2deploy.export import Caffe2Tracer
from d2deploy.export import detectron2 as adapter
from d2deploy.export.detectron2 import from_detectron2, is_detectron2, meta_architecture
from d2deploy.modeling.boxes import Box2BoxTransform
from d2deploy.structures import Boxes

KINDS = [name for name in ARCHITECTURES if name not in ("mask_fpn_gn", "faster_fpn_ln", "faster_resnext")]


# Settings that are no default, so that none can be forgotten.
OTHERS: list[Any] = [
    *("MODEL.RPN.NMS_THRESH", 0.65, "MODEL.PROPOSAL_GENERATOR.MIN_SIZE", 2, "MODEL.ROI_HEADS.NMS_THRESH_TEST", 0.45),
    *("MODEL.ROI_HEADS.SCORE_THRESH_TEST", 0.01, "MODEL.RETINANET.SCORE_THRESH_TEST", 0.04),
    *("MODEL.RETINANET.NMS_THRESH_TEST", 0.55, "MODEL.RETINANET.TOPK_CANDIDATES_TEST", 90),
    *("MODEL.PANOPTIC_FPN.COMBINE.OVERLAP_THRESH", 0.4, "MODEL.PANOPTIC_FPN.COMBINE.STUFF_AREA_LIMIT", 99),
    *("MODEL.PANOPTIC_FPN.COMBINE.INSTANCES_CONFIDENCE_THRESH", 0.1, "INPUT.FORMAT", "RGB"),
]


def live(architecture: str) -> tuple[Any, Any, Any]:
    """Configuration, one of our models, and the same as Detectron2 would have it."""
    with one_block_per_stage():
        model = small_model(architecture, *OTHERS)
    return small_config(architecture, *OTHERS), model, as_detectron2(copy.deepcopy(model))


def settings(model: Any) -> dict[str, Any]:
    """The plain values that parts of a model have, but anchors, which are found again in another form."""
    return {
        f"{path}.{name}": value
        for path, part in model.named_modules()
        for name, value in vars(part).items()
        if isinstance(value, (int, float, str, tuple)) and name[0] != "_" and "anchor_generator" not in path
    }


def plain(value: Any) -> Any:
    """Instances, containers and tensors as lists, which can be compared."""
    if hasattr(value, "get_fields"):
        return {name: plain(field) for name, field in value.get_fields().items()}
    if isinstance(value, dict):
        return {key: plain(one) for key, one in value.items()}
    if isinstance(value, (list, tuple)):
        return [plain(one) for one in value]
    value = getattr(value, "tensor", value)
    return value.tolist() if torch.is_tensor(value) else value


@pytest.mark.parametrize("architecture", KINDS)
def test_what_is_read_out_of_a_live_model_is_the_model(architecture: str) -> None:
    cfg, model, theirs = live(architecture)
    assert is_detectron2(theirs)
    assert meta_architecture(theirs) == cfg.MODEL.META_ARCHITECTURE
    found: Any = from_detectron2(cfg, theirs)
    assert theirs.training  # it stays as it is
    assert not is_detectron2(found)
    assert list(found.state_dict()) == list(model.state_dict())
    assert settings(found) == settings(model)
    image = random_image(90, 128)
    inputs = [{"image": image, "height": 120, "width": 200, **proposals_of(model, image)}]
    answer = plain(found(inputs))
    assert answer == plain(model(inputs))
    assert all(len(values) for values in answer[0].values())


def test_a_live_model_is_converted() -> None:
    cfg, model, theirs = live("mask_fpn")
    found, wanted = (Caffe2Tracer(cfg, one).export_caffe2() for one in (theirs, model))
    assert found.predict_net == wanted.predict_net
    assert found.init_net == wanted.init_net


# ---- Refusals --------------------------------------------------------------------------------------


def changed(part: Any, name: str, member: Any = lambda self, *args: None) -> None:
    """Makes the part of a class of the user's own, which has something else of that name."""
    part.__class__ = type("Mine", (type(part),), {name: member})


def other_pooler(model: Any) -> None:
    model.roi_heads.box_pooler.level_poolers[0] = type("RoIPool", (nn.Identity,), {})()


class Scattered(nn.Module):
    """Anchors that lie further apart from cell to cell."""

    def forward(self, features: list[Tensor]) -> list[Any]:
        cells = features[0].shape[-2] * features[0].shape[-1]
        return [Boxes(torch.tensor([[0.0, 0.0, 8.0, 8.0]]) * torch.arange(1, cells + 1)[:, None]) for _ in features]


class Nothing(nn.Module):
    def forward(self, features: list[Tensor]) -> list[Any]:
        return [Boxes(torch.zeros(0, 4)) for _ in features]


def put(path: str, value: Any) -> Callable[[Any], Any]:
    """What sets an attribute of a part, and gives it."""

    def set_it(model: Any) -> Any:
        owner, _, name = path.rpartition(".")
        setattr(model.get_submodule(owner), name, value)
        return value

    return set_it


CLAMPED = CLASSES[Box2BoxTransform]((1.0, 1.0, 1.0, 1.0), scale_clamp=2.0)
BOX_TO_BOX = r"can be: Box2BoxTransform, Box2BoxTransformRotated"
GRID = r"its anchors are not a regular grid; Caffe2's GenerateProposals needs"
REFUSALS: list[tuple[str, Callable[[Any], Any], str]] = [
    ("mask_fpn", lambda m: changed(m, "inference"), "the model is a Mine, which changes inference of GeneralizedRCNN"),
    ("panoptic_fpn", lambda m: changed(m, "forward"), "the model is a Mine, which changes forward of PanopticFPN"),
    ("rpn_fpn", lambda m: changed(m, "forward"), "the model is a Mine, which changes forward of ProposalNetwork"),
    ("semantic_fpn", lambda m: changed(m, "forward"), "which changes forward of SemanticSegmentor"),
    ("retinanet", lambda m: changed(m, "_decode_per_level_predictions"), "changes _decode_per_level_predictions of R"),
    ("fcos", lambda m: changed(m, "inference_single_image"), "changes inference_single_image of FCOS: only FCOS's own"),
    (
        "mask_fpn",
        lambda m: changed(put("mine", CLASSES[ours.DeformConv](4, 4, 3))(m), "forward"),
        "mine is a Mine, which changes forward of DeformConv: only its own code can be converted",
    ),
    (
        "pointrend",
        put("roi_heads.mask_head.mask_point_on", False),
        "mask_point_on is False, which is for training alone; set MODEL.ROI_MASK_HEAD.POINT_HEAD_ON",
    ),
    (
        "pointrend",
        lambda m: changed(m.roi_heads.mask_head, "_subdivision_inference"),
        "mask_head is a Mine, which changes _subdivision_inference of PointRendMaskHead",
    ),
    (
        "pointrend_implicit",
        put("roi_heads.mask_head.point_head", nn.Identity()),
        "mask_head.point_head is a Identity; can be: ImplicitPointHead",
    ),
    ("mask_fpn", put("proposal_generator", nn.Identity()), "proposal_generator is a Identity; can be: RPN, RRPN"),
    ("mask_fpn", put("proposal_generator.forward", print), "proposal_generator is a RPN, which changes forward of RPN"),
    (
        "mask_fpn",
        put("proposal_generator.box2box_transform", CLAMPED),
        r"scale_clamp is 2.0; .* leave it at its default",
    ),
    ("mask_fpn", put("proposal_generator.box2box_transform", 7), rf"box2box_transform is a int; {BOX_TO_BOX}"),
    ("mask_fpn", put("proposal_generator.anchor_generator", Scattered()), rf"anchor_generator \(Scattered\): {GRID}"),
    ("mask_fpn", put("proposal_generator.anchor_generator", Nothing()), rf"anchor_generator \(Nothing\): {GRID}"),
    ("retinanet", put("anchor_generator", Scattered()), rf"^  anchor_generator \(Scattered\): {GRID}"),
    ("retinanet", put("box2box_transform", 7), rf"^  box2box_transform is a int; {BOX_TO_BOX}"),
    ("fcos", put("anchor_generator", Scattered()), rf"^  anchor_generator \(Scattered\): {GRID}"),
    (
        "fcos",
        put("box2box_transform", CLAMPED),
        "box2box_transform is a Box2BoxTransform; can be: Box2BoxTransformLinear",
    ),
    ("fcos", lambda m: setattr(m.box2box_transform, "normalize_by_size", False), "take True alone"),
    ("mask_fpn", put("roi_heads", nn.Identity()), "roi_heads is a Identity; can be: CascadeROIHeads, StandardROIHeads"),
    (
        "mask_c4",
        lambda m: changed(m.roi_heads, "_shared_roi_transform"),
        "roi_heads is a Mine, which changes _shared_roi_transform of Res5ROIHeads",
    ),
    ("mask_fpn", put("roi_heads.box_pooler", None), r"roi_heads.box_pooler is None: heads that read the feature maps"),
    ("mask_c4", put("roi_heads.pooler", None), r"roi_heads.pooler is None: heads that read the feature maps"),
    ("mask_fpn", put("roi_heads.mask_pooler", nn.Identity()), "mask_pooler is a Identity; can be: ROIPooler"),
    ("keypoint_fpn", put("roi_heads.keypoint_pooler", None), r"roi_heads.keypoint_pooler is None: heads"),
    (
        "mask_fpn",
        other_pooler,
        r"box_pooler pools with RoIPool, which the files have no operator for; use ROIAlignV2, ",
    ),
    ("mask_fpn", put("roi_heads.mask_head", nn.Identity()), "mask_head is a Identity; can be: BaseMaskRCNNHead, and"),
    ("mask_c4", put("roi_heads.mask_head", nn.Identity()), "mask_head is a Identity; can be: BaseMaskRCNNHead, and"),
    ("keypoint_fpn", put("roi_heads.keypoint_head", nn.Identity()), "can be: BaseKeypointRCNNHead, and classes"),
    ("mask_fpn", put("roi_heads.box_predictor", nn.Linear(2, 2)), "box_predictor is a Linear; can be: FastRCNNOutput"),
    (
        "mask_fpn",
        lambda m: changed(m.roi_heads.box_predictor, "predict_probs"),
        "roi_heads.box_predictor is a Mine, which changes predict_probs of FastRCNNOutputLayers",
    ),
    (
        "cascade_fpn",
        lambda m: changed(m.roi_heads.box_predictor[1], "inference"),
        "roi_heads.box_predictor.1 is a Mine, which changes inference of FastRCNNOutputLayers",
    ),
    ("rotated_dc5", put("roi_heads.box_predictor.box2box_transform", CLAMPED), "box_predictor.box2box_transform.scale"),
]


@pytest.mark.parametrize(("architecture", "spoil", "message"), REFUSALS, ids=range(len(REFUSALS)))
def test_what_cannot_be_converted_is_named(architecture: str, spoil: Callable[[Any], Any], message: str) -> None:
    cfg, _, theirs = live(architecture)
    spoil(theirs)
    with pytest.raises(Unsupported, match="this Detectron2 model cannot be converted:") as caught:
        from_detectron2(cfg, theirs)
    (fault,) = str(caught.value).splitlines()[1:]  # and no other
    assert re.search(message, fault)


def test_all_faults_are_in_one_error() -> None:
    cfg, _, theirs = live("mask_fpn")
    for spoil in (other_pooler, put("proposal_generator.anchor_generator", Scattered())):
        spoil(theirs)
    theirs.roi_heads.box_predictor = nn.Linear(2, 2)
    with pytest.raises(Unsupported) as caught:
        from_detectron2(cfg, theirs)
    assert [line.split()[0] for line in str(caught.value).splitlines()[1:]] == [
        "proposal_generator.anchor_generator",
        "roi_heads.box_pooler",
        "roi_heads.box_predictor",
    ]


def test_parts_of_the_users_own() -> None:
    cfg, model, theirs = live("panoptic_fpn")
    head = theirs.sem_seg_head

    class Mine(nn.Module):
        def forward(self, features: dict[str, Tensor], targets: Any = None) -> tuple[Tensor, dict[str, Tensor]]:
            return nn.functional.interpolate(head.layers(features), scale_factor=4.0, mode="bilinear"), {}

    theirs.sem_seg_head = Mine()
    changed(theirs.backbone, "no_method_that_is_replaced")
    image = [{"image": random_image(96, 128)}]
    found, wanted = (one(image)[0]["sem_seg"] for one in (from_detectron2(cfg, theirs), model))
    torch.testing.assert_close(found, wanted, atol=1e-4, rtol=1e-4)


def test_other_classes_are_refused() -> None:
    cfg, model, theirs = live("mask_fpn")
    assert not is_detectron2(model)
    for part, name in ((theirs.backbone, "FPN"), (stand_in("DETR", "modeling", nn.Module)(), "DETR")):
        for ask in (lambda one=part: from_detectron2(cfg, one), lambda one=part: meta_architecture(one)):
            with pytest.raises(Unsupported, match=f"the model is a {name}; can be: GeneralizedRCNN, PanopticFPN, "):
                ask()


# ---- Beside the originals --------------------------------------------------------------------------


def every_stand_in() -> list[Any]:
    """All classes of the stand-ins' module."""
    named = [value for value in vars(stand_ins).values() if isinstance(value, type)]
    return [kind for kind in (*CLASSES.values(), *named) if is_theirs(kind)]


def is_theirs(kind: type) -> bool:
    return kind.__module__.startswith(("detectron2.", POINT_REND))


def original(kind: Any) -> Any:
    """The class that a stand-in stands for."""
    pytest.importorskip("detectron2.modeling", reason="Detectron2 is not installed")
    if kind.__module__.startswith(POINT_REND):
        pytest.importorskip("point_rend", reason="Detectron2's project PointRend is not in the path")
    found = getattr(importlib.import_module(kind.__module__), kind.__name__)
    if found.__module__ == "detectron2.utils.develop":
        pytest.skip(f"{kind.__name__} is not there: Detectron2 is not compiled")
    return found


def test_every_class_that_the_adapter_knows_has_a_stand_in() -> None:
    tables = [value for name, value in vars(adapter).items() if name.isupper() and isinstance(value, dict)]
    known = {name for table in tables for name in table}
    assert {"GeneralizedRCNN", "RPN", "ROIAlign"} < known <= {kind.__name__ for kind in every_stand_in()}


@pytest.mark.filterwarnings("ignore")  # Detectron2's own
@pytest.mark.parametrize("kind", every_stand_in(), ids=lambda kind: str(kind.__name__))
def test_stand_ins_have_the_names_and_methods_of_the_originals(kind: Any) -> None:
    real = original(kind)
    assert (real.__module__, real.__name__) == (kind.__module__, kind.__name__)
    own = {name for base in kind.__mro__ if is_theirs(base) for name in vars(base)}
    lacking = [name for name in own if not name.startswith("__") and not hasattr(real, name)]
    assert set(lacking) <= {"normalize_by_size"}  # which objects have
    bases = [base.__name__ for base in kind.__mro__[1:] if is_theirs(base)]
    assert set(bases) <= {base.__name__ for base in real.__mro__}


def note_reads(monkeypatch: pytest.MonkeyPatch) -> set[tuple[str, str]]:
    """From now on, what is read of stand-ins: class and attribute."""
    found: set[tuple[str, str]] = set()

    def read(part: Any, name: str) -> Any:
        found.add((type(part).__name__, name))
        return object.__getattribute__(part, name)

    for kind in every_stand_in():
        monkeypatch.setattr(kind, "__getattribute__", read)
    return found


def comparable(value: Any) -> Any:
    """Plain values as they are, lists for tuples; of others the class."""
    if isinstance(value, (list, tuple)):
        return [comparable(one) for one in value]
    if isinstance(value, dict) and False in value:  # by whether the model is training
        return list(value), comparable(value[False])
    if isinstance(value, dict):
        return {key: comparable(one) for key, one in value.items()}
    if torch.is_tensor(value):
        return value.flatten().tolist()
    return value if isinstance(value, (int, float, str, type(None))) else type(value).__name__


@pytest.mark.filterwarnings("ignore")  # Detectron2's own
@pytest.mark.parametrize("architecture", [n for n in KINDS if n not in ("fcos", "mask_fpn_dconv") and "point" not in n])
def test_attributes_that_are_read_are_those_of_the_originals(
    architecture: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        config = pytest.importorskip("detectron2.config", reason="Detectron2 is not installed")
        build = pytest.importorskip("detectron2.modeling").build_model
    cfg = small_config(architecture)
    wanted = config.get_cfg()
    wanted.set_new_allowed(True)
    wanted.merge_from_other_cfg(config.CfgNode.load_cfg(cfg.dump()))
    model, theirs = build(wanted), as_detectron2(small_model(architecture))
    reads = note_reads(monkeypatch)
    from_detectron2(cfg, theirs)
    parts = [(path, part, model.get_submodule(path)) for path, part in theirs.named_modules() if is_detectron2(part)]
    parts += [
        (f"{path}.box2box_transform", part.box2box_transform, real.box2box_transform)
        for path, part, real in parts
        if hasattr(part, "box2box_transform")
    ]
    compared = 0
    for path, part, real in parts:
        kind = type(part)
        assert type(real).__name__ == kind.__name__, path
        names = {name for of, name in reads if of == kind.__name__ and name[0] != "_" and hasattr(part, name)}
        for name in names - set(dir(nn.Sequential())) - {"device"}:  # those are not the adapter's reads
            if not callable(getattr(kind, name, None)):
                assert comparable(getattr(real, name)) == comparable(getattr(part, name)), f"{path}.{name}"
                compared += 1
    assert compared > 3
