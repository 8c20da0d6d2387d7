"""`d2deploy calibrate`: the ranges of a net's values over real pictures, which precision int8 needs."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from d2deploy.cli.pictures import find_sources, read_ahead
from d2deploy.cli.sample import net_inputs_of
from d2deploy.cli.shared import (
    Commands,
    add_command,
    add_model,
    add_picture_rule,
    check_at_least,
    check_compiled,
    check_threads,
    needs,
    picture_rule,
    warn,
)
from d2deploy.errors import InvalidArgument

if TYPE_CHECKING:
    from d2deploy._ext import Calibrator

DESCRIPTION = """\
Runs a model on pictures in float32 and writes which ranges its values have, and which layers lose too much in int8
to run in it: what --precision int8 needs. Some dozen pictures like those that the model will see are enough; they need
no annotations. The file belongs to the weights: another training needs another one.

Ends by showing the layers that int8 changes most. Measure what it costs with:
  d2deploy eval MODEL_DIR --precision int8 ...
"""
EXAMPLES = """\
  %(prog)s model --images val2017 --max-images 64
  %(prog)s model --images street.jpg yard.jpg --out street.txt"""
CALIBRATION = "calibration.txt"
MEASURED = 8  # pictures that each layer is measured on: it takes as long as some runs of the net


def add_to(commands: Commands) -> None:
    parser = add_command(commands, "calibrate", "find out what precision int8 needs to know", DESCRIPTION, EXAMPLES)
    add_model(parser)
    add = parser.add_argument
    add("--images", metavar="PATH", nargs="+", required=True, help="pictures, or folders or patterns of them")
    add("--out", metavar="FILE", type=Path, help=f"where to write (default: {CALIBRATION} in the model's folder)")
    add("--max-images", metavar="N", type=int, default=100, help="take N pictures of all, evenly (default: 100)")
    add(
        "--max-error",
        metavar="E",
        type=float,
        default=0.1,
        help="layers that int8 changes by more than this part of their output stay\nfloat32 (default: 0.1)",
    )
    add("--threads", metavar="N", type=int, default=0, help="threads of a run (default: all that it may use)")
    add_picture_rule(parser)
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    check_at_least("--max-images", args.max_images, 1)
    check_threads(args.threads)
    calibrate(
        args.model,
        args.images,
        args.out or args.model / CALIBRATION,
        most=args.max_images,
        max_error=args.max_error,
        threads=args.threads,
        rule=picture_rule(args),
    )
    return 0


def calibrate(
    folder: Path,
    images: Sequence[str],
    out: Path,
    *,
    most: int = 100,
    max_error: float = 0.1,
    threads: int = 0,
    rule: dict[str, Any] | None = None,
) -> None:
    """Calibrates the model of a folder.

    Args:
        folder: with `model.pb` and `model_init.pb`.
        images: pictures, folders, patterns.
        out: the file to write.
        most: pictures that are taken.
        max_error: of a layer that may run in int8.
        threads: of a run.
        rule: options of `Detector` about pictures.

    Raises:
        InvalidArgument: no picture can be read, or the file cannot be written.
    """
    check_compiled()
    if out.is_dir() or not out.parent.is_dir():
        raise InvalidArgument(f"--out {out}: cannot be written, wanted a file in a folder that is there")
    with needs("calibrating", "predict"):
        from tqdm import tqdm

        import d2deploy.images  # noqa: F401  # what reads pictures
    from d2deploy._ext import Calibrator, Detector

    sources = [source for source in find_sources(images) if not source.moving]
    if not sources:
        raise InvalidArgument(f"--images {' '.join(images)}: are videos or cameras, wanted pictures")
    sources = [sources[i * len(sources) // most] for i in range(most)] if len(sources) > most else sources
    files = (folder / "model.pb", folder / "model_init.pb")
    wanted = Detector(*files, threads=threads, **(rule or {})).input
    calibrator = Calibrator(*files, threads=threads, max_error=max_error)

    observed = 0
    measured: list[dict[str, Any]] = []
    every = max(len(sources) // MEASURED, 1)
    for frame in tqdm(read_ahead(sources), "observing", len(sources), disable=None, unit="picture"):
        if frame.pixels is None:
            warn(frame.fault)
            continue
        inputs = net_inputs_of(frame.pixels, wanted, calibrator.inputs)
        calibrator.observe(inputs)
        if observed % every == 0 and len(measured) < MEASURED:
            measured.append(inputs)
        observed += 1
    if observed == 0:
        raise InvalidArgument(f"--images {' '.join(images)}: no picture of these can be read")
    for inputs in tqdm(measured, "measuring", disable=None, unit="picture"):
        calibrator.measure(inputs)
    calibrator.write(out)
    print(table(calibrator))
    print(f"{out}: ranges from {observed} {'picture' if observed == 1 else 'pictures'}")


def table(calibrator: Calibrator, most: int = 10) -> str:
    """The layers that int8 changes most, all that stay float32 among them."""
    layers = sorted(calibrator.layers(), key=lambda layer: -layer["error"])
    kept = sum(layer["stays_float32"] for layer in layers)
    shown = layers[: max(most, kept)]
    lines = [f"{'layer':<40} {'error':>8}"]
    for layer in shown:
        stays = "  stays float32" if layer["stays_float32"] else ""
        lines.append(f"{layer['output']:<40} {layer['error']:>8.4f}{stays}")
    lines.append(f"{len(layers) - kept} of {len(layers)} layers run in int8")
    return "\n".join(lines)
