"""A converted model as one of Detectron2's: list[dict] in, list[dict] out; and its two nets, saved and drawn."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import cached_property
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any, Literal

from d2deploy.errors import InvalidArgument
from d2deploy.padding import Padding, net_inputs
from d2deploy.runtime.inputs import checked, image_of, proposals_of, side_of
from d2deploy.runtime.instances import KEYPOINT_SCORES, prediction
from d2deploy.runtime.shapes import blob_shapes, usual_inputs
from d2deploy.structures.arrays import like

if TYPE_CHECKING:
    from d2deploy._ext import Detector

__all__ = ["Caffe2Model"]


class Caffe2Model:
    """A converted model, with the interface of Detectron2's models and their predictions.

    It comes out of files, by `load_protobuf`, or out of `Caffe2Tracer.export_caffe2`. Any number of threads may call
    it at the same time.

    Args:
        predict_net: path of `model.pb`, or the net as a message of protobuf, a NetDef.
        init_net: path of `model_init.pb`, or the net likewise, or an InitNet.
        device: what it runs on: "cpu", or an NVIDIA GPU: "cuda", "cuda:1".
        precision: "float32", or a smaller type for most of the work. CPU: "int8", which needs a calibration, or
            "bfloat16" where the CPU has AVX512-BF16 or AMX; elsewhere float32 runs, after a warning. GPU: "tf32",
            "float16", "bfloat16".
        calibration: the file that `d2deploy calibrate` made; None: `calibration.txt` beside `model.pb`.
        low_memory: needs less memory and more time: no weights are kept that are larger than those of the file.
        tune: on a GPU, several ways to compute each convolution are tried out, which takes some seconds per size.
        threads: of one prediction; 0: as many as the process may use.
        input_format: channels that the model takes, "BGR", "RGB", "L"; None: what the file says.
        min_size: the shorter side that `Predictor` resizes pictures to, 0: none; None: what the file says, or 800.
        max_size: what their longer side may be at most; None: what the file says, or 1333.
        order: of the instances: by falling "score", or as in the "file", which is class by class.
        pad: what is right of and below a picture: the "mean", as in Detectron2, or "zero", as in Caffe2.
        im_info: the scale that the net is told: 1, as Detectron2 computes ("detectron2"), or height wanted / height
            given, as its wrapper of Caffe2's files does ("caffe2"), which alters how boxes are clipped.
        keypoint_score: the third column of `pred_keypoints`: the "probability", or the "logit", as Caffe2 has it.
        shapes: of the predict net's blobs, for the picture, where they are known.

    Raises:
        InvalidArgument, InvalidModel, Unsupported: as `load_protobuf`; of nets that are messages with the first call.
    """

    def __init__(
        self,
        predict_net: Any,
        init_net: Any,
        *,
        device: str = "cpu",
        precision: str = "float32",
        calibration: str | Path | None = None,
        low_memory: bool = False,
        tune: bool = False,
        threads: int = 0,
        input_format: str | None = None,
        min_size: int | None = None,
        max_size: int | None = None,
        order: Literal["file", "score"] = "file",
        pad: Literal["mean", "zero"] = "mean",
        im_info: Literal["detectron2", "caffe2"] = "detectron2",
        keypoint_score: Literal["probability", "logit"] = "probability",
        shapes: Mapping[str, Sequence[int | str]] | None = None,
    ) -> None:
        if keypoint_score not in KEYPOINT_SCORES:
            raise InvalidArgument(f"keypoint_score is {keypoint_score!r}, available: {', '.join(KEYPOINT_SCORES)}")
        self._keypoint_score = keypoint_score
        self._given = (predict_net, init_net)
        self._shapes = shapes
        self._options: dict[str, Any] = {
            "device": device,
            "precision": precision,
            "calibration": calibration,
            "low_memory": low_memory,
            "tune": tune,
            "threads": threads,
            "input_format": input_format,
            "min_size": min_size,
            "max_size": max_size,
            "order": order,
            "pad": pad,
            "im_info": im_info,
        }
        if all(map(_is_path, self._given)):
            _ = self.detector  # what is wrong with files is told now

    @classmethod
    def load_protobuf(cls, dir: str | Path, **options: Any) -> Caffe2Model:
        """The model in a folder with `model.pb` and `model_init.pb`.

        Args:
            dir: the folder.
            options: as those of the class: device, precision, threads, min_size, order, pad and so on.

        Raises:
            InvalidArgument: a file is not there, or an option is none.
            InvalidModel, Unsupported: the files are damaged, or hold what is not available here, or no detector.
        """
        return cls(Path(dir) / "model.pb", Path(dir) / "model_init.pb", **options)

    @cached_property
    def detector(self) -> Detector:
        """The compiled library's own view of the model."""
        from d2deploy._ext import Detector

        with self._files() as files:
            return Detector(*files, **self._options, sem_seg=True, keypoint_heatmaps=True)

    @cached_property
    def predict_net(self) -> Any:
        """The operators: a message of protobuf, a NetDef. What is changed in it is saved, and not run."""
        return _message(self._given[0])

    @cached_property
    def init_net(self) -> Any:
        """The weights: a message likewise."""
        return _message(self._given[1])

    @property
    def _init_net(self) -> Any:
        """The weights in the form that they are in: as a message, where someone may have changed it."""
        given = self._given[1]
        return self.init_net if _is_path(given) or "init_net" in vars(self) else given

    def save_protobuf(self, output_dir: str | Path) -> None:
        """Writes `model.pb`, `model_init.pb` and `model.pbtxt`, the predict net as text. Needs protobuf.

        Args:
            output_dir: folder; made where it is missing.

        Raises:
            Unsupported: the weights are more than a protobuf file can hold.
            InvalidArgument: the folder cannot be written.
        """
        from d2deploy.nets.files import write_nets

        write_nets(self.predict_net, self._init_net, Path(output_dir))

    def save_graph(self, output_file: str | Path, inputs: Sequence[Mapping[str, Any]] | None = None) -> None:
        """Draws the predict net, with the shapes of the blobs. Needs protobuf, graphviz, and its program `dot`.

        Args:
            output_file: SVG file to write.
            inputs: as for a call; the net is run on the first, and the shapes are those of this run. None: those of a
                model that was just converted are for height H, width W and R1, R2, ... boxes; those of files for a
                picture of sides 3 : 4, with the most boxes that are planned for.

        Raises:
            Unsupported: Graphviz is not installed.
            InvalidArgument: the file cannot be written, or the inputs are wrong.
        """
        from d2deploy.nets.drawing import draw
        from d2deploy.nets.files import constant_shapes

        draw(self.predict_net, {**constant_shapes(self._init_net), **self.shapes(inputs)}, Path(output_file))

    def shapes(self, inputs: Sequence[Mapping[str, Any]] | None = None) -> dict[str, list[int | str]]:
        """The shapes of the predict net's blobs, as `save_graph` has them: blob -> dimensions."""
        if inputs is None and self._shapes:
            return {blob: list(dims) for blob, dims in self._shapes.items()}
        from d2deploy._ext import Model

        rule = self.detector.input
        feed = usual_inputs(rule)
        if inputs is not None:
            image, _ = image_of(next(iter(checked(inputs)), {}), "inputs[0]")
            feed = dict(net_inputs(image, rule["pixel_mean"], Padding.of(rule)))
        with self._files() as files:
            model = Model(*files, threads=self._options["threads"], optimize=False)
        return blob_shapes(model, {name: feed[name] for name in model.inputs}, run=inputs is not None)

    @contextmanager
    def _files(self) -> Iterator[tuple[Path, Path]]:
        """Paths of both nets, for as long as they are read; messages are written for it."""
        with TemporaryDirectory(prefix="d2deploy-") as folder:
            paths: list[Path] = []
            for net, name in zip(self._given, ("model.pb", "model_init.pb")):
                path = Path(net) if _is_path(net) else Path(folder) / name
                if not _is_path(net):
                    from d2deploy.nets.files import write_net

                    write_net(net, path)
                paths.append(path)
            yield paths[0], paths[1]

    @property
    def info(self) -> dict[str, Any]:
        """All arguments of the net."""
        return self.detector.info

    @property
    def class_names(self) -> list[str]:
        """Of the things, by class; empty where the file does not tell them."""
        return self.detector.class_names

    @property
    def stuff_class_names(self) -> list[str]:
        """Of the classes of semantic maps, likewise."""
        return self.detector.stuff_class_names

    def __call__(self, inputs: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
        """Predicts.

        Args:
            inputs: one dict per picture: "image", tensor or array (C, H, W), 0 to 255, resized and with channels as the
                model wants them; "height" and "width" that predictions are wanted for, by default the picture's. For a
                model that takes them "proposals": Instances with `proposal_boxes` in the frame of "image".

        Returns:
            As Detectron2's models, for each picture: "instances" with `pred_boxes`, `scores`, `pred_classes`, and where
            the model gives them `pred_masks` (N, H, W) bool, `pred_keypoints` (N, K, 3), `pred_keypoint_heatmaps`; or
            "proposals"; for panoptic models "sem_seg" (C, H, W) and "panoptic_seg" too, for semantic ones "sem_seg"
            alone. Tensors on the picture's device where it is a tensor, else arrays. *Law*: each picture gets what it
            gets alone.

        Raises:
            InvalidArgument: there is no image, or its shape is wrong.
        """
        return [self._predict(one, f"inputs[{i}]") for i, one in enumerate(checked(inputs))]

    def _predict(self, inputs: Mapping[str, Any], name: str) -> dict[str, Any]:
        image, given = image_of(inputs, name)
        height, width = (side_of(inputs, key, size, name) for key, size in zip(("height", "width"), image.shape[1:]))
        boxes = proposals_of(inputs, name) if self.detector.takes_proposals else None
        found = self.detector.predict_resized(image, height, width, boxes)
        return prediction(found, lambda array: like(array, given), self._keypoint_score)


def _is_path(net: Any) -> bool:
    return isinstance(net, (str, os.PathLike))


def _message(net: Any) -> Any:
    if hasattr(net, "message"):  # an InitNet
        return net.message()
    if not _is_path(net):
        return net
    from d2deploy.nets.files import read_net

    return read_net(Path(net))
