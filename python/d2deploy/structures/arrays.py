"""What containers hold: PyTorch tensors or NumPy arrays. No other module here knows that there are two kinds.

PyTorch is never imported: whoever has a tensor has imported it.
"""

from __future__ import annotations

import operator
import sys
from collections.abc import Sequence
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from d2deploy.errors import InvalidArgument, Unsupported
from d2deploy.structures.errors import OutOfRange

__all__ = ["HostArray", "concatenated", "held", "like", "namespace", "one_as_slice", "to_float32", "to_numpy"]


class HostArray(np.ndarray[Any, np.dtype[Any]]):
    """A NumPy array that also has the methods by which users of PyTorch tensors take them to the CPU and to NumPy.

    What was written for Detectron2's predictions, as `scores.cpu().numpy()`, so takes ours without PyTorch.
    """

    def __array_wrap__(self, array: Any, context: Any = None, return_scalar: bool = False) -> Any:
        """Sums and the like of all elements are NumPy's scalars, as those of any NumPy array."""
        return array.view(HostArray) if array.ndim else array[()]

    @property
    def device(self) -> Literal["cpu"]:
        """Where the array is."""
        return "cpu"

    def to(self, device: Any = "cpu", **options: Any) -> HostArray:
        """The array itself.

        Args:
            device: "cpu", or PyTorch's device of that name.
            options: `non_blocking` and the like, which mean nothing here.

        Raises:
            Unsupported: any other device, or a type.
        """
        if str(device).partition(":")[0] != "cpu":
            raise Unsupported(f"NumPy arrays are on the CPU, not on {device}; torch.as_tensor makes tensors of them")
        return self

    def cpu(self) -> HostArray:
        """The array itself."""
        return self

    def detach(self) -> HostArray:
        """The array itself."""
        return self

    def clone(self) -> HostArray:
        """A copy."""
        return self.copy()

    def numpy(self) -> npt.NDArray[Any]:
        """The same memory as a plain NumPy array."""
        return self.view(np.ndarray)

    def any(self, *args: Any, dim: int | None = None, **options: Any) -> Any:
        """As NumPy's; Detectron2's Visualizer, in gray pictures, calls the axis `dim`."""
        return super().any(*args, **(options if dim is None else {"axis": dim, **options}))


def is_tensor(values: Any) -> bool:
    """Whether it is a PyTorch tensor."""
    return isinstance(values, getattr(sys.modules.get("torch"), "Tensor", ()))


def namespace(values: Any) -> Any:
    """The module with the functions for such values, which the two have in common: torch or numpy."""
    return sys.modules["torch"] if is_tensor(values) else np


def held(values: Any) -> Any:
    """Values as containers keep them: arrays as HostArray on the same memory, tensors and all else as they are."""
    plain = isinstance(values, np.ndarray) and not isinstance(values, HostArray)
    return values.view(HostArray) if plain else values


def like(array: npt.NDArray[Any], other: Any) -> Any:
    """A NumPy array as what the other is, a tensor on its device or a HostArray; on the same memory where it can be."""
    return namespace(other).as_tensor(array, device=other.device) if is_tensor(other) else held(array)


def to_float32(values: Any, what: str) -> Any:
    """Tensors, arrays or nested lists as float32, without a copy where they are; lists become arrays.

    Raises:
        InvalidArgument: no numbers, or rows of different lengths.
    """
    if is_tensor(values):
        return values.float()
    try:
        return held(np.asarray(values, np.float32))
    except (TypeError, ValueError) as error:
        raise InvalidArgument(f"{what}: must be a tensor, an array or lists of numbers; {error}") from error


def to_numpy(values: Any) -> npt.NDArray[Any]:
    """A NumPy array of a tensor on any device, or of an array."""
    return np.asarray(values.detach().cpu() if is_tensor(values) else values)


def concatenated(parts: Sequence[Any], what: str) -> Any:
    """Tensors or arrays, one below the other; never on the memory of one of them.

    Raises:
        InvalidArgument: tensors and arrays together, or shapes that do not fit.
    """
    kinds = {"Tensor" if is_tensor(part) else type(held(part)).__name__ for part in parts}
    if len(kinds) > 1:
        raise InvalidArgument(f"{what}: all must be of one type, got {', '.join(sorted(kinds))}")
    try:
        return held(namespace(parts[0]).concatenate(parts))
    except (RuntimeError, ValueError) as error:
        shapes = ", ".join(str(tuple(part.shape)) for part in parts)
        raise InvalidArgument(f"{what}: cannot join {shapes}; {error}") from error


def one_as_slice(item: Any, length: int, what: str) -> Any:
    """An index that keeps the first axis: a number becomes the slice of that one element.

    Raises:
        OutOfRange: the number is out of range.
    """
    if getattr(item, "ndim", 0) != 0 or "bool" in str(getattr(item, "dtype", type(item))):
        return item
    try:
        number = operator.index(item)
    except TypeError:  # a slice, a list
        return item
    if not -length <= number < length:
        raise OutOfRange(f"{what}: index {number} is out of range, there are {length}")
    start = number % length
    return slice(start, start + 1)
