"""
The C++ library: model files run on NumPy arrays, and what pictures need before. Errors are those of d2deploy.errors.
"""

import os
from typing import Any

import numpy
import numpy.typing

class Model:
    """
    A loaded model, which any number of threads may run at the same time.

    Every run that overlaps another has working memory of its own, which the model keeps for later ones.
    """

    def __init__(
        self,
        predict_net: str | os.PathLike[str],
        init_net: str | os.PathLike[str],
        *,
        device: str = "cpu",
        precision: str = "float32",
        threads: int = 0,
        engine: str = "native",
        max_tensor_bytes: int = 4294967296,
        optimize: bool = True,
    ) -> None:
        """
        Reads, checks and prepares both files. Other threads of Python run meanwhile.

        Args:
            predict_net: path of `model.pb`.
            init_net: path of `model_init.pb`.
            device: "cpu".
            precision: "float32", or "bfloat16" for the heavy operators, which is slow so far.
            threads: threads of one run; 0: as many as the process may use.
            engine: "native", or "caffe2": the real Caffe2, where scripts/build_caffe2_engine has built it.
            max_tensor_bytes: no tensor may be larger, nor the memory of a run 16 times this.
            optimize: False: the nodes run as they stand in the file.

        Raises:
            InvalidModel: the files, with all their faults at once where that is possible.
            Unsupported: operators that are not there, all of them; a device, precision or engine.
            InvalidArgument: another option, or a file that cannot be opened.
        """

    @property
    def inputs(self) -> list[str]:
        """Names of the arrays that `run` must be given."""

    @property
    def outputs(self) -> list[str]:
        """Names of the arrays that `run` returns, in the file's order."""

    @property
    def info(self) -> dict[str, Any]:
        """
        What the exporter wrote beside the graph, a new dict each time.

        `meta_architecture` (str) and `size_divisibility` (int: pad height and width to a multiple of it; 0 or 1:
        any size) are always there, and with them all other arguments of the predict net by name: int, float (as
        precise as float32), str, bytes where a string is not UTF-8, or a list of these.
        """

    def run(self, inputs: dict[str, numpy.typing.NDArray[Any]]) -> dict[str, numpy.typing.NDArray[Any]]:
        """
        Runs the net. Other threads of Python run meanwhile; the inputs must stay as they are.

        Args:
            inputs: arrays by the names in `inputs`. For a detector: `data` float32 or uint8 (N, 3, H, W), BGR,
                0 to 255, and `im_info` float32 (N, 3), per image height, width, scale. Arrays that are not
                contiguous are copied.

        Returns:
            Every output by name, in arrays that own their memory. With several images the rows of the detections
            are grouped by image, and the extra output `batch_splits`, float32 (N,), has the number of each.

        Raises:
            InvalidArgument: an input that is missing, unknown, not an array, or of the wrong type or shape.
            DeviceError: the memory does not suffice.
        """

def resize(
    image: numpy.typing.NDArray[numpy.uint8], height: int, width: int, threads: int = 0
) -> numpy.typing.NDArray[numpy.uint8]:
    """
    Resizes an image with Pillow's bilinear filter, bit for bit, each channel by itself. Other threads of Python run
    meanwhile.

    Args:
        image: (H, W) or (H, W, C). One that is not contiguous is copied.
        height: of the result, in pixels.
        width: of the result, in pixels.
        threads: 0: as many as the process may use; their number does not change the result.

    Returns:
        (height, width) or (height, width, C), as many dimensions as `image` has.

    Raises:
        InvalidArgument: another type or shape, no pixels, or a side above 2**24.
        DeviceError: the memory does not suffice.
    """
