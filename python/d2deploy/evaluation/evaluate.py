"""A predictor over a data set: its AP, and tables of several such answers side by side."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from tqdm import tqdm

from d2deploy.errors import InvalidArgument, Unsupported
from d2deploy.images import ImageReader

from .ap import Metrics, average_precision
from .coco import CocoDataset
from .results import Result, to_results

__all__ = ["Predictor", "evaluate", "format_table"]

# Of one image: what a Detectron2 model takes and gives, a dict with `image`, `height`, `width` -> one with `instances`.
Predictor = Callable[[dict[str, Any]], Mapping[str, Any]]


def evaluate(
    dataset: CocoDataset,
    predictor: Predictor,
    reader: ImageReader,
    *,
    tasks: Sequence[str] | None = None,
    keypoint_sigmas: Sequence[float] = (),
    max_detections: int = 100,
    progress: str | None = None,
) -> Metrics:
    """AP of a predictor on a data set, in percent.

    Args:
        dataset: the data set.
        predictor: called for each image, with what `reader` makes of it (`image` uint8 (3, H', W') resized, `height`
            and `width` of the file) and its `file_name` and `image_id`; gives a dict with `instances`, in pixels of the
            file.
        reader: as the model wants its images.
        tasks, keypoint_sigmas, max_detections: as in `average_precision`.
        progress: the name of a progress bar on stderr; None: no bar.

    Returns:
        Task -> metric -> percent, as `average_precision`.

    Raises:
        InvalidArgument: as `average_precision` and `read_image`; an image that has another size than its annotations.
        Unsupported: a predictor that gives no instances.
    """
    results: list[Result] = []
    for image in tqdm(dataset, desc=progress, disable=progress is None, unit="image"):
        inputs = reader(image["file_name"])
        size, wanted = (inputs["height"], inputs["width"]), (image["height"], image["width"])
        if size != wanted:
            raise InvalidArgument(
                f"{image['file_name']}: is {size[0]} x {size[1]} pixels, but "
                f"{dataset.json_file} says {wanted[0]} x {wanted[1]}"
            )
        answer = predictor({**inputs, "file_name": image["file_name"], "image_id": image["image_id"]})
        if "instances" not in answer:
            raise Unsupported(
                f"the model gives {', '.join(answer) or 'nothing'}, but no instances, so it has no AP in COCO's sense"
            )
        results += to_results(answer["instances"], image)
    return average_precision(
        dataset, results, tasks=tasks, keypoint_sigmas=keypoint_sigmas, max_detections=max_detections
    )


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
