"""`d2deploy benchmark`: how long predictions take."""

from __future__ import annotations

import argparse
import resource
import statistics
import time
from collections.abc import Callable
from pathlib import Path

from d2deploy.cli.sample import net_inputs_of, read_sample
from d2deploy.cli.shared import (
    Commands,
    add_command,
    add_model,
    add_picture_rule,
    add_runtime,
    load_detector,
    runtime_options,
)
from d2deploy.errors import InvalidArgument

DESCRIPTION = """\
Measures how long a model takes: loading, whole predictions (from a picture to detections), and the net alone. Runs
that are not counted come first. Peak memory is that of the whole process.
"""


def add_to(commands: Commands) -> None:
    parser = add_command(
        commands,
        "benchmark",
        "measure how long predictions take",
        DESCRIPTION,
        "  %(prog)s model\n  %(prog)s model --input street.jpg --runs 50 --threads 4",
    )
    add_model(parser)
    parser.add_argument("--input", metavar="IMAGE", type=Path, help="picture to predict (default: one of shapes)")
    parser.add_argument("--runs", metavar="N", type=int, default=20, help="runs that are counted (default: 20)")
    add_picture_rule(parser)
    add_runtime(parser)
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    if args.runs < 1:
        raise InvalidArgument(f"--runs is {args.runs}, must be at least 1")
    image = read_sample(args.input)
    start = time.perf_counter()
    detector = load_detector(args)
    loading = time.perf_counter() - start
    whole = _seconds(lambda: detector.predict(image, "RGB"), args.runs)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss  # in KiB; before the net is loaded a second time
    from d2deploy.runtime import load

    model = load(args.model, **runtime_options(args))
    inputs = net_inputs_of(image, detector.input, model.inputs)
    net = _seconds(lambda: model.run(inputs), args.runs)
    height, width = inputs["data"].shape[2:]
    print(f"picture      {image.shape[1]} x {image.shape[0]}, for the net {width} x {height}")
    print(f"load         {loading * 1000:10.1f} ms")
    for name, seconds in (("prediction", whole), ("net alone", net)):
        print(f"{name:<13}{_median(seconds):10.1f} ms median, {_p90(seconds):.1f} ms p90, {args.runs} runs")
    print(f"throughput   {len(whole) / sum(whole):10.2f} pictures/s")
    print(f"peak memory  {peak / 1024:10.1f} MiB")
    return 0


def _seconds(work: Callable[[], object], runs: int) -> list[float]:
    for _ in range(min(runs, 3)):
        work()
    seconds = []
    for _ in range(runs):
        start = time.perf_counter()
        work()
        seconds.append(time.perf_counter() - start)
    return seconds


def _median(seconds: list[float]) -> float:
    return statistics.median(seconds) * 1000


def _p90(seconds: list[float]) -> float:
    """The least time that at least 90 % of the runs did not exceed."""
    return sorted(seconds)[-(-9 * len(seconds) // 10) - 1] * 1000
