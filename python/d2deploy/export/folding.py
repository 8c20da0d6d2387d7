"""What torch.onnx left standing: batch normalisations become part of the convolutions before them; weights that are
transposed, or given more dimensions, become constants of that form."""

from __future__ import annotations

import numpy as np
import onnx_ir

from d2deploy.export.onnx_domain import DOMAIN

Layer = tuple[onnx_ir.Value | None, ...]  # weight and bias of a convolution; gamma, beta, mean, variance

# Domain and operator -> places of its weight and bias among the inputs.
_PLACES = {("", "Conv"): (1, 2), ("", "DeformConv"): (1, 3), (DOMAIN, "DeformConv"): (2, 3)}


def _places(conv: onnx_ir.Node) -> tuple[int, int] | None:
    return _PLACES.get((conv.domain, conv.op_type))


def fold_batch_norms(graph: onnx_ir.Graph) -> None:
    """Conv + BatchNormalization -> Conv, and so of deformable ones.

    y = gamma (W x + b - mean) / sqrt(var + eps) + beta = (s W) x + (s (b - mean) + beta),  s = gamma / sqrt(var + eps).

    torch.onnx does this where a layer is used once. Layers that are used twice, as the last stage of a C4 model is for
    boxes and for masks, share the new weights as they shared the old ones.
    """
    folded: dict[Layer, tuple[onnx_ir.Value, onnx_ir.Value]] = {}
    for conv in list(graph):
        places, norm, layer = _places(conv), _norm(conv), _layer(conv)
        if places is None or norm is None or layer is None:
            continue
        if layer not in folded:
            folded[layer] = _fold(graph, layer, norm.attributes["epsilon"].as_float())
        conv.resize_inputs(max(len(conv.inputs), places[1] + 1))
        for index, value in zip(places, folded[layer], strict=True):
            conv.replace_input_with(index, value)
        norm.outputs[0].replace_all_uses_with(conv.outputs[0], replace_graph_outputs=True)
        graph.remove(norm, safe=True)


def fold_transposes(graph: onnx_ir.Graph) -> None:
    """The weights of linear layers, which torch.onnx transposes in the graph, are kept transposed."""
    turned: dict[tuple[str, ...], onnx_ir.Value] = {}
    for node in list(graph):
        value = node.inputs[0] if node.op_type == "Transpose" else None
        if value is None or value.const_value is None or not value.is_initializer():
            continue
        order = node.attributes["perm"].as_ints()
        key = (str(value.name), "transposed", *map(str, order))
        if key not in turned:
            array = np.ascontiguousarray(value.const_value.numpy().transpose(order))
            name = ".".join(key)
            turned[key] = onnx_ir.Value(name=name, const_value=onnx_ir.tensor(array, name=name))
            graph.register_initializer(turned[key])
        node.outputs[0].replace_all_uses_with(turned[key], replace_graph_outputs=True)
        graph.remove(node, safe=True)


def fold_unsqueezed(graph: onnx_ir.Graph) -> None:
    """Weight -> Unsqueeze, as where a one-dimensional layer runs on maps, becomes the weight with more dimensions.

    It takes the place and the name of the old one, where nothing else reads that.
    """
    folded: dict[onnx_ir.Value, onnx_ir.Value] = {}
    for node in list(graph):
        weight, axes = (*node.inputs, None, None)[:2]
        if node.op_type != "Unsqueeze" or weight is None or weight.const_value is None or axes is None:
            continue
        if axes.const_value is None or (weight not in folded and _readers(weight) != {"Unsqueeze"}):
            continue
        if weight not in folded:
            array = weight.const_value.numpy()
            for axis in sorted(int(a) % (array.ndim + axes.const_value.size) for a in axes.const_value.numpy()):
                array = np.expand_dims(array, axis)
            graph.initializers.pop(str(weight.name), None)
            folded[weight] = onnx_ir.Value(
                name=weight.name, const_value=onnx_ir.tensor(np.ascontiguousarray(array), name=weight.name)
            )
            graph.register_initializer(folded[weight])
        node.outputs[0].replace_all_uses_with(folded[weight], replace_graph_outputs=True)
        graph.remove(node, safe=True)


def _readers(value: onnx_ir.Value) -> set[str]:
    return {use.node.op_type for use in value.uses()}


def _norm(conv: onnx_ir.Node) -> onnx_ir.Node | None:
    """The batch normalisation that alone reads a convolution."""
    uses = list(conv.outputs[0].uses()) if _places(conv) else []
    return uses[0].node if len(uses) == 1 and uses[0].node.op_type == "BatchNormalization" else None


def _layer(conv: onnx_ir.Node) -> Layer | None:
    """Weight and bias of a convolution, and what follows the input of its batch normalisation; None where the two
    cannot be one."""
    norm, places = _norm(conv), _places(conv)
    if norm is None or places is None:
        return None
    weight, bias = places
    layer = (conv.inputs[weight], conv.inputs[bias] if len(conv.inputs) > bias else None, *norm.inputs[1:])
    given = [v for v in layer if v is not None]
    return layer if given[0] is layer[0] and all(v.const_value is not None for v in given) else None


def _fold(graph: onnx_ir.Graph, layer: Layer, epsilon: float) -> tuple[onnx_ir.Value, onnx_ir.Value]:
    weight, bias, gamma, beta, mean, variance = (_array(v) for v in layer)
    scale = gamma / np.sqrt(variance + epsilon)
    arrays = {
        "weight": weight * scale[:, None, None, None],
        "bias": scale * ((bias if bias.size else 0) - mean) + beta,
    }
    old = next(value for value in layer if value is not None)  # the weight
    stem = free = str(old.name).removesuffix(".weight")
    if {_layer(use.node) for use in old.uses()} == {layer}:  # the old weights go
        for part in arrays:
            graph.initializers.pop(f"{stem}.{part}", None)
    number = 2
    while any(f"{free}.{part}" in graph.initializers for part in arrays):
        free, number = f"{stem}_{number}", number + 1
    values = []
    for part, array in arrays.items():
        name = f"{free}.{part}"
        value = onnx_ir.Value(name=name, const_value=onnx_ir.tensor(array.astype(np.float32), name=name))
        graph.register_initializer(value)
        values.append(value)
    return values[0], values[1]


def _array(value: onnx_ir.Value | None) -> np.ndarray:
    if value is None or value.const_value is None:
        return np.zeros(0)
    return value.const_value.numpy().astype(np.float64)
