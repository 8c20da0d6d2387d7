#!/usr/bin/env python3
"""Measures this runtime beside others: one command, all engines in turn on the same models and pictures.

  scripts/in_venv scripts/bench.py
  scripts/in_venv scripts/bench.py --models R50-FPN,RetinaNet --sizes 800x1216,256x320 --threads 2,1 --rounds 9
  scripts/in_venv scripts/bench.py --report --keep models    # all of docs/benchmark.md: an hour or two

Makes the models from their configurations with random weights, as Caffe2 files, as ONNX of standard operators and
for PyTorch. Each engine has a process of its own, which stays warm and makes one run at a time, so that all see the
same machine; only one of them ever works. Writes benchmark.md (tables), benchmark.svg and benchmark.json. Engines that
are missing are named with what installs them: pip install --group bench, scripts/build_caffe2_engine.

Needs a release build: cmake --preset release && cmake --build --preset release. Exit status: 0 where at least one
engine ran everywhere, 1 otherwise, 2 where the call is wrong.
"""

from __future__ import annotations

import argparse
import datetime
import shlex
import subprocess
import sys
import tempfile
from pathlib import Path

from benchmarking.engines import ENGINES
from benchmarking.measure import Setting, measure
from benchmarking.models import MODELS, parse_size
from benchmarking.processes import Process, environment
from benchmarking.report import from_json, reference_of, table, with_older, write

ROOT = Path(__file__).resolve().parent.parent
# What --report measures: model, sizes, threads.
REPORT = [
    ("R50-FPN", ["800x1216", "256x320", "1344x2016"], 0),
    ("R50-FPN", ["800x1216"], 1),
    *((model, ["800x1216"], 0) for model in MODELS if model != "R50-FPN"),
]


def progress(text: str) -> None:
    """Shows what is going on in the last line of a terminal; an empty text clears it."""
    if sys.stderr.isatty():
        print(f"\r{text[:78]:78}\r", end="", file=sys.stderr, flush=True)


def parser() -> argparse.ArgumentParser:
    """The command line."""
    result = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    add = result.add_argument
    add("--models", default="R50-FPN", metavar="NAMES", help=f"with commas: {', '.join(MODELS)} (default: R50-FPN)")
    add("--sizes", default="800x1216", metavar="HxW,...", help="of the pictures, multiples of 32 (default: 800x1216)")
    add("--threads", default="0", metavar="N,...", help="of a run, 0: all that it may use (default: 0)")
    add("--report", action="store_true", help="all models, three sizes, and one thread: instead of the three above")
    add("--add", action="store_true", help="keep what the report has of other settings")
    add("--rounds", type=int, default=7, metavar="N", help="runs of each engine that count (default: 7)")
    add(
        "--engines",
        default=",".join(ENGINES),
        metavar="NAMES",
        help=f"with commas, the first one is what others are compared with: {', '.join(ENGINES)} (default: all)",
    )
    add("--limit", type=float, default=900, metavar="SECONDS", help="for loading, and for a run (default: 900)")
    add("--output", type=Path, default=ROOT / "docs", metavar="DIR", help="for the report (default: docs)")
    add("--keep", type=Path, metavar="DIR", help="keep the models' files there, and use those that are there already")
    add("--build", type=Path, default=ROOT / "build/release", metavar="DIR", help="(default: build/release)")
    add("overrides", nargs="*", metavar="KEY VALUE", help="changes to the models' configurations, after --")
    return result


def listed(options: argparse.ArgumentParser, text: str, known: object, what: str) -> list[str]:
    """The names of a list with commas; all of them must be known."""
    names = [name.strip() for name in text.split(",")]
    if wrong := [name for name in names if name not in list(known)]:  # type: ignore[call-overload]
        options.error(f"{what}: {', '.join(wrong)} unknown; known: {', '.join(known)}")  # type: ignore[arg-type]
    return names


def planned(options: argparse.ArgumentParser, args: argparse.Namespace) -> list[tuple[str, list[str], int]]:
    """What the call names: model, sizes, threads."""
    models, sizes = listed(options, args.models, MODELS, "--models"), args.sizes.split(",")
    try:
        threads = [int(number) for number in args.threads.split(",")]
        for size in sizes:
            parse_size(size)
    except ValueError as error:
        options.error(str(error))
    if min(threads) < 0:
        options.error("--threads must be at least 0")
    return [(model, sizes, number) for model in models for number in threads]


def make(model: str, folder: Path, sizes: list[str], engines: list[str], args: argparse.Namespace) -> None:
    """Makes a model's files, in a process that takes PyTorch's memory with it."""
    progress(f"{model}: making the files")
    command = [sys.executable, "-m", "benchmarking.models", model, folder, ",".join(sizes), ",".join(engines)]
    subprocess.run([*map(str, command), *args.overrides], env=environment(args.build), check=True)


def main() -> int:
    """Run; return the exit status."""
    options = parser()
    args = options.parse_args()
    engines = listed(options, args.engines, ENGINES, "--engines")
    plan = REPORT if args.report else planned(options, args)
    if args.rounds < 1:
        options.error("--rounds must be at least 1")
    older: list[Setting] = []
    if args.add and (page := args.output / "benchmark.json").exists():
        try:
            older = from_json(page.read_text(encoding="utf-8"))
        except (ValueError, KeyError) as error:
            options.error(f"--add: {page}: {error}; measure all of it anew, without --add")
    variables = environment(args.build)
    command, date = f"scripts/bench.py {shlex.join(sys.argv[1:])}".strip(), datetime.date.today().isoformat()
    settings: list[Setting] = []
    with tempfile.TemporaryDirectory() as temporary:
        for model, sizes, threads in plan:
            folder = (args.keep or Path(temporary)) / model
            try:
                make(model, folder, sizes, engines, args)
            except subprocess.CalledProcessError as error:
                print(f"bench.py: the files of {model} could not be made (status {error.returncode})", file=sys.stderr)
                return 1
            measured = measure(
                model,
                folder,
                sizes,
                threads,
                engines,
                rounds=args.rounds,
                limit=args.limit,
                start=lambda: Process(variables),
                progress=progress,
            )
            progress("")
            for setting in measured:
                setting.date, setting.command = date, command
                print(f"{table(setting)}\n", flush=True)
            settings += measured
            # Written again after each model, so that a long run that is stopped leaves what it has.
            write(with_older(settings, older), args.output)
    return 0 if all(reference_of(setting) for setting in settings) else 1


if __name__ == "__main__":
    sys.exit(main())
