"""scripts/census.py: which configurations are one architecture, what is refused, and the page."""

from __future__ import annotations

from pathlib import Path

import pytest

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
    page = census.page(verdicts, "abc", 3)
    assert "from the 2 YAML files of Detectron2's `configs` (commit abc)" in page
    assert "Verdicts: 1 agrees, 1 refused." in page
    assert "lazy ones, 3 files" in page
    assert page.endswith("| `x/a.yaml` | agrees | bbox_nms 1e-05 |\n| `b.yaml` | refused | this / that |\n")


def test_section_of_a_project() -> None:
    text = census.section("PointRend", {"a.yaml": Verdict("agrees", "x 1e-05"), "b.yaml": Verdict("refused", "why")})
    assert "## PointRend" in text
    assert "From the 2 YAML files of Detectron2's `projects/PointRend/configs`. Verdicts: 1 agrees, 1 refused." in text
    assert text.endswith("| `a.yaml` | agrees | x 1e-05 |\n| `b.yaml` | refused | why |\n")
