"""The models of d2deploy.modeling run in PyTorch, for as much as the net computes: no masks pasted, nothing resized."""

from __future__ import annotations

from typing import Any

import torch

from benchmarking.engines import Arrays, Run
from d2deploy.export.meta_arch import caffe2_meta_arch
from d2deploy.modeling import PanopticFPN, RetinaNet
from d2deploy.modeling.semantic_seg import full_size_logits


def eager_run(model: Any, channels_last: bool = False, compiled: bool = False) -> Run:
    """What runs a model.

    Args:
        model: a GeneralizedRCNN, PanopticFPN or RetinaNet.
        channels_last: of weights and pictures.
        compiled: the networks in it go through torch.compile; proposals and NMS, whose sizes depend on the picture, do
            not.
    """
    if channels_last:
        model = model.to(memory_format=torch.channels_last)
    if compiled:
        compile_networks(model)
    maps = caffe2_meta_arch(model) if isinstance(model, RetinaNet) else None

    @torch.inference_mode()
    def run(inputs: Arrays) -> Arrays:
        data, info = torch.from_numpy(inputs["data"]), torch.from_numpy(inputs["im_info"])
        if channels_last:
            data = data.contiguous(memory_format=torch.channels_last)
        if maps is not None:  # the net does not decode them either
            found = dict(zip(maps.outputs, maps(data, info), strict=True))
        else:
            height, width = (int(side) for side in info[0, :2])
            features, (instances,) = model.detect([{"image": data[0, :, :height, :width]}])
            found = {
                "bbox_nms": instances.pred_boxes.tensor,
                "score_nms": instances.scores,
                "class_nms": instances.pred_classes,
            }
            if isinstance(model, PanopticFPN):
                found["sem_seg"] = full_size_logits(model.sem_seg_head, features)
        return {name: tensor.numpy() for name, tensor in found.items()}

    return run


def compile_networks(model: Any) -> None:
    """Compiles the networks in place."""
    model.backbone = torch.compile(model.backbone)
    if hasattr(model, "head"):  # RetinaNet's
        model.head = torch.compile(model.head)
        return
    model.proposal_generator.rpn_head = torch.compile(model.proposal_generator.rpn_head)
    heads = model.roi_heads
    for name in ("res5", "box_head"):
        if hasattr(heads, name):
            setattr(heads, name, torch.compile(getattr(heads, name), dynamic=True))
    for name in ("mask_head", "keypoint_head"):
        if (head := getattr(heads, name, None)) is not None:
            head.layers = torch.compile(head.layers, dynamic=True)
    if (head := getattr(model, "sem_seg_head", None)) is not None:
        head.layers = torch.compile(head.layers)
