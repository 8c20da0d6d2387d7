"""Predictions in COCO's result format, as Detectron2's COCOEvaluator writes them; classes stay the model's."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
from pycocotools import mask as rle

from d2deploy.errors import InvalidArgument, Unsupported

from .checks import quoted, say
from .coco import CocoDataset, Record
from .segmentations import Fault, checked_rle

__all__ = ["Result", "checked_results", "finite_results", "to_results"]

Array = npt.NDArray[Any]
# image_id, class, bbox (x, y, width, height), score; where predicted, segmentation (RLE) and keypoints (x, y, score).
Result = dict[str, Any]


def to_array(values: Any) -> Array:
    """A NumPy array of a NumPy array or of a PyTorch tensor on any device."""
    for step in ("detach", "cpu"):
        values = getattr(values, step, lambda values=values: values)()
    return np.asarray(values)


def to_results(instances: Any, image: Record) -> list[Result]:
    """The instances of one image.

    Args:
        instances: `pred_boxes` (Boxes, or (N, 4) xyxy in pixels of the image, the end exclusive), `scores` (N,),
            `pred_classes` (N,), and where the model gives them `pred_masks` (N, H, W) and `pred_keypoints` (N, K, 3),
            rows x, y, score; PyTorch tensors or NumPy arrays.
        image: what they were found in.

    Returns:
        One dict for each. Keypoints are moved by -0.5, from the corner of the image to the centre of its first pixel.

    Raises:
        Unsupported: rotated boxes.
        InvalidArgument: masks that have not the size of the image.
    """
    boxes = instances.pred_boxes
    xyxy = to_array(getattr(boxes, "tensor", boxes))
    if xyxy.shape[1:] != (4,):
        raise Unsupported(f"pred_boxes are {xyxy.shape}, wanted (N, 4): COCO's metric knows no rotated boxes")
    xywh = np.concatenate([xyxy[:, :2], xyxy[:, 2:] - xyxy[:, :2]], axis=1).tolist()
    scores, classes = to_array(instances.scores).tolist(), to_array(instances.pred_classes).tolist()
    results = [
        {"image_id": image["image_id"], "class": c, "bbox": box, "score": score}
        for c, box, score in zip(classes, xywh, scores, strict=True)
    ]
    if instances.has("pred_masks"):
        for result, segmentation in zip(results, _encoded(to_array(instances.pred_masks), image), strict=True):
            result["segmentation"] = segmentation
    if instances.has("pred_keypoints"):
        points = to_array(instances.pred_keypoints) - np.array([0.5, 0.5, 0], np.float32)
        for result, rows in zip(results, points.reshape(len(points), -1).tolist(), strict=True):
            result["keypoints"] = rows
    return results


def _encoded(masks: Array, image: Record) -> list[dict[str, Any]]:
    size = image["height"], image["width"]
    if masks.ndim != 3 or masks.shape[1:] != size:
        raise InvalidArgument(
            f"image {image['image_id']}: pred_masks are {masks.shape}, wanted (N, {size[0]}, {size[1]}), "
            f"the image's size"
        )
    encoded: list[dict[str, Any]] = rle.encode(np.asfortranarray(masks.transpose(1, 2, 0), np.uint8))
    return [{"size": e["size"], "counts": e["counts"].decode("ascii")} for e in encoded]


def finite_results(results: list[Result]) -> list[Result]:
    """Those whose numbers are all finite; how many are not is shown."""
    kept = [result for result in results if all(map(math.isfinite, _numbers(result)))]
    if len(kept) < len(results):
        say(f"{len(results) - len(kept)} of {len(results)} predictions are not finite: left out, as Detectron2 does")
    return kept


def _numbers(result: Result) -> list[float]:
    return [result["score"], *result["bbox"], *result.get("keypoints", ())]


def checked_results(dataset: CocoDataset, results: Sequence[Result]) -> list[Result]:
    """Results of any origin, as far as AP could go wrong by them; masks may be run lengths of any of COCO's forms.

    Raises:
        InvalidArgument: one is wrong; all images and masks of it are checked.
    """
    checked = []
    for i, result in enumerate(results):
        if not isinstance(result, dict):
            raise InvalidArgument(f"results[{i}] is a {type(result).__name__}, wanted a dict as to_results gives it")
        image = dataset.image(result.get("image_id"))
        if image is None:
            raise InvalidArgument(
                f"results[{i}] has image_id {quoted(result.get('image_id'))}, which is not an image of "
                f"{dataset.json_file}"
            )
        for key, right in _rules(result).items():
            if not right:
                raise InvalidArgument(f"results[{i}] has {key} {quoted(result.get(key))}, wanted one as of to_results")
        checked.append(result)
        if "segmentation" in result:
            try:
                rle = checked_rle(result["segmentation"], (image["height"], image["width"]))
            except Fault as fault:
                raise InvalidArgument(f"results[{i}] has {fault}") from None
            checked[-1] = {**result, "segmentation": rle}
    return checked


def _rules(result: Result) -> dict[str, bool]:
    """Whether the fields of a result are what they must be."""
    box, points = result.get("bbox"), result.get("keypoints", [])
    return {
        "class": type(result.get("class")) is int,
        "score": type(result.get("score")) in (int, float),
        "bbox": isinstance(box, list) and len(box) == 4 and all(type(side) in (int, float) for side in box),
        "keypoints": isinstance(points, list)
        and len(points) % 3 == 0
        and all(type(value) in (int, float) for value in points),
        "segmentation": isinstance(result.get("segmentation", {}), dict),
    }
