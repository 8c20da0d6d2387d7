"""Activations, reductions and normalisations of ONNX as Caffe2 operators; those that Caffe2 had not, as several."""

from __future__ import annotations

from typing import Any

import numpy as np

from d2deploy.export.netdef import Dims, Node, Translation


def same(kind: str) -> Translation:
    """The same operator by another name, without arguments."""
    return lambda n: n.emit(kind, n.inputs)


def number(n: Node, array: np.ndarray, what: str) -> float:
    """A setting that is one number, whatever dimensions it has."""
    if array.size != 1:
        raise n.refuse(f"{what} must be one number, is {array.size} of them")
    return float(array.item())


def _constant(n: Node, name: str, value: float) -> str:
    return n.parameter(name, np.array(value, np.float32))


def _steps(n: Node, shape: Dims | None = None) -> Chain:
    return Chain(n, n.source, n.shape() if shape is None else shape)


class Chain:
    """Operators one behind the other, the last of which makes the node's output."""

    def __init__(self, node: Node, source: str, shape: Dims) -> None:
        self._node, self.blob, self._shape = node, source, shape

    def then(self, kind: str, *others: str, shape: Dims | None = None, first: bool = True, **args: object) -> Chain:
        """One more operator, of what there is so far and of `others`, which come first where `first` is false."""
        self._shape = self._shape if shape is None else shape
        output = self._node.step(kind.lower(), self._shape)
        inputs = [self.blob, *others] if first else [*others, self.blob]
        self._node.emit(kind, inputs, [output], **args)  # type: ignore[arg-type]
        return Chain(self._node, output, self._shape)

    def end(self, kind: str, *others: str, **args: object) -> None:
        self._node.emit(kind, [self.blob, *others], **args)  # type: ignore[arg-type]


def _clip(n: Node) -> None:
    bounds = {name: n.setting(i) for i, name in ((1, "min"), (2, "max"))}
    given: dict[str, Any] = {name: number(n, v, f"{name} of Clip") for name, v in bounds.items() if v is not None}
    n.emit("Clip", [n.source], **given)


def _hard_sigmoid(n: Node) -> None:
    """clip(alpha * x + beta, 0, 1)."""
    alpha, beta = _constant(n, "alpha", n.attribute("alpha", 0.2)), _constant(n, "beta", n.attribute("beta", 0.5))
    _steps(n).then("Mul", alpha).then("Add", beta).end("Clip", min=0.0, max=1.0)


def _hard_swish(n: Node) -> None:
    """x * clip(x / 6 + 1/2, 0, 1)."""
    gate = _steps(n).then("Mul", _constant(n, "sixth", 1 / 6)).then("Add", _constant(n, "half", 0.5))
    gate.then("Clip", min=0.0, max=1.0).end("Mul", n.source)


def _alpha(kind: str, default: float) -> Translation:
    return lambda n: n.emit(kind, n.inputs, alpha=float(n.attribute("alpha", default)))


def _selu(n: Node) -> None:
    gamma = _constant(n, "gamma", n.attribute("gamma", 1.0507009873554805))
    _steps(n).then("Elu", alpha=float(n.attribute("alpha", 1.6732632423543772))).end("Mul", gamma)


def _celu(n: Node) -> None:
    """alpha * elu(x / alpha)."""
    alpha = _constant(n, "alpha", n.attribute("alpha", 1.0))
    _steps(n).then("Div", alpha).then("Elu", alpha=1.0).end("Mul", alpha)


def _mish(n: Node) -> None:
    """x * tanh(softplus(x))."""
    _steps(n).then("Softplus").then("Tanh").end("Mul", n.source)


def _gelu(n: Node) -> None:
    n.emit("Gelu", n.inputs, fast_gelu=int(n.attribute("approximate", "none") == "tanh"))


def _prelu(n: Node) -> None:
    """slope * x + (1 - slope) * relu(x); one slope for all channels is LeakyRelu's."""
    slope = n.setting(1)
    if slope is None:
        raise n.refuse("PRelu without slopes cannot be written")
    if slope.size == 1:
        n.emit("LeakyRelu", [n.source], alpha=number(n, slope, "the slope"))
        return
    above = _steps(n).then("Relu").then("Mul", n.parameter("one_minus_slope", (1 - slope).astype(np.float32)))
    _steps(n).then("Mul", n.parameter("slope", slope)).end("Add", above.blob)


def _power(n: Node) -> None:
    exponent = n.constant(1)
    if exponent is not None and exponent.size == 1:
        n.emit("Pow", [n.source], exponent=number(n, exponent, "the exponent"))
    else:
        n.emit("Pow", n.inputs)


def _reciprocal(n: Node) -> None:
    n.emit("Div", [_constant(n, "one", 1), n.source])


