"""Masks of the instances of one image: in their boxes, or of the whole image."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from d2deploy.errors import InvalidArgument
from d2deploy.structures.arrays import held, like, namespace, to_float32, to_numpy
from d2deploy.structures.boxes import Boxes
from d2deploy.structures.rows import Rows

__all__ = ["BitMasks", "ROIMasks", "paste_masks"]


class BitMasks(Rows):
    """Masks of the whole image.

    Args:
        tensor: (N, height, width), tensor or array; what is not 0 is set.

    Attributes:
        tensor: (N, height, width) bool.

    Raises:
        InvalidArgument: another shape.

    Source: detectron2/structures/masks.py.
    """

    def __init__(self, tensor: Any) -> None:
        tensor = _three_axes(tensor, "BitMasks", "height, width")
        super().__init__(tensor if "bool" in str(tensor.dtype) else tensor != 0)

    @property
    def image_size(self) -> tuple[int, int]:
        """Height and width, in pixels."""
        return (int(self.tensor.shape[1]), int(self.tensor.shape[2]))

    def nonempty(self) -> Any:
        """Mask (N,) of those that have a pixel."""
        return self.tensor.any(-1).any(-1)

    def get_bounding_boxes(self) -> Boxes:
        """The smallest box around each mask; four zeros where it has no pixel."""
        xp = namespace(self.tensor)
        low, high = [], []
        for length, axis in zip(self.image_size[::-1], (1, 2)):
            taken = self.tensor.any(axis) * 1
            low.append(taken.argmax(-1))
            high.append(length - xp.flip(taken, (1,)).argmax(-1))
        return Boxes(xp.stack([*low, *high], -1) * self.nonempty()[:, None])


class ROIMasks(Rows):
    """Masks in the boxes of the instances, which are not part of it.

    Args:
        tensor: (N, S, S), tensor or array: probabilities; the whole S x S is the box.

    Attributes:
        tensor: (N, S, S).

    Raises:
        InvalidArgument: another shape.

    Source: detectron2/structures/masks.py.
    """

    def __init__(self, tensor: Any) -> None:
        super().__init__(_three_axes(tensor, "ROIMasks", "S, S"))

    def to_bitmasks(self, boxes: Any, height: int, width: int, threshold: float = 0.5) -> BitMasks:
        """The masks of the whole image, as `paste_masks` makes them.

        Args:
            boxes: Boxes, or (N, 4) xyxy in pixels of the image.
            height: of the image, as `width`, in pixels.
            width: of the image.
            threshold: a pixel is set where the probability is at least this.

        Raises:
            InvalidArgument: as `paste_masks`.
        """
        return BitMasks(paste_masks(self.tensor, getattr(boxes, "tensor", boxes), (height, width), threshold))


def paste_masks(masks: Any, boxes: Any, size: tuple[int, int], threshold: float = 0.5) -> Any:
    """Masks of the whole image from masks of boxes, interpolated bilinearly at the centres of pixels.

    Args:
        masks: (N, S, S), tensor or array: probabilities.
        boxes: (N, 4), xyxy in pixels of the image.
        size: height and width of the image.
        threshold: a pixel is set where the probability is at least this.

    Returns:
        (N, height, width) bool, of the kind of the masks.

    Raises:
        InvalidArgument: not one box for each mask, or boxes that are not finite.

    Source: detectron2/layers/mask_ops.py, paste_masks_in_image.
    """
    places = to_numpy(boxes).astype(np.float64)
    if places.shape != (len(masks), 4) or not np.isfinite(places).all():
        wanted = f"({len(masks)}, 4), one for each mask, all of them finite"
        raise InvalidArgument(f"paste_masks: boxes must be {wanted}, got {places.shape}")
    masks = to_float32(masks, "paste_masks")
    output = like(np.zeros((len(masks), *size), bool), masks)
    # Interpolation with zeros around the mask reaches less than a pixel beyond the box's borders.
    lows = (np.floor(places[:, :2]) - 1).clip(0, size[::-1]).astype(int)
    highs = (np.ceil(places[:, 2:]) + 1).clip(0, size[::-1]).astype(int)
    for mask, place, low, high, whole in zip(masks, places, lows, highs, output):
        length = place[2:] - place[:2]
        if (low >= high).any() or (length <= 0).any():
            continue
        columns, rows = (
            like(_taps((np.arange(low[i], high[i]) + 0.5 - place[i]) / length[i] * count - 0.5, count), mask)
            for i, count in enumerate(mask.shape[::-1])
        )
        whole[low[1] : high[1], low[0] : high[0]] = rows @ mask @ columns.T >= threshold
    return output


def _taps(at: npt.NDArray[Any], count: int) -> npt.NDArray[np.float32]:
    """Weights (N, count) of an axis's cells at N places, cell 0 being at 0; what lies beyond the axis counts as 0.

    weight = max(0, 1 - distance of the place from the cell)
    """
    weights: npt.NDArray[Any] = np.maximum(0, 1 - np.abs(at[:, None] - np.arange(count)))
    return weights.astype(np.float32)


def _three_axes(tensor: Any, name: str, axes: str) -> Any:
    if getattr(tensor, "ndim", None) != 3:
        found = tuple(tensor.shape) if hasattr(tensor, "shape") else type(tensor).__name__
        raise InvalidArgument(f"{name}: must be (N, {axes}), got {found}")
    return held(tensor)
