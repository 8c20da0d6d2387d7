"""Semantic segmentation: maps that tell the class of each pixel, and how well predicted classes agree with them."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt
from PIL import Image

from d2deploy.errors import InvalidArgument

from .checks import Findings, say
from .coco import labels
from .records import Record, check_complete, check_files
from .results import to_array

__all__ = ["UNLABELLED", "Labelled", "SemanticDataset", "SemanticQuality"]

Labels = npt.NDArray[np.int64]
UNLABELLED = -1  # the class of pixels that do not count
IGNORED = 255  # in label maps, as Detectron2 has them
MAPS = ".png"
PICTURES = (".jpg", ".jpeg", ".png", ".webp", ".bmp", ".tif", ".tiff")
ONE_CHANNEL = ("1", "L", "P", "I", "I;16", "I;16B")  # Pillow's modes


class Labelled(Protocol):
    """A data set that tells the class of each pixel."""

    @property
    def source(self) -> Path:
        """What messages name."""

    def __len__(self) -> int: ...

    def labels(self, image: Record) -> Labels:
        """The class of each pixel (H, W), UNLABELLED where it does not count."""


class SemanticDataset:
    """Images with a label map each: a PNG file at the same place in another folder, whose pixels are classes.

    All is checked here, the maps too, so that nothing is wrong after minutes of predicting.

    Args:
        map_root: the folder of the maps, of one channel of 8 or 16 bits, or of palette indices.
        image_root: the folder of the images. Paths in both folders are the same, but for the suffix.
        images: those that count, each of which must have a map; None: all that have one. Images without a map are left
            out then, and that is shown.
        ignore_label: what pixels have that do not count.

    Attributes:
        images: a Record for each image.
        classes: one more than the highest class in the maps.

    Raises:
        InvalidArgument: folders, maps or images that are missing or wrong, with the first faults.
    """

    def __init__(
        self,
        map_root: str | Path,
        image_root: str | Path,
        images: Sequence[Record] | None = None,
        *,
        ignore_label: int = IGNORED,
    ) -> None:
        self.source, self.image_root = Path(map_root), Path(image_root)
        self._ignored = ignore_label
        for folder, what in ((self.source, "label maps"), (self.image_root, "images")):
            if not folder.is_dir():
                raise InvalidArgument(f"{folder}: there is no such folder; wanted the folder of the {what}")
        findings = Findings(self.source)
        self._maps: dict[int | str, Path] = {}
        self.images = self._found(findings) if images is None else self._wanted(images, findings)
        highest = [self._highest(image, findings) for image in self.images]
        findings.check("the form of label maps")
        self.classes = 1 + max(highest, default=UNLABELLED)

    def __len__(self) -> int:
        return len(self.images)

    def __iter__(self) -> Iterator[Record]:
        return iter(self.images)

    def labels(self, image: Record) -> Labels:
        """The class of each pixel (H, W), UNLABELLED where it does not count.

        Raises:
            InvalidArgument: the map has become another one since it was checked.
        """
        found = read_labels(self._maps[image["image_id"]], (image["height"], image["width"]))
        found[found == self._ignored] = UNLABELLED
        return found

    def _found(self, findings: Findings) -> list[Record]:
        """The images of the folder that have a map."""
        maps = _by_stem(self.source, (MAPS,), findings, "label maps")
        if not maps:
            raise InvalidArgument(f"{self.source}: holds no label maps, wanted PNG files named like the images")
        pictures = _by_stem(self.image_root, PICTURES, findings, "images", set(maps.values()))
        if lost := [path for stem, path in maps.items() if stem not in pictures]:
            findings.fault(
                f"{len(lost)} of {len(maps)} maps have no image in {self.image_root}, the first is {lost[0]}"
            )
        if others := [path for stem, path in pictures.items() if stem not in maps]:
            say(f"{self.source}: {len(others)} images without a label map are left out, the first is {others[0]}")
        records = []
        for stem, path in sorted(maps.items()):
            if stem not in pictures:
                continue
            self._maps[stem] = path
            height, width = _size(path)
            records.append(Record(file_name=str(pictures[stem]), image_id=stem, height=height, width=width))
            check_files(records[-1:], self.image_root, path)
        return records

    def _wanted(self, images: Sequence[Record], findings: Findings) -> list[Record]:
        """The same images; those without a map are noted."""
        for image in images:
            place = Path(image["file_name"]).relative_to(self.image_root)
            self._maps[image["image_id"]] = (self.source / place).with_suffix(MAPS)
        missing = [path for path in self._maps.values() if not path.is_file()]
        if missing:
            findings.fault(f"{len(missing)} of {len(images)} images have no label map, the first is {missing[0]}")
            findings.check("the form of label maps")
        return list(images)

    def _highest(self, image: Record, findings: Findings) -> int:
        try:
            return int(self.labels(image).max())
        except InvalidArgument as error:
            findings.fault(str(error))
            return UNLABELLED


def _by_stem(
    root: Path, suffixes: Sequence[str], findings: Findings, what: str, but: set[Path] | None = None
) -> dict[str, Path]:
    """The files with these suffixes by their path in the folder without it."""
    files = [path for path in sorted(root.rglob("*")) if path.suffix.lower() in suffixes and path not in (but or ())]
    stems = [path.relative_to(root).with_suffix("").as_posix() for path in files]
    if twice := [stem for stem, count in Counter(stems).items() if count > 1]:
        findings.fault(f"{len(twice)} {what} in {root} differ in nothing but their suffix, as {twice[0]}")
    return dict(zip(stems, files, strict=True))


def _size(path: Path) -> tuple[int, int]:
    try:
        with Image.open(path, formats=("PNG",)) as image:
            return image.height, image.width
    except Exception as error:  # whatever Pillow raises for broken files, which is more than it tells
        raise InvalidArgument(f"{path} cannot be read as a PNG file: {error}") from error


def read_labels(path: Path, size: tuple[int, int]) -> Labels:
    """The values of a label map (H, W).

    Raises:
        InvalidArgument: it is no PNG file of one channel and that size.
    """
    try:
        with Image.open(path, formats=("PNG",)) as image:
            found = image.mode, (image.height, image.width)
            pixels = np.asarray(image) if found[0] in ONE_CHANNEL and found[1] == size else None
    except Exception as error:
        raise InvalidArgument(f"{path} cannot be read as a PNG file: {error}") from error
    if pixels is None:
        raise InvalidArgument(
            f"{path} is {found[1][0]} x {found[1][1]} pixels in mode {found[0]}, wanted {size[0]} x {size[1]} in one "
            f"channel, gray or a palette's indices, each the class of its pixel"
        )
    return pixels.astype(np.int64)


class SemanticQuality:
    """How well predicted classes of pixels agree with label maps; predictions are added one by one.

    Of a class, IoU = right / (pixels of the class, or taken for it) and ACC = right / pixels of the class, where right
    are the pixels that are both. Over the classes that are annotated: mIoU and mACC are the means, fwIoU is the mean
    weighted by the pixels of the classes. pACC is the share of all pixels that are right.

    Args:
        dataset: what is compared with.
        classes: the model's: their names, or their number.

    Source: Detectron2, SemSegEvaluator, whose values these are.
    """

    def __init__(self, dataset: Labelled, classes: Sequence[str] | int) -> None:
        self._dataset = dataset
        self._names = [str(k) for k in range(classes)] if isinstance(classes, int) else list(classes)
        self._pixels = np.zeros((len(self._names), len(self._names)), np.int64)  # by predicted and true class
        self._added: set[int | str] = set()

    def add(self, image: Record, sem_seg: Any) -> None:
        """Counts the prediction for an image.

        Args:
            image: of the data set.
            sem_seg: what each class gets in each pixel (K, H, W); the highest is predicted, of equal ones the first.

        Raises:
            InvalidArgument: the prediction has another shape, or the label map classes that the model has not.
        """
        where = f"image {image['image_id']}"
        values = to_array(sem_seg)
        if image["image_id"] in self._added:
            raise InvalidArgument(f"{where}: was added before")
        truth = self._dataset.labels(image)
        wanted = (len(self._names), *truth.shape)
        if values.shape != wanted:
            raise InvalidArgument(f"{where}: sem_seg is {values.shape}, wanted {wanted}: a map for each class")
        check_highest(int(truth.max()) + 1, len(self._names), f"{self._dataset.source}: {where}")
        counts = truth != UNLABELLED
        pairs = len(self._names) * values.argmax(axis=0)[counts] + truth[counts]
        self._pixels += np.bincount(pairs, minlength=self._pixels.size).reshape(self._pixels.shape)
        self._added.add(image["image_id"])

    def metrics(self) -> dict[str, float]:
        """In percent, of the images that were added.

        Returns:
            mIoU, fwIoU, mACC, pACC, `IoU-<class>` and `ACC-<class>`; NaN for classes that are not annotated, and where
            none is, which is shown.

        Raises:
            InvalidArgument: images of the data set were not added.
        """
        check_complete(len(self._dataset), len(self._added), self._dataset.source)
        right = self._pixels.diagonal().astype(np.float64)
        of_class, taken_for = (self._pixels.sum(axis=axis).astype(np.float64) for axis in (0, 1))
        there = of_class > 0
        with np.errstate(invalid="ignore"):  # 0 / 0 of classes that do not occur
            iou = np.where(there, right / (of_class + taken_for - right), math.nan)
            accuracy = np.where(there, right / of_class, math.nan)
            weights = of_class / of_class.sum()
            total = right.sum() / of_class.sum()
        if not there.any():
            say(f"{self._dataset.source}: mIoU is not a number, for no pixel has a class")
        row = {
            "mIoU": iou[there].mean() if there.any() else math.nan,
            "fwIoU": (iou * weights)[there].sum() if there.any() else math.nan,
            "mACC": accuracy[there].mean() if there.any() else math.nan,
            "pACC": total,
        }
        names = labels(self._names, range(len(self._names)))
        for kind, values in (("IoU", iou), ("ACC", accuracy)):
            row |= {f"{kind}-{name}": value for name, value in zip(names, values, strict=True)}
        return {name: 100 * float(value) for name, value in row.items()}


def check_highest(classes: int, most: int, where: str) -> None:
    """Raises InvalidArgument where label maps have more classes than the model."""
    if classes > most:
        raise InvalidArgument(
            f"{where} has the class {classes - 1}, but the model has {most}, from 0; are they the maps that it was "
            f"trained for, and is the ignore label right?"
        )
