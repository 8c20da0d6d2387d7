#!/usr/bin/env python3
"""Load, faults and a fuzzer against `d2deploy serve`, which is started for it, on 127.0.0.1 and another port each time.

  scripts/in_venv scripts/serving_load.py mixed                # 10,000 requests, good and bad: codes, answers, memory
  scripts/in_venv scripts/serving_load.py overload             # ten times the capacity for a minute
  scripts/in_venv scripts/serving_load.py reload               # the model loaded anew while it is asked
  scripts/in_venv scripts/serving_load.py overhead --model DIR # the server's cost beside the net
  scripts/in_venv scripts/serving_load.py schema               # schemathesis on /openapi.json: pip install --group load

All of them are bounded in count and time. Good answers are compared with those of `Detector` in this process. Needs the
module d2deploy._ext of a release build in PYTHONPATH (see CONTRIBUTING.md). Exit status: 0 where all was as it must be,
1 otherwise, 2 where the call is wrong.
"""

from __future__ import annotations

import argparse
import os
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
# As the programs do; read when the compiled module is loaded.
os.environ.setdefault("GOMP_SPINCOUNT", "1000")
os.environ["PYTHONPATH"] = os.pathsep.join([str(ROOT / "python"), *filter(None, [os.environ.get("PYTHONPATH")])])
sys.path.insert(0, str(ROOT / "python"))

from load import mixed, overhead, overload, reload, schema  # noqa: E402  # behind the path
from load.server import Fault  # noqa: E402


def parser() -> argparse.ArgumentParser:
    """The command line."""
    result = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    commands = result.add_subparsers(dest="command", required=True, metavar="COMMAND")

    def command(name: str, text: str, **numbers: tuple[float, str]) -> None:
        sub = commands.add_parser(name, help=text, description=text)
        sub.add_argument(
            "--model",
            type=Path,
            default=ROOT / "examples/mask_rcnn",
            metavar="DIR",
            help="folder of a model, with pictures there or in DIR/pictures (default: the example)",
        )
        for option, (default, what) in numbers.items():
            sub.add_argument(
                f"--{option}", type=type(default), default=default, metavar="N", help=f"{what} (default: {default})"
            )

    command(
        "mixed",
        "requests of all kinds",
        requests=(10_000, "how many"),
        clients=(16, "that ask at the same time"),
        seed=(0, "which requests"),
    )
    command(
        "overload",
        "more requests than can be answered",
        seconds=(60.0, "of overload"),
        measured=(200, "pictures that the capacity is measured by"),
    )
    command("reload", "the model is loaded anew while it is asked", seconds=(20.0, "how long"))
    command(
        "overhead",
        "pictures per second over HTTP and without a server",
        rounds=(7, "that count"),
        pictures=(100, "of a round"),
    )
    command(
        "schema",
        "what the document of the addresses says is true",
        examples=(50, "of each address"),
        seed=(0, "which requests"),
    )
    return result


def main(words: list[str]) -> int:
    options = parser()
    args = options.parse_args(words)
    for name, value in vars(args).items():
        if isinstance(value, int | float) and name != "seed" and value <= 0:
            options.error(f"--{name}: is {value}, must be above 0")
    try:
        if args.command == "mixed":
            found = mixed.run(args.model, args.requests, args.clients, args.seed)
            print(mixed.report(found))
            found.check()
        elif args.command == "overload":
            refused = overload.run(args.model, args.seconds, args.measured)
            print(overload.report(refused))
            refused.check()
        elif args.command == "reload":
            loaded = reload.run(args.model, args.seconds)
            print(reload.report(loaded))
            loaded.check()
        elif args.command == "overhead":
            print(overhead.report(overhead.run(args.model, args.rounds, args.pictures)))
        else:
            schema.run(args.model, args.examples, args.seed)
    except Fault as fault:
        print(f"error: {fault}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
