"""Where the data sets that Detectron2 knows by name lie, below the folder of $DETECTRON2_DATASETS."""

from __future__ import annotations

import os
import re
from collections.abc import Sequence
from pathlib import Path

from d2deploy.errors import InvalidArgument, Unsupported

from .checks import read_file, say
from .coco import CocoDataset
from .panoptic import PanopticDataset

__all__ = ["load_dataset", "load_datasets", "load_panoptic", "locate"]

BY_HAND = "give the annotations (a JSON file in COCO's format) and the folder of the images yourself"
KNOWN = (
    "coco_2014_train, coco_2014_val, coco_2014_minival, coco_2014_valminusminival, coco_2017_train, coco_2017_val, "
    "coco_2017_val_100, the same with keypoints_ before, those of 2017 with _panoptic or _panoptic_separated behind"
)
ENCODINGS = ("utf-8", "utf-16-le", "utf-16-be", "utf-32-le", "utf-32-be")  # that JSON may have
COCO_NAME = re.compile(
    r"(?P<keypoints>keypoints_)?coco_"
    r"(?P<split>2014_(?:train|val|minival|valminusminival)|2017_(?:train|val|val_100))"
    r"(?P<panoptic>_panoptic|_panoptic_separated)?"
)
# Data sets that are not in COCO's format, or not measured by its metric: name -> reason.
OTHERS = {
    r"lvis_.*": (
        "LVIS has a metric of its own, since not all objects of an image are labelled; for COCO's metric all the "
        "same, " + BY_HAND
    ),
    r"cityscapes_.*": "Cityscapes is not in COCO's format; convert it, then " + BY_HAND,
    r"voc_.*": "Pascal VOC is not in COCO's format; convert it, then " + BY_HAND,
    r"ade20k_.*|.*_stuffonly": "it has maps of stuff alone, and no objects whose AP could be measured",
    r"(keypoints_)?coco_.*_test.*": (
        "its annotations are not public, so there is nothing to compare with; take a validation set"
    ),
}


def locate(name: str) -> tuple[Path, Path]:
    """The annotations and the folder of the images of a data set that Detectron2 knows by name.

    Both lie below the folder that the environment variable DETECTRON2_DATASETS names, `datasets` without it. Of a
    panoptic data set they are those of its instances; `load_panoptic` has the others.

    Raises:
        Unsupported: a data set that COCO's metric cannot be computed for; the message has the reason.
        InvalidArgument: another name.
    """
    match = _parts(name)
    year, _, split = match["split"].partition("_")
    part, _, count = split.partition("_")
    kind = "person_keypoints" if match["keypoints"] else "instances"
    root = _root()
    folder = "train" if part == "train" else "val"
    return root / "annotations" / f"{kind}_{part}{year}{count and '_' + count}.json", root / f"{folder}{year}"


def _root() -> Path:
    return Path(os.environ.get("DETECTRON2_DATASETS", "datasets")).expanduser() / "coco"


def _parts(name: str) -> re.Match[str]:
    for pattern, reason in OTHERS.items():
        if re.fullmatch(pattern, name):
            raise Unsupported(f"data set {name!r} cannot be evaluated: {reason}")
    match = COCO_NAME.fullmatch(name)
    if not match or (match["panoptic"] and (match["keypoints"] or match["split"].startswith("2014"))):
        raise InvalidArgument(f"data set {name!r} is not known; known: {KNOWN}. For another, {BY_HAND}")
    return match


def load_datasets(names: Sequence[str]) -> dict[str, CocoDataset]:
    """The data sets of a config (`cfg.DATASETS.TEST`) by name.

    Raises:
        Unsupported, InvalidArgument: as `locate` and `CocoDataset`, or no names.
    """
    if not names:
        raise InvalidArgument(f"the config names no data sets (DATASETS.TEST is empty); {BY_HAND}")
    places = {name: locate(name) for name in names}
    missing = [str(json_file) for json_file, _ in places.values() if not json_file.is_file()]
    if missing:
        raise InvalidArgument(
            f"there is no {', '.join(missing)}; the environment variable DETECTRON2_DATASETS must name the folder of "
            f"the data sets (it is {os.environ.get('DETECTRON2_DATASETS', 'not set')}), or {BY_HAND}"
        )
    return {name: CocoDataset(*place) for name, place in places.items()}


def load_panoptic(name: str) -> PanopticDataset | None:
    """The panoptic annotations of a data set that Detectron2 knows by name; None where it has none.

    Those of a panoptic data set whose file is not there are left out, and that is shown.

    Raises:
        Unsupported, InvalidArgument: as `locate` and `PanopticDataset`.
    """
    if not _parts(name)["panoptic"]:
        return None
    instances, images = locate(name)
    json_file = instances.with_name(instances.name.replace("instances", "panoptic", 1))
    if not json_file.is_file():
        say(f"{name}: panoptic quality is left out: there is no {json_file}")
        return None
    return PanopticDataset(json_file, images)


def load_dataset(
    json_file: str | Path, image_root: str | Path, map_root: str | Path | None = None
) -> CocoDataset | PanopticDataset:
    """The data set of a file, in COCO's format or COCO's panoptic one.

    Args:
        json_file: the annotations.
        image_root: the folder of the images.
        map_root: for panoptic annotations, the folder of the PNG files; by default beside the file, with its name.

    Raises:
        InvalidArgument: as `CocoDataset` and `PanopticDataset`.
    """
    data = read_file(Path(json_file), "COCO's format")
    panoptic = any('"segments_info"'.encode(code) in data for code in ENCODINGS)
    return PanopticDataset(json_file, image_root, map_root) if panoptic else CocoDataset(json_file, image_root)
