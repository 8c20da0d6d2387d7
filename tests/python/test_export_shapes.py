"""Four trained models against what Detectron2 itself answers for them (tests/data/shapes): eager, and as files."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
import torch
from conftest import ROOT, Conversion
from PIL import Image
from pycocotools import mask as rle_code

from d2deploy.checkpoint import load_weights
from d2deploy.config import load_config
from d2deploy.evaluation import CocoDataset, evaluate
from d2deploy.evaluation.eager import ModelPredictor
from d2deploy.export import Caffe2Tracer
from d2deploy.export.verify import verify
from d2deploy.images import ImageReader
from d2deploy.modeling import build_model

if TYPE_CHECKING:
    from d2deploy import runtime
else:
    pytest.importorskip("d2deploy._ext", reason="not built: cmake --preset dev && cmake --build --preset dev")
    from d2deploy import runtime

# pycocotools' arrays, on NumPy 2
pytestmark = pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")

SHAPES = ROOT / "tests" / "data" / "shapes"
ARCHITECTURES = ["mask_rcnn", "keypoint_rcnn", "retinanet", "panoptic_fpn"]


@dataclass(frozen=True)
class Trained:
    """A model in both forms, and what Detectron2 answers."""

    cfg: Any
    model: Any
    tracer: Caffe2Tracer
    folder: Path
    answers: dict[str, Any]


@pytest.fixture(scope="module", params=ARCHITECTURES)
def trained(request: pytest.FixtureRequest, converted: Callable[[str], Conversion]) -> Trained:
    source = SHAPES / request.param
    cfg = load_config(source / "config.yaml", ["MODEL.DEVICE", "cpu"])
    model = build_model(cfg)
    load_weights(model, source / "model_final.pkl")
    answers = json.loads((source / "detectron2.json").read_text())
    code, out, folder = converted(request.param)
    assert code == 0, out
    return Trained(cfg, model, Caffe2Tracer(cfg, model), folder, answers)


Predictor = Callable[[dict[str, Any]], dict[str, Any]]


@pytest.fixture(params=["eager", "files"])
def predictor(request: pytest.FixtureRequest, trained: Trained) -> Predictor:
    if request.param == "files":
        model = runtime.Caffe2Model.load_protobuf(trained.folder, threads=1, order="score")
        return lambda inputs: model([inputs])[0]
    return ModelPredictor(trained.model)


def faults(found: Any, answer: dict[str, Any]) -> list[str]:
    """Detections with a score above 0.05 that are not found again."""
    parts = (found.pred_boxes.tensor, found.scores, found.pred_classes)
    boxes, scores, classes = (np.asarray(part) for part in parts)
    free, result = np.ones(len(boxes), bool), []
    for i, (box, score, kind) in enumerate(zip(answer["boxes"], answer["scores"], answer["classes"])):
        if score <= 0.05:
            continue
        gaps = np.abs(boxes - np.array(box, np.float32)).max(axis=1)
        near = np.flatnonzero(free & (classes == kind) & (gaps <= 0.05) & (np.abs(scores - score) <= 0.001))
        if not len(near):
            result.append(f"{i}: class {kind}, score {score}, {box}")
            continue
        j = near[gaps[near].argmin()]
        free[j] = False
        if "masks" in answer and (iou := mask_iou(answer["masks"][i], np.asarray(found.pred_masks[j]))) <= 0.99:
            result.append(f"{i}: the mask's IoU is {iou}")
        if "keypoints" in answer:
            # Stored after the evaluator had moved them to COCO's frame, by half a pixel.
            gap = np.abs(
                np.array(answer["keypoints"][i])[:, :2] + 0.5 - np.asarray(found.pred_keypoints[j])[:, :2]
            ).max()
            result += [f"{i}: a keypoint is {gap} pixels away"] if gap > 0.05 else []
    return result


def mask_iou(code: dict[str, Any], mask: np.ndarray) -> float:
    wanted = rle_code.decode({**code, "counts": code["counts"].encode()}).astype(bool)
    union = (wanted | mask).sum()
    return float((wanted & mask).sum() / union) if union else 1.0


def test_detectron2s_answers_and_ap(trained: Trained, predictor: Predictor) -> None:
    dataset = CocoDataset(SHAPES / "val" / "annotations.json", SHAPES / "val" / "images")
    answers = {result["image_id"]: result for result in trained.answers["results"]}
    seen: list[int] = []
    wrong: list[str] = []

    def watch(inputs: dict[str, Any]) -> dict[str, Any]:
        outputs = predictor(inputs)
        answer = answers[inputs["image_id"]]
        seen.append(inputs["image_id"])
        wrong.extend(f"{answer['file_name']}: {fault}" for fault in faults(outputs["instances"], answer))
        if "panoptic_seg" in outputs:
            wrong.extend(panoptic_faults(outputs, answer))
        return outputs

    sigmas = trained.cfg.TEST.KEYPOINT_OKS_SIGMAS if trained.cfg.MODEL.KEYPOINT_ON else ()
    found = evaluate(dataset, watch, ImageReader.from_config(trained.cfg), keypoint_sigmas=sigmas)
    assert sorted(seen) == sorted(answers)
    assert not wrong, "\n".join(wrong)
    for task, metrics in trained.answers["ap"].items():
        for name, value in metrics.items():
            if value is not None:
                assert found[task][name] == pytest.approx(value, abs=0.01), f"{task} {name}"


def panoptic_faults(outputs: dict[str, Any], answer: dict[str, Any]) -> list[str]:
    stem = Path(answer["file_name"]).stem
    labels, segments = outputs["panoptic_seg"]
    maps = {"semantic": outputs["sem_seg"].argmax(0), "panoptic": labels}
    result = []
    for kind, found in maps.items():
        with Image.open(SHAPES / "panoptic_fpn" / f"{stem}_{kind}.png") as file:
            share = float((np.asarray(found) != np.asarray(file)).mean())
        if share > 1e-3:
            result.append(f"{stem}: {share:.2%} of the {kind} map differ")
    keys = ("id", "isthing", "category_id")
    if [[s[k] for k in keys] for s in segments] != [[s[k] for k in keys] for s in answer["segments_info"]]:
        result.append(f"{stem}: other segments: {segments}")
    return result


def test_raw_outputs_agree(trained: Trained) -> None:
    reader = ImageReader.from_config(trained.cfg)
    with torch.no_grad():
        report = verify(
            trained.tracer, trained.folder, reader(SHAPES / "val" / "images" / "000020.jpg")["image"], threads=1
        )
    assert report.agrees, f"\n{report}"
