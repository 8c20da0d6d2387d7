"""The model for Triton's Python backend, with a stand-in for what Triton gives it in its processes."""

from __future__ import annotations

import importlib.util
import json
import shutil
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest
from conftest import ROOT

from d2deploy.errors import InvalidArgument, InvalidModel
from d2deploy.images import read_image

FOLDER = ROOT / "examples" / "deployment" / "triton" / "mask_rcnn"
OUTPUTS = {"image_size": "INT64", "boxes": "FP32", "scores": "FP32", "classes": "INT64", "masks": "STRING"}
TYPES = {"INT64": np.int64, "FP32": np.float32, "STRING": np.object_}


class Tensor:
    """As that of Triton: a name and an array."""

    def __init__(self, name: str, array: Any) -> None:
        self._name, self._array = name, array

    def name(self) -> str:
        return self._name

    def as_numpy(self) -> Any:
        return self._array


class TritonError(Exception):
    """As that of Triton."""

    INVALID_ARG, UNSUPPORTED, INTERNAL = "INVALID_ARG", "UNSUPPORTED", "INTERNAL"

    def __init__(self, message: str, code: str) -> None:
        super().__init__(message)
        self.code = code


@dataclass
class InferenceResponse:
    """As that of Triton."""

    output_tensors: Sequence[Tensor]
    error: TritonError | None = None

    def arrays(self) -> dict[str, Any]:
        return {tensor.name(): tensor.as_numpy() for tensor in self.output_tensors}


@dataclass
class Request:
    """As that of Triton, with one picture."""

    data: bytes
    outputs: Sequence[str] = field(default_factory=lambda: list(OUTPUTS))

    def requested_output_names(self) -> Sequence[str]:
        return self.outputs


def get_input_tensor_by_name(request: Request, name: str) -> Tensor | None:
    return Tensor(name, np.array([request.data], dtype=object)) if name == "image" else None


