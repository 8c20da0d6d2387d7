"""`d2deploy batch` with a real model: what predict finds, killed and resumed, shared, and what it says."""

from __future__ import annotations

import io
import json
import os
import random
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from batch_jobs import rows_of, write_cuts, write_tar
from conftest import ROOT, Command
from PIL import Image

if TYPE_CHECKING:
    from exported import Exported

    from d2deploy import _ext
else:
    _ext = pytest.importorskip("d2deploy._ext", reason="not built: cmake --preset dev && cmake --build --preset dev")
    pytest.importorskip("pyarrow", reason="not installed: pip install 'd2deploy[batch]'")

SMALL = ("--threads", 1, "--min-size", 96, "--max-size", 160, "--threshold", 0.1)
COUNT = 20


@pytest.fixture(scope="module")
def pictures(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_cuts(tmp_path_factory.mktemp("pictures"), COUNT, damaged=7)


def start(*arguments: Any, **environment: str) -> subprocess.Popen[str]:
    path = os.pathsep.join([str(ROOT / "python"), str(Path(_ext.__file__).parents[1])])
    return subprocess.Popen(
        [sys.executable, "-m", "d2deploy", "batch", *map(str, arguments)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, "PYTHONPATH": path, **environment},
    )


def test_results_are_those_of_predict(command: Command, example: Path, pictures: Path, tmp_path: Path) -> None:
    out, wanted = tmp_path / "out", tmp_path / "wanted.json"
    code, told, error = command("batch", example, pictures, "--output", out, "--format", "coco", *SMALL)
    assert code == 1
    assert f"error: {pictures}/07.png: " in error
    assert re.search(r"20 pictures in \d+ s, 1 with an error; [\d.]+ pictures/s; mean of one read [\d.]+ ms, p", told)
    assert re.search(r"\d+ pictures of a core hour, with 1 cores", told)
    assert command("predict", example, pictures, "--json", wanted, *SMALL)[0] == 1
    results = json.loads((out / "coco.json").read_text())
    assert results == json.loads(wanted.read_text())
    assert len({result["image_id"] for result in results}) > COUNT // 2
    assert "counts" in results[0]["segmentation"]


def test_again_nothing_is_done_and_the_exit_code_is_the_same(
    command: Command, example: Path, pictures: Path, tmp_path: Path
) -> None:
    arguments = ("batch", example, pictures, "--output", tmp_path / "out", "--block-size", 6, *SMALL)
    assert command(*arguments)[0] == 1
    before = {part.name: part.stat().st_mtime_ns for part in (tmp_path / "out" / "parts").iterdir()}
    assert len(before) == 4
    code, told, error = command(*arguments)
    assert (code, error) == (1, "")
    assert "20 of 20 pictures were done before, 1 of them with an error" in told
    assert {part.name: part.stat().st_mtime_ns for part in (tmp_path / "out" / "parts").iterdir()} == before
    assert command(*arguments, "--max-errors", 0.04)[0] == 1
    assert command(*arguments, "--max-errors", 0.05)[0] == 0
    code, told, _ = command("batch", "--output", tmp_path / "out", "--format", "coco")
    assert (code, told) == (0, f"{tmp_path}/out/coco.json\n")


def test_killed_at_random_moments_it_loses_nothing(
    command: Command, example: Path, pictures: Path, tmp_path: Path
) -> None:
    """A process of its own ends by SIGKILL, behind a random number of parts and a little later."""
    draw = random.Random(0)
    out = tmp_path / "out"
    arguments = (example, pictures, "--output", out, "--block-size", 2, *SMALL)
    killed = 0
    for _ in range(5):
        process = start(*arguments)
        wanted = len(list(out.glob("parts/*.parquet"))) + draw.randint(0, 2)
        deadline = time.monotonic() + 120
        while process.poll() is None and time.monotonic() < deadline:
            if len(list(out.glob("parts/*.parquet"))) >= wanted:
                break
            time.sleep(0.001)
        time.sleep(draw.random() * 0.02)
        process.kill()
        process.communicate()
        killed += process.returncode == -signal.SIGKILL
    assert killed >= 2
    process = start(*arguments)
    _, error = process.communicate(timeout=300)
    assert process.returncode == 1, error
    command("batch", example, pictures, "--output", tmp_path / "one", "--block-size", 1000, *SMALL)
    rows = rows_of(out)
    assert [Path(row["path"]).name for row in rows] == [f"{number:02d}.png" for number in range(COUNT)]
    assert rows == rows_of(tmp_path / "one")


def test_shards_in_one_folder(command: Command, example: Path, pictures: Path, tmp_path: Path) -> None:
    """Two at the same time, as tasks of an array, from manifest and tar files; together they are the whole job."""
    manifest = tmp_path / "list.jsonl"
    names = [f"{number:02d}.png" for number in range(8, 16)]
    manifest.write_text("".join(json.dumps({"path": str(pictures / n), "id": i}) + "\n" for i, n in enumerate(names)))
    for shard in range(3):
        write_tar(tmp_path / f"{shard}.tar", [(n, (pictures / n).read_bytes()) for n in names[shard : shard + 2]])
    arguments = (example, manifest, f"{tmp_path}/*.tar", "--block-size", 3, *SMALL)
    array = {"SLURM_ARRAY_TASK_COUNT": "2", "SLURM_ARRAY_TASK_MIN": "1"}
    tasks = [
        start(*arguments, "--output", tmp_path / "out", "--shard", "auto", SLURM_ARRAY_TASK_ID=str(task), **array)
        for task in (1, 2)
    ]
    for task in tasks:
        _, error = task.communicate(timeout=300)
        assert task.returncode == 0, error
    assert command("batch", *arguments, "--output", tmp_path / "one")[0] == 0
    assert rows_of(tmp_path / "out") == rows_of(tmp_path / "one")
    assert len(rows_of(tmp_path / "out")) == 14
    reports = sorted(file.name for file in (tmp_path / "out" / "reports").iterdir())
    assert reports == ["shard-0-of-2.json", "shard-1-of-2.json"]
    report = json.loads((tmp_path / "out" / "reports" / reports[0]).read_text())
    assert (report["shard"], report["pictures"], report["errors"]) == ("0/2", 9, 0)
    assert report["run"]["pictures_per_unit_hour"] == pytest.approx(report["run"]["pictures_per_second"] * 3600)


def test_another_model_is_refused(command: Command, example: Path, pictures: Path, tmp_path: Path) -> None:
    arguments = (pictures / "00.png", "--output", tmp_path / "out", *SMALL)
    assert command("batch", example, *arguments)[0] == 0
    other = tmp_path / "model"
    other.mkdir()
    for name in ("model.pb", "model_init.pb"):
        (other / name).write_bytes((example / name).read_bytes())
    assert command("batch", other, *arguments)[0] == 0  # the same files elsewhere
    from d2deploy.nets.proto import NetDef

    net = NetDef()
    net.ParseFromString((other / "model.pb").read_bytes())
    net.name += "2"
    (other / "model.pb").write_bytes(net.SerializeToString())
    code, _, error = command("batch", other, *arguments)
    assert code == 1
    assert re.search(r'holds a job that was begun otherwise: model was \{"model.pb": ".*, now ', error)
    code, _, error = command("batch", example, *arguments, "--threshold", 0.2, "--precision", "bfloat16")
    assert 'options was {"precision": "float32", ' in error
    assert "threshold was 0.1, now 0.2" in error


def test_what_it_cost_is_told(command: Command, example: Path, pictures: Path, tmp_path: Path) -> None:
    arguments = ("batch", example, pictures / "00.png", "--output", tmp_path / "out", *SMALL)
    code, told, _ = command(*arguments, "--price-per-core-hour", 3600)
    assert code == 0
    report = json.loads((tmp_path / "out" / "reports" / "shard-0-of-1.json").read_text())["run"]
    assert report["cost"] == pytest.approx(report["seconds"])
    assert f"it cost {report['cost']:.4g}; a million pictures would cost " in told


@pytest.mark.parametrize("name", ["panoptic_fpn", "semantic_fpn", "keypoint_fpn", "rpn_fpn", "rotated_dc5"])
def test_other_models(
    name: str, exported: Callable[[str], Exported], command: Command, pictures: Path, tmp_path: Path
) -> None:
    folder = exported(name).folder
    picture = pictures / "00.png"
    arguments = ("--threads", 1, "--min-size", 64, "--threshold", 0)
    code, _, error = command("batch", folder, picture, "--output", tmp_path / "out", *arguments)
    assert (code, error) == (0, "")
    (row,) = rows_of(tmp_path / "out")
    with Image.open(picture) as image:
        pixels = np.asarray(image.convert("RGB"))
    detector = _ext.Detector(folder / "model.pb", folder / "model_init.pb", threads=1, mode="throughput", min_size=64)
    found = detector.predict(pixels, "RGB")
    for column, key in (("boxes", "boxes"), ("scores", "scores"), ("classes", "classes")):
        if key in found:
            values = np.asarray(row[column], found[key].dtype)
            np.testing.assert_array_equal(values.reshape(found[key].shape), found[key])
        else:
            assert row[column] is None
    if name == "keypoint_fpn":
        assert np.asarray(row["keypoints"]).shape == (*found["keypoints"].shape[:2], 3)
    if name == "semantic_fpn":
        classes = np.asarray(Image.open(io.BytesIO(row["class_map_png"])))
        np.testing.assert_array_equal(classes, found["class_map"])
    if name == "panoptic_fpn":
        colours = np.asarray(Image.open(io.BytesIO(row["panoptic_png"]))).astype(int)
        np.testing.assert_array_equal(colours @ [1, 256, 65536], found["panoptic_map"])
        assert [segment["id"] for segment in row["segments"]] == [segment["id"] for segment in found["segments"]]


def test_a_model_that_is_given_proposals_is_refused(
    exported: Callable[[str], Exported], command: Command, pictures: Path, tmp_path: Path
) -> None:
    code, _, error = command("batch", exported("fast_fpn").folder, pictures, "--output", tmp_path / "out", *SMALL)
    assert code == 2
    assert "finds no proposals itself" in error


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["EXAMPLE", "x.png"], "the following arguments are required: --output"),
        (["EXAMPLE", "--output", "OUT"], "INPUT is missing"),
        (["--output", "OUT"], "MODEL_DIR and INPUT are missing"),
        (["--output", "OUT", "--format", "coco"], "has no job"),
        (["EXAMPLE", "x.png", "--output", "OUT", "--threshold", "2"], "--threshold is 2.0, must be from 0 to 1"),
        (["EXAMPLE", "x.png", "--output", "OUT", "--max-errors", "-1"], "--max-errors is -1.0, must be from 0 to 1"),
        (["EXAMPLE", "x.png", "--output", "OUT", "--block-size", "0"], "--block-size is 0, must be at least 1"),
        (["EXAMPLE", "x.png", "--output", "OUT", "--shard", "3/2"], "is shard 3 of 2"),
        (["EXAMPLE", "x.png", "--output", "OUT", "--devices", "cpu,gpu"], "'gpu' is none, wanted cpu, cuda or cuda:1"),
        (["EXAMPLE", "x.png", "--output", "OUT", "--max-batch", "65"], "--max-batch is 65, must be from 1 to 64"),
        (["EXAMPLE", "x.png", "--output", "OUT", "--actors", "2"], "--address and --actors are for --engine ray"),
        (["EXAMPLE", "x.png", "--output", "OUT", "--price-per-core-hour", "nan"], "is nan, must be at least 0"),
        (
            ["EXAMPLE", "x.png", "--output", "OUT", "--format", "coco", "--shard", "0/2"],
            "when all shards have ended: d2deploy batch --output",
        ),
        (["OUT", "x.png", "--output", "OUT"], "model.pb: cannot be read: No such file"),
        (["EXAMPLE", "EMPTY.csv", "--output", "OUT"], "no pictures are in .*EMPTY.csv"),
        (["EXAMPLE", "x.png", "--output", "EMPTY.csv"], "cannot be written: .*Not a directory|File exists"),
    ],
)
def test_wrong_use(command: Command, example: Path, tmp_path: Path, arguments: list[str], message: str) -> None:
    (tmp_path / "EMPTY.csv").write_text("path\n")
    places = {"EXAMPLE": str(example), "OUT": str(tmp_path / "out"), "EMPTY.csv": str(tmp_path / "EMPTY.csv")}
    code, _, error = command("batch", *[places.get(argument, argument) for argument in arguments])
    assert code == 1
    assert re.search(message, error), error


def test_the_page_shows_commands_that_are_right() -> None:
    import shlex

    import yaml

    from d2deploy.cli.command import parser

    page = (ROOT / "docs" / "batch.md").read_text(encoding="utf-8")
    commands = [shlex.split(line) for line in re.findall(r"d2deploy batch model .*|d2deploy batch --[^`\n]*", page)]
    (job,) = (yaml.safe_load(block) for block in re.findall(r"```yaml\n(.*?)```", page, re.DOTALL))
    (container,) = job["spec"]["template"]["spec"]["containers"]
    commands.append([*container["command"], *container["args"]])
    assert len(commands) == 5
    for words in commands:
        assert words[:2] == ["d2deploy", "batch"]
        assert parser().parse_args(words[1:]).output
    shards = container["args"][container["args"].index("--shard") + 1]
    assert shards == f"auto/{job['spec']['completions']}"
