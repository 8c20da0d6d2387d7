"""The arithmetic in YAML files: what is evaluated, and what is refused."""

from __future__ import annotations

import time
from typing import Any

import pytest

from d2deploy.config.expression import evaluate
from d2deploy.errors import InvalidArgument

VALUES: dict[str, Any] = {
    "3": 3,
    " -2.5 ": -2.5,
    "7 // 2 + 7 % 4 * 2 ** 3 - +1": 3 + 3 * 8 - 1,
    "[1, (2, 3.0)]": [1, (2, 3.0)],
    "[x for x in [1, 2]]": [1, 2],
    "[[x, x * y] for x in (1, 2) for y in [3, 4]]": [[1, 3], [1, 4], [2, 6], [2, 8]],
    "[[y for y in x] for x in [[1], [2]]]": [[1], [2]],
}


@pytest.mark.parametrize("text", VALUES)
def test_value(text: str) -> None:
    assert repr(evaluate(text)) == repr(VALUES[text])


def test_anchors_of_retinanet() -> None:
    sizes = evaluate("[[x, x * 2**(1.0/3), x * 2**(2.0/3) ] for x in [32, 64, 128, 256, 512 ]]")
    assert [row[0] for row in sizes] == [32, 64, 128, 256, 512]
    assert sizes[0][1:] == pytest.approx([40.3174736, 50.7968342])
    assert sizes[4][1:] == pytest.approx([645.0795776, 812.7493465])


REFUSED = {
    "__import__('os').system('echo')": "is not allowed",
    "(1).__class__": "is not allowed",
    "[c for c in ().__class__.__base__.__subclasses__()]": "is not allowed",
    "open('x')": "is not allowed",
    "x": "x is not allowed",
    "True": "True is not allowed",
    "'a' * 9": "'a' is not allowed",
    "[0] * 1000000000": "finite real numbers alone",
    "(-8) ** (1 / 3)": "finite real numbers alone",
    "1e308 * 10": "finite real numbers alone",
    "1j": "1j is not allowed",
    "lambda: 1": "is not allowed",
    "1 if 1 else 2": "is not allowed",
    "1 < 2": "is not allowed",
    "{1: 2}": "is not allowed",
    "[*[1]]": "is not allowed",
    "[y := 1]": "is not allowed",
    "1 << 60": "is not allowed",
    "[x for x in [1] if x]": "is not a plain loop",
    "[x for x, y in [(1, 2)]]": "is not a plain loop",
    "[x for x in 3]": "3 is not a list",
    "9 ** 9 ** 9": "the exponent 387420489 is larger than 64",
    "9 ** 60": "more than 64 bits",
    "99999999999999999999": "more than 64 bits",
    "1 / 0": "cannot evaluate .*division by zero",
    "2.0 ** 64.0 ** 1 ** -1.5 +": "cannot evaluate .*invalid syntax",
    "1e300 ** 2": "cannot evaluate",
    "": "cannot evaluate",
    "(" * 500: "cannot evaluate",
    "-" * 990 + "1": "cannot evaluate",
    "1" + "+1" * 500: "has 1001 characters, at most 1000 are allowed",
}


@pytest.mark.parametrize("text", REFUSED, ids=lambda text: text[:40])
def test_refused(text: str) -> None:
    with pytest.raises(InvalidArgument, match=REFUSED[text]):
        evaluate(text)


def test_loops_end() -> None:
    loops = " ".join(f"for {name} in [{'1,' * 20}]" for name in "abcdefgh")
    start = time.perf_counter()
    with pytest.raises(InvalidArgument, match="takes more than 10000 steps"):
        evaluate(f"[a {loops}]")
    assert time.perf_counter() - start < 5
