"""The inputs of a batch: blocks and shards, manifests, tar files; what is wrong with one stops no other."""

from __future__ import annotations

import io
import json
import os
import re
import tarfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import pytest
from batch_jobs import picture, write_tar
from hypothesis import given
from hypothesis import strategies as st

pa = pytest.importorskip("pyarrow", reason="not installed: pip install 'd2deploy[batch]'")
import pyarrow.parquet as pq  # noqa: E402

from d2deploy.batch import tars  # noqa: E402
from d2deploy.batch.entries import Block, Entry, Shard, blocks, shard_of, utf8  # noqa: E402
from d2deploy.batch.inputs import Inputs  # noqa: E402
from d2deploy.batch.manifests import Columns, Manifest  # noqa: E402
from d2deploy.batch.tars import Tar, read_member  # noqa: E402
from d2deploy.errors import InvalidArgument  # noqa: E402

# ---- Blocks and shards -----------------------------------------------------------------------------


class Members(NamedTuple):
    """A shelf of so many entries."""

    name: str
    size: int

    def entries(self) -> Iterator[Entry]:
        return (Entry(f"{self.name}::{number}", self.name) for number in range(self.size))


NAME = st.text(max_size=3)
FOUND = st.lists(NAME.map(lambda t: Entry(t, t)) | st.builds(Members, NAME, st.integers(0, 9)), max_size=12)


@given(FOUND, st.integers(1, 5), st.integers(1, 5))
def test_shards_share_the_blocks(found: list[Entry | Members], size: int, count: int) -> None:
    whole = list(blocks(found, size))
    cut = [block for index in range(count) for block in blocks(found, size, Shard(index, count))]
    assert sorted(cut, key=lambda block: block.key) == sorted(whole, key=lambda block: block.key)
    assert len({block.key for block in whole}) == len(whole)
    assert all(0 < len(block.entries) <= size for block in whole)
    listed = [e for item in found for e in ([item] if isinstance(item, Entry) else item.entries())]
    assert sorted(e.name for block in whole for e in block.entries) == sorted(e.name for e in listed)


def test_blocks_are_listed_as_they_are_wanted() -> None:
    taken = []

    def endless() -> Iterator[Entry]:
        while True:
            taken.append(1)
            yield Entry("x", "x")

    assert next(blocks(endless(), 10)).number == 0
    assert len(taken) == 10


@given(st.lists(st.builds(Entry, st.text(), st.text(), st.none() | st.text(), fault=st.text()), min_size=1))
def test_blocks_are_the_same_behind_json(entries: list[Entry]) -> None:
    block = Block(3, 7, tuple(entries))
    again = Block.from_json(block.to_json())
    assert again == block
    assert again.digest == block.digest


def test_a_digest_tells_other_pictures() -> None:
    one = Block(0, 0, (Entry("a", "a"),))
    assert one.digest == Block(0, 0, (Entry("a", "elsewhere/a"),)).digest
    assert one.digest != Block(0, 0, (Entry("b", "a"),)).digest
    assert one.digest != Block(0, 0, (Entry("a", "a", "id"),)).digest
    assert one.digest != Block(0, 0, (Entry("a", "a", fault="is wrong"),)).digest


SLURM = {f"SLURM_ARRAY_TASK_{name}": value for name, value in zip(("ID", "MIN", "STEP", "COUNT"), "7324")}


@pytest.mark.parametrize(
    ("text", "environment", "wanted"),
    [
        ("0/1", {}, (0, 1)),
        ("3/4", SLURM, (3, 4)),
        ("auto", SLURM, (2, 4)),
        ("auto/9", SLURM, (2, 9)),
        ("auto/5", {"JOB_COMPLETION_INDEX": "4"}, (4, 5)),
    ],
)
def test_shards_are_named(text: str, environment: dict[str, str], wanted: tuple[int, int]) -> None:
    assert shard_of(text, environment) == Shard(*wanted)


@pytest.mark.parametrize(
    ("text", "environment", "message"),
    [
        ("1", {}, "--shard is 1, wanted i/n"),
        ("-1/2", {}, "wanted i/n"),
        ("2/2", {}, "is shard 2 of 2, they count from 0 to 1"),
        ("0/0", {}, "is shard 0 of 0"),
        ("auto", {}, "neither SLURM_ARRAY_TASK_ID nor JOB_COMPLETION_INDEX is set"),
        ("auto", {"JOB_COMPLETION_INDEX": "1"}, "not how many there are; give auto/n"),
        ("auto", {"SLURM_ARRAY_TASK_ID": "1"}, "SLURM_ARRAY_TASK_COUNT is not set"),
        ("auto/2", {"JOB_COMPLETION_INDEX": "x"}, "JOB_COMPLETION_INDEX is 'x', wanted a number"),
    ],
)
def test_shards_that_are_none(text: str, environment: dict[str, str], message: str) -> None:
    with pytest.raises(InvalidArgument, match=message):
        shard_of(text, environment)


