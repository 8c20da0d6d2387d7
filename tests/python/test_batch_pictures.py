"""Pictures of a batch that go wrong, each by itself, and the devices that they are shared out to."""

from __future__ import annotations

import json
import os
import struct
import threading
import time
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from batch_jobs import Brightness, picture, rows_of, run_job, write_grays, write_tar

pytest.importorskip("pyarrow", reason="not installed: pip install 'd2deploy[batch]'")

from d2deploy.batch.entries import Entry
from d2deploy.batch.workers import Lane, Workers
from d2deploy.errors import DeviceError, InvalidArgument, InvalidModel

Array = np.ndarray[Any, Any]


@pytest.fixture
def pictures(tmp_path: Path) -> Path:
    return write_grays(tmp_path / "pictures")


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
    paths = ["bomb.png", ".", "pipe.png", "a\0b", "\ud800", "x" * 5000, "s3://bucket/x.jpg"]
    file.write_text("".join(json.dumps({"path": path}) + "\n" for path in paths))
    run_job(tmp_path / "out", [file, tmp_path / "x.tar"], block_size=2)
    *wrong, right = rows_of(tmp_path / "out")
    assert right["error"] is None
    assert {row["error"]["kind"] for row in wrong} == {"InvalidArgument"}
    told = [row["error"]["message"] for row in wrong]
    no_file = "is a folder, a pipe or a device, wanted a file"
    wanted = [
        "exceeds limit",
        no_file,
        no_file,
        "null byte",
        "surrogates not allowed",
        "File name too long",
        "is a URL",
    ]
    wanted.append("exceeds limit")  # of the tar file
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
