"""The picture that a model is tried on, and what becomes of it before the net."""

from __future__ import annotations

from collections.abc import Sequence
from importlib import resources
from pathlib import Path
from typing import TYPE_CHECKING, Any

from d2deploy.cli.shared import needs

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from d2deploy.runtime import Detector


def read_sample(path: Path | None = None) -> NDArray[np.uint8]:
    """A picture, (H, W, 3) RGB; without a path that of shapes which comes with the package."""
    with needs("reading pictures", "predict"):
        from d2deploy.images import read_image
    if path:
        return read_image(path, "RGB")
    with resources.as_file(resources.files("d2deploy") / "data" / "sample.jpg") as sample:
        return read_image(sample, "RGB")


def boxes_of(image: NDArray[np.uint8], detector: Detector) -> NDArray[np.float32] | None:
    """What a detector that finds no proposals itself is given with a picture: boxes of several sizes, everywhere."""
    from d2deploy.runtime.shapes import sample_rois

    return sample_rois(*image.shape[:2])[:, 1:].copy() if detector.takes_proposals else None


def net_inputs_of(
    image: NDArray[np.uint8], rule: dict[str, Any], names: Sequence[str]
) -> dict[str, NDArray[np.float32]]:
    """The inputs of a net for a picture in RGB.

    Args:
        image: (H, W, 3) RGB.
        rule: `Detector.input`.
        names: of the inputs that the net has.
    """
    import numpy as np

    from d2deploy.images import resize_shortest_edge
    from d2deploy.padding import Padding, net_inputs
    from d2deploy.runtime.shapes import sample_rois

    resized = resize_shortest_edge(image, rule["min_size"], rule["max_size"])
    if rule["input_format"] == "BGR":
        resized = resized[:, :, ::-1]
    elif rule["channels"] == 1:
        resized = resized[:, :, :1]
    elif rule["channels"] != 3:  # what the channels are is the model's own affair: all of them the same
        resized = np.repeat(resized[:, :, :1], rule["channels"], axis=2)
    inputs = net_inputs(resized.transpose(2, 0, 1), rule["pixel_mean"], Padding.of(rule))
    inputs["proposals"] = sample_rois(*resized.shape[:2])  # of nets that find none themselves
    return {name: inputs[name] for name in names if name in inputs}
