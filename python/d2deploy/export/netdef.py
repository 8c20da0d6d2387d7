"""ONNX -> Caffe2: writes a model in onnx_ir as a predict net and an init net, with a table of translations."""

from __future__ import annotations

import ast
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import onnx_ir

from d2deploy.errors import InternalError, Unsupported
from d2deploy.nets import proto
from d2deploy.nets.proto import Value
from d2deploy.nets.weights import InitNet

ROOT = "model."  # where the traced module keeps the detector; not part of the names in a file

# What a translation does not read, since it goes by the shape of the output.
_SHAPE_INPUTS = {"Expand": 1, "Reshape": 1, "Resize": 3}
_SPREADING = ("Add", "Div", "Mul", "Sub")

Dims = list[int | str]  # a number, or an expression of the sizes of the input, per dimension


@dataclass
class Nets:
    """The two nets of a model, and the shapes of all blobs of the predict net."""

    predict: Any
    weights: InitNet
    shapes: dict[str, Dims]

    @cached_property
    def init(self) -> Any:
        """The net that makes the weights, as a message."""
        return self.weights.message()


class Node:
    """An ONNX node as a translation sees it: what goes in, and a place to write Caffe2 operators to."""

    def __init__(self, node: onnx_ir.Node, writer: NetWriter) -> None:
        self._node = node
        self._writer = writer
        self.type = node.op_type

    @property
    def inputs(self) -> list[str]:
        """Blobs of the inputs that are given."""
        return [self._writer.blob(v) for v in self._node.inputs if v is not None]

    @property
    def source(self) -> str:
        """Blob of the first input. The others do not become parameters by this."""
        return self._writer.blob(self._first())

    def attribute(self, name: str, default: Any = None) -> Any:
        found = self._node.attributes.get(name)
        return default if found is None else found.value

    def attributes(self) -> dict[str, Any]:
        return {name: attribute.value for name, attribute in self._node.attributes.items()}

    def constant(self, index: int) -> np.ndarray | None:
        """The value of an input that is the same for every image; None where it is not, or where it is not given."""
        value = self._node.inputs[index] if index < len(self._node.inputs) else None
        return None if value is None else constant_of(value)

    def setting(self, index: int) -> np.ndarray | None:
        """The value of an input that must be the same for every image; None where it is not given."""
        value = self.constant(index)
        if value is None and index < len(self._node.inputs) and self._node.inputs[index] is not None:
            raise self.refuse(f"input {index} of {self.type} is computed; it can be written only where it is constant")
        return value

    def shape(self, index: int = 0) -> Dims:
        """Of an input."""
        return dims(self._node.inputs[index])

    def output_shape(self) -> Dims:
        return dims(self._node.outputs[0])

    def output_is_read(self, index: int) -> bool:
        value = self._node.outputs[index] if index < len(self._node.outputs) else None
        return value is not None and (bool(value.uses()) or value.is_graph_output())

    def first_output(self) -> str:
        return self._writer.output(self._node, 0)

    def step(self, name: str, shape: Dims) -> str:
        """A blob between the operators of one translation."""
        blob = self._writer.unique(f"{self._writer.output(self._node, 0)}.{name}")
        self._writer.shapes[blob] = shape
        return blob

    def parameter(self, name: str, array: np.ndarray) -> str:
        """A constant of the translation's own."""
        return self._writer.parameter(f"{module_path(self._node) or self.type}.{name}", array)

    def emit(self, kind: str, inputs: Sequence[str], outputs: Sequence[str] | None = None, **args: Value) -> None:
        """Writes an operator; its outputs are the node's where none are given."""
        every = [self._writer.output(self._node, i) for i in range(len(self._node.outputs))]
        message = proto.OperatorDef(type=kind, input=inputs, output=every if outputs is None else outputs)
        message.arg.extend(proto.argument(name, value) for name, value in args.items())
        self._writer.operators.append(message)

    def forward(self) -> None:
        """The output is the first input: nothing is written, except where both are known by names of their own."""
        if not self._writer.alias(self._node.outputs[0], self._first()):
            self.emit("Copy", [self.source])

    def _first(self) -> onnx_ir.Value:
        first = self._node.inputs[0]
        if first is None:
            raise InternalError(f"{module_of(self._node)}: {self.type} came out of tracing without its first input")
        return first

    def earlier_map(self, height: int | str, width: int | str) -> str | None:
        """The blob of an input of the model, or of what is computed before, that is a map of this size."""
        return self._writer.map_of_size(height, width)

    def spread_by_readers(self) -> bool:
        """Whether all that read the output combine it with a tensor that has its shape already."""
        if self._node.outputs[0].is_graph_output():
            return False
        wanted = self.output_shape()
        readers = [use.node for use in self._node.outputs[0].uses()]
        others = [[dims(v) for v in r.inputs if v is not self._node.outputs[0]] for r in readers]
        return all(r.op_type in _SPREADING for r in readers) and all(wanted in shapes for shapes in others)

    def added_vector(self, size: int) -> str | None:
        """The blob of a constant vector of this size that is added to the output, and to nothing else: the operator
        that is written then makes the sum. None where there is none."""
        uses = list(self._node.outputs[0].uses())
        reader = uses[0].node if len(uses) == 1 and not self._node.outputs[0].is_graph_output() else None
        if reader is None or reader.op_type != "Add":
            return None
        vector = reader.inputs[1 - uses[0].idx]
        array = None if vector is None else constant_of(vector)
        if vector is None or array is None or array.shape != (size,):
            return None
        self._writer.write_as(self._node, reader)
        return self._writer.blob(vector)

    def refuse(self, reason: str) -> Unsupported:
        return Unsupported(f"{module_of(self._node)}: {reason}")


