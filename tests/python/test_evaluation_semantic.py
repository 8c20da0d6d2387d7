"""Semantic segmentation against label maps: values by hand, Detectron2's numbers; what is told of wrong maps."""

from __future__ import annotations

import json
import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
import torch
from conftest import Command, Conversion
from PIL import Image
from tiny_coco import annotation, instances, write_dataset
from tiny_panoptic import strip, thing, write_panoptic

from d2deploy.errors import InvalidArgument, Unsupported
from d2deploy.evaluation import CocoDataset, PanopticDataset, SemanticDataset, SemanticQuality, evaluate
from d2deploy.images import ImageReader

Map = npt.NDArray[np.int64]

SHAPES = Path(__file__).parents[1] / "data" / "shapes"
READER = ImageReader(min_size=0)
NONE = 255


def write_maps(
    folder: Path, maps: dict[str, Any], pictures: dict[str, tuple[int, int]] | None = None
) -> SemanticDataset:
    """A data set of label maps by name, with black pictures of their sizes, or of others."""
    for name, content in maps.items():
        path = folder / "maps" / f"{name}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        image = content if isinstance(content, Image.Image) else Image.fromarray(np.array(content, np.uint8))
        image.save(path)
        (folder / "images" / name).parent.mkdir(parents=True, exist_ok=True)
        size = (pictures or {}).get(name, image.size)
        Image.new("RGB", size).save(folder / "images" / f"{name}.jpg")
    return SemanticDataset(folder / "maps", folder / "images")


def scores_of(predicted: Any, classes: int) -> npt.NDArray[np.float32]:
    """(K, H, W), highest for the predicted class."""
    scores: npt.NDArray[np.float32] = np.eye(classes, dtype=np.float32)[np.array(predicted)].transpose(2, 0, 1)
    return scores


def measured(dataset: SemanticDataset, predicted: list[Any], classes: Any) -> dict[str, float]:
    count = classes if isinstance(classes, int) else len(classes)
    counting = SemanticQuality(dataset, classes)
    for image, values in zip(dataset, predicted, strict=True):
        counting.add(image, scores_of(values, count))
    return counting.metrics()


# ---- Values ----------------------------------------------------------------------------------------


def test_by_hand(tmp_path: Path) -> None:
    # Class 0: 4 pixels, 3 right, 1 of class 1 taken for it. Class 1: 2 pixels, 1 right, 1 of class 0 taken for it.
    # Class 2 does not occur, though it is taken for what does not count. Class 3: all wrong.
    truth = [[0, 0, 0, 0], [1, 1, 3, NONE]]
    found = [[0, 0, 0, 1], [1, 0, 0, 2]]
    have = measured(write_maps(tmp_path, {"a": truth}), [found], ["things", "sky", "sand", "sea"])
    iou, accuracy = [3 / 6, 1 / 3, math.nan, 0.0], [3 / 4, 1 / 2, math.nan, 0.0]
    assert list(have) == [
        *("mIoU", "fwIoU", "mACC", "pACC", "IoU-things", "IoU-sky", "IoU-sand", "IoU-sea"),
        *("ACC-things", "ACC-sky", "ACC-sand", "ACC-sea"),
    ]
    assert list(have.values()) == pytest.approx(
        [
            *(100 * (3 / 6 + 1 / 3) / 3, 100 * (4 * 3 / 6 + 2 / 3) / 7, 100 * (3 / 4 + 1 / 2) / 3, 100 * 4 / 7),
            *(100 * value for value in (*iou, *accuracy)),
        ],
        nan_ok=True,
    )


def test_pixels_of_all_images_count_together_and_of_equal_values_the_first(tmp_path: Path) -> None:
    dataset = write_maps(tmp_path, {"a": [[0, 1]], "deeper/b": [[1, 1, 1]]})
    counting = SemanticQuality(dataset, 2)
    counting.add(dataset.images[0], torch.zeros(2, 1, 2))
    counting.add(dataset.images[1], scores_of([[1, 1, 1]], 2))
    have = counting.metrics()
    assert (have["IoU-0"], have["IoU-1"], have["pACC"]) == pytest.approx((50, 75, 80))


