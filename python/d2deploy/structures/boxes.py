"""Boxes of one image, upright or rotated."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from d2deploy.errors import InvalidArgument
from d2deploy.structures import geometry
from d2deploy.structures.arrays import namespace, to_float32
from d2deploy.structures.rows import Rows

if TYPE_CHECKING:
    from typing import Self  # Python 3.11

__all__ = ["Boxes", "RotatedBoxes", "as_boxes"]


class Boxes(Rows):
    """Upright boxes, rows x1 y1 x2 y2 in pixels; the end is exclusive, so the width is x2 - x1.

    `clip` and `scale` change the object, as Detectron2's do, but never an array that it shares with others.

    Args:
        tensor: (N, 4), tensor, array or nested lists; kept as float32. Without a row any shape is taken.

    Attributes:
        tensor: (N, 4).

    Raises:
        InvalidArgument: another shape.

    Source: detectron2/structures/boxes.py.
    """

    columns = 4

    def __init__(self, tensor: Any) -> None:
        name = type(self).__name__
        tensor = to_float32(tensor, name)
        if tensor.ndim and tensor.shape[0] == 0:
            tensor = tensor.reshape(0, self.columns)
        if tensor.ndim != 2 or tensor.shape[1] != self.columns:
            raise InvalidArgument(f"{name}: must be (N, {self.columns}), got {tuple(tensor.shape)}")
        super().__init__(tensor)

    @classmethod
    def cat(cls, parts: Sequence[Self]) -> Self:
        """All boxes of several in one, on memory of its own; of none, no boxes, as a NumPy array.

        Raises:
            InvalidArgument: one is of another type, or tensors are among arrays.
        """
        return super().cat(parts) if parts else cls([])

    def area(self) -> Any:
        """Areas, (N,), in square pixels."""
        return geometry.area(self.tensor)

    def get_centers(self) -> Any:
        """Centres x y, (N, 2), in pixels."""
        return geometry.centres(self.tensor)

    def nonempty(self, threshold: float = 0.0) -> Any:
        """Mask (N,) of the boxes whose two sides are both longer than `threshold` pixels."""
        return geometry.nonempty(self.tensor, threshold)

    def inside_box(self, box_size: tuple[int, int], boundary_threshold: float = 0) -> Any:
        """Mask (N,) of the boxes that lie in an image.

        Args:
            box_size: height and width of the image; its right and lower ends do not belong to it.
            boundary_threshold: so many pixels beyond the image still count as inside.
        """
        return geometry.inside(self.tensor, box_size, boundary_threshold)

    def clip(self, box_size: tuple[int, int]) -> None:
        """Cuts the boxes to an image of that height and width.

        Raises:
            InvalidArgument: a coordinate is infinite or NaN.
        """
        finite = namespace(self.tensor).isfinite(self.tensor).all(-1)
        if not finite.all():
            found = f"{len(self) - int(finite.sum())} of {len(self)} boxes have infinite coordinates or NaN"
            raise InvalidArgument(f"{type(self).__name__}: {found}, which cannot be clipped; drop them before")
        self.tensor = geometry.clip(self.tensor, box_size)

    def scale(self, scale_x: float, scale_y: float) -> None:
        """Makes them the boxes of an image whose width is `scale_x` and whose height is `scale_y` times as large."""
        self.tensor = geometry.scale(self.tensor, scale_x, scale_y)

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.tensor})"


class RotatedBoxes(Boxes):
    """Rotated boxes, rows cx cy w h angle in pixels and degrees, counter-clockwise.

    The upright box of the centre, the width and the height is turned about its centre. Where the factors of `scale`
    differ, the parallelogram that a box becomes is replaced by a rotated box. `inside_box` asks for the whole box.

    Args:
        tensor: (N, 5), tensor, array or nested lists; kept as float32. Without a row any shape is taken.

    Attributes:
        tensor: (N, 5).

    Raises:
        InvalidArgument: another shape.

    Source: detectron2/structures/rotated_boxes.py.
    """

    columns = 5

    def normalize_angles(self) -> None:
        """Brings the angles into [-180, 180)."""
        boxes, join = self.tensor, namespace(self.tensor).concatenate
        self.tensor = join([boxes[:, :4], geometry.normalised(boxes[:, 4:])], -1)

    def clip(self, box_size: tuple[int, int], clip_angle_threshold: float = geometry.CLIP_ANGLE) -> None:
        """Normalises the angles, and cuts the boxes that are almost upright to an image.

        Args:
            box_size: height and width of the image.
            clip_angle_threshold: only boxes that are turned by no more degrees are cut: of others there is no one way
                to cut them.
        """
        self.tensor = geometry.clip(self.tensor, box_size, clip_angle_threshold)


def as_boxes(boxes: Any) -> Boxes:
    """The container for boxes (N, 4) or (N, 5)."""
    return RotatedBoxes(boxes) if geometry.is_rotated(boxes) else Boxes(boxes)
