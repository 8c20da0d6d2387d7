"""Do the written files compute what the model computes? Both run on one picture, and every output is compared.

The only place of the exporter that reaches the runtime.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
import torch

from d2deploy.errors import InvalidArgument
from d2deploy.export.api import Caffe2Tracer

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
# Where a head predicts the least certain points of a map anew, as PointRend's do, this share of the map may differ by
# more: which points those are is decided between numbers that are almost equal.
OF_REFINED_CELLS = 0.002

OBJECTS = ("bbox_nms", "score_nms", "class_nms", "rpn_rois", "rpn_scores")
PER_DETECTION = ("mask_fcn_probs", "kps_score", "keypoints_out")


@dataclass(frozen=True)
class Row:
    """One output: its shape in the model and in the files, the largest difference, and what is wrong, if anything."""

    output: str
    shape: tuple[int, ...]
    shape_in_files: tuple[int, ...]
    difference: float
    fault: str = ""


class _Objects(NamedTuple):
    """Boxes (R, D), scores (R,), and what sets objects apart: the class, or of proposals the image (R,)."""

    boxes: Array
    scores: Array
    classes: Array
    final: bool = True  # proposals are not: one NMS decision on the edge brings another one up


@dataclass(frozen=True)
class Report:
    """All outputs of one picture; `detections` (or proposals) is None for nets that give maps alone."""

    rows: list[Row]
    detections: int | None
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
        if self.detections == 0 == self.detections_in_files:
            table.append("nothing was detected, so what follows a detection was not compared; choose another image")
        elif self.detections is not None:
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
        threads: of the files' run; 0: as many as the process may use.

    Raises:
        InvalidModel, Unsupported: our runtime does not take the files.
    """
    from d2deploy import runtime  # has the compiled library; converting alone does not need it

    arch = tracer.meta_arch
    mean = arch.model.pixel_mean.flatten().tolist()
    if image.ndim != 3 or len(image) != len(mean) or 0 in image.shape:
        raise InvalidArgument(
            f"image: must be ({len(mean)}, H, W), as many channels as the model takes; got {image.shape}"
        )
    inputs = tracer.feed(image)
    wanted = {
        name: tensor.cpu().numpy()
        for name, tensor in tracer.run(*(torch.from_numpy(array) for array in inputs.values())).items()
    }
    # Copies: the outputs themselves keep all memory of the net.
    found = {name: array.copy() for name, array in runtime.load(directory, threads).run(inputs).items()}
    return compare(wanted, found, arch.refined)


def compare(wanted: dict[str, Array], found: dict[str, Array], refined: Sequence[str] = ()) -> Report:
    """Compares two sets of outputs of one image.

    Args:
        wanted: of the model, by name.
        found: of the files; may hold more.
        refined: names of those whose least certain points were predicted anew.
    """
    reference, others = _objects(wanted), _objects(found)
    pairs = match(wanted, found)
    fault = _fault_of_objects(reference, others, pairs) if reference and others else ""
    rows = []
    for name, values in wanted.items():
        given = found.get(name)
        if given is None:
            rows.append(Row(name, values.shape, (), float("nan"), "the files have no such output"))
        elif name in (*OBJECTS, *PER_DETECTION):
            i, j = (np.array([p[k] for p in pairs], int) for k in (0, 1))
            bound = None if name in OBJECTS else OF_DETECTION
            share = OF_REFINED_CELLS if name in refined else 0.0
            rows.append(_row(name, values, given, values[i], given[j], bound, fault if bound is None else "", share))
        else:
            share = OF_REFINED_CELLS if name in refined else 0.0
            rows.append(_row(name, values, given, values, given, OF_MAP, "", share))
    return Report(rows, len(reference.scores) if reference else None, len(others.scores) if others else 0, len(pairs))


def _objects(outputs: dict[str, Array]) -> _Objects | None:
    """The detections, or the proposals, among the outputs."""
    if all(name in outputs for name in ("bbox_nms", "score_nms", "class_nms")):
        return _Objects(outputs["bbox_nms"], outputs["score_nms"], outputs["class_nms"])
    if all(name in outputs for name in ("rpn_rois", "rpn_scores")):
        return _Objects(outputs["rpn_rois"][:, 1:], outputs["rpn_scores"], outputs["rpn_rois"][:, 0], final=False)
    return None


def _row(
    name: str, wanted: Array, found: Array, a: Array, b: Array, bound: float | None, fault: str, share: float
) -> Row:
    """Compares what stands side by side in `a` and `b`, to a bound on the spread of `a`; a share may be beyond it."""
    if a.shape != b.shape:
        return Row(name, wanted.shape, found.shape, float("nan"), "the shapes differ")
    if not a.size:
        return Row(name, wanted.shape, found.shape, 0.0, fault)
    a, b = a.astype(np.float64), b.astype(np.float64)
    difference = float(np.abs(a - b).max())
    if bound is not None and not difference <= bound * (a.std() or 1.0):
        beyond = 1 - np.count_nonzero(np.abs(a - b) <= bound * (a.std() or 1.0)) / a.size
        if not share:
            fault = f"differs by {difference / (a.std() or 1.0):.2g} of the spread, at most {bound:g} is expected"
        elif beyond > share:
            fault = f"{beyond:.2g} of it differs by more than {bound:g} of the spread, at most {share:g} is expected"
    return Row(name, wanted.shape, found.shape, difference, fault)


def match(wanted: dict[str, Array], found: dict[str, Array]) -> list[tuple[int, int]]:
    """Pairs (row in `wanted`, row in `found`) of detections or proposals that are the same object."""
    reference, others = _objects(wanted), _objects(found)
    pairs: list[tuple[int, int]] = []
    if reference is None or others is None:
        return pairs
    free = np.ones(len(others.scores), bool)
    for i, box in enumerate(reference.boxes):
        same = free & (others.classes == reference.classes[i])
        same &= np.abs(others.scores - reference.scores[i]) <= SCORE_TOLERANCE
        gaps = np.where(same, np.abs(others.boxes - box).max(axis=1, initial=0.0), np.inf)
        if len(gaps) and gaps.min() <= BOX_TOLERANCE:
            pairs.append((i, int(gaps.argmin())))
            free[pairs[-1][1]] = False
    return pairs


def _fault_of_objects(wanted: _Objects, found: _Objects, pairs: list[tuple[int, int]]) -> str:
    count, others = len(wanted.scores), len(found.scores)
    paired = {i for i, _ in pairs}
    lost = [i for i in range(count) if i not in paired and wanted.scores[i] > wanted.scores.min() + CLEAR]
    unsure = max(1, (1 - MATCHED) * count)
    if len(pairs) < MATCHED * count or len(lost) > (0 if found.final else unsure) or abs(count - others) > unsure:
        kind = "detections" if wanted.final else "proposals"
        return f"{len(pairs)} of {count} {kind} matched, {others} in the files"
    return ""
