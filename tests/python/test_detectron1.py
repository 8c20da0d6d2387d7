"""Weights of Detectron, the predecessor: names, and the order of classes."""

from __future__ import annotations

import pickle
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from small_models import one_block_per_stage, small_model

from d2deploy.checkpoint import load_checkpoint, load_weights
from d2deploy.errors import Unsupported

# Blobs of Detectron's zoo (e2e_mask_rcnn_R-50-FPN, e2e_keypoint_rcnn_R-50-FPN, e2e_faster_rcnn_R-50-C4), and what
# Detectron2 calls them.
NAMES = {
    "conv1_w": "backbone.bottom_up.stem.conv1.weight",
    "res_conv1_bn_s": "backbone.bottom_up.stem.conv1.norm.weight",
    "res_conv1_bn_b": "backbone.bottom_up.stem.conv1.norm.bias",
    "res2_0_branch1_w": "backbone.bottom_up.res2.0.shortcut.weight",
    "res2_0_branch1_bn_b": "backbone.bottom_up.res2.0.shortcut.norm.bias",
    "res4_5_branch2b_bn_s": "backbone.bottom_up.res4.5.conv2.norm.weight",
    "res5_2_branch2c_w": "backbone.bottom_up.res5.2.conv3.weight",
    "fpn_inner_res5_2_sum_w": "backbone.fpn_lateral5.weight",
    "fpn_inner_res4_5_sum_lateral_b": "backbone.fpn_lateral4.bias",
    "fpn_inner_res3_3_sum_lateral_gn_s": "backbone.fpn_lateral3.norm.weight",
    "fpn_res2_2_sum_w": "backbone.fpn_output2.weight",
    "conv_rpn_fpn2_w": "proposal_generator.rpn_head.conv.weight",
    "rpn_cls_logits_fpn2_b": "proposal_generator.rpn_head.objectness_logits.bias",
    "rpn_bbox_pred_fpn2_w": "proposal_generator.rpn_head.anchor_deltas.weight",
    "fc6_w": "roi_heads.box_head.fc1.weight",
    "fc7_b": "roi_heads.box_head.fc2.bias",
    "head_conv3_gn_b": "roi_heads.box_head.conv3.norm.bias",
    "_[mask]_fcn1_w": "roi_heads.mask_head.mask_fcn1.weight",
    "conv5_mask_b": "roi_heads.mask_head.deconv.bias",
    "conv_fcn8_w": "roi_heads.keypoint_head.conv_fcn8.weight",
    "kps_score_lowres_w": "roi_heads.keypoint_head.score_lowres.weight",
}
C4_NAMES = {
    "res3_0_branch2a_w": "backbone.res3.0.conv1.weight",
    "res5_0_branch1_bn_s": "roi_heads.res5.0.shortcut.norm.weight",
    "conv_rpn_w": "proposal_generator.rpn_head.conv.weight",
    "rpn_cls_logits_b": "proposal_generator.rpn_head.objectness_logits.bias",
}
LEFT_OUT = ["conv1_w_momentum", "lr", "pred_w", "fc1000_b", "kps_score_w"]


def write(path: Path, blobs: dict[str, Any]) -> Path:
    path.write_bytes(pickle.dumps({"blobs": blobs, "cfg": "NUM_GPUS: 8\n"}, protocol=2))
    return path


@pytest.mark.parametrize("names", [NAMES, C4_NAMES], ids=["pyramid", "C4"])
def test_names(tmp_path: Path, names: dict[str, str]) -> None:
    blobs = {name: np.full(2, number, np.float32) for number, name in enumerate([*names, *LEFT_OUT])}
    found = load_checkpoint(write(tmp_path / "model.pkl", blobs))
    assert {new: float(value[0]) for new, value in found.items()} == {n: i for i, n in enumerate(names.values())}


