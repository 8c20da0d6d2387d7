"""Data sets damaged in hundreds of ways: only errors of d2deploy come out, no AP is wrong unsaid, work is bounded."""

from __future__ import annotations

import json
import math
import re
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from mutations import damaged
from pycocotools import cocoeval
from pycocotools import mask as rle_code
from tiny_coco import HEIGHT, WIDTH, annotation, mask_of, run_lengths, write_dataset
from tiny_panoptic import as_model, write_panoptic

from d2deploy.errors import InvalidArgument
from d2deploy.evaluation import CocoDataset, PanopticDataset, PanopticQuality, average_precision

# pycocotools' arrays, on NumPy 2
pytestmark = pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")

BOXES = [(5, 5, 20, 10), (30, 5, 50, 40), (40, 30, 12, 12)]
PIXELS = HEIGHT * WIDTH
# pycocotools takes memory for every point of an outline: this many pixels are 2 MB here.
LONGEST = 25_000


def lengths(text: str | bytes) -> list[int]:
    """The run lengths of COCO's compressed text, character by character."""
    result: list[int] = []
    value = shift = 0
    for code in text.encode() if isinstance(text, str) else text:
        bits = code - 48
        value |= (bits & 31) << shift
        shift += 5
        if bits & 32:
            continue
        if bits & 16:
            value -= 1 << shift
        result.append(value + (result[-2] if len(result) > 2 else 0))
        value = shift = 0
    assert shift == 0, text
    return result


@pytest.fixture
def guarded(monkeypatch: pytest.MonkeyPatch) -> Counter[str]:
    """Counts calls of pycocotools, and refuses arguments on which it would hang, crash or take all memory."""
    calls: Counter[str] = Counter()
    draw, overlap = rle_code.frPyObjects, rle_code.iou

    def drawing(what: Any, height: int, width: int) -> Any:
        calls["draw"] += 1
        assert 0 < height <= HEIGHT
        assert 0 < width <= WIDTH
        if isinstance(what, dict):
            assert sum(what["counts"]) == height * width
            assert min(what["counts"]) >= 0
        else:
            for polygon in what:
                corners = np.array(polygon, np.float64).reshape(-1, 2)
                assert len(corners) > 2
                assert np.isfinite(corners).all()
                assert np.abs(corners).max() < 1e5
                assert np.abs(np.diff(corners, axis=0)).max(axis=1).sum() <= LONGEST
        return draw(what, height, width)

    def overlapping(found: list[Any], truth: list[Any], crowd: list[int]) -> Any:
        calls["iou"] += 1
        for one in (*found, *truth):
            if isinstance(one, dict):
                runs = lengths(one["counts"])
                assert one["size"] == [HEIGHT, WIDTH]
                assert min(runs) >= 0
                assert 0 not in runs[1:]
                assert sum(runs) == PIXELS
            else:
                assert np.isfinite(one).all()
        assert set(crowd) <= {0, 1}
        return overlap(found, truth, crowd)

    monkeypatch.setattr(rle_code, "frPyObjects", drawing)
    monkeypatch.setattr(cocoeval.maskUtils, "iou", overlapping)
    return calls


def objects() -> list[dict[str, Any]]:
    """One annotation of each form that COCO's files have."""
    x, y, w, h = BOXES[0]
    text: bytes = rle_code.encode(np.asfortranarray(mask_of(BOXES[1]).astype(np.uint8)))["counts"]
    forms: list[Any] = [
        [[x, y, x + w, y, x + w, y + h, x, y + h], [26.5, 8.25, 29, 8, 29, 12]],
        {"size": [HEIGHT, WIDTH], "counts": text.decode()},
        {"size": [HEIGHT, WIDTH], "counts": run_lengths(mask_of(BOXES[2]))},
    ]
    points = {"keypoints": [12, 8, 2, 20, 9, 1, 0, 0, 0], "num_keypoints": 2}
    return [
        annotation(image, category, box, segmentation=form, iscrowd=crowd, **points)
        for image, category, box, form, crowd in zip((1, 2, 3), (3, 7, 3), BOXES, forms, (0, 0, 1), strict=True)
    ]


