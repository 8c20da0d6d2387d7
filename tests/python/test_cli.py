"""caffe2_mask_rcnn on the example: what it prints and writes, and how it fails."""

from __future__ import annotations

import os
import re
import subprocess
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest
from conftest import ROOT, find_program
from png import read_png, write_png

Run = subprocess.CompletedProcess[str]
Program = Callable[..., Run]

NUMBER = r"[-+0-9.e]+"
PREDICTION = re.compile(
    rf"Prediction (\d+), xyxy=\(({NUMBER}), ({NUMBER}), ({NUMBER}), ({NUMBER})\); score=({NUMBER}); label=(\d+)"
)
HEIGHT, WIDTH = 192, 256
# What Caffe2 itself finds in the example's picture with a score of at least 0.6: index, xyxy in pixels, score, class.
EXPECTED = [
    (0, (7.954, 25.685, 55.014, 64.465), 0.9421, 0),
    (4, (74.653, 70.884, 127.482, 119.728), 0.9794, 1),
    (5, (64.131, 168.843, 104.808, 190.577), 0.9250, 1),
    (11, (208.841, 9.117, 255.996, 74.876), 0.9592, 2),
    (27, (209.445, 135.913, 251.529, 180.738), 0.9414, 3),
    (28, (0.247, 0.058, 67.562, 42.178), 0.9194, 3),
]


@dataclass(frozen=True)
class Prediction:
    index: int
    box: tuple[float, ...]
    score: float
    label: int


def predictions(text: str) -> list[Prediction]:
    return [
        Prediction(int(m[1]), tuple(float(m[k]) for k in range(2, 6)), float(m[6]), int(m[7]))
        for m in PREDICTION.finditer(text)
    ]


@pytest.fixture
def program(tmp_path: Path) -> Program:
    """Runs the program in a folder of its own."""
    path = find_program("caffe2_mask_rcnn")

    def run(*flags: str) -> Run:
        return subprocess.run(
            [str(path), *flags], capture_output=True, text=True, check=False, cwd=tmp_path, timeout=300
        )

    return run


@pytest.fixture
def detect(program: Program, example: Path) -> Program:
    """Runs the example's model on its picture, and expects that this goes well.

    With one thread, unless the flags say otherwise: several only wait for each other where cores are busy.
    """

    def run(*flags: str, image: str = str(example / "input.png")) -> Run:
        result = program(
            f"--predict_net={example / 'model.pb'}",
            f"--init_net={example / 'model_init.pb'}",
            f"--input={image}",
            "--threads=1",
            *flags,
        )
        assert result.returncode == 0, result.stderr
        return result

    return run


def arrays(folder: Path) -> dict[str, npt.NDArray[np.float32]]:
    return {file.stem: np.load(file) for file in folder.glob("*.npy")}


@pytest.mark.parametrize(
    ("given", "wanted"),
    [
        ({}, {"GOMP_SPINCOUNT": "1000"}),
        ({"GOMP_SPINCOUNT": "7"}, {"GOMP_SPINCOUNT": "7"}),
        ({"OMP_WAIT_POLICY": "active"}, {"OMP_WAIT_POLICY": "active"}),
    ],
)
def test_threads_spin_briefly_unless_the_user_says_otherwise(
    tmp_path: Path, given: dict[str, str], wanted: dict[str, str]
) -> None:
    """OpenMP reads its environment before main. The program waits for its image, so that the environment that it was
    started with can be read."""
    path = find_program("caffe2_mask_rcnn")
    if b"GOMP_parallel" not in path.read_bytes():
        pytest.skip("built without OpenMP")
    image = tmp_path / "image.png"
    os.mkfifo(image)
    names = ("GOMP_SPINCOUNT", "OMP_WAIT_POLICY")
    environment = {name: value for name, value in os.environ.items() if name not in names} | given
    command = [str(path), "--predict_net=none", "--init_net=none", f"--input={image}"]
    with subprocess.Popen(command, env=environment, stderr=subprocess.PIPE, text=True) as process:
        with image.open("wb"):  # once it reads, it is what it stays
            words = Path(f"/proc/{process.pid}/environ").read_bytes().decode(errors="replace").split("\0")
        assert process.stderr is not None
        error = process.stderr.read()
    found = dict(word.split("=", 1) for word in words if "=" in word)
    assert {name: found[name] for name in names if name in found} == wanted
    assert error.startswith("caffe2_mask_rcnn: "), "its name and arguments are the same"
    assert "image.png" in error