def test_nothing_annotated(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    have = measured(write_maps(tmp_path, {"a": [[NONE, NONE]]}), [[[0, 1]]], 2)
    assert all(math.isnan(value) for value in have.values())
    assert caplog.messages == [f"{tmp_path / 'maps'}: mIoU is not a number, for no pixel has a class"]


def shapes_answers() -> dict[str, Map]:
    """The class of each pixel as Detectron2 answered, by name of the picture."""
    found = {}
    for path in (SHAPES / "panoptic_fpn").glob("*_semantic.png"):
        with Image.open(path) as file:
            found[path.name.removesuffix("_semantic.png")] = np.asarray(file).astype(np.int64)
    return found


def shapes_predictor(inputs: dict[str, Any]) -> dict[str, Any]:
    return {"sem_seg": scores_of(shapes_answers()[Path(inputs["file_name"]).stem], 4)}


# By Detectron2's SemSegEvaluator (main branch, commit 02b5c4e) for tests/data/shapes and `shapes_answers`.
DETECTRON2 = {
    **{"mIoU": 81.961161, "fwIoU": 82.774796, "mACC": 89.704221, "pACC": 90.197175},
    **{"IoU-things": 62.98164, "IoU-sky": 82.099696, "IoU-grass": 87.143585, "IoU-sand": 95.619724},
    **{"ACC-things": 76.527395, "ACC-sky": 88.619044, "ACC-grass": 94.897788, "ACC-sand": 98.772656},
}


def test_detectron2s_numbers() -> None:
    dataset = SemanticDataset(SHAPES / "val" / "sem_seg", SHAPES / "val" / "images")
    assert (len(dataset), dataset.classes) == (8, 4)
    names = ["things", "sky", "grass", "sand"]
    have = evaluate(dataset, shapes_predictor, READER, stuff_classes=names)
    assert list(have) == ["sem_seg"]
    assert have["sem_seg"] == pytest.approx(DETECTRON2, abs=1e-6)


@pytest.mark.filterwarnings("ignore")  # Detectron2's own
def test_detectron2_itself(tmp_path: Path) -> None:
    evaluation = pytest.importorskip("detectron2.evaluation", reason="Detectron2 is not installed")
    data = pytest.importorskip("detectron2.data")
    generator = np.random.default_rng(0)
    classes, sizes = ["a", "b", "c", "d", "e"], [(9, 14), (20, 7), (11, 11)]
    maps = {str(i): generator.choice([0, 1, 2, 4, NONE], size) for i, size in enumerate(sizes)}
    found = [
        np.where(generator.random(m.shape) < 0.6, np.minimum(m, 3), generator.integers(0, 5, m.shape))
        for m in maps.values()
    ]
    dataset = write_maps(tmp_path, maps)
    records = [
        {"file_name": image["file_name"], "sem_seg_file_name": str(tmp_path / "maps" / f"{name}.png")}
        for name, image in zip(maps, dataset, strict=True)
    ]
    name = f"semantic of {tmp_path}"
    data.DatasetCatalog.register(name, lambda: records)
    data.MetadataCatalog.get(name).set(stuff_classes=classes, ignore_label=NONE)
    theirs = evaluation.SemSegEvaluator(name, distributed=False)
    theirs.reset()
    for record, values in zip(records, found, strict=True):
        theirs.process([record], [{"sem_seg": torch.from_numpy(scores_of(values, 5))}])
    wanted = {k: v for k, v in theirs.evaluate()["sem_seg"].items() if not k.startswith(("Boundary", "min("))}
    assert measured(dataset, found, classes) == pytest.approx(wanted, nan_ok=True, abs=1e-9)


# ---- With other annotations ------------------------------------------------------------------------


def test_panoptic_annotations_are_label_maps_too(tmp_path: Path) -> None:
    # disc and star are things; sky and grass the classes 1 and 2; 0 is no segment, and does not count.
    truth = strip((5, 2), (6, 2), (7, 3), (0, 1))
    segments = {5: thing(3), 6: thing(40), 7: thing(20)}
    dataset = PanopticDataset(*write_panoptic(tmp_path, [(truth, segments)]))
    assert dataset.labels(dataset.images[0]).tolist() == [[0, 0, 2, 2, 1, 1, 1, -1]]
    answer = {"sem_seg": scores_of([[0, 0, 2, 1, 1, 1, 1, 0]], 3)}
    for tasks in (None, ["sem_seg"]):
        have = evaluate(dataset, lambda _: answer, READER, tasks=tasks, stuff_classes=3)
        assert list(have) == ["sem_seg"]
        assert have["sem_seg"]["IoU-sky"] == pytest.approx(75)
        assert have["sem_seg"]["pACC"] == pytest.approx(100 * 6 / 7)
    with pytest.raises(InvalidArgument, match="has 2 classes of stuff, but the model has 3"):
        evaluate(dataset, lambda _: answer, READER, tasks=["sem_seg"], stuff_classes=4)


def test_objects_and_label_maps_of_the_same_images(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    box = (5, 5, 20, 10)
    objects = CocoDataset(*write_dataset(tmp_path, [annotation(1, 3, box)]))
    for image in objects:
        write_map = tmp_path / "maps" / Path(image["file_name"]).relative_to(objects.image_root).with_suffix(".png")
        write_map.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(np.ones((image["height"], image["width"]), np.uint8)).save(write_map)
    maps = SemanticDataset(tmp_path / "maps", objects.image_root, objects.images)

    def predictor(inputs: dict[str, Any]) -> dict[str, Any]:
        found = instances((0, 0.9, box)) if inputs["image_id"] == 1 else instances()
        return {"instances": found, "sem_seg": scores_of(np.ones(inputs["image"].shape[1:], int), 2)}

    have = evaluate(objects, predictor, READER, semantic=maps)
    assert list(have) == ["bbox", "sem_seg"]
    assert have["sem_seg"]["mIoU"] == pytest.approx(100)
    assert list(evaluate(objects, predictor, READER, semantic=maps, tasks=["bbox"])) == ["bbox"]
    assert list(evaluate(objects, predictor, READER, semantic=maps, tasks=["sem_seg"])) == ["sem_seg"]
    assert caplog.messages == []
    boxes = lambda inputs: {"instances": predictor(inputs)["instances"]}  # noqa: E731
    assert list(evaluate(objects, boxes, READER, semantic=maps)) == ["bbox"]
    assert caplog.messages == ["the label maps are left out: the model gives instances, but no sem_seg"]
    with pytest.raises(Unsupported, match="the model gives instances, but no sem_seg"):
        evaluate(objects, boxes, READER, semantic=maps, tasks=["sem_seg"])
    with pytest.raises(Unsupported, match="the model gives instances, but no sem_seg"):
        evaluate(maps, boxes, READER)
    with pytest.raises(InvalidArgument, match="task 'sem_seg' needs label maps, or annotations in COCO's panoptic"):
        evaluate(objects, boxes, READER, tasks=["sem_seg"])
    next((tmp_path / "maps").rglob("*.png")).unlink()
    with pytest.raises(InvalidArgument, match=r"1 of \d images have no label map, the first is .*\.png"):
        SemanticDataset(tmp_path / "maps", objects.image_root, objects.images)


# ---- Wrong maps and predictions --------------------------------------------------------------------


def test_maps_of_other_forms(tmp_path: Path) -> None:
    values = np.array([[0, 1], [300, 255]])
    palette = Image.fromarray(np.array([[0, 1], [2, 255]], np.uint8), "P")
    palette.putpalette([7, 8, 9] * 256)
    dataset = write_maps(
        tmp_path,
        {"deep": Image.fromarray(values.astype(np.uint16)), "palette": palette, "bits": Image.new("1", (2, 2), 1)},
    )
    found = {str(image["image_id"]): dataset.labels(image).tolist() for image in dataset}
    assert found == {"bits": [[1, 1], [1, 1]], "deep": [[0, 1], [300, -1]], "palette": [[0, 1], [2, -1]]}
    assert dataset.classes == 301
    assert SemanticDataset(tmp_path / "maps", tmp_path / "images", ignore_label=300).classes == 256


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (
            Image.new("RGB", (3, 2)),
            r"a\.png is 2 x 3 pixels in mode RGB, wanted 2 x 3 in one channel, gray or a palette",
        ),
        (Image.new("L", (4, 2)), r"a\.jpg: is 2 x 3 pixels, but .*a\.png says 2 x 4"),
    ],
)
def test_maps_are_checked(tmp_path: Path, content: Image.Image, message: str) -> None:
    with pytest.raises(InvalidArgument, match=message):
        write_maps(tmp_path, {"a": content}, {"a": (3, 2)})


