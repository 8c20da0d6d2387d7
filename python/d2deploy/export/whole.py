"""Programs of layers that torch.onnx can write as they are, without taking them apart first.

Taking apart traces a model twice more, which is half of what torch.onnx has to do; of most models it changes nothing in
the files. Programs that hold anything else are taken apart as ever.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import torch
from onnxscript import opset20

_ATEN = torch.ops.aten
# What is written alike, taken apart or not.
_PLAIN = {
    *(_ATEN.conv2d.default, _ATEN.conv_transpose2d.input, _ATEN.linear.default, _ATEN.max_pool2d.default),
    *(_ATEN.batch_norm.default, _ATEN.group_norm.default, _ATEN.flatten.using_ints, _ATEN.cat.default),
    *(_ATEN.relu.default, _ATEN.sigmoid.default, _ATEN.softmax.int, _ATEN.mean.dim),
    *(_ATEN.upsample_nearest2d.vec, _ATEN.upsample_bilinear2d.vec),
    *(_ATEN.slice.Tensor, _ATEN.select.int, _ATEN.unsqueeze.default, _ATEN.split_with_sizes.default),
    *(_ATEN.sym_size.int, _ATEN._assert_scalar.default),
}
_ARITHMETIC = (_ATEN.add.Tensor, _ATEN.sub.Tensor, _ATEN.mul.Tensor, _ATEN.div.Tensor)


def keep_whole(program: torch.export.ExportedProgram) -> bool:
    """Has torch.onnx, which asks a program to take itself apart, get it as it is, where that is as good: then True."""
    nodes = [node for node in program.graph.nodes if node.op == "call_function"]
    if not all(map(_is_plain, nodes)):
        return False
    for node in nodes:
        if node.target is _ATEN.flatten.using_ints and _rank(node) == _rank(node.args[0]):  # it changes nothing
            node.replace_all_uses_with(node.args[0])
            program.graph.erase_node(node)
    program.run_decompositions = lambda table=None: program
    return True


def _is_plain(node: torch.fx.Node) -> bool:
    target: Any = node.target
    if not isinstance(target, torch._ops.OpOverload):
        return True  # arithmetic of sizes
    if target is _ATEN.batch_norm.default:
        return node.args[1] is not None and node.args[5] is False  # with weights, and not training
    if target in _ARITHMETIC:
        return all(isinstance(operand, torch.fx.Node) for operand in node.args)  # numbers get other names
    return target in _PLAIN or target.namespace == "d2deploy"


def _rank(node: Any) -> int:
    return int(node.meta["val"].dim())


def translations() -> dict[Callable[..., Any], Callable[..., Any]]:
    """Of what torch.onnx takes apart only: for its table."""
    return {_ATEN.batch_norm.default: _batch_norm, _ATEN.conv_transpose2d.input: _conv_transpose}


def _batch_norm(
    input: Any,  # torch.onnx goes by these names
    weight: Any,
    bias: Any,
    running_mean: Any,
    running_var: Any,
    training: bool,
    momentum: float,
    eps: float,
    cudnn_enabled: bool,
) -> Any:
    return opset20.BatchNormalization(input, weight, bias, running_mean, running_var, epsilon=eps)


def _conv_transpose(
    input: Any,
    weight: Any,
    bias: Any = None,
    stride: Sequence[int] = (1, 1),
    padding: Sequence[int] = (0, 0),
    output_padding: Sequence[int] = (0, 0),
    groups: int = 1,
    dilation: Sequence[int] = (1, 1),
) -> Any:
    return opset20.ConvTranspose(
        input,
        weight,
        bias,
        strides=_pair(stride),
        pads=_pair(padding) * 2,
        output_padding=_pair(output_padding),
        group=groups,
        dilations=_pair(dilation),
    )


def _pair(sizes: Sequence[int]) -> list[int]:
    return list(sizes) * (2 if len(sizes) == 1 else 1)
