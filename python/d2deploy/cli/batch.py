"""`d2deploy batch`: predictions for very many pictures, as Parquet, on one machine or many."""

from __future__ import annotations

import argparse
import math
import os
import re
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from d2deploy.cli.shared import (
    Commands,
    add_command,
    add_max_batch,
    add_model,
    add_picture_rule,
    add_runtime,
    check_at_least,
    check_compiled,
    max_batch,
    needs,
    picture_rule,
    runtime_options,
    shown_warnings,
)
from d2deploy.errors import InvalidArgument

if TYPE_CHECKING:
    from d2deploy.batch.job import Job, Listing
    from d2deploy.batch.output import Counts
    from d2deploy.batch.progress import Progress

DESCRIPTION = """\
Finds objects in very many pictures, and writes Parquet files: a row for each picture, with what was found or what is
wrong with it. Killed at any moment, the same command goes on where it was. Several processes or machines share a job
by --shard, or by --engine ray.

Needs the packages of d2deploy[batch], for --engine ray those of d2deploy[ray].
docs/batch.md in the sources tells the columns, and how to run it on Slurm, Kubernetes and Ray.
"""
EXAMPLES = """\
  %(prog)s model photos 'more/**/*.jpg' --output found
  %(prog)s model pictures.parquet --path-column file --output found --format coco
  %(prog)s model 'shards/*.tar' --output found --shard auto      # in an array of Slurm
  %(prog)s model list.csv --output found --engine ray --address auto
  %(prog)s --output found --format coco                          # of a job that is finished"""


def add_to(commands: Commands) -> None:
    parser = add_command(commands, "batch", "find objects in very many pictures", DESCRIPTION, EXAMPLES)
    add_model(parser, optional=True)
    add = parser.add_argument
    add(
        "inputs",
        metavar="INPUT",
        nargs="*",
        help="a picture, a folder of pictures, a manifest (.csv, .jsonl, .ndjson, .parquet),\na tar file of pictures, "
        "a pattern of such names as 'photos/**/*.jpg'",
    )
    add("--output", metavar="DIR", type=Path, required=True, help="folder of the job; made where it is missing")
    add(
        "--format",
        choices=("parquet", "coco"),
        default="parquet",
        help="parquet (default), or also coco: COCO results of the whole job, DIR/coco.json",
    )
    add("--threshold", metavar="T", type=float, default=0.5, help="least score of what is written (0.5)")
    add(
        "--block-size",
        metavar="N",
        type=int,
        default=512,
        help="pictures of a part (512): so many at most are done again after a kill",
    )
    add("--path-column", metavar="NAME", default="path", help="of manifests: the column of the pictures' paths (path)")
    add("--id-column", metavar="NAME", help="of manifests: the column of ids (default: id, where there is one)")
    add(
        "--image-root",
        metavar="DIR",
        help="of manifests: the folder that relative paths begin at (default: the manifest's)",
    )
    add(
        "--shard",
        metavar="I/N",
        default="0/1",
        help="do part I of N, from 0 to N-1; auto: as the environment of a Slurm array tells,\nauto/N: there, or as "
        "an indexed job of Kubernetes tells",
    )
    add(
        "--redo-errors",
        action="store_true",
        help="do parts again in which a picture has an error, as after a disk was missing",
    )
    add(
        "--max-errors",
        metavar="SHARE",
        type=float,
        default=0.0,
        help="exit with 0 where at most this part of the pictures has an error, as 0.01\n(default: 0, the exit code "
        "tells of any)",
    )
    _add_machines(parser)
    add_picture_rule(parser)
    add_runtime(parser)
    parser.set_defaults(run=run)


