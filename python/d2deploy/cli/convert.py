"""`d2deploy convert`, also `caffe2_converter`: a configuration and a checkpoint become model.pb and model_init.pb."""

from __future__ import annotations

import argparse
import re
import sys
from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial
from importlib import import_module, resources
from pathlib import Path
from typing import TYPE_CHECKING, Any

from d2deploy.cli import convert_detectron2
from d2deploy.cli.calibrate import CALIBRATION, calibrate
from d2deploy.cli.convert_checks import check_format, check_output, check_pictures, check_weights, image_reader
from d2deploy.cli.convert_evaluation import datasets_of, evaluate_both
from d2deploy.cli.pictures import find_sources
from d2deploy.cli.shared import (
    Commands,
    Parser,
    check_compiled,
    check_threads,
    epilog,
    guarded,
    needs,
    shown_warnings,
    step,
    warn,
    without_collection,
)
from d2deploy.errors import InvalidArgument, Unsupported

if TYPE_CHECKING:
    from torch import nn

    from d2deploy.export import Caffe2Tracer

DESCRIPTION = """\
Converts a Detectron2 model to Caffe2 files: model.pb (the net), model_init.pb (the weights), model.pbtxt (the net as
text) and model.svg (the net as a picture). No sample image, no GPU and no Detectron2 are needed.

Ends by running PyTorch and the written files on an image and printing how far their outputs are apart.
"""
EXAMPLES = """\
  %(prog)s --config-file COCO-InstanceSegmentation/mask_rcnn_R_50_FPN_3x.yaml --output ./caffe2_model \\
      MODEL.WEIGHTS model_final_f10217.pkl MODEL.DEVICE cpu
  %(prog)s --config-file config.yaml --output out --run-eval --dataset-json val.json --image-root val \\
      MODEL.WEIGHTS model_final.pth"""
CODES = "  4  the files were written, but do not compute what PyTorch computes\n"
DISAGREE = 4
SAMPLE_SIDE = 480  # what the shorter side of our own picture is at most: enough to compare on, and quick in PyTorch


def add_to(commands: Commands) -> None:
    _configure(
        commands.add_parser(
            "convert",
            help="convert a Detectron2 model to Caffe2 files",
            description=DESCRIPTION,
            epilog=epilog(EXAMPLES, CODES),
            formatter_class=argparse.RawTextHelpFormatter,
        )
    )


def main(arguments: Sequence[str] | None = None) -> int:
    """The command `caffe2_converter`: returns its exit code; errors go to stderr."""
    parser = Parser(
        prog="caffe2_converter",
        description=DESCRIPTION,
        epilog=epilog(EXAMPLES, CODES),
        formatter_class=argparse.RawTextHelpFormatter,
    )
    _configure(parser)
    return guarded(lambda: _run(parser.parse_args(arguments)))


def _configure(parser: Parser) -> None:
    parser.set_defaults(run=_run)
    parser.sorts_words = True
    add = parser.add_argument
    add(
        "--config-file",
        required=True,
        metavar="FILE",
        help="a configuration in YAML, with --detectron2 also in Python; or the name of one of the zoo's",
    )
    add("--output", required=True, metavar="DIR", type=Path, help="folder for the files; made where it is missing")
    add(
        *("--image", "--sample-image"),
        metavar="FILE",
        type=Path,
        help="image to compare on, as large as the model wants it (default: a picture of shapes)",
    )
    add("--format", default="caffe2", help="caffe2 (default); taken as Detectron2's export_model.py has it")
    add("--export-method", default="caffe2_tracing", help="caffe2_tracing (default), likewise")
    add(
        "--class-names",
        metavar="NAMES",
        help=(
            "names of the classes, which the files keep: with commas between them, or a\ntext file with one in a line "
            "(default: the zoo's, where DATASETS.TEST is one of\nits data sets)"
        ),
    )
    add(
        "--standard-onnx",
        action="store_true",
        help="also write model.onnx, of standard operators, for ONNX Runtime, OpenVINO and others",
    )
    add("--no-verify", action="store_true", help="do not compare with PyTorch")
    add(
        "--run-eval",
        action="store_true",
        help="evaluate PyTorch and the files on a data set, and print AP or\npanoptic quality of both",
    )
    add(
        "--dataset-json",
        metavar="FILE",
        type=Path,
        help=(
            "--run-eval: annotations in COCO's format, or in its panoptic one with\nthe PNG files in a folder of the "
            "same name\n(default: DATASETS.TEST, in the folder DETECTRON2_DATASETS)"
        ),
    )
    add("--image-root", metavar="DIR", type=Path, help="--run-eval: the folder of the images of --dataset-json")
    add(
        "--calibrate-images",
        metavar="DIR",
        help="a folder of pictures like those that the model will see: also write\ncalibration.txt, which --precision "
        "int8 needs (see d2deploy calibrate)",
    )
    add("--threads", metavar="N", type=int, default=0, help="threads of a run (default: all that it may use)")
    add(
        "--detectron2",
        action="store_true",
        help=(
            "build the model with Detectron2, which must be installed: for custom backbones and heads,\nand for lazy "
            "configurations, whose code is run; KEY VALUE are then their keys, as\nmodel.roi_heads.num_classes 3, and "
            "MODEL.WEIGHTS, MODEL.DEVICE, INPUT.*, DATASETS.*, EXPORT_CAFFE2.*"
        ),
    )
    add(
        "--import",
        dest="imports",
        metavar="MODULE",
        action="append",
        default=[],
        help="a module that registers parts; its function add_config(cfg), or\nadd_..._config(cfg), where it has one, "
        "adds configuration keys",
    )
    add("overrides", nargs=argparse.REMAINDER, metavar="KEY VALUE", help="changes to the configuration")


