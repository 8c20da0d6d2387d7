"""scripts/bench.py: its parts with engines that only pretend, and one run of two real ones on a tiny model."""

from __future__ import annotations

import io
import json
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import numpy as np
import pytest
from conftest import ROOT, find_program
from small_models import SMALL

from benchmarking.engines import Arrays, Engine, Run, UnavailableError
from benchmarking.measure import Measured, Setting, agreement, measure
from benchmarking.models import parse_size
from benchmarking.processes import FailedError, Process
from benchmarking.report import as_json, from_json, machine, markdown, svg, table, versions, with_older
from benchmarking.worker import serve

BENCH = ROOT / "scripts" / "bench.py"
FACTS: dict[str, Any] = {
    "machine": {"cpu": "Some CPU <1>", "instruction_sets": ["avx2"], "cores": 2, "system": "Linux"},
    "versions": {"numpy": "2.0"},
}
BOXES = np.array([[0, 0, 10, 10], [20, 20, 40, 40], [5, 5, 9, 9]], np.float32)
FOUND: dict[str, Any] = {
    "bbox_nms": BOXES,
    "score_nms": np.array([0.9, 0.8, 0.7], np.float32),
    "class_nms": np.array([1, 2, 1], np.float32),
}


class Pretended:
    """A process whose runs take the seconds that it is told; `log` has the requests of all."""

    def __init__(self, log: list[str], seconds: dict[str, list[float]]) -> None:
        self.log, self.seconds = log, seconds
        self.engine, self.closed = "", False
        self.runs: Iterator[float] = iter(())

    def ask(self, seconds: float, **request: Any) -> dict[str, Any]:
        if request["do"] == "load":
            self.engine = request["engine"]
            if self.engine == "missing":
                raise FailedError("the package missing is not installed; pip install --group bench brings it")
            self.runs = iter(self.seconds[self.engine])
            return {"seconds": 0.5, "peak_bytes": 1_000_000}
        self.log.append(self.engine)
        if (taken := next(self.runs, None)) is None:
            raise FailedError("its process was ended by signal 9")
        if request["outputs"]:
            np.savez(request["outputs"], **FOUND)
        return {"seconds": taken, "cpu_seconds": 2 * taken, "peak_bytes": 2_000_000}

    def close(self) -> None:
        self.closed = True


@pytest.fixture
def log() -> list[str]:
    return []


@pytest.fixture
def settings(tmp_path: Path, log: list[str]) -> Iterator[list[Setting]]:
    """Three rounds of two engines that run, one that is missing, and one that dies in its second round."""
    seconds = {
        "ours-float32": [9.0, 0.2, 0.1, 0.3],
        "onnxruntime": [9.0, 0.5, 0.6, 0.4],
        "pytorch": [9.0, 0.7],
    }
    made: list[Pretended] = []

    def start() -> Pretended:
        made.append(Pretended(log, seconds))
        return made[-1]

    engines = ["ours-float32", "missing", "pytorch", "onnxruntime"]
    measured = measure("R50", tmp_path, ["64x96"], 2, engines, rounds=3, limit=1, start=start, pause=0)
    for setting in measured:
        setting.date, setting.command = "2026-01-02", "scripts/bench.py --rounds 3"
    yield measured
    assert all(process.closed for process in made)


def test_engines_run_in_turn(settings: list[Setting], log: list[str]) -> None:
    assert log == [
        *("ours-float32", "pytorch", "onnxruntime") * 3,  # the first round does not count; one dies in the third
        *("ours-float32", "onnxruntime"),
    ]
    rows = {row.engine: row for row in settings[0].rows}
    assert rows["ours-float32"].runs == [0.2, 0.1, 0.3]
    assert rows["onnxruntime"].median == 0.5
    assert rows["onnxruntime"].cpu == [1.0, 1.2, 0.8]
    assert (rows["onnxruntime"].load, rows["onnxruntime"].peak) == (0.5, 2_000_000)
    assert rows["onnxruntime"].answers == "3 of 3 found again, 3 in all"
    assert rows["ours-float32"].answers == "reference"
    assert "pip install" in rows["missing"].fault
    assert rows["pytorch"].fault == "its process was ended by signal 9"


