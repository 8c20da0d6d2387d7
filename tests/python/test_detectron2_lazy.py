"""Lazy configurations of the real Detectron2 by the command; skipped where it is not installed.

Last run with its main branch at commit 02b5c4e295e990042a714712c21dc79b731e8833 and PyTorch 2.13.0.
"""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from benchmarking.models import draw_weights
from d2deploy.cli import convert
from d2deploy.errors import Unsupported
from d2deploy.export import Caffe2Tracer, config_of_lazy
from d2deploy.images import read_image, resize_shortest_edge
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


# ---- Transformers ------------------------------------------------------------------------------------

SIDE = 224
LOADER = f"""
import detectron2.data.transforms as T
from detectron2 import model_zoo
from detectron2.config import LazyCall as L
from detectron2.modeling import MViT, SwinTransformer

dataloader = model_zoo.get_config("common/data/coco.py").dataloader
dataloader.test.mapper.augmentations = [L(T.ResizeShortestEdge)(short_edge_length={SIDE}, max_size={SIDE})]
"""
VITDET = f"""
model = model_zoo.get_config("common/models/mask_rcnn_vitdet.py").model
model.backbone.square_pad = {SIDE}
model.backbone.net.update(img_size={SIDE}, embed_dim=48, depth=3, num_heads=3, window_size=6, window_block_indexes=[0])
model.backbone.net.residual_block_indexes = [2]
"""
CASCADE = f"""
model = model_zoo.get_config("common/models/cascade_rcnn.py").model
model.backbone.norm = "LN"
model.backbone.square_pad = {SIDE}
model.pixel_std = [58.0, 57.0, 57.0]
"""
SWIN = f"""{CASCADE}
model.backbone.bottom_up = L(SwinTransformer)(depths=[2, 2, 2, 2], embed_dim=24, num_heads=[1, 2, 3, 4], window_size=5)
model.backbone.in_features = ("p0", "p1", "p2", "p3")
"""
MVITV2 = f"""{CASCADE}
model.backbone.bottom_up = L(MViT)(
    embed_dim=24, depth=5, num_heads=1, last_block_indexes=(0, 1, 3, 4), img_size={SIDE}, adaptive_window_size=24
)
model.backbone.in_features = ("scale2", "scale3", "scale4", "scale5")
"""


@pytest.fixture
def picture() -> np.ndarray:
    """Upright, (H, W, 3) BGR."""
    from importlib import resources

    with resources.as_file(resources.files("d2deploy") / "data" / "sample.jpg") as sample:
        return read_image(sample).transpose(1, 0, 2)


@pytest.mark.parametrize("text", [VITDET, SWIN, MVITV2], ids=["vitdet", "swin", "mvitv2"])
def test_transformers_convert_and_agree(text: str, picture: np.ndarray, tmp_path: Path) -> None:
    pytest.importorskip("timm.models.layers", reason="timm is not installed")
    config, weights, out = tmp_path / "config.py", tmp_path / "model_final.pth", tmp_path / "out"
    config.write_text(LOADER + text)
    model = d2_config.instantiate(d2_config.LazyConfig.load(str(config)).model).eval()
    with torch.random.fork_rng(), torch.no_grad():
        torch.manual_seed(0)
        draw_weights(model, {"bbox_pred": 0.3})
    torch.save({"model": model.state_dict()}, weights)
    words = ["--config-file", str(config), "--output", str(out), "--detectron2"]
    assert convert.main([*words, "MODEL.WEIGHTS", str(weights), "MODEL.DEVICE", "cpu"]) == 0  # what agrees has 0
    files = Caffe2Model.load_protobuf(out, order="score")
    assert files.info["square_size"] == SIDE
    inputs = {"image": torch.from_numpy(resize_shortest_edge(picture, SIDE, SIDE).transpose(2, 0, 1).copy())}
    inputs |= {"height": picture.shape[0], "width": picture.shape[1]}
    with torch.no_grad():
        wanted = model([inputs])[0]["instances"]
    found = files([inputs])[0]["instances"]
    assert len(wanted) > 10
    assert abs(len(found) - len(wanted)) <= 1
    np.testing.assert_allclose(found.scores[:10].numpy(), wanted.scores[:10].numpy(), atol=2e-3)
    np.testing.assert_allclose(found.pred_boxes.tensor[:10].numpy(), wanted.pred_boxes.tensor[:10].numpy(), atol=0.1)


def test_sizes_that_are_not_known_are_told_with_the_way_out(tmp_path: Path) -> None:
    """MViTv2's own configurations pad to multiples of 32, and their positions are resized for each picture."""
    pytest.importorskip("timm.models.layers", reason="timm is not installed")
    config = tmp_path / "config.py"
    config.write_text(LOADER + MVITV2 + "model.backbone.square_pad = 0")
    lazy = d2_config.LazyConfig.load(str(config))
    model = d2_config.instantiate(lazy.model)
    with pytest.raises(Unsupported, match=r"goes by the picture's size.*set its square_pad"):
        Caffe2Tracer(config_of_lazy(lazy, model), model).export_caffe2()
