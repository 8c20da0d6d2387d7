"""Evaluates the arithmetic that stands in some YAML files as `!!python/object/apply:eval`, and nothing beyond it."""

from __future__ import annotations

import ast
import math
import operator
from collections.abc import Callable, Iterator
from typing import Any

from d2deploy.errors import InvalidArgument

Number = int | float

_BINARY: dict[type[ast.operator], Callable[[Number, Number], Any]] = {
    ast.Add: operator.add,
    ast.Sub: operator.sub,
    ast.Mult: operator.mul,
    ast.Div: operator.truediv,
    ast.FloorDiv: operator.floordiv,
    ast.Mod: operator.mod,
    ast.Pow: operator.pow,
}
_UNARY: dict[type[ast.unaryop], Callable[[Number], Number]] = {ast.UAdd: operator.pos, ast.USub: operator.neg}

MAX_CHARACTERS = 1000
MAX_STEPS = 10_000  # a zoo file takes 60
MAX_INTEGER = 2**63
MAX_EXPONENT = 64  # with MAX_INTEGER, a power stays under 4096 bits before it is refused


def evaluate(text: str) -> Any:
    """The value of an expression of numbers, + - * / // % **, lists, tuples and list comprehensions.

    Raises:
        InvalidArgument: anything else stands in it, or it takes too long, or its numbers are too large.
    """
    if len(text) > MAX_CHARACTERS:
        raise InvalidArgument(f"expression has {len(text)} characters, at most {MAX_CHARACTERS} are allowed")
    try:
        return _Evaluator(text).value(ast.parse(text.strip(), mode="eval").body, {})
    except InvalidArgument:
        raise
    except (SyntaxError, ValueError, ArithmeticError, RecursionError, MemoryError) as error:
        raise InvalidArgument(f"cannot evaluate {text!r}: {error}") from None


class _Evaluator:
    def __init__(self, text: str) -> None:
        self.text = text
        self.steps = 0

    def refuse(self, why: str) -> InvalidArgument:
        return InvalidArgument(
            f"will not evaluate {self.text!r}: {why}; allowed are numbers, + - * / // % **, lists, tuples and list "
            "comprehensions. Write the value itself instead"
        )

    def value(self, node: ast.expr, names: dict[str, Any]) -> Any:
        self.steps += 1
        if self.steps > MAX_STEPS:
            raise self.refuse(f"it takes more than {MAX_STEPS} steps")
        if isinstance(node, ast.Constant) and type(node.value) in (int, float):
            return self.number(node.value)
        if isinstance(node, ast.Name) and node.id in names:
            return names[node.id]
        if isinstance(node, ast.List):
            return [self.value(element, names) for element in node.elts]
        if isinstance(node, ast.Tuple):
            return tuple(self.value(element, names) for element in node.elts)
        if isinstance(node, ast.UnaryOp) and type(node.op) in _UNARY:
            return _UNARY[type(node.op)](self.number(self.value(node.operand, names)))
        if isinstance(node, ast.BinOp) and type(node.op) in _BINARY:
            return self.binary(type(node.op), self.value(node.left, names), self.value(node.right, names))
        if isinstance(node, ast.ListComp):
            return [self.value(node.elt, bound) for bound in self.bindings(node.generators, names)]
        raise self.refuse(f"{ast.unparse(node)} is not allowed")

    def bindings(self, loops: list[ast.comprehension], names: dict[str, Any]) -> Iterator[dict[str, Any]]:
        """The names as each turn of a comprehension's loops sees them."""
        if not loops:
            yield names
            return
        first, *rest = loops
        if not isinstance(first.target, ast.Name) or first.ifs or first.is_async:
            raise self.refuse(f"{ast.unparse(first).strip()} is not a plain loop")
        elements = self.value(first.iter, names)
        if not isinstance(elements, (list, tuple)):
            raise self.refuse(f"{ast.unparse(first.iter)} is not a list")
        for element in elements:
            yield from self.bindings(rest, {**names, first.target.id: element})

    def binary(self, kind: type[ast.operator], left: Any, right: Any) -> Number:
        left, right = self.number(left), self.number(right)
        if kind is ast.Pow and abs(right) > MAX_EXPONENT:
            raise self.refuse(f"the exponent {right} is larger than {MAX_EXPONENT}")
        return self.number(_BINARY[kind](left, right))

    def number(self, value: Any) -> Number:
        if type(value) is float and math.isfinite(value):
            return value
        if type(value) is not int:
            raise self.refuse("arithmetic is for finite real numbers alone")
        if abs(value) > MAX_INTEGER:
            raise self.refuse("an integer has more than 64 bits")
        return value
