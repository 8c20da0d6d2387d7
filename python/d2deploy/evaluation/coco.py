"""Data sets in COCO's format, as they are evaluated: images, classes, annotations. Files are checked before use."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from d2deploy.errors import InvalidArgument

from .checks import Findings, read_json, say
from .objects import checked_annotations
from .records import Record, check_files, checked_categories, checked_images
from .segmentations import Rle, to_rle

__all__ = ["CocoDataset", "Record", "labels"]

PARTS = ("images", "categories", "annotations")
FORMAT = "COCO's format"


class CocoDataset:
    """The images of a data set, in the order of their ids, and what is annotated in them.

    Classes are numbered from 0 in the order of the category ids, as Detectron2 numbers them.

    All that the file holds is checked here, so that nothing is wrong after minutes of predicting. What is clear in
    spite of being wrong is put right and shown once (logger `d2deploy.evaluation`), with how often it was there.

    Args:
        json_file: annotations in COCO's format.
        image_root: the folder that the file names of the images are relative to.

    Attributes:
        images: a Record for each image.
        class_names: the names by class.
        category_ids: the ids of COCO's categories by class.
        annotations: what is annotated, with what COCO's metric needs and nothing else, numbered anew from 1.
        numbers: the place in `images` by id.
        repairs: a sentence for each kind of thing that was put right.

    Raises:
        InvalidArgument: a file or folder that is not there, a file that is not JSON or not in COCO's format (with its
            first faults), a data set without annotations, images that are missing or have another size.
    """

    def __init__(self, json_file: str | Path, image_root: str | Path) -> None:
        self.json_file, self.image_root = Path(json_file), Path(image_root)
        data = read_json(self.json_file, FORMAT, PARTS)
        if any(isinstance(annotation, dict) and "segments_info" in annotation for annotation in data["annotations"]):
            raise InvalidArgument(f"{self.json_file}: is in COCO's panoptic format; read it as a PanopticDataset")
        findings = Findings(self.json_file)
        categories = checked_categories(data["categories"], findings)
        self.class_names: list[str] = [category["name"] for category in categories]
        self.category_ids: list[int] = [category["id"] for category in categories]
        self.images: list[Record] = checked_images(data["images"], self.image_root, findings)
        check_files(self.images, self.image_root, self.json_file)
        if not data["annotations"]:
            findings.fault("annotations is empty, so there is nothing to compare with")
        self.numbers = {image["image_id"]: i for i, image in enumerate(self.images)}
        images = {image["image_id"]: image for image in self.images}
        by_id = {category["id"]: category for category in categories}
        self.annotations: list[dict[str, Any]] = checked_annotations(data["annotations"], images, by_id, findings)
        findings.check(FORMAT)
        self.repairs = [*findings.repairs(), *equal_names(self.class_names)]
        for repair in self.repairs:
            say(f"{self.json_file}: {repair}")

    def __len__(self) -> int:
        return len(self.images)

    def __iter__(self) -> Iterator[Record]:
        return iter(self.images)

    @property
    def source(self) -> Path:
        """What messages name."""
        return self.json_file

    def image(self, image_id: Any) -> Record | None:
        """The image of that id, None where there is none."""
        known = type(image_id) in (int, str) and image_id in self.numbers
        return self.images[self.numbers[image_id]] if known else None

    def lacking(self, key: str) -> str:
        """What annotations lack of `segmentation` or `keypoints`; empty where all have it, which AP needs."""
        without = [annotation["id"] - 1 for annotation in self.annotations if key not in annotation]
        if without:
            count = len(self.annotations)
            return f"{len(without)} of {count} annotations have no {key}, the first is annotations[{without[0]}]"
        numbers = (
            {len(annotation["keypoints"]) // 3 for annotation in self.annotations} if key == "keypoints" else set()
        )
        return f"annotations have {sorted(numbers)} keypoints, not all the same number" if len(numbers) > 1 else ""

    def mask(self, annotation: dict[str, Any]) -> Rle:
        """The mask of an annotation as compressed run lengths; once made, it is kept."""
        if not isinstance(annotation["segmentation"], dict):
            image = self.images[self.numbers[annotation["image_id"]]]
            annotation["segmentation"] = to_rle(annotation["segmentation"], (image["height"], image["width"]))
        rle: Rle = annotation["segmentation"]
        return rle


def equal_names(names: Sequence[str]) -> list[str]:
    """A sentence on each name that several classes have."""
    return [
        f"{count} categories are called {name!r}: told apart by their ids"
        for name, count in Counter(names).items()
        if count > 1
    ]


def labels(names: Sequence[str], ids: Sequence[int]) -> list[str]:
    """What classes are called where each must have a name of its own: by name, and where that is not enough by id."""
    counts = Counter(names)
    taken = {name for name, count in counts.items() if count == 1}
    result = []
    for name, key in zip(names, ids, strict=True):
        label = name if counts[name] == 1 else f"{name} (id {key})"
        while counts[name] > 1 and label in taken:  # a class may well be called so
            label += "'"
        taken.add(label)
        result.append(label)
    return result
