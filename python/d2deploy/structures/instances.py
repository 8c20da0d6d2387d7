"""What was found in one image: fields of equal length."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np

from d2deploy.errors import InvalidArgument
from d2deploy.structures.arrays import concatenated, held, one_as_slice, to_numpy
from d2deploy.structures.errors import MissingField, NotDefined

__all__ = ["Instances"]


class Instances:
    """What was found in one image: named fields of equal length, each one an attribute.

    Predictions have `pred_boxes` (Boxes or RotatedBoxes), `scores` (N,), `pred_classes` (N,) int64, and where the model
    gives them `pred_masks` (N, H, W) bool and `pred_keypoints` (N, K, 3) rows x y score; proposals have
    `proposal_boxes` and `objectness_logits` (N,).

    NumPy arrays are kept as HostArray, on their memory.

    Args:
        image_size: height and width of the image that the coordinates refer to, in pixels.
        fields: the fields by name.

    Source: detectron2/structures/instances.py.
    """

    _image_size: tuple[int, int]
    _fields: dict[str, Any]

    def __init__(self, image_size: tuple[int, int], **fields: Any) -> None:
        self._image_size = image_size
        self._fields = {}
        for name, value in fields.items():
            self.set(name, value)

    @staticmethod
    def cat(parts: Sequence[Instances]) -> Instances:
        """All instances of several, which are of one image size; a single one is given back as it is.

        The fields are those of the first. Tensors and arrays are joined, and so are lists and what has a method `cat`.

        Raises:
            InvalidArgument: there is none, the image sizes differ, a field is missing or cannot be joined.
        """
        if not parts or not all(isinstance(part, Instances) for part in parts):
            found = ", ".join(type(part).__name__ for part in parts)
            raise InvalidArgument(f"Instances.cat: need Instances, got {found or 'none'}")
        sizes = [part.image_size for part in parts]
        if any(tuple(size) != tuple(sizes[0]) for size in sizes):
            raise InvalidArgument(f"Instances.cat: all must be of one image size, got {', '.join(map(str, sizes))}")
        if len(parts) == 1:
            return parts[0]
        joined = Instances(sizes[0])
        for name in parts[0]._fields:
            joined.set(name, _joined([part.get(name) for part in parts], name))
        return joined

    @property
    def image_size(self) -> tuple[int, int]:
        """Height and width, in pixels."""
        return self._image_size

    def set(self, name: str, value: Any) -> None:
        """Adds a field or replaces it.

        Raises:
            InvalidArgument: its length differs from that of the other fields, or there is a method of that name.
        """
        if hasattr(type(self), name):
            raise InvalidArgument(f"Instances: a field cannot be called {name}, which Instances have already")
        try:
            length = len(value)
        except TypeError as error:
            raise InvalidArgument(f"Instances: field {name} must have a length; {error}") from error
        others = {other: len(field) for other, field in self._fields.items() if other != name}
        if any(other != length for other in others.values()):
            raise InvalidArgument(f"Instances: field {name} has length {length}, the others have {others}")
        self._fields[name] = held(value)

    def get(self, name: str) -> Any:
        """The field of that name.

        Raises:
            MissingField: there is none.
        """
        if name not in self._fields:
            raise MissingField(f"Instances: no field {name}; it has: {', '.join(self._fields) or 'none'}")
        return self._fields[name]

    def has(self, name: str) -> bool:
        """Whether there is a field of that name."""
        return name in self._fields

    def remove(self, name: str) -> None:
        """Takes the field of that name out.

        Raises:
            MissingField: there is none.
        """
        self.get(name)
        del self._fields[name]

    def get_fields(self) -> dict[str, Any]:
        """All fields by name: the dictionary itself, not a copy."""
        return self._fields

    def to(self, *args: Any, **options: Any) -> Instances:
        """The same instances on another device; fields without a method `to` stay as they are.

        Raises:
            Unsupported: a field is a NumPy array, which is on the CPU alone.
        """
        return self._mapped(lambda field: field.to(*args, **options) if hasattr(field, "to") else field)

    def __setattr__(self, name: str, value: Any) -> None:
        if name.startswith("_"):
            super().__setattr__(name, value)
        else:
            self.set(name, value)

    def __getattr__(self, name: str) -> Any:
        if name == "_fields":  # while it is copied or unpickled there is none yet
            raise AttributeError(name)
        return self.get(name)

    def __len__(self) -> int:
        for field in self._fields.values():
            return len(field)
        raise NotDefined("Instances: without a field there is no length; has(name) tells which fields there are")

    def __iter__(self) -> Iterator[Any]:
        raise NotDefined("Instances: cannot be iterated over; instances[i] has the i-th alone, get_fields() the fields")

    def __getitem__(self, item: Any) -> Instances:
        """The instances that a number, slice, index array or mask names; one instance stays a collection of one."""
        item = one_as_slice(item, len(self), "Instances")
        return self._mapped(lambda field: _of_list(field, item) if isinstance(field, list) else field[item])

    def _mapped(self, function: Any) -> Instances:
        return Instances(self._image_size, **{name: function(field) for name, field in self._fields.items()})

    def __str__(self) -> str:
        count = f"num_instances={len(self)}, " if self._fields else ""
        height, width = self._image_size
        fields = ", ".join(f"{name}: {field}" for name, field in self._fields.items())
        return f"Instances({count}image_height={height}, image_width={width}, fields=[{fields}])"

    __repr__ = __str__


def _of_list(values: list[Any], item: Any) -> list[Any]:
    """The elements of a list that a slice, index array or mask names."""
    if isinstance(item, slice):
        return values[item]
    return [values[i] for i in np.arange(len(values))[to_numpy(item)]]


def _joined(values: Sequence[Any], name: str) -> Any:
    """Fields of that name, one after the other."""
    if all(isinstance(value, list) for value in values):
        return list(itertools.chain.from_iterable(values))
    if hasattr(type(values[0]), "cat"):
        return type(values[0]).cat(values)
    if hasattr(values[0], "shape"):
        return concatenated(values, f"Instances.cat: field {name}")
    found = ", ".join(sorted({type(value).__name__ for value in values}))
    raise InvalidArgument(f"Instances.cat: field {name} is {found}, which cannot be joined; lists can")
