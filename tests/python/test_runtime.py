"""d2deploy.runtime: Caffe2Model and Predictor have the interface of Detectron2's models; and what they need."""

from __future__ import annotations

import io
import json
import subprocess
import sys
import threading
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
import torch
from conftest import ROOT, Conversion
from exported import Array
from PIL import Image
from pycocotools import mask as rle_code

from d2deploy.errors import InvalidArgument, InvalidModel, Unsupported
from d2deploy.images import resize_shortest_edge
from d2deploy.structures import paste_masks

if TYPE_CHECKING:
    from d2deploy import _ext, runtime
else:
    pytest.importorskip("d2deploy._ext", reason="not built: cmake --preset dev && cmake --build --preset dev")
    from d2deploy import _ext, runtime

SHAPES = ROOT / "tests" / "data" / "shapes"


@pytest.fixture(scope="module")
def picture() -> Array:
    """BGR, of shapes that the trained models know."""
    with Image.open(SHAPES / "val" / "images" / "000020.jpg") as image:
        return np.ascontiguousarray(np.asarray(image.convert("RGB"))[:, :, ::-1])


@pytest.fixture(scope="module")
def folder(converted: Callable[[str], Conversion]) -> Path:
    return converted("mask_rcnn").folder


def fields(found: dict[str, Any]) -> dict[str, Array]:
    return {k: np.asarray(getattr(v, "tensor", v)) for k, v in found["instances"].get_fields().items()}


def chw(image: Array) -> Array:
    return np.ascontiguousarray(image.transpose(2, 0, 1))


# ---- Caffe2Model -----------------------------------------------------------------------------------


def test_tensors_come_out_where_tensors_came_in(folder: Path, picture: Array) -> None:
    model = runtime.Caffe2Model.load_protobuf(folder, threads=1)
    arrays = model([{"image": chw(picture)}])[0]["instances"]
    tensors = model([{"image": torch.from_numpy(chw(picture))}])[0]["instances"]
    assert len(arrays) > 0
    assert arrays.image_size == picture.shape[:2]
    for name, value in tensors.get_fields().items():
        value = getattr(value, "tensor", value)
        assert isinstance(value, torch.Tensor), name
        other = arrays.get(name)
        np.testing.assert_array_equal(value.numpy(), np.asarray(getattr(other, "tensor", other)))
    assert tensors.pred_classes.dtype == torch.int64
    assert tensors.pred_masks.dtype == torch.bool


def test_every_picture_gets_what_it_gets_alone(folder: Path, picture: Array) -> None:
    model = runtime.Caffe2Model.load_protobuf(folder, threads=1)
    inputs: list[dict[str, Any]] = [
        {"image": chw(picture)},
        {"image": chw(picture[40:, :101]), "height": 50, "width": 77},
    ]
    both = model(inputs)
    assert len(both) == 2
    for one, found in zip(inputs, both):
        alone = fields(model([one])[0])
        assert all((alone[name] == value).all() for name, value in fields(found).items())
    assert both[1]["instances"].image_size == (50, 77)
    assert model([]) == []


def test_order_of_the_file_or_of_the_scores(folder: Path, picture: Array) -> None:
    by_file, by_score = (
        fields(runtime.Caffe2Model.load_protobuf(folder, threads=1, order=order)([{"image": chw(picture)}])[0])
        for order in ("file", "score")
    )
    assert (np.diff(by_file["pred_classes"]) >= 0).all()
    order = np.argsort(-by_file["scores"], kind="stable")
    assert len(order) > 1
    for name, value in by_score.items():
        np.testing.assert_array_equal(value, by_file[name][order])


def test_a_border_of_zeros_is_caffe2s(folder: Path, picture: Array) -> None:
    odd = chw(picture[:, :-3])
    mean, zero = (
        fields(runtime.Caffe2Model.load_protobuf(folder, threads=1, pad=pad)([{"image": odd}])[0])
        for pad in ("mean", "zero")
    )
    assert not np.array_equal(mean["scores"], zero["scores"])


