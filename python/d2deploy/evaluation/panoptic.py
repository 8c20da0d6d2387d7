"""Data sets in COCO's panoptic format: a JSON file, and a PNG file for each image that tells each pixel's segment."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from PIL import Image

from d2deploy.errors import InvalidArgument

from .checks import Findings, is_file, is_number, is_text, quoted, read_json, say
from .coco import PARTS, equal_names
from .objects import place
from .records import Record, check_files, checked_categories, checked_images, typed

__all__ = ["VOID", "PanopticDataset", "Segment", "counted"]

FORMAT = "COCO's panoptic format"
VOID = 0  # pixels without a segment
LAST = 256**3 - 1  # the largest id that three bytes hold
Segment = dict[str, Any]  # category_id, iscrowd 0 or 1, area in pixels
Ids = npt.NDArray[np.int64]


def counted(values: Ids) -> tuple[Ids, Ids]:
    """The values that are there, in order, and how many of each: as `np.unique`, by runs, which is faster on maps."""
    flat = values.ravel()
    starts = np.flatnonzero(np.concatenate([[True], flat[1:] != flat[:-1]]))
    lengths = np.diff(np.concatenate([starts, [flat.size]]))
    found, which = np.unique(flat[starts], return_inverse=True)
    counts = np.bincount(which, weights=lengths, minlength=len(found))
    return found, counts.astype(np.int64)


class PanopticDataset:
    """The images of a data set, in the order of their ids, and what each of their pixels belongs to.

    All is checked here, the PNG files too, so that nothing is wrong after minutes of predicting.

    Args:
        json_file: annotations in COCO's panoptic format.
        image_root: the folder that the file names of the images are relative to.
        map_root: the folder of the PNG files, whose pixels' segments are R + 256 G + 65536 B; by default beside the
            JSON file, with its name.

    Attributes:
        images: a Record for each image.
        thing_ids, stuff_ids: ids of the categories of things and of stuff, in their order.
        names: what a category is called, by id.
        repairs: a sentence for each kind of thing that was put right.

    Raises:
        InvalidArgument: files that are missing or wrong, with the first faults.
    """

    def __init__(self, json_file: str | Path, image_root: str | Path, map_root: str | Path | None = None) -> None:
        self.json_file, self.image_root = Path(json_file), Path(image_root)
        self.map_root = Path(map_root) if map_root is not None else self.json_file.with_suffix("")
        data = read_json(self.json_file, FORMAT, PARTS)
        findings = Findings(self.json_file)
        categories = checked_categories(data["categories"], findings)
        for category in categories:
            if type(category.get("isthing")) not in (int, bool) or category["isthing"] not in (0, 1):
                findings.fault(
                    f"category {category['id']} has isthing {quoted(category.get('isthing'))}, wanted 0 or 1; is the "
                    f"file in {FORMAT}?"
                )
        findings.check(FORMAT)
        self.names: dict[int, str] = {category["id"]: category["name"] for category in categories}
        self.thing_ids: list[int] = [category["id"] for category in categories if category["isthing"]]
        self.stuff_ids: list[int] = [category["id"] for category in categories if not category["isthing"]]
        self.images: list[Record] = checked_images(data["images"], self.image_root, findings)
        check_files(self.images, self.image_root, self.json_file)
        if not self.map_root.is_dir():
            raise InvalidArgument(f"{self.map_root}: there is no such folder; wanted the folder of the PNG files")
        self._maps: dict[int | str, tuple[Path, str, dict[int, Segment]]] = {}
        self._read_annotations(data["annotations"], findings)
        findings.check(FORMAT)
        self.repairs = [*findings.repairs(), *equal_names(list(self.names.values()))]
        for repair in self.repairs:
            say(f"{self.json_file}: {repair}")

    def __len__(self) -> int:
        return len(self.images)

    def __iter__(self) -> Iterator[Record]:
        return iter(self.images)

    def __contains__(self, image_id: object) -> bool:
        return image_id in self._maps

    def truth(self, image: Record) -> tuple[Ids, dict[int, Segment]]:
        """Each pixel's segment (H, W), `VOID` for none, and the segments by id.

        Raises:
            InvalidArgument: the PNG file has become another one since it was checked.
        """
        path, where, segments = self._maps[image["image_id"]]
        ids = read_map(path, (image["height"], image["width"]), where)
        return ids, segments

    @property
    def source(self) -> Path:
        """What messages name."""
        return self.json_file

    @property
    def semantic_names(self) -> list[str]:
        """The classes of semantic maps: 0 stands for all things, then comes the stuff."""
        return ["things", *(self.names[key] for key in self.stuff_ids)]

    def labels(self, image: Record) -> Ids:
        """The class of each pixel (H, W) as Detectron2 makes semantic maps of panoptic ones, -1 for none.

        Raises:
            InvalidArgument: as `truth`.
        """
        ids, segments = self.truth(image)
        classes = {key: 1 + number for number, key in enumerate(self.stuff_ids)}
        there, which = np.unique(ids, return_inverse=True)
        of_segment = [classes.get(segments[key]["category_id"], 0) if key in segments else -1 for key in there.tolist()]
        found: Ids = np.array(of_segment, np.int64)[which].reshape(ids.shape)
        return found

    def _read_annotations(self, items: list[Any], findings: Findings) -> None:
        images = {image["image_id"]: image for image in self.images}
        for i, item in enumerate(items):
            where = place(i, item)
            wanted: dict[str, tuple[type, ...]] = {
                "image_id": (int, str),
                "file_name": (str,),
                "segments_info": (list,),
            }
            if not typed(item, where, wanted, findings):
                continue
            image = images.get(item["image_id"])
            where = f"annotations[{i}] (image {quoted(item['image_id'])})"
            if image is None:
                findings.fault(f"{where} is of no image")
            elif item["image_id"] in self._maps:
                findings.fault(f"{where} is there twice")
            else:
                self._read_annotation(item, where, image, findings)
        missing = [image_id for image_id in images if image_id not in self._maps]
        if missing:
            findings.fault(f"{len(missing)} of {len(images)} images have no annotation, the first is {missing[0]!r}")

    def _read_annotation(self, item: dict[str, Any], where: str, image: Record, findings: Findings) -> None:
        name = item["file_name"]
        path = self.map_root / name
        self._maps[image["image_id"]] = path, where, {}
        if not is_text(name) or Path(name).is_absolute() or ".." in Path(name).parts or not is_file(path):
            findings.fault(f"{where} has file_name {quoted(name)}, which is no file in {self.map_root}")
            return
        segments = self._segments(item["segments_info"], where, findings)
        try:
            ids = read_map(path, (image["height"], image["width"]), where)
        except InvalidArgument as error:
            findings.fault(str(error))
            return
        areas = dict(zip(*(part.tolist() for part in counted(ids)), strict=True))
        unknown = [key for key in areas if key != VOID and key not in segments]
        if unknown:
            findings.fault(f"{where} has pixels of the segment {unknown[0]} in {path}, which is not in segments_info")
        wrong = {key for key, segment in segments.items() if segment["area"] != areas.get(key, 0)}
        if wrong:
            findings.repair("segments whose area is missing or not that of the PNG file, counted", where)
        for key, segment in segments.items():
            segment["area"] = areas.get(key, 0)
        if not all(segment["area"] for segment in segments.values()):
            findings.repair("segments without a pixel, which nothing can match", where)
        self._maps[image["image_id"]] = path, where, segments

    def _segments(self, items: list[Any], where: str, findings: Findings) -> dict[int, Segment]:
        segments: dict[int, Segment] = {}
        for j, item in enumerate(items):
            here = f"{where}: segments_info[{j}]"
            if not typed(item, here, {"id": (int,), "category_id": (int,)}, findings):
                continue
            key, crowd, area = item["id"], item.get("iscrowd", 0), item.get("area")
            if not 0 < key <= LAST:
                findings.fault(f"{here} has id {quoted(key)}, wanted 1 to {LAST}")
            elif key in segments:
                findings.fault(f"{here} has id {key}, as one before")
            if item["category_id"] not in self.names:
                findings.fault(f"{here} has category_id {quoted(item['category_id'])}, which is not a category")
            if type(crowd) not in (int, bool) or crowd not in (0, 1):
                findings.fault(f"{here} has iscrowd {quoted(crowd)}, wanted 0 or 1")
            elif isinstance(crowd, bool):
                findings.repair("an iscrowd that is true or false, taken as 1 or 0", here)
            if area is not None and type(area) not in (int, float):
                findings.fault(f"{here} has area {quoted(area)}, wanted a number of pixels")
            area = area if is_number(area) else None
            segments[key] = {"category_id": item["category_id"], "iscrowd": crowd, "area": area}
        return segments


def read_map(path: Path, size: tuple[int, int], where: str) -> Ids:
    """Each pixel's segment (H, W) from a PNG file.

    Raises:
        InvalidArgument: it is no PNG file of 8-bit RGB of that size.
    """
    try:
        with Image.open(path, formats=("PNG",)) as image:
            found = image.mode, image.size
            pixels = np.asarray(image) if found[0] in ("RGB", "RGBA") and found[1] == size[::-1] else None
    except Exception as error:  # whatever Pillow raises for broken files, which is more than it tells
        raise InvalidArgument(f"{where}: {path} cannot be read as a PNG file: {error}") from error
    if pixels is None:
        raise InvalidArgument(
            f"{where}: {path} is {found[1][1]} x {found[1][0]} pixels in mode {found[0]}, wanted {size[0]} x {size[1]} "
            f"in RGB, 8 bits each"
        )
    wide = pixels.astype(np.int64)
    ids: Ids = wide[:, :, 0] + 256 * wide[:, :, 1] + 65536 * wide[:, :, 2]
    return ids