def _add_machines(parser: argparse.ArgumentParser) -> None:
    add = parser.add_argument
    add(
        "--devices",
        metavar="LIST",
        help="several devices, a model on each, as cuda:0,cuda:1 (default: what --device says)",
    )
    add_max_batch(parser)
    add("--price-per-core-hour", metavar="P", type=float, help="tell at the end what it cost")
    add("--price-per-gpu-hour", metavar="P", type=float, help="the same, where GPUs compute")
    add(
        "--engine",
        choices=("local", "ray"),
        default="local",
        help="local (default): this machine; ray: all machines of a cluster of Ray",
    )
    add("--address", metavar="ADDRESS", help="of the cluster: auto, or host:port (default: started for this job alone)")
    add("--actors", metavar="N", type=int, default=0, help="most processes on the cluster (default: as it has room)")
    add(
        "--object-store-memory",
        metavar="MB",
        type=int,
        default=100,
        help="of a cluster that is started for this job (100)",
    )


def run(args: argparse.Namespace) -> int:
    with needs("predicting in batches", "batch"):
        import d2deploy.batch.progress  # noqa: F401  # with all that it needs
        from d2deploy.batch.coco import write_coco

    if args.model is None:
        if args.format != "coco":
            raise InvalidArgument("MODEL_DIR and INPUT are missing; without them --format coco makes results of a job")
        print(write_coco(args.output))
        return 0
    _check(args)
    with shown_warnings():
        code = _predict(args)
    if args.format == "coco":
        print(write_coco(args.output))
    return code


def _check(args: argparse.Namespace) -> None:
    """What would go wrong late is told at the start."""
    if not args.inputs:
        raise InvalidArgument("INPUT is missing: a picture, a folder, a pattern, a manifest or a tar file")
    for option, value in (("--threshold", args.threshold), ("--max-errors", args.max_errors)):
        if not 0 <= value <= 1:
            raise InvalidArgument(f"{option} is {value}, must be from 0 to 1")
    for option, value in (
        ("--price-per-core-hour", args.price_per_core_hour),
        ("--price-per-gpu-hour", args.price_per_gpu_hour),
    ):
        if value is not None and not 0 <= value < math.inf:
            raise InvalidArgument(f"{option} is {value}, must be at least 0")
    check_at_least("--block-size", args.block_size, 1)
    check_at_least("--actors", args.actors, 0)
    check_at_least("--object-store-memory", args.object_store_memory, 76)  # Ray takes no less
    for device in devices(args):
        if not re.fullmatch(r"cpu|cuda(:\d+)?", device):
            raise InvalidArgument(f"--devices: {device!r} is none, wanted cpu, cuda or cuda:1, with commas between")
    if args.engine == "local" and (args.address or args.actors):
        raise InvalidArgument("--address and --actors are for --engine ray")
    if args.engine == "ray" and args.devices:
        raise InvalidArgument("--devices: on a cluster of Ray each process has one device; give --device")
    check_compiled()
    if args.engine == "ray":
        with needs("--engine ray", "ray"):
            import d2deploy.batch.fleet  # noqa: F401


def devices(args: argparse.Namespace) -> list[str]:
    return [name.strip() for name in (args.devices or args.device).split(",")]


def _predict(args: argparse.Namespace) -> int:
    from d2deploy.batch.entries import shard_of
    from d2deploy.batch.job import Listing
    from d2deploy.batch.output import Counts, Output
    from d2deploy.batch.progress import Progress, Total

    shard = shard_of(args.shard)
    if args.format == "coco" and shard.count > 1:
        raise InvalidArgument(
            f"--format coco: a shard alone does not have all results; when all shards have ended: d2deploy batch "
            f"--output {args.output} --format coco"
        )
    job, speed = _job(args)
    job.inputs.check()
    output = Output(args.output, job.identity())
    with output.lock(shard):
        listing = Listing(job, output, shard)
        if args.redo_errors:
            listing.discard_errors()
        with Total(listing.pictures_to_do) as total, Progress(total) as progress:
            units, steps = _engine(args, listing, progress, speed)
        counts = Counts(progress.pictures + listing.finished.pictures, progress.errors + listing.finished.errors)
        if not counts.pictures and shard.count == 1:
            raise InvalidArgument(f"no pictures are in {', '.join(args.inputs)}")
        report = _report(args, progress, units, steps)
        if progress.pictures or not output.has_report(shard):
            output.write_report(shard, {"shard": str(shard), **vars(counts), "run": report})
    _tell(args, counts, listing.finished, report)
    return int(counts.errors > args.max_errors * counts.pictures)


