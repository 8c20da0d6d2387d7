"""Models that are given their proposals, files of proposals; and models that tell classes of pixels alone."""

from __future__ import annotations

import json
import pickle
import re
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from conftest import Command
from exported import Array, Exported, image, tensor
from PIL import Image
from small_models import proposals_of
from tiny_coco import BOX, HEIGHT, WIDTH, annotation, write_dataset

from d2deploy.errors import InvalidArgument, InvalidModel
from d2deploy.evaluation.proposals import ProposalFile, with_proposals

if TYPE_CHECKING:
    from d2deploy import runtime
else:
    pytest.importorskip("d2deploy._ext", reason="not built: cmake --preset dev && cmake --build --preset dev")
    from d2deploy import runtime

BOXES = np.array([[10, 20, 30, 40], [0, 0, 5, 5], [50, 10, 90, 70], [70, 60, 300, 200]], np.float32)
LOGITS = np.array([0.5, 3.0, -1.0, 2.0], np.float32)


def write(folder: Path, **changes: Any) -> Path:
    content = {"ids": [7, "street"], "boxes": [BOXES, BOXES[:1]], "objectness_logits": [LOGITS, LOGITS[:1]]}
    file = folder / "proposals.pkl"
    file.write_bytes(pickle.dumps({k: v for k, v in {**content, **changes}.items() if v is not None}))
    return file


def test_the_best_come_first_and_ids_may_be_text(tmp_path: Path) -> None:
    proposals = ProposalFile(write(tmp_path))
    np.testing.assert_array_equal(proposals.boxes(7), BOXES[[1, 3, 0, 2]])
    np.testing.assert_array_equal(proposals.boxes("7"), BOXES[[1, 3, 0, 2]])
    np.testing.assert_array_equal(proposals.boxes("street"), BOXES[:1])


def test_keys_of_older_files_and_boxes_by_width_and_height(tmp_path: Path) -> None:
    names = {"ids": None, "objectness_logits": None, "indexes": [1], "scores": [LOGITS], "boxes": [BOXES]}
    file = write(tmp_path, **names, bbox_mode=1)
    np.testing.assert_array_equal(ProposalFile(file).boxes(1)[0], [0, 0, 5, 5])
    np.testing.assert_array_equal(ProposalFile(file).boxes(1)[1], [70, 60, 370, 260])


def test_boxes_are_resized_cut_and_counted(tmp_path: Path) -> None:
    """Twice as wide as the picture, half as high; the second best has nothing left in the picture."""
    inputs = {"image": np.zeros((3, 50, 140), np.uint8), "height": 100, "width": 70, "image_id": 7}
    found = ProposalFile(write(tmp_path), most=2).of(inputs)
    assert found.image_size == (50, 140)
    boxes = np.asarray(getattr(found.proposal_boxes, "tensor", found.proposal_boxes))
    np.testing.assert_array_equal(boxes, [[0, 0, 10, 2.5], [20, 10, 60, 20]])
    assert len(ProposalFile(write(tmp_path)).of(inputs)) == 3


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"boxes": None}, "has no list of boxes; it has ids, objectness_logits"),
        ({"ids": [1]}, "has 1 ids, 2 boxes, 2 scores"),
        ({"bbox_mode": 4}, r"bbox_mode is 4, must be 0 \(xyxy\) or 1"),
    ],
)
def test_files_of_another_form(tmp_path: Path, changes: dict[str, Any], message: str) -> None:
    with pytest.raises(InvalidArgument, match=message):
        ProposalFile(write(tmp_path, **changes))


def test_what_is_wrong_with_a_file(tmp_path: Path) -> None:
    with pytest.raises(InvalidArgument, match="there is no file of proposals"):
        ProposalFile(tmp_path / "none.pkl")
    with pytest.raises(InvalidArgument, match="0 proposals of each image would be given, wanted at least 1"):
        ProposalFile(write(tmp_path), most=0)
    with pytest.raises(InvalidArgument, match="has no proposals for image 8"):
        ProposalFile(write(tmp_path)).boxes(8)
    with pytest.raises(InvalidArgument, match=r"image 7: boxes must be \(R, 4\) and scores .* \(4, 3\) and \(4,\)"):
        ProposalFile(write(tmp_path, boxes=[BOXES[:, :3], BOXES])).boxes(7)
    (tmp_path / "text").write_text("boxes")
    with pytest.raises(InvalidModel, match="is not a pickle"):
        ProposalFile(tmp_path / "text")


def test_a_predictor_gets_the_proposals_of_each_image(tmp_path: Path) -> None:
    inputs = {"image": np.zeros((3, 100, 70), np.uint8), "height": 100, "width": 70, "image_id": 7}
    seen = with_proposals(lambda given: given, ProposalFile(write(tmp_path)))(inputs)
    assert len(seen["proposals"]) == 3
    assert "proposals" not in with_proposals(lambda given: given, None)(inputs)


# ---- Fast R-CNN ------------------------------------------------------------------------------------


def boxes_of(found: dict[str, Any]) -> Array:
    return np.asarray(getattr(found["instances"].pred_boxes, "tensor", found["instances"].pred_boxes))


