"""ONNX operator -> Caffe2 operators: a function for each type that has a counterpart."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from d2deploy.export import operators
from d2deploy.export.elementwise import ELEMENTWISE, number
from d2deploy.export.netdef import Dims, Node, Translation
from d2deploy.export.reshaping import reshape
from d2deploy.export.resizing import depth_to_space, resize


def _window(n: Node) -> dict[str, Any]:
    """Geometry of a convolution or pooling, in Caffe2's words."""
    if n.attribute("auto_pad", "NOTSET") != "NOTSET":
        raise n.refuse(f"{n.type} with auto_pad cannot be written; give pads as numbers")
    kernel = n.attribute("kernel_shape") or n.shape(1)[2:]
    if len(kernel) != 2:
        raise n.refuse(f"{n.type} over {len(kernel)} dimensions; the files hold two-dimensional maps only")
    return {
        "strides": n.attribute("strides", [1, 1]),
        "pads": n.attribute("pads", [0, 0, 0, 0]),
        "kernels": kernel,
    }


def _conv(n: Node) -> None:
    n.emit("Conv", n.inputs, **_window(n), group=n.attribute("group", 1), dilations=n.attribute("dilations", [1, 1]))


def _conv_transpose(n: Node) -> None:
    if list(n.attribute("dilations", [1, 1])) != [1, 1]:
        raise n.refuse("ConvTranspose with dilation cannot be written")
    adjs = n.attribute("output_padding", [0, 0])
    extra: dict[str, Any] = {"adjs": adjs} if any(adjs) else {}
    n.emit("ConvTranspose", n.inputs, **_window(n), group=n.attribute("group", 1), **extra)


def _pool(n: Node) -> None:
    window = _window(n)
    if list(n.attribute("dilations", [1, 1])) != [1, 1]:
        raise n.refuse(f"{n.type} with dilation cannot be written")
    count: dict[str, Any] = {"count_include_pad": 1} if n.attribute("count_include_pad", 0) else {}
    if n.attribute("ceil_mode", 0):
        window["pads"] = _rounded_up(n, window, bool(count))
    n.emit(n.type, n.inputs, **window, **count)


def _rounded_up(n: Node, window: dict[str, Any], count_include_pad: bool) -> list[int]:
    """Pads with which a size that is rounded down becomes the one that is rounded up: floor((x + s - 1) / s).

    A window that starts behind the map would be left out; with k >= s + pad none does.
    """
    kernels, strides, pads = window["kernels"], window["strides"], list(window["pads"])
    fits = all(k >= s + p for k, s, p in zip(kernels, strides, pads[:2], strict=True))
    if not fits or count_include_pad:
        raise n.refuse(
            f"{n.type} with ceil_mode and a window of {list(kernels)}, strides {list(strides)}, pads {pads} cannot be "
            "written; it can be where the window is at least stride + pad, and padding does not count"
        )
    return [*pads[:2], *(p + s - 1 for p, s in zip(pads[2:], strides, strict=True))]


def _gemm(n: Node) -> None:
    plain = n.attribute("alpha", 1.0) == 1 and n.attribute("beta", 1.0) == 1 and not n.attribute("transA", 0)
    if not plain:
        raise n.refuse("a matrix product with scaling cannot be written; use nn.Linear")
    transposed = n.attribute("transB", 0)
    if len(n.inputs) == 3 and len(n.shape(2)) != 1:
        raise n.refuse("a matrix product plus a matrix cannot be written; write it as a product and a sum")
    inputs = list(n.inputs)
    if len(inputs) == 2:  # ONNX drops a bias of zeros, as heads have before training
        weight = n.constant(1)
        if weight is None:
            raise n.refuse("a matrix product whose factors are both computed cannot be written; use matmul")
        inputs.append(n.parameter("zero_bias", np.zeros(weight.shape[0 if transposed else 1], np.float32)))
    n.emit("FC" if transposed else "FCTransposed", inputs)


def _matmul(n: Node) -> None:
    """x W, with W constant, is a layer, of the rows of x whatever its rank; what is added behind it is its bias."""
    weight, shape = n.constant(1), n.output_shape()
    in_rows = len(shape) == 2 or all(isinstance(d, int) for d in shape[1:])
    if weight is None or weight.ndim != 2 or len(shape) < 2 or not in_rows:
        n.emit("BatchMatMul", n.inputs, broadcast=1)
        return
    blob = n.parameter("weight", np.ascontiguousarray(weight.T))
    bias = n.added_vector(weight.shape[1]) or n.parameter("zero_bias", np.zeros(weight.shape[1], np.float32))
    if len(shape) == 2:
        n.emit("FC", [n.source, blob, bias])
        return
    count = _product(shape[:-1])
    rows, product = n.step("rows", [count, weight.shape[0]]), n.step("product", [count, weight.shape[1]])
    n.emit("Reshape", [n.source], [rows, n.step("old_shape", [len(shape)])], shape=[-1, weight.shape[0]])
    n.emit("FC", [rows, blob, bias], [product])
    n.emit("Reshape", [product], [n.first_output(), n.step("old_shape", [2])], shape=[-1, *shape[1:]])


