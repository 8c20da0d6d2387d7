"""ONNX operator -> Caffe2 operators: a function for each type that has a counterpart."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from d2deploy.export import operators
from d2deploy.export.cutting import cut, pad, row
from d2deploy.export.elementwise import ELEMENTWISE
from d2deploy.export.netdef import Node, Translation, product
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
    behind = [d for d in shape[1:] if isinstance(d, int)]
    if weight is None or weight.ndim != 2 or len(shape) < 2 or len(behind) < len(shape) - 1:
        n.emit("BatchMatMul", n.inputs, broadcast=1)
        return
    blob = n.parameter("weight", np.ascontiguousarray(weight.T))
    bias = n.added_vector(weight.shape[1]) or n.parameter("zero_bias", np.zeros(weight.shape[1], np.float32))
    if len(shape) == 2:
        n.emit("FC", [n.source, blob, bias])
        return
    count = product(shape[:-1])
    rows, products = n.step("rows", [count, weight.shape[0]]), n.step("product", [count, weight.shape[1]])
    n.emit("Reshape", [n.source], [rows, n.step("old_shape", [len(shape)])], shape=[-1, weight.shape[0]])
    n.emit("FC", [rows, blob, bias], [products])
    n.emit("Reshape", [products], [n.first_output(), n.step("old_shape", [2])], shape=[-1, *behind])


def _concat(n: Node) -> None:
    if len(n.inputs) == 1:
        n.forward()
        return
    axis = n.attribute("axis") % len(n.output_shape())
    first = n.first_output()
    n.emit("Concat", n.inputs, [first, n.step("sizes", [len(n.inputs)])], axis=axis)


def _squeeze(n: Node) -> None:
    axes = n.constant(1)
    if axes is None and n.type == "Squeeze" and all(isinstance(size, int) for size in n.shape()):
        axes = np.array([axis for axis, size in enumerate(n.shape()) if size == 1])
    if axes is None:
        raise n.refuse("squeeze needs the dimensions to drop, where sizes depend on the image's")
    if not len(axes):
        n.forward()
        return
    rank = len(n.shape()) + (len(axes) if n.type == "Unsqueeze" else 0)
    n.emit("ExpandDims" if n.type == "Unsqueeze" else "Squeeze", [n.source], dims=sorted(int(a) % rank for a in axes))


def _transpose(n: Node) -> None:
    n.emit("Transpose", n.inputs, axes=n.attribute("perm", list(range(len(n.shape())))[::-1]))


def _split(n: Node) -> None:
    sizes = n.setting(1)
    extra: dict[str, Any] = {} if sizes is None else {"split": [int(s) for s in sizes]}
    n.emit("Split", [n.source], axis=n.attribute("axis", 0) % len(n.shape()), **extra)


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
    "Gather": row,
    "Gemm": _gemm,
    "GlobalAveragePool": _global_average,
    "GroupNorm": _group_norm,
    "Identity": Node.forward,
    "InstanceNormalization": lambda n: n.emit("InstanceNorm", n.inputs, epsilon=n.attribute("epsilon", 1e-5)),
    "MatMul": _matmul,
    "MaxPool": _pool,
    "Pad": pad,
    "Reshape": reshape,
    "Resize": resize,
    "Slice": cut,
    "Split": _split,
    "Squeeze": _squeeze,
    "Transpose": _transpose,
    "Unsqueeze": _squeeze,
    **ELEMENTWISE,
    **{o.type: _caffe2(list(o.attributes)) for o in operators.OPERATORS if o.type != "AliasWithName"},
}
