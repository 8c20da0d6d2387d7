"""The engines that are compared: how each one loads a model's files and runs them. Used in the engines' processes.

Every engine takes the net's inputs, `data` and `im_info`, and gives the outputs that it has under the net's names.
An engine that cannot be had raises, and its message is what the report says.
"""

from __future__ import annotations

import os
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

Arrays = dict[str, npt.NDArray[Any]]
Run = Callable[[Arrays], Arrays]
Load = Callable[[Path, int], Run]


class UnavailableError(Exception):
    """The engine cannot be had here; the message says why, and what helps."""


class Engine(NamedTuple):
    """How an engine is called in tables, the package that it needs and nothing of ours brings, and how it loads."""

    title: str
    package: str
    load: Load


def _ours(precision: str) -> Load:
    def load(folder: Path, threads: int) -> Run:
        from d2deploy.runtime import load as load_files

        options: dict[str, Any] = {}
        if precision == "int8":
            note = folder / "calibration.failed"
            if note.exists():
                raise UnavailableError(note.read_text())
            options["calibration"] = folder / "calibration.txt"
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # what it would warn of is the error
            model = load_files(folder, threads, precision=precision, **options)
        if model.precision != precision:
            raise UnavailableError(f"this CPU has nothing that makes {precision} fast; d2deploy runs float32 then")
        return _taking_its_inputs(model)

    return load


def _taking_its_inputs(model: Any) -> Run:
    """Runs one of our models on those inputs that it has: RetinaNet's has no im_info."""
    names = set(model.inputs)

    def run(inputs: Arrays) -> Arrays:
        found: Arrays = model.run({k: v for k, v in inputs.items() if k in names})
        return found

    return run


def _caffe2(folder: Path, threads: int) -> Run:
    from d2deploy.runtime import Model

    model = Model(folder / "model.pb", folder / "model_init.pb", threads=threads, engine="caffe2")
    return _taking_its_inputs(model)


def _pytorch(channels_last: bool = False, compiled: bool = False) -> Load:
    def load(folder: Path, threads: int) -> Run:
        if compiled:
            os.environ["TORCHINDUCTOR_FREEZING"] = "1"
        import torch

        from benchmarking.eager import eager_run
        from benchmarking.models import load_model

        torch.set_num_threads(threads)
        model = load_model(folder)
        return eager_run(model, channels_last, compiled)

    return load


def _onnxruntime(folder: Path, threads: int) -> Run:
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    options.inter_op_num_threads = 1
    options.log_severity_level = 3  # shapes that are only known in a run are warned of, line by line
    session = onnxruntime.InferenceSession(folder / "standard.onnx", options, providers=["CPUExecutionProvider"])
    names = [output.name for output in session.get_outputs()]
    wanted = {given.name for given in session.get_inputs()}

    def run(inputs: Arrays) -> Arrays:
        return dict(zip(names, session.run(names, {k: v for k, v in inputs.items() if k in wanted}), strict=True))

    return run


def _openvino(precision: str) -> Load:
    def load(folder: Path, threads: int) -> Run:
        import openvino

        core = openvino.Core()
        if precision == "bfloat16" and "BF16" not in core.get_property("CPU", "OPTIMIZATION_CAPABILITIES"):
            raise UnavailableError("OpenVINO has no bfloat16 on this CPU, which lacks AVX512-BF16 and AMX")
        file = folder / ("openvino_int8.xml" if precision == "int8" else "standard.onnx")
        if precision == "int8" and not file.exists():
            note = folder / "openvino_int8.failed"
            raise UnavailableError(note.read_text() if note.exists() else f"{file.name} was not made")
        net = core.compile_model(
            file,
            "CPU",
            {
                "PERFORMANCE_HINT": "LATENCY",
                "INFERENCE_NUM_THREADS": threads,
                "INFERENCE_PRECISION_HINT": "bf16" if precision == "bfloat16" else "f32",
            },
        )
        request = net.create_infer_request()
        names = [port.get_any_name() for port in net.outputs]
        wanted = {name for port in net.inputs for name in port.get_names()}

        def run(inputs: Arrays) -> Arrays:
            found = request.infer({k: v for k, v in inputs.items() if k in wanted}, share_inputs=True)
            return {name: np.array(found[i]) for i, name in enumerate(names)}

        return run

    return load


ENGINES: dict[str, Engine] = {
    "ours-float32": Engine("d2deploy, float32", "", _ours("float32")),
    "ours-bfloat16": Engine("d2deploy, bfloat16", "", _ours("bfloat16")),
    "ours-int8": Engine("d2deploy, int8", "", _ours("int8")),
    "openvino-float32": Engine("OpenVINO, float32", "openvino", _openvino("float32")),
    "openvino-bfloat16": Engine("OpenVINO, bfloat16", "openvino", _openvino("bfloat16")),
    "openvino-int8": Engine("OpenVINO, int8 by NNCF", "openvino", _openvino("int8")),
    "onnxruntime": Engine("ONNX Runtime", "onnxruntime", _onnxruntime),
    "pytorch": Engine("PyTorch", "torch", _pytorch()),
    "pytorch-channels-last": Engine("PyTorch, channels last", "torch", _pytorch(channels_last=True)),
    "torch-compile": Engine("torch.compile, frozen", "torch", _pytorch(channels_last=True, compiled=True)),
    "caffe2": Engine("Caffe2 of PyTorch 1.10", "", _caffe2),
}
