"""Detectron2's lazy configurations, without Detectron2: what is read out of them and of the models that they describe.

Stand-ins have the names of Detectron2's classes and what these say about themselves; test_detectron2_adapter.py has the
real ones.
"""

from __future__ import annotations

import sys
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import pytest
import torch
from torch import nn

from d2deploy.cli import convert
from d2deploy.config import load_config
from d2deploy.errors import Unsupported
from d2deploy.export import config_of_lazy

# What the adapter looks for in Detectron2's meta-architectures.
METHODS = (
    *("forward", "inference", "preprocess_image", "_postprocess", "forward_inference", "inference_single_image"),
    *("_decode_multi_level_predictions", "_decode_per_level_predictions"),
)


def of_detectron2(name: str) -> type:
    """A class that says it is Detectron2's."""
    made = type(name, (nn.Module,), {"__module__": "detectron2.modeling"})
    for method in METHODS:
        setattr(made, method, lambda self: None)
    return made


def model_of(name: str, **parts: Any) -> Any:
    model = of_detectron2(name)()
    model.pixel_mean, model.pixel_std = torch.tensor([[[1.0]], [[2.0]], [[3.0]]]), torch.ones(3, 1, 1)
    for part, value in parts.items():
        object.__setattr__(model, part, value)
    return model


HEADS = SimpleNamespace(
    num_classes=7, mask_on=True, keypoint_on=False, box_predictor=SimpleNamespace(test_topk_per_image=33)
)
RPN = SimpleNamespace(pre_nms_topk={True: 2000, False: 900}, post_nms_topk={True: 1000, False: 800})


def lazy_of(**test: Any) -> dict[str, Any]:
    """As LazyConfig.load gives it: nested mappings."""
    mapper = {"image_format": "RGB", "augmentations": [{"_target_": "detectron2.data.transforms.ResizeShortestEdge"}]}
    mapper["augmentations"][0].update(short_edge_length=640, max_size=1000)  # type: ignore[attr-defined]
    loader = {"dataset": {"names": "coco_2017_val"}, "mapper": mapper, **test}
    return {"dataloader": {"test": loader, "evaluator": {"_target_": "COCOEvaluator"}}, "train": {}}


def test_what_a_model_and_its_loader_say() -> None:
    model = model_of("GeneralizedRCNN", proposal_generator=RPN, roi_heads=HEADS, input_format="BGR")
    cfg = config_of_lazy(lazy_of(), model)
    assert cfg.MODEL.META_ARCHITECTURE == "GeneralizedRCNN"
    assert cfg.MODEL.DEVICE == "cpu"
    assert list(cfg.MODEL.PIXEL_MEAN) == [1, 2, 3]
    assert (cfg.MODEL.MASK_ON, cfg.MODEL.KEYPOINT_ON) == (True, False)
    assert cfg.MODEL.ROI_HEADS.NUM_CLASSES == 7
    assert (cfg.MODEL.RPN.PRE_NMS_TOPK_TEST, cfg.MODEL.RPN.POST_NMS_TOPK_TEST) == (900, 800)
    assert cfg.TEST.DETECTIONS_PER_IMAGE == 33
    assert (cfg.INPUT.MIN_SIZE_TEST, cfg.INPUT.MAX_SIZE_TEST) == (640, 1000)
    assert cfg.INPUT.FORMAT == "BGR"  # the model knows better than the loader
    assert tuple(cfg.DATASETS.TEST) == ("coco_2017_val",)


def test_cascades_dense_models_and_semantic_heads() -> None:
    stages = [SimpleNamespace(test_topk_per_image=11), SimpleNamespace(test_topk_per_image=12)]
    heads = SimpleNamespace(num_classes=5, mask_on=False, box_predictor=stages)
    semantic = SimpleNamespace(predictor=nn.Conv2d(4, 54, 1))
    cfg = config_of_lazy({}, model_of("PanopticFPN", proposal_generator=RPN, roi_heads=heads, sem_seg_head=semantic))
    assert (cfg.MODEL.META_ARCHITECTURE, cfg.TEST.DETECTIONS_PER_IMAGE) == ("PanopticFPN", 12)
    assert cfg.MODEL.SEM_SEG_HEAD.NUM_CLASSES == 54
    assert cfg.INPUT.MIN_SIZE_TEST == 800  # nothing says it: Detectron2's default
    dense = {"num_classes": 9, "test_topk_candidates": 500, "max_detections_per_image": 20}
    cfg = config_of_lazy({}, model_of("RetinaNet", **dense))
    assert (cfg.MODEL.RETINANET.NUM_CLASSES, cfg.MODEL.RETINANET.TOPK_CANDIDATES_TEST) == (9, 500)
    assert cfg.TEST.DETECTIONS_PER_IMAGE == 20


