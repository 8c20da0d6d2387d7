"""COCO's average precision of results, counted as Detectron2's COCOEvaluator counts it; pycocotools matches."""

from __future__ import annotations

import contextlib
import io
import math
from collections import defaultdict
from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
from pycocotools.coco import COCO
from pycocotools.cocoeval import COCOeval, Params

from d2deploy.errors import InvalidArgument

from .checks import say
from .coco import CocoDataset, labels
from .metrics import Metrics
from .results import Result, checked_results, finite_results

__all__ = ["FIELDS", "average_precision", "checked_sigmas", "precision_of", "why_not"]

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
        results: as `to_results` gives them, of all images. Those that are not finite are left out.
        tasks: among "bbox", "segm", "keypoints"; by default "bbox" and what the results have, as far as the data set
            has it too; what is left out is shown (logger `d2deploy.evaluation`).
        keypoint_sigmas: how exactly each keypoint is labelled (TEST.KEYPOINT_OKS_SIGMAS); empty: those of COCO's 17.
        max_detections: detections of an image that count, the best ones; 20 for keypoints, whatever this is.

    Returns:
        By task: AP (mean over the IoUs 0.5 to 0.95), AP50, AP75, APs, APm, APl (by area: below 32 x 32, below 96 x 96
        pixels, and above), and where there are several classes `AP-<class>`. NaN where nothing is annotated, and
        without any results; where that is so for AP, it is shown.

    Raises:
        InvalidArgument: results are wrong, or results and data set, or the keypoints' sigmas, do not belong together;
            an unknown task.

    Source: Detectron2, COCOEvaluator, whose values these are to all digits.
    """
    checked = checked_results(dataset, results)
    return precision_of(dataset, checked, tasks=tasks, keypoint_sigmas=keypoint_sigmas, max_detections=max_detections)


def precision_of(
    dataset: CocoDataset,
    results: list[Result],
    *,
    tasks: Sequence[str] | None,
    keypoint_sigmas: Sequence[float],
    max_detections: int,
) -> Metrics:
    """As `average_precision`, of results that are known to be right."""
    results = finite_results(results)
    _check_classes(dataset, results)
    found = tasks
    if found is None:
        found = [task for task, key in FIELDS.items() if task == "bbox" or any(key in result for result in results)]
    metrics: Metrics = {}
    for task in found:
        if task not in FIELDS:
            raise InvalidArgument(f"task {task!r} is not known; known: {', '.join(FIELDS)}")
        reason = why_not(dataset, results, task, keypoint_sigmas)
        if reason and tasks is not None:
            raise InvalidArgument(f"{reason}, which {task} AP needs; ask for other tasks, or take another data set")
        if reason:
            say(f"{task} AP is left out: {reason}")
            continue
        metrics[task] = _metrics(dataset, results, task, keypoint_sigmas, max_detections)
        if math.isnan(metrics[task]["AP"]):
            nothing = "no object is annotated for it" if results else "the model found nothing"
            say(f"{dataset.json_file}: {task} AP is not a number, for {nothing}")
        elif not metrics[task]["AP"]:
            say(f"{dataset.json_file}: {task} AP is 0: none of {len(results)} predictions matches what is annotated")
    return metrics


def why_not(dataset: CocoDataset, results: Sequence[Result], task: str, keypoint_sigmas: Sequence[float]) -> str:
    """What data set or results lack for a task; empty where they lack nothing."""
    key = FIELDS[task]
    lacking = dataset.lacking(key) if task != "bbox" else ""
    if lacking:
        return f"{dataset.json_file}: {lacking}"
    without = sum(key not in result for result in results)
    if without:
        return f"{without} of {len(results)} results have no {key}"
    if task != "keypoints":
        return ""
    counts = {
        "the predictions": {len(result["keypoints"]) // 3 for result in results},
        "the data set": {len(annotation["keypoints"]) // 3 for annotation in dataset.annotations},
        "TEST.KEYPOINT_OKS_SIGMAS": {len(checked_sigmas(keypoint_sigmas))},
    }
    if len(set().union(*counts.values())) <= 1:
        return ""
    told = ", ".join(f"{who} {sorted(numbers)}" for who, numbers in counts.items() if numbers)
    return f"{dataset.json_file}: the numbers of keypoints differ ({told}); they must be the same"


def checked_sigmas(given: Sequence[float]) -> npt.NDArray[np.float64]:
    """Those of COCO's 17 keypoints where none are given."""
    sigmas = np.asarray(given if len(given) else Params(iouType="keypoints").kpt_oks_sigmas, np.float64)
    if not (np.isfinite(sigmas) & (sigmas > 0)).all():
        raise InvalidArgument(f"TEST.KEYPOINT_OKS_SIGMAS are {sigmas.tolist()}, wanted numbers above 0")
    return sigmas


