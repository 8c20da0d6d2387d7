"""Folders and patterns: the files that glob finds, in the order of their paths, one after the other."""

from __future__ import annotations

import glob
import os
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from d2deploy import picture_files
from d2deploy.errors import InvalidArgument
from d2deploy.picture_files import files_of_folder, files_of_pattern, is_pattern

NAMES = st.sampled_from(["a", "b", "a.jpg", "b.jpg", ".c", "[x]", "a b"])
PARTS = st.sampled_from(["*", "**", "a*", "?", "*.jpg", "[ab]", "b", ".*", "*a*"])


@pytest.fixture(scope="module")
def tree(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Folders and files of every name, three deep; what ends in .jpg is a folder here and a file there."""
    root = tmp_path_factory.mktemp("tree")
    names = ["a", "b", "a.jpg", ".c", "[x]"]
    for outer in names:
        for inner in names:
            folder = root / outer / inner
            folder.mkdir(parents=True)
            for name in names:
                (folder / name).touch()
        (root / outer / "b.jpg").touch()
    (root / "b.jpg").touch()
    return root


@given(st.lists(PARTS, min_size=1, max_size=4))
def test_a_pattern_finds_what_glob_finds_in_the_order_of_paths(tree: Path, parts: list[str]) -> None:
    pattern = f"{tree}/{'/'.join(parts)}"
    if not glob.has_magic(pattern):
        return
    names = glob.glob(pattern, recursive=True)  # noqa: PTH207
    # It gives "file/" for "file/**", which is no file.
    wanted = sorted({Path(name) for name in names if not name.endswith("/") and Path(name).is_file()})
    if wanted:
        assert [*map(Path, files_of_pattern(pattern))] == wanted
    else:
        with pytest.raises(InvalidArgument, match="no file has such a name"):
            next(files_of_pattern(pattern))


def test_patterns_of_the_current_folder(tree: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tree / "a")
    assert list(files_of_pattern("*.jpg")) == ["b.jpg"]
    assert list(files_of_pattern("./*/b")) == ["./[x]/b", "./a/b", "./a.jpg/b", "./b/b"]
    assert not is_pattern("[x]")  # it is there
    assert is_pattern("[y]")


def test_links_that_lead_upwards_are_followed_once(tmp_path: Path) -> None:
    (tmp_path / "in").mkdir()
    (tmp_path / "in" / "x.jpg").touch()
    (tmp_path / "in" / "up").symlink_to(tmp_path)
    found = list(files_of_pattern(f"{tmp_path}/**/*.jpg"))
    assert found == [str(tmp_path / "in" / "x.jpg")]


def test_links_that_lead_nowhere_hide_no_other_file(tmp_path: Path) -> None:
    """They are among the files: whoever reads them is told why."""
    (tmp_path / "a.jpg").touch()
    (tmp_path / "gone.jpg").symlink_to("no such file")
    (tmp_path / "loop.jpg").symlink_to("loop.jpg")
    (tmp_path / "folder.jpg").symlink_to(tmp_path)
    wanted = [str(tmp_path / name) for name in ("a.jpg", "gone.jpg", "loop.jpg")]
    assert list(files_of_folder(str(tmp_path))) == wanted
    assert list(files_of_pattern(f"{tmp_path}/*.jpg")) == wanted


@pytest.mark.parametrize("at_once", [1, 2, 3, 1000])
def test_a_large_folder_is_sorted_in_runs(tmp_path: Path, at_once: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(picture_files, "SORTED_AT_ONCE", at_once)
    names = [f"{number * 7 % 10}\n.jpg" for number in range(10)]
    for name in [*names, "no picture.txt"]:
        (tmp_path / name).touch()
    assert list(files_of_folder(str(tmp_path))) == [str(tmp_path / name) for name in sorted(names)]


def test_names_that_are_not_utf8(tmp_path: Path) -> None:
    name = os.fsencode(tmp_path) + b"/\xff.jpg"
    with open(name, "wb"):  # noqa: PTH123
        pass
    assert [os.fsencode(file) for file in files_of_folder(str(tmp_path))] == [name]
    assert [os.fsencode(file) for file in files_of_pattern(f"{tmp_path}/*.jpg")] == [name]


def test_a_folder_that_cannot_be_read_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """By its name among the files: whoever reads it is told why."""
    (tmp_path / "closed").mkdir()
    (tmp_path / "open").mkdir()
    (tmp_path / "open" / "x.jpg").touch()
    scan = os.scandir

    def refused(path: str) -> object:
        if str(path).endswith("closed"):
            raise PermissionError(13, "Permission denied")
        return scan(path)

    monkeypatch.setattr(os, "scandir", refused)
    assert list(files_of_pattern(f"{tmp_path}/**/*.jpg")) == [
        str(tmp_path / "closed"),
        str(tmp_path / "open" / "x.jpg"),
    ]
    with pytest.raises(InvalidArgument, match="closed: cannot be read: Permission denied"):
        next(files_of_folder(str(tmp_path / "closed")))
