"""Writes <architecture>/detectron2.json: Detectron2's own answers for the models and images of this folder.

Usage: python answers.py [ARCHITECTURE...]. Needs Detectron2 (main) and pycocotools; d2deploy is not involved.
"""

from __future__ import annotations

import contextlib
import io
import json
import math
import sys
from pathlib import Path
from typing import Any

import detectron2
import numpy as np
import torch
from detectron2.config import get_cfg
from detectron2.data import DatasetCatalog
from detectron2.data.datasets import register_coco_instances
from detectron2.data.detection_utils import read_image
from detectron2.engine import DefaultPredictor
from detectron2.evaluation import COCOEvaluator
from PIL import Image
from pycocotools import mask as rle_code

HERE = Path(__file__).parent
DATASET = "d2deploy_shapes_val"
ARCHITECTURES = ("mask_rcnn", "keypoint_rcnn", "retinanet", "panoptic_fpn")


def predictor(folder: Path) -> DefaultPredictor:
    """Gives Detectron2's predictor for the checkpoint and the configuration of one architecture."""
    cfg = get_cfg()
    cfg.merge_from_file(str(folder / "config.yaml"))
    cfg.MODEL.WEIGHTS = str(folder / "model_final.pkl")
    cfg.MODEL.DEVICE = "cpu"
    cfg.DATASETS.TEST = (DATASET,)
    return DefaultPredictor(cfg)


def run_length(mask: np.ndarray) -> dict[str, Any]:
    """Gives the COCO run-length code of a (H, W) mask, its counts as text."""
    code = rle_code.encode(np.asfortranarray(mask.astype(np.uint8)))
    return {"size": [int(side) for side in code["size"]], "counts": code["counts"].decode()}


def plain(instances: Any) -> dict[str, Any]:
    """Gives predicted instances as lists: boxes xyxy in pixels of the image, keypoints (x, y, score)."""
    fields = instances.get_fields()
    answer: dict[str, Any] = {
        "boxes": np.round(fields["pred_boxes"].tensor.numpy().astype(float), 4).tolist(),
        "scores": np.round(fields["scores"].numpy().astype(float), 6).tolist(),
        "classes": fields["pred_classes"].tolist(),
    }
    if "pred_masks" in fields:
        answer["masks"] = [run_length(mask) for mask in fields["pred_masks"].numpy()]
    if "pred_keypoints" in fields:
        answer["keypoints"] = np.round(fields["pred_keypoints"].numpy().astype(float), 4).tolist()
    return answer


def save_maps(folder: Path, stem: str, outputs: dict[str, Any]) -> list[dict[str, Any]]:
    """Writes the semantic and the panoptic map of an image as PNG files and gives the segments."""
    panoptic, segments = outputs["panoptic_seg"]
    semantic = outputs["sem_seg"].argmax(dim=0)
    Image.fromarray(panoptic.numpy().astype(np.uint8)).save(folder / f"{stem}_panoptic.png", optimize=True)
    Image.fromarray(semantic.numpy().astype(np.uint8)).save(folder / f"{stem}_semantic.png", optimize=True)
    return [
        {key: round(value, 6) if isinstance(value, float) else value for key, value in segment.items()}
        for segment in segments
    ]


def average_precisions(found: dict[str, dict[str, float]]) -> dict[str, dict[str, float | None]]:
    """Gives the evaluator's table rounded, with None where COCO has no ground truth of that size or class."""
    return {
        task: {name: None if math.isnan(value) else round(float(value), 4) for name, value in row.items()}
        for task, row in found.items()
    }


def answers(name: str) -> dict[str, Any]:
    folder = HERE / name
    predict = predictor(folder)
    sigmas = predict.cfg.TEST.KEYPOINT_OKS_SIGMAS if predict.cfg.MODEL.KEYPOINT_ON else ()
    tasks = {"mask_rcnn": ("bbox", "segm"), "panoptic_fpn": ("bbox", "segm"), "keypoint_rcnn": ("bbox", "keypoints")}
    evaluator = COCOEvaluator(
        DATASET, tasks.get(name, ("bbox",)), distributed=False, use_fast_impl=False, kpt_oks_sigmas=sigmas
    )
    evaluator.reset()
    results = []
    for record in json.loads((HERE / "val/annotations.json").read_text())["images"]:
        outputs = predict(read_image(str(HERE / "val/images" / record["file_name"]), "BGR"))
        evaluator.process([{"image_id": record["id"]}], [outputs])
        result = {"image_id": record["id"], "file_name": record["file_name"], **plain(outputs["instances"])}
        if "panoptic_seg" in outputs:
            result["segments_info"] = save_maps(folder, Path(record["file_name"]).stem, outputs)
        results.append(result)
    with contextlib.redirect_stdout(io.StringIO()):
        found = evaluator.evaluate()
    return {"ap": average_precisions(found), "results": results}


def main(names: list[str]) -> None:
    torch.set_num_threads(1)
    register_coco_instances(DATASET, {}, str(HERE / "val/annotations.json"), str(HERE / "val/images"))
    DatasetCatalog.get(DATASET)  # reads the classes that the evaluator needs
    for name in names or ARCHITECTURES:
        answer = answers(name)
        head = {"detectron2": detectron2.__version__, "torch": torch.__version__, "ap": answer["ap"]}
        lines = ",\n".join(json.dumps(result) for result in answer["results"])
        text = json.dumps(head, indent=1)[:-2] + f',\n "results": [\n{lines}\n ]\n}}\n'
        (HERE / name / "detectron2.json").write_text(text)


if __name__ == "__main__":
    main(sys.argv[1:])
