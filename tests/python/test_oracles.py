"""Every case of tests/cases, as the portable C++ kernels compute it, against an oracle in NumPy and float64."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import pytest
from conftest import ROOT, find_program
from oracles import ORACLES, Array, Expectation
from oracles.program import Computed, compute, listed_operators
from oracles.sorting import descending

CASE_FILES = sorted((ROOT / "tests" / "cases").glob("*.cases"))
WITHOUT_ORACLE: dict[str, str] = {}  # type -> why nothing but a layout in memory is at stake


@pytest.fixture(scope="session")
def program() -> Path:
    return find_program("operator_test")


def gap(have: Array, want: Array, roundings: int, of_largest: bool = False) -> str:
    """What is wrong with `have`, or nothing."""
    if have.dtype != want.dtype or have.shape != want.shape:
        return f"is {have.dtype} {have.shape}, wanted {want.dtype} {want.shape}"
    have, want = have.reshape(-1).astype(np.float64), want.reshape(-1).astype(np.float64)
    same = (have == want) | (np.isnan(have) & np.isnan(want))
    with np.errstate(invalid="ignore"):
        size = np.maximum(1, np.abs(want))
        if of_largest and size.size:
            size = np.full_like(size, size[np.isfinite(size)].max(initial=1))
        allowed = roundings * np.finfo(np.float32).eps * size
        wrong = np.flatnonzero(~(same | (np.abs(have - want) <= allowed)))
    if not len(wrong):
        return ""
    first = wrong[0]
    return f"has {len(wrong)} wrong values, the first at {first}: {have[first]!r}, wanted {want[first]!r}"


def complaints(case: Computed, expectation: Expectation) -> list[str]:
    with np.errstate(invalid="ignore", over="ignore"):  # cases hold infinities on purpose
        wanted = expectation.oracle(case.args, case.inputs)
    found = [] if len(case.outputs) == len(wanted) else [f"{len(case.outputs)} outputs, wanted {len(wanted)}"]
    for i, (have, want) in enumerate(zip(case.outputs, wanted, strict=False)):
        if what := gap(have, want, expectation.roundings, expectation.of_largest):
            found.append(f"output {i} {what}")
    return [f"{case.text}\n    {what}" for what in found]


def lines(path: Path) -> list[str]:
    """The cases of a file that are to be computed; NumPy has no bfloat16, operator_test compares those."""
    text = [line.strip() for line in path.read_text().splitlines()]
    return [line for line in text if line and not line.startswith("#") and not re.search(r"->\s*error:|float16", line)]


@pytest.mark.parametrize("path", CASE_FILES, ids=lambda path: path.stem)
def test_cases(program: Path, path: Path, tmp_path: Path) -> None:
    found: list[str] = []
    compared = 0
    for case in compute(program, path, tmp_path):
        compared += 1
        if case.type in ORACLES:
            found += complaints(case, ORACLES[case.type])
        elif case.type not in WITHOUT_ORACLE:
            found.append(f"{case.text}\n    {case.type} has no oracle; write one in tests/python/oracles")
    assert not found, "\n".join(["", *found])
    assert compared == len(lines(path)) > 0


def test_case_files_exist() -> None:
    assert CASE_FILES


def test_every_operator_has_an_oracle() -> None:
    types = listed_operators()
    assert types
    assert [t for t in types if t not in ORACLES and t not in WITHOUT_ORACLE] == []


def test_a_wrong_value_is_found() -> None:
    want = np.array([1.0, np.nan, 3.0], np.float32)
    assert gap(want.copy(), want, 0) == ""
    assert "first at 2" in gap(np.array([1, np.nan, 4], np.float32), want, 64)
    assert "first at 1" in gap(np.array([1, 2, 3], np.float32), want, 64)
    near = want + np.float32(1e-6)
    assert "first at 0" in gap(near, want, 4)
    assert gap(near, want, 4, of_largest=True) == ""
    assert "wanted float32 (3,)" in gap(want[:2], want, 64)
    assert "wanted float32 (3,)" in gap(want.astype(np.float64), want, 64)


def test_order_of_equal_scores() -> None:
    """Observed in the official builds of Caffe2."""
    same = np.zeros(40, np.float32)
    full = [30, *range(21, 30), 20, *range(31, 40), 10, *range(1, 10), 0, *range(11, 20)]
    assert descending(same) == full
    assert descending(same, 10) == [8, 9, 4, 7, 5, 3, 1, 0, 2, 6]
    assert descending(same[:20]) == [10, *range(19, 10, -1), 0, *range(9, 0, -1)]
