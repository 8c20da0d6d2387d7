"""`d2deploy serve`: models behind HTTP and gRPC."""

from __future__ import annotations

import argparse
import ipaddress
import os
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import fields
from pathlib import Path
from typing import Any

from d2deploy.cli.shared import (
    Commands,
    Parser,
    add_command,
    add_max_batch,
    add_picture_rule,
    add_runtime,
    check_at_least,
    check_compiled,
    check_threads,
    max_batch,
    needs,
    picture_rule,
    runtime_options,
)
from d2deploy.errors import InvalidArgument
from d2deploy.serving.settings import Limits, Settings, model_folders, read_token

DESCRIPTION = """\
Serves models by the Open Inference Protocol v2 (HTTP and gRPC, as KServe and Triton have it), and pictures as JSON:
POST /v1/predict takes a picture, GET /docs tells the rest. The log on stderr is a JSON object per line.

MODEL_DIR has the model's files, or a folder 1, 2, ... with them for each version. SIGHUP loads all models anew, SIGTERM
answers the requests that were accepted and ends. Needs the packages of d2deploy[serve].
"""
EXAMPLES = """\
  %(prog)s model
  %(prog)s people=models/keypoints streets=models/panoptic --port 9000 --grpc-port none
  %(prog)s model --host 0.0.0.0 --token-file token --tls-cert server.pem --tls-key server.key"""
NO_PORT = "none"
MOST_PORT = 65535
# Field of Limits: option, what stands for its value, and its help, behind which the default is written.
LIMITS = {
    "queue": ("--queue", "N", "requests that may wait beside those in work; others get code 429"),
    "timeout_seconds": (
        "--timeout",
        "SECONDS",
        "until a request is answered; clients may ask for less (header timeout)",
    ),
    "drain_seconds": ("--drain-timeout", "SECONDS", "for the requests that were accepted, once SIGTERM came"),
    "body_bytes": ("--max-body-bytes", "N", "of a request"),
    "json_bytes": ("--max-json-bytes", "N", "of the JSON in a request"),
    "buffer_bytes": ("--max-buffer-bytes", "N", "of all requests that are in memory"),
    "pixels": ("--max-pixels", "N", "of a picture as it comes"),
    "net_pixels": (
        "--max-net-pixels",
        "N",
        "of what a net sees: a picture once it is resized, all\nimages of a tensor",
    ),
    "connections": ("--max-connections", "N", "of HTTP, and calls of gRPC at the same time"),
    "header_seconds": ("--header-timeout", "SECONDS", "for a client to send a request's headers"),
    "body_seconds": ("--body-timeout", "SECONDS", "for a client to send a request's body"),
}


def add_to(commands: Commands) -> None:
    parser = add_command(commands, "serve", "serve models over HTTP and gRPC", DESCRIPTION, EXAMPLES)
    add = parser.add_argument
    add(
        "models",
        metavar="[NAME=]MODEL_DIR",
        nargs="+",
        help="folder of a model; its name is that of the folder, or NAME",
    )
    add("--host", default="127.0.0.1", help="address to listen on (127.0.0.1: this machine alone)")
    add("--port", metavar="N", type=int, default=8000, help="of HTTP; 0: one that is free (8000)")
    add("--grpc-port", metavar="N", default="8001", help="of gRPC; 0: one that is free; none: no gRPC (8001)")
    add(
        "--allowed-host",
        metavar="NAME",
        action="append",
        default=[],
        help="name that clients may call the server by, beside localhost and addresses; may be\nrepeated; '*': any "
        "(which it is where --host is no address of this machine alone)",
    )
    add(
        "--token-file",
        metavar="FILE",
        type=Path,
        help="file with the token that clients must show: Authorization: Bearer",
    )
    add("--tls-cert", metavar="FILE", type=Path, help="certificate, in PEM, of both protocols")
    add("--tls-key", metavar="FILE", type=Path, help="its key, in PEM")
    add(
        "--mode",
        choices=("latency", "throughput"),
        default="throughput",
        help="throughput (default): as many predictions at a time as there are threads, each on\none; latency: one, on "
        "all threads",
    )
    add(
        "--sessions",
        metavar="N",
        type=int,
        default=0,
        help="predictions at the same time (default: as the mode has it). In mode latency each\nhas --threads of them",
    )
    add(
        "--tensors",
        action="store_true",
        help="also take the raw tensors of the nets (data, im_info); weights are then loaded\ntwice",
    )
    add_max_batch(parser)
    _add_limits(parser)
    add_picture_rule(parser)
    add_runtime(parser)
    parser.set_defaults(run=run)


def _add_limits(parser: Parser) -> None:
    group = parser.add_argument_group("limits")
    for field in fields(Limits):
        option, metavar, text = LIMITS[field.name]
        kind = int if metavar == "N" else float
        group.add_argument(
            option, metavar=metavar, type=kind, default=field.default, dest=field.name, help=f"{text} ({field.default})"
        )


def run(args: argparse.Namespace) -> int:
    with _signals_before_the_server():
        return _serve(args)


@contextmanager
def _signals_before_the_server() -> Iterator[None]:
    """Until the server handles them, for seconds where models are large: there is nothing yet to be loaded anew, which
    SIGHUP asks for, and by SIGTERM the first process of a container would not be ended at all.
    """
    handlers: dict[int, Any] = {signal.SIGHUP: signal.SIG_IGN, signal.SIGTERM: lambda *_: os._exit(0)}
    before = {number: signal.signal(number, handler) for number, handler in handlers.items()}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _serve(args: argparse.Namespace) -> int:
    # gRPC's core writes lines of its own to stderr, also on what clients do wrong; they are no JSON.
    os.environ.setdefault("GRPC_VERBOSITY", "NONE")
    if bool(args.tls_cert) != bool(args.tls_key):
        raise InvalidArgument("--tls-cert and --tls-key: only one is given, wanted both or none")
    check_threads(args.sessions, "--sessions")
    grpc_port = None if args.grpc_port == NO_PORT else _port("--grpc-port", args.grpc_port)
    options = {**runtime_options(args), **picture_rule(args), "mode": args.mode, "max_batch": max_batch(args)}
    with needs("serving", "serve"):
        from d2deploy.serving.server import serve
    settings = Settings(
        models=model_folders(args.models),
        host=args.host,
        port=_port("--port", args.port),
        grpc_port=grpc_port,
        token=read_token(args.token_file) if args.token_file else None,
        tls=(args.tls_cert, args.tls_key) if args.tls_cert else None,
        allowed_hosts=args.allowed_host or ([] if _is_loopback(args.host) else ["*"]),
        sessions=args.sessions,
        tensors=args.tensors,
        runtime=options,
        limits=limits_of(args),
    )
    check_compiled()
    return serve(settings)


def limits_of(args: argparse.Namespace) -> Limits:
    """Those of the command line. Raises InvalidArgument."""
    values: dict[str, Any] = {field.name: getattr(args, field.name) for field in fields(Limits)}
    for name, value in values.items():
        option, metavar, _ = LIMITS[name]
        if metavar == "N":
            check_at_least(option, value, 0 if name == "queue" else 1)
        elif not 0 < value < 1e6:
            raise InvalidArgument(f"{option} is {value:g}, must be a number of seconds above 0")
    return Limits(**values)


def _port(option: str, value: Any) -> int:
    try:
        port = int(value)
    except ValueError:
        port = -1
    if not 0 <= port <= MOST_PORT:
        raise InvalidArgument(f"{option} is {value}, must be from 0 to {MOST_PORT}")
    return port


def _is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"
