"""Data sets in COCO's format, as they are evaluated: images, classes, annotations. Files are checked before use."""

from __future__ import annotations

import contextlib
import io
import json
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any, TypedDict

from pycocotools.coco import COCO

from d2deploy.errors import InvalidArgument

# Faults that are told one by one; the rest is counted.
MOST_FAULTS = 10

WANTED: dict[str, dict[str, tuple[type, ...]]] = {
    "images": {"id": (int, str), "height": (int,), "width": (int,)},
    "categories": {"id": (int,), "name": (str,)},
    "annotations": {"image_id": (int, str), "category_id": (int,), "bbox": (list,), "area": (int, float)},
}


class Record(TypedDict):
    """One image: the path of its file, its id, and its height and width in pixels."""

    file_name: str
    image_id: int | str
    height: int
    width: int


class CocoDataset:
    """The images of a data set, in the order of their ids, and what is annotated in them.

    Classes are numbered from 0 in the order of the category ids, as Detectron2 numbers them. Annotations are numbered
    anew from 1: COCO's metric takes the id 0 for "no match", and some of COCO's own files use an id twice.

    Args:
        json_file: annotations in COCO's format.
        image_root: the folder that the file names of the images are relative to.

    Attributes:
        images: a Record for each image.
        class_names: the names by class.
        category_ids: the ids of COCO's categories by class.

    Raises:
        InvalidArgument: a file or folder that is not there, a file that is not JSON or not in COCO's format (with its
            first faults), a data set without annotations, images that are missing.
    """

    def __init__(self, json_file: str | Path, image_root: str | Path) -> None:
        self.json_file, self.image_root = Path(json_file), Path(image_root)
        self._data = _read(self.json_file)
        _check(self._data, str(self.json_file))
        categories = sorted(self._data["categories"], key=lambda category: category["id"])
        self.class_names: list[str] = [category["name"] for category in categories]
        self.category_ids: list[int] = [category["id"] for category in categories]
        images = sorted(self._data["images"], key=lambda image: image["id"])
        self.images = [
            Record(
                file_name=str(self.image_root / (_file_name(image))),
                image_id=image["id"],
                height=image["height"],
                width=image["width"],
            )
            for image in images
        ]
        _check_files(self.images, self.image_root)
        for number, annotation in enumerate(self._data["annotations"], start=1):
            annotation["id"] = number
            annotation.setdefault("iscrowd", 0)

    def __len__(self) -> int:
        return len(self.images)

    def __iter__(self) -> Iterator[Record]:
        return iter(self.images)

    @property
    def annotations(self) -> list[dict[str, Any]]:
        """The annotations, as they stand in the file but for their ids."""
        annotations: list[dict[str, Any]] = self._data["annotations"]
        return annotations

    def index(self) -> COCO:
        """The data set as pycocotools has it."""
        coco = COCO()
        coco.dataset = self._data
        with contextlib.redirect_stdout(io.StringIO()):
            coco.createIndex()
        return coco


def _read(file: Path) -> dict[str, Any]:
    try:
        data = json.loads(file.read_bytes())
    except OSError as e:
        raise InvalidArgument(f"{file}: cannot be read: {e.strerror}; wanted annotations in COCO's format") from None
    except (ValueError, RecursionError) as e:
        raise InvalidArgument(f"{file}: is not JSON: {e}; wanted annotations in COCO's format") from None
    if not isinstance(data, dict):
        raise InvalidArgument(f"{file}: holds a {type(data).__name__}, wanted an object with {', '.join(WANTED)}")
    missing = [key for key in WANTED if not isinstance(data.get(key), list)]
    if missing == ["annotations"] and "annotations" not in data:
        raise InvalidArgument(
            f"{file}: has no annotations, so there is nothing to compare with; COCO's test sets are evaluated on its "
            f"server alone, take a validation set"
        )
    if missing:
        raise InvalidArgument(
            f"{file}: has no list of {', '.join(missing)}; wanted COCO's format, with {', '.join(WANTED)}"
        )
    return data


def _check(data: dict[str, Any], file: str) -> None:
    faults = [fault for part, wanted in WANTED.items() for fault in _faults_of_part(data[part], part, wanted)]
    faults = faults or list(_faults_of_ids(data))
    if faults:
        more = f"; and {len(faults) - MOST_FAULTS} more" if len(faults) > MOST_FAULTS else ""
        raise InvalidArgument(f"{file}: is not in COCO's format: {'; '.join(faults[:MOST_FAULTS])}{more}")


def _faults_of_part(items: list[Any], part: str, wanted: dict[str, tuple[type, ...]]) -> Iterator[str]:
    if not items and part != "annotations":
        yield f"{part} is empty"
    for i, item in enumerate(items):
        if not isinstance(item, dict):
            yield f"{part}[{i}] is a {type(item).__name__}, wanted an object"
            continue
        for key, types in wanted.items():
            if not isinstance(item.get(key), types) or isinstance(item.get(key), bool):
                names = " or ".join(t.__name__ for t in types)
                yield f"{part}[{i}] has {key} {item.get(key)!r}, wanted {names}"
        box = item.get("bbox")
        if isinstance(box, list) and not (len(box) == 4 and all(isinstance(side, (int, float)) for side in box)):
            yield f"{part}[{i}] has the bbox {box!r:.60}, wanted four numbers: x, y, width, height"
        if part == "images" and not _file_name(item):
            yield f"{part}[{i}] has no file_name"


def _faults_of_ids(data: dict[str, Any]) -> Iterator[str]:
    for part in ("images", "categories"):
        counts = Counter(item["id"] for item in data[part])
        yield from (f"{part} have the id {key!r} {n} times" for key, n in counts.items() if n > 1)
    if len({type(image["id"]) for image in data["images"]}) > 1:
        yield "images have ids of both int and str"
    images, categories = ({item["id"] for item in data[part]} for part in ("images", "categories"))
    for i, annotation in enumerate(data["annotations"]):
        if annotation["category_id"] not in categories:
            yield f"annotations[{i}] has category_id {annotation['category_id']!r}, which is not a category"
        if annotation["image_id"] not in images:
            yield f"annotations[{i}] has image_id {annotation['image_id']!r}, which is not an image"


def _file_name(image: dict[str, Any]) -> str:
    """The file below the image root, empty where there is none; LVIS tells but an address at COCO's site."""
    if isinstance(image.get("file_name"), str):
        return str(image["file_name"])
    address = image.get("coco_url")
    return "/".join(address.split("/")[-2:]) if isinstance(address, str) else ""


def _check_files(images: list[Record], root: Path) -> None:
    if not root.is_dir():
        raise InvalidArgument(f"{root}: there is no such folder; wanted the folder of the data set's images")
    missing = [image["file_name"] for image in images if not Path(image["file_name"]).is_file()]
    if missing:
        raise InvalidArgument(
            f"{root}: {len(missing)} of the data set's {len(images)} images are missing, the first is {missing[0]}; "
            f"is it the right folder?"
        )