def test_the_scale_of_im_info(folder: Path, picture: Array) -> None:
    """Detectron2's wrapper tells the net the scale, which divides the boxes by it and multiplies them again."""
    inputs = {"image": chw(picture), "height": picture.shape[0] * 3, "width": picture.shape[1] * 3}
    ours, theirs = (
        fields(runtime.Caffe2Model.load_protobuf(folder, threads=1, im_info=way)([inputs])[0])
        for way in ("detectron2", "caffe2")
    )
    assert ours["pred_boxes"].max() > picture.shape[1]
    assert not np.array_equal(ours["pred_boxes"], theirs["pred_boxes"])


def test_keypoint_scores(converted: Callable[[str], Conversion], picture: Array) -> None:
    folder = converted("keypoint_rcnn").folder
    probability, logit = (
        fields(runtime.Caffe2Model.load_protobuf(folder, threads=1, keypoint_score=kind)([{"image": chw(picture)}])[0])
        for kind in ("probability", "logit")
    )
    assert len(probability["scores"]) > 0
    np.testing.assert_array_equal(probability["pred_keypoints"][:, :, :2], logit["pred_keypoints"][:, :, :2])
    assert (probability["pred_keypoints"][:, :, 2] <= 1).all()
    maps = logit["pred_keypoint_heatmaps"]
    assert maps.shape[:2] == logit["pred_keypoints"].shape[:2]
    assert (logit["pred_keypoints"][:, :, 2] <= maps.max(axis=(2, 3)) * 1.5).all()


@pytest.mark.parametrize(
    ("inputs", "message"),
    [
        ({"image": np.zeros((3, 8, 8), np.uint8)}, "must be a list of dicts"),
        (None, "must be a list of dicts"),
        (iter([{"image": np.zeros((3, 8, 8), np.uint8)}]), "must be a list of dicts"),
        ([{"image": np.zeros((3, 8, 8), complex)}], '"image" must hold integers or floats, got complex128'),
        ([{"image": [[["a"]]]}], '"image" must hold integers or floats, got <U1'),
        ([{"image": [[[1, 2], [3]]]}], r'"image" must be \(C, H, W\): '),
        (
            [{"image": np.zeros((3, 8, 8), np.uint8), "height": 2**63}],
            '"height" is 9223372036854775808, must be a number',
        ),
        ([{}], r'inputs\[0\]: has no "image", only: nothing'),
        ([{"image": np.zeros((8, 8), np.uint8)}], r'"image" must be \(C, H, W\), got \(8, 8\)'),
        (
            [{"image": np.zeros((4, 8, 8), np.uint8)}],
            r"the image must be \(3, H, W\) float32 or uint8, got \(4, 8, 8\) uint8",
        ),
        ([{"image": np.zeros((3, 0, 8), np.uint8)}], r"the image must be \(3, H, W\)"),
        ([{"image": np.zeros((3, 8, 8), np.uint8), "height": 0}], "predictions are wanted for 0 x 8 pixels"),
        ([{"image": np.zeros((3, 8, 8), np.uint8), "width": "wide"}], "\"width\" is 'wide', must be a number"),
        ([{"image": np.zeros((3, 8, 8), np.uint8), "width": float("nan")}], '"width" is nan, must be a number'),
    ],
)
def test_wrong_inputs(folder: Path, inputs: Any, message: str) -> None:
    with pytest.raises(InvalidArgument, match=message):
        runtime.Caffe2Model.load_protobuf(folder, threads=1)(inputs)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"order": "class"}, "order is 'class', available: score, file"),
        ({"pad": "edge"}, "pad is 'edge', available: mean, zero"),
        ({"im_info": "x"}, "im_info is 'x', available: detectron2, caffe2"),
        ({"keypoint_score": "x"}, "keypoint_score is 'x', available: logit, probability"),
    ],
)
def test_wrong_options(folder: Path, options: dict[str, Any], message: str) -> None:
    with pytest.raises(InvalidArgument, match=message):
        runtime.Caffe2Model.load_protobuf(folder, **options)


def test_files_that_are_not_there(tmp_path: Path) -> None:
    with pytest.raises(InvalidArgument, match=r"model\.pb"):
        runtime.Caffe2Model.load_protobuf(tmp_path)


# ---- Predictor -------------------------------------------------------------------------------------