def test_keypoint_sigmas_of_the_evaluator() -> None:
    lazy = lazy_of()
    lazy["dataloader"]["evaluator"] = [{"_target_": "A"}, {"_target_": "B", "kpt_oks_sigmas": [0.1, 0.2]}]
    cfg = config_of_lazy(lazy, model_of("GeneralizedRCNN", proposal_generator=RPN, roi_heads=HEADS))
    assert list(cfg.TEST.KEYPOINT_OKS_SIGMAS) == [0.1, 0.2]


def test_other_augmentations_are_told() -> None:
    lazy = lazy_of()
    lazy["dataloader"]["test"]["mapper"]["augmentations"].append({"_target_": of_detectron2("FixedSizeCrop")})
    with pytest.warns(UserWarning, match=r"augmentations has FixedSizeCrop; readers .* 640 and MAX_SIZE_TEST 1000"):
        config_of_lazy(lazy, model_of("GeneralizedRCNN", proposal_generator=RPN, roi_heads=HEADS))


def test_a_model_of_no_known_class() -> None:
    with pytest.raises(Unsupported, match=r"the model is a DETR; can be: GeneralizedRCNN, "):
        config_of_lazy({}, model_of("DETR"))


def test_without_detectron2_lazy_files_are_named(tmp_path: Path) -> None:
    python, saved = tmp_path / "mine.py", tmp_path / "saved.yaml"
    python.write_text("model = 1\n")
    saved.write_text("model:\n  _target_: detectron2.modeling.GeneralizedRCNN\n")
    with pytest.raises(Unsupported, match=r"mine.py: configurations in Python \(lazy ones\) are read by Detectron2"):
        load_config(python)
    with pytest.raises(Unsupported, match=r"saved.yaml is a lazy configuration, saved as YAML: .*`--detectron2`"):
        load_config(saved)


class Lazy(dict[str, Any]):
    """A mapping with attributes, as omegaconf's are."""

    __getattr__ = dict.__getitem__


@pytest.fixture
def detectron2(monkeypatch: pytest.MonkeyPatch) -> Lazy:
    """Stand-ins of the modules that --detectron2 imports; gives what the configuration is to be."""
    lazy = Lazy(lazy_of(), model=model_of("DETR"))
    changed: list[str] = []

    def apply(given: Lazy, overrides: list[str]) -> Lazy:
        changed.extend(overrides)
        if any("no_such" in text for text in overrides):
            raise KeyError("no_such is not in the configuration")
        return given

    class LazyConfig:
        load = staticmethod(lambda file: lazy)
        apply_overrides = staticmethod(apply)

    modules = {name: ModuleType(f"detectron2.{name}") for name in ("config", "model_zoo")}
    vars(modules["config"]).update(LazyConfig=LazyConfig, instantiate=lambda made: made)
    monkeypatch.setitem(sys.modules, "detectron2", ModuleType("detectron2"))
    for name, module in modules.items():
        monkeypatch.setitem(sys.modules, f"detectron2.{name}", module)
    lazy["changed"] = changed
    return lazy


def run(folder: Path, *words: str) -> int:
    file = folder / "mine.py"
    file.write_text("model = 1\n")
    return convert.main(["--config-file", str(file), "--output", str(folder / "out"), "--detectron2", *words])


def test_the_command_names_what_is_wrong(detectron2: Lazy, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    cases: list[tuple[tuple[str, ...], str]] = [
        ((), "MODEL.WEIGHTS is empty; give the trained model as MODEL.WEIGHTS FILE"),
        (("train.init_checkpoint", "a.pkl"), "the model is a DETR; can be: GeneralizedRCNN"),
        (
            ("MODEL.WEIGHTS", "a.pkl", "model.no_such", "1"),
            "cannot make the model of this lazy configuration: KeyError",
        ),
    ]
    for words, message in cases:
        assert run(tmp_path, *words) in (1, 2)
        assert message in capsys.readouterr().err
    assert detectron2["changed"] == ["model.no_such=1"]
    del detectron2["model"]
    assert run(tmp_path, "MODEL.WEIGHTS", "a.pkl") in (1, 2)
    assert "it has no `model`; it has dataloader, train, changed" in capsys.readouterr().err
