"""`d2deploy verify`: whether the files of a model are right and run here."""

from __future__ import annotations

import argparse
from pathlib import Path

from d2deploy.cli.sample import boxes_of, net_inputs_of, read_sample
from d2deploy.cli.shared import (
    Commands,
    add_command,
    add_model,
    add_picture_rule,
    add_runtime,
    load_detector,
    runtime_options,
    step,
)
from d2deploy.errors import InvalidModel


def add_to(commands: Commands) -> None:
    parser = add_command(
        commands,
        "verify",
        "check that the files of a model are right and run here",
        "Checks that the files of a model are whole and run here. They are read, checked, and run on a picture; all\n"
        "numbers that come out must be finite. Whether they compute what PyTorch computes is checked by `convert`.",
        "  %(prog)s model\n  %(prog)s model --input street.jpg",
    )
    add_model(parser)
    parser.add_argument("--input", metavar="IMAGE", type=Path, help="picture to run (default: one of shapes)")
    add_picture_rule(parser)
    add_runtime(parser)
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    image = read_sample(args.input)
    with step("Reading and checking the files"):
        detector = load_detector(args)
    from d2deploy.runtime import load

    with step("Running the net on a picture"):
        model = load(args.model, **runtime_options(args))
        outputs = model.run(net_inputs_of(image, detector.input, model.inputs))
    import numpy as np

    faults = []
    for name, array in outputs.items():
        wrong = int((~np.isfinite(array)).sum())
        print(f"  {name:<24} {' x '.join(map(str, array.shape)):<20} {f'{wrong} not finite' if wrong else 'ok'}")
        if wrong:
            faults.append(f"{name} has {wrong} of {array.size} numbers that are not finite")
    if faults:
        raise InvalidModel(
            f"{args.model}: {'; '.join(faults)}; are the weights damaged, or of a training that diverged?"
        )
    with step("Predicting"):
        found = detector.predict(image, "RGB", boxes_of(image, detector))
    if "class_map" in found:
        print(f"ok: {len(np.unique(found['class_map']))} classes of pixels in the picture")
        return 0
    print(f"ok: {len(found['scores'])} {'detections' if 'classes' in found else 'proposals'} in the picture")
    return 0