def test_finds_what_caffe2_finds(detect: Program) -> None:
    found = predictions(detect("--threads=0").stdout)  # as many as there are, which is the default
    assert [(p.index, p.label) for p in found] == [(index, label) for index, _, _, label in EXPECTED]
    for have, (_, box, score, _) in zip(found, EXPECTED, strict=True):
        np.testing.assert_allclose(have.box, box, atol=0.05)
        assert have.score == pytest.approx(score, abs=0.002)


def test_prints_latency_and_shapes_first(detect: Program) -> None:
    lines = detect().stdout.splitlines()
    latency = re.fullmatch(rf"Latency \(should vary with different inputs\): ({NUMBER}) seconds", lines[0])
    assert latency
    assert 0 < float(latency[1]) < 60
    assert lines[1:5] == [
        "bbox: (48, 4) float32",
        "scores: (48,) float32",
        "labels: (48,) float32",
        "mask_probs: (48, 5, 28, 28) float32",
    ]
    assert all(line.startswith("Prediction ") for line in lines[5:])


def test_writes_the_mask_of_each_prediction(detect: Program, tmp_path: Path) -> None:
    detect("--output_dir=new/masks", "--dump_dir=dump")
    masks = sorted(file.name for file in (tmp_path / "new/masks").iterdir())
    assert masks == sorted(f"mask{index}.png" for index, *_ in EXPECTED)
    probabilities = np.load(tmp_path / "dump/mask_fcn_probs.npy")
    for index, _, _, label in EXPECTED:
        pixels = read_png(tmp_path / f"new/masks/mask{index}.png").astype(np.float64)
        assert pixels.shape == (28, 28)
        assert np.abs(pixels - probabilities[index, label] * 255.0).max() <= 0.51  # rounded


def test_writes_masks_into_the_current_folder(detect: Program, tmp_path: Path) -> None:
    detect()
    assert {file.name for file in tmp_path.iterdir()} == {f"mask{index}.png" for index, *_ in EXPECTED}


def test_dumps_every_output(detect: Program, tmp_path: Path) -> None:
    result = detect("--dump_dir=a/b", "--output_dir=masks")
    blobs = arrays(tmp_path / "a/b")
    assert set(blobs) == {"bbox_nms", "score_nms", "class_nms", "mask_fcn_probs"}
    assert all(blob.dtype == np.float32 for blob in blobs.values())
    for p in predictions(result.stdout):
        np.testing.assert_allclose(blobs["bbox_nms"][p.index], p.box, rtol=1e-5)
        assert blobs["score_nms"][p.index] == pytest.approx(p.score, rel=1e-5)
        assert blobs["class_nms"][p.index] == p.label
    assert blobs["mask_fcn_probs"].shape == (len(blobs["bbox_nms"]), 5, 28, 28)


@pytest.mark.parametrize(("threshold", "count"), [(0.0, 48), (0.95, 2)])
def test_score_threshold(detect: Program, tmp_path: Path, threshold: float, count: int) -> None:
    found = predictions(detect(f"--score_threshold={threshold}").stdout)
    assert len(found) == len(list(tmp_path.glob("mask*.png"))) == count
    assert all(p.score >= threshold for p in found)


def test_says_that_nothing_scores_enough(detect: Program, tmp_path: Path) -> None:
    assert "No prediction with a score of at least 0.999 among 48\n" in detect("--score_threshold=0.999").stdout
    assert not list(tmp_path.iterdir())