def _job(args: argparse.Namespace) -> tuple[Job, dict[str, Any]]:
    """The job, and what of the options decides only how fast it is."""
    from d2deploy.batch.inputs import Inputs
    from d2deploy.batch.job import Job
    from d2deploy.batch.manifests import Columns

    options = runtime_options(args)
    speed = {"max_batch": max_batch(args), **{name: options[name] for name in ("low_memory", "tune")}}
    meaning = {"precision": options["precision"], **picture_rule(args)}
    if options["calibration"]:
        meaning["calibration"] = os.path.realpath(options["calibration"])
    inputs = Inputs(args.inputs, Columns(args.path_column, args.id_column, args.image_root))
    return Job(str(args.model), inputs, args.block_size, args.threshold, meaning), speed


def _engine(
    args: argparse.Namespace, listing: Listing, progress: Progress, speed: Mapping[str, Any]
) -> tuple[int, dict[str, float]]:
    """Predicts all that is to be done: cores or GPUs that did it, and seconds that each step took."""
    if args.engine == "ray":
        from d2deploy.batch.fleet import Cluster, predict_on_cluster

        cluster = Cluster(
            args.address, args.actors, args.threads, args.device, speed, args.object_store_memory * 1_000_000
        )
        return predict_on_cluster(listing, cluster, progress.add_many), {}
    from d2deploy.batch.job import predict_blocks
    from d2deploy.batch.workers import Workers, lanes_on

    lanes = lanes_on(devices(args), str(args.model), {**listing.job.detector, **speed}, args.threads)
    with Workers(lanes, listing.job.threshold) as workers:
        predict_blocks(listing.unfinished(), workers, listing.output.write, progress.add)
        steps = dict(workers.seconds)
    gpus = sum(lane.device != "cpu" for lane in lanes)
    return gpus or sum(lane.detector.streams for lane in lanes), steps


def _report(args: argparse.Namespace, progress: Progress, units: int, steps: Mapping[str, float]) -> dict[str, Any]:
    """What this run did, measured."""
    from d2deploy.batch.costs import per_unit_hour

    unit = "core" if all(device == "cpu" for device in devices(args)) else "gpu"
    price = args.price_per_core_hour if unit == "core" else args.price_per_gpu_hour
    seconds, pictures = progress.seconds, progress.pictures
    return {
        "pictures": pictures,
        "errors": progress.errors,
        "seconds": seconds,
        "unit": unit,
        "units": units,
        "pictures_per_second": pictures / seconds,
        "pictures_per_unit_hour": per_unit_hour(pictures, seconds, units),
        "mean_milliseconds": {step: 1000 * spent / max(pictures, 1) for step, spent in steps.items()},
        "cost": None if price is None else price * units * seconds / 3600,
    }


def _tell(args: argparse.Namespace, counts: Counts, before: Counts, report: Mapping[str, Any]) -> None:
    from d2deploy.batch.progress import duration

    if before.pictures:
        of_them = f"{before.errors} of them with an error"
        print(f"{before.pictures} of {counts.pictures} pictures were done before, {of_them}")
    if report["pictures"]:
        steps = "".join(f", {step} {ms:.1f} ms" for step, ms in report["mean_milliseconds"].items())
        print(
            f"{report['pictures']} pictures in {duration(report['seconds'])}, {report['errors']} with an error; "
            f"{report['pictures_per_second']:.2f} pictures/s{steps and '; mean of one' + steps[1:]}"
        )
        name = "GPU" if report["unit"] == "gpu" else "core"
        print(f"{report['pictures_per_unit_hour']:.0f} pictures of a {name} hour, with {report['units']} {name}s")
        if report["cost"] is not None:
            million = report["cost"] * 1e6 / report["pictures"]
            print(f"it cost {report['cost']:.4g}; a million pictures would cost {million:.4g}")
    print(f"{args.output / 'parts'}: {counts.pictures} pictures of this shard, {counts.errors} with an error")