def test_the_background_goes_to_the_end_or_out(tmp_path: Path) -> None:
    rows = np.arange(12, dtype=np.float32)[:, None]
    blobs = {"cls_score_w": rows[:3], "bbox_pred_w": rows, "mask_fcn_logits_b": rows[:3, 0]}
    found = load_checkpoint(write(tmp_path / "model.pkl", blobs))
    assert found["roi_heads.box_predictor.cls_score.weight"].flatten().tolist() == [1, 2, 0]
    assert found["roi_heads.box_predictor.bbox_pred.weight"].flatten().tolist() == list(range(4, 12))
    assert found["roi_heads.mask_head.predictor.bias"].tolist() == [1, 2]


def old_name(name: str) -> str:
    """Detectron's name of a weight of a model with a pyramid, masks and one block per stage."""
    layer, kind = name.rsplit(".", 1)
    end = {"weight": "w", "bias": "b"}[kind]
    if layer.endswith(".norm"):
        layer, end = layer.removesuffix(".norm"), "bn_" + {"weight": "s", "bias": "b"}[kind]
    layer = layer.removeprefix("backbone.").removeprefix("bottom_up.").removeprefix("roi_heads.")
    changes = [
        (r"stem\.conv1", "res_conv1" if end.startswith("bn") else "conv1"),
        (r"(res\d)\.0\.shortcut", r"\1_0_branch1"),
        *((rf"(res\d)\.0\.conv{i}", rf"\1_0_branch2{letter}") for i, letter in ((1, "a"), (2, "b"), (3, "c"))),
        (r"fpn_lateral5", "fpn_inner_res5_0_sum"),
        (r"fpn_lateral(\d)", r"fpn_inner_res\1_0_sum_lateral"),
        (r"fpn_output(\d)", r"fpn_res\1_0_sum"),
        (r"proposal_generator\.rpn_head\.conv", "conv_rpn_fpn2"),
        (r"proposal_generator\.rpn_head\.anchor_deltas", "rpn_bbox_pred_fpn2"),
        (r"proposal_generator\.rpn_head\.objectness_logits", "rpn_cls_logits_fpn2"),
        (r"box_head\.fc1", "fc6"),
        (r"box_head\.fc2", "fc7"),
        (r"box_predictor\.(\w+)", r"\1"),
        (r"mask_head\.mask_fcn(\d)", r"_[mask]_fcn\1"),
        (r"mask_head\.deconv", "conv5_mask"),
        (r"mask_head\.predictor", "mask_fcn_logits"),
    ]
    new = next(re.sub(old, new, layer) for old, new in changes if re.fullmatch(old, layer))
    return f"{new}_{end}"


def test_a_whole_model(tmp_path: Path) -> None:
    """Written as Detectron does, whose frozen BatchNorms have a scale and a bias alone, and read."""
    with one_block_per_stage():
        model, other = small_model("mask_fpn"), small_model("mask_fpn", seed=1)
    state = model.state_dict()
    blobs = {}
    for name, value in state.items():
        if name.endswith("running_mean"):
            value.zero_()
        elif name.endswith("running_var"):
            value.fill_(1)
        else:
            array = value.numpy()
            if "cls_score" in name:
                array = np.concatenate([array[-1:], array[:-1]])
            elif "bbox_pred" in name:
                array = np.concatenate([array[:4] * 0 + 7, array])
            elif "mask_head.predictor" in name:
                array = np.concatenate([array[:1] * 0 + 7, array])
            blobs[old_name(name)] = array
    load_weights(other, write(tmp_path / "model.pkl", blobs))
    for name, value in other.state_dict().items():
        assert torch.equal(value, state[name]), name


@pytest.mark.parametrize(
    ("blobs", "message"),
    [
        ({"fpn_res2_2_sum_w": 1, "retnet_cls_pred_fpn3_w": 1}, "has 1 weights of layers .*: retnet_cls_pred_fpn3_w"),
        ({"conv1_b": 1}, "layers that are not known: conv1_b"),  # a bias that Detectron2's stem has no place for
        ({"rpn_cls_logits_b": 15}, "has 15 anchors on one map, which Detectron2 has in another order"),
    ],
)
def test_what_is_refused(tmp_path: Path, blobs: dict[str, int], message: str) -> None:
    arrays = {name: np.ones(count, np.float32) for name, count in blobs.items()}
    with pytest.raises(Unsupported, match=message):
        load_checkpoint(write(tmp_path / "model.pkl", arrays))
