"""Oracles of the runtime's own operators that stand for several plain ones."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from .arguments import Arguments, Array
from .elementwise import float32
from .windows import convolve

Oracle = Callable[[Arguments, list[Array]], list[Array]]


def then_relu(plain: Oracle) -> Oracle:
    """The plain operator with negative results replaced by 0."""

    def oracle(args: Arguments, inputs: list[Array]) -> list[Array]:
        return [np.maximum(y, np.float32(0)) for y in plain(args, inputs)]

    return oracle


def conv_add(args: Arguments, inputs: list[Array]) -> list[Array]:
    """Convolution of X with W and an optional b, plus the last input."""
    return [float32(convolve(args, inputs[:-1]) + inputs[-1].astype(np.float64))]
