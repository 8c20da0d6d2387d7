"""Damages JSON as files in the wild and hostile ones are damaged, the same way for the same seed."""

from __future__ import annotations

import copy
import json
import random
from typing import Any

NAN, INFINITY = float("nan"), float("inf")
DEEP: list[Any] = []
for _ in range(200):
    DEEP = [DEEP]

# What may stand in place of any value.
STRANGE: list[Any] = [
    *(
        None,
        True,
        False,
        0,
        1,
        -1,
        2,
        0.5,
        -0.0,
        1e-300,
        1e9,
        1e300,
        NAN,
        INFINITY,
        -INFINITY,
        2**31,
        2**32,
        2**63,
        10**400,
    ),
    *("", "0", "1", "text", "é", "\ud800", "a\0b", "../x", "/etc/passwd", "PPPPPPPP0", "0" * 5000),
    *([], [[]], [[[]]], {}, [0], [1, 2, 3, 4], [[1, 1], [9, 9], [1, 9]], [1e8] * 6, [[0, 0, 1e6, 1e6] * 50], DEEP),
    *({"size": [60, 90]}, {"size": [60, 90], "counts": [10**9]}, {"size": [60, 90], "counts": "T"}, {"counts": ""}),
]


def somewhere(data: Any, chance: random.Random) -> tuple[Any, Any]:
    """A list or dict within a value, not empty, and one of its keys; each level with the same chance."""
    holder = data
    while True:
        key = chance.choice(list(holder) if isinstance(holder, dict) else range(len(holder)))
        if not isinstance(holder[key], (dict, list)) or not holder[key] or chance.random() < 0.1:
            return holder, key
        holder = holder[key]


def changed(value: Any, chance: random.Random) -> Any:
    """A value that is a little different."""
    if isinstance(value, bool) or value is None or (isinstance(value, int) and value > 1e300):
        return chance.choice(STRANGE)
    if isinstance(value, (int, float)):
        return chance.choice([-value, value + 1, value - 1, value * 1000, value / 2, str(value), float(value), [value]])
    if isinstance(value, str):
        at = chance.randrange(len(value) + 1)
        return chance.choice(
            [value[:at], value[at:], value + value, value[:at] + chance.choice("0PTo~!") + value[at + 1 :]]
        )
    if isinstance(value, list):
        at = chance.randrange(len(value) + 1)
        return chance.choice([value[:at], value[at:], value + value, value[::-1], [value], value[0] if value else {}])
    return chance.choice(
        [list(value.values()), {}, [value], {key: one for key, one in value.items() if chance.random() < 0.8}]
    )


def damaged(data: Any, seed: int) -> str:
    """JSON text of the data with one to three places damaged, or cut, or with a few other characters."""
    chance = random.Random(seed)
    data = copy.deepcopy(data)
    for _ in range(chance.choice([1, 1, 1, 2, 3])):
        if not data:
            break
        holder, last = somewhere(data, chance)
        kind = chance.random()
        if kind < 0.15:
            del holder[last]
        elif kind < 0.25 and isinstance(holder, list):
            holder.append(copy.deepcopy(holder[last]))
        elif kind < 0.6:
            holder[last] = changed(holder[last], chance)
        else:
            holder[last] = copy.deepcopy(chance.choice(STRANGE))
    text = json.dumps(data)
    if chance.random() < 0.1:
        at = chance.randrange(len(text))
        text = text[:at] + chance.choice(["", "[" * 5000, "9" * 6000, "\x00", "]}", '"', "NaN"]) + text[at + 3 :]
    return text[: chance.randrange(len(text))] if chance.random() < 0.03 else text
