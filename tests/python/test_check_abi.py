"""scripts/check_abi: each change that would break programs is found, and its message says what to do."""

from __future__ import annotations

import runpy
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from conftest import ROOT, c_library

HEADER = (ROOT / "cpp/include/d2deploy/c.h").read_text()
LIST = (ROOT / "cpp/src/capi/abi.txt").read_text()
LAYOUT = "".join(line + "\n" for line in LIST.splitlines() if not line.startswith("function"))
# What the program prints and the list has not: sizes of structs that may grow.
SIZES = "struct d2d_options 152\nstruct d2d_facts 48\nstruct d2d_input 64\n"

VERSION = "D2D_API int32_t d2d_abi_version(void);"

Check = Callable[..., tuple[int, str]]


@pytest.fixture
def check_abi(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Check:
    """Runs the script on the built library with another header, layout or list: its exit status, and what it prints."""

    def run(
        header: str = HEADER, layout: str = LAYOUT + SIZES, listed: str = LIST, write: bool = False
    ) -> tuple[int, str]:
        main = runpy.run_path(str(ROOT / "scripts/check_abi"))["main"]
        for name, text in {"HEADER": header, "LIST": listed, "layout": layout}.items():
            (tmp_path / name).write_text(text)
            main.__globals__[name] = tmp_path / name
        printed = f"print(open({str(tmp_path / 'layout')!r}).read(), end='')"
        status = main([*(["--write"] if write else []), str(c_library()), sys.executable, "-c", printed])
        return status, capsys.readouterr().out

    return run


def changed(text: str, old: str, new: str) -> str:
    assert text.count(old) == 1, old
    return text.replace(old, new)


def test_what_is_there_passes(check_abi: Check) -> None:
    assert check_abi() == (0, "")


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        # A function that is gone, or new, or takes something else, or gives it.
        (VERSION, "", "d2d_abi_version is exported, but c.h does not declare it; drop it from cpp/src/exported.map"),
        (VERSION, f"D2D_API int d2d_new(void);\n{VERSION}", "d2d_new is declared in c.h, but not exported; add it to"),
        (
            "status_name(d2d_status status)",
            "status_name(int64_t status)",
            "new: function D2DEPLOY_C_1 const char* d2d_s",
        ),
        (
            VERSION,
            VERSION.replace("32", "64"),
            "gone or changed: function D2DEPLOY_C_1 int32_t d2d_abi_version(void): pr",
        ),
        ("#define D2D_ABI_VERSION 1", "#define D2D_ABI_VERSION 2", "D2D_ABI_VERSION of c.h must be 1"),
    ],
)
def test_changed_headers_are_found(check_abi: Check, old: str, new: str, message: str) -> None:
    status, out = check_abi(header=changed(HEADER, old, new))
    assert status == 1
    assert message in out


def test_names_of_parameters_may_change(check_abi: Check) -> None:
    assert check_abi(header=changed(HEADER, "d2d_status_name(d2d_status status)", "d2d_status_name(d2d_status s)")) == (
        0,
        "",
    )


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("value D2D_UNSUPPORTED 12", "value D2D_UNSUPPORTED 14", "gone or changed: value D2D_UNSUPPORTED 12: programs"),
        (
            "d2d_options 80 4 int32_t threads",
            "d2d_options 84 4 int32_t threads",
            "gone or changed: field d2d_options 80 4",
        ),
        ("struct d2d_image 48", "struct d2d_image 56", "gone or changed: struct d2d_image 48"),
        ("type int32_t d2d_status", "type int64_t d2d_status", "gone or changed: type int32_t d2d_status"),
        ("struct d2d_options 152", "struct d2d_options 160", "begins with struct_size and ends in 8 bytes of padding"),
    ],
)
def test_changed_layouts_are_found(check_abi: Check, old: str, new: str, message: str) -> None:
    status, out = check_abi(layout=changed(LAYOUT + SIZES, old, new))
    assert status == 1
    assert message in out


def test_a_field_at_the_end_is_new_until_it_is_listed(check_abi: Check, tmp_path: Path) -> None:
    last = "field d2d_options 144 8 int64_t max_batch\n"
    grown = changed(LAYOUT + SIZES, last, last + "field d2d_options 152 8 int64_t later\n")
    grown = changed(grown, "struct d2d_options 152", "struct d2d_options 160")
    status, out = check_abi(layout=grown)
    assert status == 1
    assert out.splitlines() == [line for line in out.splitlines() if line.startswith("new: field d2d_options 152 8")]
    assert "to the end of a struct that begins with struct_size; raise D2D_ABI_VERSION" in out
    assert check_abi(layout=grown, write=True) == (0, "")
    assert check_abi(layout=grown, listed=(tmp_path / "LIST").read_text()) == (0, "")


def test_the_layout_program_knows_every_struct_and_value() -> None:
    program = runpy.run_path(str(ROOT / "scripts/check_abi"))["layout_program"](HEADER)
    for name in ("d2d_options", "d2d_image", "d2d_tensor", "d2d_facts", "d2d_input", "d2d_keypoint", "d2d_segment"):
        assert f"sizeof({name})" in program
    assert "offsetof(d2d_keypoint, y)" in program  # the second of one declaration
    assert program.count("value D2D_") == HEADER.count("  D2D_") + 2  # those of enums, and two that are defined
