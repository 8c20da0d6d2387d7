"""What Detectron2's models are called with, looked at: a dict for each picture."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from d2deploy.errors import InvalidArgument
from d2deploy.structures.arrays import to_numpy

__all__ = ["checked", "image_of", "proposals_of", "side_of"]


def checked(inputs: Sequence[Mapping[str, Any]]) -> Sequence[Mapping[str, Any]]:
    """The same. Raises InvalidArgument where they are no list of dicts."""
    if not isinstance(inputs, Sequence) or not all(isinstance(one, Mapping) for one in inputs):
        raise InvalidArgument('inputs: must be a list of dicts, one per picture, as [{"image": image}]')
    return inputs


def image_of(inputs: Mapping[str, Any], name: str) -> tuple[Any, Any]:
    """The picture: an array (C, H, W) uint8 or float32, and what was given for it.

    Args:
        inputs: one of them.
        name: what messages call it.

    Raises:
        InvalidArgument: there is none, or its shape or type is wrong.
    """
    if "image" not in inputs:
        raise InvalidArgument(f'{name}: has no "image", only: {", ".join(map(str, inputs)) or "nothing"}')
    given = inputs["image"]
    try:
        image = to_numpy(given)
    except (TypeError, ValueError) as error:  # ragged lists, types that NumPy has not
        raise InvalidArgument(f'{name}: "image" must be (C, H, W): {error}') from error
    if image.ndim != 3:
        raise InvalidArgument(f'{name}: "image" must be (C, H, W), got {image.shape}')
    if image.dtype.kind not in "buif":
        raise InvalidArgument(f'{name}: "image" must hold integers or floats, got {image.dtype}')
    return (image if image.dtype == "uint8" else image.astype("float32")), given


def proposals_of(inputs: Mapping[str, Any], name: str) -> Any:
    """The boxes (R, 4) float32, xyxy in the frame of the picture, that a model without proposals of its own takes.

    Raises:
        InvalidArgument: there are none, or not of this shape.
    """
    boxes = getattr(inputs.get("proposals"), "proposal_boxes", None)
    if boxes is None:
        raise InvalidArgument(
            f'{name}: needs "proposals", Instances with `proposal_boxes`: the model finds no proposals itself'
        )
    array = to_numpy(getattr(boxes, "tensor", boxes))
    if array.ndim != 2 or array.shape[1] != 4:
        raise InvalidArgument(f'{name}: "proposals" must have boxes (R, 4), got {array.shape}')
    return array.astype("float32")


def side_of(inputs: Mapping[str, Any], key: str, otherwise: int, name: str) -> int:
    """ "height" or "width" that predictions are wanted for. Raises InvalidArgument where it is no number."""
    value = inputs.get(key, otherwise)
    try:
        return int(np.int64(int(value)))  # else no argument of C++
    except (TypeError, ValueError, OverflowError) as error:
        raise InvalidArgument(f'{name}: "{key}" is {value!r}, must be a number of pixels') from error
