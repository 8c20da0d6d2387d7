"""scripts/census.py: which configurations are one architecture, what is refused, and the page."""

from __future__ import annotations

import importlib.util
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn

import census
from census import Verdict
from d2deploy.config import load_config


def architecture(name: str, *overrides: object) -> str:
    return census._architecture(load_config(name, overrides))


def test_schedules_and_depths_are_one_architecture_and_heads_are_not() -> None:
    mask = architecture("COCO-InstanceSegmentation/mask_rcnn_R_50_FPN_1x.yaml")
    for same in ("mask_rcnn_R_50_FPN_3x", "mask_rcnn_R_101_FPN_3x", "mask_rcnn_R_50_FPN_1x_giou"):
        assert architecture(f"COCO-InstanceSegmentation/{same}.yaml") == mask
    for other in ("COCO-Detection/faster_rcnn_R_50_FPN_1x", "Misc/cascade_mask_rcnn_R_50_FPN_1x"):
        assert architecture(other) != mask
    assert architecture("COCO-InstanceSegmentation/mask_rcnn_R_50_FPN_1x.yaml", "MODEL.RESNETS.DEPTH", 18) != mask


def test_verdicts_without_converting(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    converted: list[str] = []

    def convert(cfg: object) -> Verdict:
        converted.append(str(cfg))
        return Verdict("agrees", "bbox_nms 1.0e-05")

    monkeypatch.setattr(census, "_converted", convert)
    texts = {
        "a.yaml": "MODEL:\n  META_ARCHITECTURE: GeneralizedRCNN\n",
        "b.yaml": "SOLVER:\n  BASE_LR: 0.1\n",
        "c.yaml": "MODEL:\n  NO_SUCH_KEY: 1\n",
    }
    for name, text in texts.items():
        (tmp_path / name).write_text(text)
    verdicts = census.census(tmp_path, sorted(tmp_path.glob("*.yaml")))
    assert {name: verdict.kind for name, verdict in verdicts.items()} == {
        "a.yaml": "agrees",
        "b.yaml": "agrees",
        "c.yaml": "breaks",
    }
    assert len(converted) == 1
    assert "unknown key MODEL.NO_SUCH_KEY" in verdicts["c.yaml"].text


def test_page() -> None:
    verdicts = {"x/a.yaml": Verdict("agrees", "bbox_nms 1e-05"), "b.yaml": Verdict("refused", "this | that")}
    page = census.page(verdicts, "abc", {})
    assert "`scripts/in_venv scripts/census.py detectron2/configs --commit abc --output docs/coverage.md`" in page
    assert "one of the 2 YAML files of Detectron2's `configs` (commit abc)" in page
    assert "Verdicts: 1 agrees, 1 refused." in page
    assert "| `x/a.yaml` | agrees | bbox_nms 1e-05 |\n| `b.yaml` | refused | this / that |\n\n## Lazy" in page
    assert "`scripts/census.py --lazy` looks at them" in page
    page = census.page(verdicts, "", {"c.py": Verdict("breaks", "KeyError: 'model'")})
    assert "configs --lazy --output" in page
    table = "| Configuration | | |\n|---|---|---|\n| `c.py` | breaks | KeyError: 'model' |\n"
    assert page.endswith(f"fewer boxes; all else is as above.\n\nVerdicts: 1 breaks.\n\n{table}")


def test_lazy_models_become_small() -> None:
    heads = {"num_classes": 80, "box_head": {"conv_dims": [], "fc_dims": [1024]}, "box_predictor": {}}
    model = {
        "backbone": {"out_channels": 256},
        "proposal_generator": {"pre_nms_topk": (2000, 1000), "post_nms_topk": (1000, 1000)},
        "roi_heads": {**heads, "mask_head": {"conv_dims": [256] * 5}},
        "sem_seg_head": {"num_classes": 54, "conv_dims": 128},
    }
    census.make_small(model)
    assert model == {
        "backbone": {"out_channels": 256},
        "proposal_generator": {"pre_nms_topk": (60, 60), "post_nms_topk": (30, 30)},
        "roi_heads": {
            "num_classes": 3,
            "box_head": {"conv_dims": [], "fc_dims": [1024]},
            "box_predictor": {"test_topk_per_image": 8},
            "mask_head": {"conv_dims": [64] * 5},
        },
        "sem_seg_head": {"num_classes": 4, "conv_dims": 64},
    }
    cascade = {"num_classes": 80, "roi_heads": {"box_predictor": [{}, {}]}}
    census.make_small(cascade)
    assert cascade == {"num_classes": 3, "roi_heads": {"box_predictor": [{}, {}]}}


def test_last_layers_are_scaled_once() -> None:
    class Model(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.cls_score, self.predictor = nn.Linear(4, 3), nn.Linear(3, 2)

        def forward(self, inputs: list[dict[str, Tensor]]) -> Tensor:
            scores: Tensor = self.cls_score(inputs[0]["image"])
            return scores

    model, image = Model(), torch.rand(50, 4) * 1000
    untouched = model.predictor.weight.clone()
    census.spread(model, image)
    assert model([{"image": image}]).std().item() == pytest.approx(1.5, rel=1e-4)
    model.predictor(torch.rand(5, 3))
    assert torch.equal(model.predictor.weight, untouched)


def test_lazy_files_need_detectron2(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "new_baselines").mkdir()
    (tmp_path / "new_baselines" / "a.py").touch()
    (tmp_path / "b.yaml").touch()
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    monkeypatch.setattr("sys.argv", ["census.py", str(tmp_path), "--lazy"])
    assert census.main() == 2
    assert "--lazy: needs Detectron2, which is not installed" in capsys.readouterr().err


def test_sections_of_projects() -> None:
    found = {"a.yaml": Verdict("agrees", "x 1e-05"), "b.yaml": Verdict("refused", "why")}
    page = census.page({"c.yaml": Verdict("agrees", "x 2e-05")}, "", {}, {"PointRend": found})
    assert "configs --project detectron2/projects/PointRend/configs --output" in page
    assert "## PointRend\n\nFrom the 2 YAML files of Detectron2's `projects/PointRend/configs`.\n\nVerdicts: 1" in page
    assert "| `a.yaml` | agrees | x 1e-05 |\n| `b.yaml` | refused | why |\n\n## Lazy" in page
