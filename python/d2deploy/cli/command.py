"""`d2deploy COMMAND ...`: finds the subcommand and runs it."""

from __future__ import annotations

import argparse
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import d2deploy
from d2deploy.cli import batch, benchmark, calibrate, convert, evaluate, graph, info, predict, serve, verify
from d2deploy.cli.shared import Parser, epilog, guarded

EXAMPLES = """\
  %(prog)s predict model street.jpg --output found
  %(prog)s eval model --dataset-json val.json --image-root val
  %(prog)s COMMAND --help"""
COMMANDS = (predict, batch, serve, evaluate, info, verify, benchmark, graph, calibrate, convert)


class CMakeDir(argparse.Action):
    """Prints where the CMake package is, as `--version` prints the version."""

    def __call__(self, parser: argparse.ArgumentParser, *_: Any) -> None:
        folder = Path(d2deploy.__file__).parent / "lib" / "cmake" / "d2deploy"
        if not folder.is_dir():
            parser.error(f"there is no CMake package in {folder}: only installed wheels have it")
        print(folder)
        parser.exit()


def parser() -> Parser:
    """That of all subcommands; what it gives has `run`, the function of the one that was chosen."""
    top = Parser(
        prog="d2deploy",
        description="Runs converted Detectron2 models (a folder with model.pb and model_init.pb), and converts them.",
        epilog=epilog(EXAMPLES),
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    top.add_argument("--version", action="version", version=f"d2deploy {d2deploy.__version__}")
    top.add_argument("--cmake-dir", action=CMakeDir, nargs=0, help="show the folder for CMake's find_package(d2deploy)")
    commands = top.add_subparsers(metavar="COMMAND", required=True, title="commands")
    for command in COMMANDS:
        command.add_to(commands)
    return top


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs the command and returns its exit code; errors go to stderr."""

    # Read by GCC's OpenMP when it is loaded: threads that wait spin for microseconds, not milliseconds, in which they
    # would take the CPUs from those they wait for where other processes want these too.
    if "OMP_WAIT_POLICY" not in os.environ:
        os.environ.setdefault("GOMP_SPINCOUNT", "1000")

    def run() -> int:
        args = parser().parse_args(arguments)
        code: int = args.run(args)
        return code

    return guarded(run)
