"""The operators in ONNX: their domain, their schemas, and how torch.onnx writes them; all from operators.py."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import onnx.defs
import onnx.numpy_helper
import onnx_ir
import torch
from onnxscript import opset20
from onnxscript.values import Opset

from d2deploy.export.operators import OPERATORS, Operator

DOMAIN = "org.pytorch._caffe2"

_Schema = onnx.defs.OpSchema
_OPSET = Opset(DOMAIN, 1)
# The type of an operator's argument -> that of the attribute, for torch.onnx and for ONNX.
_ATTRIBUTES: dict[Any, tuple[Any, Any]] = {
    bool: (int, _Schema.AttrType.INT),
    int: (int, _Schema.AttrType.INT),
    float: (float, _Schema.AttrType.FLOAT),
    str: (str, _Schema.AttrType.STRING),
    Sequence[int]: (Sequence[int], _Schema.AttrType.INTS),
    Sequence[float]: (Sequence[float], _Schema.AttrType.FLOATS),
}
_POOLED = {"height": int, "width": int}
# What layers of PyTorch become, where ONNX has no operator, or one that says less.
LAYERS = {
    "AdaptiveAveragePool": Operator("AdaptiveAveragePool", ("X",), _POOLED, False, False, 1),
    "AdaptiveMaxPool": Operator("AdaptiveMaxPool", ("X",), _POOLED, False, False, 2),  # and the places of the maxima
    "GroupNorm": Operator("GroupNorm", ("X", "gamma", "beta"), {"group": int, "epsilon": float}, False, False, 1),
}


def translations() -> dict[Callable[..., Any], Callable[..., Any]]:
    """The table for torch.onnx; registers the schemas, without which ONNX refuses the operators."""
    for operator in [*OPERATORS, *LAYERS.values()]:
        if not onnx.defs.has(operator.type, DOMAIN):
            _register(operator)
    return {
        **{o.overload: translation(o, getattr(_OPSET, o.type)) for o in OPERATORS},
        torch.ops.aten.adaptive_avg_pool2d.default: _adaptive_average_pool,
        torch.ops.aten.adaptive_max_pool2d.default: _adaptive_max_pool,
        torch.ops.aten.group_norm.default: _group_norm,
        torch.ops.aten.pixel_unshuffle.default: _pixel_unshuffle,
        torch.ops.aten.softplus.default: _softplus,
    }


def output_count(node: onnx_ir.Node) -> int:
    """Length of the list that an operator gives: the levels, and the places."""
    levels = node.attributes["roi_max_level"].as_int() - node.attributes["roi_min_level"].as_int() + 1
    return levels + 1


def translation(operator: Operator, write: Callable[..., Any]) -> Callable[..., Any]:
    """The function that torch.onnx calls for an operator.

    Args:
        operator: one of OPERATORS.
        write: takes the values of its tensors, those of a list too, and its attributes by name; gives its outputs.
    """
    names = [*operator.tensors, *operator.attributes]

    def translate(*args: Any, **kwargs: Any) -> Any:
        given = dict(zip(names, args, strict=False)) | kwargs
        inputs = [given[name] for name in operator.tensors]
        return write(
            *(inputs[0] if operator.many_inputs else inputs), **{name: given[name] for name in operator.attributes}
        )

    parameters = [inspect.Parameter(name, inspect.Parameter.POSITIONAL_OR_KEYWORD) for name in names]
    translate.__signature__ = inspect.Signature(parameters)  # type: ignore[attr-defined]
    translate.__annotations__ = {name: _ATTRIBUTES[kind][0] for name, kind in operator.attributes.items()}
    return translate


def _group_norm(
    input: Any,  # torch.onnx goes by these names
    num_groups: int,
    weight: Any = None,
    bias: Any = None,
    eps: float = 1e-5,
    cudnn_enabled: bool = True,
) -> Any:
    return _OPSET.GroupNorm(input, weight, bias, group=num_groups, epsilon=eps)


def _adaptive_average_pool(self: Any, output_size: Sequence[int]) -> Any:
    if list(output_size) == [1, 1]:
        return opset20.ReduceMean(self, _numbers([-2, -1]), keepdims=1)
    return _OPSET.AdaptiveAveragePool(self, height=output_size[0], width=output_size[1])


def _adaptive_max_pool(self: Any, output_size: Sequence[int]) -> Any:
    return _OPSET.AdaptiveMaxPool(self, height=output_size[0], width=output_size[1])


def _pixel_unshuffle(self: Any, downscale_factor: int) -> Any:
    """A convolution of stride r that takes one cell of each r x r block to a channel of its own."""
    r, channels = downscale_factor, self.shape[1]
    kernel = np.tile(np.eye(r * r, dtype=np.float32).reshape(r * r, 1, r, r), (channels, 1, 1, 1))
    weight = opset20.Constant(value=onnx.numpy_helper.from_array(kernel))
    return opset20.Conv(self, weight, strides=[r, r], group=channels, kernel_shape=[r, r])


def _softplus(self: Any, beta: float = 1.0, threshold: float = 20.0) -> Any:
    """ln(1 + e^(beta x)) / beta. Above the threshold PyTorch gives x, which differs by less than a rounding."""
    if beta == 1:
        return opset20.Softplus(self)
    scale = opset20.Constant(value_float=float(beta))
    return opset20.Div(opset20.Softplus(opset20.Mul(self, scale)), scale)


def _numbers(values: Sequence[int]) -> Any:
    return opset20.Constant(value_ints=list(values))


def _register(operator: Operator) -> None:
    option = _Schema.FormalParameterOption

    def parameters(names: Sequence[str], many: bool) -> list[Any]:
        kind = option.Variadic if many else option.Single
        return [_Schema.FormalParameter(n, "T", param_option=kind, is_homogeneous=not many) for n in names]

    def attributes(kinds: Mapping[str, Any]) -> list[Any]:
        return [_Schema.Attribute(name, _ATTRIBUTES[kind][1], required=False) for name, kind in kinds.items()]

    onnx.defs.register_schema(
        _Schema(
            operator.type,
            DOMAIN,
            1,
            inputs=parameters(operator.tensors, operator.many_inputs),
            outputs=parameters([f"output{i}" for i in range(operator.outputs)], operator.many_outputs),
            type_constraints=[("T", ["tensor(float)", "tensor(int32)"], "boxes, scores, maps; places")],
            attributes=attributes(operator.attributes),
        )
    )
