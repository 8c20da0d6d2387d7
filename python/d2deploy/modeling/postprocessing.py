"""From raw outputs of a network to predictions at the size of the user's image.

The library has the same in C++, for the outputs of files. Source, where nothing else is named:
detectron2/modeling/postprocessing.py.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional

from d2deploy.modeling.nms import batched_nms
from d2deploy.structures import Instances, as_boxes
from d2deploy.structures.geometry import clip, nonempty, scale

__all__ = [
    "class_masks",
    "combine_panoptic",
    "decode_retinanet",
    "detector_postprocess",
    "heatmaps_to_keypoints",
    "paste_masks",
    "sem_seg_postprocess",
]


def detector_postprocess(results: Instances, height: int, width: int, mask_threshold: float = 0.5) -> Instances:
    """Detections or proposals at another size of the image; those without area are dropped.

    Args:
        results: `pred_boxes` or `proposal_boxes`, `pred_masks` (R, 1, S, S) as probabilities, `pred_keypoints`.
        height: of the wanted image, as `width`, in pixels.
        width: of the wanted image.
        mask_threshold: a mask is where its probability is at least this.

    Returns:
        The same fields; masks are (R, height, width) bool.

    Law: boxes lie in the image, x1 < x2 and y1 < y2; another order of the rows is another order of the result.
    """
    scale_x, scale_y = width / results.image_size[1], height / results.image_size[0]
    name = "pred_boxes" if results.has("pred_boxes") else "proposal_boxes"
    boxes = clip(scale(results.get(name).tensor, scale_x, scale_y), (height, width))
    output = Instances((height, width), **{**results.get_fields(), name: as_boxes(boxes)})[nonempty(boxes)]
    if output.has("pred_masks"):
        probabilities = output.pred_masks[:, 0]
        output.pred_masks = paste_masks(probabilities, output.pred_boxes.tensor, (height, width), mask_threshold)
    if output.has("pred_keypoints"):
        factors = output.pred_keypoints.new_tensor([scale_x, scale_y, 1.0])
        output.pred_keypoints = output.pred_keypoints * factors
    return output


def class_masks(masks: Tensor, classes: Tensor) -> Tensor:
    """The mask of each detection's class, (R, 1, S, S), from (R, K, S, S), or (R, 1, S, S) where K is 1 for all."""
    if masks.shape[1] == 1:
        return masks
    return masks[torch.arange(len(masks), device=masks.device), classes][:, None]


def paste_masks(masks: Tensor, boxes: Tensor, image_size: tuple[int, int], threshold: float = 0.5) -> Tensor:
    """Masks of the whole image from masks of boxes, interpolated bilinearly at the centres of pixels.

    Args:
        masks: (R, S, S), probabilities; the whole S x S is the box.
        boxes: (R, 4), xyxy in pixels of the image.
        image_size: height and width.
        threshold: a pixel is set where the probability is at least this.

    Returns:
        (R, height, width) bool.

    Law: at the threshold 0.25, a mask of ones sets the pixels whose centres are in its box, and none that is further
    from it than half a cell of the mask.

    Source: He et al., Mask R-CNN, section 3.1; detectron2/layers/mask_ops.py, paste_masks_in_image.
    """
    height, width = image_size
    output = torch.zeros(len(masks), height, width, dtype=torch.bool, device=masks.device)
    for mask, box, whole in zip(masks, boxes, output):
        # Interpolation with zeros around the mask reaches less than a pixel beyond the box's borders.
        x0, y0 = (max(int(v) - 1, 0) for v in box[:2].floor())
        x1, y1 = (min(int(v) + 1, end) for v, end in zip(box[2:].ceil(), (width, height)))
        if x0 >= x1 or y0 >= y1:
            continue
        x = torch.arange(x0, x1, device=masks.device, dtype=torch.float32) + 0.5
        y = torch.arange(y0, y1, device=masks.device, dtype=torch.float32) + 0.5
        x = (x - box[0]) / (box[2] - box[0]) * 2 - 1
        y = (y - box[1]) / (box[3] - box[1]) * 2 - 1
        grid = torch.stack(torch.meshgrid(x, y, indexing="xy"), dim=-1)
        pasted = functional.grid_sample(mask[None, None], grid[None].to(mask.dtype), align_corners=False)
        whole[y0:y1, x0:x1] = pasted[0, 0] >= threshold
    return output


