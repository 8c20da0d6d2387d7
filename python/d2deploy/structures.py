"""What predictions are made of: instances of one image and their boxes, as in Detectron2.

Plain containers: they hold PyTorch tensors or NumPy arrays and import neither.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from d2deploy.errors import InvalidArgument

__all__ = ["Boxes", "Instances", "RotatedBoxes"]


class Boxes:
    """Upright boxes: `tensor` is (N, 4), rows x1 y1 x2 y2 in pixels; the end is exclusive, so the width is x2 - x1."""

    columns = 4

    def __init__(self, tensor: Any) -> None:
        if tensor.ndim != 2 or tensor.shape[1] != self.columns:
            raise InvalidArgument(f"{type(self).__name__}: must be (N, {self.columns}), got {tuple(tensor.shape)}")
        self.tensor = tensor

    def area(self) -> Any:
        """Areas, (N,), in square pixels."""
        return (self.tensor[:, 2] - self.tensor[:, 0]) * (self.tensor[:, 3] - self.tensor[:, 1])

    def get_centers(self) -> Any:
        """Centres x y, (N, 2), in pixels."""
        return (self.tensor[:, :2] + self.tensor[:, 2:]) / 2

    def to(self, *args: Any, **kwargs: Any) -> Boxes:
        """The same boxes on another device; for PyTorch tensors alone."""
        return type(self)(self.tensor.to(*args, **kwargs))

    def __len__(self) -> int:
        return int(self.tensor.shape[0])

    def __getitem__(self, item: Any) -> Boxes:
        """The boxes that a number, slice, index array or mask names; one box stays a collection of one."""
        return type(self)(self.tensor[one_as_slice(item, len(self))])

    def __iter__(self) -> Iterator[Any]:
        return iter(self.tensor)

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.tensor})"


class RotatedBoxes(Boxes):
    """Rotated boxes: `tensor` is (N, 5), rows cx cy w h angle in pixels and degrees, counter-clockwise."""

    columns = 5

    def area(self) -> Any:
        """Areas, (N,), in square pixels."""
        return self.tensor[:, 2] * self.tensor[:, 3]

    def get_centers(self) -> Any:
        """Centres x y, (N, 2), in pixels."""
        return self.tensor[:, :2]


class Instances:
    """What was found in one image: named fields of equal length, each one an attribute.

    Predictions have `pred_boxes` (Boxes or RotatedBoxes), `scores` (N,), `pred_classes` (N,) int64, and where the model
    gives them `pred_masks` (N, H, W) bool and `pred_keypoints` (N, K, 3) rows x y score; proposals have
    `proposal_boxes` and `objectness_logits` (N,).

    Args:
        image_size: height and width of the image that the coordinates refer to, in pixels.
        fields: the fields by name.
    """

    _image_size: tuple[int, int]
    _fields: dict[str, Any]

    def __init__(self, image_size: tuple[int, int], **fields: Any) -> None:
        object.__setattr__(self, "_image_size", image_size)
        object.__setattr__(self, "_fields", {})
        for name, value in fields.items():
            self.set(name, value)

    @property
    def image_size(self) -> tuple[int, int]:
        """Height and width, in pixels."""
        return self._image_size

    def set(self, name: str, value: Any) -> None:
        """Adds a field or replaces it.

        Raises:
            InvalidArgument: its length differs from that of the other fields.
        """
        others = {other: len(field) for other, field in self._fields.items() if other != name}
        if any(length != len(value) for length in others.values()):
            raise InvalidArgument(f"Instances: field {name} has length {len(value)}, the others have {others}")
        self._fields[name] = value

    def get(self, name: str) -> Any:
        """The field of that name."""
        return getattr(self, name)

    def has(self, name: str) -> bool:
        """Whether there is a field of that name."""
        return name in self._fields

    def remove(self, name: str) -> None:
        """Takes the field of that name out."""
        del self._fields[name]

    def get_fields(self) -> dict[str, Any]:
        """All fields by name: the dictionary itself, not a copy."""
        return self._fields

    def to(self, *args: Any, **kwargs: Any) -> Instances:
        """The same instances on another device; fields without a method `to` stay as they are."""
        moved = {n: f.to(*args, **kwargs) if hasattr(f, "to") else f for n, f in self._fields.items()}
        return Instances(self._image_size, **moved)

    def __setattr__(self, name: str, value: Any) -> None:
        self.set(name, value)

    def __getattr__(self, name: str) -> Any:
        fields = self.__dict__.get("_fields", {})
        if name not in fields:
            raise AttributeError(f"Instances: no field {name}; it has: {', '.join(fields) or 'none'}")
        return fields[name]

    def __len__(self) -> int:
        return next((len(field) for field in self._fields.values()), 0)

    def __getitem__(self, item: Any) -> Instances:
        """The instances that a number, slice, index array or mask names; one instance stays a collection of one."""
        item = one_as_slice(item, len(self))
        return Instances(self._image_size, **{name: field[item] for name, field in self._fields.items()})

    def __repr__(self) -> str:
        return f"Instances(image_size={self._image_size}, {len(self)} of {', '.join(self._fields) or 'no field'})"


def one_as_slice(item: Any, length: int) -> Any:
    """An index that keeps the first axis: a number becomes the slice of that one element.

    Raises:
        IndexError: the number is out of range.
    """
    if not isinstance(item, int) or isinstance(item, bool):
        return item
    if not -length <= item < length:
        raise IndexError(f"index {item} is out of range, there are {length}")
    start = item % length
    return slice(start, start + 1)
