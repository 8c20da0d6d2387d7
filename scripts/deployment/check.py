"""Builds the image of a Dockerfile in folders, starts it, and looks whether it behaves as a container should.

Called by scripts/check_deployment, as root and in a mount namespace of its own. Everything is sent to 127.0.0.1 in a
network namespace that holds the server alone.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from deployment.dockerfile import Stage, parse
from deployment.image import Builder, Container, Image

SECONDS = 60  # for the server to start, and to end
PERIOD = 100_000  # microseconds, of a quota of CPUs
# As any client would; run by the Python of the image.
PREDICT = """
import sys, urllib.request
request = urllib.request.Request("http://127.0.0.1:8000/v1/predict", open("/input.png", "rb").read())
sys.stdout.write(urllib.request.urlopen(request, timeout=30).read().decode())
"""


class Fault(Exception):  # noqa: N818
    """What is wrong with the image."""


def check(condition: object, message: str) -> None:
    if not condition:
        raise Fault(message)


@contextlib.contextmanager
def one_cpu() -> Iterator[Path]:
    """A control group with a quota of one CPU, by the interface that this machine has."""
    root = Path("/sys/fs/cgroup")
    new = (root / "cgroup.controllers").is_file()
    group = (root if new else root / "cpu") / "d2deploy-check"
    group.mkdir()
    try:
        if new:
            (group / "cpu.max").write_text(f"{PERIOD} {PERIOD}")
        else:
            (group / "cpu.cfs_period_us").write_text(str(PERIOD))
            (group / "cpu.cfs_quota_us").write_text(str(PERIOD))
        yield group
    finally:
        for _ in range(SECONDS):  # a group is in use as long as its last process is there
            with contextlib.suppress(OSError):
                group.rmdir()
            if not group.exists():
                break
            time.sleep(0.1)


def listening(container: Container) -> dict[str, Any]:
    """The line of the log that tells that the server listens."""
    end = time.monotonic() + SECONDS
    while time.monotonic() < end:
        for line in container.log.read_text().splitlines():
            if line.startswith("{") and (said := json.loads(line)).get("message") == "listening":
                return dict(said)
        time.sleep(0.1)
    raise Fault(f"the server did not listen within {SECONDS} s: {container.log.read_text()}")


def try_server(image: Image, stage: Stage, model: Path, log: Path) -> None:
    """Starts the image as it says itself, and asks it, looks at it and ends it as what runs containers does."""
    (image.root / "input.png").write_bytes((model / "input.png").read_bytes())
    command, health = [*stage.last("ENTRYPOINT"), *stage.last("CMD")], stage.last("HEALTHCHECK")
    with one_cpu() as group:
        folders = {"/model": model, str(group.parent): group.parent}
        container = Container(image, command, folders, log, group)
        try:
            said = listening(container)
            check(said["sessions"] == 1, f"{said['sessions']} sessions with a quota of one CPU, wanted 1")
            check(said["pid"] == 1, f"the server is process {said['pid']}, wanted 1: signals are sent to that")
            check(f"{container.user}:{container.user}" == stage.last("USER")[0], f"it runs as user {container.user}")
            tried = container.run(*health)
            check(tried.returncode == 0, f"the health check failed: {tried.stderr}")
            tried = container.run("python3", "-c", PREDICT)
            check(tried.returncode == 0, f"the prediction failed: {tried.stderr}")
            found = json.loads(tried.stdout)["instances"]
            check(len(found) > 0, "nothing was found in the picture of the example")
            code = container.stop(SECONDS)
            check(code == 0, f"after SIGTERM it ended with {code}, wanted 0: {log.read_text()}")
        finally:
            container.close()
    user = stage.last("USER")[0]
    print(f"   {len(found)} objects found, as user {user}, one session for one CPU; SIGTERM: ended with 0")


def main(words: list[str]) -> int:
    options = argparse.ArgumentParser(description=__doc__)
    for name in ("dockerfile", "base", "context", "wheels", "model", "work"):
        options.add_argument(f"--{name}", type=Path, required=True)
    args = options.parse_args(words)
    stages = parse(args.dockerfile.read_text())
    # Packages come from the folder that this machine's pip filled: it alone knows where it may get them.
    settings = {"PIP_NO_INDEX": "1", "PIP_FIND_LINKS": "/host-wheels", "PIP_DISABLE_PIP_VERSION_CHECK": "1"}
    try:
        builder = Builder(args.base, args.context, args.work, settings, {"/host-wheels": args.wheels})
        image = builder.build(stages)
        try_server(image, stages[-1], args.model, args.work / "server.log")
    except Fault as fault:
        print(f"error: {args.dockerfile}: {fault}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
