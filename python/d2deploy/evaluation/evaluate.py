"""A predictor over a data set: AP, panoptic quality and semantic segmentation, as far as it is annotated."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from tqdm import tqdm

from d2deploy.errors import InvalidArgument, Unsupported
from d2deploy.images import ImageReader

from .ap import FIELDS, checked_sigmas, precision_of, why_not
from .checks import say
from .classes import Classes, check_classes, count_of
from .coco import CocoDataset
from .metrics import Metrics
from .panoptic import PanopticDataset
from .quality import PanopticQuality
from .records import check_size
from .results import Result, to_array, to_results
from .semantic import SemanticDataset, SemanticQuality, check_highest

__all__ = ["TASKS", "Predictor", "evaluate"]

# Of one image: what a Detectron2 model takes and gives, a dict with `image`, `height`, `width` -> one with `instances`.
Predictor = Callable[[dict[str, Any]], Mapping[str, Any]]

PANOPTIC, SEMANTIC = "panoptic", "sem_seg"
TASKS = (*FIELDS, PANOPTIC, SEMANTIC)
# What a model must give for a task.
FIELD = {"bbox": "pred_boxes", "segm": "pred_masks", "keypoints": "pred_keypoints"}


def evaluate(
    dataset: CocoDataset | PanopticDataset | SemanticDataset,
    predictor: Predictor,
    reader: ImageReader,
    *,
    tasks: Sequence[str] | None = None,
    panoptic: PanopticDataset | None = None,
    semantic: SemanticDataset | None = None,
    classes: Classes = None,
    stuff_classes: Classes = None,
    keypoint_sigmas: Sequence[float] = (),
    max_detections: int = 100,
    progress: str | None = None,
) -> Metrics:
    """AP of a predictor on a data set in percent, its panoptic quality, and how well its semantic maps agree.

    Args:
        dataset: the data set.
        predictor: called for each image, with what `reader` makes of it (`image` uint8 (3, H', W') resized, `height`
            and `width` of the file) and its `file_name` and `image_id`; gives a dict with `instances`, in pixels of the
            file, for panoptic quality with `panoptic_seg`, for semantic maps with `sem_seg`.
        reader: as the model wants its images.
        tasks: among "bbox", "segm", "keypoints", "panoptic", "sem_seg"; by default all that model and annotations have.
            What the model has and the annotations lack is left out, and that is shown.
        panoptic: the same images with panoptic annotations, where `dataset` is not such a data set itself.
        semantic: the same images with label maps, likewise; without it, those that panoptic annotations amount to.
        classes: the model's names of classes, or their number, as far as known: what differs is shown.
        stuff_classes: the same for the classes of semantic maps, of which 0 stands for all things.
        keypoint_sigmas, max_detections: as in `average_precision`.
        progress: the name of a progress bar on stderr; None: no bar.

    Returns:
        Task -> metric -> percent, as `average_precision`, `PanopticQuality` and `SemanticQuality`.

    Raises:
        InvalidArgument: as `average_precision`, `PanopticQuality`, `SemanticQuality` and `read_image`; tasks that the
            annotations cannot tell, or the model does not predict; an image that has another size than its annotations.
        Unsupported: a predictor that gives no instances.
    """
    objects = dataset if isinstance(dataset, CocoDataset) else None
    segments = dataset if isinstance(dataset, PanopticDataset) else panoptic
    areas = dataset if isinstance(dataset, SemanticDataset) else semantic or segments
    _check_tasks(tasks, objects, segments, areas)
    _check_keypoints(tasks, objects, keypoint_sigmas)
    run = _Run(objects, segments, areas, tasks)
    run.check_classes(classes, stuff_classes)
    for image in tqdm(dataset, desc=progress, disable=progress is None, unit="image"):
        inputs = reader(image["file_name"])
        check_size(image, [(inputs["height"], inputs["width"])], dataset.source)
        run.add(image, predictor({**inputs, "file_name": image["file_name"], "image_id": image["image_id"]}))
    return run.metrics(keypoint_sigmas, max_detections)


def _check_tasks(
    tasks: Sequence[str] | None,
    objects: CocoDataset | None,
    segments: PanopticDataset | None,
    areas: PanopticDataset | SemanticDataset | None,
) -> None:
    """What is asked for must be known, and be annotated: better known before minutes of predicting."""
    if tasks is not None and (isinstance(tasks, str) or not tasks):
        raise InvalidArgument(f"tasks are {tasks!r}, wanted a list of some of {', '.join(TASKS)}")
    for task in tasks or ():
        if task not in TASKS:
            raise InvalidArgument(f"task {task!r} is not known; known: {', '.join(TASKS)}")
        if task == PANOPTIC and segments is None:
            raise InvalidArgument(
                "task 'panoptic' needs annotations in COCO's panoptic format; give them as `panoptic`"
            )
        if task == SEMANTIC and areas is None:
            raise InvalidArgument("task 'sem_seg' needs label maps, or annotations in COCO's panoptic format")
        if task in FIELDS and objects is None:
            raise InvalidArgument(
                f"task {task!r} needs annotations of objects in COCO's format, the data set has segments alone"
            )
        lacking = objects.lacking(FIELDS[task]) if objects and task in ("segm", "keypoints") else ""
        if objects and lacking:
            raise InvalidArgument(f"{objects.json_file}: {lacking}, which {task} AP needs; ask for other tasks")
    if objects and segments:
        lost = [image["image_id"] for image in segments if objects.image(image["image_id"]) is None]
        if lost or len(objects) != len(segments):
            raise InvalidArgument(
                f"{segments.json_file}: has other images than {objects.json_file}"
                f"{f', as {lost[0]!r}' if lost else ''}; wanted panoptic annotations of the same images"
            )


def _check_keypoints(tasks: Sequence[str] | None, objects: CocoDataset | None, sigmas: Sequence[float]) -> None:
    checked_sigmas(sigmas)
    asked = len(sigmas) > 0 and "keypoints" in (tasks or ())  # without sigmas the model may have no keypoints at all
    reason = why_not(objects, [], "keypoints", sigmas) if objects and asked else ""
    if reason:
        raise InvalidArgument(f"{reason}, which keypoints AP needs; ask for other tasks, or give other sigmas")


@dataclass
class _Run:
    """What was predicted so far."""

    objects: CocoDataset | None
    segments: PanopticDataset | None
    areas: PanopticDataset | SemanticDataset | None
    tasks: Sequence[str] | None
    most_classes: int | None = None  # what is predicted of others is left out
    results: list[Result] = field(default_factory=list)
    quality: PanopticQuality | None = None
    of_pixels: SemanticQuality | None = None
    stuff: Classes = None  # the model's classes of semantic maps
    started: bool = False

    def check_classes(self, classes: Classes, stuff: Classes) -> None:
        if self.objects:
            self.most_classes = check_classes(classes, self.objects.class_names, self.objects.json_file)
        self.stuff = stuff
        if isinstance(self.areas, SemanticDataset) and self._wanted(SEMANTIC) and (count := count_of(stuff)):
            check_highest(self.areas.classes, count, str(self.areas.source))
        of_segments = self._wanted(PANOPTIC) or (self.areas is self.segments and self._wanted(SEMANTIC))
        if not self.segments or not of_segments:
            return
        names, file = self.segments.names, self.segments.json_file
        parts = (
            (classes, self.segments.thing_ids, "classes of things"),
            (_without_things(stuff), self.segments.stuff_ids, "classes of stuff"),
        )
        for model, ids, kind in parts:
            if check_classes(model, [names[key] for key in ids], file, kind) is not None:
                raise InvalidArgument(f"{file}: has {len(ids)} {kind}, the model has {count_of(model)}; wanted as many")

    def _wanted(self, task: str) -> bool:
        return self.tasks is None or task in self.tasks

    def add(self, image: Any, answer: Mapping[str, Any]) -> None:
        if not self.started:
            self._start(answer)
        if self.objects and any(map(self._wanted, FIELDS)):
            self.results += to_results(self._counting(answer["instances"]), image)
        for counting, name in ((self.quality, "panoptic_seg"), (self.of_pixels, "sem_seg")):
            if counting and name not in answer:
                raise Unsupported(f"image {image['image_id']}: the model gives no {name}, as it did before")
            if counting:
                counting.add(image, answer[name])

    def _start(self, answer: Mapping[str, Any]) -> None:
        """The first answer tells what the model gives."""
        self.started = True
        given = ", ".join(answer) or "nothing"
        self._start_semantic(answer, given)
        if self.segments and self._wanted(PANOPTIC):
            if "panoptic_seg" in answer:
                self.quality = PanopticQuality(self.segments)
            elif self.tasks or not (self.objects or self.of_pixels):
                raise Unsupported(f"the model gives {given}, but no panoptic_seg, so it has no panoptic quality")
            else:
                say(f"panoptic quality is left out: the model gives {given}, but no panoptic_seg")
        if not self.objects or not any(map(self._wanted, FIELDS)):
            return
        if "instances" not in answer:
            raise Unsupported(f"the model gives {given}, but no instances, so it has no AP in COCO's sense")
        for task in self.tasks or ():
            if task in FIELD and not answer["instances"].has(FIELD[task]):
                raise InvalidArgument(f"the model gives no {FIELD[task]}, which {task} AP needs; ask for other tasks")

    def _start_semantic(self, answer: Mapping[str, Any], given: str) -> None:
        if not self.areas or not self._wanted(SEMANTIC):
            return
        if "sem_seg" in answer:
            classes = self.stuff or len(answer["sem_seg"])
            names = self.areas.semantic_names if isinstance(self.areas, PanopticDataset) else classes
            self.of_pixels = SemanticQuality(self.areas, names)
        elif self.tasks or not (self.objects or self.segments):
            raise Unsupported(
                f"the model gives {given}, but no sem_seg, so there is nothing to compare label maps with"
            )
        elif self.areas is not self.segments:
            say(f"the label maps are left out: the model gives {given}, but no sem_seg")

    def _counting(self, instances: Any) -> Any:
        """The instances of classes that count."""
        if self.most_classes is None:
            return instances
        return instances[np.flatnonzero(to_array(instances.pred_classes) < self.most_classes)]

    def metrics(self, keypoint_sigmas: Sequence[float], max_detections: int) -> Metrics:
        found: Metrics = {}
        asked = None if self.tasks is None else [task for task in self.tasks if task in FIELDS]
        if self.objects and asked != []:
            found = precision_of(
                self.objects,
                self.results,
                tasks=asked,
                keypoint_sigmas=keypoint_sigmas,
                max_detections=max_detections,
            )
        if self.quality:
            found[PANOPTIC] = self.quality.metrics()
        if self.of_pixels:
            found[SEMANTIC] = self.of_pixels.metrics()
        return found


def _without_things(stuff: Classes) -> Classes:
    """Semantic maps have a class for all things, 0, which is no category."""
    return stuff if stuff is None else stuff - 1 if isinstance(stuff, int) else stuff[1:]
