"""Does a model compute the same way at all sizes of the picture? What is traced at one size must do for them all.

torch.export follows the code at the size of a sample. Where that code decides by the size, or makes a number of it,
torch.export notes when what it saw holds, and leaves it to the program to check that. The files check nothing.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import sympy
from torch import nn

# Sizes of pictures that are tried, multiples of what they are padded to: neighbours, and from small to large.
_FROM, _TO, _NEIGHBOURS, _FAR = 512, 4096, 32, 8
_LEAST = 384  # so large may pictures have to be, for a layer that wants several cells of the smallest map


class SizeWatch:
    """Sees a model being traced, and notes the first of its modules whose code goes by the picture's size."""

    def __init__(self, multiple: int) -> None:
        self.module: nn.Module | None = None  # the first, innermost one; None where the model itself does
        self.condition = ""  # under which what was traced holds; empty: always
        self._pairs = list(_sizes(multiple))
        self._sides: tuple[Any, Any] | None = None
        self._running: list[nn.Module] = []  # outermost first
        self._seen = 0  # of the conditions that were noted

    @contextmanager
    def of(self, root: nn.Module) -> Iterator[None]:
        """Watches while the root is traced; its input `data` is (1, C, H, W)."""
        hooks: list[Any] = [root.register_forward_pre_hook(self._start, with_kwargs=True)]
        for module in root.modules():
            hooks += [module.register_forward_pre_hook(self._enter), module.register_forward_hook(self._leave)]
        try:
            yield
        finally:
            for hook in hooks:
                hook.remove()

    def _start(self, _: nn.Module, __: Any, inputs: dict[str, Any]) -> None:
        sides = inputs["data"].shape[2:]
        if not any(isinstance(side, int) for side in sides):  # numbers, where all pictures become squares of one size
            self._sides = sides

    def _enter(self, module: nn.Module, _: object) -> None:
        self._look()
        self._running.append(module)

    def _leave(self, *_: object) -> None:
        self._look()
        self._running.pop()

    def _look(self) -> None:
        if self._sides is not None and not self.condition and self._running:
            self.condition = next(self._conditions(), "")
            self.module = self._running[-1]

    def _conditions(self) -> Iterator[str]:
        """Those that are not met at some size."""
        height, width = (side.node for side in self._sides or ())
        shapes = height.shape_env
        symbols = (height._expr, width._expr)
        for symbol, name in zip(symbols, ("height", "width"), strict=True):
            known, bounds = shapes.replacements.get(symbol, symbol), shapes.var_to_range[symbol]
            if known in symbols and known is not symbol:
                yield "height and width are equal"
            elif bounds.is_singleton():
                yield f"the {name} is {bounds.lower}"
            elif bounds.lower > _LEAST or bounds.upper < _TO:
                yield f"the {name} is from {bounds.lower} to {bounds.upper}"
        noted = shapes.deferred_runtime_asserts.get(None, [])
        for condition in noted[self._seen :]:
            if any(_is_broken(condition.expr, dict(zip(symbols, pair, strict=True))) for pair in self._pairs):
                names = dict(zip(symbols, sympy.symbols("height width"), strict=True))
                yield str(condition.expr.xreplace(names))
        self._seen = len(noted)


def sample_size(multiple: int) -> tuple[int, int]:
    """Height and width to trace with, which are multiples of a number, and unlike."""
    height = -(-_FROM // multiple)
    return multiple * height, multiple * (height + height // 2 + 1)


def _sizes(multiple: int) -> Iterator[tuple[sympy.Integer, sympy.Integer]]:
    """Heights and widths, a square among them."""
    first, last = -(-_FROM // multiple), _TO // multiple
    step = (last - first) / _FAR
    counts = [*range(first, first + _NEIGHBOURS), *(first + int(step * (i + 1)) for i in range(_FAR))]
    for i, count in enumerate(counts):
        yield sympy.Integer(multiple * count), sympy.Integer(multiple * counts[7 * i % len(counts)])


def _is_broken(condition: Any, sizes: dict[Any, sympy.Integer]) -> bool:
    return bool(condition.xreplace(sizes) == sympy.false)