def _check_classes(dataset: CocoDataset, results: Sequence[Result]) -> None:
    classes = len(dataset.category_ids)
    strange = sorted({result["class"] for result in results if not 0 <= result["class"] < classes})
    if strange:
        raise InvalidArgument(
            f"{dataset.json_file}: there are predictions of class {', '.join(map(str, strange[:10]))}, but the data "
            f"set has {classes} classes, from 0; is it the one that the model was trained for?"
        )


def _metrics(
    dataset: CocoDataset, results: list[Result], task: str, keypoint_sigmas: Sequence[float], max_detections: int
) -> dict[str, float]:
    wanted = KEYPOINTS if task == "keypoints" else OBJECTS
    if not results:
        return dict.fromkeys(wanted, float("nan"))
    params = Params(iouType=task)
    params.maxDets = [20 if task == "keypoints" else max_detections]
    if task == "keypoints":
        params.kpt_oks_sigmas = checked_sigmas(keypoint_sigmas)
    truth = defaultdict(list)
    for annotation in dataset.annotations:
        truth[annotation["category_id"]].append(annotation)
    found = defaultdict(list)
    for result in results:
        found[result["class"]].append(result)
    # Class by class, each with its own images: all at once take time and memory for every class of every image.
    by_class = [
        _precision(dataset, truth[category], found[k], task, params) if category in truth else _nothing(params)
        for k, category in enumerate(dataset.category_ids)
    ]
    precision = np.stack(by_class, axis=2)
    summary = _summary(precision, params, wanted)
    if len(by_class) > 1:
        names = labels(dataset.class_names, dataset.category_ids)
        summary |= {f"AP-{name}": _mean(precision[:, :, k, 0]) for k, name in enumerate(names)}
    return summary


def _nothing(params: Any) -> npt.NDArray[np.float64]:
    """Precision of a class that is not annotated: -1, which is left out of all means."""
    return np.full((len(params.iouThrs), len(params.recThrs), len(params.areaRng)), -1.0)


def _precision(
    dataset: CocoDataset, truth: list[dict[str, Any]], found: list[Result], task: str, params: Any
) -> npt.NDArray[np.float64]:
    """Precision of one class by IoU, recall and area; -1 where nothing is annotated.

    pycocotools is given ids of our own and nothing that it does not need: it takes ids that NumPy turns into others.
    """
    ids = [{"image_id": dataset.numbers[one["image_id"]], "category_id": 1} for one in (*truth, *found)]
    images = [
        {"id": i, "height": dataset.images[i]["height"], "width": dataset.images[i]["width"]}
        for i in sorted({given["image_id"] for given in ids})
    ]
    annotated = [{**one, **given} for one, given in zip(truth, ids)]
    if task == "segm":
        annotated = [{**one, "segmentation": dataset.mask(source)} for one, source in zip(annotated, truth)]
    # With a box, pycocotools would take the size of an object from it, and not from the mask. It adds to results.
    left_out = {"class", "bbox"} if task == "segm" else {"class"}
    predicted = [
        {**{key: value for key, value in one.items() if key not in left_out}, **given}
        for one, given in zip(found, ids[len(truth) :])
    ]
    with contextlib.redirect_stdout(io.StringIO()), np.errstate(all="ignore"):  # it prints what it is doing
        reference = _index(images, annotated)
        evaluation = COCOeval(reference, reference.loadRes(predicted) if predicted else _index(images, []), task)
        for name in ("maxDets", *(["kpt_oks_sigmas"] if task == "keypoints" else [])):
            setattr(evaluation.params, name, getattr(params, name))
        evaluation.evaluate()
        evaluation.accumulate()
    precision: npt.NDArray[np.float64] = evaluation.eval["precision"][:, :, 0, :, 0]
    return precision


def _index(images: list[dict[str, Any]], annotations: list[dict[str, Any]]) -> COCO:
    """Annotations as pycocotools has them, all of one class."""
    coco = COCO()
    coco.dataset = {"images": images, "categories": [{"id": 1}], "annotations": annotations}
    coco.createIndex()
    return coco


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
