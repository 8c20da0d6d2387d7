#!/usr/bin/env python3
"""How many machines a number of pictures a day needs, and what they cost, from the time of one picture.

  scripts/fleet_size.py --pictures 1e6,1e9 --milliseconds 1805 --threads 2
  scripts/fleet_size.py --pictures 1e9 --milliseconds 2.5 --units-per-machine 8 --unit GPU --price 2.5
  scripts/fleet_size.py --pictures 1e8 --per-hour 1200 --peak 1 --utilisation 0.95    # a batch, whenever there is time

A unit is a core, or a GPU. One unit does

  pictures per unit and hour = 3600 s / (seconds of a picture * threads, or GPUs, that it has)

or --per-hour says so, as measured by `d2deploy benchmark --mode throughput` (pictures/s * 3600 / cores), or --report,
that of a job of `d2deploy batch` (DIR/reports/shard-0-of-1.json). Then

  units = pictures per day / 24 h * peak / (pictures per unit and hour * utilisation), rounded up to whole machines

where `peak` is the busiest hour's share of a day's mean, and `utilisation` what of the units is in use then: with less
room, pictures wait for each other. What it costs is all machines for 24 hours, or, --elastic, what every hour needs.
"""

from __future__ import annotations

import argparse
import json
import math
import sys
from dataclasses import dataclass
from pathlib import Path

HOURS = 24


@dataclass(frozen=True)
class Demand:
    """What is asked for.

    Attributes:
        pictures: per day.
        peak: pictures of the busiest hour / those of a mean hour.
        utilisation: part of the units that is in use in the busiest hour.
    """

    pictures: float
    peak: float = 2.0
    utilisation: float = 0.6


@dataclass(frozen=True)
class Machine:
    """What there is to compute with.

    Attributes:
        per_hour: pictures that a unit, a core or a GPU, does in an hour in which it does nothing else.
        units: of a machine.
        price: of a unit for an hour, in any currency.
    """

    per_hour: float
    units: int
    price: float = 0.0


@dataclass(frozen=True)
class Fleet:
    """The answer.

    Attributes:
        per_second: pictures of a second of the busiest hour.
        units: that these need; not rounded.
        machines: that have at least as many.
        price_per_day: of all machines; of an elastic fleet, of the units that the hours need in the mean.
    """

    per_second: float
    units: float
    machines: int
    price_per_day: float


def fleet(demand: Demand, machine: Machine, elastic: bool = False) -> Fleet:
    """What a demand needs. *Law*: twice the pictures need twice the units; a peak of 1 costs an elastic fleet the same.

    Args:
        demand: of pictures.
        machine: what there is.
        elastic: machines come and go with the demand, and are paid for while they are there.
    """
    hourly = demand.pictures / HOURS * demand.peak
    units = hourly / (machine.per_hour * demand.utilisation)
    machines = math.ceil(units / machine.units)
    paid = units / demand.peak if elastic else machines * machine.units
    return Fleet(hourly / 3600, units, machines, paid * HOURS * machine.price)


def table(demands: list[Demand], machine: Machine, unit: str, elastic: bool) -> str:
    """The answers as a table of Markdown."""
    head = ["Pictures a day", "Pictures/s at the peak", f"{unit}s", f"Machines of {machine.units} {unit}s"]
    head += ["Price a day", "Price of 10^6 pictures"] if machine.price else []
    lines = [" | ".join(head), "|".join(["--:"] * len(head))]
    for demand in demands:
        answer = fleet(demand, machine, elastic)
        row = [f"{demand.pictures:,.0f}", _number(answer.per_second), _number(answer.units), f"{answer.machines:,}"]
        if machine.price:
            row += [f"{answer.price_per_day:,.2f}", f"{1e6 * answer.price_per_day / demand.pictures:,.2f}"]
        lines.append(" | ".join(row))
    return "\n".join(f"|{line}|" if line.startswith("--:") else f"| {line} |" for line in lines)


def _number(value: float) -> str:
    return f"{value:,.0f}" if value >= 100 else f"{value:,.2g}" if value < 10 else f"{value:,.1f}"


def rate_of(report: Path) -> float:
    """Pictures of a core, or GPU, in an hour, that a report of `d2deploy batch` tells. Raises ValueError."""
    try:
        rate = json.loads(report.read_text(encoding="utf-8"))["run"]["pictures_per_unit_hour"]
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise ValueError(f"{report} is no report of d2deploy batch ({error})") from error
    if not isinstance(rate, (int, float)) or not rate > 0:
        raise ValueError(f"{report} is of a run that did no picture; measure with one that does")
    return float(rate)


def parser() -> argparse.ArgumentParser:
    """The command line."""
    result = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    add = result.add_argument
    add("--pictures", default="1e3,1e6,1e9", metavar="N,...", help="of a day, with commas (default: 1e3,1e6,1e9)")
    speed = result.add_mutually_exclusive_group(required=True)
    speed.add_argument("--milliseconds", type=float, metavar="MS", help="of one picture, on --threads units")
    speed.add_argument("--per-hour", type=float, metavar="N", help="pictures that a unit does in an hour")
    speed.add_argument("--report", metavar="FILE", type=Path, help="of a job of d2deploy batch, which measured it")
    add("--threads", type=int, default=1, metavar="N", help="units that work on one picture at a time (default: 1)")
    add("--peak", type=float, default=2.0, metavar="P", help="busiest hour / mean hour, at least 1 (default: 2)")
    add("--utilisation", type=float, default=0.6, metavar="U", help="in the busiest hour, up to 1 (default: 0.6)")
    add("--unit", default="core", metavar="NAME", help="what the units are called (default: core)")
    add("--units-per-machine", type=int, default=16, metavar="N", help="(default: 16)")
    add("--price", type=float, default=0.0, metavar="P", help="of a unit for an hour")
    add("--elastic", action="store_true", help="machines are paid for only while they are needed")
    return result


def main(words: list[str]) -> int:
    options = parser()
    args = options.parse_args(words)
    try:
        pictures = [float(word) for word in args.pictures.split(",")]
    except ValueError:
        options.error(f"--pictures {args.pictures}: must be numbers with commas between them, as 1e6,1e9")
    if args.report:
        try:
            args.per_hour = rate_of(args.report)
        except ValueError as error:
            options.error(f"--report: {error}")
    positive = {
        "--pictures": min(pictures),
        "--milliseconds": 1.0 if args.milliseconds is None else args.milliseconds,
        "--per-hour": 1.0 if args.per_hour is None else args.per_hour,
        "--threads": args.threads,
        "--units-per-machine": args.units_per_machine,
    }
    for name, value in positive.items():
        if not 0 < value < math.inf:
            options.error(f"{name}: is {value:g}, must be above 0")
    if not 1 <= args.peak < math.inf:
        options.error(f"--peak: is {args.peak:g}, must be at least 1: the busiest hour has no less than the mean")
    if not 0 < args.utilisation <= 1:
        options.error(f"--utilisation: is {args.utilisation:g}, must be above 0 and at most 1")
    if not 0 <= args.price < math.inf:
        options.error(f"--price: is {args.price:g}, must be at least 0")
    per_hour: float = args.per_hour or 3600e3 / (args.milliseconds * args.threads)
    machine = Machine(per_hour, args.units_per_machine, args.price)
    demands = [Demand(number, args.peak, args.utilisation) for number in pictures]
    print(f"A {args.unit} does {per_hour:,.0f} pictures in an hour.\n")
    print(table(demands, machine, args.unit, args.elastic))
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
