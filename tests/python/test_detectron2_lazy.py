"""Lazy configurations of the real Detectron2 by the command; skipped where it is not installed.

Last run with its main branch at commit 02b5c4e295e990042a714712c21dc79b731e8833 and PyTorch 2.13.0.
"""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import Any

import pytest
import torch

from benchmarking.models import draw_weights
from d2deploy.cli import convert
from d2deploy.runtime import Caffe2Model

with warnings.catch_warnings():
    warnings.simplefilter("ignore")
    reason = "Detectron2 is not installed"
    d2_config = pytest.importorskip("detectron2.config", reason=reason)
    d2_zoo = pytest.importorskip("detectron2.model_zoo", reason=reason)

pytestmark = pytest.mark.filterwarnings("ignore")  # Detectron2's own

# Name, and what the files are to say of it.
NAMES: dict[str, dict[str, Any]] = {
    "new_baselines/mask_rcnn_R_50_FPN_100ep_LSJ": {"classes": 80, "meta_architecture": "GeneralizedRCNN"},
    "new_baselines/mask_rcnn_regnetx_4gf_dds_FPN_100ep_LSJ": {"classes": 80, "meta_architecture": "GeneralizedRCNN"},
    "new_baselines/mask_rcnn_regnety_4gf_dds_FPN_100ep_LSJ": {"classes": 80, "meta_architecture": "GeneralizedRCNN"},
    "COCO-InstanceSegmentation/mask_rcnn_R_50_C4_1x": {"classes": 80, "meta_architecture": "GeneralizedRCNN"},
    "COCO-InstanceSegmentation/mask_rcnn_regnetx_4gf_dds_fpn_1x": {
        "classes": 80,
        "meta_architecture": "GeneralizedRCNN",
    },
    "COCO-Detection/retinanet_R_50_FPN_1x": {"classes": 80, "meta_architecture": "RetinaNet"},
    "COCO-Detection/fcos_R_50_FPN_1x": {"classes": 80, "meta_architecture": "FCOS"},
    "COCO-Keypoints/keypoint_rcnn_R_50_FPN_1x": {"classes": 1, "meta_architecture": "GeneralizedRCNN"},
    "COCO-PanopticSegmentation/panoptic_fpn_R_50_1x": {"classes": 80, "meta_architecture": "PanopticFPN"},
}


@pytest.mark.parametrize("name", NAMES)
def test_a_lazy_configuration_converts_and_agrees(name: str, tmp_path: Path) -> None:
    lazy = d2_config.LazyConfig.load(d2_zoo.get_config_file(f"{name}.py"))
    model = d2_config.instantiate(lazy.model)
    with torch.random.fork_rng(), torch.no_grad():
        torch.manual_seed(0)
        draw_weights(model, {"bbox_pred": 0.3, "ctrness": 0.5})
    weights = tmp_path / "model_final.pth"
    torch.save({"model": model.state_dict()}, weights)
    words = ["--config-file", f"{name}.py", "--output", str(tmp_path / "out"), "--detectron2"]
    assert convert.main([*words, "MODEL.WEIGHTS", str(weights), "MODEL.DEVICE", "cpu"]) == 0  # what agrees has 0
    info = Caffe2Model.load_protobuf(tmp_path / "out").info
    assert info["meta_architecture"] == NAMES[name]["meta_architecture"]
    assert len(info["class_names"]) == NAMES[name]["classes"]
