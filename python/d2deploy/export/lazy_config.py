"""Detectron2's lazy configurations: what a converted file must know of one, in the keys of a configuration in YAML.

A lazy configuration is a Python file that says which function makes each part of a model. Detectron2 reads it and makes
the model; most of what the exporter wants to know stands in that model, the rest in `dataloader.test`.
"""

from __future__ import annotations

import warnings
from collections.abc import Iterator, Mapping
from typing import Any

from torch import nn

from d2deploy.config import Config, get_cfg
from d2deploy.export.detectron2 import meta_architecture

__all__ = ["config_of_lazy"]

_RESIZE = "ResizeShortestEdge"


def config_of_lazy(lazy: Mapping[str, Any], model: nn.Module) -> Config:
    """A configuration for `Caffe2Tracer`, and for an evaluation, of a model that a lazy configuration describes.

    Args:
        lazy: what Detectron2's `LazyConfig.load` gives; its `dataloader.test` says how pictures are resized
            (`mapper.augmentations`) and which data sets belong to the model (`dataset.names`).
        model: what `instantiate(lazy.model)` gives.

    Raises:
        Unsupported: the model is of none of the meta-architectures that can be converted.
    """
    name = meta_architecture(model)
    cfg = get_cfg()
    cfg.MODEL.DEVICE = "cpu"
    cfg.MODEL.META_ARCHITECTURE = name
    for section, values in _sections(model, name):
        for key, value in values.items():
            if value is not None:
                section(cfg)[key] = value
    _read_test_loader(lazy, cfg)
    if order := getattr(model, "input_format", None):
        cfg.INPUT.FORMAT = order
    return cfg


def _sections(model: Any, name: str) -> Iterator[tuple[Any, dict[str, Any]]]:
    """Sections of a configuration, and what a model says about them."""
    yield (
        lambda cfg: cfg.MODEL,
        {"PIXEL_MEAN": model.pixel_mean.flatten().tolist(), "PIXEL_STD": model.pixel_std.flatten().tolist()},
    )
    if name in ("RetinaNet", "FCOS"):
        counts = {"NUM_CLASSES": model.num_classes, "TOPK_CANDIDATES_TEST": model.test_topk_candidates}
        yield lambda cfg: cfg.MODEL.RETINANET, counts
        yield lambda cfg: cfg.TEST, {"DETECTIONS_PER_IMAGE": model.max_detections_per_image}
    if rpn := getattr(model, "proposal_generator", None):
        counts = {"PRE_NMS_TOPK_TEST": rpn.pre_nms_topk[False], "POST_NMS_TOPK_TEST": rpn.post_nms_topk[False]}
        yield lambda cfg: cfg.MODEL.RPN, counts
    if heads := getattr(model, "roi_heads", None):
        yield lambda cfg: cfg.MODEL.ROI_HEADS, {"NUM_CLASSES": heads.num_classes}
        flags = {"MASK_ON": bool(heads.mask_on), "KEYPOINT_ON": bool(getattr(heads, "keypoint_on", False))}
        yield lambda cfg: cfg.MODEL, flags
        predictor = heads.box_predictor
        last = predictor if hasattr(predictor, "test_topk_per_image") else predictor[-1]  # of a cascade's stages
        yield lambda cfg: cfg.TEST, {"DETECTIONS_PER_IMAGE": last.test_topk_per_image}
    if head := getattr(model, "sem_seg_head", None):
        layer = getattr(head, "predictor", None)
        yield lambda cfg: cfg.MODEL.SEM_SEG_HEAD, {"NUM_CLASSES": getattr(layer, "out_channels", None)}


def _read_test_loader(lazy: Mapping[str, Any], cfg: Config) -> None:
    loader = _at(lazy, "dataloader", "test")
    if (names := _at(loader, "dataset", "names")) is not None:
        cfg.DATASETS.TEST = (names,) if isinstance(names, str) else tuple(names)
    if order := _at(loader, "mapper", "image_format"):
        cfg.INPUT.FORMAT = str(order)
    others = []
    for augmentation in _at(loader, "mapper", "augmentations") or ():
        if _target(augmentation) != _RESIZE:
            others.append(_target(augmentation))
            continue
        edge = augmentation["short_edge_length"]
        cfg.INPUT.MIN_SIZE_TEST = int(edge if isinstance(edge, (int, float)) else edge[-1])
        cfg.INPUT.MAX_SIZE_TEST = int(augmentation.get("max_size", cfg.INPUT.MAX_SIZE_TEST))
    if others:
        warnings.warn(
            f"dataloader.test.mapper.augmentations has {', '.join(others)}; readers of the files resize pictures as "
            f"{_RESIZE} does, to INPUT.MIN_SIZE_TEST {cfg.INPUT.MIN_SIZE_TEST} and MAX_SIZE_TEST "
            f"{cfg.INPUT.MAX_SIZE_TEST}, and do nothing else",
            stacklevel=2,
        )
    sigmas = [_at(evaluator, "kpt_oks_sigmas") for evaluator in _evaluators(lazy)]
    if found := next((s for s in sigmas if s), None):
        cfg.TEST.KEYPOINT_OKS_SIGMAS = [float(sigma) for sigma in found]


def _evaluators(lazy: Mapping[str, Any]) -> list[Any]:
    evaluator = _at(lazy, "dataloader", "evaluator")
    return [evaluator] if isinstance(evaluator, Mapping) else list(evaluator or ())


def _target(part: Any) -> str:
    """The name of what makes a part: the last word of a path, or of a class."""
    target = _at(part, "_target_")
    return str(getattr(target, "__name__", target)).rpartition(".")[2]


def _at(tree: Any, *path: str) -> Any:
    """What stands there; None where the way ends before."""
    for key in path:
        if not hasattr(tree, "get"):
            return None
        tree = tree.get(key)
    return tree
