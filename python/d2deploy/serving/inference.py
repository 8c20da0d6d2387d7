"""What is done for a request in a session: its bytes read, the model run, its answer written."""

from __future__ import annotations

import base64
import binascii
import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from d2deploy.errors import InvalidArgument, Unsupported
from d2deploy.results import above
from d2deploy.serving.bodies import picture_in
from d2deploy.serving.engine import Stages
from d2deploy.serving.errors import TooLarge
from d2deploy.serving.models import ServedModel
from d2deploy.serving.pictures import as_json, as_tensors, drawn, read_picture
from d2deploy.serving.protocol import InferRequest, InferResponse
from d2deploy.serving.settings import Limits
from d2deploy.serving.tensors import Tensor, datatype_of, shown

__all__ = ["Inference", "PredictQuery"]

MOST_PROPOSALS = 10_000
NET_INPUTS = {"data", "im_info"}  # by which the form of a request is known; `proposals` are in both


@dataclass(frozen=True)
class PredictQuery:
    """What POST /v1/predict asks for, beside its picture.

    Attributes:
        threshold: least score of what is told.
        png: the picture with what was found drawn on it, not JSON.
    """

    threshold: float = 0.5
    png: bool = False


@dataclass(frozen=True)
class Inference:
    """Answers requests, one after the other in each thread that calls it."""

    limits: Limits

    def predict(
        self, model: ServedModel, body: bytes, content_type: str, query: PredictQuery, stages: Stages
    ) -> tuple[bytes, str]:
        """The answer to POST /v1/predict, and its media type.

        Raises:
            InvalidArgument: the body holds no picture; TooLarge, UnknownMediaType.
            Unsupported: the model needs proposals.
        """
        with stages.of("decode"):
            pixels = read_picture(picture_in(body, content_type), model.detector.input, self.limits)
        if model.detector.takes_proposals:
            raise Unsupported(
                f"model {model.name!r} finds no proposals itself; send them with the picture to "
                f"/v2/models/{model.name}/infer"
            )
        with stages.of("predict"):
            found = above(model.detector.predict(pixels, "RGB"), query.threshold)
        names = model.detector.class_names, model.detector.stuff_class_names
        with stages.of("encode"):
            if query.png:
                answer, kind = drawn(pixels, found, *names), "image/png"
            else:
                result = {"model": model.name, "version": model.version, **as_json(found, *names)}
        if not query.png:
            answer, kind = _with_times(result, stages), "application/json"
        stages.model, stages.pictures = model.name, 1
        return answer, kind

    def infer(self, model: ServedModel, request: InferRequest, stages: Stages) -> InferResponse:
        """The answer to a request of the Open Inference Protocol.

        Raises:
            InvalidArgument: inputs or outputs that are missing, unknown, or not as they should be.
            TooLarge: more pixels or images than there may be.
            Unsupported: tensors of the net are not taken.
        """
        # A name that is neither form's is told as one that the picture's does not have.
        if "image" in request.inputs or not (model.net or NET_INPUTS & set(request.inputs)):
            outputs, pictures = self._picture(model, request, stages), 1
        else:
            outputs, pictures = self._tensors(model, request.inputs, stages)
        stages.model, stages.pictures = model.name, pictures
        return InferResponse(model.name, model.version, request.id, _chosen(outputs, request))

    def _picture(self, model: ServedModel, request: InferRequest, stages: Stages) -> list[Tensor]:
        _check_names(request.inputs, ["image", *(["proposals"] if model.detector.takes_proposals else [])])
        threshold = threshold_of(request.parameters.get("threshold", 0.0))
        with stages.of("decode"):
            pixels = read_picture(_file_in(request.inputs["image"]), model.detector.input, self.limits)
        boxes = None
        if model.detector.takes_proposals:
            boxes = _floats(request.inputs["proposals"], (-1, 4))
            if len(boxes) > MOST_PROPOSALS:
                raise TooLarge(f"there are {len(boxes)} proposals, at most {MOST_PROPOSALS} are taken")
        with stages.of("predict"):
            found = above(model.detector.predict(pixels, "RGB", boxes), threshold)
        with stages.of("encode"):
            return as_tensors(found)

    def _tensors(self, model: ServedModel, inputs: Mapping[str, Tensor], stages: Stages) -> tuple[list[Tensor], int]:
        if model.net is None:
            raise Unsupported(
                "the input 'image' is missing, a picture; tensors of the net are taken where the server was started "
                "with --tensors"
            )
        _check_names(inputs, model.net.inputs)
        images = self._check_images(inputs["data"], model) if "data" in inputs else 1
        with stages.of("predict"):
            raw = model.net.run({name: tensor.array for name, tensor in inputs.items()})
        return [Tensor(name, datatype_of(array), array.shape, array) for name, array in raw.items()], images

    def _check_images(self, data: Tensor, model: ServedModel) -> int:
        """Their number, where they are no more than the net may see; what else is wrong with them the net tells."""
        if data.datatype not in ("FP32", "UINT8") or len(data.shape) != 4:
            raise InvalidArgument(
                f"input 'data': is {data.datatype} of shape {list(data.shape)}, must be FP32 or UINT8 of shape "
                f"[N, {model.detector.input['channels']}, H, W]"
            )
        images, _, height, width = data.shape
        if images * height * width > self.limits.net_pixels:
            raise TooLarge(
                f"input 'data': has {images} images of {width} x {height} pixels, at most {self.limits.net_pixels} "
                "pixels are taken"
            )
        return images


