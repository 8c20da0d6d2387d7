"""scripts/fleet_size.py: worked values, laws, what it refuses, and the tables of the document."""

from __future__ import annotations

import json
import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest
from conftest import ROOT
from hypothesis import given
from hypothesis import strategies as st

from fleet_size import Demand, Machine, fleet, main

MACHINE = Machine(per_hour=1000, units=16, price=0.05)


def test_worked_values() -> None:
    # 24 million pictures a day are 10^6 in a mean hour, twice that at the peak: 2000 cores at full use, 4000 at half.
    answer = fleet(Demand(24e6, peak=2, utilisation=0.5), MACHINE)
    assert answer.units == pytest.approx(4000)
    assert answer.machines == 250
    assert answer.per_second == pytest.approx(2e6 / 3600)
    assert answer.price_per_day == pytest.approx(4000 * 24 * 0.05)


def test_machines_are_whole() -> None:
    answer = fleet(Demand(24.0), MACHINE)
    assert answer.machines == 1
    assert answer.price_per_day == pytest.approx(16 * 24 * 0.05)


def test_an_elastic_fleet_is_paid_for_what_hours_need() -> None:
    answer = fleet(Demand(24e6, peak=4, utilisation=0.5), MACHINE, elastic=True)
    assert answer.units == pytest.approx(8000)  # in the busiest hour
    assert answer.price_per_day == pytest.approx(2000 * 24 * 0.05)


@given(
    st.floats(1, 1e12),
    st.floats(1, 100),
    st.floats(0.01, 1),
    st.floats(0.1, 1e9),
    st.integers(1, 512),
    st.floats(1, 10),
)
def test_laws(pictures: float, peak: float, use: float, per_hour: float, units: int, factor: float) -> None:
    demand, machine = Demand(pictures, peak, use), Machine(per_hour, units)
    answer = fleet(demand, machine)
    more = fleet(Demand(pictures * factor, peak, use), machine)
    faster = fleet(demand, Machine(per_hour * factor, units))
    assert more.units == pytest.approx(answer.units * factor)
    assert faster.units == pytest.approx(answer.units / factor)
    assert answer.machines * units >= answer.units > (answer.machines - 1) * units
    # What is there does the busiest hour's pictures at the utilisation that is wanted.
    assert answer.units * per_hour * use == pytest.approx(answer.per_second * 3600)


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ("--per-hour 0", "--per-hour: is 0, must be above 0"),
        ("--milliseconds nan", "--milliseconds: is nan, must be above 0"),
        ("--per-hour 1 --pictures 1e6,x", "--pictures 1e6,x: must be numbers with commas between them"),
        ("--per-hour 1 --peak 0.5", "--peak: is 0.5, must be at least 1"),
        ("--per-hour 1 --utilisation 1.5", "--utilisation: is 1.5, must be above 0 and at most 1"),
        ("--per-hour 1 --price -1", "--price: is -1, must be at least 0"),
        ("--pictures 1e6", "one of the arguments --milliseconds --per-hour --report is required"),
        ("--report none.json", "--report: none.json is no report of d2deploy batch"),
    ],
)
def test_wrong_calls_are_refused(words: str, message: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        main(shlex.split(words))
    assert ended.value.code == 2
    assert message in capsys.readouterr().err


def test_the_report_of_a_job(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """By hand: 1000 pictures of a core hour, 24 hours, half of them busy: 12,000 a day each."""
    report = tmp_path / "shard-0-of-1.json"
    report.write_text(json.dumps({"run": {"pictures_per_unit_hour": 1000.0}}))
    words = ["--report", str(report), "--pictures", "1e6", "--peak", "1", "--utilisation", "0.5", "--price", "0.05"]
    assert main(words) == 0
    assert capsys.readouterr().out.splitlines()[-1] == "| 1,000,000 | 11.6 | 83.3 | 6 | 115.20 | 115.20 |"
    report.write_text(json.dumps({"run": {"pictures_per_unit_hour": 0}}))
    with pytest.raises(SystemExit):
        main(words)
    assert "is of a run that did no picture" in capsys.readouterr().err


def test_the_tables_of_the_document_are_what_its_commands_print() -> None:
    text = (ROOT / "docs" / "deployment.md").read_text()
    commands = re.findall(r"^(scripts/fleet_size\.py .*)$", text, re.MULTILINE)
    assert len(commands) >= 2
    for line in commands:
        program, *words = shlex.split(line, comments=True)
        result = subprocess.run([sys.executable, ROOT / program, *words], capture_output=True, text=True, check=True)
        assert result.stdout.split("\n\n")[1].strip() in text, f"run {line} again, and put its table there"
