"""Two files as one of Detectron2's models: list[dict] in, list[dict] out."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Literal

from d2deploy._ext import Detector
from d2deploy.errors import InvalidArgument
from d2deploy.runtime.instances import KEYPOINT_SCORES, prediction
from d2deploy.structures.arrays import like, to_numpy

__all__ = ["Caffe2Model"]


class Caffe2Model:
    """A converted model, with the interface of Detectron2's models and their predictions.

    Any number of threads may call it at the same time.

    Args:
        predict_net: path of `model.pb`.
        init_net: path of `model_init.pb`.
        device: what it runs on: "cpu".
        precision: "float32", or "bfloat16".
        threads: of one prediction; 0: as many as the process may use.
        order: of the instances: by falling "score", or as in the "file", which is class by class.
        pad: what is right of and below a picture: the "mean", as in Detectron2, or "zero", as in Caffe2.
        im_info: the scale that the net is told: 1, as Detectron2 computes ("detectron2"), or height wanted / height
            given, as its wrapper of Caffe2's files does ("caffe2"), which alters how boxes are clipped.
        keypoint_score: the third column of `pred_keypoints`: the "probability", or the "logit", as Caffe2 has it.

    Raises:
        InvalidArgument, InvalidModel, Unsupported: as `load_protobuf`.
    """

    def __init__(
        self,
        predict_net: str | Path,
        init_net: str | Path,
        *,
        device: str = "cpu",
        precision: str = "float32",
        threads: int = 0,
        order: Literal["file", "score"] = "file",
        pad: Literal["mean", "zero"] = "mean",
        im_info: Literal["detectron2", "caffe2"] = "detectron2",
        keypoint_score: Literal["probability", "logit"] = "probability",
    ) -> None:
        if keypoint_score not in KEYPOINT_SCORES:
            raise InvalidArgument(f"keypoint_score is {keypoint_score!r}, available: {', '.join(KEYPOINT_SCORES)}")
        self._keypoint_score = keypoint_score
        self.detector = Detector(
            predict_net,
            init_net,
            device=device,
            precision=precision,
            threads=threads,
            order=order,
            pad=pad,
            im_info=im_info,
            sem_seg=True,
            keypoint_heatmaps=True,
        )

    @classmethod
    def load_protobuf(cls, dir: str | Path, **options: Any) -> Caffe2Model:
        """The model in a folder with `model.pb` and `model_init.pb`.

        Args:
            dir: the folder.
            options: as those of the class: device, precision, threads, order, pad, im_info, keypoint_score.

        Raises:
            InvalidArgument: a file is not there, or an option is none.
            InvalidModel, Unsupported: the files are damaged, or hold what is not available here, or no detector.
        """
        return cls(Path(dir) / "model.pb", Path(dir) / "model_init.pb", **options)

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
                model wants them; "height" and "width" that predictions are wanted for, by default the picture's.

        Returns:
            As Detectron2's models, for each picture: "instances" with `pred_boxes`, `scores`, `pred_classes`, and where
            the model gives them `pred_masks` (N, H, W) bool, `pred_keypoints` (N, K, 3), `pred_keypoint_heatmaps`; or
            "proposals"; for panoptic models "sem_seg" (C, H, W) and "panoptic_seg" too. Tensors on the picture's device
            where it is a tensor, else arrays. *Law*: each picture gets what it gets alone.

        Raises:
            InvalidArgument: there is no image, or its shape is wrong.
        """
        if isinstance(inputs, (Mapping, str)) or not all(isinstance(one, Mapping) for one in inputs):
            raise InvalidArgument('inputs: must be a list of dicts, one per picture, as [{"image": image}]')
        return [self._predict(one, f"inputs[{i}]") for i, one in enumerate(inputs)]

    def _predict(self, inputs: Mapping[str, Any], name: str) -> dict[str, Any]:
        if "image" not in inputs:
            raise InvalidArgument(f'{name}: has no "image", only: {", ".join(map(str, inputs)) or "nothing"}')
        given = inputs["image"]
        image = to_numpy(given)
        if image.ndim != 3:
            raise InvalidArgument(f'{name}: "image" must be (C, H, W), got {image.shape}')
        if image.dtype != "uint8":
            image = image.astype("float32")
        height, width = (_side(inputs, key, size, name) for key, size in zip(("height", "width"), image.shape[1:]))
        found = self.detector.predict_resized(image, height, width)
        return prediction(found, lambda array: like(array, given), self._keypoint_score)


def _side(inputs: Mapping[str, Any], key: str, otherwise: int, name: str) -> int:
    value = inputs.get(key, otherwise)
    try:
        return int(value)
    except (TypeError, ValueError, OverflowError) as error:
        raise InvalidArgument(f'{name}: "{key}" is {value!r}, must be a number of pixels') from error