def heatmaps_to_keypoints(maps: Tensor, boxes: Tensor) -> Tensor:
    """The best place of each keypoint, on heatmaps resized bicubically to their boxes.

    Source: detectron2/structures/keypoints.py, heatmaps_to_keypoints.

    Law: places lie in the box; a constant added to a heatmap is added to the logit, and changes nothing else.

    Args:
        maps: (R, K, S, S), logits.
        boxes: (R, 4), xyxy in pixels; shorter sides than a pixel count as one.

    Returns:
        (R, K, 4): x, y, logit, and probability, that is the softmax over the heatmap before it is resized.
    """
    size = (boxes[:, 2:] - boxes[:, :2]).clamp(min=1)
    cells = size.ceil()
    output = maps.new_zeros(*maps.shape[:2], 4)
    for keypoints, heatmap, box, cell, step in zip(output, maps, boxes, cells, size / cells):
        columns, rows = int(cell[0]), int(cell[1])
        resized = functional.interpolate(heatmap[None], size=(rows, columns), mode="bicubic", align_corners=False)[0]
        logit, place = resized.flatten(1).max(dim=1)
        total = (heatmap - logit[:, None, None]).exp().sum(dim=(1, 2))
        xy = torch.stack([place % columns, place // columns], dim=1)
        keypoints[:, :2] = (xy + 0.5) * step + box[:2]
        keypoints[:, 2] = logit
        keypoints[:, 3] = 1 / total
    return output


def decode_retinanet(
    logits: Sequence[Tensor],
    deltas: Sequence[Tensor],
    anchors: Sequence[Tensor],
    image_size: tuple[int, int],
    *,
    box2box_transform: Any,
    score_thresh: float,
    topk_candidates: int,
    nms_thresh: float,
    max_detections: int,
    centerness: Sequence[Tensor] | None = None,
) -> Instances:
    """RetinaNet's detections in one image, and those of FCOS.

    Source: Lin et al., Focal Loss for Dense Object Detection, section 4.1; detectron2/modeling/meta_arch/retinanet.py,
    inference_single_image.

    Args:
        logits: per level (A K, H, W), K classes for each of A anchors.
        deltas: per level (A 4, H, W).
        anchors: per level (H W A, 4).
        image_size: height and width of the network's input without padding.
        box2box_transform: decodes deltas.
        score_thresh: a candidate's score must be above it.
        topk_candidates: so many candidates of each level take part in NMS, the best ones.
        nms_thresh: intersection over union that suppresses, within a class.
        max_detections: so many are kept.
        centerness: of FCOS, per level (A, H, W): scores are sqrt(sigmoid(logit) * sigmoid(centerness)).

    Returns:
        `pred_boxes`, not clipped, `scores` and `pred_classes`, by descending score.
    """
    parts = []
    for level, (logit, delta, anchor) in enumerate(zip(logits, deltas, anchors)):
        per_anchor = len(anchor) // (logit.shape[1] * logit.shape[2])
        scores, boxes = (x.view(per_anchor, -1, *x.shape[1:]).permute(2, 3, 0, 1).flatten(0, 2) for x in (logit, delta))
        scores = scores.sigmoid()
        if centerness is not None:
            scores = torch.sqrt(scores * centerness[level].permute(1, 2, 0).reshape(-1, 1).sigmoid())
        index, classes = torch.nonzero(scores > score_thresh, as_tuple=True)
        best, order = scores[index, classes].topk(min(len(index), topk_candidates))
        index, classes = index[order], classes[order]
        parts.append((box2box_transform.apply_deltas(boxes[index], anchor[index]), best, classes))
    boxes, scores, classes = (torch.cat(column) for column in zip(*parts))
    keep = batched_nms(boxes, scores, classes, nms_thresh)[:max_detections]
    return Instances(image_size, pred_boxes=as_boxes(boxes[keep]), scores=scores[keep], pred_classes=classes[keep])


def sem_seg_postprocess(logits: Tensor, image_size: tuple[int, int], height: int, width: int) -> Tensor:
    """Semantic logits (K, height, width) at another size, from (K, H, W) of the padded image of `image_size`.

    Law: at the image's own size, they are the logits without the padding.
    """
    cropped = logits[None, :, : image_size[0], : image_size[1]]
    return functional.interpolate(cropped, size=(height, width), mode="bilinear", align_corners=False)[0]


def combine_panoptic(
    instances: Instances,
    labels: Tensor,
    *,
    overlap_thresh: float,
    stuff_area_thresh: float,
    instances_score_thresh: float,
) -> tuple[Tensor, list[dict[str, Any]]]:
    """One segment per pixel: first the things, by descending score, then the stuff where nothing is yet.

    Args:
        instances: `scores`, `pred_classes`, and `pred_masks` (R, H, W) bool.
        labels: (H, W), semantic classes; 0 stands for all things.
        overlap_thresh: a thing is left out where more than this share of it is taken.
        stuff_area_thresh: stuff of fewer pixels is left out.
        instances_score_thresh: things of lower scores are left out.

    Returns:
        The map (H, W) int32 of segment ids, 0 for none, and for each segment `id`, `isthing`, `category_id`, and for
        things `score` and `instance_id`, for stuff `area` in pixels.

    Law: the pixels of a stuff segment are as many as its `area`; each pixel has one segment or none.

    Source: Kirillov et al., Panoptic Segmentation, section 7; detectron2/modeling/meta_arch/panoptic_fpn.py,
    combine_semantic_and_instance_outputs.
    """
    output = torch.zeros_like(labels, dtype=torch.int32)
    segments: list[dict[str, Any]] = []
    for index in torch.sort(instances.scores, descending=True, stable=True).indices.tolist():
        score = float(instances.scores[index])
        if score < instances_score_thresh:
            break
        mask = instances.pred_masks[index]
        area = int(mask.sum())
        free = mask & (output == 0)
        if area == 0 or (area - int(free.sum())) / area > overlap_thresh:
            continue
        category = int(instances.pred_classes[index])
        segments.append(
            {
                "id": len(segments) + 1,
                "isthing": True,
                "score": score,
                "category_id": category,
                "instance_id": index,
            }
        )
        output[free] = len(segments)
    for label in torch.unique(labels).tolist():
        free = (labels == label) & (output == 0)
        area = int(free.sum())
        if label == 0 or area < stuff_area_thresh:
            continue
        segments.append({"id": len(segments) + 1, "isthing": False, "category_id": label, "area": area})
        output[free] = len(segments)
    return output, segments
