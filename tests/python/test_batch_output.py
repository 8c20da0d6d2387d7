"""The output of a batch: every picture has one row, however the job was cut, killed and resumed."""

from __future__ import annotations

import fcntl
import json
import os
import re
import struct
import threading
import time
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from batch_jobs import Brightness, Killed, picture, rows_of, run_job, write_tar
from hypothesis import given, settings
from hypothesis import strategies as st

pytest.importorskip("pyarrow", reason="not installed: pip install 'd2deploy[batch]'")

from d2deploy.batch import progress as progress_module
from d2deploy.batch.coco import write_coco
from d2deploy.batch.costs import per_unit_hour
from d2deploy.batch.entries import Entry, Shard
from d2deploy.batch.manifests import Columns
from d2deploy.batch.output import Output
from d2deploy.batch.progress import Progress, Total, duration
from d2deploy.batch.rows import SCHEMA, found_row, row_of_error, to_table
from d2deploy.batch.workers import Lane, Workers
from d2deploy.errors import DeviceError, InvalidArgument, InvalidModel, Unsupported

Array = np.ndarray[Any, Any]


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
    folder = tmp_path / "pictures"
    folder.mkdir()
    for number in range(6):
        (folder / f"{number}.png").write_bytes(picture(40 * number))
    return folder


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


# ---- What goes wrong with a picture ------------------------------------------------------------------


def raising(error: BaseException, when: Callable[[Array], bool]) -> Brightness:
    def before(image: Array) -> None:
        if when(image):
            raise error

    return Brightness(before=before)


@pytest.mark.parametrize(
    ("error", "kind", "message"),
    [
        (InvalidModel("outputs do not agree"), "InvalidModel", "outputs do not agree"),
        (DeviceError("the memory does not suffice"), "DeviceError", "the memory does not suffice"),
        (MemoryError(), "DeviceError", "the memory does not suffice"),
        (ZeroDivisionError("by zero"), "InternalError", "ZeroDivisionError: by zero"),
        (InvalidArgument(os.fsdecode(b"\xff") + "x" * 5000), "InvalidArgument", r"\xff" + "x" * 1996),
    ],
)
def test_what_fails_on_one_picture_is_its_row(
    tmp_path: Path, pictures: Path, error: Exception, kind: str, message: str
) -> None:
    run_job(tmp_path / "out", [pictures], detector=raising(error, lambda image: image.mean() == 80))
    rows = rows_of(tmp_path / "out")
    assert [row["error"] for row in rows] == [None, None, {"kind": kind, "message": message}, None, None, None]
    assert (rows[2]["height"], rows[2]["width"], rows[2]["boxes"]) == (4, 6, None)


def test_a_device_that_fails_for_good_stops_the_job(tmp_path: Path, pictures: Path) -> None:
    """No picture gets an error that is the machine's; the same command goes on with it."""
    failed = []

    def fails(image: Array) -> bool:
        failed.extend([1] if image.mean() == 120 else [])
        return bool(failed)

    with pytest.raises(DeviceError, match="cpu: lost; a small picture fails as well, so the job stops here"):
        run_job(tmp_path / "out", [pictures], detector=raising(DeviceError("lost"), fails), block_size=2)
    assert all(row["error"] is None for row in rows_of(tmp_path / "out"))
    run_job(tmp_path / "out", [pictures], block_size=2)
    assert [row["error"] for row in rows_of(tmp_path / "out")] == [None] * 6