Translation = Callable[[Node], None]


class NetWriter:
    """Writes one model, node by node."""

    def __init__(self, model: onnx_ir.Model, translations: Mapping[str, Translation]) -> None:
        self._graph = model.graph
        self._nodes = _needed(model.graph)
        self._maps: list[onnx_ir.Value] = []  # that are there so far
        self._translations = translations
        self._blobs: dict[onnx_ir.Value, str] = {}
        self._written: set[onnx_ir.Node] = set()  # with another one
        self._taken: set[str] = set()
        self._parameters: dict[str, np.ndarray] = {}
        self.operators: list[Any] = []
        self.shapes: dict[str, Dims] = {}

    def write(self) -> Nets:
        self._check_translatable()
        self._name_borders()
        self._maps = [v for v in self._graph.inputs if len(dims(v)) == 4]
        for node in self._nodes:
            if node not in self._written:
                self._translations[node.op_type](Node(node, self))
            self._maps += [v for v in node.outputs if len(dims(v)) == 4 and v in self._blobs]
        return self._nets()

    def blob(self, value: onnx_ir.Value) -> str:
        """The blob of a value; a constant becomes a parameter when an operator first asks for it."""
        if value not in self._blobs:
            array = constant_of(value)
            if array is None:
                raise InternalError(f"value '{value.name}' came out of tracing neither computed nor constant")
            self._blobs[value] = self.parameter(str(value.name).removeprefix(ROOT), array)
        return self._blobs[value]

    def output(self, node: onnx_ir.Node, index: int) -> str:
        """The blob of a node's output, called after the module, or the operator in the module, that computes it."""
        value = node.outputs[index]
        if value not in self._blobs:
            name = _name(node) if index == 0 else f"{self.output(node, 0)}.{index}"
            self._blobs[value] = self.unique(name)
            self.shapes[self._blobs[value]] = dims(value)
        return self._blobs[value]

    def parameter(self, name: str, array: np.ndarray) -> str:
        blob = self.unique(name)
        self._parameters[blob] = array
        self.shapes[blob] = list(array.shape)
        return blob

    def alias(self, value: onnx_ir.Value, source: onnx_ir.Value) -> bool:
        """Calls `value` by the blob of `source`; false where it has a blob already."""
        return self._blobs.setdefault(value, self.blob(source)) == self.blob(source)

    def write_as(self, node: onnx_ir.Node, reader: onnx_ir.Node) -> None:
        """What is written for `node` is the output of its only reader, for which nothing is written."""
        if reader.outputs[0] not in self._blobs:  # the layer's name, as where torch.onnx joins product and sum
            self._blobs[reader.outputs[0]] = self.unique(module_path(node) or _name(node))
            self.shapes[self._blobs[reader.outputs[0]]] = dims(reader.outputs[0])
        self._blobs[node.outputs[0]] = self._blobs[reader.outputs[0]]
        self._written.add(reader)

    def map_of_size(self, height: int | str, width: int | str) -> str | None:
        return next((self._blobs[v] for v in self._maps if dims(v)[2:] == [height, width]), None)

    def unique(self, name: str) -> str:
        result, number = name, 2
        while result in self._taken:
            result, number = f"{name}_{number}", number + 1
        self._taken.add(result)
        return result

    def _check_translatable(self) -> None:
        unknown: dict[str, str] = {}
        for node in self._nodes:
            if node.op_type == "Shape":
                unknown.setdefault("numbers made of a map's size (Shape)", module_of(_taker_of_sizes(node)))
            elif node.op_type not in self._translations:
                unknown.setdefault(node.op_type, module_of(node))
        if unknown:
            what = "; ".join(f"{kind} in {where}" for kind, where in sorted(unknown.items()))
            raise Unsupported(
                f"the files have no operators for {what}. Write these modules with convolutions, pooling, resizing, "
                "matrix products and element-wise operators, or keep them out of the exported model"
            )

    def _name_borders(self) -> None:
        """Inputs, outputs, and values that the model names by AliasWithName bear their names."""
        borders = {value: str(value.name) for value in [*self._graph.inputs, *self._graph.outputs]}
        for node in reversed(list(self._graph)):
            if node.op_type == "AliasWithName" and (source := node.inputs[0]) is not None:
                borders.setdefault(source, borders.pop(node.outputs[0], node.attributes["name"].as_string()))
        for value, name in borders.items():
            self._blobs[value] = self.unique(name)
            self.shapes[self._blobs[value]] = dims(value)

    def _nets(self) -> Nets:
        inputs = [self._blobs[v] for v in self._graph.inputs]
        outputs = [self._blobs[v] for v in self._graph.outputs]
        predict = proto.NetDef(name="d2deploy_predict", op=self.operators)
        predict.device_option.device_type, predict.device_option.device_id = 0, 0
        predict.external_input.extend([*inputs, *self._parameters])
        predict.external_output.extend(outputs)
        return Nets(predict, InitNet(self._parameters), self.shapes)


