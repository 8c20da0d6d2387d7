"""A folder with the two files of a model, and what it finds in a picture."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import numpy.typing as npt

from d2deploy.errors import InvalidArgument
from d2deploy.runtime.caffe2_model import Caffe2Model
from d2deploy.runtime.instances import prediction
from d2deploy.structures.arrays import held

if TYPE_CHECKING:
    from d2deploy._ext import Model

__all__ = ["Predictor", "load"]


def load(
    directory: str | Path,
    threads: int = 0,
    *,
    device: str = "cpu",
    precision: str = "float32",
    calibration: str | Path | None = None,
    low_memory: bool = False,
    tune: bool = False,
) -> Model:
    """The net in a folder with `model.pb` and `model_init.pb`, for its raw outputs.

    Args:
        directory: the folder.
        threads: of one run; 0: as many as the process may use.
        device: as `Model` has it, like `precision`.
        precision: see `device`.
        calibration: see `device`.
        low_memory: see `device`.
        tune: see `device`.

    Raises:
        InvalidArgument: a file is not there.
        InvalidModel, Unsupported: the files are damaged, or hold what is not available here.
    """
    from d2deploy._ext import Model

    folder = Path(directory)
    return Model(
        folder / "model.pb",
        folder / "model_init.pb",
        device=device,
        precision=precision,
        calibration=calibration,
        low_memory=low_memory,
        tune=tune,
        threads=threads,
    )


class Predictor:
    """Predictions for single pictures, resized as the model was trained: Detectron2's DefaultPredictor for files.

    Args:
        directory: the folder with `model.pb` and `model_init.pb`.
        options: as those of `Caffe2Model`, min_size, max_size and input_format among them; instances come by falling
            score.

    Raises:
        InvalidArgument, InvalidModel, Unsupported: as `Caffe2Model.load_protobuf`.
    """

    def __init__(self, directory: str | Path, **options: Any) -> None:
        self.model = Caffe2Model.load_protobuf(directory, **{"order": "score", **options})

    def __call__(
        self,
        image: npt.NDArray[np.uint8],
        input_format: Literal["BGR", "RGB", "L", "as is"] = "BGR",
        proposals: npt.NDArray[np.float32] | None = None,
    ) -> dict[str, Any]:
        """Predicts.

        Args:
            image: (H, W, 3), or (H, W) gray, uint8, of any size; brought into the channels that the model wants. Or
                (H, W, C), for a model of that many channels of its own.
            input_format: the order of its channels; "as is": those that the model takes.
            proposals: boxes (R, 4) xyxy in pixels of the image, for a model that finds none itself.

        Returns:
            As `Caffe2Model`, in arrays.

        Raises:
            InvalidArgument: the image is no such array.
        """
        if image is None:
            raise InvalidArgument(
                "image is None, wanted an array of uint8; OpenCV's imread gives None for a file that it cannot read"
            )
        boxes = None if proposals is None else np.asarray(proposals, np.float32)
        return prediction(self.model.detector.predict(image, input_format, boxes), held)