def test_maps_that_are_missing_or_broken(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    write_maps(tmp_path, {"a": [[0, 1]], "b": [[1, 1]]})
    maps, images = tmp_path / "maps", tmp_path / "images"
    with pytest.raises(InvalidArgument, match="nowhere: there is no such folder; wanted the folder of the label maps"):
        SemanticDataset(tmp_path / "nowhere", images)
    with pytest.raises(InvalidArgument, match="nowhere: there is no such folder; wanted the folder of the images"):
        SemanticDataset(maps, tmp_path / "nowhere")
    with pytest.raises(InvalidArgument, match="images: holds no label maps, wanted PNG files named like the images"):
        SemanticDataset(images, images)
    with pytest.raises(InvalidArgument, match=r"2 of 2 maps have no image in .*maps, the first is .*a\.png"):
        SemanticDataset(maps, maps)
    Image.new("RGB", (2, 1)).save(images / "a.bmp")
    with pytest.raises(InvalidArgument, match=r"1 images in .*images differ in nothing but their suffix, as a"):
        SemanticDataset(maps, images)
    (images / "a.bmp").unlink()
    (maps / "a.png").unlink()
    assert [image["image_id"] for image in SemanticDataset(maps, images)] == ["b"]
    assert caplog.messages == [f"{maps}: 1 images without a label map are left out, the first is {images / 'a.jpg'}"]
    dataset = SemanticDataset(maps, images)
    Image.new("L", (3, 1)).save(maps / "b.png")
    with pytest.raises(InvalidArgument, match=r"b\.png is 1 x 3 pixels in mode L, wanted 1 x 2"):
        dataset.labels(dataset.images[0])
    (maps / "b.png").write_bytes(b"text")
    for again in (lambda: dataset.labels(dataset.images[0]), lambda: SemanticDataset(maps, images)):
        with pytest.raises(InvalidArgument, match=r"b\.png cannot be read as a PNG file"):
            again()


def test_a_map_in_the_folder_of_the_pictures(tmp_path: Path) -> None:
    write_maps(tmp_path, {"a": [[0, 1]]})
    (tmp_path / "maps" / "a.png").rename(tmp_path / "images" / "a.png")
    assert SemanticDataset(tmp_path / "images", tmp_path / "images").images[0]["file_name"].endswith("a.jpg")


def test_predictions_are_checked(tmp_path: Path) -> None:
    dataset = write_maps(tmp_path, {"a": [[0, 1]], "b": [[2, 1]]})
    first, second = dataset
    counting = SemanticQuality(dataset, 2)
    for wrong in (np.zeros((2, 2, 1)), np.zeros((3, 1, 2)), np.zeros((1, 2))):
        with pytest.raises(InvalidArgument, match=r"image a: sem_seg is .*, wanted \(2, 1, 2\): a map for each class"):
            counting.add(first, wrong)
    counting.add(first, np.zeros((2, 1, 2)))
    with pytest.raises(InvalidArgument, match="image a: was added before"):
        counting.add(first, np.zeros((2, 1, 2)))
    with pytest.raises(
        InvalidArgument, match="image b has the class 2, but the model has 2, from 0; are they the maps"
    ):
        counting.add(second, np.zeros((2, 1, 2)))
    with pytest.raises(InvalidArgument, match="1 of 2 images have no prediction"):
        counting.metrics()
    with pytest.raises(InvalidArgument, match="maps has the class 2, but the model has 2"):
        evaluate(dataset, lambda _: pytest.fail("it was predicted"), READER, stuff_classes=2)
    answers = iter([{"sem_seg": np.zeros((3, 1, 2))}, {}])
    with pytest.raises(Unsupported, match="image b: the model gives no sem_seg, as it did before"):
        evaluate(dataset, lambda _: next(answers), READER)


# ---- The command -----------------------------------------------------------------------------------


def test_the_command(converted: Callable[[str], Conversion], command: Command, tmp_path: Path) -> None:
    model, val, out = converted("panoptic_fpn").folder, SHAPES / "val", tmp_path / "found.json"
    maps = ["--sem-seg-root", val / "sem_seg", "--image-root", val / "images"]
    code, table, errors = command("eval", model, *maps, "--json", out)
    assert code == 0, errors
    assert "sem_seg mIoU" in table
    found = json.loads(out.read_text())["sem_seg"]
    assert [found[name] for name in ("mIoU", "pACC")] == pytest.approx(
        [DETECTRON2["mIoU"], DETECTRON2["pACC"]], abs=0.1
    )
    code, table, _ = command("eval", model, *maps, "--dataset-json", val / "annotations.json", "--json", out)
    assert code == 0
    both = json.loads(out.read_text())
    assert {"bbox", "segm", "sem_seg"} <= set(both)
    assert both["sem_seg"] == found
    code, _, error = command("eval", model, "--image-root", val / "images")
    assert (code, error) == (
        1,
        "error: nothing to compare with: give --dataset-json FILE, --sem-seg-root DIR, or both\n",
    )
    code, _, error = command("eval", model, *maps, "--ignore-label", 0, "--tasks", "bbox")
    assert code == 1
    assert "task 'bbox' needs annotations of objects in COCO's format" in error
