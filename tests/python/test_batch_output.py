"""The output of a batch: every picture has one row, however the job was cut, killed and resumed."""

from __future__ import annotations

import fcntl
import os
import threading
import time
from pathlib import Path
from typing import Any

import pytest
from batch_jobs import Brightness, Killed, picture, rows_of, run_job, write_grays, write_tar
from hypothesis import given, settings
from hypothesis import strategies as st

pytest.importorskip("pyarrow", reason="not installed: pip install 'd2deploy[batch]'")

from d2deploy.batch.entries import Shard
from d2deploy.batch.output import Output
from d2deploy.errors import InvalidArgument


@pytest.fixture(scope="module")
def arguments(tmp_path_factory: pytest.TempPathFactory) -> list[Path | str]:
    """Pictures of every kind of input, some of them damaged."""
    root = tmp_path_factory.mktemp("inputs")
    for number in range(7):
        (root / f"{number}.png").write_bytes(picture(30 * number))
    (root / "3.png").write_bytes(b"no picture")
    (root / "list.csv").write_text("path,id\n1.png,10\nabsent.png,11\n2.png\n4.png,10\n")
    shards = root / "shards"
    shards.mkdir()
    for shard in range(2):
        write_tar(shards / f"{shard}.tar", [(f"{n}.png", picture(20 * n)) for n in range(5)])
    (shards / "1.tar").write_bytes((shards / "1.tar").read_bytes()[:2600])
    return [root, root / "list.csv", f"{shards}/*.tar", root / "0.png"]


@pytest.fixture(scope="module")
def whole(arguments: list[Path | str], tmp_path_factory: pytest.TempPathFactory) -> list[dict[str, Any]]:
    """The rows of the job that was not cut."""
    folder = tmp_path_factory.mktemp("whole")
    run_job(folder, arguments, block_size=1000)
    return rows_of(folder)


def test_every_picture_has_a_row(whole: list[dict[str, Any]], arguments: list[Path | str]) -> None:
    paths = [row["path"].rpartition("/")[2] for row in whole]
    folder = [f"{number}.png" for number in range(7)]
    tars = ["0.tar::" + name for name in folder[:5]] + ["1.tar::0.png", "1.tar::1.png", "1.tar::2.png", "1.tar"]
    assert paths == [*folder, "1.png", "absent.png", "list.csv:4", "4.png", "0.png", *tars]
    wrong = {path: row["error"] for path, row in zip(paths, whole) if row["error"]}
    assert wrong.keys() == {"3.png", "absent.png", "list.csv:4", "1.tar::2.png", "1.tar"}
    assert {error["kind"] for error in wrong.values()} == {"InvalidArgument"}
    assert "cannot be read as an image" in wrong["3.png"]["message"]
    assert "No such file" in wrong["absent.png"]["message"]
    assert "has 1 fields, wanted 2" in wrong["list.csv:4"]["message"]
    assert [row["id"] for row in whole[7:11]] == ["10", "11", None, "10"]
    four = whole[4]
    assert (four["width"], four["height"], four["boxes"]) == (6, 4, [[0, 0, 6, 4]])
    assert four["scores"] == [pytest.approx(120 / 255)]
    assert (four["classes"], four["class_names"], four["masks"]) == ([0], ["dark"], None)


MOMENTS = ("predict", "fsync", "rename")
Plan = list[tuple[int, str, int]]  # a shard, what ends the process there, and the how manieth time


@given(
    st.integers(1, 4),
    st.integers(1, 9),
    st.lists(st.tuples(st.integers(0, 3), st.sampled_from(MOMENTS), st.integers(0, 6)), max_size=5),
    st.randoms(use_true_random=False),
)
@settings(max_examples=25)
def test_any_cut_and_any_kills_give_the_same_rows(
    whole: list[dict[str, Any]],
    arguments: list[Path | str],
    tmp_path_factory: pytest.TempPathFactory,
    count: int,
    block_size: int,
    kills: Plan,
    random: Any,
) -> None:
    folder = tmp_path_factory.mktemp("cut")
    predicted: list[str] = []
    for index, where, times in kills:
        shard = Shard(index % count, count)
        try:
            predicted += run_killed(folder, arguments, block_size, shard, where, times)
        except Killed:
            continue
    shards = list(range(count))
    random.shuffle(shards)
    for index in shards:
        predicted += run_job(folder, arguments, block_size=block_size, shard=Shard(index, count))
    assert rows_of(folder) == whole
    for index in shards:
        assert run_job(folder, arguments, block_size=block_size, shard=Shard(index, count)) == []
    assert rows_of(folder) == whole


