"""The models of a server: their folders, versions, and what they say of themselves."""

from __future__ import annotations

import threading
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from d2deploy.errors import InvalidModel
from d2deploy.padding import Padding, net_inputs
from d2deploy.serving.errors import NotFound, Unavailable
from d2deploy.serving.logs import LOGGER, fields
from d2deploy.serving.tensors import datatype_of

if TYPE_CHECKING:
    from d2deploy._ext import Detector, Model

__all__ = ["Entry", "Repository", "ServedModel", "TensorSpec"]

# A picture that is long and low becomes small where models resize to a longest side, so that trying a model is quick.
PROBE_SHAPE = (32, 640, 3)
PROBE_BOX = (0.0, 0.0, 32.0, 32.0)
FILES = ("model.pb", "model_init.pb")
# Detectron2's standard deviations of annotations, for COCO's keypoints of persons: files with others have other points.
PERSON_SIGMAS = (26, 25, 25, 35, 35, 79, 79, 72, 72, 62, 62, 107, 107, 87, 87, 89, 89)  # thousandths
PERSON_KEYPOINTS = (
    *("nose", "left_eye", "right_eye", "left_ear", "right_ear", "left_shoulder", "right_shoulder", "left_elbow"),
    *("right_elbow", "left_wrist", "right_wrist", "left_hip", "right_hip", "left_knee", "right_knee"),
    *("left_ankle", "right_ankle"),
)


@dataclass(frozen=True)
class TensorSpec:
    """An input or output; -1 in its shape is a dimension that varies."""

    name: str
    datatype: str
    shape: tuple[int, ...]


@dataclass(frozen=True)
class ServedModel:
    """A version of a model, loaded. Any number of threads may use it.

    Attributes:
        name: of the model.
        version: a number.
        detector: predicts pictures.
        net: gives raw outputs; None: not asked for.
        found: what the detector gave for a picture: names and shapes of what it finds.
        raw: likewise the outputs of the net.
    """

    name: str
    version: str
    detector: Detector
    net: Model | None
    found: Mapping[str, Any]
    raw: Mapping[str, npt.NDArray[Any]]

    @classmethod
    def load(cls, name: str, version: str, folder: Path, options: Mapping[str, Any], tensors: bool) -> ServedModel:
        """Reads the files and tries the model.

        Raises:
            InvalidArgument, InvalidModel, Unsupported, DeviceError: as `Detector`.
        """
        from d2deploy._ext import Detector, Model

        paths = [folder / file for file in FILES]
        detector = Detector(*paths, **options)
        boxes = np.array([PROBE_BOX], np.float32) if detector.takes_proposals else None
        width = min(PROBE_SHAPE[1], detector.input["square_size"] or PROBE_SHAPE[1])
        picture = np.zeros((PROBE_SHAPE[0], width, detector.input["channels"]), np.uint8)
        found = detector.predict(picture, "as is", boxes)
        net, raw = None, {}
        if tensors:
            threads = 1 if options.get("mode") == "throughput" else options.get("threads", 0)
            own = ("device", "precision", "calibration", "low_memory", "tune")
            net = Model(*paths, threads=threads, **{key: options[key] for key in own if key in options})
            rule = detector.input
            feed = dict(net_inputs(picture.transpose(2, 0, 1), rule["pixel_mean"], Padding.of(rule)))
            feed["proposals"] = np.array([[0, *PROBE_BOX]], np.float32)
            raw = net.run({key: feed[key] for key in net.inputs})
        return cls(name, version, detector, net, found, raw)

    @property
    def kind(self) -> str:
        """Detectron2's name of its architecture."""
        return str(self.detector.info["meta_architecture"])

    @cached_property
    def keypoint_names(self) -> list[str]:
        """Where they are COCO's of persons; files of others do not tell them."""
        sigmas = self.detector.info.get("keypoint_oks_sigmas") or ()
        same = [round(1000 * sigma) for sigma in sigmas] == list(PERSON_SIGMAS)
        return list(PERSON_KEYPOINTS) if same and "keypoints" in self.found else []

    @cached_property
    def inputs(self) -> list[TensorSpec]:
        """Of both forms of a request: the picture, and the tensors of the net where they are taken."""
        specs = [TensorSpec("image", "BYTES", (1,))]
        if self.detector.takes_proposals:
            specs.append(TensorSpec("proposals", "FP32", (-1, -1)))
        if self.net:
            specs.append(TensorSpec("data", "FP32", (-1, self.detector.input["channels"], -1, -1)))
            specs += [TensorSpec("im_info", "FP32", (-1, 3))] if "im_info" in self.net.inputs else []
        return specs

    @cached_property
    def outputs(self) -> list[TensorSpec]:
        """Of both forms, the picture's first."""
        specs = [TensorSpec("image_size", "INT64", (2,))]
        if "class_map" in self.found:
            specs.append(TensorSpec("class_map", "INT32", (-1, -1)))
        else:
            specs.append(TensorSpec("boxes", "FP32", (-1, self.found["boxes"].shape[1])))
            specs.append(TensorSpec("scores", "FP32", (-1,)))
        if "classes" in self.found:
            specs.append(TensorSpec("classes", "INT64", (-1,)))
        if "masks" in self.found:
            specs.append(TensorSpec("masks", "BYTES", (-1,)))
        if "keypoints" in self.found:
            specs.append(TensorSpec("keypoints", "FP32", (-1, self.found["keypoints"].shape[1], 3)))
        if "panoptic_map" in self.found:
            specs += [TensorSpec("panoptic_map", "INT32", (-1, -1)), TensorSpec("segments", "BYTES", (-1,))]
        for name, array in self.raw.items():
            specs.append(TensorSpec(name, datatype_of(array), (-1,) * array.ndim))
        return specs

    def describe(self) -> dict[str, Any]:
        """What GET /v1/models tells of it."""
        said = {
            "kind": self.kind,
            "class_names": self.detector.class_names,
            "stuff_class_names": self.detector.stuff_class_names,
            "input_format": self.detector.input["input_format"],
            "precision": self.detector.precision,
            "takes_proposals": self.detector.takes_proposals,
            "outputs": [spec.name for spec in self.outputs[: len(self.outputs) - len(self.raw)]],
        }
        return {**said, "keypoint_names": self.keypoint_names} if self.keypoint_names else said


