"""A predict net as a picture: a box per operator, an arrow per blob with its shape."""

from __future__ import annotations

import html
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import graphviz

from d2deploy.errors import InvalidArgument, Unsupported

Dims = Sequence[int | str]  # of a blob: numbers, and what stands for those that are not known

# Families of operators and their colours.
_COLOURS = {
    "#cfe8fc": ("Conv", "ConvTranspose", "FC", "FCTransposed", "BatchMatMul"),
    "#fde2c4": ("GenerateProposals", "CollectRpnProposals", "DistributeFpnProposals", "BBoxTransform"),
    "#f9c9c9": ("BoxWithNMSLimit", "HeatmapMaxKeypoint"),
    "#d9efd0": ("RoIAlign", "RoIAlignRotated", "BatchPermutation"),
    "#e8dcf4": ("MaxPool", "AveragePool", "ResizeNearest", "PadImage", "ReduceMean"),
    "#eeeeee": ("GroupNorm", "SpatialBN", "InstanceNorm", "Relu", "Sigmoid", "Softmax"),
}
_FILL = {kind: colour for colour, kinds in _COLOURS.items() for kind in kinds}
# Arguments that tell operators of a type apart; others would only make the boxes larger.
_SHOWN = ("kernels", "strides", "pads", "group", "spatial_scale", "pooled_h", "sampling_ratio", "width_scale", "axis")
_DULL = {"pads": [0] * 4, "group": 1, "strides": [1, 1]}


def draw(predict_net: Any, shapes: Mapping[str, Dims], path: Path) -> None:
    """Writes the picture, as SVG.

    Args:
        predict_net: a NetDef.
        shapes: of its blobs, as far as they are known.
        path: file to write.

    Raises:
        InvalidArgument: the file cannot be written.
        Unsupported: Graphviz's program `dot` is missing or failed.
    """
    graph = _graph(predict_net, shapes)
    try:
        picture = graph.pipe(format="svg")
    except graphviz.ExecutableNotFound as error:
        raise Unsupported(
            f"{path}: drawing needs Graphviz's program `dot`, which is not in PATH; install the package graphviz"
        ) from error
    except graphviz.CalledProcessError as error:
        raise Unsupported(
            f"{path}: Graphviz's program `dot` failed: {error.stderr.decode(errors='replace')}"
        ) from error
    try:
        path.write_bytes(picture)
    except OSError as error:
        raise InvalidArgument(f"{path}: cannot be written: {error.strerror}; choose another file") from error


def _graph(net: Any, shapes: Mapping[str, Dims]) -> graphviz.Digraph:
    graph = graphviz.Digraph(net.name or "net")
    graph.attr(rankdir="TB", fontname="Helvetica", nodesep="0.25", ranksep="0.35")
    graph.attr("node", shape="box", style="filled,rounded", fontname="Helvetica", fontsize="11", color="#555555")
    graph.attr("edge", fontname="Helvetica", fontsize="9", color="#555555", fontcolor="#333333", arrowsize="0.6")
    computed = {blob for op in net.op for blob in op.output}
    parameters = {b for b in net.external_input if len(shapes.get(b, ())) == 0 or _constant(shapes[b])} - computed
    parameters -= {"data", "im_info"}
    makers: dict[str, str] = {}
    for blob in net.external_input:
        if blob not in parameters:
            makers[blob] = f"in:{blob}".replace(":", "_")
            graph.node(makers[blob], f"{blob}\n{_shape(shapes, blob)}", shape="ellipse", fillcolor="#fff7c2")
    for number, op in enumerate(net.op):
        name = f"op{number}"
        graph.node(name, _label(op, parameters, shapes), fillcolor=_FILL.get(op.type, "#ffffff"))
        for blob in dict.fromkeys(op.input):
            if blob in makers:
                graph.edge(makers[blob], name, label=f"  {_shape(shapes, blob)}", tooltip=blob)
        makers.update((blob, name) for blob in op.output)
    for blob in net.external_output:
        node = f"out_{blob}"
        graph.node(node, f"{blob}\n{_shape(shapes, blob)}", shape="ellipse", fillcolor="#fff7c2", penwidth="2")
        if blob in makers:
            graph.edge(makers[blob], node)
    return graph


def _constant(dims: Dims) -> bool:
    return all(isinstance(d, int) for d in dims)


def _shape(shapes: Mapping[str, Dims], blob: str) -> str:
    return " × ".join(str(d) for d in shapes.get(blob, ()))


def _label(op: Any, parameters: set[str], shapes: Mapping[str, Dims]) -> str:
    """Type and name, then weights with their shapes, then arguments."""
    rows = [f"<B>{html.escape(op.type)}</B>", f'<FONT POINT-SIZE="9">{html.escape(op.output[0])}</FONT>']
    weights = [f"{_shape(shapes, b) or 'scalar'}" for b in op.input if b in parameters]
    if weights:
        rows.append(f'<FONT POINT-SIZE="9" COLOR="#555555">weights {html.escape(", ".join(weights))}</FONT>')
    shown = [(a.name, _value(a)) for a in op.arg if a.name in _SHOWN]
    texts = [f"{n} {v}" for n, v in shown if v != _text(_DULL.get(n))]
    if texts:
        rows.append(f'<FONT POINT-SIZE="9" COLOR="#555555">{html.escape(", ".join(texts))}</FONT>')
    return f"<{'<BR/>'.join(rows)}>"


def _value(argument: Any) -> str:
    if argument.HasField("f"):
        return f"{argument.f:g}"
    if argument.HasField("i"):
        return str(argument.i)
    return _text(list(argument.ints) or list(argument.floats))


def _text(value: Any) -> str:
    return "×".join(str(v) for v in value) if isinstance(value, list) else str(value)