def _run(args: argparse.Namespace) -> int:
    _check(args)
    hooks = [hook for module in args.imports if (hook := _import(module)) is not None]
    if args.run_eval or args.calibrate_images or not args.no_verify:
        check_compiled(", or give --no-verify, without --run-eval and --calibrate-images")
    if args.calibrate_images:
        find_sources([args.calibrate_images])  # that there are none is told before the long work
    # Next to nothing can be freed before the end, and looking for it takes a sixth of the time.
    with without_collection():
        cfg, model, tracer, datasets = _convert(args, hooks)
    agrees = args.no_verify or _verify(args, cfg, tracer)
    if args.calibrate_images:
        calibrate(args.output, [args.calibrate_images], args.output / CALIBRATION, threads=args.threads)
    if model is not None:
        evaluate_both(args, cfg, model, datasets)
    return 0 if agrees else DISAGREE


def _convert(args: argparse.Namespace, hooks: Sequence[Hook]) -> tuple[Any, nn.Module | None, Caffe2Tracer, Any]:
    """Writes the files. Gives the configuration, the model where it is evaluated, the tracer and the data sets."""
    with needs("converting a model", "export"):
        import torch

        from d2deploy.export import Caffe2Tracer

    if args.threads:
        torch.set_num_threads(args.threads)
    class_names = class_names_of(args.class_names) if args.class_names is not None else []
    cfg, build = _configuration(args, hooks)
    check_pictures(args, cfg)
    datasets = datasets_of(args, cfg) if args.run_eval else {}  # what is wrong with them is told before the long work
    with step("Building the model and loading its weights"), shown_warnings():
        model = build()
    with step("Converting"):
        tracer = Caffe2Tracer(cfg, model, class_names=class_names)
        evaluated = model if args.run_eval else None
        del model  # the tracer has a copy
        converted = tracer.export_caffe2()
    with step(f"Writing {args.output}"):
        converted.save_protobuf(args.output)
    if args.standard_onnx:
        with step("Writing model.onnx"):
            (args.output / "model.onnx").write_bytes(tracer.export_onnx(standard_ops=True).SerializeToString())
    try:
        with step("Drawing model.svg"):
            converted.save_graph(args.output / "model.svg")
    except Unsupported as error:  # the picture is not worth losing the model for
        warn(str(error))
    tracer.forget()
    return cfg, evaluated, tracer, datasets


def _check(args: argparse.Namespace) -> None:
    if (args.dataset_json is None) != (args.image_root is None):
        raise InvalidArgument("--dataset-json and --image-root go together: annotations, and the folder of the images")
    check_threads(args.threads)
    if args.dataset_json and not args.run_eval:
        raise InvalidArgument("--dataset-json is for --run-eval, which is not given")
    if len(args.overrides) % 2:
        raise InvalidArgument(
            f"KEY VALUE: {len(args.overrides)} words after the options ({' '.join(args.overrides)}); "
            "must be pairs, as MODEL.DEVICE cpu"
        )
    check_format(args)
    check_output(args.output)
    if args.image is not None and not args.image.is_file():
        raise InvalidArgument(f"--image {args.image}: {'is a folder' if args.image.is_dir() else 'no such file'}")