@pytest.fixture
def backend(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    """The module model.py, as Triton loads it."""
    pytest.importorskip("d2deploy._ext", reason="not built: cmake --preset dev && cmake --build --preset dev")
    stand_in: Any = ModuleType("triton_python_backend_utils")
    for item in (Tensor, TritonError, InferenceResponse, get_input_tensor_by_name):
        setattr(stand_in, item.__name__, item)
    monkeypatch.setitem(sys.modules, "triton_python_backend_utils", stand_in)
    spec = importlib.util.spec_from_file_location("model_of_triton", FOLDER / "1" / "model.py")
    assert spec
    assert spec.loader
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def config(outputs: Sequence[str] = tuple(OUTPUTS), **parameters: str) -> str:
    """As Triton hands config.pbtxt over."""
    return json.dumps(
        {
            "output": [{"name": name} for name in outputs],
            "parameters": {name: {"string_value": value} for name, value in parameters.items()},
        }
    )


def arguments(repository: Path, model_config: str) -> dict[str, str]:
    return {
        "model_config": model_config,
        "model_repository": str(repository),
        "model_version": "1",
        "model_instance_kind": "CPU",
        "model_instance_device_id": "0",
    }


@pytest.fixture
def repository(example: Path, tmp_path: Path) -> Path:
    """A folder with the files of a model in its version 1."""
    (tmp_path / "1").mkdir()
    for name in ("model.pb", "model_init.pb"):
        shutil.copy(example / name, tmp_path / "1")
    return tmp_path


def test_a_picture_is_answered_as_the_detector_answers(backend: Any, repository: Path, example: Path) -> None:
    from d2deploy.runtime import Detector

    model = backend.TritonPythonModel()
    model.initialize(arguments(repository, config(threads="1")))
    (response,) = model.execute([Request((example / "input.png").read_bytes())])
    assert response.error is None
    found = response.arrays()
    detector = Detector(example / "model.pb", example / "model_init.pb", threads=1)
    wanted = detector.predict(read_image(example / "input.png", "RGB"), "RGB")
    assert len(found["boxes"]) > 0
    for name in ("boxes", "scores", "classes"):
        np.testing.assert_array_equal(found[name], wanted[name])
    assert found["image_size"].tolist() == [192, 256]
    assert {name: array.dtype for name, array in found.items()} == {name: TYPES[kind] for name, kind in OUTPUTS.items()}


@pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")  # of pycocotools
def test_masks_are_cocos_run_lengths_of_the_picture(backend: Any, repository: Path, example: Path) -> None:
    decode = pytest.importorskip("pycocotools.mask").decode
    model = backend.TritonPythonModel()
    model.initialize(arguments(repository, config()))
    (response,) = model.execute([Request((example / "input.png").read_bytes(), ["boxes", "masks"])])
    found = response.arrays()
    assert set(found) == {"boxes", "masks"}  # what was not asked for is left out
    for counts, (left, top, right, bottom) in zip(found["masks"], found["boxes"], strict=True):
        rows, columns = np.nonzero(decode({"size": [192, 256], "counts": counts}))
        assert left - 2 <= columns.min() <= columns.max() <= right + 2
        assert top - 2 <= rows.min() <= rows.max() <= bottom + 2


def test_a_wrong_picture_is_the_fault_of_its_own_request(backend: Any, repository: Path, example: Path) -> None:
    model = backend.TritonPythonModel()
    model.initialize(arguments(repository, config()))
    picture = (example / "input.png").read_bytes()
    wrong, right = model.execute([Request(picture[: len(picture) // 2]), Request(picture)])
    assert wrong.error.code == "INVALID_ARG"
    assert wrong.output_tensors == []
    assert right.error is None
    assert len(right.arrays()["boxes"]) > 0


@pytest.mark.parametrize(
    ("outputs", "parameters", "message"),
    [
        (["boxes", "box"], {}, "config.pbtxt: output 'box' is unknown; known: image_size, boxes"),
        (["boxes", "keypoints"], {}, "output 'keypoints' is none of this model; it has: image_size, boxes, scores"),
        (["boxes"], {"thread": "1"}, "config.pbtxt: parameter 'thread' is unknown; known: threads, precision"),
    ],
)
def test_a_wrong_configuration_is_refused(
    backend: Any, repository: Path, outputs: list[str], parameters: dict[str, str], message: str
) -> None:
    with pytest.raises(InvalidArgument, match=message):
        backend.TritonPythonModel().initialize(arguments(repository, config(outputs, **parameters)))


def test_a_folder_without_a_model_is_refused(backend: Any, tmp_path: Path) -> None:
    with pytest.raises((InvalidArgument, InvalidModel), match=r"model\.pb"):
        backend.TritonPythonModel().initialize(arguments(tmp_path, config()))


def test_the_configuration_is_one_of_triton(backend: Any) -> None:
    """By Triton's own definition of it, which its client brings; and it names what model.py gives."""
    python = ROOT / ".venv" / "tritonclient" / "bin" / "python"
    if not python.is_file():
        pytest.skip("the client of Triton is not installed: scripts/setup")
    program = (
        "import sys; from google.protobuf import json_format, text_format\n"
        "from tritonclient.grpc import model_config_pb2\n"
        "config = text_format.Parse(sys.stdin.read(), model_config_pb2.ModelConfig())\n"
        "print(json_format.MessageToJson(config, preserving_proto_field_name=True))"
    )
    text = (FOLDER / "config.pbtxt").read_text()
    result = subprocess.run([python, "-c", program], input=text, capture_output=True, text=True, check=False)
    assert result.returncode == 0, result.stderr
    said = json.loads(result.stdout)
    assert said["name"] == FOLDER.name
    assert [(row["name"], row["data_type"]) for row in said["input"]] == [("image", "TYPE_STRING")]
    assert {row["name"]: row["data_type"] for row in said["output"]} == {k: f"TYPE_{v}" for k, v in OUTPUTS.items()}
    assert set(said["parameters"]) == {"threads", "precision"}
