"""What the subcommands share: how they are declared, their exit codes, and what they say on stderr."""

from __future__ import annotations

import argparse
import atexit
import gc
import importlib
import io
import logging
import os
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn

from d2deploy.cli.words import options_first
from d2deploy.errors import DeviceError, Error, InternalError, InvalidArgument, InvalidModel, Unsupported

if TYPE_CHECKING:
    from d2deploy.runtime import Detector, Predictor

# What `add_subparsers` gives, which argparse has no public name for.
Commands = Any

EXIT_CODES: dict[type[Error], int] = {
    InvalidArgument: 1,
    InvalidModel: 2,
    Unsupported: 2,
    DeviceError: 3,
    InternalError: 3,
}
MOST_THREADS = 4096  # the library takes no more
INTERRUPTED = 130  # as shells have it: 128 and the signal's number
CODES = """\
  0  all went well
  1  wrong use, or an input that cannot be read
  2  the model is wrong, or something is not available here: an operator, a device, a package
  3  the device failed, or an internal error"""


def whole_number(text: str) -> int:
    """What stands for a number of `type=int`: one that the library, which has 64 bits for it, can be given."""
    number = int(text)
    if not -(1 << 63) <= number < 1 << 63:
        raise argparse.ArgumentTypeError(f"{text} is too large a number")
    return number


class Parser(argparse.ArgumentParser):
    """Wrong use is an error like the others. Where `sorts_words` is set, options may stand behind KEY VALUE pairs."""

    sorts_words = False

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        self.register("type", int, whole_number)

    def parse_known_args(self, args: Any = None, namespace: Any = None) -> Any:
        words = sys.argv[1:] if args is None else list(args)
        return super().parse_known_args(options_first(self, words) if self.sorts_words else words, namespace)

    def error(self, message: str) -> NoReturn:
        raise InvalidArgument(f"{message}; --help shows the usage")


def epilog(examples: str, more_codes: str = "") -> str:
    """What stands below the options in a help text."""
    return f"examples:\n{examples}\n\nexit codes:\n{CODES}\n{more_codes}  {INTERRUPTED}  interrupted (Ctrl-C)"


def add_command(commands: Commands, name: str, summary: str, description: str, examples: str) -> Parser:
    """Declares a subcommand.

    Args:
        commands: those of the parser.
        name: the subcommand's.
        summary: what it does, for the list of all.
        description: the same for its own help.
        examples: lines of commands, each indented by two spaces.
    """
    parser: Parser = commands.add_parser(
        name,
        help=summary,
        description=description,
        epilog=epilog(examples),
        formatter_class=argparse.RawTextHelpFormatter,
    )
    return parser


def add_model(parser: Parser, *, optional: bool = False) -> None:
    parser.add_argument(
        "model",
        metavar="MODEL_DIR",
        nargs="?" if optional else None,
        type=Path,
        help="folder with model.pb and model_init.pb",
    )


def add_runtime(parser: Parser) -> None:
    """Options of what runs a net."""
    add = parser.add_argument
    add("--threads", metavar="N", type=int, default=0, help="threads of a run (default: all that it may use)")
    add(
        "--precision",
        default="float32",
        help="float32 (default), int8, or bfloat16 where the CPU has AVX512-BF16 or AMX",
    )
    add(
        "--calibration",
        metavar="FILE",
        type=Path,
        help="--precision int8: what `d2deploy calibrate` made (default: calibration.txt\nin the model's folder)",
    )
    add(
        "--low-memory",
        action="store_true",
        help="need less memory and more time: no weights that are larger than those of the file",
    )
    add("--device", default="cpu", help="cpu (default), or an NVIDIA GPU: cuda, cuda:1")
    add(
        "--tune",
        action="store_true",
        help="on a GPU: try out several ways to compute each convolution, some seconds for\nevery picture size",
    )


def add_mode(parser: Parser) -> None:
    """For commands that look at many pictures."""
    parser.add_argument(
        "--mode",
        choices=("latency", "throughput"),
        default="latency",
        help="latency (default): pictures one by one, each on all threads; throughput: as many\nat a time as there are "
        "threads, which needs more memory and less time for all",
    )


def add_max_batch(parser: argparse._ActionsContainer) -> None:
    """For commands that have many pictures at the same time."""
    parser.add_argument(
        "--max-batch",
        metavar="N",
        type=int,
        default=1,
        help="on a GPU: pictures of one size that go through the net together, 1 to 64: those\nthat come while it is "
        "busy (1). Each number, 1, 2, 4, ..., is planned when it first comes",
    )


def max_batch(args: argparse.Namespace) -> int:
    """What is given for --max-batch, as `Detector` takes it. Raises InvalidArgument."""
    if not 1 <= args.max_batch <= 64:
        raise InvalidArgument(f"--max-batch is {args.max_batch}, must be from 1 to 64")
    return int(args.max_batch)


def add_picture_rule(parser: Parser) -> None:
    """Options of what pictures become before the net."""
    add = parser.add_argument
    add(
        "--input-format",
        metavar="FORMAT",
        help="channels that the model was trained on: BGR, RGB or L (default: what its\nfile says, or BGR)",
    )
    add(
        "--min-size",
        metavar="N",
        type=int,
        help="shorter side that pictures are resized to, 0: not at all (default: what the\nfile says, or 800)",
    )
    add(
        "--max-size",
        metavar="N",
        type=int,
        help="most that the longer side may be (default: what the file says, or 1333)",
    )


