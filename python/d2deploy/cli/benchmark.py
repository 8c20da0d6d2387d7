"""`d2deploy benchmark`: how long predictions take."""

from __future__ import annotations

import argparse
import resource
import statistics
import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING, Any

from d2deploy.cli.sample import boxes_of, net_inputs_of, read_sample
from d2deploy.cli.shared import (
    Commands,
    add_command,
    add_mode,
    add_model,
    add_picture_rule,
    add_runtime,
    check_at_least,
    load_detector,
    runtime_options,
)

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from d2deploy.runtime import Detector

DESCRIPTION = """\
Measures how long a model takes: loading, whole predictions (from a picture to detections), the net alone, and each of
its operators, in runs of their own. Runs that are not counted come first. Peak memory is that of the whole process.
In mode throughput predictions are made as many at a time as there are threads.
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
    parser.add_argument(
        "--operators",
        metavar="N",
        type=int,
        default=10,
        help="show the N types of operators, and the N operators, that take most of the\ntime (default: 10; 0: none)",
    )
    add_picture_rule(parser)
    add_runtime(parser)
    add_mode(parser)
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    check_at_least("--runs", args.runs, 1)
    check_at_least("--operators", args.operators, 0)
    image = read_sample(args.input)
    start = time.perf_counter()
    detector = load_detector(args, args.mode)
    loading = time.perf_counter() - start
    whole, rate = _predictions(detector, image, args.runs)
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
    print(f"throughput   {rate:10.2f} pictures/s, {detector.streams} at a time")
    print(f"peak memory  {peak / 1024:10.1f} MiB")
    if args.operators:
        print_operators(model.profile(inputs, args.runs), args.operators)
    return 0


def print_operators(nodes: Sequence[Mapping[str, Any]], most: int) -> None:
    """Where the time goes, by type of operator and by operator.

    Args:
        nodes: `Model.profile`.
        most: rows of a table.
    """
    types: dict[str, dict[str, Any]] = {}
    for node in nodes:
        total = types.setdefault(
            node["operator"], {"milliseconds": 0.0, "flops": 0.0, "runs": node["runs"], "nodes": 0}
        )
        total["nodes"] += 1
        for name in ("milliseconds", "flops"):
            total[name] += node[name]
    shared = sum(node["milliseconds"] for node in nodes) or 1.0
    print(f"\ntypes of operators, mean of {nodes[0]['runs']} runs")
    _table([(total, [str(total["nodes"]), kind]) for kind, total in types.items()], ["nodes", "type"], shared, most)
    print("\noperators")
    rows = [(node, [node["operator"], *_output(node), node["kernel"]]) for node in nodes]
    _table(rows, ["type", "output", "shape", "kernel"], shared, most)


def _output(node: Mapping[str, Any]) -> tuple[str, str]:
    """Name and shape of the first one."""
    name, shape = next(iter(node["outputs"].items()))
    return name, " x ".join("?" if dim is None else str(dim) for dim in shape) or "scalar"


def _table(rows: Sequence[tuple[Mapping[str, Any], list[str]]], head: list[str], shared: float, most: int) -> None:
    """Prints those that take most: their time, share and speed, and what else is told of them."""
    lines = [["ms", "share", "GFLOP/s", *head]]
    for node, words in sorted(rows, key=lambda row: -row[0]["milliseconds"])[:most]:
        each = node["milliseconds"] / node["runs"]
        speed = f"{node['flops'] / each / 1e6:.1f}" if node["flops"] and each else ""
        lines.append([f"{each:.3f}", f"{100 * node['milliseconds'] / shared:.1f} %", speed, *words])
    widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
    for line in lines:
        numbers = [word.rjust(width) for word, width in zip(line[:3], widths[:3])]
        print("  ".join(["", *numbers, *[word.ljust(width) for word, width in zip(line[3:], widths[3:])]]).rstrip())


def _seconds(work: Callable[[], object], runs: int) -> list[float]:
    for _ in range(min(runs, 3)):
        work()
    seconds = []
    for _ in range(runs):
        start = time.perf_counter()
        work()
        seconds.append(time.perf_counter() - start)
    return seconds


def _predictions(detector: Detector, image: NDArray[np.uint8], runs: int) -> tuple[list[float], float]:
    """Seconds of each of `runs` predictions, and how many are made per second."""

    def timed(_: int) -> float:
        start = time.perf_counter()
        detector.predict(image, "RGB", boxes)
        return time.perf_counter() - start

    boxes, streams = boxes_of(image, detector), detector.streams
    with ThreadPoolExecutor(streams) as pool:
        list(pool.map(timed, range(streams * min(runs, 3))))
        start = time.perf_counter()
        seconds = list(pool.map(timed, range(runs)))
        return seconds, runs / (time.perf_counter() - start)


def _median(seconds: list[float]) -> float:
    return statistics.median(seconds) * 1000


def _p90(seconds: list[float]) -> float:
    """The least time that at least 90 % of the runs did not exceed."""
    return sorted(seconds)[-(-9 * len(seconds) // 10) - 1] * 1000