def test_table_has_ratios_and_reasons(settings: list[Setting]) -> None:
    lines = table(settings[0]).splitlines()
    assert lines[0] == "### R50, 64x96, 2 threads"
    assert lines[4].startswith("| d2deploy, float32 | 200.0 | 1.00 | 0.50 | 2 | reference |")
    assert lines[5].startswith("| ONNX Runtime | 500.0 | 2.50 | 0.50 | 2 | 3 of 3 found again")
    assert lines[-2:] == [
        "- missing: the package missing is not installed; pip install --group bench brings it",
        "- PyTorch: its process was ended by signal 9",
    ]


def test_page_names_machine_versions_and_command(settings: list[Setting]) -> None:
    page = markdown(settings, FACTS, "plot.svg")
    for words in (
        "2026-01-02",
        "`scripts/bench.py --rounds 3`",
        "Some CPU <1>, 2 cores, avx2",
        "numpy 2.0",
        "(plot.svg)",
    ):
        assert words in page
    assert table(settings[0]) in page


def test_json_has_every_run(settings: list[Setting]) -> None:
    read = json.loads(as_json(settings, FACTS))
    assert read["machine"]["cores"] == 2
    rows = {row["engine"]: row for row in read["results"][0]["engines"]}
    assert rows["onnxruntime"]["ratio"] == 2.5
    assert rows["onnxruntime"]["run_seconds"] == [0.5, 0.6, 0.4]
    assert rows["missing"]["median_seconds"] is None
    assert rows["pytorch"]["ratio"] is None


def test_json_is_read_back(settings: list[Setting]) -> None:
    text = as_json(settings, FACTS | {"machine": machine(), "versions": versions()})
    assert from_json(text) == settings


@pytest.mark.parametrize(
    ("facts", "words"),
    [({"versions": {}}, "measured on another machine"), ({"machine": machine()}, "with other versions")],
)
def test_json_of_elsewhere_is_refused(settings: list[Setting], facts: dict[str, Any], words: str) -> None:
    with pytest.raises(ValueError, match=words):
        from_json(as_json(settings, FACTS | facts))


def test_what_is_measured_again_replaces_what_was() -> None:
    older = [Setting("R50", "64x96", 1, [], "2026-01-02", "a"), Setting("R50", "64x96", 2, [], "2026-01-02", "a")]
    newer = [Setting("R51", "64x96", 1, [], "2026-01-03", "b"), Setting("R50", "64x96", 1, [], "2026-01-03", "b")]
    merged = with_older(newer, older)
    assert merged == [newer[1], older[1], newer[0]]
    page = markdown(merged, FACTS, "plot.svg")
    assert [line for line in page.splitlines() if line.startswith("Measured on")] == [
        "Measured on 2026-01-03 by `b`.",
        "Measured on 2026-01-02 by `a`.",
        "Measured on 2026-01-03 by `b`.",
    ]


def test_bars_are_as_long_as_the_times(settings: list[Setting]) -> None:
    root = ElementTree.fromstring(svg(settings, FACTS))
    bars = [
        float(r.attrib["width"]) for r in root.iter("{http://www.w3.org/2000/svg}rect") if "%" not in r.attrib["width"]
    ]
    assert bars[1] / bars[0] == pytest.approx(2.5, rel=0.01)
    words = [text.text or "" for text in root.iter("{http://www.w3.org/2000/svg}text")]
    assert "500 ms, 2.50" in words
    assert any("Some CPU <1>" in text for text in words)