def _product(dims: Dims) -> int | str:
    """How many cells there are; of the sizes one at most, the first, may depend on the image's."""
    known = int(np.prod([1, *(d for d in dims if isinstance(d, int))]))
    return known if all(isinstance(d, int) for d in dims) else f"({dims[0]})*{known}"


def _concat(n: Node) -> None:
    if len(n.inputs) == 1:
        n.forward()
        return
    axis = n.attribute("axis") % len(n.output_shape())
    first = n.first_output()
    n.emit("Concat", n.inputs, [first, n.step("sizes", [len(n.inputs)])], axis=axis)


def _slice(n: Node) -> None:
    """One Caffe2 operator per axis that is cut. There, a negative end v stands for size + 1 + v."""
    starts, ends, axes, steps = (n.constant(i) for i in range(1, 5))
    rank = len(n.shape())
    if starts is None or ends is None:
        raise n.refuse("a slice with computed borders cannot be written")
    if steps is not None and any(s != 1 for s in steps):
        _every_nth(n, starts, ends, axes, steps)
        return
    cuts = list(zip(range(len(starts)) if axes is None else axes, starts, ends, strict=True))
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


def _every_nth(n: Node, starts: np.ndarray, ends: np.ndarray, axes: np.ndarray | None, steps: np.ndarray) -> None:
    """x[start::step] along one axis: its cells as rows of `step` each, of which one column is taken."""
    shape = n.shape()
    axis = 0 if axes is None else int(axes[0]) % len(shape)
    size, step = shape[axis], int(steps[0])
    if len(steps) != 1 or not isinstance(size, int) or step < 0:
        raise n.refuse("a slice with steps can be written of one axis of known size, forwards")
    start, end, _ = slice(int(starts[0]), int(ends[0]), step).indices(size)
    count = len(range(start, end, step))
    column = max(start + step * count - size, 0)  # the rows begin so far before `start`, to end within the axis
    first = start - column
    if first < 0 or count == 0:
        raise n.refuse(
            f"a slice of {size} cells from {start} to {end} in steps of {step} cannot be written; pad the axis to a "
            "multiple of the step first"
        )
    before, behind = shape[:axis], shape[axis + 1 :]
    if sum(not isinstance(d, int) for d in [*before[1:], *behind]) > 0:
        raise n.refuse("a slice with steps cannot be written of a map whose size depends on the image's")

    def cut(source: str, axis: int, first: int, last: int, shape: Dims, name: str) -> str:
        blob = n.step(name, shape)
        starts = [first if i == axis else 0 for i in range(len(shape))]
        n.emit("Slice", [source], [blob], starts=starts, ends=[last if i == axis else -1 for i in range(len(shape))])
        return blob

    source = n.source
    if (first, count * step) != (0, size):
        source = cut(source, axis, first, first + count * step, [*before, count * step, *behind], "part")
    rows = n.step("rows", [*before, count, step, *behind])
    leading = [0] * len(before)
    n.emit("Reshape", [source], [rows, n.step("old_shape", [])], shape=[*leading, count, step, *behind])
    taken = cut(rows, axis + 1, column, column + 1, [*before, count, 1, *behind], "column")
    n.emit("Squeeze", [taken], dims=[axis + 1])


def _gather(n: Node) -> None:
    """One row of a dimension, as x[:, 4], is cut out and its dimension dropped."""
    index = n.constant(1)
    if index is None or index.ndim != 0:
        raise n.refuse("indexing by a tensor cannot be written; one constant index can")
    shape, axis, at = n.shape(), n.attribute("axis", 0) % len(n.shape()), int(index)
    first, last = [0] * len(shape), [-1] * len(shape)
    first[axis], last[axis] = (at, at + 1) if at >= 0 else (at - 1, at)
    row = n.step("row", [1 if i == axis else d for i, d in enumerate(shape)])
    n.emit("Slice", [n.source], [row], starts=first, ends=last)
    n.emit("Squeeze", [row], dims=[axis])


def _squeeze(n: Node) -> None:
    axes = n.constant(1)
    if axes is None:
        raise n.refuse("squeeze needs the dimensions to drop")
    rank = len(n.shape()) + (len(axes) if n.type == "Unsqueeze" else 0)
    n.emit("ExpandDims" if n.type == "Unsqueeze" else "Squeeze", [n.source], dims=sorted(int(a) % rank for a in axes))


def _transpose(n: Node) -> None:
    n.emit("Transpose", n.inputs, axes=n.attribute("perm", list(range(len(n.shape())))[::-1]))


def _split(n: Node) -> None:
    sizes = n.setting(1)
    extra: dict[str, Any] = {} if sizes is None else {"split": [int(s) for s in sizes]}
    n.emit("Split", [n.source], axis=n.attribute("axis", 0) % len(n.shape()), **extra)


