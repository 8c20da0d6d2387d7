"""What many pictures cost: how many cores or GPUs, and how much money. Plain arithmetic of what was measured."""

from __future__ import annotations

import math
from dataclasses import dataclass

from d2deploy.errors import InvalidArgument

__all__ = ["Fleet", "fleet_for", "per_unit_hour"]

HOURS = 24  # of a day


def per_unit_hour(pictures: int, seconds: float, units: int) -> float:
    """Pictures that one core, or one GPU, does in an hour, as measured with `units` of them."""
    return pictures * 3600 / (seconds * units) if seconds > 0 and units > 0 else 0.0


@dataclass(frozen=True)
class Fleet:
    """What a number of pictures a day needs.

    Attributes:
        units: cores or GPUs, whole machines full.
        machines: that have them.
        unit_hours_a_day: that are paid: units, all day.
        cost_a_day: in the currency of the price; None without a price.
        cost_of_a_million: pictures.
    """

    units: int
    machines: int
    unit_hours_a_day: int
    cost_a_day: float | None
    cost_of_a_million: float | None


def fleet_for(
    pictures_a_day: float,
    unit_hour: float,
    *,
    busy: float = 0.8,
    units_of_a_machine: int = 1,
    price: float | None = None,
) -> Fleet:
    """How many cores or GPUs a load needs.

    Assumes that pictures are like those measured, that machines do not slow each other down (storage and network keep
    up), and that units stand still for a part of the time (starts, stragglers, pictures that come unevenly).

        units = pictures a day / (pictures of a unit hour * 24 * busy), rounded up to whole machines

    Args:
        pictures_a_day: the load.
        unit_hour: pictures of one unit in an hour, as the report of a job tells it.
        busy: part of the time in which units work, more than 0, at most 1.
        units_of_a_machine: cores, or GPUs, of one machine.
        price: of one unit for an hour.

    Raises:
        InvalidArgument: a number that is not possible.
    """
    wrong = {
        "pictures a day": not 0 <= pictures_a_day < math.inf,
        "pictures of a unit hour": not 0 < unit_hour < math.inf,
        "the busy part": not 0 < busy <= 1,
        "units of a machine": units_of_a_machine < 1,
        "the price": price is not None and not 0 <= price < math.inf,
    }
    if any(wrong.values()):
        raise InvalidArgument(f"not possible: {', '.join(name for name, is_wrong in wrong.items() if is_wrong)}")
    units = math.ceil(pictures_a_day / (unit_hour * HOURS * busy))
    machines = math.ceil(units / units_of_a_machine)
    hours = machines * units_of_a_machine * HOURS
    cost = None if price is None else hours * price
    million = None if cost is None or not pictures_a_day else cost * 1e6 / pictures_a_day
    return Fleet(machines * units_of_a_machine, machines, hours, cost, million)