def test_any_size_of_image(detect: Program, example: Path, tmp_path: Path) -> None:
    height, width = 191, 250
    write_png(tmp_path / "odd.png", read_png(example / "input.png")[:height, :width])
    found = predictions(detect("--dump_dir=dump", image="odd.png").stdout)
    boxes = np.load(tmp_path / "dump/bbox_nms.npy")
    assert boxes.min() >= 0
    assert boxes[:, [0, 2]].max() <= width
    assert boxes[:, [1, 3]].max() <= height
    for _, box, _, label in EXPECTED[:2]:  # far from what was cut away
        assert any(p.label == label and np.abs(np.subtract(p.box, box)).max() < 2 for p in found)


def test_equal_images_of_a_batch_get_what_one_gets(detect: Program, example: Path, tmp_path: Path) -> None:
    alone = predictions(detect("--dump_dir=one", "--output_dir=one").stdout)
    image = str(example / "input.png")
    result = detect("--dump_dir=two", "--output_dir=two", "--visualize=two/found.png", image=f"{image},{image}")
    parts = re.split(r"^Image (\d): (.*)\n", result.stdout, flags=re.MULTILINE)
    assert parts[1:3] + parts[4:6] == ["0", image, "1", image]
    for text in (parts[3], parts[6]):
        both = predictions(text)
        assert [(p.index, p.label) for p in both] == [(p.index, p.label) for p in alone]
        np.testing.assert_allclose([p.box for p in both], [p.box for p in alone], atol=0.01)
    one, two = arrays(tmp_path / "one"), arrays(tmp_path / "two")
    np.testing.assert_array_equal(two.pop("batch_splits"), [48, 48])
    for blob, values in two.items():
        np.testing.assert_array_equal(values[:48], values[48:], err_msg=blob)
        np.testing.assert_allclose(values[:48], one[blob], rtol=1e-3, atol=1e-2, err_msg=blob)
    names = {file.name for file in (tmp_path / "two").glob("*.png")}
    assert names == {f"mask{i}_{p.index}.png" for i in (0, 1) for p in alone} | {"found_0.png", "found_1.png"}


def test_benchmark(detect: Program) -> None:
    text = detect("--benchmark=5").stdout
    match = re.search(r"^Benchmark: 5 runs, median ([\d.]+) ms, p90 ([\d.]+) ms, min ([\d.]+) ms$", text, re.MULTILINE)
    assert match
    median, p90, least = (float(match[k]) for k in (1, 2, 3))
    assert 0 < least <= median <= p90
    assert text.startswith("Load: ")


def test_profile(detect: Program) -> None:
    text = detect("--profile").stdout
    nodes, totals = text[text.index("\nProfile of ") :].split("\n\nTotals per operator\n")
    title, header, *rows = nodes.strip().splitlines()
    assert title == f"Profile of {len(rows)} nodes, one run"
    assert header.split() == ["ms", "share", "GFLOP/s", "GB/s", "kernel", "operator", "output", "shape"]
    times = [float(row.split()[0]) for row in rows]
    assert times == sorted(times, reverse=True)
    assert any(re.search(r"\bConv", row) for row in rows)
    header, *rows = totals.splitlines()
    assert header.split() == ["ms", "share", "GFLOP/s", "GB/s", "nodes", "operator"]
    *types, whole = (row.split() for row in rows)
    assert whole[-1] == "all"
    assert sum(int(words[-2]) for words in types) == int(whole[-2]) == len(times)
    assert sum(float(words[0]) for words in types) == pytest.approx(float(whole[0]), abs=0.001 * len(types))
    assert float(whole[0]) == pytest.approx(sum(times), abs=0.001 * len(times))


def test_visualize_draws_on_the_picture(detect: Program, example: Path, tmp_path: Path) -> None:
    detect("--visualize=found.png")
    before, after = read_png(example / "input.png"), read_png(tmp_path / "found.png")
    assert after.shape == (HEIGHT, WIDTH, 3)
    changed = (before != after).any(axis=2)
    for _, (x0, y0, x1, y1), _, _ in EXPECTED:
        assert changed[int(y0) + 1 : int(y1), int(x0) + 1 : int(x1)].mean() > 0.2
    assert not changed[130:, 130:200].any()  # nothing is there
    assert changed.mean() < 0.5


