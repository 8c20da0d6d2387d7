"""Do the written files compute what the model computes? Both run on one picture, and every output is compared.

The only place of the exporter that runs files.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch

from d2deploy.export.api import Caffe2Tracer
from d2deploy.export.inputs import net_inputs

Array = npt.NDArray[Any]

# Detections are the same object where class, corners (pixels) and score agree to this.
BOX_TOLERANCE = 0.05
SCORE_TOLERANCE = 0.002
# So much of the detections must be found again: those at the edge of a threshold may fall to either side of it.
MATCHED = 0.99
# A score this far above the lowest one that was kept is beyond doubt; such a detection must be found again.
CLEAR = 0.005
# Values may differ by this share of the reference's spread: what belongs to a detection, and other maps.
OF_DETECTION = 0.01
OF_MAP = 0.002

DETECTION = ("bbox_nms", "score_nms", "class_nms")
PER_DETECTION = ("mask_fcn_probs", "kps_score", "keypoints_out")


@dataclass(frozen=True)
class Row:
    """One output: its shape in the model and in the files, the largest difference, and what is wrong, if anything."""

    output: str
    shape: tuple[int, ...]
    shape_in_files: tuple[int, ...]
    difference: float
    fault: str = ""


@dataclass(frozen=True)
class Report:
    """All outputs of one picture."""

    rows: list[Row]
    detections: int
    detections_in_files: int
    matched: int

    @property
    def agrees(self) -> bool:
        return not any(row.fault for row in self.rows)

    def __str__(self) -> str:
        """A table, output by output."""
        lines = [("output", "shape", "largest difference", "")]
        for row in self.rows:
            shape = " x ".join(map(str, row.shape))
            if row.shape != row.shape_in_files:
                shape += f" (files: {' x '.join(map(str, row.shape_in_files))})"
            lines.append((row.output, shape, f"{row.difference:.3g}", row.fault or "ok"))
        widths = [max(len(line[i]) for line in lines) for i in range(3)]
        table = [f"{a:<{widths[0]}}  {b:<{widths[1]}}  {c:>{widths[2]}}  {d}".rstrip() for a, b, c, d in lines]
        if self.detections or self.detections_in_files:
            table.append(
                f"detections: {self.detections} in PyTorch, {self.detections_in_files} in the files, "
                f"{self.matched} matched"
            )
        return "\n".join(table)


def verify(tracer: Caffe2Tracer, directory: str | Path, image: Array, threads: int = 0) -> Report:
    """Runs the traced model in PyTorch and the written files in our runtime.

    Args:
        tracer: what the files were made by.
        directory: the folder with `model.pb` and `model_init.pb`.
        image: (C, H, W), 0 to 255, resized as the model wants it.
        threads: of the files' run; 0: as many as there are cores.

    Raises:
        InvalidModel, Unsupported: our runtime does not take the files.
    """
    from d2deploy import _ext  # the compiled library; converting alone does not need it

    arch = tracer.meta_arch
    inputs = net_inputs(image, arch.model.pixel_mean.flatten().tolist(), arch.size_divisibility)
    wanted = {
        name: tensor.cpu().numpy()
        for name, tensor in tracer.run(*(torch.from_numpy(inputs[i]) for i in ("data", "im_info"))).items()
    }
    files = Path(directory)
    found = _ext.Model(files / "model.pb", files / "model_init.pb", threads=threads).run(inputs)
    return compare(wanted, found)


def compare(wanted: dict[str, Array], found: dict[str, Array]) -> Report:
    """Compares two sets of outputs of one image.

    Args:
        wanted: of the model, by name.
        found: of the files; may hold more.
    """
    pairs: list[tuple[int, int]] = []
    detections = all(name in wanted for name in DETECTION)
    fault = ""
    if detections:
        pairs = match(wanted, found)
        fault = _fault_of_detections(wanted, found, pairs)
    rows = []
    for name, reference in wanted.items():
        values = found.get(name)
        if values is None:
            rows.append(Row(name, reference.shape, (), float("nan"), "the files have no such output"))
        elif detections and name in (*DETECTION, *PER_DETECTION):
            i, j = (np.array([p[k] for p in pairs], int) for k in (0, 1))
            bound = None if name in DETECTION else OF_DETECTION
            rows.append(_row(name, reference, values, reference[i], values[j], bound, fault if bound is None else ""))
        else:
            rows.append(_row(name, reference, values, reference, values, OF_MAP, ""))
    count = len(wanted["bbox_nms"]) if detections else 0
    return Report(rows, count, len(found["bbox_nms"]) if detections else 0, len(pairs))


def _row(name: str, wanted: Array, found: Array, a: Array, b: Array, bound: float | None, fault: str) -> Row:
    """Compares what stands side by side in `a` and `b`, to a bound on the spread of `a`."""
    if a.shape != b.shape:
        return Row(name, wanted.shape, found.shape, float("nan"), "the shapes differ")
    if not a.size:
        return Row(name, wanted.shape, found.shape, 0.0, fault)
    a, b = a.astype(np.float64), b.astype(np.float64)
    difference = float(np.abs(a - b).max())
    if bound is not None and not difference <= bound * (a.std() or 1.0):
        fault = f"differs by {difference / (a.std() or 1.0):.2g} of the spread, at most {bound:g} is expected"
    return Row(name, wanted.shape, found.shape, difference, fault)


def match(wanted: dict[str, Array], found: dict[str, Array]) -> list[tuple[int, int]]:
    """Pairs (row in `wanted`, row in `found`) of detections that are the same object."""
    pairs: list[tuple[int, int]] = []
    free = np.ones(len(found["bbox_nms"]), bool)
    for i, box in enumerate(wanted["bbox_nms"]):
        same = free & (found["class_nms"] == wanted["class_nms"][i])
        same &= np.abs(found["score_nms"] - wanted["score_nms"][i]) <= SCORE_TOLERANCE
        gaps = np.where(same, np.abs(found["bbox_nms"] - box).max(axis=1, initial=0.0), np.inf)
        if len(gaps) and gaps.min() <= BOX_TOLERANCE:
            pairs.append((i, int(gaps.argmin())))
            free[pairs[-1][1]] = False
    return pairs


def _fault_of_detections(wanted: dict[str, Array], found: dict[str, Array], pairs: list[tuple[int, int]]) -> str:
    count, others = len(wanted["bbox_nms"]), len(found["bbox_nms"])
    paired = {i for i, _ in pairs}
    scores = wanted["score_nms"]
    lost = [i for i in range(count) if i not in paired and scores[i] > scores.min() + CLEAR]
    if len(pairs) < MATCHED * count or lost or abs(count - others) > max(1, (1 - MATCHED) * count):
        return f"{len(pairs)} of {count} detections matched, {others} in the files"
    return ""
