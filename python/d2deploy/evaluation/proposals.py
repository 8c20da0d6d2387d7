"""Proposals from a file, which models are given that find none themselves (Fast R-CNN).

Source: detectron2/data/build.py, load_proposals_into_dataset, and data/detection_utils.py, transform_proposals.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from d2deploy.errors import InvalidArgument
from d2deploy.pickles import read_pickle
from d2deploy.structures import Instances, as_boxes
from d2deploy.structures.geometry import clip

from .evaluate import Predictor

__all__ = ["ProposalFile", "with_proposals"]

# Names of the keys that a file may have, Detectron2's and its predecessor's.
_IDS, _SCORES = ("ids", "indexes"), ("objectness_logits", "scores")
# Detectron2's BoxMode: xyxy, and x y width height, both in pixels.
_XYXY, _XYWH = 0, 1


class ProposalFile:
    """Boxes of each image, the best first.

    Args:
        file: a pickle of a dict: `ids` of the images, `boxes` (R, 4) and `objectness_logits` (R,) of each, and
            `bbox_mode`, 0 for xyxy, which it is without it, or 1 for x y width height. `indexes` and `scores` stand for
            the names in files of Detectron2's predecessor.
        most: so many proposals of an image are given, DATASETS.PRECOMPUTED_PROPOSAL_TOPK_TEST.

    Raises:
        InvalidArgument: there is no such file, or it holds something else.
        InvalidModel: it is not a pickle of plain values and arrays.
    """

    def __init__(self, file: str | Path, most: int = 1000) -> None:
        self.file, self.most = Path(file), most
        if most < 1:
            raise InvalidArgument(f"{file}: {most} proposals of each image would be given, wanted at least 1")
        if not self.file.is_file():
            raise InvalidArgument(f"there is no file of proposals {file}")
        content = read_pickle(self.file)
        if not isinstance(content, Mapping):
            raise InvalidArgument(f"{file}: holds a {type(content).__name__}, wanted a dict of ids, boxes and scores")
        ids, boxes, scores = (self._list(content, *names) for names in (_IDS, ("boxes",), _SCORES))
        if not len(ids) == len(boxes) == len(scores):
            raise InvalidArgument(f"{file}: has {len(ids)} ids, {len(boxes)} boxes, {len(scores)} scores")
        self._mode = content.get("bbox_mode", _XYXY)
        if self._mode not in (_XYXY, _XYWH):
            raise InvalidArgument(f"{file}: bbox_mode is {self._mode!r}, must be 0 (xyxy) or 1 (x y width height)")
        self._of = {str(key): (one, score) for key, one, score in zip(ids, boxes, scores, strict=True)}

    def _list(self, content: Mapping[Any, Any], *names: str) -> Any:
        found = next((content[name] for name in names if name in content), None)
        if not isinstance(found, (list, tuple, np.ndarray)):
            raise InvalidArgument(f"{self.file}: has no list of {names[0]}; it has {', '.join(map(str, content))}")
        return found

    def boxes(self, image_id: object) -> npt.NDArray[np.float32]:
        """Of an image: (R, 4) xyxy, in its pixels.

        Raises:
            InvalidArgument: the file has none for it, or arrays of other shapes.
        """
        if str(image_id) not in self._of:
            raise InvalidArgument(f"{self.file}: has no proposals for image {image_id}")
        boxes, scores = (np.asarray(array, np.float32) for array in self._of[str(image_id)])
        if boxes.ndim != 2 or boxes.shape[1] != 4 or scores.shape != (len(boxes),):
            raise InvalidArgument(
                f"{self.file}: image {image_id}: boxes must be (R, 4) and scores (R,), got {boxes.shape} and "
                f"{scores.shape}"
            )
        if self._mode == _XYWH:
            boxes = np.concatenate([boxes[:, :2], boxes[:, :2] + boxes[:, 2:]], axis=1)
        return boxes[np.argsort(scores)[::-1]]

    def of(self, inputs: Mapping[str, Any]) -> Instances:
        """For a model's input with `image` (C, H', W'), `height`, `width` and `image_id`: `proposal_boxes` in the frame
        of the resized image, cut to it; those that nothing is left of do not count."""
        height, width = inputs["image"].shape[1:]
        factors = np.array([width / inputs["width"], height / inputs["height"]] * 2).astype(np.float32)
        boxes = clip(self.boxes(inputs["image_id"]) * factors, (height, width))
        boxes = boxes[((boxes[:, 2:] - boxes[:, :2]) > 0).all(axis=1)][: self.most]
        return Instances((height, width), proposal_boxes=as_boxes(np.ascontiguousarray(boxes)))


def with_proposals(predictor: Predictor, proposals: ProposalFile | None) -> Predictor:
    """The predictor, called with the proposals of each image, where there are any."""
    if proposals is None:
        return predictor
    return lambda inputs: predictor({**inputs, "proposals": proposals.of(inputs)})
