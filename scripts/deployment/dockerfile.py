"""Dockerfiles as data: stages, and the instructions of each. Only what the project's own file uses is known."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from d2deploy.errors import InvalidArgument, Unsupported

KNOWN = ("ARG", "CMD", "COPY", "ENTRYPOINT", "ENV", "EXPOSE", "HEALTHCHECK", "RUN", "USER")


@dataclass(frozen=True)
class Instruction:
    """A line of a stage.

    Attributes:
        keyword: in capitals.
        options: of the form --name=value.
        words: of the JSON form, or as they stand; of RUN, the command of a shell.
    """

    keyword: str
    options: Mapping[str, str]
    words: Sequence[str]


@dataclass
class Stage:
    """An image on the way to the last one.

    Attributes:
        base: that it begins with.
        name: that others copy from it by; empty: none.
        instructions: in order.
    """

    base: str
    name: str = ""
    instructions: list[Instruction] = field(default_factory=list)

    def last(self, keyword: str) -> list[str]:
        """The words of the last instruction of a kind; of several CMD only that one counts. Empty: there is none."""
        return next((list(i.words) for i in reversed(self.instructions) if i.keyword == keyword), [])


def parse(text: str) -> list[Stage]:
    """The stages of a Dockerfile.

    Raises:
        InvalidArgument: something stands before the first FROM.
        Unsupported: an instruction that is not known here, or a shell where an exec form belongs.
    """
    lines = (line for line in text.splitlines() if not re.match(r"\s*(#|$)", line))
    stages: list[Stage] = []
    for line in re.sub(r"\\\n", " ", "\n".join(lines)).splitlines():
        keyword, _, rest = line.strip().partition(" ")
        if keyword == "FROM":
            base, *name = rest.split()
            stages.append(Stage(base, name[1] if name else ""))
        elif not stages:
            raise InvalidArgument(f"Dockerfile: {keyword} stands before FROM")
        elif keyword not in KNOWN:
            raise Unsupported(f"Dockerfile: {keyword} is not known; known: FROM, {', '.join(KNOWN)}")
        else:
            stages[-1].instructions.append(_instruction(keyword, rest.strip()))
    return stages


def _instruction(keyword: str, rest: str) -> Instruction:
    options = {}
    while match := re.match(r"--([a-z-]+)=(\S+)\s+", rest):
        options[match[1]] = match[2]
        rest = rest[match.end() :]
    if keyword == "HEALTHCHECK":
        rest = rest.removeprefix("CMD ")
    if keyword in ("CMD", "ENTRYPOINT", "HEALTHCHECK"):
        if not rest.startswith("["):
            raise Unsupported(f"Dockerfile: {keyword} is run by a shell, which keeps signals to itself; write a list")
        return Instruction(keyword, options, json.loads(rest))
    return Instruction(keyword, options, [rest] if keyword == "RUN" else rest.split())
