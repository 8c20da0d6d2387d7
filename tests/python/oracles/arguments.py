"""The arguments of an operator as they stand in a case line: `name=value` words, read and asked for by type."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[Any]
Scalar = int | float | str
Value = int | float | str | list[int] | list[float] | list[str]


def _scalar(text: str) -> Scalar:
    """Reads one value. Floats are rounded to float32, as the runtime holds them."""
    if text.startswith('"'):
        return text.strip('"')
    if re.fullmatch(r"-?\d+", text):
        return int(text)
    try:
        return float(np.float32(text))
    except ValueError:
        return text


def _value(text: str) -> Value:
    if not text.startswith("["):
        return _scalar(text)
    items = [_scalar(item.strip()) for item in text[1:-1].split(",") if item.strip()]
    if any(isinstance(item, str) for item in items):
        return [str(item) for item in items]
    if any(isinstance(item, float) for item in items):
        return [float(item) for item in items]
    return [int(item) for item in items]


class Arguments:
    """Typed look-up with defaults. A value of the wrong type raises TypeError."""

    def __init__(self, values: Mapping[str, Value]) -> None:
        self.values = dict(values)

    @classmethod
    def parse(cls, text: str) -> Arguments:
        """Reads `name=value name=value`; a value is `7`, `0.25`, `NCHW`, `"two words"` or `[3,3]`."""
        words = re.findall(r'(\w+)=(\[[^\]]*\]|"[^"]*"|\S+)', text)
        return cls({name: _value(value) for name, value in words})

    def __contains__(self, name: str) -> bool:
        return name in self.values

    def integer(self, name: str, default: int) -> int:
        value = self.values.get(name, default)
        if not isinstance(value, int):
            raise TypeError(f"argument {name} is {value!r}, wanted an integer")
        return value

    def flag(self, name: str, default: bool) -> bool:
        return bool(self.integer(name, int(default)))

    def number(self, name: str, default: float) -> float:
        """A float32 value, held in a Python float; so is the default. Texts may write 2 for 2.0."""
        value = self.values.get(name, default)
        if not isinstance(value, (int, float)):
            raise TypeError(f"argument {name} is {value!r}, wanted a number")
        return float(np.float32(value))

    def string(self, name: str, default: str) -> str:
        value = self.values.get(name, default)
        if not isinstance(value, str):
            raise TypeError(f"argument {name} is {value!r}, wanted a string")
        return value

    def integers(self, name: str, default: Sequence[int]) -> list[int]:
        value = self.values.get(name, list(default))
        if not isinstance(value, list):
            raise TypeError(f"argument {name} is {value!r}, wanted a list of integers")
        return [int(item) for item in value]

    def numbers(self, name: str, default: Sequence[float]) -> list[float]:
        value = self.values.get(name, list(default))
        if not isinstance(value, list):
            raise TypeError(f"argument {name} is {value!r}, wanted a list of floats")
        return [float(item) for item in value]
