"""The command `d2deploy`: its help, exit codes and errors, and the subcommands that look at a model."""

from __future__ import annotations

import os
import re
import shutil
import signal
import subprocess
import sys
from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from conftest import ROOT, Command

from d2deploy import cli
from d2deploy.cli import shared
from d2deploy.cli.info import EXTENSIONS, flops_by_rows
from d2deploy.cli.netfile import read_net
from d2deploy.errors import DeviceError, InternalError, InvalidArgument, InvalidModel, Unsupported

if TYPE_CHECKING:
    from d2deploy import _ext
else:
    _ext = pytest.importorskip("d2deploy._ext", reason="not built: cmake --preset dev && cmake --build --preset dev")

COMMANDS = ("predict", "batch", "serve", "eval", "info", "verify", "benchmark", "graph", "calibrate", "convert")
SMALL = ("--threads", 1, "--min-size", 96, "--max-size", 160)


def in_process(
    *arguments: Any, environment: Mapping[str, str] | None = None, **options: Any
) -> subprocess.CompletedProcess[str]:
    path = os.pathsep.join([str(ROOT / "python"), str(Path(_ext.__file__).parents[1])])
    return subprocess.run(
        [sys.executable, "-m", "d2deploy", *map(str, arguments)],
        text=True,
        check=False,
        env={**os.environ, "PYTHONPATH": path, **(environment or {})},
        **{"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, **options},
    )


# ---- Help and errors -------------------------------------------------------------------------------


def test_help_names_all_commands_and_exit_codes() -> None:
    run = in_process("--help")
    assert run.returncode == 0
    for word in (*COMMANDS, "examples:", "exit codes:", "130  interrupted"):
        assert word in run.stdout


@pytest.mark.parametrize(
    ("policy", "count", "wanted"), [(None, None, "1000"), (None, "7", "7"), ("active", None, None)]
)
def test_threads_spin_briefly_unless_the_user_says_otherwise(
    policy: str | None, count: str | None, wanted: str | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in (("OMP_WAIT_POLICY", policy), ("GOMP_SPINCOUNT", count)):
        monkeypatch.setenv(name, value or "")  # so that it is as before afterwards
        if value is None:
            monkeypatch.delenv(name)
    assert cli.main(["no-such-command"]) == 1
    assert os.environ.get("GOMP_SPINCOUNT") == wanted


@pytest.mark.parametrize("name", COMMANDS)
def test_help_of_a_command(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as end:
        cli.main([name, "--help"])
    assert end.value.code == 0
    text = capsys.readouterr().out
    assert f"usage: d2deploy {name} " in text
    assert re.search(rf"examples:\n  d2deploy {name} .*exit codes:\n  0  all went well", text, re.DOTALL)


def test_help_needs_the_standard_library_alone() -> None:
    program = (
        "import sys\nfrom d2deploy.cli.command import parser\nparser().format_help()\n"
        "print(sorted({name.partition('.')[0] for name in sys.modules} - set(sys.stdlib_module_names)))"
    )
    run = subprocess.run(
        [sys.executable, "-S", "-c", program],
        capture_output=True,
        text=True,
        check=False,
        env={**os.environ, "PYTHONPATH": str(ROOT / "python")},
    )
    assert run.stdout.strip() == "['__main__', 'd2deploy']", run.stdout + run.stderr


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        ([], 1, "the following arguments are required: COMMAND; --help shows the usage"),
        (["paint"], 1, "invalid choice: 'paint'"),
        (["info"], 1, "required: MODEL_DIR"),
        (["info", "nowhere"], 1, r"nowhere/model\.pb: cannot be read"),
        (["verify", "nowhere"], 1, r"nowhere/model\.pb"),
        (["benchmark", "nowhere"], 1, r"nowhere/model\.pb"),
        (["graph", "nowhere", "--output", "x.svg"], 1, r"nowhere/model\.pb: cannot be read"),
        (["predict", "nowhere", "x.jpg"], 1, r"nowhere/model\.pb"),
        (["benchmark", "EXAMPLE", "--runs", "0"], 1, "--runs is 0, must be at least 1"),
        (["benchmark", "EXAMPLE", "--operators", "-1"], 1, "--operators is -1, must be at least 0"),
        (["verify", "EXAMPLE", "--threads", "-2"], 1, "--threads is -2, must be at least 0"),
        (["verify", "EXAMPLE", "--device", "tpu"], 2, "tpu"),
        (["verify", "EXAMPLE", "--precision", "int3"], 2, "int3"),
        (["verify", "EXAMPLE", "--input", "nothing.png"], 1, r"nothing\.png: cannot be read as an image"),
        (["verify", "EXAMPLE", "--input-format", "XYZ"], 1, "XYZ"),
        (["convert", "--config-file", "nowhere.yaml", "--output", "x", "--no-verify"], 1, r"nowhere\.yaml"),
    ],
)
def test_errors(command: Command, example: Path, arguments: list[str], code: int, message: str) -> None:
    have, _, error = command(*[str(example) if a == "EXAMPLE" else a for a in arguments])
    assert (have, error.startswith("error: ")) == (code, True), error
    assert re.search(message, error), error
    assert "Traceback" not in error


@pytest.mark.parametrize(
    ("error", "code"),
    [(DeviceError("x"), 3), (InternalError("x"), 3), (Unsupported("x"), 2), (KeyboardInterrupt(), 130)],
)
def test_exit_codes(error: BaseException, code: int, capsys: pytest.CaptureFixture[str]) -> None:
    def fail() -> int:
        raise error

    assert shared.guarded(fail) == code
    assert capsys.readouterr().err == ("interrupted\n" if code == 130 else "error: x\n")


@pytest.mark.parametrize(
    ("error", "message"),
    [
        (OSError(28, "No space left on device"), "error: No space left on device\n"),
        (PermissionError(13, "Permission denied", "a/b"), "error: a/b: Permission denied\n"),
        (BrokenPipeError(32, "Broken pipe"), ""),
    ],
)
def test_what_the_system_refuses_is_told(error: OSError, message: str, capsys: pytest.CaptureFixture[str]) -> None:
    def fail() -> int:
        raise error

    assert shared.guarded(fail) == 1
    assert capsys.readouterr().err == message


def test_numbers_that_are_too_large(command: Command, example: Path) -> None:
    with pytest.raises(InvalidArgument, match=f"wanted 0 .* to {shared.MOST_THREADS}$"):
        _ext.Detector(example / "model.pb", example / "model_init.pb", threads=shared.MOST_THREADS + 1)
    for number in (shared.MOST_THREADS + 1, 10**12):
        assert command("benchmark", example, "--threads", number)[0::2] == (
            1,
            f"error: --threads is {number}, must be at most {shared.MOST_THREADS}\n",
        )
    code, _, error = command("predict", example, "x.png", "--min-size", 10**30)
    assert (code, "argument --min-size: 1000000000000000000000000000000 is too large a number" in error) == (1, True)


@pytest.mark.parametrize("unbuffered", ["", "1"])
def test_a_full_disk_behind_the_output(example: Path, unbuffered: str) -> None:
    with Path("/dev/full").open("w") as full:
        run = in_process("info", example, environment={"PYTHONUNBUFFERED": unbuffered}, stdout=full)
    assert (run.returncode, run.stderr) == (1, "error: No space left on device\n")


def test_names_that_the_terminal_cannot_show(example: Path, tmp_path: Path) -> None:
    picture = tmp_path / "é\udcff.png"
    shutil.copy(example / "input.png", picture)
    run = in_process("predict", example, picture, *SMALL, environment={"PYTHONIOENCODING": "ascii"})
    assert run.returncode == 0, run.stderr
    assert "\\xe9\\udcff.png: 2 \\xd7 class 1" in run.stdout


def test_an_interrupted_command_ends_without_a_traceback(example: Path) -> None:
    path = os.pathsep.join([str(ROOT / "python"), str(Path(_ext.__file__).parents[1])])
    code = """
import os, signal, sys, time
signal.signal(signal.SIGINT, signal.default_int_handler)  # a shell starts what runs in the background without it
from d2deploy.cli import benchmark, main

def interrupted(path):  # by its own hand, once it runs
    os.kill(os.getpid(), signal.SIGINT)
    time.sleep(60)

benchmark.read_sample = interrupted
sys.exit(main(sys.argv[1:]))
"""
    process = subprocess.Popen(
        [sys.executable, "-c", code, "benchmark", str(example)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, "PYTHONPATH": path},
    )
    _, error = process.communicate(timeout=120)
    assert (process.returncode, error) == (128 + signal.SIGINT, "interrupted\n")


@pytest.mark.parametrize(
    ("arguments", "module", "extra"),
    [
        (["predict", "EXAMPLE", "x.png"], "PIL", "predict"),
        (["predict", "EXAMPLE", "x.png"], "tqdm", "predict"),
        (["batch", "EXAMPLE", "x.png", "--output", "x"], "pyarrow", "batch"),
        (["batch", "EXAMPLE", "x.png", "--output", "x", "--engine", "ray"], "ray", "ray"),
        (["predict", "EXAMPLE", "x.mp4"], "cv2", "video"),
        (["predict", "EXAMPLE", "0"], "cv2", "video"),
        (["eval", "EXAMPLE", "--dataset-json", "x", "--image-root", "y"], "pycocotools", "eval"),
        (["verify", "EXAMPLE"], "PIL", "predict"),
        (["graph", "EXAMPLE", "--output", "x.svg"], "graphviz", "graph"),
        (["convert", "--config-file", "x", "--output", "y", "--no-verify"], "torch", "export"),
    ],
)
def test_missing_packages(example: Path, tmp_path: Path, arguments: list[str], module: str, extra: str) -> None:
    path = os.pathsep.join([str(ROOT / "python"), str(Path(_ext.__file__).parents[1])])
    hidden = f"import sys\nsys.modules[{module!r}] = None\nfrom d2deploy.cli import main\nsys.exit(main(sys.argv[1:]))"
    run = subprocess.run(
        [sys.executable, "-c", hidden, *[str(example) if a == "EXAMPLE" else a for a in arguments]],
        capture_output=True,
        text=True,
        check=False,
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": path},
    )
    assert run.returncode == 2, run.stderr
    assert f"needs the Python package {module}, which is not installed" in run.stderr
    assert f"pip install 'd2deploy[{extra}]'" in run.stderr


# ---- What a model is -------------------------------------------------------------------------------


def test_info(command: Command, example: Path) -> None:
    code, out, error = command("info", example, "--threads", 1)
    assert (code, error) == (0, "")
    net = _ext.Model(example / "model.pb", example / "model_init.pb", threads=1)
    assert f"inputs        {', '.join(net.inputs)}\n" in out
    assert f"outputs       {', '.join(net.outputs)}\n" in out
    assert re.search(r"^  BoxWithNMSLimit +1$", out, re.MULTILINE)
    assert "meta_architecture: GeneralizedRCNN" in out
    assert "runs here     yes" in out


def test_flops_of_a_small_net(tmp_path: Path) -> None:
    """Counted by hand: 8 x 6 pixels, of which the strided convolution in two groups makes 4 x 3."""
    from d2deploy.nets.files import write_nets
    from d2deploy.nets.proto import NetDef, argument

    weights = {"w": [4, 1, 3, 3], "t": [4, 5, 2, 2], "f": [7, 48], "b": [7], "m": [7, 2]}
    init = NetDef(external_output=list(weights))
    for name, shape in weights.items():
        init.op.add(type="ConstantFill", output=[name]).arg.append(argument("shape", shape))
    net = NetDef(external_input=["data", *weights], external_output=["u", "z"])
    for kind, given, made, values in (
        ("Conv", ["data", "w"], "y", {"kernel": 3, "pad": 1, "stride": 2, "group": 2}),
        ("ConvTranspose", ["y", "t"], "u", {"kernel": 2, "stride": 2}),
        ("FC", ["y", "f", "b"], "x", {}),
        ("MatMul", ["x", "m"], "z", {}),
    ):
        op = net.op.add(type=kind, input=given, output=[made])
        op.arg.extend(argument(name, value) for name, value in values.items())
    write_nets(net, init, tmp_path)
    model = _ext.Model(tmp_path / "model.pb", tmp_path / "model_init.pb", threads=1)
    multiply_adds = (4 * 4 * 3) * 9 + (4 * 4 * 3) * 5 * 4 + 7 * 48 + 2 * 7
    flops = flops_by_rows(model.profile({"data": np.zeros((1, 2, 8, 6), np.float32)}, 0))
    assert flops == {1: 2 * multiply_adds}


def test_flops(command: Command, example: Path) -> None:
    """Of the example, whose nodes are looked at here as the file has them."""
    from d2deploy import Caffe2Model
    from d2deploy.nets.files import constant_shapes

    model = Caffe2Model.load_protobuf(example, threads=1, min_size=96)
    shapes = {**model.shapes(), **constant_shapes(model.init_net)}
    wanted: Counter[int] = Counter()
    for op in model.predict_net.op:
        if op.type in ("Conv", "ConvTranspose", "FC"):
            of_weight: Any = shapes[op.input[1]]
            # Each weight of a convolution meets each place of its output, one that is transposed each of its input.
            places: Any = shapes[op.output[0] if op.type == "Conv" else op.input[0]]
            rows = min(places[0], 1000)  # the net keeps as many proposals, though the file's nodes may have more
            wanted[rows] += 2 * rows * int(np.prod([*places[2:], *of_weight] if op.type != "FC" else of_weight))
    boxes = sorted(wanted.keys() - {1})
    assert boxes == [100, 1000]  # the mask and the box head
    code, out, error = command("info", example, "--threads", 1, "--min-size", 96)
    assert (code, error) == (0, "")
    assert f"\nFLOPs         {wanted.total() / 1e9:.1f} GFLOP for a picture of 128 x 96 (multiply-add: 2)\n" in out
    assert f"\n  the picture {wanted[1] / 1e9:10.1f} GFLOP\n" in out
    for rows in boxes:
        assert f"\n  each box    {wanted[rows] / 1e6 / rows:10.1f} MFLOP, {rows:,} boxes at most\n" in out


def test_parameters_are_counted(example: Path) -> None:
    """Against protobuf's reader."""
    from d2deploy.export import Caffe2Model

    nets = Caffe2Model.load_protobuf(example)
    ours = read_net(example / "model_init.pb")
    wanted = {
        op.output[0]: int(np.prod(next(list(a.ints) for a in op.arg if a.name == "shape"))) for op in nets.init_net.op
    }
    assert ours.filled == wanted
    assert read_net(example / "model.pb").operators == [op.type for op in nets.predict_net.op]


def test_info_of_what_cannot_run_here(command: Command, example: Path, tmp_path: Path) -> None:
    data = (example / "model.pb").read_bytes()
    shutil.copy(example / "model_init.pb", tmp_path)
    (tmp_path / "model.pb").write_bytes(data.replace(b"CollectRpnProposals", b"CollectRpnProposalz"))
    code, out, error = command("info", tmp_path, "--threads", 1)
    assert code == 2
    assert "CollectRpnProposalz         1" in out
    assert "runs here     no" in out
    assert "CollectRpnProposalz" in error


def test_info_marks_what_the_original_lacks(command: Command, example: Path, tmp_path: Path) -> None:
    """Pages say so of the same operators."""
    pages = (ROOT / "docs" / "operators.md").read_text().split("\n## ")[1:]
    assert {page.partition("\n")[0] for page in pages if re.search(r"[Ee]xtension", page)} == set(EXTENSIONS)
    data = (example / "model.pb").read_bytes()
    shutil.copy(example / "model_init.pb", tmp_path)
    (tmp_path / "model.pb").write_bytes(data.replace(b"CollectRpnProposals", b"AdaptiveAveragePool"))
    _, out, _ = command("info", tmp_path, "--threads", 1)
    marked = re.findall(r"^  (\w+) +[0-9]+  an extension: the original Caffe2 does not run it$", out, re.MULTILINE)
    assert marked == ["AdaptiveAveragePool"]


def test_a_net_that_ends_within_a_field_is_an_error(example: Path, tmp_path: Path) -> None:
    data = (example / "model_init.pb").read_bytes()
    for cut in (1, 2, 5000):
        (tmp_path / "model_init.pb").write_bytes(data[:-cut])
        with pytest.raises(InvalidModel, match=r"model_init\.pb: is not a Caffe2 net, or is damaged: "):
            read_net(tmp_path / "model_init.pb")


@pytest.mark.parametrize("data", [b"", b"\xff" * 40, b"\x12\x05ab", b"\x10\x01", b"\x0b"])
def test_no_net_is_an_error(tmp_path: Path, data: bytes) -> None:
    (tmp_path / "model.pb").write_bytes(data)
    with pytest.raises(InvalidModel, match=r"model\.pb: (is not a Caffe2 net|holds no operators)"):
        read_net(tmp_path / "model.pb")


def test_verify(command: Command, example: Path) -> None:
    code, out, error = command("verify", example, *SMALL)
    assert (code, error) == (0, "")
    assert re.search(r"^  bbox_nms +\d+ x 4 +ok$", out, re.MULTILINE)
    assert re.search(r"^ok: \d+ detections in the picture$", out, re.MULTILINE)


def test_weights_that_are_not_finite(command: Command, example: Path, tmp_path: Path) -> None:
    from d2deploy.export import Caffe2Model

    nets = Caffe2Model.load_protobuf(example)
    op = next(op for op in nets.init_net.op if op.output[0].startswith("mask_fcn_logits") or "mask" in op.output[0])
    values = next(a for a in op.arg if a.name == "values")
    values.floats[0] = float("nan")
    nets.save_protobuf(tmp_path)
    code, _, error = command("verify", tmp_path, *SMALL)
    assert code == 2, error
    assert re.search(r"not finite|finite", error), error


def test_benchmark(command: Command, example: Path) -> None:
    code, out, error = command("benchmark", example, "--input", example / "input.png", "--runs", 5, *SMALL)
    assert (code, error) == (0, "")
    numbers = {
        name: float(re.search(rf"^{name} +([\d.]+)", out, re.MULTILINE)[1])  # type: ignore[index]
        for name in ("load", "prediction", "net alone", "throughput", "peak memory")
    }
    assert all(value > 0 for value in numbers.values()), out
    assert "for the net 128 x 96" in out
    p90 = re.search(r"prediction +([\d.]+) ms median, ([\d.]+) ms p90, 5 runs", out)
    assert p90 is not None, out
    assert float(p90[2]) >= float(p90[1])
    of_types, of_operators = out.split("\ntypes of operators, mean of 5 runs\n")[1].split("\noperators\n")
    shares = [float(share) for share in re.findall(r"([\d.]+) %", of_types)]
    assert shares == sorted(shares, reverse=True)
    assert 90 < sum(shares) <= 100.5  # ten types at most are shown
    assert re.search(r"^ +[\d.]+ +[\d.]+ % +[\d.]+ +\d+ +Conv", of_types, re.MULTILINE)
    assert len(of_operators.splitlines()) == 1 + 10


def test_benchmark_of_throughput(command: Command, example: Path) -> None:
    arguments = ["benchmark", example, "--input", example / "input.png", "--runs", 7, "--operators", 0]
    code, out, error = command(*arguments, *SMALL, "--threads", 3, "--mode", "throughput")
    assert (code, error) == (0, "")
    assert re.search(r"^throughput +[\d.]+ pictures/s, 3 at a time$", out, re.MULTILINE), out
    code, out, error = command(*arguments, *SMALL, "--mode", "fast")
    assert code == 1
    assert "'fast'" in error


def test_benchmark_of_as_many_operators_as_are_wanted(command: Command, example: Path) -> None:
    arguments = ["benchmark", example, "--input", example / "input.png", "--runs", 1, *SMALL, "--operators"]
    code, out, error = command(*arguments, 3)
    assert (code, error) == (0, "")
    assert len(out.split("\noperators\n")[1].splitlines()) == 1 + 3
    assert "operators" not in command(*arguments, 0)[1]


@pytest.mark.skipif(shutil.which("dot") is None, reason="Graphviz's dot is not installed")
def test_graph(command: Command, example: Path, tmp_path: Path) -> None:
    code, _, error = command("graph", example, "--output", tmp_path / "net.svg")
    assert (code, error) == (0, "")
    svg = (tmp_path / "net.svg").read_text()
    assert svg.count(">Conv<") == read_net(example / "model.pb").operators.count("Conv")
    code, _, error = command("graph", example, "--output", tmp_path / "no" / "net.svg")
    assert code == 1
    assert "cannot be written" in error