def test_hostile_pictures_and_paths_are_rows(tmp_path: Path) -> None:
    """A file of some bytes that claims 3.6 billion pixels, a folder, a pipe that nobody writes into, and paths that no
    file can have."""
    header = struct.pack(">IIBBBBB", 60000, 60000, 8, 0, 0, 0, 0)
    chunks = [(b"IHDR", header), (b"IDAT", zlib.compress(bytes(100))), (b"IEND", b"")]
    bomb = b"\x89PNG\r\n\x1a\n" + b"".join(
        struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data)) for name, data in chunks
    )
    (tmp_path / "bomb.png").write_bytes(bomb)
    write_tar(tmp_path / "x.tar", [("bomb.png", bomb), ("ok.png", picture(9))])
    file = tmp_path / "x.jsonl"
    os.mkfifo(tmp_path / "pipe.png")
    paths = ["bomb.png", ".", "pipe.png", "a\0b", "\ud800", "x" * 5000]
    file.write_text("".join(json.dumps({"path": path}) + "\n" for path in paths))
    run_job(tmp_path / "out", [file, tmp_path / "x.tar"], block_size=2)
    *wrong, right = rows_of(tmp_path / "out")
    assert right["error"] is None
    assert {row["error"]["kind"] for row in wrong} == {"InvalidArgument"}
    told = [row["error"]["message"] for row in wrong]
    no_file = "is a folder, a pipe or a device, wanted a file"
    wanted = ["exceeds limit", no_file, no_file, "null byte", "surrogates not allowed", "File name too long", "exceeds"]
    for message, part in zip(told, wanted, strict=True):
        assert part in message
    assert wrong[4]["path"] == f"{tmp_path}/\\ud800"


def test_names_that_are_not_utf8(tmp_path: Path) -> None:
    name = os.fsencode(tmp_path) + b"/\xff.png"
    with open(name, "wb") as file:  # noqa: PTH123
        file.write(picture(9))
    run_job(tmp_path / "out", [os.fsdecode(name)])
    (row,) = rows_of(tmp_path / "out")
    assert row["path"] == str(tmp_path / r"\xff.png")
    assert row["path_bytes"] == name
    assert row["error"] is None


def test_no_more_pictures_are_taken_than_are_worked_on(tmp_path: Path, pictures: Path) -> None:
    """Memory has a bound: a stream that is slow keeps the listing waiting."""
    file = tmp_path / "x.csv"
    file.write_text("path\n" + f"{pictures}/1.png\n" * 200)
    waits = threading.Event()
    seen: list[int] = []

    def before(_: Array) -> None:
        seen.append(1)
        assert waits.wait(30)

    slow = Brightness(2, before)
    thread = threading.Thread(target=run_job, args=(tmp_path / "out", [file]), kwargs={"detector": slow})
    thread.start()
    while len(seen) < 2:
        time.sleep(0.01)
    listed = [t for t in threading.enumerate() if t.name.startswith("picture")]
    assert len(listed) == len(seen) == 2
    waits.set()
    thread.join()
    assert len(rows_of(tmp_path / "out")) == 200


class Device(Brightness):
    """Counts how many predict at a time; waits until all devices of a test have begun."""

    def __init__(self, streams: int, meet: threading.Barrier) -> None:
        super().__init__(streams)
        self.running, self.most, self.lock, self.meet = 0, 0, threading.Lock(), meet
        self.begun = False

    def predict(self, image: Array, _: str = "BGR") -> dict[str, Any]:
        with self.lock:
            self.running += 1
            self.most = max(self.most, self.running)
            first, self.begun = not self.begun, True
        if first:
            self.meet.wait(30)
        found = super().predict(image)
        with self.lock:
            self.running -= 1
        return found


def test_devices_work_at_the_same_time_each_with_its_streams(pictures: Path) -> None:
    """More threads than streams serve a device: they read and encode meanwhile."""
    meet = threading.Barrier(2)
    devices = [Device(1, meet), Device(2, meet)]
    lanes = [Lane(device, f"cuda:{number}", 4) for number, device in enumerate(devices)]
    entries = [Entry(str(path), str(path)) for path in sorted(pictures.iterdir())] * 20
    with Workers(lanes, 0.0) as workers:
        rows = list(workers.rows(entries))
    assert [row["path"] for row in rows] == [entry.name for entry in entries]
    assert not any(row.get("error") for row in rows)
    assert devices[0].most == 1
    assert devices[1].most in (1, 2)
    assert all(seconds > 0 for seconds in workers.seconds.values())


# ---- Rows ------------------------------------------------------------------------------------------