@pytest.mark.parametrize(("text", "wanted"), [("ä", "ä"), (os.fsdecode(b"a\xff"), r"a\xff"), ("\ud800é", r"\ud800é")])
def test_texts_become_utf8(text: str, wanted: str) -> None:
    assert utf8(text) == wanted


# ---- Manifests -------------------------------------------------------------------------------------


def manifest(file: Path, **columns: Any) -> list[Entry]:
    return list(Manifest(str(file), Columns(**columns)).entries())


def test_all_kinds_of_manifests_say_the_same(tmp_path: Path) -> None:
    rows = [("a.jpg", "1"), ("/b/c, d.jpg", "2"), ("ä\n.jpg", "2")]
    (tmp_path / "x.csv").write_text('id,path\n1,a.jpg\n2,"/b/c, d.jpg"\n\n2,"ä\n.jpg"\n', encoding="utf-8-sig")
    lines = [json.dumps({"path": path, "more": [1], "id": int(id_)}) for path, id_ in rows]
    (tmp_path / "x.jsonl").write_text("\n\n".join(lines))
    table = pa.table({"id": pa.array([1, 2, 2], pa.int64()), "path": [path for path, _ in rows]})
    pq.write_table(table, tmp_path / "x.parquet", row_group_size=2)
    wanted = [Entry(os.path.join(tmp_path, p), os.path.join(tmp_path, p), i) for p, i in rows]  # noqa: PTH118
    for kind in ("csv", "jsonl", "parquet"):
        assert manifest(tmp_path / f"x.{kind}") == wanted, kind


def test_columns_and_the_root_have_names(tmp_path: Path) -> None:
    (tmp_path / "x.csv").write_text("key,file,id\nk,a.jpg,1\n")
    assert manifest(tmp_path / "x.csv", path="file", id="key", root="/data") == [
        Entry("/data/a.jpg", "/data/a.jpg", "k")
    ]


def test_a_path_may_be_bytes(tmp_path: Path) -> None:
    pq.write_table(pa.table({"path": [b"/a\xff.jpg"]}), tmp_path / "x.parquet")
    assert os.fsencode(manifest(tmp_path / "x.parquet")[0].name) == b"/a\xff.jpg"
    (tmp_path / "x.csv").write_bytes(b"path\n/a\xff.jpg\n")
    assert os.fsencode(manifest(tmp_path / "x.csv")[0].name) == b"/a\xff.jpg"


@pytest.mark.parametrize(
    ("name", "data", "faults"),
    [
        ("x.csv", b"path,b\n1\n/a,2\n,3\n", ["has 1 fields, wanted 2", "", "path is '', wanted a path"]),
        ("x.csv", b"path\n" + b"x" * 200_000 + b"\n/a\n", ["cannot be read as CSV: field larger", ""]),
        (
            "x.jsonl",
            b'{"path": "/a"}\n{\n[1]\n{"x": 1}\n{"path": 5}\n',
            ["", "is no JSON", "is a list, wanted an object", "path is missing", "path is 5"],
        ),
        (
            "x.jsonl",
            b'{"path": "/a"}\n{"path": "' + b"x" * 3_000_000 + b'"}\n{"path": "/b"}',
            ["", "more than 1048576 bytes", ""],
        ),
        ("x.jsonl", b'{"path": "/a"}\n' + b"[" * 100_000 + b"\n", ["", "is no JSON"]),
        ("x.csv", b'path,b\n"/a,1\n/b,2\n', ["cannot be read as CSV: unexpected end of data"]),
        ("x.jsonl", b'{"path": "/a"}\nnull\n\xff\n', ["", "is a NoneType", "is no JSON"]),
    ],
)
def test_a_wrong_row_stops_no_other(tmp_path: Path, name: str, data: bytes, faults: list[str]) -> None:
    (tmp_path / name).write_bytes(data)
    found = manifest(tmp_path / name)
    assert len(found) == len(faults)
    for entry, fault in zip(found, faults):
        assert fault in entry.fault
        assert not fault or re.search(rf"{name}:\d+$", entry.name)
        assert bool(fault) == bool(entry.fault)


