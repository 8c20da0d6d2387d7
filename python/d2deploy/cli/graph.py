"""`d2deploy graph`: a net as a picture."""

from __future__ import annotations

import argparse
from pathlib import Path

from d2deploy.cli.shared import (
    Commands,
    add_command,
    add_model,
    add_picture_rule,
    check_compiled,
    needs,
    picture_rule,
    warn,
)
from d2deploy.errors import InvalidArgument, Unsupported


def add_to(commands: Commands) -> None:
    parser = add_command(
        commands,
        "graph",
        "draw the net as SVG",
        "Draws the net of a model as SVG. A box is an operator, an arrow what goes from one to the\n"
        "next, with its shape for a picture of sides 3 : 4 and the most boxes that are planned for.\n\n"
        "Needs the packages of d2deploy[graph], and Graphviz's program `dot`.",
        "  %(prog)s model --output model.svg\n  %(prog)s model --output model.svg --min-size 480",
    )
    add_model(parser)
    parser.add_argument("--output", metavar="FILE", type=Path, required=True, help="SVG file to write")
    add_picture_rule(parser)
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    with needs("drawing a net", "graph"):
        from d2deploy.nets.drawing import draw
        from d2deploy.nets.files import constant_shapes, read_net
    predict_net, init_net = read_net(args.model / "model.pb"), read_net(args.model / "model_init.pb")
    draw(predict_net, {**constant_shapes(init_net), **_shapes(args)}, args.output)
    print(f"wrote {args.output}")
    return 0


def _shapes(args: argparse.Namespace) -> dict[str, list[int | str]]:
    """Of the blobs; none where the net cannot run here, which is no reason not to draw it."""
    from d2deploy.runtime import Caffe2Model

    try:
        check_compiled()
    except InvalidArgument as error:
        warn(f"drawn without shapes: {error}")
        return {}
    try:
        return Caffe2Model.load_protobuf(args.model, **picture_rule(args)).shapes()
    except Unsupported as error:
        warn(f"drawn without shapes: {error}")
        return {}