def _pad(n: Node) -> None:
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
    """By a constant, one dimension after the other or two neighbours together: an image of them, whose cells are all
    that stands behind them."""
    padded = [axis for axis, side in enumerate(sides) if any(side)]
    shape = n.shape()
    if not padded:
        n.forward()
        return
    source = n.source
    while padded:
        axis = padded.pop(0)
        width = axis + 1 if padded[:1] == [axis + 1] else None
        if width:
            padded.pop(0)
        behind = shape[axis + 1 if width is None else axis + 2 :]
        if any(not isinstance(d, int) for d in [*shape[1:axis], shape[axis], shape[width or axis], *behind]):
            raise n.refuse("padding other than of height and width cannot be written where sizes depend on the image's")
        cell = int(np.prod([1, *behind]))
        columns = shape[width] if width else 1
        left, right = sides[width] if width else (0, 0)
        top, bottom = sides[axis]
        shape = [d if i not in (axis, width) else d + sum(sides[i]) for i, d in enumerate(shape)]
        image = n.step("image", [_product(shape[:axis]), 1, n.shape()[axis], columns * cell])
        n.emit("Reshape", [source], [image, n.step("old_shape", [])], shape=[-1, 1, n.shape()[axis], columns * cell])
        larger = n.step("larger", [_product(shape[:axis]), 1, shape[axis], (columns + left + right) * cell])
        pads = [top, left * cell, bottom, right * cell]
        n.emit("PadImage", [image], [larger], mode="constant", pads=pads, value=fill)
        source = n.step("padded", shape) if padded else n.first_output()
        first = [-1] if axis > 0 else [shape[0]]
        n.emit("Reshape", [larger], [source, n.step("old_shape", [])], shape=[*first, *shape[1:]])


def _expand(n: Node) -> None:
    """Where all that read it spread their operands anyway, there is nothing to do."""
    if not n.spread_by_readers():
        raise n.refuse("expand cannot be written but before arithmetic with a tensor of that size")
    n.forward()


def _batch_norm(n: Node) -> None:
    """One that no convolution could take in."""
    n.emit("SpatialBN", n.inputs, epsilon=n.attribute("epsilon", 1e-5), is_test=1, order="NCHW")


def _group_norm(n: Node) -> None:
    inputs, channels = list(n.inputs), n.shape()[1]
    if len(inputs) == 1:  # without weights of its own
        if not isinstance(channels, int):
            raise n.refuse("the number of channels must be known")
        inputs.append(n.parameter("ones", np.ones(channels, np.float32)))
        inputs.append(n.parameter("zeros", np.zeros(channels, np.float32)))
    n.emit("GroupNorm", inputs, group=n.attribute("group"), epsilon=n.attribute("epsilon"))


def _cast(n: Node) -> None:
    if n.attribute("to") != 1:
        raise n.refuse("casts to other types than float32 cannot be written")
    n.emit("Cast", n.inputs, to=1)


def _caffe2(arguments: Sequence[str]) -> Translation:
    """An operator that has been Caffe2's all along."""
    return lambda n: n.emit(n.type, n.inputs, **{name: n.attribute(name) for name in arguments})


def _global_average(n: Node) -> None:
    n.emit("AveragePool", n.inputs, global_pooling=1)


def _adaptive_max_pool(n: Node) -> None:
    if n.output_is_read(1):
        raise n.refuse("the places of maxima (return_indices) cannot be written")
    n.emit(n.type, n.inputs, [n.first_output()], height=n.attribute("height"), width=n.attribute("width"))


TRANSLATIONS: dict[str, Translation] = {
    "AdaptiveAveragePool": _caffe2(["height", "width"]),
    "AdaptiveMaxPool": _adaptive_max_pool,
    "AliasWithName": Node.forward,
    "AveragePool": _pool,
    "BatchNormalization": _batch_norm,
    "Cast": _cast,
    "Concat": _concat,
    "Conv": _conv,
    "ConvTranspose": _conv_transpose,
    "DepthToSpace": depth_to_space,
    "Dropout": Node.forward,
    "Expand": _expand,
    "Flatten": lambda n: n.emit("Flatten", n.inputs, axis=n.attribute("axis", 1)),
    "Gather": _gather,
    "Gemm": _gemm,
    "GlobalAveragePool": _global_average,
    "GroupNorm": _group_norm,
    "Identity": Node.forward,
    "InstanceNormalization": lambda n: n.emit("InstanceNorm", n.inputs, epsilon=n.attribute("epsilon", 1e-5)),
    "MatMul": _matmul,
    "MaxPool": _pool,
    "Pad": _pad,
    "Reshape": reshape,
    "Resize": resize,
    "Slice": _slice,
    "Split": _split,
    "Squeeze": _squeeze,
    "Transpose": _transpose,
    "Unsqueeze": _squeeze,
    **ELEMENTWISE,
    **{o.type: _caffe2(list(o.attributes)) for o in operators.OPERATORS if o.type != "AliasWithName"},
}
