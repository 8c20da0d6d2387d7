"""Panoptic quality of predictions, counted picture by picture as panopticapi counts it."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np

from d2deploy.errors import InvalidArgument

from .checks import quoted, say
from .coco import labels
from .panoptic import VOID, Ids, PanopticDataset, counted
from .records import Record, check_complete
from .results import to_array

__all__ = ["PanopticQuality"]

Segments = dict[int, dict[str, Any]]
SHIFT = 1 << 32  # pairs of ids as one number
LEAST_OVERLAP = 0.5


@dataclass
class _Tally:
    """Of one category: the sum of the IoUs of what was matched, and how often it was matched, found wrongly, missed."""

    iou: float = 0.0
    matched: int = 0
    wrong: int = 0
    missed: int = 0

    @property
    def seen(self) -> bool:
        return self.matched + self.wrong + self.missed > 0

    def quality(self) -> tuple[float, float, float]:
        """PQ, SQ, RQ in percent; SQ is 0 where nothing is matched."""
        objects = self.matched + 0.5 * self.wrong + 0.5 * self.missed
        of_segments = self.iou / self.matched if self.matched else 0.0
        return 100 * self.iou / objects, 100 * of_segments, 100 * self.matched / objects


class PanopticQuality:
    """The quality of a panoptic model's predictions, which are added one by one.

    A predicted segment and an annotated one of the same category match where they overlap by an IoU above 0.5, so that
    no segment has two matches. Pixels that are annotated as nothing do not count for the union. Crowds neither match
    nor are missed, and a prediction that lies by more than half on nothing or on a crowd of its category is not wrong.
    Over the matched: SQ is the mean IoU, RQ = matched / (matched + wrong / 2 + missed / 2), PQ = SQ RQ; then means over
    the categories that occur.

    Args:
        dataset: what is compared with.

    Source: Kirillov et al., Panoptic Segmentation, section 4; panopticapi, evaluation.py, whose values these are.
    """

    def __init__(self, dataset: PanopticDataset) -> None:
        self._dataset = dataset
        self._tallies = {category: _Tally() for category in dataset.names}
        self._added: set[int | str] = set()

    def add(self, image: Record, panoptic_seg: Any) -> None:
        """Counts the prediction for an image.

        Args:
            image: of the data set.
            panoptic_seg: Detectron2's pair of the segment of each pixel (H, W), 0 for none, and the list of segments
                with `id`, `isthing` and `category_id`: the number of the thing among things from 0, or of the stuff
                among stuff from 1, for the class 0 of semantic maps stands for all things.

        Raises:
            InvalidArgument: the prediction is not of that kind, or of classes that the data set has not.
        """
        where = f"image {image['image_id']}"
        if image["image_id"] not in self._dataset:
            raise InvalidArgument(f"{where}: {self._dataset.json_file} has no such image")
        if image["image_id"] in self._added:
            raise InvalidArgument(f"{where}: was added before")
        truth, annotated = self._dataset.truth(image)
        predicted, found = self._predicted(panoptic_seg, truth.shape, where)
        self._added.add(image["image_id"])
        self._count(truth, annotated, predicted, found)

    def _predicted(self, panoptic_seg: Any, shape: tuple[int, ...], where: str) -> tuple[Ids, Segments]:
        try:
            labels_, segments = panoptic_seg
            ids = to_array(labels_)
        except (TypeError, ValueError):
            raise InvalidArgument(
                f"{where}: panoptic_seg is {quoted(panoptic_seg)}, wanted a map and segments"
            ) from None
        if ids.shape != shape or not np.issubdtype(ids.dtype, np.integer):
            raise InvalidArgument(f"{where}: the panoptic map is {ids.shape} {ids.dtype}, wanted integers of {shape}")
        ids = ids.astype(np.int64)
        areas = dict(zip(*(part.tolist() for part in counted(ids)), strict=True))
        found: Segments = {}
        for segment in segments or ():
            key = int(segment["id"])
            if key in found or not 0 < key < SHIFT:
                raise InvalidArgument(f"{where}: the predicted segments have the id {key} twice, or it is below 1")
            found[key] = {"category_id": self._category(segment, where), "area": areas.get(key, 0)}
        unknown = [key for key in areas if key != VOID and key not in found]
        if unknown:
            raise InvalidArgument(f"{where}: the panoptic map has a segment {unknown[0]}, which is not in the list")
        return ids, {key: segment for key, segment in found.items() if segment["area"]}

    def _category(self, segment: dict[str, Any], where: str) -> int:
        """The data set's category of a predicted segment."""
        kind, ids = "things", self._dataset.thing_ids
        number = int(segment["category_id"])
        if not segment["isthing"]:
            kind, ids, number = "stuff", self._dataset.stuff_ids, number - 1
        if not 0 <= number < len(ids):
            raise InvalidArgument(
                f"{where}: there is a predicted segment of class {segment['category_id']} of {kind}, but "
                f"{self._dataset.json_file} has {len(ids)} categories of {kind}; is it the one that the model was "
                f"trained for?"
            )
        return ids[number]

    def _count(self, truth: Ids, annotated: Segments, predicted: Ids, found: Segments) -> None:
        pairs, pixels = counted(truth * SHIFT + predicted)
        overlap = dict(zip(((p // SHIFT, p % SHIFT) for p in pairs.tolist()), pixels.tolist(), strict=True))
        matched_truth, matched_found = set(), set()
        for (key, number), common in overlap.items():
            one, other = annotated.get(key), found.get(number)
            if one is None or other is None or one["iscrowd"] or one["category_id"] != other["category_id"]:
                continue
            iou = common / (one["area"] + other["area"] - common - overlap.get((VOID, number), 0))
            if iou > LEAST_OVERLAP:
                tally = self._tallies[one["category_id"]]
                tally.matched += 1
                tally.iou += iou
                matched_truth.add(key)
                matched_found.add(number)
        crowds = {}
        for key, one in annotated.items():
            if one["iscrowd"]:
                crowds[one["category_id"]] = key  # of several the last, as in panopticapi
            elif key not in matched_truth:
                self._tallies[one["category_id"]].missed += 1
        for number, other in found.items():
            excused = overlap.get((VOID, number), 0) + overlap.get((crowds.get(other["category_id"], -1), number), 0)
            if number not in matched_found and excused <= LEAST_OVERLAP * other["area"]:
                self._tallies[other["category_id"]].wrong += 1

    def metrics(self) -> dict[str, float]:
        """In percent, of the images that were added.

        Returns:
            PQ, SQ, RQ over all categories that occur, with `_th` over things and with `_st` over stuff, and
            `PQ-<class>`; NaN where none occurs, which is shown.

        Raises:
            InvalidArgument: images of the data set were not added.
        """
        check_complete(len(self._dataset), len(self._added), self._dataset.source)
        parts = {"": [*self._tallies], "_th": self._dataset.thing_ids, "_st": self._dataset.stuff_ids}
        row: dict[str, float] = {}
        for part, categories in parts.items():
            values = [self._tallies[key].quality() for key in categories if self._tallies[key].seen]
            means = np.mean(values, axis=0).tolist() if values else [math.nan] * 3
            row |= {f"{name}{part}": value for name, value in zip(("PQ", "SQ", "RQ"), means, strict=True)}
        if math.isnan(row["PQ"]):
            say(f"{self._dataset.json_file}: PQ is not a number, for no segment is annotated or found")
        elif not row["PQ"]:
            say(f"{self._dataset.json_file}: PQ is 0: no predicted segment matches one that is annotated")
        names = labels(list(self._dataset.names.values()), list(self._dataset.names))
        return row | {f"PQ-{name}": self._pq(key) for name, key in zip(names, self._dataset.names, strict=True)}

    def _pq(self, category: int) -> float:
        tally = self._tallies[category]
        return tally.quality()[0] if tally.seen else math.nan
