"""From the raw outputs of one image to predictions, as Detectron2 makes them of its networks' outputs.

The eager model does the same in PyTorch (modeling.postprocessing); tests compare the two.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import numpy.typing as npt

from d2deploy.runtime.boxes import batched_nms, decode, shifted_anchors
from d2deploy.runtime.maps import keypoints_of, resize
from d2deploy.structures import Instances, as_boxes, paste_masks
from d2deploy.structures.geometry import clip, nonempty, scale

__all__ = ["combine_panoptic", "decode_retinanet", "postprocess", "predictions"]

Array = npt.NDArray[Any]
Size = tuple[int, int]  # height, width
KEYPOINT = [0, 1, 3]  # x, y, probability; the logit between them is left out


def predictions(blobs: Mapping[str, Array], info: Mapping[str, Any], size: Size, wanted: Size) -> dict[str, Any]:
    """Predictions from the raw outputs of one image.

    Args:
        blobs: outputs by name.
        info: the arguments of the net.
        size: of the image that went in, without padding.
        wanted: of the image that predictions are for.
    """
    architecture = info["meta_architecture"]
    if architecture == "ProposalNetwork":
        return {"proposals": postprocess(_proposals(blobs, size), wanted)}
    if architecture == "RetinaNet":
        return {"instances": postprocess(decode_retinanet(blobs, info, size), wanted)}
    instances = postprocess(_detections(blobs, size), wanted)
    if architecture != "PanopticFPN":
        return {"instances": instances}
    sem_seg = resize(blobs["sem_seg"][0, :, : size[0], : size[1]], wanted)
    panoptic = combine_panoptic(
        instances,
        sem_seg.argmax(axis=0),
        overlap_thresh=info["combine_overlap_threshold"],
        stuff_area_thresh=info["combine_stuff_area_limit"],
        instances_score_thresh=info["combine_instances_confidence_threshold"],
    )
    return {"instances": instances, "sem_seg": sem_seg, "panoptic_seg": panoptic}


def _proposals(blobs: Mapping[str, Array], size: Size) -> Instances:
    return Instances(size, proposal_boxes=as_boxes(blobs["rpn_rois"][:, 1:]), objectness_logits=blobs["rpn_scores"])


def _detections(blobs: Mapping[str, Array], size: Size) -> Instances:
    """Caffe2 groups detections by class; here they come by falling score, as from Detectron2."""
    order = np.argsort(-blobs["score_nms"], kind="stable")
    boxes, classes = blobs["bbox_nms"][order], blobs["class_nms"][order].astype(np.int64)
    found = Instances(size, pred_boxes=as_boxes(boxes), scores=blobs["score_nms"][order], pred_classes=classes)
    if "mask_fcn_probs" in blobs:
        masks = blobs["mask_fcn_probs"][order]  # of each class, or one for all
        found.pred_masks = masks[np.arange(len(masks)), classes if masks.shape[1] > 1 else 0]
    if "kps_score" in blobs:
        found.pred_keypoints = keypoints_of(blobs["kps_score"][order], boxes)[:, :, KEYPOINT]
    if "keypoints_out" in blobs:
        found.pred_keypoints = blobs["keypoints_out"][order].transpose(0, 2, 1)[:, :, KEYPOINT]
    return found


def postprocess(results: Instances, wanted: Size) -> Instances:
    """Detections or proposals at another size of the image; those without area are dropped.

    Args:
        results: `pred_boxes` or `proposal_boxes`, `pred_masks` (R, S, S) as probabilities, `pred_keypoints`.
        wanted: size of the wanted image, in pixels.

    Returns:
        The same fields; masks are (R, height, width) bool.

    Source: detectron2/modeling/postprocessing.py, detector_postprocess.
    """
    scale_x, scale_y = wanted[1] / results.image_size[1], wanted[0] / results.image_size[0]
    name = "pred_boxes" if results.has("pred_boxes") else "proposal_boxes"
    boxes = clip(scale(results.get(name).tensor, scale_x, scale_y), wanted)
    output = Instances(wanted, **{**results.get_fields(), name: as_boxes(boxes)})[nonempty(boxes)]
    if output.has("pred_masks"):
        output.pred_masks = paste_masks(output.pred_masks, output.pred_boxes.tensor, wanted)
    if output.has("pred_keypoints"):
        output.pred_keypoints = output.pred_keypoints * np.array([scale_x, scale_y, 1.0], np.float32)
    return output


def decode_retinanet(blobs: Mapping[str, Array], info: Mapping[str, Any], size: Size) -> Instances:
    """RetinaNet's detections in one image.

    Args:
        blobs: per level i `box_cls_<i>` (1, A K, H, W), K classes for each of A anchors, and `box_delta_<i>`
            (1, A 4, H, W).
        info: the arguments of the net.
        size: of the network's input without padding.

    Returns:
        `pred_boxes`, not clipped, `scores` and `pred_classes`, by falling score.

    Source: detectron2/modeling/meta_arch/retinanet.py, inference_single_image.
    """
    strides = info["anchor_strides"]
    cells = np.array(info["cell_anchors"], np.float32).reshape(len(strides), -1, 4)
    parts = []
    for level, (cell, stride) in enumerate(zip(cells, strides)):
        logits, deltas = blobs[f"box_cls_{level}"][0], blobs[f"box_delta_{level}"][0]
        anchors = shifted_anchors(cell, logits.shape[1:], stride)
        with np.errstate(over="ignore"):  # exp of a large number is infinite, and its score 0
            scores = 1 / (1 + np.exp(-_per_anchor(logits, len(cell))))
        rows, classes = np.nonzero(scores > info["score_threshold"])
        best = np.argsort(-scores[rows, classes], kind="stable")[: info["topk_candidates"]]
        rows, classes = rows[best], classes[best]
        boxes = decode(_per_anchor(deltas, len(cell))[rows], anchors[rows], info["bbox_reg_weights"])
        parts.append((boxes, scores[rows, classes], classes))
    boxes, scores, classes = (np.concatenate(column) for column in zip(*parts))
    keep = batched_nms(boxes, scores, classes, info["nms_threshold"])[: info["max_detections_per_image"]]
    return Instances(size, pred_boxes=as_boxes(boxes[keep]), scores=scores[keep], pred_classes=classes[keep])


def _per_anchor(x: Array, anchors: int) -> Array:
    """(H W A, D) from a map (A D, H, W): row by row, the anchors of each position together."""
    height, width = x.shape[1:]
    return x.reshape(anchors, -1, height, width).transpose(2, 3, 0, 1).reshape(height * width * anchors, -1)


def combine_panoptic(
    instances: Instances,
    labels: Array,
    *,
    overlap_thresh: float,
    stuff_area_thresh: float,
    instances_score_thresh: float,
) -> tuple[Array, list[dict[str, Any]]]:
    """One segment per pixel: first the things, by falling score, then the stuff where nothing is yet.

    Args:
        instances: `scores`, `pred_classes`, and `pred_masks` (R, H, W) bool.
        labels: (H, W), semantic classes; 0 stands for all things.
        overlap_thresh: a thing is left out where more than this share of it is taken.
        stuff_area_thresh: stuff of fewer pixels is left out.
        instances_score_thresh: things of lower scores are left out.

    Returns:
        The map (H, W) int32 of segment ids, 0 for none, and for each segment `id`, `isthing`, `category_id`, and for
        things `score` and `instance_id`, for stuff `area` in pixels.

    Source: detectron2/modeling/meta_arch/panoptic_fpn.py, combine_semantic_and_instance_outputs; Kirillov et al.,
    Panoptic Segmentation, section 7.
    """
    output = np.zeros(labels.shape, np.int32)
    segments: list[dict[str, Any]] = []
    for index in np.argsort(-instances.scores, kind="stable").tolist():
        score = float(instances.scores[index])
        if score < instances_score_thresh:
            break
        mask = instances.pred_masks[index]
        area = int(mask.sum())
        free = mask & (output == 0)
        if area == 0 or (area - int(free.sum())) / area > overlap_thresh:
            continue
        category = int(instances.pred_classes[index])
        thing = {"id": len(segments) + 1, "isthing": True, "score": score, "category_id": category}
        segments.append({**thing, "instance_id": index})
        output[free] = len(segments)
    for label in np.unique(labels).tolist():
        free = (labels == label) & (output == 0)
        area = int(free.sum())
        if label == 0 or area < stuff_area_thresh:
            continue
        segments.append({"id": len(segments) + 1, "isthing": False, "category_id": label, "area": area})
        output[free] = len(segments)
    return output, segments