@dataclass
class Entry:
    """A name, and what is loaded under it.

    Attributes:
        name: of the model.
        folder: with its files, or with a folder for each version.
        versions: those that are loaded; replaced as a whole, never changed.
        reason: why the last load failed, for clients; empty where it did not.
    """

    name: str
    folder: Path
    versions: Mapping[str, ServedModel] = field(default_factory=dict)
    reason: str = ""

    @property
    def default(self) -> ServedModel:
        """The highest version. Raises Unavailable where none is loaded."""
        versions = self.versions
        if not versions:
            raise Unavailable(f"model {self.name!r} is not loaded")
        return versions[max(versions, key=int)]


def version_folders(folder: Path) -> dict[str, Path]:
    """The versions in a model's folder: those of its subfolders 1, 2, ... that hold a model, or itself as 1.

    Raises:
        InvalidModel: there is neither.
    """
    if (folder / FILES[0]).is_file():
        return {"1": folder}
    numbers = [sub.name for sub in folder.iterdir() if sub.name.isdecimal()] if folder.is_dir() else []
    numbers = [number for number in numbers if (folder / number / FILES[0]).is_file()]
    found = {str(int(number)): folder / number for number in numbers}
    if len(found) != len(numbers):
        raise InvalidModel(f"{folder}: has two folders of one version: {', '.join(sorted(numbers))}; remove one")
    if not found:
        raise InvalidModel(f"{folder}: has neither {FILES[0]} nor folders 1, 2, ... with one")
    return found


class Repository:
    """All models of a server.

    Args:
        folders: of the models, by name.
        options: of `Detector`.
        tensors: nets are loaded too, for raw outputs.
    """

    def __init__(self, folders: Mapping[str, Path], options: Mapping[str, Any], tensors: bool) -> None:
        self.entries = {name: Entry(name, folder) for name, folder in folders.items()}
        self._options = dict(options)
        self._tensors = tensors
        self._loading = threading.Lock()
        self._unloaded: set[str] = set()

    def entry(self, name: str) -> Entry:
        """Raises NotFound."""
        if name not in self.entries:
            raise NotFound(f"there is no model {name!r}" if len(name) <= 64 else "there is no such model")
        return self.entries[name]

    def find(self, name: str, version: str = "") -> ServedModel:
        """A version of a model, by default the highest.

        Raises:
            NotFound: there is none.
            Unavailable: it is not loaded.
        """
        entry = self.entry(name)
        if not version:
            return entry.default
        if version not in entry.versions:
            raise NotFound(f"model {name!r} has no such version; loaded: {', '.join(entry.versions) or 'none'}")
        return entry.versions[version]

    @property
    def ready(self) -> bool:
        """Whether all models are loaded that should be."""
        return all(entry.versions or name in self._unloaded for name, entry in self.entries.items())

    def load(self, name: str) -> None:
        """Loads all versions of a model anew. Requests that have begun end on those that were there, and where the
        new ones cannot be loaded, all go on with them.

        Raises:
            NotFound: there is no such model.
            InvalidArgument, InvalidModel, Unsupported, DeviceError: as `ServedModel.load`.
        """
        entry = self.entry(name)
        with self._loading:
            try:
                versions = {
                    version: ServedModel.load(name, version, folder, self._options, self._tensors)
                    for version, folder in sorted(version_folders(entry.folder).items(), key=lambda item: int(item[0]))
                }
            except Exception as error:
                entry.reason = f"the last load failed: {type(error).__name__}"
                raise
            entry.versions, entry.reason = versions, ""
            self._unloaded.discard(name)
        LOGGER.info("loaded", extra=fields(model=name, versions=list(versions)))

    def unload(self, name: str) -> None:
        """Lets a model go; requests that have begun end on it. Raises NotFound."""
        entry = self.entry(name)
        with self._loading:
            entry.versions, entry.reason = {}, "unloaded"
            self._unloaded.add(name)
        LOGGER.info("unloaded", extra=fields(model=name))

    def load_all(self) -> None:
        """Raises what `load` raises, of the first model that cannot be loaded."""
        for name in self.entries:
            self.load(name)

    def index(self, ready: bool) -> list[dict[str, str]]:
        """Each version, and each model without one: `name`, `version`, `state`, `reason`.

        Args:
            ready: leave out what is not loaded.
        """
        rows = []
        for name, entry in self.entries.items():
            for version in entry.versions:
                rows.append({"name": name, "version": version, "state": "READY", "reason": entry.reason})
            if not entry.versions and not ready:
                rows.append({"name": name, "version": "", "state": "UNAVAILABLE", "reason": entry.reason})
        return rows

    def describe(self) -> list[dict[str, Any]]:
        """What GET /v1/models gives: the models that are loaded."""
        rows = []
        for name, entry in self.entries.items():
            versions = entry.versions
            if versions:
                default = versions[max(versions, key=int)]
                head = {"name": name, "versions": list(versions), "default_version": default.version}
                rows.append({**head, **default.describe()})
        return rows