def run_killed(
    folder: Path, arguments: list[Path | str], block_size: int, shard: Shard, where: str, times: int
) -> list[str]:
    """Runs a shard that ends, as a kill would end it, at the n-th prediction, sync or rename."""
    left = [times]
    lock = threading.Lock()

    def count(*_: Any) -> None:
        with lock:
            left[0] -= 1
            if left[0] < 0:
                raise Killed

    with pytest.MonkeyPatch.context() as patch:
        detector = Brightness(before=count if where == "predict" else lambda _: None)
        if where == "fsync":
            patch.setattr(os, "fsync", count)
        if where == "rename":
            rename = Path.replace

            def counted(self: Path, target: Path) -> Path:
                count()
                return rename(self, target)

            patch.setattr(Path, "replace", counted)
        return run_job(folder, arguments, detector=detector, block_size=block_size, shard=shard)


def test_a_resumed_job_does_the_rest_alone(tmp_path: Path, arguments: list[Path | str]) -> None:
    with pytest.raises(Killed):
        run_killed(tmp_path, arguments, 2, Shard(), "predict", 6)
    done = rows_of(tmp_path)
    rest = run_job(tmp_path, arguments, block_size=2)
    assert len(done) >= 2
    assert len(done) + len(rest) == len(rows_of(tmp_path))


@pytest.fixture
def pictures(tmp_path: Path) -> Path:
    return write_grays(tmp_path / "pictures")


def test_other_options_are_refused(tmp_path: Path, pictures: Path) -> None:
    run_job(tmp_path / "out", [pictures], block_size=2)
    with pytest.raises(InvalidArgument, match=r"was begun otherwise: block size was 2, now 3\. Go on with the same"):
        run_job(tmp_path / "out", [pictures], block_size=3)
    with pytest.raises(InvalidArgument, match=r"inputs was \[\"/.*pictures\"\], now \[\"/.*pictures\", \"x.png\"\]"):
        run_job(tmp_path / "out", [pictures, "x.png"], block_size=2)


def test_inputs_that_changed_are_refused(tmp_path: Path, pictures: Path) -> None:
    run_job(tmp_path / "out", [pictures], block_size=2)
    (pictures / "00.png").write_bytes(picture(1))
    with pytest.raises(InvalidArgument, match=r"inputs have changed since the job began: part 000000-00000000 is of"):
        run_job(tmp_path / "out", [pictures], block_size=2)
    (pictures / "00.png").unlink()
    (pictures / "5.png").unlink()
    (pictures / "4.png").unlink()
    with pytest.raises(InvalidArgument, match=r"1 parts, 000000-00000002 the first, are of pictures that are no"):
        run_job(tmp_path / "out", [pictures], block_size=2)


@pytest.mark.parametrize(
    ("name", "data", "message"),
    [
        ("job.json", b"{", r"job.json: is damaged"),
        ("job.json", b'{"format": 7}', r"job.json: is not of a job in format 1"),
        ("parts/x.parquet", b"", r"has parts and no job.json"),
        ("parts", b"", r"cannot be written: .*File exists"),
    ],
)
def test_folders_that_are_no_job(tmp_path: Path, pictures: Path, name: str, data: bytes, message: str) -> None:
    file = tmp_path / "out" / name
    file.parent.mkdir(parents=True)
    file.write_bytes(data)
    with pytest.raises(InvalidArgument, match=message):
        run_job(tmp_path / "out", [pictures])


