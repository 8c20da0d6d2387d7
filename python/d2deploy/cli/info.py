"""`d2deploy info`: what a model is, and whether it runs here."""

from __future__ import annotations

import argparse
from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from d2deploy.cli.netfile import read_net
from d2deploy.cli.shared import (
    Commands,
    add_command,
    add_model,
    add_picture_rule,
    add_runtime,
    load_detector,
    runtime_options,
)
from d2deploy.errors import Unsupported

if TYPE_CHECKING:
    from d2deploy.runtime import Detector

# Operators in files that the original Caffe2 lacks, or that it has for less than what is exported.
EXTENSIONS = (
    *("AdaptiveAveragePool", "AdaptiveMaxPool", "DeformConv", "Interpolate"),
    *("OwnClass", "PointSample", "PutPoints", "UncertainPoints"),
)
MOST_SHOWN = 12  # of a long list
DESCRIPTION = """\
Shows what a model is: inputs, outputs, operators, parameters, FLOPs, classes. Says too which operators the
original Caffe2 does not run, and what is not available here; the exit code is then 2.

FLOPs are the floating point operations of Conv, ConvTranspose, DeformConv, FC, MatMul and BatchMatMul, a multiply-add
counting as two, for one picture of sides 3 : 4 that is resized and padded as the model wants it. What is done for each
box is counted with the most boxes that there can be.
"""


def add_to(commands: Commands) -> None:
    parser = add_command(
        commands,
        "info",
        "show inputs, outputs, operators, parameters, FLOPs, classes",
        DESCRIPTION,
        "  %(prog)s examples/mask_rcnn",
    )
    add_model(parser)
    add_picture_rule(parser)
    add_runtime(parser)
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    predict, init = read_net(args.model / "model.pb"), read_net(args.model / "model_init.pb")
    inputs = [name for name in predict.inputs if name not in init.filled]
    weights = sum(init.filled.get(name, 0) for name in set(predict.inputs))
    _say("files", f"{args.model / 'model.pb'}, {args.model / 'model_init.pb'}")
    _say("inputs", ", ".join(inputs))
    _say("outputs", ", ".join(predict.outputs))
    _say("parameters", f"{weights:,} in {len(init.filled):,} tensors")
    counts = Counter(predict.operators)
    _say("operators", f"{len(predict.operators):,} of {len(counts)} types")
    width = max(map(len, counts))
    for kind, count in counts.most_common():
        mark = "  an extension: the original Caffe2 does not run it" if kind in EXTENSIONS else ""
        print(f"  {kind:<{width}}  {count:>5,}{mark}")
    try:
        detector = load_detector(args)
    except Unsupported:
        _say("runs here", "no")
        raise
    _say_flops(args, detector)
    rule = detector.input
    _say("pictures", f"{rule['input_format']}, {_size(rule)}")
    names, stuff = detector.class_names, detector.stuff_class_names
    _say("classes", f"{len(names)}: {', '.join(names)}" if names else "the file does not tell their names")
    if stuff:
        _say("stuff classes", f"{len(stuff)}: {', '.join(stuff)}")
    print("metadata")
    for name, value in sorted(detector.info.items()):
        print(f"  {name}: {_value(value)}")
    _say("runs here", "yes")
    return 0


def _say(label: str, text: str) -> None:
    print(f"{label:<14}{text}")


def _say_flops(args: argparse.Namespace, detector: Detector) -> None:
    from d2deploy.runtime import load
    from d2deploy.runtime.shapes import usual_inputs

    model = load(args.model, **runtime_options(args))
    inputs = {name: array for name, array in usual_inputs(detector.input).items() if name in model.inputs}
    height, width = inputs["data"].shape[2:]
    flops = flops_by_rows(model.profile(inputs, 0))
    _say("FLOPs", f"{sum(flops.values()) / 1e9:.1f} GFLOP for a picture of {width} x {height} (multiply-add: 2)")
    for rows, count in sorted(flops.items()):
        if rows == 1:
            print(f"  {'the picture':<12}{count / 1e9:10.1f} GFLOP")
        else:
            print(f"  {'each box':<12}{count / 1e6 / rows:10.1f} MFLOP, {rows:,} boxes at most")


def flops_by_rows(nodes: Sequence[Mapping[str, Any]]) -> dict[int, float]:
    """Floating point operations for one picture, by the number of rows that they are done for: 1, or boxes.

    Args:
        nodes: `Model.profile`.
    """
    flops: dict[int, float] = defaultdict(float)
    for node in nodes:
        if node["flops"]:
            flops[next(iter(node["outputs"].values()))[0]] += node["flops"]
    return dict(flops)


def _size(rule: dict[str, Any]) -> str:
    if not rule["min_size"]:
        return "not resized"
    return f"shorter side {rule['min_size']} pixels, longer side at most {rule['max_size']}"


def _value(value: Any) -> str:
    if isinstance(value, Sequence) and not isinstance(value, (str, bytes)):
        shown = ", ".join(map(_value, value[:MOST_SHOWN]))
        return shown + (f", ... ({len(value)})" if len(value) > MOST_SHOWN else "")
    return f"{value:g}" if isinstance(value, float) else str(value)
