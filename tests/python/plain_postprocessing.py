"""Detectron2's post-processing of a net's raw outputs, step by step and in float64 where it decides."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch.nn import functional

Array = npt.NDArray[Any]
Size = tuple[int, int]  # height, width


def scaled(boxes: Array, size: Size, wanted: Size) -> tuple[Array, Array]:
    """Boxes xyxy brought to `wanted` and clipped, and which of them have an area."""
    factor = np.array([wanted[1] / size[1], wanted[0] / size[0]] * 2, np.float32)
    clipped = np.clip(boxes * factor, 0, np.array([wanted[1], wanted[0]] * 2, np.float32))
    return clipped, (clipped[:, 2] > clipped[:, 0]) & (clipped[:, 3] > clipped[:, 1])


def sampled_axis(low: float, high: float, cells: int, pixels: int) -> Array:
    """(pixels, cells) weights of the cells in each pixel; zero outside of the mask and a pixel beside the box."""
    place = (np.arange(pixels) + 0.5 - low) / (high - low) * cells - 0.5
    weights: Array = np.maximum(1 - np.abs(place[:, None] - np.arange(cells)), 0)
    first, end = max(int(np.floor(low)) - 1, 0), min(int(np.ceil(high)) + 1, pixels)
    weights[:first] = weights[end:] = 0
    return weights


def pasted(mask: Array, box: Array, wanted: Size) -> Array:
    """(height, width) bool: the mask (S, S), sampled bilinearly at the centres of pixels, is at least 0.5."""
    x1, y1, x2, y2 = box.astype(np.float64)
    rows = sampled_axis(y1, y2, mask.shape[0], wanted[0])
    columns = sampled_axis(x1, x2, mask.shape[1], wanted[1])
    return (rows @ mask.astype(np.float64) @ columns.T) >= 0.5


def keypoints_of_map(maps: Array, box: Array) -> Array:
    """(K, 3): x, y, probability of the highest place of each map (K, S, S), resized to the box."""
    x1, y1, x2, y2 = box
    width, height = max(x2 - x1, np.float32(1)), max(y2 - y1, np.float32(1))
    columns, rows = int(np.ceil(width)), int(np.ceil(height))
    resized = functional.interpolate(torch.from_numpy(maps[None]), (rows, columns), mode="bicubic", align_corners=False)
    flat = resized[0].numpy().reshape(len(maps), -1)
    place = flat.argmax(axis=1)
    highest = flat[np.arange(len(maps)), place]
    x = (place % columns + 0.5) * (width / columns) + x1
    y = (place // columns + 0.5) * (height / rows) + y1
    return np.stack([x, y, 1 / np.exp(maps - highest[:, None, None]).sum(axis=(1, 2))], axis=1)


def overlap(box: Array, others: Array) -> Array:
    """Intersection over union of boxes xyxy."""
    low, high = np.maximum(box[:2], others[:, :2]), np.minimum(box[2:], others[:, 2:])
    shared = np.prod(np.maximum(high - low, 0), axis=1)
    union = np.prod(box[2:] - box[:2]) + np.prod(others[:, 2:] - others[:, :2], axis=1) - shared
    ratio: Array = shared / union
    return ratio


def retinanet(outputs: dict[str, Array], cells: list[Array], strides: list[int], rule: dict[str, Any]) -> list[Array]:
    """Boxes, scores and classes, by falling score. `rule`: the net's arguments."""
    boxes, scores, classes = [], [], []
    for level, (anchors, stride) in enumerate(zip(cells, strides, strict=True)):
        logits, deltas = outputs[f"box_cls_{level}"][0], outputs[f"box_delta_{level}"][0]
        height, width = logits.shape[1:]
        count = len(anchors)
        of_anchor = logits.reshape(count, -1, height, width).transpose(2, 3, 0, 1)
        score = (1 / (1 + np.exp(-of_anchor.astype(np.float64)))).reshape(-1)
        step = deltas.reshape(count, 4, height, width).transpose(2, 3, 0, 1).reshape(-1, 4)
        y, x = np.mgrid[:height, :width] * stride
        anchor = (np.stack([x, y, x, y], axis=-1)[:, :, None] + anchors).reshape(-1, 4)
        order = np.argsort(-score, kind="stable")[: rule["topk_candidates"]]
        order = order[score[order] > rule["score_threshold"]]
        at, label = np.divmod(order, of_anchor.shape[-1])
        side, centre = anchor[at, 2:] - anchor[at, :2], (anchor[at, 2:] + anchor[at, :2]) / 2
        moves = step[at] / np.array(rule["bbox_reg_weights"])
        centre = centre + moves[:, :2] * side
        half = np.exp(np.minimum(moves[:, 2:], np.log(1000 / 16))) * side / 2
        boxes.append(np.concatenate([centre - half, centre + half], axis=1))
        scores.append(score[order])
        classes.append(label)
    box, score, label = np.concatenate(boxes), np.concatenate(scores), np.concatenate(classes)
    kept: list[int] = []
    for i in np.argsort(-score, kind="stable"):
        same = [k for k in kept if label[k] == label[i]]
        if not same or overlap(box[i], box[same]).max() <= rule["nms_threshold"]:
            kept.append(int(i))
        if len(kept) == rule["max_detections_per_image"]:
            break
    return [box[kept], score[kept], label[kept]]


def sem_seg(logits: Array, size: Size, wanted: Size) -> Array:
    """(C, height, width): logits (1, C, H, W) without padding, resized."""
    cropped = torch.from_numpy(logits[:, :, : size[0], : size[1]])
    resized: Array = functional.interpolate(cropped, wanted, mode="bilinear", align_corners=False)[0].numpy()
    return resized


def panoptic(masks: Array, scores: Array, classes: Array, semantic: Array, rule: dict[str, Any]) -> tuple[Array, Any]:
    """The map, and (is thing, class, pixels) of each segment. `masks` (N, height, width), `semantic` of classes."""
    out = np.zeros(semantic.shape, np.int32)
    segments: list[tuple[bool, int]] = []
    for i in np.argsort(-scores, kind="stable"):
        if scores[i] < rule["combine_instances_confidence_threshold"]:
            break
        area, taken = masks[i].sum(), (masks[i] & (out > 0)).sum()
        if area == 0 or taken / area > rule["combine_overlap_threshold"]:
            continue
        segments.append((True, int(classes[i])))
        out[masks[i] & (out == 0)] = len(segments)
    for label in np.unique(semantic[semantic > 0]):
        free = (semantic == label) & (out == 0)
        if free.sum() < rule["combine_stuff_area_limit"]:
            continue
        segments.append((False, int(label)))
        out[free] = len(segments)
    return out, segments