def test_a_damaged_parquet_file_tells_where(tmp_path: Path) -> None:
    file = tmp_path / "x.parquet"
    pq.write_table(pa.table({"path": [f"/{number}" for number in range(100)]}), file, row_group_size=50)
    data = bytearray(file.read_bytes())
    start = pq.read_metadata(file).row_group(1).column(0).dictionary_page_offset
    data[start : start + 30] = b"\xff" * 30
    file.write_bytes(bytes(data))
    found = manifest(file)
    assert [entry.name for entry in found[:-1]] == [f"/{number}" for number in range(len(found) - 1)]
    assert "cannot be read, nor what follows" in found[-1].fault


@pytest.mark.parametrize(
    ("name", "data", "message"),
    [
        ("x.csv", b"file,id\n", r"x.csv: has no column 'path', has 'file', 'id'; give --path-column"),
        ("x.csv", b"", r"x.csv: has no column 'path', has none"),
        ("x.jsonl", b'{"file": "a"}', r"has no column 'path', has 'file'"),
        ("x.csv", b"path,id,path\n", r"x.csv: has 2 columns 'path', wanted one; rename the others"),
        ("x.csv", b"id,path,id\n", r"x.csv: has 2 columns 'id', wanted one"),
        ("x.parquet", b"PAR1", r"x.parquet: cannot be read as Parquet"),
        ("no.csv", None, r"no.csv: cannot be read: .*No such file"),
        ("no.parquet", None, r"no.parquet: cannot be read"),
    ],
)
def test_a_manifest_that_is_none_is_told_at_the_start(
    tmp_path: Path, name: str, data: bytes | None, message: str
) -> None:
    if data is not None:
        (tmp_path / name).write_bytes(data)
    with pytest.raises(InvalidArgument, match=message):
        Inputs([str(tmp_path / name)]).check()
    (tmp_path / "ok.csv").write_text("path\n/a\n")
    if data is not None:  # found by a pattern, it stops no other
        found = list(Inputs([f"{tmp_path}/*.*"]).found())
        faults = [entry for entry in found if isinstance(entry, Entry) and entry.fault]
        assert len(faults) == 1 or (name == "x.csv" and not data)
        assert Entry("/a", "/a") in found


def test_a_million_rows_are_listed(tmp_path: Path) -> None:
    file = tmp_path / "x.csv"
    with file.open("w") as out:
        out.write("path,id\n")
        out.writelines(f"/{number}.jpg,{number // 2}\n" for number in range(1_000_000))
    listed = blocks(Inputs([str(file)]).found(), 4096)
    assert sum(len(block.entries) for block in listed) == 1_000_000


# ---- Tar files -------------------------------------------------------------------------------------

MEMBERS = [("a/1.png", picture(10)), ("a/1.json", b"{}"), ("2.JPG", b"no picture"), ("ä" * 150 + ".png", picture(20))]
PICTURES = ["a/1.png", "2.JPG", "ä" * 150 + ".png"]


@pytest.fixture
def tar(tmp_path: Path) -> Path:
    return write_tar(tmp_path / "x.tar", MEMBERS)


def test_members_are_read_where_they_lie(tar: Path) -> None:
    entries = list(Tar(str(tar)).entries())
    assert [entry.name for entry in entries] == [f"{tar}::{name}" for name in PICTURES]
    assert [read_member(entry) for entry in entries] == [dict(MEMBERS)[name] for name in PICTURES]
    assert not any(entry.fault for entry in entries)


def test_names_in_tar_files_may_be_any_bytes(tmp_path: Path) -> None:
    with tarfile.open(tmp_path / "x.tar", "w", format=tarfile.GNU_FORMAT, encoding="latin-1") as tar:
        tar.addfile(tarfile.TarInfo("\xe4.png"))
    (entry,) = Tar(str(tmp_path / "x.tar")).entries()
    assert os.fsencode(entry.name).endswith(b"::\xe4.png")
    assert read_member(entry) == b""


