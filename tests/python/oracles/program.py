"""Runs the C++ test program that computes the cases, and reads what it wrote."""

from __future__ import annotations

import re
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from .arguments import Arguments, Array

ROOT = Path(__file__).resolve().parents[3]


@dataclass(frozen=True)
class Computed:
    """One case: its line, and what the portable kernel made of its inputs."""

    text: str
    type: str
    args: Arguments
    inputs: list[Array]
    outputs: list[Array]


def listed_operators() -> list[str]:
    """The types that the registry is made of. An alias in a file leads to one of them."""
    text = (ROOT / "cpp" / "src" / "operators" / "CMakeLists.txt").read_text()
    return re.findall(r"^\s*[a-z0-9_/]+:(\w+)(?::\w+)?\s*$", text, re.MULTILINE)


def _load(folder: Path, number: int, kind: str) -> list[Array]:
    count = len(list(folder.glob(f"{number}.{kind}*.npy")))
    return [np.load(folder / f"{number}.{kind}{i}.npy") for i in range(count)]


def compute(program: Path, cases: Path, folder: Path) -> Iterator[Computed]:
    """All cases of a file that do not end in an error. `folder` is filled with the arrays."""
    ran = subprocess.run([program, "--dump", folder, cases], capture_output=True, text=True, timeout=120, check=False)
    if ran.returncode != 0:
        raise RuntimeError(f"{program.name} --dump {cases.name} gave {ran.returncode}: {ran.stderr or ran.stdout}")
    for path in sorted(folder.glob("*.txt"), key=lambda path: int(path.stem)):
        text, number = path.read_text().strip(), int(path.stem)
        type_, _, words = text.partition(" :")[0].partition(" ")
        yield Computed(text, type_, Arguments.parse(words), _load(folder, number, "in"), _load(folder, number, "out"))