def _needed(graph: onnx_ir.Graph) -> list[onnx_ir.Node]:
    """The nodes that the outputs hang on, in order, without those that compute nothing but shapes."""
    needed, wanted = [], set(graph.outputs)
    for node in reversed(list(graph)):
        if wanted.isdisjoint(node.outputs):
            continue
        needed.append(node)
        shape_input = _SHAPE_INPUTS.get(node.op_type)
        wanted |= {v for i, v in enumerate(node.inputs) if v is not None and i != shape_input}
    return needed[::-1]


def _taker_of_sizes(node: onnx_ir.Node) -> onnx_ir.Node:
    """The first node behind one that gives sizes that makes something else of them than sizes."""
    left = [node]
    for taker in left:
        if any(v.dtype is not None and not v.dtype.is_integer() for v in taker.outputs):
            return taker
        left += [use.node for v in taker.outputs for use in v.uses() if use.node not in left]
    return node


def constant_of(value: onnx_ir.Value) -> np.ndarray | None:
    return None if value.const_value is None else value.const_value.numpy()


def dims(value: onnx_ir.Value | None) -> Dims:
    if value is None or value.shape is None:
        return []
    return [d if isinstance(d, int) else str(d) for d in value.shape]


def product(sizes: Dims) -> int | str:
    """How many cells there are, as one dimension; of the sizes one at most is not a number."""
    known, other = 1, ""
    for size in sizes:
        known, other = (known * size, other) if isinstance(size, int) else (known, size)
    return f"({other})*{known}" if other else known


def _scopes(node: onnx_ir.Node) -> tuple[list[str], list[str]]:
    """Paths and classes of the modules around a node, outermost first; the last entries are the operator's own."""
    while True:
        paths = ast.literal_eval(node.metadata_props.get("pkg.torch.onnx.name_scopes", "[]"))[:-1]
        classes = ast.literal_eval(node.metadata_props.get("pkg.torch.onnx.class_hierarchy", "[]"))[:-1]
        if paths and not paths[-1].startswith("_empty_nn_module_stack"):  # which PyTorch has where it lost them
            return paths, classes
        producers = [value.producer() for value in node.inputs if value is not None]
        known = [producer for producer in producers if producer is not None]
        if not known:
            return [], []
        node = known[-1]


def without_root(path: str) -> str:
    """The path of a submodule in the detector; empty for the detector itself."""
    return f"{path}.".removeprefix(ROOT).removesuffix(".")


def module_path(node: onnx_ir.Node) -> str:
    """The submodule that a node was traced from; empty for the model itself."""
    paths, _ = _scopes(node)
    return without_root(paths[-1]) if paths else ""


def module_of(node: onnx_ir.Node) -> str:
    """The submodule that a node was traced from, for messages."""
    path, (_, classes) = module_path(node), _scopes(node)
    return f"module '{path}' ({classes[-1].rsplit('.', 1)[-1]})" if path else "the model"


def _name(node: onnx_ir.Node) -> str:
    """What the first output of a node is called: the module whose weight it uses, or module and operator."""
    for value in node.inputs[1:2]:
        if value is not None and value.const_value is not None and str(value.name).endswith(".weight"):
            return str(value.name).removeprefix(ROOT).removesuffix(".weight")
    path = module_path(node)
    return f"{path}.{node.op_type.lower()}" if path else node.op_type
