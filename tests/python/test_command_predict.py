"""`d2deploy predict` and `eval`: what is told, drawn and written, and what becomes of what cannot be read."""

from __future__ import annotations

import json
import re
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from conftest import ROOT, Command, Conversion
from PIL import Image
from pycocotools import mask as rle_code

from d2deploy import drawing, errors
from d2deploy.cli.class_counts import class_counts
from d2deploy.cli.pictures import Frame, find_sources, read_ahead
from d2deploy.cli.streams import predict_in_order
from d2deploy.errors import InvalidArgument

if TYPE_CHECKING:
    from d2deploy import _ext, runtime
else:
    _ext = pytest.importorskip("d2deploy._ext", reason="not built: cmake --preset dev && cmake --build --preset dev")
    from d2deploy import runtime

VAL = ROOT / "tests" / "data" / "shapes" / "val"
PICTURE = VAL / "images" / "000020.jpg"
NAMES = ["disc", "square", "triangle", "star", "cross"]
Array = np.ndarray[Any, Any]


@pytest.fixture(scope="module")
def folder(converted: Callable[[str], Conversion]) -> Path:
    return converted("mask_rcnn").folder


def pixels(path: Path) -> Array:
    with Image.open(path) as image:
        return np.asarray(image.convert("RGB"))


# ---- predict ---------------------------------------------------------------------------------------


def test_results_are_those_of_the_predictor(command: Command, folder: Path, tmp_path: Path) -> None:
    from d2deploy import Predictor

    file = tmp_path / "found.json"
    code, out, error = command("predict", folder, PICTURE, "--json", file, "--threads", 1, "--threshold", 0.3)
    assert (code, error) == (0, "")
    results = json.loads(file.read_text())
    instances = Predictor(folder, threads=1)(pixels(PICTURE), "RGB")["instances"]
    instances = instances[np.asarray(instances.scores) >= 0.3]
    assert len(results) == len(instances) > 1
    height, width = instances.image_size
    for result, box, score, number, mask in zip(
        results, instances.pred_boxes.tensor, instances.scores, instances.pred_classes, instances.pred_masks
    ):
        x1, y1, x2, y2 = np.asarray(box, float)
        np.testing.assert_allclose(result["bbox"], [x1, y1, x2 - x1, y2 - y1])
        assert (result["score"], result["category_id"], result["image_id"]) == (float(score), int(number), 1)
        wanted = rle_code.encode(np.asfortranarray(mask, np.uint8))
        assert result["segmentation"] == {"size": [height, width], "counts": wanted["counts"].decode()}
        assert rle_code.area(result["segmentation"]) == int(np.asarray(mask).sum())
    assert re.search(rf"^{re.escape(str(PICTURE))}: \d+ × ", out, re.MULTILINE)
    assert re.search(r"1 pictures; mean of one: decode [\d.]+ ms, predict [\d.]+ ms, encode", out)


def test_detections_are_drawn_where_they_are(command: Command, folder: Path, tmp_path: Path) -> None:
    png = tmp_path / "in" / "shapes.png"
    png.parent.mkdir()
    Image.fromarray(pixels(PICTURE)).save(png)
    code, _, error = command("predict", folder, png.parent, "--output", tmp_path / "out", "--threads", 1)
    assert (code, error) == (0, "")
    before, after = pixels(png), pixels(tmp_path / "out" / "shapes.png")
    found = _ext.Detector(folder / "model.pb", folder / "model_init.pb", threads=1).predict(before, "RGB")
    best = found["scores"] >= 0.5
    masks = _ext.paste_masks(found["masks"][best], found["boxes"][best], *found["image_size"])
    changed = (before != after).any(2)
    assert len(masks) > 0
    for mask in masks:
        assert changed[mask].mean() > 0.9
    assert changed.mean() < 0.9


