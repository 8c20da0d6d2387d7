"""What the compiled library finds in a picture, in Detectron2's containers."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import numpy.typing as npt

from d2deploy.structures import Instances, as_boxes

__all__ = ["KEYPOINT_SCORES", "prediction"]

Array = npt.NDArray[Any]
KEYPOINT_SCORES = {"logit": 2, "probability": 3}  # and where they stand in a row of the library


def prediction(
    found: Mapping[str, Any], convert: Callable[[Array], Any], keypoint_score: str = "probability"
) -> dict[str, Any]:
    """One picture's prediction, as a model of Detectron2 gives it.

    Args:
        found: what `Detector.predict` gives.
        convert: makes of each array what the caller wants: an array or a tensor.
        keypoint_score: one of KEYPOINT_SCORES, the third column of keypoints.
    """
    size: tuple[int, int] = found["image_size"]
    if "class_map" in found:
        return {"sem_seg": convert(found["sem_seg"])}
    boxes = as_boxes(convert(found["boxes"]))
    if "classes" not in found:
        return {"proposals": Instances(size, proposal_boxes=boxes, objectness_logits=convert(found["scores"]))}
    fields = {"pred_boxes": boxes, "scores": convert(found["scores"]), "pred_classes": convert(found["classes"])}
    if "masks" in found:
        from d2deploy._ext import paste_masks

        fields["pred_masks"] = convert(paste_masks(found["masks"], found["boxes"], *size))
    if "keypoints" in found:
        columns = [0, 1, KEYPOINT_SCORES[keypoint_score]]
        fields["pred_keypoints"] = convert(np.ascontiguousarray(found["keypoints"][:, :, columns]))
    if "keypoint_heatmaps" in found:
        fields["pred_keypoint_heatmaps"] = convert(found["keypoint_heatmaps"])
    result: dict[str, Any] = {"instances": Instances(size, **fields)}
    if "sem_seg" in found:
        result["sem_seg"] = convert(found["sem_seg"])
    if "panoptic_map" in found:
        result["panoptic_seg"] = (convert(found["panoptic_map"]), found["segments"])
    return result
