"""A model of d2deploy for Triton's Python backend: the file of a picture in, what is in it out.

The Python that Triton runs needs d2deploy and Pillow: pip install 'd2deploy[predict]'.
"""

from __future__ import annotations

import io
import json
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import triton_python_backend_utils as pb_utils  # Triton's own, which is there in its processes alone

from d2deploy import errors
from d2deploy._ext import Detector, encode_masks
from d2deploy.images import read_image

Found = Mapping[str, Any]


def run_lengths(found: Found) -> np.ndarray:
    """COCO's codes of the masks, at the size of the picture: (N,) of bytes."""
    height, width = found["image_size"]
    return np.array(encode_masks(found["masks"], found["boxes"], height, width), dtype=object)


# What config.pbtxt may name as outputs, as far as the model gives it.
OUTPUTS: dict[str, Callable[[Found], np.ndarray]] = {
    "image_size": lambda found: np.array(found["image_size"], np.int64),
    "boxes": lambda found: found["boxes"],
    "scores": lambda found: found["scores"],
    "classes": lambda found: found["classes"],
    "masks": run_lengths,
    "keypoints": lambda found: np.ascontiguousarray(found["keypoints"][:, :, [0, 1, 3]]),  # x, y, probability
    "panoptic_map": lambda found: found["panoptic_map"],
    "class_map": lambda found: found["class_map"],
}
# Of d2deploy, which code of Triton tells them; the first that fits counts.
CODES = (
    (errors.InvalidArgument, pb_utils.TritonError.INVALID_ARG),
    (errors.Unsupported, pb_utils.TritonError.UNSUPPORTED),
    (errors.Error, pb_utils.TritonError.INTERNAL),
)


class TritonPythonModel:
    """What Triton makes one of for each instance."""

    def initialize(self, args: Mapping[str, str]) -> None:
        """Loads the model from the folder of its version; what is wrong with it, or with config.pbtxt, is raised."""
        config = json.loads(args["model_config"])
        parameters = {name: value["string_value"] for name, value in config.get("parameters", {}).items()}
        if unknown := set(parameters) - {"threads", "precision"}:
            raise errors.InvalidArgument(
                f"config.pbtxt: parameter {min(unknown)!r} is unknown; known: threads, precision"
            )
        self._names = [output["name"] for output in config["output"]]
        if wrong := [name for name in self._names if name not in OUTPUTS]:
            raise errors.InvalidArgument(f"config.pbtxt: output {wrong[0]!r} is unknown; known: {', '.join(OUTPUTS)}")
        on_gpu = args["model_instance_kind"] == "GPU"
        folder = Path(args["model_repository"]) / args["model_version"]
        self._detector = Detector(
            folder / "model.pb",
            folder / "model_init.pb",
            device=f"cuda:{args['model_instance_device_id']}" if on_gpu else "cpu",
            precision=parameters.get("precision", "float32"),
            threads=int(parameters.get("threads", "1")),
        )
        # A first prediction, of any picture, tells what the model gives, and makes ready what later ones need.
        found = self._detector.predict(np.zeros((64, 64, 3), np.uint8), "RGB")
        if missing := [name for name in self._names if name not in found]:
            raise errors.InvalidArgument(
                f"config.pbtxt: output {missing[0]!r} is none of this model; it has: "
                f"{', '.join(name for name in OUTPUTS if name in found)}"
            )

    def execute(self, requests: Sequence[Any]) -> list[Any]:
        """A response for each request: a picture that cannot be read is the fault of its own request alone."""
        return [self._response(request) for request in requests]

    def _response(self, request: Any) -> Any:
        try:
            elements = pb_utils.get_input_tensor_by_name(request, "image").as_numpy().reshape(-1)
            found = self._detector.predict(read_image(io.BytesIO(elements[0]), "RGB"), "RGB")
        except errors.Error as error:
            code = next(code for kind, code in CODES if isinstance(error, kind))
            return pb_utils.InferenceResponse(output_tensors=[], error=pb_utils.TritonError(str(error), code))
        wanted = set(request.requested_output_names())
        tensors = [pb_utils.Tensor(name, OUTPUTS[name](found)) for name in self._names if name in wanted]
        return pb_utils.InferenceResponse(output_tensors=tensors)
