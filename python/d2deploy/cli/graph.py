"""`d2deploy graph`: a net as a picture."""

from __future__ import annotations

import argparse
from pathlib import Path

from d2deploy.cli.shared import Commands, add_command, add_model, needs


def add_to(commands: Commands) -> None:
    parser = add_command(
        commands,
        "graph",
        "draw the net as SVG",
        "Draws the net of a model as SVG. A box is an operator, an arrow what goes from one to the next.\n\n"
        "Needs the packages of d2deploy[export], and Graphviz's program `dot`.",
        "  %(prog)s model --output model.svg",
    )
    add_model(parser)
    parser.add_argument("--output", metavar="FILE", type=Path, required=True, help="SVG file to write")
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    with needs("drawing a net", "export"):
        from d2deploy.export import Caffe2Model
    Caffe2Model.load_protobuf(args.model).save_graph(args.output)
    print(f"wrote {args.output}")
    return 0
