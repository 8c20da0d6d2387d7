"""ONNX operator -> Caffe2 operators: a function for each type that has a counterpart."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from d2deploy.export import operators
from d2deploy.export.netdef import Node, Translation


def _same(kind: str) -> Translation:
    """The same operator by another name, without arguments."""
    return lambda n: n.emit(kind, n.inputs)


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
    if n.attribute("ceil_mode", 0) or list(n.attribute("dilations", [1, 1])) != [1, 1]:
        raise n.refuse(f"{n.type} with ceil_mode or dilation cannot be written")
    count: dict[str, Any] = {"count_include_pad": 1} if n.attribute("count_include_pad", 0) else {}
    n.emit(n.type, n.inputs, **_window(n), **count)


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
    """x W, with W constant, is a layer without bias."""
    weight = n.constant(1)
    if weight is None or weight.ndim != 2 or len(n.shape()) != 2:
        n.emit("BatchMatMul", n.inputs, broadcast=1)
        return
    bias = n.parameter("zero_bias", np.zeros(weight.shape[1], np.float32))
    n.emit("FC", [n.source, n.parameter("weight", np.ascontiguousarray(weight.T)), bias])


def _softmax(n: Node) -> None:
    axis = n.attribute("axis", -1) % len(n.shape())
    if axis != len(n.shape()) - 1:
        raise n.refuse("Softmax over a dimension that is not the last one cannot be written")
    n.emit("Softmax", n.inputs, axis=axis)


def _concat(n: Node) -> None:
    if len(n.inputs) == 1:
        n.forward()
        return
    axis = n.attribute("axis") % len(n.output_shape())
    first = n.first_output()
    n.emit("Concat", n.inputs, [first, n.step("sizes", [len(n.inputs)])], axis=axis)


def _reshape(n: Node) -> None:
    """Flatten where it is one; else with 0 for sizes that stay, and -1 for at most one that is unknown."""
    before, after = n.shape(), n.output_shape()
    if len(after) == 2 and before and before[0] == after[0] and all(isinstance(d, int) for d in before[1:]):
        n.emit("Flatten", [n.source], axis=1)
        return
    if before == after:
        n.forward()
        return
    shape = [d if isinstance(d, int) else 0 if i < len(before) and before[i] == d else -1 for i, d in enumerate(after)]
    if shape.count(-1) > 1:
        raise n.refuse(f"a reshape to {after} depends on the image's size in a way that cannot be written")
    n.emit("Reshape", [n.source], [n.first_output(), n.step("old_shape", [len(before)])], shape=shape)


def _resize(n: Node) -> None:
    scales = n.constant(2)
    if scales is None or len(scales) != 4 or list(scales[:2]) != [1, 1]:
        raise n.refuse("resizing to a size that is computed cannot be written; give F.interpolate a scale_factor")
    height, width = float(scales[2]), float(scales[3])
    mode, coordinates = n.attribute("mode"), n.attribute("coordinate_transformation_mode")
    if mode == "nearest" and coordinates == "asymmetric" and n.attribute("nearest_mode") == "floor":
        n.emit("ResizeNearest", [n.source], width_scale=width, height_scale=height, order="NCHW")
    elif mode == "linear" and coordinates == "half_pixel" and height == width and height.is_integer():
        _resize_bilinear(n, int(height))
    else:
        raise n.refuse(
            f"resizing with mode '{mode}', coordinates '{coordinates}', scale {height} x {width}; "
            "can be: nearest by any factor, bilinear (align_corners=False) by one whole factor for both sides"
        )


def _resize_bilinear(n: Node, factor: int) -> None:
    """Half-pixel bilinear resizing as a transposed convolution per channel.

    Cell i of a row spreads over the cells j around factor * i with weight 1 - |(j + 0.5) / factor - 0.5 - i|. Beyond
    the border the edge repeats, so one row and column of it are added all around, and cut off again by the pads.
    """
    channels = n.shape()[1]
    if not isinstance(channels, int):
        raise n.refuse("the number of channels must be known")
    pad = factor // 2
    size = 2 * factor - factor % 2
    row = 1 - np.abs((np.arange(size) - pad + 0.5) / factor - 0.5)
    kernel = np.broadcast_to(np.outer(row, row), (channels, 1, size, size)).astype(np.float32)
    shape = n.shape()
    padded = n.step("padded", [*shape[:2], *(d + 2 if isinstance(d, int) else f"{d} + 2" for d in shape[2:])])
    n.emit("PadImage", [n.source], [padded], mode="edge", pads=[1] * 4)
    weight = n.parameter(f"bilinear_{factor}x", kernel)
    n.emit(
        "ConvTranspose",
        [padded, weight],
        strides=[factor] * 2,
        pads=[pad + factor] * 4,
        kernels=[size] * 2,
        group=channels,
    )


def _reduce_mean(n: Node) -> None:
    axes = n.setting(1)
    rank = len(n.shape())
    every = range(rank) if axes is None else (int(a) % rank for a in axes)
    n.emit("ReduceMean", [n.source], axes=sorted(every), keepdims=n.attribute("keepdims", 1))


def _slice(n: Node) -> None:
    """One Caffe2 operator per axis that is cut. There, a negative end v stands for size + 1 + v."""
    starts, ends, axes, steps = (n.constant(i) for i in range(1, 5))
    rank = len(n.shape())
    if starts is None or ends is None or (steps is not None and any(s != 1 for s in steps)):
        raise n.refuse("a slice with steps, or with computed borders, cannot be written")
    cuts = list(zip(range(len(starts)) if axes is None else axes, starts, ends, strict=True))
    source = n.source
    for number, (axis, start, end) in enumerate(cuts):
        size = n.shape()[axis % rank]
        if isinstance(size, int):
            start, end, _ = slice(int(start), int(end)).indices(size)
        first, last = [0] * rank, [-1] * rank
        first[axis % rank] = int(start if start >= 0 else start - 1)
        last[axis % rank] = -1 if end > 2**31 - 2 else int(end if end >= 0 else end - 1)
        outputs = None if number == len(cuts) - 1 else [n.step(f"cut{number}", [])]
        n.emit("Slice", [source], outputs, starts=first, ends=last)
        source = outputs[0] if outputs else source


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


def _clip(n: Node) -> None:
    low, high = n.setting(1), n.setting(2)
    bounds: dict[str, Any] = {name: float(v) for name, v in (("min", low), ("max", high)) if v is not None}
    n.emit("Clip", [n.source], **bounds)


def _hard_sigmoid(n: Node) -> None:
    """clip(alpha * x + beta, 0, 1)."""
    alpha = n.parameter("alpha", np.array(n.attribute("alpha", 0.2), np.float32))
    beta = n.parameter("beta", np.array(n.attribute("beta", 0.5), np.float32))
    scaled, moved = n.step("scaled", n.shape()), n.step("moved", n.shape())
    n.emit("Mul", [n.source, alpha], [scaled])
    n.emit("Add", [scaled, beta], [moved])
    n.emit("Clip", [moved], min=0.0, max=1.0)


def _hard_swish(n: Node) -> None:
    """x * clip(x / 6 + 1/2, 0, 1)."""
    sixth, half = n.parameter("sixth", np.array(1 / 6, np.float32)), n.parameter("half", np.array(0.5, np.float32))
    scaled, moved, gate = (n.step(s, n.shape()) for s in ("scaled", "moved", "gate"))
    n.emit("Mul", [n.source, sixth], [scaled])
    n.emit("Add", [scaled, half], [moved])
    n.emit("Clip", [moved], [gate], min=0.0, max=1.0)
    n.emit("Mul", [n.source, gate])


def _power(n: Node) -> None:
    exponent = n.constant(1)
    if exponent is None or exponent.size != 1:
        raise n.refuse("a power with a computed exponent cannot be written")
    n.emit("Pow", [n.source], exponent=float(exponent))


def _pad(n: Node) -> None:
    pads = n.constant(1)
    mode = n.attribute("mode", "constant")
    value = n.setting(2)
    if pads is None or n.constant(3) is not None or len(pads) != 8 or any(pads[[0, 1, 4, 5]]) or mode == "wrap":
        raise n.refuse("padding other than of height and width, by constant, edge or reflection, cannot be written")
    sides = [int(p) for p in pads[[2, 3, 6, 7]]]
    if min(sides) < 0:
        raise n.refuse("negative padding cannot be written; cut with slices instead")
    n.emit("PadImage", [n.source], mode=mode, pads=sides, value=0.0 if value is None else float(value))


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


TRANSLATIONS: dict[str, Translation] = {
    "Add": _same("Add"),
    "AliasWithName": Node.forward,
    "AveragePool": _pool,
    "BatchNormalization": _batch_norm,
    "Cast": _cast,
    "Clip": _clip,
    "Concat": _concat,
    "Conv": _conv,
    "ConvTranspose": _conv_transpose,
    "Div": _same("Div"),
    "Dropout": Node.forward,
    "Exp": _same("Exp"),
    "Flatten": lambda n: n.emit("Flatten", n.inputs, axis=n.attribute("axis", 1)),
    "Gather": _gather,
    "Gemm": _gemm,
    "GlobalAveragePool": _global_average,
    "GroupNorm": _group_norm,
    "HardSigmoid": _hard_sigmoid,
    "HardSwish": _hard_swish,
    "Identity": Node.forward,
    "InstanceNormalization": lambda n: n.emit("InstanceNorm", n.inputs, epsilon=n.attribute("epsilon", 1e-5)),
    "MatMul": _matmul,
    "MaxPool": _pool,
    "Mul": _same("Mul"),
    "Neg": _same("Negative"),
    "Pad": _pad,
    "Pow": _power,
    "ReduceMean": _reduce_mean,
    "Relu": _same("Relu"),
    "Reshape": _reshape,
    "Resize": _resize,
    "Sigmoid": _same("Sigmoid"),
    "Slice": _slice,
    "Softmax": _softmax,
    "Split": _split,
    "Sqrt": _same("Sqrt"),
    "Squeeze": _squeeze,
    "Sub": _same("Sub"),
    "Sum": _same("Sum"),
    "Transpose": _transpose,
    "Unsqueeze": _squeeze,
    **{o.type: _caffe2(list(o.attributes)) for o in operators.OPERATORS if o.type != "AliasWithName"},
}