def test_the_columns() -> None:
    """What readers rely on: a change here is a change of FORMAT."""
    assert [(field.name, str(field.type)) for field in SCHEMA] == [
        ("id", "string"),
        ("path", "string"),
        ("path_bytes", "binary"),
        ("width", "int32"),
        ("height", "int32"),
        ("boxes", "list<item: list<item: float>>"),
        ("scores", "list<item: float>"),
        ("classes", "list<item: int32>"),
        ("class_names", "list<item: string>"),
        ("masks", "list<item: struct<size: list<item: int32>, counts: string>>"),
        ("keypoints", "list<item: list<item: list<item: float>>>"),
        ("class_map_png", "binary"),
        ("panoptic_png", "binary"),
        (
            "segments",
            "list<item: struct<id: int32, isthing: bool, category_id: int32, score: float, instance_id: int32, "
            "area: double>>",
        ),
        ("milliseconds", "float"),
        ("error", "struct<kind: string, message: string>"),
    ]


def test_a_row_holds_what_was_found() -> None:
    import io

    from PIL import Image

    rng = np.random.default_rng(0)
    ids = np.array([[0, 1], [300, 70000]], np.int32)
    found: dict[str, Any] = {
        "image_size": (2, 2),
        "boxes": np.array([[0, 0, 1, 2], [1, 1, 2, 2]], np.float32),
        "scores": np.array([0.9, 0.2], np.float32),
        "classes": np.array([1, 7]),
        "keypoints": rng.random((2, 3, 4), np.float32),
        "panoptic_map": ids,
        "segments": [
            {"id": 1, "isthing": True, "score": 0.5, "category_id": 1, "instance_id": 0},
            {"id": 300, "isthing": False, "category_id": 2, "area": 1.0},
        ],
    }
    (row,) = to_table([found_row(Entry("a", "a", "7"), found, 0.5, ["x", "y"])]).to_pylist()
    assert (row["id"], row["path"], row["path_bytes"], row["error"]) == ("7", "a", None, None)
    assert (row["boxes"], row["classes"], row["class_names"]) == ([[0, 0, 1, 2]], [1], ["y"])
    np.testing.assert_array_equal(np.float32(row["keypoints"]), found["keypoints"][:1][:, :, [0, 1, 3]])
    colours = np.asarray(Image.open(io.BytesIO(row["panoptic_png"]))).astype(int)
    np.testing.assert_array_equal(colours @ [1, 256, 65536], ids)
    assert row["segments"][1] == {
        "id": 300,
        "isthing": False,
        "category_id": 2,
        "score": None,
        "instance_id": None,
        "area": 1.0,
    }
    for most, bits in ((255, np.uint8), (256, np.uint16)):
        classes = np.array([[0, most]], np.int32)
        pixels = {"image_size": (1, 2), "class_map": classes}
        (row,) = to_table([found_row(Entry("a", "a"), pixels, 0.5, [])]).to_pylist()
        again = np.asarray(Image.open(io.BytesIO(row["class_map_png"])))
        assert again.dtype == bits
        np.testing.assert_array_equal(again, classes)
        assert row["boxes"] is None


def test_a_row_of_an_error_keeps_the_size() -> None:
    (row,) = to_table([row_of_error(Entry("a", "a"), "DeviceError", "x", (2, 3))]).to_pylist()
    assert (row["height"], row["width"], row["error"]) == (2, 3, {"kind": "DeviceError", "message": "x"})


# ---- COCO ------------------------------------------------------------------------------------------


def coco(folder: Path) -> list[dict[str, Any]]:
    results: list[dict[str, Any]] = json.loads(write_coco(folder).read_text())
    return results


def test_coco_results_count_the_pictures(tmp_path: Path, pictures: Path) -> None:
    (pictures / "1.png").write_bytes(b"")
    for index in range(2):
        run_job(tmp_path / "out", [pictures], block_size=2, shard=Shard(index, 2))
    results = coco(tmp_path / "out")
    assert [result["image_id"] for result in results] == [1, 3, 4, 5, 6]
    assert results[1] == {
        "image_id": 3,
        "file_name": str(pictures / "2.png"),
        "bbox": [0, 0, 6, 4],
        "score": pytest.approx(80 / 255),
        "category_id": 0,
        "category_name": "dark",
    }


