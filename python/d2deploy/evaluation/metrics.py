"""How good predictions are, in numbers: as a plain structure, as JSON, as a table."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from pathlib import Path

from d2deploy.errors import InvalidArgument

__all__ = ["Metrics", "format_table", "missing_numbers", "write_metrics"]

# Task ("bbox", "segm", "keypoints", "panoptic", "sem_seg") -> metric ("AP", "AP50", "PQ", "mIoU", ..., "AP-<class>")
# -> percent, NaN where there is none.
Metrics = dict[str, dict[str, float]]


def write_metrics(path: str | Path, metrics: Metrics) -> None:
    """Writes metrics as JSON: an object of tasks, each an object of metrics in percent, null where there is none.

    Raises:
        InvalidArgument: the file cannot be written.
    """
    plain = {
        task: {name: float(value) if math.isfinite(value) else None for name, value in row.items()}
        for task, row in metrics.items()
    }
    try:
        Path(path).write_text(json.dumps(plain, indent=1, allow_nan=False) + "\n", encoding="utf-8")
    except (OSError, ValueError) as error:  # ValueError: a path that can be no path
        raise InvalidArgument(f"{path}: cannot be written: {error}; wanted a file for the metrics") from error


def missing_numbers(metrics: Metrics) -> list[str]:
    """A sentence for each task on its metrics without a number, and why they have none."""
    reasons = {
        "panoptic": "no segment of the kind is annotated or found",
        "sem_seg": "no pixel of the class is annotated",
    }
    told = []
    for task, row in metrics.items():
        names = [name for name, value in row.items() if not math.isfinite(value)]
        reason = reasons.get(task, "no object of the size or class is annotated, or the model found nothing")
        if names:
            told.append(f"{task}: no number for {', '.join(names)}: {reason}")
    return told


def format_table(answers: Mapping[str, Metrics]) -> str:
    """Text with a row for each metric and a column for each answer; with two answers, their difference too.

    Args:
        answers: the metrics by the names that head their columns.
    """
    rows = list(
        dict.fromkeys((task, name) for metrics in answers.values() for task in metrics for name in metrics[task])
    )
    heads = [*answers, *(["difference"] if len(answers) == 2 else [])]
    lines = [["", *heads]]
    for task, name in rows:
        values = [metrics.get(task, {}).get(name, float("nan")) for metrics in answers.values()]
        cells = [f"{value:.3f}" for value in values]
        if len(values) == 2:
            difference = round(values[1] - values[0], 3) + 0.0  # no -0.000
            cells.append("" if math.isnan(difference) else f"{difference:+.3f}")
        lines.append([f"{task} {name}", *cells])
    widths = [max(len(line[column]) for line in lines) for column in range(len(heads) + 1)]
    return "\n".join(
        "  ".join(
            [line[0].ljust(widths[0]), *(cell.rjust(width) for cell, width in zip(line[1:], widths[1:], strict=True))]
        ).rstrip()
        for line in lines
    )