def test_nothing_ran() -> None:
    setting = Setting("R50", "64x96", 1, [Measured("caffe2", fault="not built")])
    assert "- Caffe2 of PyTorch 1.10: not built" in table(setting)
    assert "<rect" in svg([setting], FACTS)
    assert json.loads(as_json([setting], FACTS))["results"][0]["engines"][0]["fault"] == "not built"


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({}, "3 of 3 found again, 3 in all"),
        ({"class_nms": np.array([1, 3, 1])}, "2 of 3"),
        ({"score_nms": np.array([0.9, 0.8, 0.6])}, "2 of 3"),
        ({"bbox_nms": BOXES + np.array([[0], [1.5], [0]])}, "2 of 3"),  # overlap 0.75
        ({k: v[:0] for k, v in FOUND.items()}, "0 of 3 found again, 0 in all"),
        ({k: np.concatenate([v, v]) for k, v in FOUND.items()}, "3 of 3 found again, 6 in all"),
    ],
)
def test_agreement_of_detections(change: Arrays, words: str) -> None:
    assert agreement(FOUND, {**FOUND, **change}).startswith(words)


def test_agreement_of_maps() -> None:
    wanted = {"box_cls_0": np.array([0.0, 2.0]), "feature_0": np.array([0.0, 4.0])}
    assert agreement(wanted, {"box_cls_0": np.array([0.5, 2.0])}) == "outputs differ by at most 0.5 of their spread"
    assert agreement(wanted, {"other": np.zeros(2)}) == "no output in common"


def twice(folder: Path, threads: int) -> Run:
    return lambda inputs: {"y": inputs["x"] * threads}


def refused(folder: Path, threads: int) -> Run:
    raise UnavailableError("not on this CPU")


def test_worker_answers_line_by_line(tmp_path: Path) -> None:
    engines = {
        "twice": Engine("Twice", "", twice),
        "absent": Engine("Absent", "no_such_package", twice),
        "refused": Engine("Refused", "", refused),
    }
    np.savez(tmp_path / "in.npz", x=np.arange(3))
    requests: list[dict[str, Any]] = [
        {"do": "run", "inputs": str(tmp_path / "in.npz"), "outputs": None},
        *({"do": "load", "engine": name, "folder": ".", "threads": 2} for name in ("absent", "refused", "twice")),
        {"do": "run", "inputs": str(tmp_path / "in.npz"), "outputs": str(tmp_path / "out.npz")},
        {"do": "run", "inputs": str(tmp_path / "none.npz"), "outputs": None},
        {"do": "dance"},
    ]
    out = io.StringIO()
    serve(io.StringIO("\n".join(map(json.dumps, requests))), out, engines)
    answers = [json.loads(line) for line in out.getvalue().splitlines()]
    assert [answer.get("error", "")[:40] for answer in answers] == [
        "RuntimeError: nothing is loaded",
        "the package no_such_package is not insta",
        "not on this CPU",
        "",
        "",
        "FileNotFoundError: [Errno 2] No such file or directory"[:40],
        "KeyError: 'dance'",
    ]
    assert answers[4]["peak_bytes"] > 1_000_000
    with np.load(tmp_path / "out.npz") as file:
        np.testing.assert_array_equal(file["y"], [0, 2, 4])


def test_peak_is_this_processs_own() -> None:
    code = (
        "import numpy as np\n"
        "from benchmarking.worker import peak_bytes\n"
        "before = peak_bytes()\n"
        "block = np.ones(8_000_000)\n"
        "print((peak_bytes() - before) / block.nbytes)"
    )
    path = os.pathsep.join([str(BENCH.parent), *sys.path])
    result = subprocess.run(
        [sys.executable, "-c", code], env={**os.environ, "PYTHONPATH": path}, capture_output=True, text=True, check=True
    )
    assert 0.9 < float(result.stdout) < 2


def process(code: str) -> Process:
    return Process(dict(os.environ), [sys.executable, "-c", code])