@pytest.mark.parametrize(
    ("ids", "wanted"), [((20, 3), [20, 3]), (("a", "3"), [1, 2]), (("", "3"), [1, 2]), (("03", "3"), [1, 2])]
)
def test_ids_that_are_whole_numbers_are_those_of_the_results(
    tmp_path: Path, pictures: Path, ids: tuple[Any, Any], wanted: list[int]
) -> None:
    file = tmp_path / "x.csv"
    file.write_text(f"path,id\n{pictures}/1.png,{ids[0]}\n{pictures}/2.png,{ids[1]}\n")
    run_job(tmp_path / "out", [file], block_size=1)
    assert [result["image_id"] for result in coco(tmp_path / "out")] == wanted


def test_two_pictures_of_one_id_are_told(tmp_path: Path, pictures: Path) -> None:
    file = tmp_path / "x.csv"
    file.write_text(f"path,key\n{pictures}/1.png,5\n{pictures}/2.png,6\n{pictures}/3.png,5\n")
    run_job(tmp_path / "out", [file], block_size=1, inputs={"columns": Columns(id="key")})
    with pytest.raises(InvalidArgument, match=r"1 pictures have the id of another.*5 is that of '.*1.png' and '.*3"):
        write_coco(tmp_path / "out")
    assert len(rows_of(tmp_path / "out")) == 3


def test_results_of_a_job_that_is_not_finished_are_refused(tmp_path: Path, pictures: Path) -> None:
    with pytest.raises(InvalidArgument, match="has no job"):
        write_coco(tmp_path / "out")
    run_job(tmp_path / "out", [pictures], shard=Shard(1, 3))
    with pytest.raises(InvalidArgument, match="the job is not finished: 1 of 3 shards have ended; go on"):
        write_coco(tmp_path / "out")


def test_classes_of_pixels_are_no_results(tmp_path: Path, pictures: Path) -> None:
    class Pixels(Brightness):
        def predict(self, image: Array, _: str = "BGR") -> dict[str, Any]:
            return {"image_size": image.shape[:2], "class_map": np.zeros(image.shape[:2], np.int32)}

    run_job(tmp_path / "out", [pictures], detector=Pixels())
    with pytest.raises(Unsupported, match="holds classes of pixels"):
        write_coco(tmp_path / "out")


# ---- Progress and costs ----------------------------------------------------------------------------


def test_a_total_is_known_when_all_is_listed() -> None:
    go_on = threading.Event()

    def counts() -> Any:
        yield 3
        assert go_on.wait(30)
        yield 4

    with Total(counts) as total:
        assert total.pictures is None
        go_on.set()
        deadline = time.monotonic() + 30
        while total.pictures is None and time.monotonic() < deadline:
            time.sleep(0.001)
        assert total.pictures == 7


def test_progress_is_told_in_lines_where_there_is_no_terminal(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(progress_module, "EVERY", 0.0)
    monkeypatch.setattr(progress_module, "TOLD_ERRORS", 1)
    with Total(lambda: [10]) as total:
        deadline = time.monotonic() + 30
        while total.pictures is None and time.monotonic() < deadline:
            time.sleep(0.001)
        with Progress(total) as progress:
            progress.add({"path": "a"})
            for path in ("b", "c"):
                progress.add(row_of_error(Entry(path, path), "InvalidArgument", "is none"))
    told = capsys.readouterr().err.splitlines()
    number, rate = r"[\d.]+", r"[\d.]+ pictures/s"
    assert re.fullmatch(rf"1 of 10 pictures, {rate}, {number} (s|min) left, 0 errors", told[0])
    assert re.fullmatch(rf"3 of 10 pictures, {rate}, {number} (s|min) left, 2 errors", told[3])
    assert [line for line in told if line.startswith("error")] == [
        "error: b: is none",
        "error: 1 more pictures have an error",
    ]
    assert (progress.pictures, progress.errors) == (3, 2)


@pytest.mark.parametrize(("seconds", "text"), [(12, "12 s"), (61, "1 min"), (3 * 3600 + 125, "3 h 2 min")])
def test_durations(seconds: float, text: str) -> None:
    assert duration(seconds) == text


def test_pictures_of_a_unit_hour() -> None:
    assert per_unit_hour(500, 1800, 2) == 500
    assert per_unit_hour(500, 0, 2) == 0