def class_names_of(given: str) -> list[str]:
    """The names that --class-names gives: those of a file, or the words between the commas.

    Raises:
        InvalidArgument: the file cannot be read, or a name is empty.
    """
    try:
        lines = Path(given).read_text(encoding="utf-8").splitlines() if Path(given).is_file() else given.split(",")
    except (OSError, UnicodeError) as error:
        raise InvalidArgument(f"--class-names {given}: cannot be read: {error}") from error
    names = [line.strip() for line in lines]
    while names and not names[-1]:
        names.pop()
    if not names or not all(names):
        raise InvalidArgument(f"--class-names {given}: has an empty name, wanted one for each class")
    return names


# What a module of the user's own does to the defaults of a configuration.
Hook = Callable[[Any], object]


def _import(module: str) -> Hook | None:
    """Imports a module, for what it registers, and gives its function `add_config`, or its one `add_..._config`, as
    Detectron2's projects have it."""
    if not all(part.isidentifier() for part in module.split(".")):
        raise InvalidArgument(
            f"--import {module}: is no name of a module, as parts is that of parts.py; its folder is where you are, "
            "or in PYTHONPATH"
        )
    sys.path.insert(0, "")
    try:
        found = vars(import_module(module))
        named = [value for name, value in found.items() if re.fullmatch(r"add_\w+_config", name)]
        hook: Hook | None = found.get("add_config", named[0] if len(named) == 1 else None)
    except (Exception, SystemExit) as error:  # whatever the user's code raises
        raise InvalidArgument(f"--import {module}: {type(error).__name__}: {error}") from error
    return None if hook is None else partial(_add_keys, module, hook)


def _add_keys(module: str, hook: Hook, cfg: Any) -> None:
    try:
        hook(cfg)
    except Exception as error:
        name = getattr(hook, "__name__", "add_config")
        raise InvalidArgument(f"--import {module}: {name}: {type(error).__name__}: {error}") from error


def _configuration(args: argparse.Namespace, hooks: Sequence[Hook]) -> tuple[Any, Callable[[], nn.Module]]:
    """The configuration, and what builds its model with weights, on the CPU whatever the device that it names."""
    if args.detectron2:
        return convert_detectron2.configuration(args, hooks)
    from d2deploy.checkpoint import load_weights
    from d2deploy.config import load_config
    from d2deploy.modeling import build_model

    with shown_warnings():
        cfg = load_config(args.config_file, args.overrides, hooks)
    check_weights(args.config_file, cfg.MODEL.WEIGHTS)
    on_cpu = cfg.clone()
    on_cpu.MODEL.DEVICE = "cpu"

    def build() -> nn.Module:
        model: nn.Module = build_model(on_cpu)
        load_weights(model, cfg.MODEL.WEIGHTS)
        return model

    return cfg, build


def _image_to_compare_on(args: argparse.Namespace, cfg: Any) -> Any:
    """(C, H, W): a picture, or for a model of other channels than pictures have, random numbers."""
    channels = len(cfg.MODEL.PIXEL_MEAN)
    if channels not in (1, 3):
        import numpy as np

        print(f"Of {channels} channels there are no pictures: comparing on random numbers")
        return np.random.default_rng(0).integers(0, 256, (channels, 480, 640), np.uint8)
    reader = image_reader(cfg)
    if args.image:
        return reader(args.image)["image"]
    reader = replace(reader, min_size=min(reader.min_size or SAMPLE_SIDE, SAMPLE_SIDE))
    with resources.as_file(resources.files("d2deploy") / "data" / "sample.jpg") as sample:
        return reader(sample)["image"]


def _verify(args: argparse.Namespace, cfg: Any, tracer: Caffe2Tracer) -> bool:
    from d2deploy.export.verify import verify

    image = _image_to_compare_on(args, cfg)
    with step("Comparing with PyTorch"):
        report = verify(tracer, args.output, image, args.threads)
    print(report)
    if not report.agrees:
        print(
            f"error: {args.output}: the files do not compute what PyTorch computes (see the table); "
            "please report it, with the configuration",
            file=sys.stderr,
        )
    return report.agrees