def test_what_cannot_be_read_does_not_stop_the_others(
    command: Command,
    example: Path,
    tmp_path: Path,
) -> None:
    (tmp_path / "broken.png").write_bytes(b"no picture")
    whole = example / "input.png"
    loop = tmp_path / "loop"
    loop.symlink_to("loop")
    # What may not be looked at, or has no name that a file can have, is as one that is not there.
    missing = [tmp_path / "missing.jpg", loop / "x.jpg", f"{'x' * 300}.jpg"]
    inputs = [tmp_path / "broken.png", whole, *missing, whole]
    arguments = ["--threads", 1, "--min-size", 96, "--json", tmp_path / "x.json", "--threshold", 0]
    arguments += ["--output", tmp_path / "out"]
    code, out, error = command("predict", example, *inputs, *arguments)
    assert code == 1
    assert "broken.png: cannot be read as an image" in error
    assert all(f"{name}: cannot be read as an image" in error for name in missing)
    assert "error: 4 of 6 pictures could not be read" in error
    assert out.count(f"{whole}: ") == 2
    assert {result["image_id"] for result in json.loads((tmp_path / "x.json").read_text())} == {2, 6}


def test_throughput_finds_the_same_in_the_same_order(command: Command, example: Path, tmp_path: Path) -> None:
    """Pictures of different sizes, so that the next one is often done before."""
    pictures = tmp_path / "in"
    pictures.mkdir()
    whole = Image.fromarray(pixels(example / "input.png"))
    for i in range(7):
        whole.resize((256 - 20 * i, 192 - 15 * i)).save(pictures / f"{i}.png")
    (pictures / "3.png").write_bytes(b"no picture")
    results = []
    for mode, threads in (("latency", 1), ("throughput", 3)):
        file = tmp_path / f"{mode}.json"
        arguments = ["--threads", threads, "--min-size", 0, "--threshold", 0.1, "--json", file, "--mode", mode]
        code, out, error = command("predict", example, pictures, *arguments)
        assert code == 1
        assert "error: 1 of 7 pictures could not be read" in error
        told = re.findall(r"(\d)\.png: ", out)
        assert told == ["0", "1", "2", "4", "5", "6"]
        results.append(json.loads(file.read_text()))
    assert results[0] == results[1]
    assert len({result["image_id"] for result in results[0]}) > 1


class Uneven:
    """Stands for a Detector: later pictures are done earlier, and one cannot be predicted."""

    def __init__(self, streams: int) -> None:
        self.streams, self.running, self.most = streams, 0, 0
        self.lock = threading.Lock()

    def predict(self, image: Array, _: str) -> dict[str, Any]:
        with self.lock:
            self.running += 1
            self.most = max(self.most, self.running)
        time.sleep(0.001 * (5 - image.shape[0] % 5))
        with self.lock:
            self.running -= 1
        if image.shape[0] == 4:
            raise errors.DeviceError("out of memory")
        return {"height": image.shape[0]}


@pytest.mark.parametrize("streams", [1, 3])
def test_frames_come_in_order_whatever_becomes_of_them(streams: int) -> None:
    taken = []

    def frames() -> Iterator[Frame]:
        for i in range(1, 12):
            taken.append(i)
            yield Frame(f"frame {i}", Path(), "", None if i == 2 else np.zeros((i, 1, 3), np.uint8), "", 0)

    detector = Uneven(streams)
    found: list[tuple[str, Any]] = []
    for frame, result, _ in predict_in_order(detector, frames()):  # type: ignore[arg-type]
        assert len(taken) - len(found) <= 2 * streams, "memory has a bound"
        found.append((frame.name, str(result) if isinstance(result, errors.Error) else result))
    wanted: list[tuple[str, Any]] = [(f"frame {i}", {"height": i}) for i in range(1, 12)]
    wanted[1] = ("frame 2", None)
    wanted[3] = ("frame 4", "frame 4: out of memory")
    assert found == wanted
    assert detector.most == streams