def test_a_picture_is_resized_as_the_file_says(folder: Path, picture: Array) -> None:
    predictor = runtime.Predictor(folder, threads=1)
    rule = predictor.model.detector.input
    resized = resize_shortest_edge(picture, rule["min_size"], rule["max_size"])
    size = {"height": picture.shape[0], "width": picture.shape[1]}
    wanted = fields(
        runtime.Caffe2Model.load_protobuf(folder, threads=1, order="score")([{"image": chw(resized), **size}])[0]
    )
    found = fields(predictor(picture))
    assert len(found["scores"]) > 0
    for name, value in found.items():
        np.testing.assert_array_equal(value, wanted[name])


def test_channels_are_brought_into_the_models_order(folder: Path, picture: Array) -> None:
    predictor = runtime.Predictor(folder, threads=1)
    bgr, rgb = fields(predictor(picture)), fields(predictor(np.ascontiguousarray(picture[:, :, ::-1]), "RGB"))
    assert all(np.array_equal(rgb[name], value) for name, value in bgr.items())
    gray = np.ascontiguousarray(picture[:, :, 1])
    as_colour = np.repeat(gray[:, :, None], 3, axis=2)
    one, three = fields(predictor(gray, "L")), fields(predictor(as_colour))
    assert all(np.array_equal(one[name], value) for name, value in three.items())
    plain = fields(predictor(gray))  # of two dimensions it is gray, whatever is said of its channels
    assert all(np.array_equal(plain[name], value) for name, value in three.items())
    with pytest.raises(InvalidArgument, match=r"image must be \(H, W\) or \(H, W, C\), got 1 dimensions"):
        predictor(np.zeros(8, np.uint8))
    with pytest.raises(InvalidArgument, match="the image has 4 channels"):
        predictor(np.zeros((8, 8, 4), np.uint8))
    with pytest.raises(InvalidArgument, match="image is float32, wanted an array of uint8"):
        predictor(np.zeros((8, 8, 3), np.float32))
    with pytest.raises(InvalidArgument, match="image is None, wanted an array of uint8; OpenCV's imread gives None"):
        predictor(None)  # type: ignore[arg-type]


