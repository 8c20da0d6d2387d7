"""What of a traced model does not depend on its inputs, computed by PyTorch: resized positions, masks, indices."""

from __future__ import annotations

import operator
from typing import Any

import torch
from torch import Tensor
from torch.export.graph_signature import InputKind, InputSpec, TensorArgument
from torch.fx import Graph, Node
from torch.fx.node import map_arg

from d2deploy.export.rewriting import written_as_others

_GIVEN = (InputKind.PARAMETER, InputKind.BUFFER, InputKind.CONSTANT_TENSOR)


def fold_constants(program: torch.export.ExportedProgram) -> torch.export.ExportedProgram:
    """The same program, without what is equal for all inputs. Its values become buffers, which bear the name of the
    module that computed them."""
    # This also writes what changes tensors in place as what does not.
    program = program.run_decompositions(written_as_others())
    graph, signature = program.graph, program.graph_signature
    placeholders = [node for node in graph.nodes if node.op == "placeholder"]
    values: dict[Node, Any] = {}
    for node, spec in zip(placeholders, signature.input_specs, strict=True):
        if spec.kind in _GIVEN and spec.target is not None:
            values[node] = program.state_dict.get(spec.target, program.constants.get(spec.target))
    given = set(values)
    with torch.no_grad():
        for node in graph.nodes:
            if _is_constant(node, values):
                arguments = map_arg((node.args, node.kwargs), lambda n: values[n])
                values[node] = node.target(*arguments[0], **arguments[1])
    for node, value in values.items():
        if node not in given and isinstance(value, Tensor) and any(user not in values for user in node.users):
            _replace(program, node, value)
    graph.eliminate_dead_code()
    program.graph_module.recompile()
    return program


def _is_constant(node: Node, values: dict[Node, Any]) -> bool:
    if node.op != "call_function" or node.is_impure() or any(n not in values for n in node.all_input_nodes):
        return False
    if not isinstance(node.target, torch._ops.OpOverload):
        return node.target is operator.getitem
    return torch.Tag.nondeterministic_seeded not in node.target.tags


def _replace(program: torch.export.ExportedProgram, node: Node, value: Tensor) -> None:
    """Everyone who reads the node reads a buffer with this value instead."""
    graph: Graph = program.graph
    first = next(iter(graph.nodes))
    with graph.inserting_before(first):
        buffer = graph.placeholder(f"b_{node.name}")
    buffer.meta["val"] = node.meta["val"]
    modules = list((node.meta.get("nn_module_stack") or {}).values())
    path = f"{modules[-1][0]}." if modules and modules[-1][0] else ""
    target = f"{path}{node.name}"
    node.replace_all_uses_with(buffer)
    program.constants[target] = value.contiguous()
    spec = InputSpec(InputKind.BUFFER, TensorArgument(buffer.name), target, persistent=False)
    program.graph_signature.input_specs.insert(0, spec)
