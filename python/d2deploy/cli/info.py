"""`d2deploy info`: what a model is, and whether it runs here."""

from __future__ import annotations

import argparse
from collections import Counter
from collections.abc import Sequence
from typing import Any

from d2deploy.cli.netfile import read_net
from d2deploy.cli.shared import Commands, add_command, add_model, add_picture_rule, add_runtime, load_detector
from d2deploy.errors import Unsupported

MOST_SHOWN = 12  # of a long list


def add_to(commands: Commands) -> None:
    parser = add_command(
        commands,
        "info",
        "show inputs, outputs, operators, parameters, classes",
        "Shows what a model is: inputs, outputs, operators, parameters, classes. Says too what of it is not available\n"
        "here; the exit code is then 2.",
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
        print(f"  {kind:<{width}}  {count:>5,}")
    try:
        detector = load_detector(args)
    except Unsupported:
        _say("runs here", "no")
        raise
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


def _size(rule: dict[str, Any]) -> str:
    if not rule["min_size"]:
        return "not resized"
    return f"shorter side {rule['min_size']} pixels, longer side at most {rule['max_size']}"


def _value(value: Any) -> str:
    if isinstance(value, Sequence) and not isinstance(value, (str, bytes)):
        shown = ", ".join(map(_value, value[:MOST_SHOWN]))
        return shown + (f", ... ({len(value)})" if len(value) > MOST_SHOWN else "")
    return f"{value:g}" if isinstance(value, float) else str(value)
