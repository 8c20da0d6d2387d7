"""The images and the categories of a data set, checked: ids, names, and that the files are there with their sizes."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from os.path import normpath
from pathlib import Path
from typing import Any, TypedDict

from PIL import Image

from d2deploy.errors import InvalidArgument

from .checks import FAR, LONGEST_TEXT, Findings, is_file, is_number, is_text, quoted

__all__ = ["Record", "check_complete", "check_files", "check_ids", "checked_categories", "checked_images", "typed"]

# COCO has 80, LVIS 1203, V3Det 13,204. Precision is kept for each: 32 KiB.
MOST_CATEGORIES = 20_000
ORIENTATION = 0x0112  # EXIF's tag; from 5 on height and width are exchanged
TURNED = (5, 6, 7, 8)
PRINTABLE = f"text that can be printed, at most {LONGEST_TEXT} long"
# Formats whose header tells how the picture is turned; of others that shows when all of it is read.
HEADER_TELLS = ("JPEG", "MPO", "PNG")


class Record(TypedDict):
    """One image: the path of its file, its id, and its height and width in pixels."""

    file_name: str
    image_id: int | str
    height: int
    width: int


def typed(item: Any, where: str, wanted: dict[str, tuple[type, ...]], findings: Findings) -> bool:
    """Whether it is an object with these keys and types (an int is no bool here); all faults are noted."""
    if not isinstance(item, dict):
        findings.fault(f"{where} is a {type(item).__name__}, wanted an object")
        return False
    right = True
    for key, types in wanted.items():
        value = item.get(key)
        if type(value) not in types or (type(value) is int and not is_number(value, 2**62)):
            findings.fault(f"{where} has {key} {quoted(value)}, wanted {' or '.join(t.__name__ for t in types)}")
            right = False
    return right


def check_ids(items: list[dict[str, Any]], part: str, findings: Findings, key: str = "id") -> None:
    """Notes ids that are there twice, or of several types, which could not be sorted."""
    for value, count in Counter(item[key] for item in items).items():
        if count > 1:
            findings.fault(f"{part} have the id {quoted(value)} {count} times")
    if len({type(item[key]) for item in items}) > 1:
        findings.fault(f"{part} have ids of both int and str")


def checked_categories(items: list[Any], findings: Findings) -> list[dict[str, Any]]:
    """The categories by id; what is wrong is noted."""
    if not items:
        findings.fault("categories is empty")
    if len(items) > MOST_CATEGORIES:
        findings.fault(f"categories are {len(items)}, wanted at most {MOST_CATEGORIES}")
    right = []
    for i, item in enumerate(items):
        if typed(item, f"categories[{i}]", {"id": (int,), "name": (str,)}, findings):
            right.append(item)
            if not is_text(item["name"]):
                name = quoted(item["name"])
                findings.fault(f"categories[{i}] has name {name}, wanted {PRINTABLE}")
    check_ids(right, "categories", findings)
    return sorted(right, key=lambda item: int(item["id"]))


def checked_images(items: list[Any], root: Path, findings: Findings) -> list[Record]:
    """The images by id; what is wrong is noted."""
    if not items:
        findings.fault("images is empty")
    wanted: dict[str, tuple[type, ...]] = {"id": (int, str), "height": (int,), "width": (int,)}
    records = []
    for i, item in enumerate(items):
        if not typed(item, f"images[{i}]", wanted, findings):
            continue
        name, faults = _file_name(item), list(_faults_of_image(item))
        for fault in faults:
            findings.fault(f"images[{i}] {fault}")
        if not faults:
            path = str(root / name)
            records.append(Record(file_name=path, image_id=item["id"], height=item["height"], width=item["width"]))
    check_ids([dict(record) for record in records], "images", findings, "image_id")
    for path, count in Counter(normpath(record["file_name"]) for record in records).items():
        if count > 1:
            findings.fault(f"images have the file {path} {count} times")
    findings.check("COCO's format")  # before sorting: ids may be of several types
    return sorted(records, key=lambda record: record["image_id"])


def _faults_of_image(item: dict[str, Any]) -> Iterator[str]:
    name = _file_name(item)
    if not name:
        yield f"has no file_name, but {quoted(item.get('file_name'))}" if item.get("file_name") else "has no file_name"
    elif not is_text(name):
        yield f"has file_name {quoted(name)}, wanted {PRINTABLE}"
    elif Path(name).is_absolute() or ".." in Path(name).parts:
        yield f"has file_name {quoted(name)}, which leaves the folder of the images"
    for key in ("height", "width"):
        if not 0 < item[key] <= FAR:
            yield f"has {key} {quoted(item[key])}, wanted a number of pixels from 1"
    if isinstance(item["id"], str) and not is_text(item["id"]):
        yield f"has id {quoted(item['id'])}, wanted {PRINTABLE}"


def _file_name(image: dict[str, Any]) -> str:
    """The file below the image root, empty where there is none; LVIS tells but an address at COCO's site."""
    if isinstance(image.get("file_name"), str):
        return str(image["file_name"])
    address = image.get("coco_url")
    return "/".join(address.split("/")[-2:]) if isinstance(address, str) else ""


def check_files(images: list[Record], root: Path, json_file: Path) -> None:
    """Checks that all images are there, and have the sizes that the data set tells.

    Raises:
        InvalidArgument: the folder or files are missing, are no pictures, or have other sizes.
    """
    if not root.is_dir():
        raise InvalidArgument(f"{root}: there is no such folder; wanted the folder of the data set's images")
    missing = [image["file_name"] for image in images if not is_file(Path(image["file_name"]))]
    if missing:
        raise InvalidArgument(
            f"{root}: {len(missing)} of the data set's {len(images)} images are missing, the first is {missing[0]}; "
            f"is it the right folder?"
        )
    for image in images:
        check_size(image, _sizes(image["file_name"]), json_file)


def check_size(image: Record, sizes: list[tuple[int, int]], json_file: Path) -> None:
    """Checks that an image's height and width are as the data set tells, or among what they may be.

    Raises:
        InvalidArgument: they are not.
    """
    if (image["height"], image["width"]) not in sizes:
        raise InvalidArgument(
            f"{image['file_name']}: is {sizes[0][0]} x {sizes[0][1]} pixels, but {json_file} says "
            f"{image['height']} x {image['width']}"
        )


def check_complete(count: int, added: int, source: Path) -> None:
    """Checks that predictions of all images of a data set were added.

    Raises:
        InvalidArgument: some were not.
    """
    if count != added:
        raise InvalidArgument(f"{source}: {count - added} of {count} images have no prediction")


def _sizes(path: str) -> list[tuple[int, int]]:
    """Height and width that a picture's file has when upright, by its header; two where that does not tell."""
    try:
        with Image.open(path) as image:
            width, height = image.size
            # A PNG's EXIF behind the pixels is found by reading them all.
            told = image.format != "PNG" or "exif" in image.info
            turned = told and image.getexif().get(ORIENTATION) in TURNED
            known = image.format in HEADER_TELLS
    except Exception as error:  # whatever Pillow raises for broken files, which is more than it tells
        raise InvalidArgument(f"{path}: cannot be read as an image: {error}") from error
    sizes = [(width, height), (height, width)] if turned else [(height, width), (width, height)]
    return sizes[:1] if known else sizes
