"""`d2deploy predict`: what a model finds in pictures, told, drawn, and as COCO results."""

from __future__ import annotations

import argparse
import json
import os
import sys
import time
from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, TextIO

from d2deploy.cli.pictures import Frame, Source, find_sources, read_ahead
from d2deploy.cli.shared import (
    Commands,
    add_command,
    add_mode,
    add_model,
    add_picture_rule,
    add_runtime,
    exit_code,
    load_detector,
    needs,
)
from d2deploy.cli.streams import predict_in_order
from d2deploy.errors import Error, InvalidArgument, Unsupported
from d2deploy.results import above, class_name, coco_results, instances

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

DESCRIPTION = """\
Finds objects in pictures. Prints what each picture has; --output draws it, --json writes it as COCO results.

A picture that cannot be read or predicted is told and does not stop the others; the exit code tells it.
Needs the packages of d2deploy[predict], for videos and cameras those of d2deploy[video] too.
"""
EXAMPLES = """\
  %(prog)s model street.jpg --output found
  %(prog)s model photos 'more/*.png' --threshold 0.7 --output found --json found.json
  %(prog)s model drive.mp4 --output frames --mode throughput
  %(prog)s model --show-classes"""


SHOWN_SHARES = 5  # of the classes of pixels


def add_to(commands: Commands) -> None:
    parser = add_command(commands, "predict", "find objects in pictures and videos", DESCRIPTION, EXAMPLES)
    add_model(parser)
    add = parser.add_argument
    add(
        "inputs",
        metavar="INPUT",
        nargs="*",
        help="a picture, a folder of pictures, a pattern as 'photos/**/*.jpg',\na video file, the number of a camera",
    )
    add(
        "--output",
        metavar="DIR",
        type=Path,
        help="folder for the pictures with what was found drawn on them; made where it\nis missing. Frames of a video "
        "become pictures",
    )
    add(
        "--json",
        metavar="FILE",
        type=Path,
        help="COCO results: image_id counts the pictures from 1, in the order of the\ninputs; category_id is the "
        "model's class, counted from 0; file_name and\ncategory_name say what these are; masks are run lengths (RLE)",
    )
    add("--threshold", metavar="T", type=float, default=0.5, help="least score of what is shown and written (0.5)")
    add("--show-classes", action="store_true", help="print the model's classes; INPUT may then be left out")
    add_picture_rule(parser)
    add_runtime(parser)
    add_mode(parser)
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    if not args.inputs and not args.show_classes:
        raise InvalidArgument("INPUT is missing: a picture, a folder, a pattern, a video or a camera's number")
    if not 0 <= args.threshold <= 1:
        raise InvalidArgument(f"--threshold is {args.threshold}, must be from 0 to 1")
    sources = find_sources(args.inputs)
    _check_places(args, sources)
    if sources:
        with needs("predicting", "predict"):
            import PIL  # noqa: F401  # what reads and draws pictures needs it
            import tqdm  # noqa: F401
    detector = load_detector(args, args.mode)
    if detector.takes_proposals:
        raise Unsupported(
            f"{args.model}: the model finds no proposals itself, and this command has none to give; use "
            "d2deploy.runtime.Predictor, or d2deploy eval with --proposals"
        )
    if args.json and detector.info.get("meta_architecture") == "SemanticSegmentor":
        raise Unsupported("--json: the model tells classes of pixels, which COCO results cannot hold; leave it out")
    if args.show_classes:
        _show_classes("classes", detector.class_names)
        if detector.stuff_class_names:
            _show_classes("stuff classes", detector.stuff_class_names)
    return _predict_all(args, detector, sources) if sources else 0


def _check_places(args: argparse.Namespace, sources: Sequence[Source]) -> None:
    """What would go wrong at the end is told at the start; no picture is overwritten."""
    for source in sources if args.output else ():
        if not source.moving and _same_folder(args.output / source.output, source.path):
            raise InvalidArgument(f"--output {args.output} is the folder of {source.path}, which might be overwritten")
    if args.json and args.json.is_dir():
        raise InvalidArgument(f"--json {args.json} is a folder, wanted a file")
    if args.output:
        try:
            args.output.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise InvalidArgument(f"--output {args.output}: cannot be made: {error.strerror}") from error


def _same_folder(one: Path, other: Path) -> bool:
    return os.path.realpath(one.parent) == os.path.realpath(other.parent)


def _show_classes(label: str, names: Sequence[str]) -> None:
    if not names:
        print(f"{label}: the model's file does not tell their names")
        return
    print(f"{label}:")
    for number, name in enumerate(names):
        print(f"  {number:>4}  {name}")


