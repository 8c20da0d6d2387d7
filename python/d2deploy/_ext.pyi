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
        calibration: str | os.PathLike[str] | None = None,
        low_memory: bool = False,
        tune: bool = False,
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
            device: "cpu", or an NVIDIA GPU: "cuda", "cuda:1".
            precision: "float32", or a smaller type for the heavy operators. CPU: "bfloat16", "int8"; one that has neither
                AVX512-BF16 nor AMX, or for int8 no VNNI, runs float32 all the same, and warns. GPU: "tf32", "float16",
                "bfloat16".
            calibration: the file that int8 needs; None: `calibration.txt` beside `model.pb`.
            low_memory: needs less memory and more time: no weights are kept that are larger than those of the file.
            tune: on a GPU, several ways to compute each convolution are tried out, which takes some seconds per picture size.
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

    @property
    def precision(self) -> str:
        """What it runs in: the one asked for, or float32 where that is faster."""

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

    def profile(self, inputs: dict[str, numpy.typing.NDArray[Any]], runs: int = 1) -> list[dict[str, Any]]:
        """
        What the nodes of the net do, in the order in which they run.

        Args:
            inputs: as for `run`.
            runs: how many there are; 0: nothing is run, and what is planned is told, with the most rows that there
                can be.

        Returns:
            For each node `operator`; `outputs`, a dict of their shapes in the last run, None being a dimension that
            is not known; `kernel`; `runs`; `milliseconds` of all runs together; and of the last run `flops`, those of
            convolutions and matrix products, a multiply-add being two, and `bytes` read and written.

        Raises:
            InvalidArgument: as `run`, or a negative number of runs.
            Unsupported: what is planned, with engine "caffe2".
            DeviceError: the memory does not suffice.
        """

class Detector:
    """
    A model of any of Detectron2's kinds, and its predictions. Any number of threads may share it.
    """

    def __init__(
        self,
        predict_net: str | os.PathLike[str],
        init_net: str | os.PathLike[str],
        *,
        device: str = "cpu",
        precision: str = "float32",
        calibration: str | os.PathLike[str] | None = None,
        low_memory: bool = False,
        tune: bool = False,
        threads: int = 0,
        mode: str = "latency",
        max_batch: int = 1,
        input_format: str | None = None,
        min_size: int | None = None,
        max_size: int | None = None,
        pad: str = "mean",
        im_info: str = "detectron2",
        order: str = "score",
        sem_seg: bool = False,
        keypoint_heatmaps: bool = False,
    ) -> None:
        """
        Reads, checks and prepares both files. Other threads of Python run meanwhile.

        Args:
            predict_net: path of `model.pb`.
            init_net: path of `model_init.pb`.
            device: as `Model` has it, like `precision`.
            precision: as `Model` has it.
            calibration: as `Model` has it.
            low_memory: as `Model` has it.
            tune: as `Model` has it.
            threads: threads of one prediction, in mode "throughput" of all; 0: as many as the process may use.
            mode: "latency": a prediction has all threads; "throughput": one, for many predictions at the same time (see
                `streams`), which together need less time.
            max_batch: on a GPU, how many images of one size go through the net together, 1 to 64: those of calls that
                overlap and find it busy. Each number, 1, 2, 4, ..., is planned when it first comes.
            input_format: channels that the model takes, "BGR", "RGB", "L", "as is"; None: what the file says.
            min_size: the shorter side that images are resized to, 0: none; None: what the file says, or 800.
            max_size: what a side may be at most; None: what the file says, or 1333.
            pad: images are padded with the "mean", as Detectron2 does, or "zero", as Caffe2.
            im_info: the scale that the net is told is 1 ("detectron2"), or height wanted / height given ("caffe2").
            order: of detections: by falling "score", or as in the "file".
            sem_seg: predictions hold the semantic logits.
            keypoint_heatmaps: predictions hold the heat maps.

        Raises:
            InvalidModel, Unsupported, InvalidArgument: as `Model`; outputs that are not those of a detector.
        """

    @property
    def info(self) -> dict[str, Any]:
        """As that of `Model`."""

    @property
    def input(self) -> dict[str, Any]:
        """
        What images become: `input_format`, `channels`, `pixel_mean`, `min_size`, `max_size`, `size_divisibility`, `square_size`.
        """

    @property
    def class_names(self) -> list[str]:
        """Empty where the file does not tell them."""

    @property
    def precision(self) -> str:
        """As that of `Model`."""

    @property
    def streams(self) -> int:
        """
        Predictions that should run at the same time, each in a thread of Python: 1 in mode latency, with `max_batch`
        on a GPU enough for two runs of so many images.
        """

    @property
    def stuff_class_names(self) -> list[str]:
        """Likewise, of a panoptic model."""

    @property
    def takes_proposals(self) -> bool:
        """
        Whether the model finds no proposals itself, but is given them with each image.
        """

    def predict(
        self,
        image: numpy.typing.NDArray[numpy.uint8],
        input_format: str = "BGR",
        proposals: numpy.typing.NDArray[numpy.float32] | None = None,
    ) -> dict[str, Any]:
        """
        Resizes an image as the model wants it, and predicts. Other threads of Python run meanwhile.

        Args:
            image: (H, W) or (H, W, C) uint8.
            input_format: what its channels are: "BGR", "RGB", "L", or "as is": those that the model takes.
            proposals: boxes (R, 4) float32 xyxy in pixels of the image, for a model that takes them (`takes_proposals`).

        Returns:
            `image_size` (height, width); `boxes` float32 (N, 4) xyxy or (N, 5) rotated; `scores` float32 (N,);
            `classes` int64 (N,), not for proposals; and where the model gives them `masks` float32 (N, S, S),
            probabilities inside of the boxes; `keypoints` float32 (N, K, 4): x, y, logit, probability;
            `keypoint_heatmaps` (N, K, S, S); `sem_seg` (C, height, width); `panoptic_map` int32 (height, width) with
            `segments`, a dict for each. Of a model that tells the class of pixels alone `image_size`, `class_map` int32
            (height, width) and, where asked for, `sem_seg`.

        Raises:
            InvalidArgument: an image that does not suit the model.
            InvalidModel: outputs that do not agree.
            DeviceError: the memory does not suffice.
        """

    def predict_resized(
        self,
        image: numpy.typing.NDArray[Any],
        height: int,
        width: int,
        proposals: numpy.typing.NDArray[numpy.float32] | None = None,
    ) -> dict[str, Any]:
        """
        Predicts for an image that is resized already. Other threads of Python run meanwhile.

        Args:
            image: (C, H, W) float32 or uint8, 0 to 255, with the model's channels.
            height: of the image that predictions are wanted for, as `width`, in pixels.
            width: see `height`.
            proposals: boxes (R, 4) float32 xyxy in pixels of the resized image, for a model that takes them.

        Returns:
            `image_size` (height, width); `boxes` float32 (N, 4) xyxy or (N, 5) rotated; `scores` float32 (N,);
            `classes` int64 (N,), not for proposals; and where the model gives them `masks` float32 (N, S, S),
            probabilities inside of the boxes; `keypoints` float32 (N, K, 4): x, y, logit, probability;
            `keypoint_heatmaps` (N, K, S, S); `sem_seg` (C, height, width); `panoptic_map` int32 (height, width) with
            `segments`, a dict for each. Of a model that tells the class of pixels alone `image_size`, `class_map` int32
            (height, width) and, where asked for, `sem_seg`.

        Raises:
            InvalidArgument: an image that does not suit the model.
            InvalidModel: outputs that do not agree.
            DeviceError: the memory does not suffice.
        """

