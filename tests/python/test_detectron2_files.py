"""Files as Detectron2 v0.1 and v0.4 wrote them: whole predictions, from the outputs that the real Caffe2 gave."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import plain_postprocessing as plain
import pytest
from detectron2_files import caffe2_outputs, photo_of, write_files
from PIL import Image

from d2deploy import runtime
from d2deploy.nets import proto

Array = npt.NDArray[Any]
Folder = Callable[[str], Path]
UPRIGHT = ["mask_rcnn_v01", "mask_rcnn_v04", "keypoint_rcnn_v04"]
OTHER_SIZE = (301, 500)  # both sides by another factor


def photo(name: str) -> Array:
    """(3, H, W) uint8, BGR, of the size that the net was given."""
    pixels = np.asarray(Image.open(photo_of(name)))[:, :, ::-1].transpose(2, 0, 1)
    if name.startswith(("retinanet", "panoptic")):
        pixels = pixels[:, 64:192, 128:320]  # the real Caffe2's answers are too large to be kept, so it may be small
    return np.ascontiguousarray(pixels)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Folder:
    """A net's two files."""

    def write(name: str) -> Path:
        to: Path = tmp_path_factory.mktemp(name)
        write_files(name, to)
        return to

    return cache(write)


@cache
def load(folder: Path) -> runtime.Caffe2Model:
    return runtime.Caffe2Model.load_protobuf(folder, threads=1, keypoint_score="logit")


def call(model: runtime.Caffe2Model, image: Array, wanted: plain.Size) -> dict[str, Any]:
    return model([{"image": image, "height": wanted[0], "width": wanted[1]}])[0]


def fields(instances: Any) -> dict[str, Array]:
    values = {name: np.asarray(getattr(value, "tensor", value)) for name, value in instances.get_fields().items()}
    assert all(len(value) == len(instances) for value in values.values())
    return values


def partners(want: dict[str, Array], found: dict[str, Array], boxes_within: float = 0.1) -> list[tuple[int, int]]:
    """Detections that are the same, all but one in a hundred, in the same order."""
    pairs = []
    for i, (box, score, label) in enumerate(zip(want["boxes"], want["scores"], want["classes"], strict=True)):
        gap = np.abs(found["pred_boxes"] - box).max(axis=1)
        near = (gap < boxes_within) & (np.abs(found["scores"] - score) < 0.002) & (found["pred_classes"] == label)
        pairs += [(i, int(np.argmin(np.where(near, gap, np.inf))))] if near.any() else []
    assert len(want["scores"]) > 10
    assert len(pairs) >= 0.99 * len(want["scores"])
    assert abs(len(found["scores"]) - len(want["scores"])) <= 1
    assert sorted({j for _, j in pairs}) == [j for _, j in pairs]
    return pairs


def caffe2(name: str, size: plain.Size, wanted: plain.Size) -> dict[str, Array]:
    """What the real Caffe2 gave, brought to the wanted size."""
    raw = caffe2_outputs(name)
    boxes, kept = plain.scaled(raw["bbox_nms"], size, wanted)
    out = {"boxes": boxes[kept], "scores": raw["score_nms"][kept], "classes": raw["class_nms"][kept]}
    if "mask_fcn_probs" in raw:
        masks = raw["mask_fcn_probs"][kept]
        out["masks"] = np.stack([plain.pasted(*one, wanted) for one in zip(masks, out["boxes"], strict=True)])
    if "keypoints_out" in raw:
        points = raw["keypoints_out"][kept, :3].transpose(0, 2, 1)
        out["keypoints"] = points * np.array([wanted[1] / size[1], wanted[0] / size[0], 1], np.float32)
    return out


@pytest.mark.parametrize("wanted", [None, OTHER_SIZE], ids=["same size", "other size"])
@pytest.mark.parametrize("name", UPRIGHT)
def test_upright_boxes_with_masks_or_keypoints(folder: Folder, name: str, wanted: plain.Size | None) -> None:
    image = photo(name)
    size: plain.Size = (image.shape[1], image.shape[2])
    want = caffe2(name, size, wanted or size)
    instances = call(load(folder(name)), image, wanted or size)["instances"]
    assert instances.image_size == (wanted or size)
    found = fields(instances)
    assert set(found) == {"pred_boxes", "scores", "pred_classes", f"pred_{'masks' if 'masks' in want else 'keypoints'}"}
    i, j = np.array(partners(want, found)).T
    if "masks" in want:
        assert found["pred_masks"].dtype == bool
        differ = want["masks"][i] != found["pred_masks"][j]
        assert differ.sum() < 0.001 * want["masks"].sum()  # a probability of nearly 0.5
    else:
        points, wanted_points = found["pred_keypoints"][j], want["keypoints"][i]
        near = np.abs(points - wanted_points).max(axis=2) < 0.1
        assert near.mean() > 0.99  # elsewhere two peaks are equally high


def test_rotated_boxes(folder: Folder) -> None:
    name = "faster_rcnn_rotated_v04"
    image = photo(name)
    raw = caffe2_outputs(name)
    want = {"boxes": raw["bbox_nms"], "scores": raw["score_nms"], "classes": raw["class_nms"]}
    instances = call(load(folder(name)), image, image.shape[1:])["instances"]
    assert type(instances.pred_boxes).__name__ == "RotatedBoxes"
    found = fields(instances)
    full_turns = np.round((want["boxes"][:, 4] - found["pred_boxes"][:, 4].clip(-180, 180)) / 360) * 360
    want["boxes"][:, 4] -= full_turns  # angles are brought to one turn
    partners(want, found)


