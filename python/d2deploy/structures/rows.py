"""What boxes, keypoints and masks have in common: an array with one row for each instance."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from d2deploy.errors import InvalidArgument
from d2deploy.structures.arrays import concatenated, held, one_as_slice, to_numpy

if TYPE_CHECKING:
    from typing import Self  # Python 3.11

__all__ = ["Rows"]


class Rows:
    """Rows, one for each instance."""

    def __init__(self, tensor: Any) -> None:
        self.tensor = tensor

    @property
    def tensor(self) -> Any:
        """The rows: PyTorch's tensor, or a HostArray; the first axis counts the instances."""
        return self._tensor

    @tensor.setter
    def tensor(self, values: Any) -> None:
        self._tensor = held(values)

    @classmethod
    def cat(cls, parts: Sequence[Self]) -> Self:
        """All rows of several in one, on memory of its own.

        Raises:
            InvalidArgument: there is none, one is of another type, or their kinds or shapes differ.
        """
        name = cls.__name__
        if not parts or not all(isinstance(part, cls) for part in parts):
            raise InvalidArgument(
                f"{name}.cat: need {name}, got {', '.join(type(p).__name__ for p in parts) or 'none'}"
            )
        return cls(concatenated([part.tensor for part in parts], f"{name}.cat"))

    @property
    def device(self) -> Any:
        """Where the rows are: PyTorch's device, and "cpu" for NumPy arrays."""
        return self.tensor.device

    def to(self, *args: Any, **options: Any) -> Self:
        """The same on another device.

        Raises:
            Unsupported: NumPy arrays, which are on the CPU alone.
        """
        return type(self)(self.tensor.to(*args, **options))

    def clone(self) -> Self:
        """A copy."""
        return type(self)(self.tensor.clone())

    def __len__(self) -> int:
        return int(self.tensor.shape[0])

    def __getitem__(self, item: Any) -> Self:
        """The rows that a number, slice, index array or mask names; one row stays a collection of one."""
        return type(self)(self.tensor[one_as_slice(item, len(self), type(self).__name__)])

    def __iter__(self) -> Iterator[Any]:
        return iter(self.tensor)

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> npt.NDArray[Any]:
        """For np.asarray, by which Detectron2's Visualizer takes what it does not know."""
        array = np.asarray(to_numpy(self.tensor), dtype)
        return array.copy() if copy else array

    def __repr__(self) -> str:
        return f"{type(self).__name__}(num_instances={len(self)})"