def test_print_graph_needs_no_image(program: Program, example: Path, tmp_path: Path) -> None:
    result = program(
        f"--predict_net={example / 'model.pb'}", f"--init_net={example / 'model_init.pb'}", "--print_graph"
    )
    assert result.returncode == 0, result.stderr
    assert re.search(r"= \w*Conv\w*\(", result.stdout)
    assert "BoxWithNMSLimit" in result.stdout
    assert not list(tmp_path.iterdir())


def test_messages_are_on_stderr_with_v(detect: Program) -> None:
    assert not re.search(r"^[IE]", detect().stderr, re.MULTILINE)
    assert re.search(r"^I\d{8} .*\] \S", detect("--v=1").stderr, re.MULTILINE)


def test_help_shows_every_flag_of_ours_alone(program: Program, tmp_path: Path) -> None:
    source = (ROOT / "cpp/src/cli/options.cpp").read_text()
    ours = set(re.findall(r"^DEFINE_\w+\((\w+)", source, re.MULTILINE))
    assert {"predict_net", "init_net", "input", "score_threshold"} <= ours
    for flag in ("--help", "-h"):
        result = program(flag)
        assert (result.returncode, result.stderr) == (0, "")
        listed = re.findall(r"^  --(\w+)", result.stdout, re.MULTILINE)
        assert len(listed) == len(set(listed))
        assert set(listed) == ours | {"help", "version", "v", "helpfull"}
        assert re.findall(r"^  (\d)  \S", result.stdout, re.MULTILINE) == ["0", "1", "2", "3"]
        assert "caffe2_mask_rcnn --predict_net=model.pb --init_net=model_init.pb --input=" in result.stdout
        assert max(len(line) for line in result.stdout.splitlines()) <= 120
    assert not list(tmp_path.iterdir())


def test_version_is_that_of_the_project(program: Program) -> None:
    version = re.search(r'^version = "(.*)"$', (ROOT / "pyproject.toml").read_text(), re.MULTILINE)
    assert version
    result = program("--version")
    assert (result.returncode, result.stdout) == (0, f"caffe2_mask_rcnn {version[1]}\n")