def results() -> list[dict[str, Any]]:
    return [
        {
            "image_id": image,
            "class": kind,
            "bbox": list(box),
            "score": 0.9,
            "segmentation": {"size": [HEIGHT, WIDTH], "counts": run_lengths(mask_of(box))},
            "keypoints": [12, 8, 0.9, 20, 9, 0.9, 1, 1, 0.1],
        }
        for image, kind, box in zip((1, 2, 3), (0, 1, 0), BOXES, strict=True)
    ]


def check_message(error: InvalidArgument) -> None:
    """One line, not too long, that can be printed."""
    assert len(str(error)) < 4000
    assert re.fullmatch(r"[^\x00-\x1f]+", str(error).encode().decode())


def test_the_data_set_is_right(tmp_path: Path, guarded: Counter[str], caplog: pytest.LogCaptureFixture) -> None:
    found = average_precision(CocoDataset(*write_dataset(tmp_path, objects())), results(), keypoint_sigmas=[0.05] * 3)
    assert set(found) == {"bbox", "segm", "keypoints"}
    assert min(found[task]["AP"] for task in found) > 50
    assert caplog.messages == []
    assert guarded["iou"] > 0
    assert guarded["draw"] > 0


@pytest.mark.parametrize("block", range(8))
def test_damaged_data_sets(tmp_path: Path, guarded: Counter[str], caplog: pytest.LogCaptureFixture, block: int) -> None:
    file, images = write_dataset(tmp_path, objects())
    data = json.loads(file.read_text())
    outcomes: Counter[str] = Counter()
    for seed in range(100 * block, 100 * (block + 1)):
        file.write_text(damaged(data, seed))
        caplog.clear()
        guarded.clear()
        try:
            dataset = CocoDataset(file, images)
            found = average_precision(dataset, results(), keypoint_sigmas=[0.05] * 3)
        except InvalidArgument as error:
            outcomes["error"] += 1
            check_message(error)
            continue
        finally:
            assert sum(guarded.values()) < 200, f"seed {seed}"
        outcomes["AP"] += 1
        assert "bbox" in found, f"seed {seed}"
        for task, row in found.items():
            assert all(math.isnan(value) or -1e-9 <= value <= 100 + 1e-9 for value in row.values()), f"seed {seed}"
            assert not math.isnan(row["AP"]) or f"{task} AP is not a number" in caplog.text, f"seed {seed}"
        for task in {"segm", "keypoints"} - set(found):
            assert f"{task} AP is left out" in caplog.text, f"seed {seed}"
    assert min(outcomes["error"], outcomes["AP"]) > 5, outcomes


@pytest.mark.parametrize("block", range(3))
def test_damaged_panoptic_data_sets(tmp_path: Path, caplog: pytest.LogCaptureFixture, block: int) -> None:
    ids = np.zeros((6, 8), np.int64)
    ids[:, :4], ids[3:, 5:] = 70_000, 300
    segments = {70_000: {"category_id": 3}, 300: {"category_id": 20, "iscrowd": 1}}
    file, images = write_panoptic(tmp_path, [(ids, segments), (ids, segments)])
    data = json.loads(file.read_text())
    png = tmp_path / "panoptic" / "1.png"
    whole = png.read_bytes()
    answer = as_model(np.where(ids == 70_000, 1, 0), {1: {"category_id": 3}})
    outcomes: Counter[str] = Counter()
    for seed in range(100 * block, 100 * (block + 1)):
        generator = np.random.default_rng(seed)
        broken = bytearray(whole)
        if seed % 4 == 0:
            broken[int(generator.integers(len(broken)))] = int(generator.integers(256))
            file.write_text(json.dumps(data))
        else:
            file.write_text(damaged(data, seed))
        png.write_bytes(broken[: int(generator.integers(len(broken)))] if seed % 16 == 0 else broken)
        caplog.clear()
        try:
            dataset = PanopticDataset(file, images)
            counting = PanopticQuality(dataset)
            for image in dataset:
                counting.add(image, answer)
            found = counting.metrics()
        except InvalidArgument as error:
            outcomes["error"] += 1
            check_message(error)
            continue
        outcomes["PQ"] += 1
        assert all(math.isnan(value) or 0 <= value <= 100 for value in found.values()), f"seed {seed}"
        assert not math.isnan(found["PQ"]) or "PQ is not a number" in caplog.text, f"seed {seed}"
    assert min(outcomes["error"], outcomes["PQ"]) > 5, outcomes