class _Times:
    """Seconds that each kind of work took."""

    def __init__(self) -> None:
        self.sums: dict[str, float] = defaultdict(float)
        self.pictures = 0

    @contextmanager
    def of(self, what: str) -> Iterator[None]:
        start = time.perf_counter()
        yield
        self.sums[what] += time.perf_counter() - start

    def __str__(self) -> str:
        """The means."""
        return ", ".join(f"{what} {1000 * sum_ / max(self.pictures, 1):.1f} ms" for what, sum_ in self.sums.items())


def _predict_all(args: argparse.Namespace, detector: Any, sources: Sequence[Source]) -> int:
    from tqdm import tqdm

    times, start = _Times(), time.perf_counter()
    failed, code = {"read": 0, "predicted": 0}, 0
    total = None if any(source.moving for source in sources) else len(sources)
    with ExitStack() as stack:
        results = stack.enter_context(_Results(args.json)) if args.json else None
        bar = stack.enter_context(tqdm(total=total, unit="picture", disable=None))  # None: shown on terminals alone
        frames = read_ahead(sources)
        stack.callback(frames.close)
        done = predict_in_order(detector, frames)
        stack.callback(done.close)
        for number, (frame, result, seconds) in enumerate(done, start=1):
            if frame.pixels is None or not isinstance(result, dict):
                failed["predicted" if isinstance(result, Error) else "read"] += 1
                code = max(code, exit_code(result) if isinstance(result, Error) else 1)
                tqdm.write(f"error: {result or frame.fault}", file=sys.stderr)
                bar.update()
                continue
            times.pictures += 1
            times.sums["decode"] += frame.seconds
            times.sums["predict"] += seconds
            found = above(result, args.threshold)
            if results:
                with times.of("encode"):
                    results.add(found, number, frame.name, detector.class_names)
            if args.output:
                with times.of("draw"):
                    _draw(frame, frame.pixels, found, detector, args.output)
            tqdm.write(
                f"{frame.name}: {_summary(found, detector.class_names, detector.stuff_class_names)}", file=sys.stdout
            )
            bar.set_postfix_str(str(times), refresh=False)
            bar.update()
    _end(times, time.perf_counter() - start, failed)
    return code


def _end(times: _Times, seconds: float, failed: Mapping[str, int]) -> None:
    if times.pictures:
        print(f"{times.pictures} pictures; mean of one: {times}; {times.pictures / seconds:.1f} pictures/s")
    pictures = times.pictures + sum(failed.values())
    for what, count in failed.items():
        if count:
            print(f"error: {count} of {pictures} pictures could not be {what}", file=sys.stderr)


def _summary(found: dict[str, Any], names: Sequence[str], stuff_names: Sequence[str]) -> str:
    """As "2 × circle, 1 × square"; of classes of pixels, how much of the picture the largest ones are."""
    import numpy as np

    if "class_map" in found:
        shares = np.bincount(found["class_map"].ravel()) / found["class_map"].size
        most = [number for number in np.argsort(-shares, kind="stable").tolist() if shares[number] > 0][:SHOWN_SHARES]
        return ", ".join(f"{shares[number]:.0%} {class_name(stuff_names, number)}" for number in most)
    if "classes" not in found:
        return f"{len(found['scores'])} proposals"
    counts = Counter(class_name(names, c) for c in found["classes"].tolist())
    return ", ".join(f"{count} × {name}" for name, count in counts.most_common()) or "nothing"


def _draw(frame: Frame, pixels: NDArray[np.uint8], found: dict[str, Any], detector: Any, folder: Path) -> None:
    from PIL import Image

    from d2deploy.drawing import draw

    drawn: NDArray[np.uint8] = draw(pixels, found, detector.class_names, detector.stuff_class_names)
    path = folder / frame.output.with_name(frame.output.name + frame.suffix)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(drawn).save(path, quality=95)
    except OSError as error:
        raise InvalidArgument(f"{path}: cannot be written: {error}; choose another --output") from error


class _Results:
    """A file of COCO results, a line each, which is whole whenever the command ends."""

    def __init__(self, path: Path) -> None:
        self.path, self.first = path, True

    def __enter__(self) -> _Results:
        with self._checked():
            self.file: TextIO = self.path.open("w", encoding="utf-8")
            self.file.write("[")
        return self

    def __exit__(self, *_: object) -> None:
        with self._checked(), self.file:
            self.file.write("\n]\n")

    @contextmanager
    def _checked(self) -> Iterator[None]:
        """A disk may be full."""
        try:
            yield
        except OSError as error:
            raise InvalidArgument(f"--json {self.path}: cannot be written: {error.strerror}") from error

    def add(self, found: dict[str, Any], image_id: int, file_name: str, names: Sequence[str]) -> None:
        for result in coco_results(instances(found, names), image_id, file_name):
            with self._checked():
                self.file.write(("" if self.first else ",") + "\n" + json.dumps(result, allow_nan=False))
            self.first = False