def paste_masks(
    masks: numpy.typing.NDArray[numpy.float32],
    boxes: numpy.typing.NDArray[numpy.float32],
    height: int,
    width: int,
    threshold: float = 0.5,
) -> numpy.typing.NDArray[numpy.bool]:
    """
    The masks of detections at the size of their image.

    Args:
        masks: (N, S, S) float32 probabilities inside of the boxes.
        boxes: (N, 4) float32, xyxy in pixels.
        height: of the image, as `width`.
        width: see `height`.
        threshold: pixels of at least this probability belong to a mask.

    Returns:
        (N, height, width) bool.

    Raises:
        InvalidArgument: shapes or types that do not agree, or a threshold outside of [0, 1].
    """

def encode_masks(
    masks: numpy.typing.NDArray[numpy.float32],
    boxes: numpy.typing.NDArray[numpy.float32],
    height: int,
    width: int,
    threshold: float = 0.5,
) -> list[bytes]:
    """
    What pycocotools' encode gives for each of paste_masks(...), `counts` alone, without making them.
    """

class Calibrator:
    """
    Finds out, from real pictures, what precision int8 needs to know of a net.

    Pictures go to `observe`, then some of them to `measure`; `write` makes the file. For one thread.
    """

    def __init__(
        self,
        predict_net: str | os.PathLike[str],
        init_net: str | os.PathLike[str],
        *,
        threads: int = 0,
        max_error: float = 0.1,
    ) -> None:
        """
        Reads, checks and prepares both files. Other threads of Python run meanwhile.

        Args:
            predict_net: path of `model.pb`.
            init_net: path of `model_init.pb`.
            threads: threads of one run; 0: as many as the process may use.
            max_error: layers in which int8 makes a larger error, of the L2 norm of their output, stay float32.

        Raises:
            InvalidModel, Unsupported, InvalidArgument: as `Model`.
        """

    @property
    def inputs(self) -> list[str]:
        """Names of the arrays that `observe` and `measure` must be given."""

    def observe(self, inputs: dict[str, numpy.typing.NDArray[Any]]) -> None:
        """
        Runs the net and notes the ranges of its values.

        Args:
            inputs: as for `Model.run`.

        Raises:
            InvalidModel: a value is not finite.
            InvalidArgument, DeviceError: as `Model.run`.
        """

    def measure(self, inputs: dict[str, numpy.typing.NDArray[Any]]) -> None:
        """
        Runs the net, and each of its layers in int8 on what the layer reads in float32.

        Args:
            inputs: as for `Model.run`.

        Raises:
            InvalidArgument: as `Model.run`, or nothing was observed.
            DeviceError: the memory does not suffice.
        """

    def layers(self) -> list[dict[str, Any]]:
        """
        The layers that were measured, in the order of the net.

        Returns:
            For each `output`, its name; `error`: the L2 norm of what int8 changes in it, all else being float32, by
            that of the output; `stays_float32`.
        """

    def write(self, file: str | os.PathLike[str]) -> None:
        """
        Writes what was found to a file, which replaces one that is there.

        Args:
            file: its path.

        Raises:
            InvalidArgument: nothing was observed, or the file cannot be written.
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
