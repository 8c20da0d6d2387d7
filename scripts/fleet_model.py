#!/usr/bin/env python3
"""How many cores or GPUs, machines and how much money so many pictures a day need.

Plain arithmetic of what `d2deploy batch` measured on one machine: its report, or a number of pictures per core hour.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Sequence
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
if (ROOT / "python" / "d2deploy").is_dir():
    sys.path.insert(0, str(ROOT / "python"))

from d2deploy.batch.costs import Fleet, fleet_for  # noqa: E402
from d2deploy.errors import InvalidArgument  # noqa: E402


def parser() -> argparse.ArgumentParser:
    made = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    add = made.add_argument
    add("loads", metavar="PICTURES", nargs="+", type=float, help="a day, as 1e6")
    source = made.add_mutually_exclusive_group(required=True)
    source.add_argument("--report", metavar="FILE", type=Path, help="of a job: DIR/reports/shard-0-of-1.json")
    source.add_argument("--per-unit-hour", metavar="N", type=float, help="pictures of one core, or GPU, in an hour")
    add("--price", metavar="P", type=float, help="of one core, or GPU, for an hour")
    add("--busy", metavar="SHARE", type=float, default=0.8, help="part of the paid time in which they work (0.8)")
    add("--machine", metavar="N", type=int, default=16, help="cores, or GPUs, of a machine (16)")
    return made


def rate_of(report: Path) -> float:
    """Pictures of a core or GPU hour that a report tells.

    Raises:
        InvalidArgument: it tells none.
    """
    try:
        rate = json.loads(report.read_text(encoding="utf-8"))["run"]["pictures_per_unit_hour"]
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise InvalidArgument(f"{report}: is no report of d2deploy batch: {error}") from error
    if not isinstance(rate, (int, float)) or not rate > 0:
        raise InvalidArgument(f"{report}: is of a run that did no picture; measure with one that does")
    return rate


def table(fleets: Sequence[tuple[float, Fleet]]) -> str:
    lines = [f"{'pictures a day':>16} {'machines':>10} {'units':>10} {'cost a day':>14} {'of a million':>14}"]
    for load, fleet in fleets:
        money = (fleet.cost_a_day, fleet.cost_of_a_million)
        told = ["-" if value is None else f"{value:,.2f}" for value in money]
        lines.append(f"{load:>16,.0f} {fleet.machines:>10,} {fleet.units:>10,} {told[0]:>14} {told[1]:>14}")
    return "\n".join(lines)


def main(arguments: Sequence[str] | None = None) -> int:
    args = parser().parse_args(arguments)
    try:
        rate = rate_of(args.report) if args.report else args.per_unit_hour
        options = {"busy": args.busy, "units_of_a_machine": args.machine, "price": args.price}
        fleets = [(load, fleet_for(load, rate, **options)) for load in args.loads]
    except InvalidArgument as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    print(f"{rate:.0f} pictures of a unit hour, busy {args.busy:.0%} of the time, {args.machine} units in a machine")
    print(table(fleets))
    return 0


if __name__ == "__main__":
    sys.exit(main())
