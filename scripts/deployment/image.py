"""A Dockerfile's steps run in folders, and its last stage started as a container would be, by chroot and unshare."""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import subprocess
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from d2deploy.errors import InvalidArgument
from deployment.dockerfile import Stage

CHROOT = shutil.which("chroot") or "chroot"  # the path in an image need not have it
PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"  # as Docker has it


@dataclass
class Image:
    """A stage that was built: a folder, and what is set in it."""

    root: Path
    environment: dict[str, str] = field(default_factory=lambda: {"PATH": PATH})
    user: str = "0:0"


class Builder:
    """Builds the stages of a file one after the other.

    Args:
        base: folder of the system that all stages begin with.
        context: folder that COPY takes files from.
        work: folder for the stages.
        settings: variables of the environment of each RUN that belong to this machine, as where pip finds packages.
        mounts: folders of this machine that each RUN sees, by the path there.
    """

    def __init__(
        self, base: Path, context: Path, work: Path, settings: Mapping[str, str], mounts: Mapping[str, Path]
    ) -> None:
        self.base, self.context, self.work, self.settings, self.mounts = base, context, work, settings, mounts
        self.images: dict[str, Image] = {}

    def build(self, stages: Sequence[Stage]) -> Image:
        """The last stage's image."""
        for number, stage in enumerate(stages):
            self.images[stage.name or str(number)] = image = self._stage(stage, self.work / f"stage{number}")
        return image

    def _stage(self, stage: Stage, root: Path) -> Image:
        subprocess.run(["cp", "-a", "--reflink=auto", str(self.base), str(root)], check=True)
        image, arguments = Image(root), {}
        for step in stage.instructions:
            if step.keyword == "ARG":
                name, _, value = step.words[0].partition("=")
                arguments[name] = value
            elif step.keyword == "ENV":
                image.environment |= {name: value for name, _, value in (word.partition("=") for word in step.words)}
            elif step.keyword == "USER":
                image.user = step.words[0]
            elif step.keyword == "COPY":
                self._copy(image, step.words, step.options.get("from"))
            elif step.keyword == "RUN":
                print(f"   RUN {step.words[0]}", flush=True)
                self._run(image, step.words[0], arguments)
        return image

    def _copy(self, image: Image, words: Sequence[str], stage: str | None) -> None:
        source = self.images[stage].root if stage else self.context
        *patterns, target = words
        for pattern in patterns:
            found = sorted(source.glob(pattern.lstrip("/")))
            if not found:
                raise InvalidArgument(f"COPY {pattern}: there is no such file in {source}")
            for path in found:
                to = image.root / target.lstrip("/")
                to = to / path.name if target.endswith("/") else to
                to.parent.mkdir(parents=True, exist_ok=True)
                subprocess.run(["cp", "-a", str(path), str(to)], check=True)

    def _run(self, image: Image, command: str, arguments: Mapping[str, str]) -> None:
        shutil.copy("/etc/resolv.conf", image.root / "etc/resolv.conf")
        environment = {**image.environment, **arguments, **self.settings, "DEBIAN_FRONTEND": "noninteractive"}
        with mounted(image.root, self.mounts):
            subprocess.run(
                [CHROOT, f"--userspec={image.user}", str(image.root), "/bin/sh", "-c", command],
                env=environment,
                check=True,
                stdout=subprocess.DEVNULL,
            )


@contextlib.contextmanager
def mounted(root: Path, folders: Mapping[str, Path]) -> Iterator[None]:
    """/proc, and folders of this machine, which can be read, in a root."""
    with contextlib.ExitStack() as stack:
        for target, source in {"/proc": None, **folders}.items():
            at = root / target.lstrip("/")
            at.mkdir(parents=True, exist_ok=True)
            kind = ["-t", "proc", "proc"] if source is None else ["--bind", "-o", "ro", str(source)]
            subprocess.run(["mount", *kind, str(at)], check=True)
            stack.callback(subprocess.run, ["umount", str(at)], check=True)
        yield


class Container:
    """A process in an image: alone in its network, and the first of its processes, as in a container.

    Args:
        image: that was built.
        command: that the image is started with.
        folders: of this machine, by the path there.
        log: file for its stderr.
        cgroup: control group that it belongs to from the beginning; None: that of this process.
    """

    def __init__(
        self, image: Image, command: Sequence[str], folders: Mapping[str, Path], log: Path, cgroup: Path | None = None
    ) -> None:
        self.image, self.log = image, log
        self._stack = contextlib.ExitStack()
        self._stack.enter_context(mounted(image.root, folders))
        flags = ["--net", "--pid", "--fork", "--kill-child", f"--mount-proc={image.root}/proc"]
        inside = [CHROOT, f"--userspec={image.user}", str(image.root), *command]
        with log.open("wb") as stderr:
            self._process = subprocess.Popen(
                ["unshare", *flags, *inside],
                env=image.environment,
                stderr=stderr,
                preexec_fn=(lambda: _enter(cgroup)) if cgroup else None,
            )
        self.pid = self._child()
        self.run("ip", "link", "set", "lo", "up", chroot=False)

    def _child(self) -> int:
        """The first process in there, as it is numbered here."""
        children = Path(f"/proc/{self._process.pid}/task/{self._process.pid}/children")
        while self._process.poll() is None:
            if numbers := children.read_text().split():
                return int(numbers[0])
        raise InvalidArgument(f"the container did not start: {self.log.read_text()}")

    def run(self, *command: str, chroot: bool = True) -> subprocess.CompletedProcess[str]:
        """A command in its network and, as its user, in its image; as Docker runs the health check."""
        inside = [CHROOT, f"--userspec={self.image.user}", str(self.image.root)] if chroot else []
        environment = self.image.environment if chroot else None
        return subprocess.run(
            ["nsenter", f"--target={self.pid}", "--net", *inside, *command],
            env=environment,
            check=False,
            capture_output=True,
            text=True,
        )

    @property
    def user(self) -> int:
        """The number of the user that the process runs as."""
        return os.stat(f"/proc/{self.pid}").st_uid  # noqa: PTH116  # of a folder of the kernel

    def stop(self, seconds: float) -> int:
        """Sends SIGTERM to the first process alone, and waits: its exit status. Raises subprocess.TimeoutExpired."""
        os.kill(self.pid, signal.SIGTERM)
        return self._process.wait(seconds)

    def close(self) -> None:
        """Ends what is left of it."""
        if self._process.poll() is None:
            self._process.kill()
            self._process.wait()
        self._stack.close()


def _enter(cgroup: Path) -> None:
    (cgroup / "cgroup.procs").write_text(str(os.getpid()))
