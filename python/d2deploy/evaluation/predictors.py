"""Converted files as predictors: raw outputs become predictions through the functions that the eager model uses."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from d2deploy.errors import Unsupported
from d2deploy.export.inputs import net_inputs
from d2deploy.modeling.anchors import shifted_anchors
from d2deploy.modeling.boxes import Box2BoxTransform, as_boxes
from d2deploy.modeling.postprocessing import (
    class_masks,
    combine_panoptic,
    decode_retinanet,
    detector_postprocess,
    heatmaps_to_keypoints,
    sem_seg_postprocess,
)
from d2deploy.structures import Instances

Size = tuple[int, int]  # height, width


class ModelPredictor:
    """A model in PyTorch, ours or Detectron2's, on an image.

    Args:
        model: takes and gives Detectron2's list[dict].
    """

    def __init__(self, model: nn.Module) -> None:
        self._model = model

    @torch.no_grad()
    def __call__(self, inputs: Mapping[str, Any]) -> dict[str, Any]:
        """Predicts; `inputs` and the result are as FilePredictor's."""
        image = torch.from_numpy(np.ascontiguousarray(inputs["image"]))
        result: dict[str, Any] = self._model([{**inputs, "image": image}])[0]
        return result


class FilePredictor:
    """Two files of ours, on an image.

    Args:
        directory: the folder with `model.pb` and `model_init.pb`.
        threads: of one run; 0: as many as the process may use.

    Raises:
        InvalidModel: the files are damaged.
        Unsupported: files of other exporters, which lack what predictions need to know.
    """

    def __init__(self, directory: str | Path, threads: int = 0) -> None:
        from d2deploy import _ext  # the compiled library

        folder = Path(directory)
        self._model = _ext.Model(folder / "model.pb", folder / "model_init.pb", threads=threads)
        self.info: dict[str, Any] = self._model.info
        if "pixel_mean" not in self.info:
            raise Unsupported(
                f"{folder}: was not written by d2deploy, so its pixel mean is not known; convert it again"
            )

    def __call__(self, inputs: Mapping[str, Any]) -> dict[str, Any]:
        """Predicts.

        Args:
            inputs: "image", array (C, H, W), 0 to 255, resized and with channels as the model wants them; "height" and
                "width" that predictions are wanted for, by default the image's.

        Returns:
            As the eager model: "instances", or "proposals"; for panoptic models "sem_seg" and "panoptic_seg" too.
        """
        image = np.asarray(inputs["image"])
        size = (image.shape[1], image.shape[2])
        wanted = (int(inputs.get("height", size[0])), int(inputs.get("width", size[1])))
        blobs = self._model.run(net_inputs(image, self.info["pixel_mean"], self.info["size_divisibility"]))
        return predictions({k: torch.from_numpy(v) for k, v in blobs.items()}, self.info, size, wanted)


def predictions(blobs: Mapping[str, Tensor], info: Mapping[str, Any], size: Size, wanted: Size) -> dict[str, Any]:
    """Predictions from the raw outputs of one image.

    Args:
        blobs: outputs by name.
        info: the arguments of the net.
        size: of the image that went in, without padding.
        wanted: of the image that predictions are for.
    """
    architecture = info["meta_architecture"]
    if architecture == "ProposalNetwork":
        return {"proposals": detector_postprocess(_proposals(blobs, size), *wanted)}
    if architecture == "RetinaNet":
        return {"instances": detector_postprocess(_retinanet(blobs, info, size), *wanted)}
    instances = detector_postprocess(_detections(blobs, size), *wanted)
    if architecture != "PanopticFPN":
        return {"instances": instances}
    sem_seg = sem_seg_postprocess(blobs["sem_seg"][0], size, *wanted)
    panoptic = combine_panoptic(
        instances,
        sem_seg.argmax(dim=0),
        overlap_thresh=info["combine_overlap_threshold"],
        stuff_area_thresh=info["combine_stuff_area_limit"],
        instances_score_thresh=info["combine_instances_confidence_threshold"],
    )
    return {"instances": instances, "sem_seg": sem_seg, "panoptic_seg": panoptic}


def _proposals(blobs: Mapping[str, Tensor], size: Size) -> Instances:
    return Instances(size, proposal_boxes=as_boxes(blobs["rpn_rois"][:, 1:]), objectness_logits=blobs["rpn_scores"])


def _detections(blobs: Mapping[str, Tensor], size: Size) -> Instances:
    """Caffe2 groups detections by class; here they come by falling score, as from Detectron2."""
    order = torch.sort(blobs["score_nms"], descending=True, stable=True).indices
    boxes, classes = blobs["bbox_nms"][order], blobs["class_nms"][order].long()
    found = Instances(size, pred_boxes=as_boxes(boxes), scores=blobs["score_nms"][order], pred_classes=classes)
    if "mask_fcn_probs" in blobs:
        found.pred_masks = class_masks(blobs["mask_fcn_probs"][order], classes)
    if "kps_score" in blobs:
        found.pred_keypoints = heatmaps_to_keypoints(blobs["kps_score"][order], boxes)[:, :, [0, 1, 3]]
    if "keypoints_out" in blobs:
        found.pred_keypoints = blobs["keypoints_out"][order].transpose(1, 2)[:, :, [0, 1, 3]]
    return found


def _retinanet(blobs: Mapping[str, Tensor], info: Mapping[str, Any], size: Size) -> Instances:
    strides = info["anchor_strides"]
    cells = torch.tensor(info["cell_anchors"]).view(len(strides), -1, 4)
    logits = [blobs[f"box_cls_{i}"][0] for i in range(len(strides))]
    return decode_retinanet(
        logits,
        [blobs[f"box_delta_{i}"][0] for i in range(len(strides))],
        [shifted_anchors(c, m.shape[1:], s, offset=0.0) for c, m, s in zip(cells, logits, strides, strict=True)],
        size,
        box2box_transform=Box2BoxTransform(info["bbox_reg_weights"]),
        score_thresh=info["score_threshold"],
        topk_candidates=info["topk_candidates"],
        nms_thresh=info["nms_threshold"],
        max_detections=info["max_detections_per_image"],
    )
