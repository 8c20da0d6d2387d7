"""The program alone, on nets of which it is known what the real Caffe2 answered.

A build for another CPU is checked with it, whose Python module no Python here can load.
"""

from __future__ import annotations

import subprocess
from pathlib import Path

import numpy as np
import pytest
from conftest import find_program
from detectron2_files import Array, caffe2_outputs, photo_of, write_files

NAMES = ["mask_rcnn_v04", "faster_rcnn_rotated_v04"]


def dumped(name: str, folder: Path) -> dict[str, Array]:
    """The outputs of the program's net, by blob."""
    write_files(name, folder)
    command = [
        str(find_program("caffe2_mask_rcnn")),
        *(f"--predict_net={folder / 'model.pb'}", f"--init_net={folder / 'model_init.pb'}"),
        *(f"--input={photo_of(name)}", f"--dump_dir={folder / 'dump'}", "--threads=2"),
    ]
    result = subprocess.run(command, capture_output=True, text=True, check=False, cwd=folder, timeout=3600)
    assert result.returncode == 0, result.stderr
    return {file.stem: np.load(file) for file in (folder / "dump").glob("*.npy")}


def partners(want: dict[str, Array], found: dict[str, Array]) -> Array:
    """(N, 2) indices of detections that are the same."""
    pairs = []
    for i, box in enumerate(want["bbox_nms"]):
        gap = np.abs(found["bbox_nms"] - box).max(axis=1)
        near = (gap < 0.05) & (np.abs(found["score_nms"] - want["score_nms"][i]) < 0.002)
        near &= found["class_nms"] == want["class_nms"][i]
        pairs += [(i, int(np.argmin(np.where(near, gap, np.inf))))] if near.any() else []
    return np.array(pairs).reshape(-1, 2)


@pytest.mark.parametrize("name", NAMES)
def test_outputs_are_those_of_caffe2(name: str, tmp_path: Path) -> None:
    want, found = caffe2_outputs(name), dumped(name, tmp_path)
    pairs = partners(want, found)
    assert len(want["score_nms"]) > 10
    assert len(pairs) >= 0.99 * len(want["score_nms"])
    assert abs(len(found["score_nms"]) - len(want["score_nms"])) <= 1
    i, j = pairs.T
    if "mask_fcn_probs" in want:
        masks = found["mask_fcn_probs"]
        masks = masks[j, 0 if masks.shape[1] == 1 else found["class_nms"][j].astype(int)]
        assert np.abs(masks - want["mask_fcn_probs"][i]).max() < 0.002  # kept in float16
