"""What a predict net says about itself besides its operators: Detectron2's arguments, and our own.

Ours, which other readers ignore, tell how a picture becomes `data` and what the outputs mean: `input_format`,
`pixel_mean`, `min_size_test`, `max_size_test`, `square_size` of models that take squares of one size, `class_names`,
`stuff_class_names`, `keypoint_oks_sigmas` for keypoint AP, and `cell_anchors` and `anchor_strides` of RetinaNet and
FCOS as plain numbers. Padding with `pixel_mean` gives exactly what Detectron2 gives, since it pads after normalising.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np

from d2deploy.config import ClassNames
from d2deploy.export.meta_arch import (
    Caffe2MetaArch,
    Caffe2PanopticFPN,
    Caffe2RetinaNet,
    Caffe2SemanticSegmentor,
    shifted,
)
from d2deploy.nets import proto


def net_arguments(arch: Caffe2MetaArch, cfg: Any, class_names: ClassNames) -> list[Any]:
    """The arguments of a predict net, as messages."""
    values = [*_detectron2(arch, cfg), *_ours(arch, cfg, class_names)]
    return [proto.argument(name, value) for name, value in values]


def _detectron2(arch: Caffe2MetaArch, cfg: Any) -> Iterator[tuple[str, proto.Value]]:
    yield "size_divisibility", arch.padding.size_divisibility
    yield "device", str(cfg.MODEL.DEVICE)
    yield "meta_architecture", arch.name
    model = arch.model
    if isinstance(arch, Caffe2PanopticFPN):
        yield "combine_overlap_threshold", float(model.combine_overlap_thresh)
        yield "combine_stuff_area_limit", int(model.combine_stuff_area_thresh)
        yield "combine_instances_confidence_threshold", float(model.combine_instances_score_thresh)
    if isinstance(arch, Caffe2RetinaNet):
        yield "score_threshold", float(model.test_score_thresh)
        yield "topk_candidates", int(model.test_topk_candidates)
        yield "nms_threshold", float(model.test_nms_thresh)
        yield "max_detections_per_image", int(model.max_detections_per_image)
    if arch.name == "RetinaNet":
        yield "bbox_reg_weights", [float(w) for w in model.box2box_transform.weights]


def _ours(arch: Caffe2MetaArch, cfg: Any, class_names: ClassNames) -> Iterator[tuple[str, proto.Value]]:
    model = arch.model
    yield "input_format", str(model.input_format)
    yield "pixel_mean", [float(v) for v in model.pixel_mean.flatten()]
    yield "min_size_test", int(cfg.INPUT.MIN_SIZE_TEST)
    yield "max_size_test", int(cfg.INPUT.MAX_SIZE_TEST)
    if arch.padding.square_size:
        yield "square_size", arch.padding.square_size
    if class_names.things:
        yield "class_names", class_names.things
    if class_names.stuff and isinstance(arch, (Caffe2PanopticFPN, Caffe2SemanticSegmentor)):
        yield "stuff_class_names", class_names.stuff
    if cfg.MODEL.KEYPOINT_ON and cfg.TEST.KEYPOINT_OKS_SIGMAS:
        yield "keypoint_oks_sigmas", [float(s) for s in cfg.TEST.KEYPOINT_OKS_SIGMAS]
    if isinstance(arch, Caffe2RetinaNet):
        generator = model.anchor_generator
        cells = [
            shifted(cell, generator.offset * stride).flatten().cpu().numpy()
            for cell, stride in zip(generator.cell_anchors, generator.strides, strict=True)
        ]
        yield "cell_anchors", np.concatenate(cells).astype(np.float32)  # level by level, xyxy; as many on each level
        yield "anchor_strides", [int(s) for s in generator.strides]