def test_what_cannot_be_predicted_does_not_stop_the_others(
    command: Command, example: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(_ext, "Detector", lambda *_, **__: Uneven(2))
    monkeypatch.setattr("d2deploy.cli.predict._summary", lambda found, *_: f"{found['height']} rows")
    for name, value in {"class_names": [], "stuff_class_names": [], "takes_proposals": False}.items():
        monkeypatch.setattr(Uneven, name, value, raising=False)
    for i in (3, 4, 5):
        Image.fromarray(np.zeros((i, 8, 3), np.uint8)).save(tmp_path / f"{i}.png")
    code, out, error = command("predict", example, tmp_path, "--mode", "throughput")
    assert code == 3
    assert "4.png: out of memory" in error
    assert "error: 1 of 3 pictures could not be predicted" in error
    assert re.findall(r"\d rows", out) == ["3 rows", "5 rows"]


def test_class_names(command: Command, folder: Path, example: Path) -> None:
    code, out, error = command("predict", folder, "--show-classes", "--threads", 1)
    assert (code, error) == (0, "")
    assert [line.split() for line in out.splitlines()[1:]] == [[str(i), name] for i, name in enumerate(NAMES)]
    code, out, _ = command("predict", example, "--show-classes", "--threads", 1)
    assert (code, out) == (0, "classes: the model's file does not tell their names\n")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ([], "INPUT is missing"),
        (["https://example.org/a.jpg"], r"is a URL, wanted a file here; download it first: curl -LO https://example"),
        (["EMPTY"], "no pictures are in this folder"),
        (["EMPTY/*.jpg"], "no file has such a name"),
        (["x.jpg", "--threshold", "1.5"], r"--threshold is 1\.5, must be from 0 to 1"),
        (["x.jpg", "--threshold", "much"], "invalid float value: 'much'"),
        (["x.jpg", "--json", "EMPTY"], "is a folder, wanted a file"),
        (["x.jpg", "--json", "EMPTY/no/x.json"], "cannot be written: No such file"),
        (["EMPTY/x.jpg", "--output", "EMPTY"], r"is the folder of .*x\.jpg, which might be overwritten"),
        (["x.jpg", "--output", "FILE"], "cannot be made"),
        (["x.jpg", "--json", "/dev/full"], "--json /dev/full: cannot be written: No space left on device"),
    ],
)
def test_wrong_use(
    command: Command,
    example: Path,
    tmp_path: Path,
    arguments: list[str],
    message: str,
) -> None:
    (tmp_path / "empty").mkdir()
    (tmp_path / "file").write_text("")
    given = [a.replace("EMPTY", str(tmp_path / "empty")).replace("FILE", str(tmp_path / "file")) for a in arguments]
    code, _, error = command("predict", example, *given, "--threads", 1)
    assert code == 1
    assert re.search(message, error), error