@pytest.fixture
def broken(example: Path, tmp_path: Path) -> Path:
    """A folder with files that are wrong in one way each."""
    model, picture = (example / "model.pb").read_bytes(), (example / "input.png").read_bytes()
    weights = (example / "model_init.pb").read_bytes()
    (tmp_path / "half.pb").write_bytes(model[: len(model) // 2])
    (tmp_path / "half_init.pb").write_bytes(weights[: len(weights) // 2])
    (tmp_path / "empty.pb").write_bytes(b"")
    (tmp_path / "half.png").write_bytes(picture[: len(picture) // 2])
    (tmp_path / "text.png").write_text("no picture\n")
    (tmp_path / "empty.png").write_bytes(b"")
    write_png(tmp_path / "small.png", np.zeros((8, 9, 3), np.uint8))
    (tmp_path / "file").write_text("")
    return tmp_path


# Flags in place of the right ones, the exit code, and what the one line on stderr must say.
FAILURES: dict[str, tuple[list[str], int, str]] = {
    "no_such_image": (["--input=none.png"], 1, r"cannot open image none\.png: No such file"),
    "name_too_long": (["--input=" + "a" * 5000], 1, r"cannot open image a+: File name too long"),
    "image_is_a_folder": (["--input=."], 1, r"image \. is a folder"),
    "empty_image": (["--input=empty.png"], 1, r"image empty\.png is empty"),
    "text_for_an_image": (["--input=text.png"], 1, r"cannot decode image text\.png: "),
    "half_an_image": (["--input=half.png"], 1, r"cannot decode image half\.png: "),
    "sizes_differ": (["--input={input},small.png"], 1, r"must have one size: .*256 x 192 pixels, small\.png is 9 x 8"),
    "no_input": (["--input="], 1, r"missing --input; --help"),
    "nothing_given": (["--input=", "--predict_net=", "--init_net="], 1, r"missing --predict_net, --init_net, --input;"),
    "unknown_flag": (["--no_such_flag=1"], 1, r"unknown flag --no_such_flag; --help lists"),
    "no_number": (["--threads=many"], 1, r"--threads: 'many' is not an integer"),
    "no_value": (["--threads"], 1, r"--threads needs a value"),
    "no_bytes": (["--max_tensor_bytes=0"], 1, r"--max_tensor_bytes must be positive, got 0"),
    "bytes_are_no_number": (["--max_tensor_bytes=4GiB"], 1, r"--max_tensor_bytes: '4GiB' is not an integer"),
    "few_bytes": (["--max_tensor_bytes=9999"], 2, r"takes \d+ bytes, at most 9999 are allowed; raise max_tensor_bytes"),
    "negative_threads": (["--threads=-1"], 1, r"--threads must not be negative, got -1"),
    "negative_benchmark": (["--benchmark=-1"], 1, r"--benchmark must not be negative, got -1"),
    "threshold_is_nan": (["--score_threshold=nan"], 1, r"--score_threshold must be a finite number"),
    "word_without_flag": (["photo.png"], 1, r"unexpected argument 'photo\.png'"),
    "picture_format": (["--visualize=found.docx"], 1, r"cannot write found\.docx: .*use \.png or \.jpg"),
    "picture_folder": (["--visualize=file/found.png"], 1, r"--visualize: cannot make the folder file: "),
    "output_dir_is_a_file": (["--output_dir=file"], 1, r"--output_dir: cannot make the folder file: "),
    "dump_dir_is_a_file": (["--dump_dir=file/dump"], 1, r"--dump_dir: cannot make the folder file/dump: "),
    "no_such_model": (["--predict_net=none.pb"], 1, r"none\.pb: "),
    "no_such_weights": (["--init_net=none.pb"], 1, r"none\.pb: "),
    "precision": (["--precision=float7"], 2, r"float7"),
    "swapped_nets": (["--predict_net={init}", "--init_net={predict}"], 1, r"give them the other way round"),
    "half_a_model": (["--predict_net=half.pb"], 2, r"half\.pb"),
    "half_the_weights": (["--init_net=half_init.pb"], 2, r"half_init\.pb"),
    "empty_model": (["--predict_net=empty.pb"], 2, r"empty\.pb"),
    "picture_for_a_model": (["--predict_net={input}"], 2, r"input\.png"),
}


@pytest.mark.parametrize("name", FAILURES)
def test_failure_is_one_line_and_an_exit_code(name: str, program: Program, example: Path, broken: Path) -> None:
    flags, code, message = FAILURES[name]
    paths = {"predict": example / "model.pb", "init": example / "model_init.pb", "input": example / "input.png"}
    before = {file.name for file in broken.iterdir()}
    result = program(
        f"--predict_net={paths['predict']}",
        f"--init_net={paths['init']}",
        f"--input={paths['input']}",
        *(flag.format(**paths) for flag in flags),
    )
    assert result.returncode == code, result.stderr
    lines = [line for line in result.stderr.splitlines() if not re.match(r"W\d{8} ", line)]  # warnings of the model
    assert len(lines) == 1
    assert lines[0].startswith("caffe2_mask_rcnn: ")
    assert re.search(message, lines[0])
    assert result.stdout == ""
    assert {file.name for file in broken.iterdir()} == before  # nothing half done lies around


@pytest.mark.parametrize(("height", "width"), [(1, 1), (1, 2000), (2000, 1), (33, 65), (3, 500)])
def test_any_size(detect: Program, tmp_path: Path, height: int, width: int) -> None:
    image = tmp_path / "odd.png"
    write_png(image, np.full((height, width, 3), 90, np.uint8))
    detect(f"--dump_dir={tmp_path}", f"--output_dir={tmp_path}", image=str(image))
    boxes = np.load(tmp_path / "bbox_nms.npy")
    assert boxes.shape[1:] == (4,)
    assert np.load(tmp_path / "mask_fcn_probs.npy").shape == (len(boxes), 5, 28, 28)
    assert (boxes >= 0).all()
    assert (boxes <= [width, height, width, height]).all()
