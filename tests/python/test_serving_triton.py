"""`d2deploy serve` and NVIDIA's client, unchanged, over HTTP and gRPC: both say what the runtime says."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from conftest import ROOT

if TYPE_CHECKING:
    from d2deploy import _ext
else:
    _ext = pytest.importorskip("d2deploy._ext", reason="not built: cmake --preset dev && cmake --build --preset dev")
pytest.importorskip("starlette")  # the extra `serve`
from serving_process import SMALL, Server

from d2deploy.images import read_image

PYTHON = ROOT / ".venv" / "tritonclient" / "bin" / "python"
CLIENT_SECONDS = 120


@pytest.fixture(scope="module")
def said(example: Path) -> Any:
    if not PYTHON.is_file():
        pytest.skip(f"{PYTHON.relative_to(ROOT)} is missing; scripts/setup makes it")
    with Server(f"shapes={example}", "--tensors", *SMALL) as server:
        run = subprocess.run(
            [
                *(PYTHON, ROOT / "tests" / "python" / "triton_calls.py", f"127.0.0.1:{server.port}"),
                *(f"127.0.0.1:{server.grpc_port}", "shapes", example / "input.png"),
            ],
            capture_output=True,
            text=True,
            check=False,
            timeout=CLIENT_SECONDS,
        )
        assert run.returncode == 0, run.stderr
        return json.loads(run.stdout)


def files(example: Path) -> tuple[Path, Path]:
    return example / "model.pb", example / "model_init.pb"


@pytest.fixture(scope="module")
def found(example: Path) -> dict[str, Any]:
    detector = _ext.Detector(*files(example), threads=1, min_size=96, max_size=160, mode="throughput")
    return detector.predict(read_image(example / "input.png", "RGB"), "RGB")


@pytest.mark.parametrize("protocol", ["http", "grpc"])
def test_health_metadata_and_the_repository(said: Any, protocol: str) -> None:
    one = said[protocol]
    assert one["health"] == [True, True, True]
    assert one["unknown ready"] is False
    assert one["server"]["name"] == "d2deploy"
    assert one["server"]["extensions"] == ["binary_tensor_data", "model_repository"]
    assert one["model"]["name"] == "shapes"
    assert [row["name"] for row in one["model"]["inputs"]] == ["image", "data", "im_info"]
    index = one["index"] if protocol == "http" else one["index"]["models"]
    assert [(row["name"], row["version"], row["state"]) for row in index] == [("shapes", "1", "READY")]
    assert one["unloaded"][0] is False
    assert "not loaded" in one["unloaded"][2]
    assert one["loaded"] is True


@pytest.mark.parametrize("protocol", ["http", "grpc"])
def test_a_picture(said: Any, found: dict[str, Any], protocol: str) -> None:
    one = said[protocol]
    masks = [code.decode() for code in _ext.encode_masks(found["masks"], found["boxes"], *found["image_size"])]
    assert one["picture"] == {
        "image_size": [list(found["image_size"]), "int64"],
        **{name: [found[name].tolist(), str(found[name].dtype)] for name in ("boxes", "scores", "classes")},
        "masks": masks,
    }
    kept = found["scores"] >= 0.3
    assert 0 < kept.sum() < len(kept)
    assert one["some"]["scores"][0] == found["scores"][kept].tolist()
    assert one["some"]["masks"] == masks[: kept.sum()]
    assert one["left out"] is True


@pytest.mark.parametrize("protocol", ["http", "grpc"])
def test_tensors_of_the_net(said: Any, example: Path, protocol: str) -> None:
    data = (np.arange(3 * 64 * 96, dtype=np.float32) % 251).reshape(1, 3, 64, 96)
    info = np.array([[64, 96, 1]], np.float32)
    wanted = _ext.Model(*files(example), threads=1).run({"data": data, "im_info": info})
    assert said[protocol]["tensors"] == {
        name: [wanted[name].tolist(), "float32"] for name in ("bbox_nms", "mask_fcn_probs")
    }


def test_tensors_in_json_are_those_in_bytes(said: Any) -> None:
    one = said["http"]
    assert one["in JSON"] == {name: one["picture"][name] for name in ("classes", "masks")}
    assert one["from JSON"]["bbox_nms"] == one["tensors"]["bbox_nms"]
    assert [row["classes"] for row in one["at the same time"]] == [one["picture"]["classes"]] * 3


def test_errors(said: Any) -> None:
    for protocol, codes in (
        ("http", ("404", "400")),
        ("grpc", ("StatusCode.NOT_FOUND", "StatusCode.INVALID_ARGUMENT")),
    ):
        no_model, no_inputs = said[protocol]["no model"], said[protocol]["no inputs"]
        assert (no_model[0], no_inputs[0]) == codes
        assert no_model[1] == "there is no model 'unknown'"
        assert "'data' is missing; wanted: data, im_info" in no_inputs[1]
