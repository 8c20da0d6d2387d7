"""What `d2deploy convert` refuses before the long work: other formats, pictures that do not fit, missing weights."""

from __future__ import annotations

import argparse
import os
import tempfile
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

from d2deploy.errors import Error, InvalidArgument, Unsupported

if TYPE_CHECKING:
    from d2deploy.images import ImageReader

_OTHER_FORMATS = {
    "onnx": "--standard-onnx adds model.onnx to the Caffe2 files",
    "torchscript": "from Python, Caffe2Tracer(cfg, model).export_torchscript() gives it",
}


def check_format(args: argparse.Namespace) -> None:
    """What export_model.py would write and how: here Caffe2 files, by tracing."""
    if args.format in _OTHER_FORMATS:
        raise Unsupported(f"--format {args.format}: this command writes Caffe2 files; {_OTHER_FORMATS[args.format]}")
    if args.format != "caffe2":
        raise InvalidArgument(f"--format is {args.format}; available: caffe2")
    if args.export_method in ("tracing", "scripting"):
        raise Unsupported(
            f"--export-method {args.export_method}: gives TorchScript; Caffe2 files are made by caffe2_tracing"
        )
    if args.export_method != "caffe2_tracing":
        raise InvalidArgument(f"--export-method is {args.export_method}; available: caffe2_tracing")


def check_output(folder: Path) -> None:
    """Whether files can be written there; leaves behind what was there before."""
    missing = [path for path in (folder, *folder.parents) if not os.path.lexists(path)]
    if folder.is_file():
        raise InvalidArgument(f"--output {folder}: is a file; wanted a folder")
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=folder):
            pass
    except OSError as error:
        raise InvalidArgument(
            f"--output {folder}: cannot be written: {error.strerror}; choose another folder"
        ) from None
    finally:
        for path in missing:
            with suppress(OSError):
                path.rmdir()


_CHANNELS = {"BGR": 3, "RGB": 3, "L": 1}


def check_pictures(args: argparse.Namespace, cfg: Any) -> None:
    """Whether pictures can be what the model takes: as many channels as MODEL.PIXEL_MEAN has numbers."""
    wanted, order = len(cfg.MODEL.PIXEL_MEAN), cfg.INPUT.FORMAT
    if order not in _CHANNELS:
        raise Unsupported(f"INPUT.FORMAT is {order}; available: {', '.join(_CHANNELS)}")
    if wanted in (1, 3) and wanted != _CHANNELS[order]:
        way_out = "set INPUT.FORMAT L" if wanted == 1 else "set INPUT.FORMAT to BGR or RGB"
        raise InvalidArgument(
            f"INPUT.FORMAT is {order}, {_CHANNELS[order]} channels, but MODEL.PIXEL_MEAN has {wanted} numbers; "
            f"{way_out}"
        )
    options = {"--image": args.image, "--run-eval": args.run_eval, "--calibrate-images": args.calibrate_images}
    given = [name for name, value in options.items() if value]
    if args.image and wanted in (1, 3):
        image_reader(cfg)(args.image)  # one that cannot be read is told before the long work
    if given and wanted not in (1, 3):
        raise InvalidArgument(
            f"{given[0]}: pictures have 1 or 3 channels, the model takes {wanted} (the numbers of MODEL.PIXEL_MEAN); "
            "leave it out: the files are compared on random numbers"
        )


def image_reader(cfg: Any) -> ImageReader:
    from d2deploy.images import ImageReader

    return ImageReader.from_config(cfg)


def check_weights(config_file: str, weights: str) -> None:
    """Whether these are weights of a whole model.

    Args:
        config_file: what --config-file names, whose weights the zoo may have.
        weights: MODEL.WEIGHTS.
    """
    from d2deploy.checkpoint.addresses import is_backbone
    from d2deploy.config import zoo_weights

    if weights and not is_backbone(weights):
        return
    found = f"is '{weights}', weights of a backbone alone" if weights else "is empty"
    try:
        way_out = f"the zoo's are MODEL.WEIGHTS {zoo_weights(config_file)}"
    except Error:
        way_out = "give the trained model as MODEL.WEIGHTS FILE"
    raise InvalidArgument(f"MODEL.WEIGHTS {found}; {way_out}")
