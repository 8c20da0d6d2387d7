"""How many classes a model tells apart, by the weights of its last layers: files seldom tell their names."""

from __future__ import annotations

from pathlib import Path

from d2deploy.cli.netfile import Net, Node, read_net

__all__ = ["class_counts"]

DETECTIONS = "BoxWithNMSLimit"  # its first input holds the scores, background included
LOGITS, DELTAS, SEMANTIC = "box_cls_0", "box_delta_0", "sem_seg"  # outputs of RetinaNet and of panoptic models
BOX = 4  # numbers of an anchor's delta


def class_counts(folder: Path) -> tuple[int | None, int | None]:
    """Classes of things and, for panoptic models, of semantic maps (0 stands for all things); None: not known.

    Raises:
        InvalidArgument, InvalidModel: as `read_net`.
    """
    net, weights = read_net(folder / "model.pb"), read_net(folder / "model_init.pb")
    makers = {name: node for node in net.nodes for name in node.outputs}
    scores = next((node.inputs[0] for node in net.nodes if node.kind == DETECTIONS and node.inputs), None)
    stuff = _channels(SEMANTIC, makers, weights)
    if scores is not None:
        columns = _channels(scores, makers, weights) or 0
        return (columns - 1 if columns > 1 else None), stuff
    logits, deltas = (_channels(name, makers, weights) for name in (LOGITS, DELTAS))
    return (BOX * logits // deltas if logits and deltas else None), stuff


def _channels(name: str, makers: dict[str, Node], weights: Net) -> int | None:
    """The channels of a value: the biases of the layer that it comes from."""
    seen: set[str] = set()
    while name in makers and name not in seen:
        seen.add(name)
        node = makers[name]
        if len(node.inputs) == 3 and node.inputs[1] in weights.filled and node.inputs[2] in weights.filled:
            return weights.filled[node.inputs[2]]
        if not node.inputs:
            return None
        name = node.inputs[0]
    return None
