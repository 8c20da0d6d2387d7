"""A folder with the two files of a model, and what it finds in an image."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from d2deploy._ext import Model
from d2deploy.errors import InvalidArgument, Unsupported
from d2deploy.padding import net_inputs
from d2deploy.runtime.predictions import predictions

__all__ = ["FilePredictor", "load"]


def load(directory: str | Path, threads: int = 0) -> Model:
    """The model in a folder with `model.pb` and `model_init.pb`.

    Args:
        directory: the folder.
        threads: of one run; 0: as many as the process may use.

    Raises:
        InvalidArgument: a file is not there.
        InvalidModel, Unsupported: the files are damaged, or hold what is not available here.
    """
    folder = Path(directory)
    return Model(folder / "model.pb", folder / "model_init.pb", threads=threads)


class FilePredictor:
    """Two files of ours, on an image: what the model gave in PyTorch, without PyTorch.

    Args:
        directory: the folder with `model.pb` and `model_init.pb`.
        threads: of one run; 0: as many as the process may use.

    Attributes:
        info: the arguments of the net.

    Raises:
        InvalidArgument, InvalidModel: as `load`.
        Unsupported: as `load`; files of other exporters, which lack what predictions need to know.
    """

    def __init__(self, directory: str | Path, threads: int = 0) -> None:
        self._model = load(directory, threads)
        self.info: dict[str, Any] = self._model.info
        if "pixel_mean" not in self.info:
            raise Unsupported(
                f"{directory}: was not written by d2deploy, so its pixel mean is not known; convert it again"
            )

    def __call__(self, inputs: Mapping[str, Any]) -> dict[str, Any]:
        """Predicts.

        Args:
            inputs: "image", array (C, H, W), 0 to 255, resized and with channels as the model wants them; "height" and
                "width" that predictions are wanted for, by default the image's.

        Returns:
            As the eager model, in NumPy arrays: "instances", or "proposals"; for panoptic models "sem_seg" and
            "panoptic_seg" too.

        Raises:
            InvalidArgument: there is no image, or its shape is wrong.
        """
        channels = len(self.info["pixel_mean"])
        shape = np.shape(inputs["image"]) if "image" in inputs else None
        if shape is None or len(shape) != 3 or shape[0] != channels or 0 in shape:
            raise InvalidArgument(f'inputs: need "image", an array ({channels}, H, W); got {shape or "no image"}')
        image = np.asarray(inputs["image"])
        size = (image.shape[1], image.shape[2])
        wanted = (int(inputs.get("height", size[0])), int(inputs.get("width", size[1])))
        blobs = self._model.run(net_inputs(image, self.info["pixel_mean"], self.info["size_divisibility"]))
        return predictions(blobs, self.info, size, wanted)