def test_proposals_are_resized_with_the_picture(exported: Callable[[str], Exported]) -> None:
    one = exported("fast_fpn")
    pixels = image(96, 128)
    given = proposals_of(one.model, tensor(pixels))
    wanted = one.model([{"image": tensor(pixels), **given}])[0]
    predictor = runtime.Predictor(one.folder, threads=1, min_size=0)
    assert predictor.model.detector.takes_proposals
    boxes = given["proposals"].proposal_boxes.tensor.numpy()
    found = predictor(np.ascontiguousarray(pixels.transpose(1, 2, 0)).astype(np.uint8), proposals=boxes)
    np.testing.assert_allclose(boxes_of(found), boxes_of(wanted), atol=5e-2)
    twice = runtime.Predictor(one.folder, threads=1, min_size=192, max_size=256)
    larger = twice(np.ascontiguousarray(pixels.transpose(1, 2, 0)).astype(np.uint8), proposals=boxes)
    assert len(larger["instances"]) > 0
    assert boxes_of(larger).max() <= 128


def test_a_picture_without_proposals(exported: Callable[[str], Exported]) -> None:
    one = exported("fast_fpn")
    model = runtime.Caffe2Model.load_protobuf(one.folder, threads=1)
    with pytest.raises(InvalidArgument, match=r'inputs\[0\]: needs "proposals", Instances with `proposal_boxes`'):
        model([{"image": image(96, 128)}])
    with pytest.raises(InvalidArgument, match='number 0 needs "proposals"'):
        one.model([{"image": tensor(image(96, 128))}])
    detector = model.detector
    with pytest.raises(InvalidArgument, match="finds no proposals itself: give them with each image"):
        detector.predict(np.zeros((96, 128, 3), np.uint8))
    with pytest.raises(InvalidArgument, match=r"proposals must be \(R, 4\) float32, got float32 \(2, 5\)"):
        detector.predict(np.zeros((96, 128, 3), np.uint8), proposals=np.zeros((2, 5), np.float32))
    none = detector.predict(np.zeros((96, 128, 3), np.uint8), proposals=np.zeros((0, 4), np.float32))
    assert len(none["scores"]) == 0


def test_commands(exported: Callable[[str], Exported], command: Command, tmp_path: Path) -> None:
    folder = exported("fast_fpn").folder
    annotations, images = write_dataset(tmp_path, [annotation(1, 3, BOX)])
    data = json.loads(annotations.read_text())
    data["categories"].append({"id": 9, "name": "square"})  # as many as the model has
    annotations.write_text(json.dumps(data))
    file = write(tmp_path, ids=[1, 2, 3], boxes=[BOXES] * 3, objectness_logits=[LOGITS] * 3)
    given = ("eval", folder, "--dataset-json", annotations, "--image-root", images, "--min-size", 0, "--threads", 1)
    code, out, error = command(*given, "--proposals", file, "--proposal-topk", 3)
    assert code == 0, error
    assert "bbox" in out
    assert command(*given)[2] == f"error: {folder}: the model finds no proposals itself: give --proposals\n"
    code, _, error = command("predict", folder, images, "--threads", 1)
    assert (code, "the model finds no proposals itself, and this command has none to give" in error) == (2, True)
    assert command("verify", folder, "--threads", 1)[0] == 0
    assert command("benchmark", folder, "--runs", 1, "--min-size", 64, "--max-size", 96, "--threads", 1)[0] == 0
    code, out, _ = command("info", folder, "--threads", 1)
    assert (code, "inputs        data, im_info, proposals\n" in out) == (0, True)


def test_int8_after_calibrating_on_sample_boxes(
    exported: Callable[[str], Exported], command: Command, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("D2DEPLOY_EMULATE", "int8")  # CPUs without VNNI would run float32
    folder, file = exported("fast_fpn").folder, tmp_path / "calibration.txt"
    _, images = write_dataset(tmp_path, [])
    sizes = ("--min-size", 64, "--max-size", 96, "--threads", 1)
    code, out, error = command("calibrate", folder, "--images", images, "--out", file, *sizes)
    assert (code, "layers run in int8" in out) == (0, True), error
    pixels = np.ascontiguousarray(image(96, 128).transpose(1, 2, 0)).astype(np.uint8)
    exact, narrow = (
        runtime.Predictor(folder, threads=1, min_size=0, precision=precision, calibration=file)(pixels, proposals=BOXES)
        for precision in ("float32", "int8")
    )
    assert len(narrow["instances"]) == len(exact["instances"]) > 0
    scores, changed = np.asarray(exact["instances"].scores), np.asarray(narrow["instances"].scores)
    assert np.isfinite(changed).all()
    assert 0 < np.abs(scores - changed).max() < 0.2


def test_a_semantic_model_on_the_command_line(
    exported: Callable[[str], Exported], command: Command, tmp_path: Path
) -> None:
    folder = exported("semantic_fpn").folder
    _, images = write_dataset(tmp_path, [])
    given = ("predict", folder, images / "1.png", "--min-size", 0, "--threads", 1)
    code, out, error = command(*given, "--output", tmp_path / "drawn")
    assert code == 0, error
    shares = [int(share) for share in re.findall(r"(\d+)% class \d", out)]
    assert 95 <= sum(shares) <= 102
    assert shares == sorted(shares, reverse=True)
    with Image.open(tmp_path / "drawn" / "1.png") as drawn:
        assert drawn.size == (WIDTH, HEIGHT)
        assert np.asarray(drawn.convert("RGB")).std(axis=(0, 1)).any()  # the picture itself is of one colour
    assert "classes of pixels in the picture" in command("verify", folder, "--threads", 1)[1]
    code, _, error = command(*given, "--json", tmp_path / "x.json")
    assert (code, "classes of pixels, which COCO results cannot hold" in error) == (2, True)