def threshold_of(value: Any) -> float:
    """The least score that a client wants, a number or its text. Raises InvalidArgument."""
    try:
        threshold = math.nan if isinstance(value, bool) else float(value)
    except (TypeError, ValueError, OverflowError):
        threshold = math.nan
    if not 0 <= threshold <= 1:
        raise InvalidArgument(f"threshold is {shown(value)}, must be from 0 to 1")
    return threshold


def _with_times(result: Mapping[str, Any], stages: Stages) -> bytes:
    """The JSON, in which the time that writing it takes stands, too."""
    with stages.of("encode"):
        text = json.dumps(result, allow_nan=False)
    times = dict.fromkeys(("decode", "queue", "predict", "encode"), 0.0) | stages.milliseconds
    return (text[:-1] + f', "milliseconds": {json.dumps(times)}}}').encode()


def _check_names(inputs: Mapping[str, Tensor], wanted: Sequence[str]) -> None:
    missing, unknown = [n for n in wanted if n not in inputs], [n for n in inputs if n not in wanted]
    if missing or unknown:
        said = [f"{shown(missing[0])} is missing"] if missing else []
        said += [f"{shown(unknown[0])} is unknown"] if unknown else []
        raise InvalidArgument(f"inputs: {', '.join(said)}; wanted: {', '.join(wanted)}")


def _file_in(image: Tensor) -> bytes:
    """The picture's file. In JSON, which has no bytes, it is base64."""
    if image.shape not in ((1,), (1, 1)):
        raise InvalidArgument(f"input 'image': shape is {list(image.shape)}, must be [1]: one picture in a request")
    (element,) = image.elements
    if not image.from_json:
        return element
    try:
        return base64.b64decode(element, validate=True)
    except (binascii.Error, ValueError) as error:
        raise InvalidArgument(
            "input 'image': data is no base64; a picture goes into JSON as base64, or behind it as binary data"
        ) from error


def _floats(tensor: Tensor, shape: tuple[int, int]) -> npt.NDArray[np.float32]:
    """Its values. Raises InvalidArgument where they are not FP32, or not of the shape; -1 is any number."""
    wanted = ["n" if side < 0 else side for side in shape]
    fits = len(tensor.shape) == len(shape) and all(want in (-1, side) for want, side in zip(shape, tensor.shape))
    if tensor.datatype != "FP32" or not fits:
        raise InvalidArgument(
            f"input {tensor.name!r}: is {tensor.datatype} of shape {list(tensor.shape)}, must be FP32 of shape {wanted}"
        )
    return tensor.array


def _chosen(outputs: Sequence[Tensor], request: InferRequest) -> list[Tensor]:
    """Those that are asked for, in that order; all where none is."""
    if not request.outputs:
        return list(outputs)
    known = {tensor.name: tensor for tensor in outputs}
    for output in request.outputs:
        if output.name not in known:
            raise InvalidArgument(f"outputs: {shown(output.name)} is unknown; there are: {', '.join(known)}")
    return [known[output.name] for output in request.outputs]
