"""What is cut out of a tensor, and what is put around one: ONNX's Slice, Gather and Pad as Caffe2's operators."""

from __future__ import annotations

from collections.abc import Sequence
from math import prod

import numpy as np

from d2deploy.export.elementwise import number
from d2deploy.export.netdef import Dims, Node, product


def cut(n: Node) -> None:
    """One Caffe2 operator per axis that is cut. There, a negative end v stands for size + 1 + v."""
    starts, ends, axes, steps = (n.constant(i) for i in range(1, 5))
    rank = len(n.shape())
    if starts is None or ends is None:
        raise n.refuse("a slice with computed borders cannot be written")
    cuts = list(zip(range(len(starts)) if axes is None else axes, starts, ends, strict=True))
    if steps is not None and any(s != 1 for s in steps):
        if len(cuts) != 1:
            raise n.refuse("a slice of several axes with steps cannot be written; cut one after the other")
        axis, start, end = cuts[0]
        _every_nth(n, int(axis) % rank, slice(int(start), int(end), int(steps[0])))
        return
    source = n.source
    for index, (axis, start, end) in enumerate(cuts):
        size = n.shape()[axis % rank]
        if isinstance(size, int):
            start, end, _ = slice(int(start), int(end)).indices(size)
        first, last = [0] * rank, [-1] * rank
        first[axis % rank] = int(start if start >= 0 else start - 1)
        last[axis % rank] = -1 if end > 2**31 - 2 else int(end if end >= 0 else end - 1)
        outputs = None if index == len(cuts) - 1 else [n.step(f"cut{index}", [])]
        n.emit("Slice", [source], outputs, starts=first, ends=last)
        source = outputs[0] if outputs else source


def _every_nth(n: Node, axis: int, part: slice) -> None:
    """x[start:end:step] along one axis: its cells as rows of `step` each, of which one column is taken."""
    shape = n.shape()
    if len(shape) == 4 and axis >= 2 and part.step > 0 <= part.start and part.stop >= 2**31 - 1:
        _every_nth_line(n, axis, part.start, part.step)
        return
    before, behind = shape[:axis], _numbers(n, shape[axis + 1 :])
    _numbers(n, before[1:])
    (size,) = _numbers(n, [shape[axis]])
    start, end, step = part.indices(size)
    count = len(range(start, end, step))
    column = max(start + step * count - size, 0)  # the rows begin so far before `start`, to end within the axis
    first = start - column
    if step < 0 or count == 0 or first < 0:
        raise n.refuse(
            f"a slice of {size} cells from {start} to {end} in steps of {step} cannot be written; pad the axis to a "
            "multiple of the step first"
        )
    source = n.source
    if (first, count * step) != (0, size):
        inside = n.step("inside", [*before, count * step, *behind])
        _emit_part(n, source, inside, len(shape), axis, first, first + count * step)
        source = inside
    rows, taken = n.step("rows", [*before, count, step, *behind]), n.step("column", [*before, count, 1, *behind])
    _emit_reshape(n, source, rows, [*([0] * axis), count, step, *behind])
    _emit_part(n, rows, taken, len(shape) + 1, axis + 1, column, column + 1)
    n.emit("Squeeze", [taken], dims=[axis + 1])


def _every_nth_line(n: Node, axis: int, start: int, step: int) -> None:
    """The same of the lines or columns of a map from `start` on, however many there are: a pooling of windows of 1."""
    source = n.source
    if start:
        source = n.step("inside", [f"{d} - {start}" if i == axis else d for i, d in enumerate(n.shape())])
        _emit_part(n, n.source, source, 4, axis, start, -1)
    strides = [step if i == axis else 1 for i in (2, 3)]
    n.emit("MaxPool", [source], kernels=[1, 1], strides=strides, pads=[0] * 4)


def _emit_part(n: Node, source: str, output: str, rank: int, axis: int, first: int, last: int) -> None:
    starts, ends = [0] * rank, [-1] * rank
    starts[axis], ends[axis] = first, last
    n.emit("Slice", [source], [output], starts=starts, ends=ends)


def _emit_reshape(n: Node, source: str, output: str, shape: Sequence[int]) -> None:
    n.emit("Reshape", [source], [output, n.step("old_shape", [])], shape=shape)


def _numbers(n: Node, sizes: Dims) -> list[int]:
    """The same, all of which must be numbers."""
    known = [size for size in sizes if isinstance(size, int)]
    if len(known) < len(sizes):
        raise n.refuse(
            f"{n.type} of a tensor {n.shape()}, whose size depends on the image's, cannot be written in this form"
        )
    return known


def row(n: Node) -> None:
    """One row of a dimension, as x[:, 4], is cut out and its dimension dropped."""
    index = n.constant(1)
    if index is None or index.ndim != 0:
        raise n.refuse("indexing by a tensor cannot be written; one constant index can")
    shape, axis, at = n.shape(), n.attribute("axis", 0) % len(n.shape()), int(index)
    taken = n.step("row", [1 if i == axis else d for i, d in enumerate(shape)])
    first, last = (at, at + 1) if at >= 0 else (at - 1, at)
    _emit_part(n, n.source, taken, len(shape), axis, first, last)
    n.emit("Squeeze", [taken], dims=[axis])


def pad(n: Node) -> None:
    pads = n.constant(1)
    mode = n.attribute("mode", "constant")
    value = n.setting(2)
    if pads is None or n.constant(3) is not None or mode == "wrap":
        raise n.refuse("padding by computed sizes, or around the border, cannot be written")
    if pads.min(initial=0) < 0:
        raise n.refuse("negative padding cannot be written; cut with slices instead")
    fill = 0.0 if value is None else number(n, value, "value of Pad")
    sides = [(int(a), int(b)) for a, b in zip(*np.split(pads, 2), strict=True)]
    if len(sides) == 4 and not any(map(any, sides[:2])):
        (top, bottom), (left, right) = sides[2:]
        n.emit("PadImage", [n.source], mode=mode, pads=[top, left, bottom, right], value=fill)
    elif mode == "constant":
        _pad_anywhere(n, sides, fill)
    else:
        raise n.refuse(f"padding by {mode} other than of height and width cannot be written")


def _pad_anywhere(n: Node, sides: list[tuple[int, int]], fill: float) -> None:
    """By a constant, one dimension after the other or two neighbours together: as an image of these two, in which what
    stands behind them makes the columns longer."""
    padded = [axis for axis, side in enumerate(sides) if any(side)]
    if not padded:
        n.forward()
        return
    source, shape = n.source, n.shape()
    while padded:
        axis = padded.pop(0)
        together = padded[:1] == [axis + 1]
        if together:
            padded.pop(0)
        (height, *behind), before = _numbers(n, shape[axis:]), shape[:axis]
        _numbers(n, before[1:])
        width, *rest = behind if together else [1, *behind]
        (top, bottom), (left, right) = sides[axis], sides[axis + 1] if together else (0, 0)
        cell, new_height, new_width = prod(rest), top + height + bottom, left + width + right
        image = n.step("image", [product(before), 1, height, width * cell])
        _emit_reshape(n, source, image, [-1, 1, height, width * cell])
        larger = n.step("larger", [product(before), 1, new_height, new_width * cell])
        pads = [top, left * cell, bottom, right * cell]
        n.emit("PadImage", [image], [larger], mode="constant", pads=pads, value=fill)
        behind = [new_height, new_width, *rest] if together else [new_height, *rest]
        shape = [*before, *behind]
        source = n.step("padded", shape) if padded else n.first_output()
        _emit_reshape(n, larger, source, [*([-1] if before else []), *_numbers(n, before[1:]), *behind])
