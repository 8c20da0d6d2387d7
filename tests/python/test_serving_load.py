"""scripts/serving_load.py: each of its programs against a real server, in small; and that they see what is wrong."""

from __future__ import annotations

import asyncio
import json
import subprocess
import sys
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from conftest import ROOT
from serving_process import environment

from load import mixed, overhead, overload, reload, schema
from load.client import Answer, Connection
from load.kinds import BOMBS, KINDS, wanted
from load.server import Fault
from load.truth import Picture, check_prediction, check_tensors

PICTURE = Picture(
    "a.png", b"", np.zeros((2, 3, 3), np.uint8), [([0.0, 0.0, 1.0, 1.0], 0.5, 1, None)], np.ones((1, 4), np.float32)
)


@pytest.fixture
def model(example: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A model's folder with pictures, where it can be run; servers find the package that is tested here."""
    pytest.importorskip("d2deploy._ext", reason="not built: cmake --preset dev && cmake --build --preset dev")
    monkeypatch.setenv("PYTHONPATH", environment()["PYTHONPATH"])
    return example


def answer(body: Any, status: int = 200, **headers: str) -> Answer:
    data = body if isinstance(body, bytes) else json.dumps(body).encode()
    return Answer(status, {name.replace("_", "-"): value for name, value in headers.items()}, data, 0.1)


def test_requests_of_all_kinds_are_answered_as_they_must_be(model: Path) -> None:
    result = mixed.run(model, requests=3 * len(KINDS), askers=4, seed=1)
    assert result.faults == []
    assert set(result.asked) == {kind.__name__ for kind in KINDS}
    assert result.asked.total() == 3 * len(KINDS)
    assert f"{3 * len(KINDS)} requests" in mixed.report(result)


def test_overload_is_refused_and_good_answers_go_on(model: Path) -> None:
    result = overload.run(model, seconds=3.0, measured=20)
    assert result.faults == []
    assert set(result.codes) == {200, 429}
    assert len(result.refused) > 20
    assert f"429: {result.codes[429]}" in overload.report(result)


def test_a_reload_drops_nothing(model: Path) -> None:
    result = reload.run(model, seconds=4.0)
    result.check()
    assert f"{result.loads} loads meanwhile" in reload.report(result)


def test_rates_are_measured_in_turn(model: Path) -> None:
    result = overhead.run(model, rounds=1, count=4)
    for rows in (result.net, result.whole, result.http):
        assert min(rows[0].rate, rows[0].cpu_seconds) > 0
    assert "HTTP beside the net: " in overhead.report(result)


def test_costs_are_medians_of_rounds() -> None:
    def rounds(*rows: tuple[float, float]) -> list[overhead.Round]:
        return [overhead.Round(*row) for row in rows]

    net, http = rounds((10, 1), (20, 1), (10, 2)), rounds((9, 1.1), (10, 1.5), (8, 2.4))
    result = overhead.Result(net, net, http)
    assert result.lost(net) == pytest.approx(0.2)  # of 0.1, 0.5, 0.2
    assert result.more_cpu(net) == pytest.approx(0.2)  # of 0.1, 0.5, 0.2


def test_kinds_come_as_often_as_they_should_and_each_at_least_once() -> None:
    assert mixed.draw(1000, seed=3) == mixed.draw(1000, seed=3)
    assert set(mixed.draw(len(KINDS), seed=0)) == set(KINDS)
    counts = Counter(mixed.draw(10_000, seed=0))
    assert counts.total() == 10_000
    predict = next(iter(KINDS))
    assert counts[predict] == pytest.approx(10_000 * KINDS[predict] / sum(KINDS.values()), rel=0.1)


def test_bombs_are_small() -> None:
    assert max(map(len, BOMBS)) < 2000


@pytest.mark.parametrize(
    ("instance", "right"),
    [
        ({"box": [0, 0, 1, 1], "score": 0.5, "class_id": 1}, True),
        ({"box": [0, 0, 1, 2], "score": 0.5, "class_id": 1}, False),
        ({"box": [0, 0, 1, 1], "score": 0.5000001, "class_id": 1}, False),
        ({"box": [0, 0, 1, 1], "score": 0.5, "class_id": 2}, False),
        ({"box": [0, 0, 1, 1], "score": 0.5, "class_id": 1, "mask": {"counts": "1"}}, False),
    ],
)
def test_another_answer_is_seen(instance: dict[str, Any], right: bool) -> None:
    given = answer({"instances": [instance]})
    if right:
        check_prediction(given, PICTURE)
        return
    with pytest.raises(Fault, match=r"a\.png: answered"):
        check_prediction(given, PICTURE)


def test_other_boxes_are_seen() -> None:
    output = {"name": "boxes", "shape": [1, 4], "datatype": "FP32", "data": [1, 1, 1, 1]}
    check_tensors(answer({"outputs": [output]}), PICTURE)
    with pytest.raises(Fault, match="boxes differ"):
        check_tensors(answer({"outputs": [{**output, "data": [1, 1, 1, 2]}]}), PICTURE)
    with pytest.raises(Fault, match="has no boxes"):
        check_tensors(answer({"outputs": []}), PICTURE)
    first = json.dumps({"outputs": [{**output, "data": None, "parameters": {"binary_data_size": 16}}]}).encode()
    binary = first + np.ones(4, "<f4").tobytes()
    check_tensors(answer(binary, inference_header_content_length=str(len(first))), PICTURE)


def test_a_wrong_code_and_a_missing_message_are_seen() -> None:
    wanted(answer({"error": "no"}, 404), 400, 404)
    with pytest.raises(Fault, match="code 500, wanted 200"):
        wanted(answer({}, 500), 200)
    with pytest.raises(Fault, match="code 404 without a message"):
        wanted(answer({}, 404), 404)


@pytest.mark.parametrize(
    ("resident", "files", "faults", "message"),
    [
        ([100, 100, 100, 100], (5, 5), [], ""),
        ([50, 90, 100, 100], (5, 5), [], ""),  # the first half may grow
        ([100, 100, 100, 110], (5, 5), [], "memory grew by 10.0 % in the second half"),
        ([100, 100, 100, 100], (5, 50), [], "50 files are open, before there were 5"),
        ([100, 100, 100, 100], (5, 5), ["predict: no"], "1 answers were wrong, as: predict: no"),
    ],
)
def test_leaks_are_seen(resident: list[int], files: tuple[int, int], faults: list[str], message: str) -> None:
    result = mixed.Result(resident=resident, files=files, faults=faults)
    if not message:
        result.check()
        return
    with pytest.raises(Fault, match=message):
        result.check()


def test_a_server_that_falls_behind_is_seen() -> None:
    result = overload.Result(capacity=10, seconds=10, codes=Counter({200: 90, 429: 900}), refused=[0.01])
    result.check()
    result.codes[200] = 60
    with pytest.raises(Fault, match=r"6\.0 good answers per second, wanted 0\.7 of 10\.0"):
        result.check()


def test_a_missing_fuzzer_is_told(monkeypatch: pytest.MonkeyPatch, example: Path) -> None:
    monkeypatch.setattr("shutil.which", lambda *_, **__: None)
    with pytest.raises(Fault, match="schemathesis is not installed: pip install --group load"):
        schema.run(example, examples=1, seed=0)


def test_no_answer_is_a_fault() -> None:
    async def ask() -> None:
        async def close(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            writer.close()

        async with await asyncio.start_server(close, "127.0.0.1", 0) as listener:
            port = listener.sockets[0].getsockname()[1]
            async with Connection(port) as connection:
                await connection.ask("GET", "/")

    with pytest.raises(Fault, match="no answer"):
        asyncio.run(ask())


@pytest.mark.parametrize(
    ("words", "code", "message"),
    [
        (["mixed", "--requests", "0"], 2, "--requests: is 0, must be above 0"),
        (["reload", "--model", "nowhere"], 1, "error: the server did not listen"),
        ([], 2, "COMMAND"),
    ],
)
def test_what_goes_wrong_is_told(words: list[str], code: int, message: str, tmp_path: Path) -> None:
    result = subprocess.run(
        [sys.executable, ROOT / "scripts/serving_load.py", *words],
        capture_output=True,
        text=True,
        check=False,
        cwd=tmp_path,
    )
    assert (result.returncode, message in result.stderr) == (code, True), result.stderr