def test_names_of_what_is_drawn_never_collide(tmp_path: Path) -> None:
    for name in ("a/x.jpg", "b/x.jpg", "b/x.png"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        Image.new("RGB", (4, 4)).save(tmp_path / name)
    sources = find_sources([str(tmp_path / "a"), str(tmp_path / "*" / "x.*")])
    assert [source.path.name for source in sources] == ["x.jpg", "x.jpg", "x.jpg", "x.png"]
    assert [str(source.output) for source in sources] == ["x", "x_2", "x_3", "x_4"]


def test_videos(command: Command, example: Path, tmp_path: Path) -> None:
    cv2 = pytest.importorskip("cv2")
    path = tmp_path / "film.avi"
    writer = cv2.VideoWriter(str(path), cv2.VideoWriter_fourcc(*"MJPG"), 10, (64, 48))
    for level in (0, 120, 240):
        writer.write(np.full((48, 64, 3), (level, 0, 0), np.uint8))
    writer.release()
    frames = list(read_ahead(find_sources([str(path)])))
    assert [frame.name for frame in frames] == [f"{path} frame {i}" for i in (1, 2, 3)]
    blue = [float(frame.pixels[:, :, 2].mean()) for frame in frames if frame.pixels is not None]  # RGB
    assert np.allclose(blue, [0, 120, 240], atol=20)
    code, _, error = command("predict", example, path, "--output", tmp_path / "out", "--min-size", 48, "--threads", 1)
    assert (code, error) == (0, "")
    assert sorted(f.name for f in (tmp_path / "out").iterdir()) == [f"film_{i:06d}.jpg" for i in (1, 2, 3)]
    (tmp_path / "no.mp4").write_bytes(b"no video")
    code, _, error = command("predict", example, tmp_path / "no.mp4", "--threads", 1)
    assert code == 1
    assert "no.mp4: cannot be read as a video" in error


# ---- Drawing ---------------------------------------------------------------------------------------

GRAY = np.full((120, 160, 3), 100, np.uint8)


def test_colours_of_classes_differ() -> None:
    colours = np.array([drawing.colour(i) for i in range(12)], float)
    gaps = np.abs(colours[:, None] - colours[None]).sum(2) + 1000 * np.eye(12)
    assert gaps.min() > 60


def test_keypoints_rotated_boxes_and_stuff() -> None:
    points = np.zeros((1, 17, 4), np.float32)
    points[0, :, 0], points[0, :, 1], points[0, :, 3] = np.linspace(20, 140, 17), 100, 1
    found = {"boxes": np.array([[80, 60, 60, 20, 90]], np.float32), "scores": np.array([0.9], np.float32)}
    found |= {"classes": np.array([3]), "keypoints": points}
    found["panoptic_map"] = np.zeros((120, 160), np.int32)
    found["panoptic_map"][110:] = 5
    segments = [{"id": 5, "isthing": False, "category_id": 1, "area": 1600}]
    changed = (drawing.draw(GRAY, {**found, "segments": segments}, [], ["things", "sky"]) != GRAY).any(2)
    assert changed[40, 90]  # the turned box is 20 wide and 60 high
    assert changed[80, 90]
    assert not changed[60, 60]
    assert changed[100, 20]
    assert changed[112:].all()


def test_nothing_found_changes_nothing() -> None:
    none = {"boxes": np.zeros((0, 4), np.float32), "scores": np.zeros(0, np.float32), "classes": np.zeros(0, np.int64)}
    masks = np.zeros((0, 28, 28), np.float32)
    assert (drawing.draw(GRAY, {**none, "masks": masks}, ["a"], []) == GRAY).all()


def test_boxes_at_the_border_of_a_tiny_picture() -> None:
    found = {
        "boxes": np.array([[0, 0, 3, 2]], np.float32),
        "scores": np.ones(1, np.float32),
        "classes": np.zeros(1, int),
    }
    masks = np.ones((1, 28, 28), np.float32)
    drawn = drawing.draw(np.zeros((2, 3, 3), np.uint8), {**found, "masks": masks}, ["a long name"], [])
    assert drawn.shape == (2, 3, 3)
    assert drawn.any()


# ---- eval ------------------------------------------------------------------------------------------


@pytest.fixture
def val_json(tmp_path: Path) -> Path:
    """Six of the images, and their annotations."""
    data = json.loads((VAL / "annotations.json").read_text())
    data["images"] = data["images"][:6]
    kept = {image["id"] for image in data["images"]}
    data["annotations"] = [a for a in data["annotations"] if a["image_id"] in kept]
    path = tmp_path / "val.json"
    path.write_text(json.dumps(data))
    return path


@pytest.mark.parametrize("name", ["mask_rcnn", "keypoint_rcnn", "panoptic_fpn", "retinanet"])
def test_eval_gives_what_detectron2_gives(
    command: Command,
    converted: Callable[[str], Conversion],
    name: str,
    tmp_path: Path,
) -> None:
    data = ["--dataset-json", VAL / "annotations.json", "--image-root", VAL / "images", "--threads", 1]
    code, text, error = command("eval", converted(name).folder, *data, "--json", tmp_path / "ap.json")
    assert code == 0, error
    have = json.loads((tmp_path / "ap.json").read_text())
    wanted = json.loads((VAL.parent / name / "detectron2.json").read_text())["ap"]
    assert have["bbox"]["AP"] > 10
    for task in wanted.keys() & {"bbox", "segm", "keypoints"}:
        for metric, value in wanted[task].items():
            assert have[task][metric] == (None if value is None else pytest.approx(value, abs=0.01)), (task, metric)
    assert re.search(rf"^bbox AP +{have['bbox']['AP']:.3f}$", text, re.MULTILINE), text


@pytest.mark.parametrize("name", ["mask_rcnn", "keypoint_rcnn", "panoptic_fpn", "retinanet"])
def test_classes_are_counted(converted: Callable[[str], Conversion], name: str, tmp_path: Path) -> None:
    folder = converted(name).folder
    assert class_counts(folder) == (5, 4 if name == "panoptic_fpn" else None)
    # Of a net whose scores are found in another way nothing is known.
    net = (folder / "model.pb").read_bytes()
    for known in (b"BoxWithNMSLimit", b"box_cls_0", b"sem_seg"):
        net = net.replace(known, known[::-1])
    (tmp_path / "model.pb").write_bytes(net)
    (tmp_path / "model_init.pb").write_bytes((folder / "model_init.pb").read_bytes())
    assert class_counts(tmp_path) == (None, None)


def test_other_numbers_of_classes_are_told(
    command: Command, converted: Callable[[str], Conversion], val_json: Path
) -> None:
    arguments = ["eval", converted("retinanet").folder, "--dataset-json", val_json, "--image-root", VAL / "images"]
    data = json.loads(val_json.read_text())
    val_json.write_text(json.dumps({**data, "categories": [*data["categories"], {"id": 6, "name": "nothing"}]}))
    code, out, error = command(*arguments, "--threads", 1)
    assert code == 0, error
    assert "has 6 classes, but the model has 5: it cannot find 'nothing'" in error
    assert "bbox: no number for " in out
    data["annotations"] = [one for one in data["annotations"] if one["category_id"] < 5]
    val_json.write_text(json.dumps({**data, "categories": data["categories"][:4]}))
    code, out, error = command(*arguments, "--threads", 1)
    assert (code, out) == (1, "")
    assert "has 4 classes, but the model has 5; classes are matched by their order" in error
    assert "image/s" not in error  # said before anything is predicted


def test_pictures_become_what_the_options_say(
    command: Command, example: Path, monkeypatch: pytest.MonkeyPatch, val_json: Path
) -> None:
    """Looked at where the model gets them."""
    seen = []
    predict = runtime.Caffe2Model.__call__

    def watched(self: Any, inputs: Any) -> Any:
        seen.append((inputs[0]["image"].shape, inputs[0]["image"][:, 0, 0].tolist()))
        return predict(self, inputs)

    monkeypatch.setattr(runtime.Caffe2Model, "__call__", watched)
    data = ["--dataset-json", val_json, "--image-root", VAL / "images", "--tasks", "bbox", "--threads", 1]
    for order in ("RGB", "BGR"):
        code, _, error = command("eval", example, *data, "--min-size", 32, "--max-size", 40, "--input-format", order)
        assert code == 0, error
    half = len(seen) // 2
    assert half > 0
    for (shape, rgb), (other, bgr) in zip(seen[:half], seen[half:], strict=True):
        assert shape == other
        assert min(shape[1:]) == 32 or max(shape[1:]) == 40
        assert rgb == bgr[::-1]


def test_tasks_that_the_model_has_not(command: Command, example: Path) -> None:
    data = ["--dataset-json", VAL / "annotations.json", "--image-root", VAL / "images", "--threads", 1]
    code, _, error = command("eval", example, *data, "--tasks", "bbox,keypoints", "--min-size", 32, "--max-size", 64)
    assert code == 1
    assert "the model gives no pred_keypoints, which keypoints AP needs" in error


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--dataset-json", "no.json", "--image-root", "."], r"no\.json: cannot be read: .*wanted annotations"),
        (["--dataset-json", "VAL"], "the following arguments are required: --image-root"),
        (["--dataset-json", "VAL", "--image-root", "."], "image"),
        (["--dataset-json", "VAL", "--image-root", "IMAGES", "--tasks", "beauty"], "task 'beauty' is not known"),
        (["--dataset-json", "VAL", "--image-root", "IMAGES", "--json", "no/x.json"], "--json .*cannot be written"),
    ],
)
def test_errors_of_eval(
    command: Command,
    example: Path,
    val_json: Path,
    arguments: list[str],
    message: str,
) -> None:
    given = [a.replace("VAL", str(val_json)).replace("IMAGES", str(VAL / "images")) for a in arguments]
    code, _, error = command("eval", example, *given)
    assert code == 1
    assert re.search(message, error), error


def test_repairs_are_shown(command: Command, example: Path, val_json: Path) -> None:
    data = json.loads(val_json.read_text())
    del data["annotations"][0]["area"]
    val_json.write_text(json.dumps(data))
    arguments = ["--dataset-json", val_json, "--image-root", VAL / "images", "--tasks", "bbox", "--threads", 1]
    _, _, error = command("eval", example, *arguments, "--min-size", 32, "--max-size", 64)
    assert re.search(r"^warning: .*area", error, re.MULTILINE), error


def test_no_url_is_read() -> None:
    with pytest.raises(InvalidArgument, match="is a URL"):
        find_sources(["rtsp://camera/1"])
