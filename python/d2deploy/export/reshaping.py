"""ONNX's Reshape as Caffe2's, whose sizes are numbers, 0 for one that stays in its place, -1 for an unknown one."""

from __future__ import annotations

import re
from dataclasses import dataclass

import sympy

from d2deploy.export.netdef import Dims, Node

# Sizes that stand for the image's when products of dimensions are compared: many divisors, and unlike each other.
_SAMPLES = [5040 * p for p in (10007, 10009, 10037, 10039, 10061, 10067)]


@dataclass(frozen=True)
class _Group:
    """Dimensions that follow each other, before and after, with equal products."""

    before: Dims
    after: Dims

    @property
    def unknown(self) -> int:
        return sum(not isinstance(d, int) for d in self.after)


def reshape(n: Node) -> None:
    """Flatten where it is one; one Reshape where that says it; else Transpose and Reshape, dimension by dimension."""
    before, after = n.shape(), n.output_shape()
    if len(after) == 2 and before and before[0] == after[0] and all(isinstance(d, int) for d in before[1:]):
        n.emit("Flatten", [n.source], axis=1)
        return
    if before == after:
        n.forward()
        return
    shape = [d if isinstance(d, int) else 0 if i < len(before) and before[i] == d else -1 for i, d in enumerate(after)]
    if shape.count(-1) <= 1:
        n.emit("Reshape", [n.source], [n.first_output(), n.step("old_shape", [len(before)])], shape=shape)
        return
    groups = _groups(before, after)
    if groups is None or any(g.unknown > 1 for g in groups):
        raise n.refuse(f"a reshape of {before} to {after} depends on the image's size in a way that cannot be written")
    _by_groups(n, groups)


def _groups(before: Dims, after: Dims) -> list[_Group] | None:
    """Splits both into the shortest runs of equal products; None where that cannot be told."""
    left, right = _numbers([*before, *after], before), _numbers([*before, *after], after)
    if left is None or right is None:
        return None
    groups, i, j = [], 0, 0
    while i < len(left) and j < len(right):
        first_i, first_j, a, b = i, j, left[i], right[j]
        i, j = i + 1, j + 1
        while a != b:
            if a < b and i < len(left):
                a, i = a * left[i], i + 1
            elif b < a and j < len(right):
                b, j = b * right[j], j + 1
            else:
                return None
        groups.append(_Group(before[first_i:i], after[first_j:j]))
    if any(d != 1 for d in [*left[i:], *right[j:]]) or not groups:
        return None
    last = groups[-1]
    groups[-1] = _Group([*last.before, *before[i:]], [*last.after, *after[j:]])
    return groups


def _numbers(every: Dims, wanted: Dims) -> list[int] | None:
    symbols = sorted({s for d in every for s in re.findall(r"\b[A-Za-z_]\w*\b", str(d))})
    if len(symbols) > len(_SAMPLES) or "None" in symbols:  # a size that torch.onnx did not find out
        return None
    values = [sympy.sympify(str(d)).subs(dict(zip(symbols, _SAMPLES, strict=False))) for d in wanted]
    return [int(v) for v in values] if all(v.is_Integer for v in values) else None


def _by_groups(n: Node, groups: list[_Group]) -> None:
    """What does not change goes to the front, where 0 stands for it; then the last group is reshaped and put behind
    that, and so on; then all go to their places."""
    done = [g for g, group in enumerate(groups) if group.before == group.after]
    todo = [g for g in range(len(groups)) if g not in done]
    steps = _Steps(groups, [*range(len(groups))], set(done))
    while todo:
        steps.turn([*done, *todo])
        now = todo if sum(groups[g].unknown for g in todo) <= 1 else todo[-1:]
        steps.reshape(now)
        done, todo = [*done, *now], [g for g in todo if g not in now]
    steps.turn([*range(len(groups))])
    steps.write(n)


class _Steps:
    """The operators, and how the groups stand behind the last of them."""

    def __init__(self, groups: list[_Group], order: list[int], done: set[int]) -> None:
        self._groups, self._order, self._done = groups, order, done
        self._operators: list[tuple[str, dict[str, list[int]], Dims]] = []

    def _dims(self, g: int) -> Dims:
        return self._groups[g].after if g in self._done else self._groups[g].before

    def _add(self, kind: str, **args: list[int]) -> None:
        self._operators.append((kind, args, [d for g in self._order for d in self._dims(g)]))

    def turn(self, order: list[int]) -> None:
        """The groups stand in this order."""
        starts, at = {}, 0
        for g in self._order:
            starts[g], at = at, at + len(self._dims(g))
        axes = [starts[g] + i for g in order for i in range(len(self._dims(g)))]
        self._order = order
        if axes != list(range(at)):
            self._add("Transpose", axes=axes)

    def reshape(self, groups: list[int]) -> None:
        """The last groups have their new dimensions."""
        kept = sum(len(self._dims(g)) for g in self._order if g not in groups)
        after = [d if isinstance(d, int) else -1 for g in groups for d in self._groups[g].after]
        self._done |= set(groups)
        self._add("Reshape", shape=[0] * kept + after)

    def write(self, n: Node) -> None:
        source = n.source
        for number, (kind, args, dims) in enumerate(self._operators, start=1):
            output = n.first_output() if number == len(self._operators) else n.step(kind.lower(), dims)
            extra = [n.step("old_shape", [])] if kind == "Reshape" else []
            n.emit(kind, [source], [output, *extra], **args)
            source = output