def picture_rule(args: argparse.Namespace) -> dict[str, Any]:
    """Options of `Detector` and `Predictor` that are given on the command line."""
    given = {"input_format": args.input_format, "min_size": args.min_size, "max_size": args.max_size}
    return {name: value for name, value in given.items() if value is not None}


def check_at_least(option: str, value: int, least: int) -> None:
    """Raises InvalidArgument where the number given for an option is too small."""
    if value < least:
        raise InvalidArgument(f"{option} is {value}, must be at least {least}")


def check_threads(threads: int, option: str = "--threads") -> None:
    """Raises InvalidArgument where there cannot be so many of them."""
    check_at_least(option, threads, 0)
    if threads > MOST_THREADS:
        raise InvalidArgument(f"{option} is {threads}, must be at most {MOST_THREADS}")


def runtime_options(args: argparse.Namespace) -> dict[str, Any]:
    """As `Detector` and `Predictor` take them."""
    check_threads(args.threads)
    return {
        "threads": args.threads,
        "precision": args.precision,
        "calibration": args.calibration,
        "low_memory": args.low_memory,
        "tune": args.tune,
        "device": args.device,
    }


def load_detector(args: argparse.Namespace, mode: str = "latency") -> Detector:
    """The model of a folder, for raw predictions; of parsers with `add_picture_rule`."""
    check_compiled()
    from d2deploy.runtime import Detector

    folder: Path = args.model
    options = {**runtime_options(args), **picture_rule(args)}
    return Detector(folder / "model.pb", folder / "model_init.pb", mode=mode, **options)


def load_predictor(args: argparse.Namespace) -> Predictor:
    """The same, for Detectron2's predictions."""
    check_compiled()
    from d2deploy.runtime import Predictor

    return Predictor(args.model, **runtime_options(args), **picture_rule(args))


def check_compiled(way_out: str = "") -> None:
    """Running files needs the compiled library: better known before minutes of other work."""
    try:
        importlib.import_module("d2deploy._ext")
    except ImportError as error:
        raise InvalidArgument(
            f"the compiled module d2deploy._ext cannot be loaded ({error}); build it (in a source tree: cmake --preset "
            f"release && cmake --build --preset release){way_out}"
        ) from error


@contextmanager
def needs(what: str, extra: str) -> Iterator[None]:
    """Around imports: says what must be installed where a package is missing.

    Args:
        what: that needs the packages.
        extra: of this package, which brings them.
    """
    try:
        yield
    except ModuleNotFoundError as error:
        package = (error.name or "").partition(".")[0]
        if package == "d2deploy":
            raise
        raise Unsupported(
            f"{what} needs the Python package {package}, which is not installed; "
            f"install what it needs with: pip install 'd2deploy[{extra}]'"
        ) from error


def exit_code(error: Error) -> int:
    return next(code for kind, code in EXIT_CODES.items() if isinstance(error, kind))


def guarded(run: Callable[[], int]) -> int:
    """Runs a command: its exit code, with errors on stderr."""
    if isinstance(sys.stdout, io.TextIOWrapper) and sys.stdout.errors == "strict":
        sys.stdout.reconfigure(errors="backslashreplace")  # names of files and classes, whatever the terminal can show
    try:
        try:
            code = run()
        except SystemExit:  # of --help and --version
            sys.stdout.flush()
            raise
        sys.stdout.flush()
        return code
    except Error as error:
        print(f"error: {error}", file=sys.stderr)
        return exit_code(error)
    except KeyboardInterrupt:
        print("interrupted", file=sys.stderr)
        return INTERRUPTED
    except OSError as error:  # a full disk, a folder that may not be looked into: wherever it shows
        # Of a broken pipe nothing is told: whoever read the output has seen enough, as `head`.
        if not isinstance(error, BrokenPipeError):
            print(f"error: {_told(error)}", file=sys.stderr)
        _let_go_of_stdout()
        return 1


def _told(error: OSError) -> str:
    file = f"{os.fsdecode(error.filename)}: " if isinstance(error.filename, (str, bytes)) else ""
    return f"{file}{error.strerror or error}"


def _let_go_of_stdout() -> None:
    """Where nothing can be written to it, nothing may be tried again at exit."""
    try:
        sys.stdout.flush()
    except OSError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


@contextmanager
def step(name: str) -> Iterator[None]:
    """Says what is going on, and how long it took."""
    print(f"{name} ...", end=" ", flush=True)
    start = time.monotonic()
    try:
        yield
    except BaseException:
        print("failed", flush=True)
        raise
    print(f"{time.monotonic() - start:.1f} s", flush=True)


@contextmanager
def without_collection() -> Iterator[None]:
    """Nobody looks for unreachable objects meanwhile, nor when the program ends."""
    atexit.register(gc.freeze)
    enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if enabled:
            gc.enable()


def warn(message: str) -> None:
    print(f"warning: {message}", file=sys.stderr)


@contextmanager
def shown_warnings() -> Iterator[None]:
    """Shows what the library has to say as this program's warnings, each once."""
    told: set[str] = set()

    def first(record: logging.LogRecord) -> bool:
        new = record.getMessage() not in told
        told.add(record.getMessage())
        return new

    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(logging.Formatter("warning: %(message)s"))
    handler.addFilter(first)
    logger = logging.getLogger("d2deploy")
    logger.addHandler(handler)
    try:
        yield
    finally:
        logger.removeHandler(handler)