def _extreme(kind: str) -> Translation:
    """max(a, b) = b + relu(a - b), min(a, b) = b - relu(b - a), from the first input to the last."""

    def translate(n: Node) -> None:
        found, shape = n.inputs[0], n.output_shape()
        if len(n.inputs) == 1:
            n.forward()
        for number, other in enumerate(n.inputs[1:], start=2):
            excess, above = n.step("difference", shape), n.step("excess", shape)
            n.emit("Sub", [found, other] if kind == "Max" else [other, found], [excess])
            n.emit("Relu", [excess], [above])
            outputs = None if number == len(n.inputs) else [n.step(kind.lower(), shape)]
            n.emit("Add" if kind == "Max" else "Sub", [other, above], outputs)
            found = outputs[0] if outputs else found

    return translate


def axes_of(n: Node) -> list[int]:
    """The dimensions that a reduction names; all where it names none."""
    axes, rank = n.setting(1), len(n.shape())
    return sorted(range(rank) if axes is None else (int(a) % rank for a in axes))


def _reduce(kind: str) -> Translation:
    return lambda n: n.emit(kind, [n.source], axes=axes_of(n), keepdims=n.attribute("keepdims", 1))


def _reduce_min(n: Node) -> None:
    maximum = _steps(n).then("Negative")
    maximum.then("ReduceMax", shape=n.output_shape(), axes=axes_of(n), keepdims=n.attribute("keepdims", 1)).end(
        "Negative"
    )


def _reduce_l2(n: Node) -> None:
    squares = _steps(n).then("Mul", n.source)
    total = squares.then("ReduceSum", shape=n.output_shape(), axes=axes_of(n), keepdims=n.attribute("keepdims", 1))
    total.end("Sqrt")


def _reduce_l1(n: Node) -> None:
    _steps(n).then("Abs").end("ReduceSum", axes=axes_of(n), keepdims=n.attribute("keepdims", 1))


def _layer_norm(n: Node) -> None:
    """Over the dimensions from `axis` on; gamma and beta go together."""
    scale, inputs = n.constant(1), list(n.inputs)
    if len(inputs) == 2 and scale is not None:
        inputs.append(n.parameter("zeros", np.zeros(scale.shape, np.float32)))
    if len(inputs) != 3:
        raise n.refuse("a layer normalisation by a scale that is computed cannot be written without a shift")
    axis = n.attribute("axis", -1) % len(n.shape())
    epsilon = float(n.attribute("epsilon", 1e-5))
    n.emit("LayerNorm", inputs, [n.first_output()], axis=axis, epsilon=epsilon, elementwise_affine=1)


def _softmax(n: Node) -> None:
    """Caffe2's is over the last dimension; another one is exchanged with it before and after."""
    rank = len(n.shape())
    axis = n.attribute("axis", -1) % rank
    if axis == rank - 1:
        n.emit("Softmax", n.inputs, axis=axis)
        return
    axes = list(range(rank))
    axes[axis], axes[-1] = axes[-1], axes[axis]
    turned = _steps(n).then("Transpose", shape=[n.shape()[a] for a in axes], axes=axes)
    turned.then("Softmax", axis=rank - 1).end("Transpose", axes=axes)


ELEMENTWISE: dict[str, Translation] = {
    "Abs": same("Abs"),
    "Add": same("Add"),
    "Celu": _celu,
    "Clip": _clip,
    "Cos": same("Cos"),
    "Div": same("Div"),
    "Elu": _alpha("Elu", 1.0),
    "Erf": same("Erf"),
    "Exp": same("Exp"),
    "Gelu": _gelu,
    "HardSigmoid": _hard_sigmoid,
    "HardSwish": _hard_swish,
    "LayerNormalization": _layer_norm,
    "LeakyRelu": _alpha("LeakyRelu", 0.01),
    "Log": same("Log"),
    "Max": _extreme("Max"),
    "Min": _extreme("Min"),
    "Mish": _mish,
    "Mul": same("Mul"),
    "Neg": same("Negative"),
    "PRelu": _prelu,
    "Pow": _power,
    "Reciprocal": _reciprocal,
    "ReduceL1": _reduce_l1,
    "ReduceL2": _reduce_l2,
    "ReduceMax": _reduce("ReduceMax"),
    "ReduceMean": _reduce("ReduceMean"),
    "ReduceMin": _reduce_min,
    "ReduceSum": _reduce("ReduceSum"),
    "Relu": same("Relu"),
    "Selu": _selu,
    "Sigmoid": same("Sigmoid"),
    "Sin": same("Sin"),
    "Softmax": _softmax,
    "Softplus": same("Softplus"),
    "Sqrt": same("Sqrt"),
    "Sub": same("Sub"),
    "Sum": same("Sum"),
    "Tanh": same("Tanh"),
}
