"""The shapes of a net's blobs for one picture, as the library has them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from d2deploy.padding import Padding, net_inputs

if TYPE_CHECKING:
    from d2deploy._ext import Model

__all__ = ["blob_shapes", "sample_rois", "usual_inputs"]

Array = npt.NDArray[Any]
# Sides of a picture that many cameras give, for models that do not resize.
USUAL_SIZE = (480, 640)


def blob_shapes(model: Model, inputs: dict[str, Array], *, run: bool) -> dict[str, list[int | str]]:
    """The shapes of the blobs that a net computes, and of its inputs.

    Args:
        model: loaded with optimize=False: others lack blobs, and have new ones.
        inputs: of the net.
        run: it is run, for the numbers of boxes that the inputs have; otherwise they are the most that are planned for.

    Returns:
        Blob -> dimensions, "?" where one is not known.
    """
    shapes: dict[str, list[int | str]] = {name: list(array.shape) for name, array in inputs.items()}
    for node in model.profile(inputs, int(run)):
        for blob, dims in node["outputs"].items():
            shapes[blob] = ["?" if dim is None else dim for dim in dims]
    return shapes


def sample_rois(height: int, width: int) -> Array:
    """Rois (R, 5) float32 of the first image: an index, which is 0, and boxes of several sizes and shapes."""
    rois = []
    for share in (0.15, 0.3, 0.6, 1.0):
        for aspect in (0.5, 1.0, 2.0):
            w, h = width * min(share * aspect**0.5, 1.0), height * min(share / aspect**0.5, 1.0)
            steps = (0.0,) if share == 1 else (0.0, 0.37, 0.71, 1.0)
            corners = [(x * (width - w), y * (height - h)) for x in steps for y in steps]
            rois += [[0.0, x, y, x + w, y + h] for x, y in corners]
    return np.array(rois, np.float32)


def usual_inputs(rule: Mapping[str, Any]) -> dict[str, Array]:
    """The inputs of a net for a picture of sides 3 : 4, resized as the model wants it.

    Args:
        rule: `Detector.input`.
    """
    height, width = USUAL_SIZE
    longest = rule["max_size"]
    if rule["square_size"]:
        longest = min(longest, rule["square_size"])
    if rule["min_size"] or width > longest:
        height = min(rule["min_size"] or height, longest * 3 // 4)
        width = min(round(height * 4 / 3), longest)
    image = np.zeros((rule["channels"], height, width), np.uint8)
    # As many proposals as Detectron2 takes by default, for models that find none themselves.
    proposals = np.resize(sample_rois(height, width), (1000, 5))
    return {**net_inputs(image, rule["pixel_mean"], Padding.of(rule)), "proposals": proposals}
