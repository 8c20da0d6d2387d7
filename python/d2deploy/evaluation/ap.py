"""COCO's average precision of results, counted as Detectron2's COCOEvaluator counts it; pycocotools matches."""

from __future__ import annotations

import contextlib
import io
from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
from pycocotools.cocoeval import COCOeval

from d2deploy.errors import InvalidArgument

from .coco import CocoDataset
from .results import Result

__all__ = ["Metrics", "average_precision"]

# Task ("bbox", "segm", "keypoints") -> metric ("AP", "AP50", ..., "AP-<class>") -> percent, NaN where there is none.
Metrics = dict[str, dict[str, float]]

# Metric -> the only IoU that counts (None: the mean of all), and the areas.
OBJECTS: dict[str, tuple[float | None, str]] = {
    "AP": (None, "all"),
    "AP50": (0.5, "all"),
    "AP75": (0.75, "all"),
    "APs": (None, "small"),
    "APm": (None, "medium"),
    "APl": (None, "large"),
}
KEYPOINTS = {name: wanted for name, wanted in OBJECTS.items() if name != "APs"}  # COCO labels none on small objects
FIELDS = {"bbox": "bbox", "keypoints": "keypoints", "segm": "segmentation"}  # task -> what a result must have


def average_precision(
    dataset: CocoDataset,
    results: Sequence[Result],
    *,
    tasks: Sequence[str] | None = None,
    keypoint_sigmas: Sequence[float] = (),
    max_detections: int = 100,
) -> Metrics:
    """AP of results in percent, overall and by class.

    Args:
        dataset: what they are compared with.
        results: as `to_results` gives them, of all images.
        tasks: among "bbox", "segm", "keypoints"; by default "bbox" and what the results have.
        keypoint_sigmas: how exactly each keypoint is labelled (TEST.KEYPOINT_OKS_SIGMAS); empty: those of COCO's 17.
        max_detections: detections of an image that count, the best ones; 20 for keypoints, whatever this is.

    Returns:
        By task: AP (mean over the IoUs 0.5 to 0.95), AP50, AP75, APs, APm, APl (by area: below 32 x 32, below 96 x 96
        pixels, and above), and where there are several classes `AP-<class>`. NaN where nothing is annotated, and
        without any results.

    Raises:
        InvalidArgument: results and data set, or the keypoints' sigmas, do not belong together; an unknown task.

    Source: Detectron2, COCOEvaluator, whose values these are to all digits.
    """
    if tasks is None:
        tasks = [task for task, key in FIELDS.items() if task == "bbox" or any(key in result for result in results)]
    metrics: Metrics = {}
    for task in tasks:
        if task not in FIELDS:
            raise InvalidArgument(f"task {task!r} is not known; known: {', '.join(FIELDS)}")
        wanted = KEYPOINTS if task == "keypoints" else OBJECTS
        if not results:
            metrics[task] = dict.fromkeys(wanted, float("nan"))
            continue
        _check_task(dataset, results, task)
        coco_results = _of_categories(dataset, results, task)
        sigmas = _sigmas(dataset, results, keypoint_sigmas) if task == "keypoints" else None
        precision, params = _precision(dataset, coco_results, task, sigmas, max_detections)
        metrics[task] = _summary(precision, params, wanted)
        if len(dataset.class_names) > 1:
            by_class = {f"AP-{name}": _mean(precision[:, :, k, 0]) for k, name in enumerate(dataset.class_names)}
            metrics[task].update(by_class)
    return metrics


def _check_task(dataset: CocoDataset, results: Sequence[Result], task: str) -> None:
    for key in (FIELDS[task], *(["num_keypoints"] if task == "keypoints" else [])):
        without = sum(annotation.get(key) in (None, [], {}) for annotation in dataset.annotations)
        if without:
            raise InvalidArgument(
                f"{dataset.json_file}: {without} of {len(dataset.annotations)} annotations have no {key}, which {task} "
                f"AP needs; ask for other tasks, or take the data set's file for {task}"
            )
    lacking = sum(FIELDS[task] not in result for result in results)
    if lacking:
        raise InvalidArgument(f"{lacking} of {len(results)} results have no {FIELDS[task]}, which {task} AP needs")


def _of_categories(dataset: CocoDataset, results: Sequence[Result], task: str) -> list[Result]:
    """The results as pycocotools wants them: with the data set's category ids, and copied, for it adds to them."""
    classes = len(dataset.category_ids)
    strange = sorted({result["class"] for result in results if not 0 <= result["class"] < classes})
    if strange:
        raise InvalidArgument(
            f"{dataset.json_file}: there are predictions of class {', '.join(map(str, strange[:10]))}, but the data "
            f"set has {classes} classes, from 0; is it the one that the model was trained for?"
        )
    # With a box, pycocotools would take the size of an object from it, and not from the mask.
    left_out = {"class", "bbox"} if task == "segm" else {"class"}
    return [
        {key: value for key, value in result.items() if key not in left_out}
        | {"category_id": dataset.category_ids[result["class"]]}
        for result in results
    ]


def _sigmas(dataset: CocoDataset, results: Sequence[Result], given: Sequence[float]) -> npt.NDArray[np.float64]:
    sigmas = np.asarray(given if len(given) else COCOeval(iouType="keypoints").params.kpt_oks_sigmas, np.float64)
    counts = {
        "the predictions": {len(result["keypoints"]) // 3 for result in results},
        "the data set": {len(annotation["keypoints"]) // 3 for annotation in dataset.annotations},
        "TEST.KEYPOINT_OKS_SIGMAS": {len(sigmas)},
    }
    if len(set().union(*counts.values())) > 1:
        found = ", ".join(f"{who} {sorted(numbers)}" for who, numbers in counts.items())
        raise InvalidArgument(f"{dataset.json_file}: the numbers of keypoints differ: {found}; they must be the same")
    return sigmas


def _precision(
    dataset: CocoDataset,
    results: list[Result],
    task: str,
    sigmas: npt.NDArray[np.float64] | None,
    max_detections: int,
) -> tuple[npt.NDArray[np.float64], Any]:
    """Precision by IoU, recall, class and area (-1 where nothing is annotated), and pycocotools' parameters."""
    with contextlib.redirect_stdout(io.StringIO()):  # pycocotools prints what it is doing
        truth = dataset.index()
        evaluation = COCOeval(truth, truth.loadRes(results), task)
        evaluation.params.maxDets = [20 if task == "keypoints" else max_detections]
        if sigmas is not None:
            evaluation.params.kpt_oks_sigmas = sigmas
        evaluation.evaluate()
        evaluation.accumulate()
    return evaluation.eval["precision"][..., 0], evaluation.params


def _summary(
    precision: npt.NDArray[np.float64], params: Any, wanted: dict[str, tuple[float | None, str]]
) -> dict[str, float]:
    summary = {}
    for name, (iou, area) in wanted.items():
        of_iou = precision if iou is None else precision[np.isclose(params.iouThrs, iou)]
        summary[name] = _mean(of_iou[..., params.areaRngLbl.index(area)])
    return summary


def _mean(precision: npt.NDArray[np.float64]) -> float:
    """In percent, of what is annotated."""
    annotated = precision[precision > -1]
    return 100 * float(annotated.mean()) if annotated.size else float("nan")