@given(st.data())
def test_a_tar_file_that_is_cut_short_tells_it(data: st.DataObject) -> None:
    """Wherever it is cut: what is whole comes first, a fault stands at the end, and no exception leaves it."""
    import tempfile

    with tempfile.TemporaryDirectory() as folder:
        path = write_tar(Path(folder) / "x.tar", MEMBERS)
        whole = path.read_bytes()
        with tarfile.open(path) as opened:
            end = opened.getmembers()[-1].offset_data + 512 * -(-opened.getmembers()[-1].size // 512)
        length = data.draw(st.integers(0, end + 511))
        path.write_bytes(whole[:length])
        *entries, last = Tar(str(path)).entries()
        assert "pictures that follow are missing" in last.fault
        assert [entry.name for entry in entries] == [f"{path}::{name}" for name in PICTURES[: len(entries)]]
        for entry in entries:
            if entry.offset + entry.size <= length:
                assert len(read_member(entry)) == entry.size
            else:
                with pytest.raises(InvalidArgument, match="the file is cut short"):
                    read_member(entry)


@given(st.integers(0, 511), st.integers(0, 255), st.sampled_from([0, 1024]))
def test_a_damaged_header_stops_no_other_file(at: int, value: int, header: int) -> None:
    import tempfile

    with tempfile.TemporaryDirectory() as folder:
        path = write_tar(Path(folder) / "x.tar", MEMBERS[:3])
        data = bytearray(path.read_bytes())
        changed = data[header + at] != value
        data[header + at] = value
        path.write_bytes(bytes(data))
        entries = list(Tar(str(path)).entries())
        if not 148 <= at < 156:  # the checksum itself may be written in several ways
            assert any(entry.fault for entry in entries) == changed


@pytest.mark.parametrize("data", [b"", b"no tar file" * 100, b"\x1f\x8b" + b"x" * 1000])
def test_what_is_no_tar_file(tmp_path: Path, data: bytes) -> None:
    (tmp_path / "x.tar").write_bytes(data)
    (entry,) = Tar(str(tmp_path / "x.tar")).entries()
    assert "cannot be read as a tar file" in entry.fault


def test_an_absent_tar_file() -> None:
    (entry,) = Tar("/no/x.tar").entries()
    assert "No such file" in entry.fault


def test_members_that_are_too_large_are_not_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tars, "MOST_BYTES", 10)
    path = write_tar(tmp_path / "x.tar", [("a.png", bytes(11)), ("b.png", bytes(10))])
    large, small = Tar(str(path)).entries()
    assert "has 11 bytes, at most 10 are read" in large.fault
    assert not small.fault


def test_only_regular_members_are_read_and_links_are_told(tmp_path: Path) -> None:
    kinds = {"a": tarfile.REGTYPE, "hard": tarfile.LNKTYPE, "soft": tarfile.SYMTYPE, "folder": tarfile.DIRTYPE}
    with tarfile.open(tmp_path / "x.tar", "w") as tar:
        for name, kind in kinds.items():
            info = tarfile.TarInfo(f"{name}.png")
            info.type, info.linkname = kind, "a.png"
            tar.addfile(info, io.BytesIO())
    found = {entry.name.rpartition("::")[2]: entry.fault for entry in Tar(str(tmp_path / "x.tar")).entries()}
    link = "is a link to a.png, which is not followed; write the tar file with --dereference and --hard-dereference"
    assert found == {"a.png": "", "hard.png": link, "soft.png": link}


def test_parquet_with_two_columns_of_one_name(tmp_path: Path) -> None:
    pq.write_table(
        pa.Table.from_arrays([pa.array(["a"]), pa.array(["b"])], names=["path", "path"]), tmp_path / "x.parquet"
    )
    with pytest.raises(InvalidArgument, match="has 2 columns 'path', wanted one"):
        manifest(tmp_path / "x.parquet")


# ---- Arguments -------------------------------------------------------------------------------------


def test_what_arguments_mean(tmp_path: Path, tar: Path) -> None:
    (tmp_path / "photos").mkdir()
    for name in ("2.png", "1.jpg", "no.txt"):
        (tmp_path / "photos" / name).touch()
    (tmp_path / "list.csv").write_text("path\n/a\n")
    arguments = [str(tmp_path / "photos"), str(tmp_path / "list.csv"), f"{tmp_path}/*.tar", "/absent.jpg"]
    inputs = Inputs(arguments)
    inputs.check()
    assert list(inputs.found()) == [
        *(Entry(str(tmp_path / "photos" / name), str(tmp_path / "photos" / name)) for name in ("1.jpg", "2.png")),
        Entry("/a", "/a"),
        Tar(str(tar)),
        Entry("/absent.jpg", "/absent.jpg"),
    ]


@pytest.mark.parametrize(
    ("argument", "message"),
    [
        ("https://example.org/x.jpg", "is a URL"),
        ("EMPTY", "no pictures are in this folder"),
        ("EMPTY/*.jpg", "no file has such a name"),
        ("EMPTY/no.tar", "no.tar: cannot be read: No such file or directory; wanted a tar file"),
        ("x.tar.gz", "is compressed"),
        ("film.mp4", "is a video, wanted pictures; d2deploy predict takes videos"),
    ],
)
def test_arguments_that_mean_nothing(tmp_path: Path, argument: str, message: str) -> None:
    with pytest.raises(InvalidArgument, match=message):
        Inputs([argument.replace("EMPTY", str(tmp_path))]).check()