def test_threads_share_a_predictor(folder: Path, picture: Array) -> None:
    predictor = runtime.Predictor(folder, threads=1)
    wanted = fields(predictor(picture))
    found: list[dict[str, Array]] = []
    threads = [threading.Thread(target=lambda: found.append(fields(predictor(picture)))) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(found) == 4
    assert all(np.array_equal(one[name], value) for one in found for name, value in wanted.items())


def test_class_names(converted: Callable[[str], Conversion]) -> None:
    answers = json.loads((SHAPES / "val" / "annotations.json").read_text())
    names = [category["name"] for category in answers["categories"]]
    assert runtime.Predictor(converted("mask_rcnn").folder).model.class_names == names
    assert runtime.Predictor(converted("retinanet").folder).model.class_names == []


# ---- Masks -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("seed", range(3))
def test_masks_are_pasted_and_encoded(seed: int) -> None:
    random = np.random.default_rng(seed)
    masks = random.uniform(0, 1, (20, 28, 28)).astype(np.float32)
    low = random.uniform(-20, 80, (20, 2))
    boxes = np.concatenate([low, low + random.uniform(0, 70, (20, 2))], axis=1).astype(np.float32)
    pasted = _ext.paste_masks(masks, boxes, 90, 120)
    assert pasted.shape == (20, 90, 120)
    assert pasted.dtype == bool
    assert (pasted != np.asarray(paste_masks(masks, boxes, (90, 120)))).mean() < 1e-4
    wanted = [rle_code.encode(np.asfortranarray(mask.astype(np.uint8)))["counts"] for mask in pasted]
    assert _ext.encode_masks(masks, boxes, 90, 120) == wanted
    with pytest.raises(InvalidArgument, match=r"masks must be \(N, S, S\) and boxes \(N, 4\)"):
        _ext.paste_masks(masks, boxes[:3], 90, 120)


# ---- Other files -----------------------------------------------------------------------------------


def test_files_of_detectron2_tell_the_mean_in_their_net(example: Path) -> None:
    """The example is as Detectron2's own exporter writes: without our arguments."""
    predictor = runtime.Predictor(example, threads=1)
    assert "pixel_mean" not in predictor.model.info
    rule = predictor.model.detector.input
    assert rule["pixel_mean"] == [123.0, 117.0, 104.0]
    assert (rule["input_format"], rule["min_size"], rule["max_size"]) == ("BGR", 800, 1333)


class Anchors(torch.nn.Module):
    """The attributes of Detectron2's anchor generator that matter."""

    def __init__(self, cells: Array, strides: list[int]) -> None:
        super().__init__()
        self.cell_anchors = torch.nn.Module()
        for level, cell in enumerate(cells):
            self.cell_anchors.register_buffer(str(level), torch.from_numpy(cell.copy()))
        self.strides, self.offset, self.num_features = strides, 0.0, len(strides)


def with_generator(folder: Path, to: Path, saved: bytes) -> Path:
    """The model with its anchors as Detectron2's exporter writes them."""
    from d2deploy.nets import proto

    net = proto.NetDef()
    net.ParseFromString((folder / "model.pb").read_bytes())
    kept = [argument for argument in net.arg if argument.name not in ("cell_anchors", "anchor_strides")]
    del net.arg[:]
    net.arg.extend(kept)
    net.arg.add(name="serialized_anchor_generator", s=saved)
    to.mkdir(exist_ok=True)
    (to / "model.pb").write_bytes(net.SerializeToString())
    (to / "model_init.pb").write_bytes((folder / "model_init.pb").read_bytes())
    return to


@pytest.fixture(scope="module")
def retinanet(converted: Callable[[str], Conversion]) -> Path:
    return converted("retinanet").folder


def saved_anchors(folder: Path, zipped: bool) -> bytes:
    info = runtime.Caffe2Model.load_protobuf(folder, threads=1).info
    strides = info["anchor_strides"]
    cells = np.array(info["cell_anchors"], np.float32).reshape(len(strides), -1, 4)
    out = io.BytesIO()
    torch.save(Anchors(cells, strides), out, _use_new_zipfile_serialization=zipped)
    return out.getvalue()


@pytest.mark.parametrize("zipped", [True, False])
def test_anchors_are_read_out_of_detectron2s_pickle(
    retinanet: Path, tmp_path: Path, picture: Array, zipped: bool
) -> None:
    folder = with_generator(retinanet, tmp_path / "model", saved_anchors(retinanet, zipped))
    wanted, found = (fields(runtime.Predictor(one, threads=1)(picture)) for one in (retinanet, folder))
    assert len(wanted["scores"]) > 0
    for name, value in wanted.items():
        np.testing.assert_array_equal(found[name], value)


@pytest.mark.parametrize("zipped", [True, False])
def test_damaged_pickles_are_errors(retinanet: Path, tmp_path: Path, zipped: bool) -> None:
    saved = saved_anchors(retinanet, zipped)
    random = np.random.default_rng(0)
    refused = 0
    for i in range(24):
        damaged = bytearray(saved)
        if i % 3 == 0:
            damaged = damaged[: random.integers(len(saved))]
        for at in random.integers(len(damaged), size=i % 3 * 2) if damaged else ():
            damaged[at] = random.integers(256)
        files = with_generator(retinanet, tmp_path / "model", bytes(damaged))
        try:
            runtime.Caffe2Model.load_protobuf(files, threads=1)
        except (InvalidModel, Unsupported):  # nothing else may come out
            refused += 1
    assert refused > 4  # many bytes are of no matter


def test_a_net_that_is_no_detector(tmp_path: Path, folder: Path) -> None:
    from d2deploy.nets import proto

    net = proto.NetDef()
    net.ParseFromString((folder / "model.pb").read_bytes())
    del net.external_output[:]
    net.external_output.append(net.op[0].output[0])
    (tmp_path / "model.pb").write_bytes(net.SerializeToString())
    (tmp_path / "model_init.pb").write_bytes((folder / "model_init.pb").read_bytes())
    with pytest.raises(Unsupported, match="is not a detector; Model and Session run it"):
        runtime.Caffe2Model.load_protobuf(tmp_path)


def test_it_needs_numpy_and_the_extension_alone() -> None:
    """What scripts/check_layers says of the sources, seen in a process."""
    code = "import sys; from d2deploy.runtime import Detector; print(*{n.partition('.')[0] for n in sys.modules})"
    path = ":".join(str(p) for p in sys.path if p)
    done = subprocess.run(
        [sys.executable, "-c", code], env={"PYTHONPATH": path}, capture_output=True, text=True, check=True
    )
    strange = {name for name in done.stdout.split() if name not in sys.stdlib_module_names and not name.startswith("_")}
    assert strange == {"d2deploy", "numpy"}
