"""Pictures, and what a model finds in them when it is asked in this process, without a server."""

from __future__ import annotations

import io
import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from d2deploy.images import read_image
from load.client import Answer
from load.server import Fault

if TYPE_CHECKING:
    from d2deploy.runtime import Detector

THRESHOLD = 0.5  # of POST /v1/predict, where nothing else is asked for


@dataclass(frozen=True)
class Picture:
    """A picture, and what is right about it.

    Attributes:
        name: of its file.
        data: the file.
        pixels: (H, W, 3) RGB.
        instances: box, score, class and `counts` (of the mask; None: there is none) of all that reach THRESHOLD.
        boxes: (N, 4) of all objects.
    """

    name: str
    data: bytes
    pixels: npt.NDArray[np.uint8]
    instances: list[tuple[list[float], float, int, str | None]]
    boxes: npt.NDArray[np.float32]


def load_detector(model: Path, *, min_size: int | None = None, max_size: int | None = None) -> Detector:
    """The model as `d2deploy serve` loads it, one thread for each prediction."""
    from d2deploy.runtime import Detector

    return Detector(
        model / "model.pb", model / "model_init.pb", mode="throughput", min_size=min_size, max_size=max_size
    )


def load_pictures(model: Path, detector: Detector) -> list[Picture]:
    """Those in the folder of the model, or in its folder `pictures`. Raises Fault where there are none."""
    kinds = (".jpg", ".png")
    folders = [model, model / "pictures"]
    files = sorted(f for folder in folders if folder.is_dir() for f in folder.iterdir() if f.suffix in kinds)
    if not files:
        raise Fault(f"{model}: has no pictures, in .jpg or .png")
    return [_picture(file, detector) for file in files]


def _picture(file: Path, detector: Detector) -> Picture:
    from d2deploy._ext import encode_masks

    data = file.read_bytes()
    pixels = read_image(io.BytesIO(data), "RGB")
    found = detector.predict(pixels, "RGB")
    kept = found["scores"] >= THRESHOLD
    boxes, scores, classes = (found[name][kept] for name in ("boxes", "scores", "classes"))
    counts: Sequence[str | None] = [None] * len(boxes)
    if "masks" in found:
        counts = [text.decode() for text in encode_masks(found["masks"][kept], boxes, *found["image_size"])]
    rows = zip(boxes.tolist(), scores.tolist(), classes.tolist(), counts, strict=True)
    return Picture(file.name, data, pixels, list(rows), found["boxes"])


def check_prediction(answer: Answer, picture: Picture) -> None:
    """Raises Fault where an answer to POST /v1/predict is another than that of this process."""
    said: dict[str, Any] = json.loads(answer.body)
    rows = [(r["box"], r["score"], r["class_id"], r.get("mask", {}).get("counts")) for r in said["instances"]]
    if rows != picture.instances:
        raise Fault(f"{picture.name}: answered {rows[:3]} ..., wanted {picture.instances[:3]} ...")


def check_tensors(answer: Answer, picture: Picture) -> None:
    """Raises Fault where the boxes in an answer of the Open Inference Protocol are not those of this process."""
    length = int(answer.headers.get("inference-header-content-length", len(answer.body)))
    said, rest = json.loads(answer.body[:length]), answer.body[length:]
    for output in said["outputs"]:
        size = output.get("parameters", {}).get("binary_data_size", 0)
        if output["name"] == "boxes":
            flat = np.frombuffer(rest[:size], "<f4") if size else np.array(output["data"], np.float32)
            if not np.array_equal(flat.reshape(output["shape"]), picture.boxes):
                raise Fault(f"{picture.name}: boxes differ from those of this process")
            return
        rest = rest[size:]
    raise Fault(f"{picture.name}: the answer has no boxes")