def test_a_damaged_part_is_told_and_made_again(tmp_path: Path, pictures: Path) -> None:
    run_job(tmp_path / "out", [pictures], block_size=2)
    before = rows_of(tmp_path / "out")
    part = min((tmp_path / "out" / "parts").iterdir())
    part.write_bytes(part.read_bytes()[:100])
    with pytest.raises(InvalidArgument, match=r"parquet: is damaged: .*delete it, and its block is made again"):
        run_job(tmp_path / "out", [pictures], block_size=2)
    part.unlink()
    assert len(run_job(tmp_path / "out", [pictures], block_size=2)) == 2
    assert rows_of(tmp_path / "out") == before


def test_a_second_process_on_a_shard_is_refused(tmp_path: Path, pictures: Path) -> None:
    other = Output(tmp_path / "out", {"block size": 3, "inputs": [str(pictures)]})
    with other.lock(Shard(0, 2)):
        with pytest.raises(InvalidArgument, match="another process works on shard 0/2 of this job"):
            run_job(tmp_path / "out", [pictures], shard=Shard(0, 2))
        run_job(tmp_path / "out", [pictures], shard=Shard(1, 2))
    run_job(tmp_path / "out", [pictures], shard=Shard(0, 2))
    assert len(rows_of(tmp_path / "out")) == 6


def test_without_locks_two_processes_end_well(tmp_path: Path, pictures: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """As on a file system that has none: both do the same blocks."""

    def no_locks(*_: Any) -> None:
        raise OSError(95, "Operation not supported")

    monkeypatch.setattr(fcntl, "flock", no_locks)
    monkeypatch.setattr(os, "link", no_locks)
    meet = threading.Barrier(2)
    ended: list[str] = []

    def work() -> None:
        once = iter([meet.wait])
        ended.append(str(run_job(tmp_path / "out", [pictures], detector=Brightness(1, lambda _: next(once, int)()))))

    threads = [threading.Thread(target=work) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(ended) == 2
    run_job(tmp_path / "one", [pictures])
    assert rows_of(tmp_path / "out") == rows_of(tmp_path / "one")


def test_what_killed_processes_left_is_removed_after_a_while(tmp_path: Path, pictures: Path) -> None:
    run_job(tmp_path / "out", [pictures])
    old, new = (tmp_path / "out" / "unfinished" / f"{name}.unfinished" for name in ("old", "new"))
    for file in (old, new):
        file.touch()
    os.utime(old, (time.time() - 7200,) * 2)
    run_job(tmp_path / "out", [pictures])
    assert new.exists()
    assert not old.exists()


def test_a_full_disk_ends_the_job_and_leaves_no_part(
    tmp_path: Path, pictures: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run_job(tmp_path / "out", [pictures / "0.png"], shard=Shard(1, 2))  # job.json is there

    def full(_: int) -> None:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(os, "fsync", full)
        with pytest.raises(InvalidArgument, match="cannot be written: No space left on device; make room"):
            run_job(tmp_path / "out", [pictures / "0.png"])
    assert not list((tmp_path / "out" / "parts").iterdir())
    assert not list((tmp_path / "out" / "unfinished").glob("*.unfinished"))
    run_job(tmp_path / "out", [pictures / "0.png"])
    assert len(rows_of(tmp_path / "out")) == 1


def test_parts_with_errors_are_done_again(tmp_path: Path, pictures: Path) -> None:
    (pictures / "3.png").rename(pictures / "away")
    inputs = [pictures / f"{number}.png" for number in range(6)]
    run_job(tmp_path / "out", inputs, block_size=2)
    assert [row["error"] is None for row in rows_of(tmp_path / "out")] == [True, True, True, False, True, True]
    (pictures / "away").rename(pictures / "3.png")
    assert len(run_job(tmp_path / "out", inputs, block_size=2)) == 0
    assert len(run_job(tmp_path / "out", inputs, block_size=2, redo_errors=True)) == 2
    assert all(row["error"] is None for row in rows_of(tmp_path / "out"))