@pytest.mark.parametrize("name", [*UPRIGHT, "faster_rcnn_rotated_v04", "retinanet_v04", "panoptic_fpn_v04"])
def test_pictures_are_taken_as_detectron2_takes_them(folder: Folder, name: str) -> None:
    """What these files do not tell has the default of Detectron2; whoever resizes gets what the net alone gives."""
    model, files = load(folder(name)), (folder(name) / "model.pb", folder(name) / "model_init.pb")
    rule = model.detector.input
    assert (rule["input_format"], rule["min_size"], rule["max_size"]) == ("BGR", 800, 1333)
    assert rule["pixel_mean"] == pytest.approx([103.53, 116.28, 123.675])
    image = photo(name)
    want = fields(call(model, image, image.shape[1:])["instances"])
    picture = np.ascontiguousarray(image.transpose(1, 2, 0))
    found = runtime.Detector(*files, threads=1, min_size=0, order="file").predict(picture)
    for field, value in (("boxes", "pred_boxes"), ("scores", "scores"), ("classes", "pred_classes")):
        np.testing.assert_array_equal(found[field], want[value])


def raw_outputs(folder: Path, image: Array) -> tuple[dict[str, Array], dict[str, Any]]:
    """What the net gives for an image that needs no padding, and the net's arguments."""
    model = runtime.load(folder, threads=1)
    sizes = np.array([[*image.shape[1:], 1]], np.float32)
    inputs = {"data": image[None].astype(np.float32), "im_info": sizes}
    return model.run({name: inputs[name] for name in model.inputs}), model.info


def zoo_anchors() -> list[Array]:
    """Those of the model zoo's RetinaNets, which the file has in a pickle alone."""
    levels = []
    for base in (32, 64, 128, 256, 512):
        sides = [(base * 2 ** (octave / 3), ratio) for octave in range(3) for ratio in (0.5, 1, 2)]
        half = np.array([[side / ratio**0.5 / 2, side * ratio**0.5 / 2] for side, ratio in sides])
        levels.append(np.concatenate([-half, half], axis=1))
    return levels


@pytest.mark.parametrize("wanted", [None, OTHER_SIZE], ids=["same size", "other size"])
def test_retinanet(folder: Folder, wanted: plain.Size | None) -> None:
    name = "retinanet_v04"
    image = photo(name)
    size: plain.Size = (image.shape[1], image.shape[2])
    outputs, rule = raw_outputs(folder(name), image)
    assert "cell_anchors" not in rule
    boxes, scores, classes = plain.retinanet(outputs, zoo_anchors(), [8, 16, 32, 64, 128], rule)
    boxes, kept = plain.scaled(boxes.astype(np.float32), size, wanted or size)
    want = {"boxes": boxes[kept], "scores": scores[kept], "classes": classes[kept]}
    partners(want, fields(call(load(folder(name)), image, wanted or size)["instances"]))


@pytest.mark.parametrize("wanted", [None, (600, 1000)], ids=["same size", "other size"])
def test_panoptic(folder: Folder, wanted: plain.Size | None) -> None:
    name = "panoptic_fpn_v04"
    image = photo(name)
    size: plain.Size = (image.shape[1], image.shape[2])
    raw, rule = raw_outputs(folder(name), image)
    found = call(load(folder(name)), image, wanted or size)
    semantic = plain.sem_seg(raw["sem_seg"], size, wanted or size)
    np.testing.assert_allclose(found["sem_seg"], semantic, rtol=1e-4, atol=1e-4 * semantic.std())
    boxes, kept = plain.scaled(raw["bbox_nms"], size, wanted or size)
    classes = raw["class_nms"].astype(int)
    own = raw["mask_fcn_probs"][np.arange(len(classes)), classes]
    masks = np.stack([plain.pasted(own[i], boxes[i], wanted or size) for i in np.flatnonzero(kept)])
    out, segments = plain.panoptic(masks, raw["score_nms"][kept], classes[kept], semantic.argmax(axis=0), rule)
    panoptic, infos = found["panoptic_seg"]
    assert [(one["isthing"], one["category_id"]) for one in infos] == segments
    assert {thing for thing, _ in segments} == ({True, False} if wanted else {True})  # enlarged, stuff is large enough
    assert (panoptic != out).mean() < 0.001
    assert (found["instances"].pred_masks != masks).mean() < 0.001


def test_panoptic_files_may_ask_for_no_merge(folder: Folder, tmp_path: Path) -> None:
    """Those of Detectron2 before v0.4 may: then things and stuff come alone."""
    files, name = folder("panoptic_fpn_v04"), "panoptic_fpn_v04"
    merged = call(load(files), photo(name), OTHER_SIZE)
    for combine_on in (1, 0):
        to = tmp_path / str(combine_on)
        to.mkdir()
        (to / "model_init.pb").write_bytes((files / "model_init.pb").read_bytes())
        net = proto.NetDef()
        net.ParseFromString((files / "model.pb").read_bytes())
        net.arg.add(name="combine_on", i=combine_on)
        (to / "model.pb").write_bytes(net.SerializeToString())
        found = call(load(to), photo(name), OTHER_SIZE)
        assert set(found) == set(merged) - (set() if combine_on else {"panoptic_seg"})
        np.testing.assert_array_equal(found["sem_seg"], merged["sem_seg"])
        np.testing.assert_array_equal(found["instances"].scores, merged["instances"].scores)
