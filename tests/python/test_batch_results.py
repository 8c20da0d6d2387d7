"""What a batch tells: its rows, COCO results of a finished job, progress and costs."""

from __future__ import annotations

import json
import re
import threading
import time
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from batch_jobs import Brightness, rows_of, run_job, write_grays

pytest.importorskip("pyarrow", reason="not installed: pip install 'd2deploy[batch]'")

from d2deploy.batch import progress as progress_module
from d2deploy.batch.coco import write_coco
from d2deploy.batch.costs import per_unit_hour
from d2deploy.batch.entries import Entry, Shard
from d2deploy.batch.manifests import Columns
from d2deploy.batch.progress import Progress, Total, duration
from d2deploy.batch.rows import SCHEMA, found_row, row_of_error, to_table
from d2deploy.errors import InvalidArgument, Unsupported


@pytest.fixture
def pictures(tmp_path: Path) -> Path:
    return write_grays(tmp_path / "pictures")


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
        def predict(self, image: npt.NDArray[np.uint8], _: str = "BGR") -> dict[str, Any]:
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