@pytest.mark.parametrize(
    ("code", "message"),
    [
        ('input(); print(\'{"error": "no"}\')', "^no$"),
        ("import sys; input(); print('why', file=sys.stderr); sys.exit(3)", "^ended with status 3: why$"),
        ("import os; input(); os.kill(os.getpid(), 9)", "^its process was ended by signal 9$"),
        ("import time; input(); time.sleep(60)", r"^gave no answer in 1 s \(--limit\)$"),
    ],
)
def test_process_that_fails(code: str, message: str) -> None:
    one = process(code)
    with pytest.raises(FailedError, match=message):
        one.ask(1 if "sleep" in code else 30, do="run")
    one.close()


def test_process_that_did_not_live_to_read_the_request() -> None:
    one = process("pass")
    one._process.wait()
    with pytest.raises(FailedError, match=r"^ended with status 0: it printed nothing$"):
        one.ask(30, do="run")
    one.close()


def test_process_that_answers() -> None:
    one = process("import json\nwhile True: print(json.dumps({'got': json.loads(input())['do']}), flush=True)")
    assert [one.ask(30, do=word) for word in ("load", "run")] == [{"got": "load"}, {"got": "run"}]
    one.close()


@pytest.mark.parametrize("text", ["800x1200", "0x32", "800"])
def test_sizes_that_are_refused(text: str) -> None:
    with pytest.raises(ValueError, match=r"size|unpack"):
        parse_size(text)


def bench(*arguments: Any) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, BENCH, *arguments]
    return subprocess.run([str(c) for c in command], capture_output=True, text=True, check=False)


@pytest.mark.parametrize(
    ("arguments", "code", "words"),
    [
        (["--help"], 0, "ours-float32, ours-bfloat16"),
        (["--engines", "ours-float32,fast"], 2, "--engines: fast unknown; known: ours-float32"),
        (["--models", "R51"], 2, "--models: R51 unknown; known: R50-FPN"),
        (["--sizes", "10x10"], 2, "size 10x10: height and width must be multiples of 32"),
        (["--rounds", "0"], 2, "--rounds must be at least 1"),
    ],
)
def test_command_line(arguments: list[str], code: int, words: str) -> None:
    result = bench(*arguments)
    assert result.returncode == code
    assert words in " ".join((result.stdout + result.stderr).split())


def test_two_engines_on_a_tiny_model(tmp_path: Path) -> None:
    pytest.importorskip("d2deploy._ext", reason="not built: cmake --preset dev && cmake --build --preset dev")
    pytest.importorskip("onnxruntime", reason="not installed: pip install --group dev")
    build = find_program("caffe2_mask_rcnn").parents[1]
    small = [*SMALL, "MODEL.RESNETS.DEPTH", 18]
    small = [value for pair in zip(small[::2], small[1::2]) if pair[0] != "MODEL.PIXEL_STD" for value in pair]
    result = bench(
        *("--engines", "ours-float32,onnxruntime,pytorch", "--sizes", "64x96", "--threads", 1, "--rounds", 1),
        *("--output", tmp_path, "--build", build, "--keep", tmp_path / "models", "--", *small),
    )
    assert result.returncode == 0, result.stderr
    rows = json.loads((tmp_path / "benchmark.json").read_text())["results"][0]["engines"]
    assert [row["engine"] for row in rows] == ["ours-float32", "onnxruntime", "pytorch"]
    for row in rows:
        assert not row["fault"], row
        assert row["median_seconds"] > 0
        assert row["load_seconds"] > 0
        assert row["peak_bytes"] > 10_000_000
    for row in rows[1:]:
        wanted, total = map(int, re.findall(r"(\d+) of (\d+) found again", row["answers"])[0])
        assert wanted == total > 0, row["answers"]
    assert "### R50-FPN, 64x96, 1 thread\n" in (tmp_path / "benchmark.md").read_text()
    assert "Measured on " in (tmp_path / "benchmark.md").read_text()
    assert (tmp_path / "benchmark.svg").read_text().startswith("<svg")
