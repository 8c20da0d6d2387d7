"""Shapes of blobs as a person reads them: by height H and width W of the input and numbers R1, R2, ... of boxes."""

from __future__ import annotations

import re
from collections.abc import Mapping

import sympy

from d2deploy.export.netdef import Dims

_SYMBOL = re.compile(r"\b[su]\d+\b")


def readable_shapes(shapes: Mapping[str, Dims]) -> dict[str, Dims]:
    """Puts H and W, and R1, R2, ..., in place of the symbols that tracing made up.

    Args:
        shapes: blob -> dimensions, among them `data`.
    """
    data = shapes.get("data", [])
    known: dict[str, sympy.Expr] = {}
    for dim, side in zip(data[2:], sympy.symbols("H W", positive=True, integer=True), strict=False):
        if symbols := _SYMBOL.findall(str(dim)):
            # `data` is a multiple of the symbol, such as 32*s5.
            factor = sympy.sympify(str(dim)).coeff(sympy.Symbol(symbols[0]))
            known[symbols[0]] = side / sympy.Integer(factor)
    boxes: dict[str, str] = {}
    return {blob: [_readable(d, known, boxes) for d in dims] for blob, dims in shapes.items()}


def _readable(dim: int | str, known: Mapping[str, sympy.Expr], boxes: dict[str, str]) -> int | str:
    if isinstance(dim, int):
        return dim
    for symbol in _SYMBOL.findall(dim):
        if symbol not in known:
            boxes.setdefault(symbol, f"R{len(boxes) + 1}")
    expression = sympy.sympify(_SYMBOL.sub(lambda m: boxes.get(m[0], m[0]), dim)).subs(known)
    return int(expression) if expression.is_Integer else str(expression)
