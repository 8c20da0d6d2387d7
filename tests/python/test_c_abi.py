"""The C ABI by ctypes, as a program in another language calls it: what it gives is what d2deploy.Predictor gives."""

from __future__ import annotations

import ctypes as c
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt
import pytest
from conftest import ROOT, c_library
from PIL import Image
from pycocotools import mask as coco

if TYPE_CHECKING:
    from d2deploy import Predictor
    from d2deploy.runtime import Model
else:
    pytest.importorskip("d2deploy._ext", reason="not built: cmake --preset dev && cmake --build --preset dev")
    from d2deploy import Predictor
    from d2deploy.runtime import Model

Array = npt.NDArray[Any]
FLOAT32, UINT8 = 1, 5
OPTIONS: dict[str, int] = {"min_size": 192, "max_size": 320, "threads": 2}


class Options(c.Structure):
    """d2d_options."""

    _fields_ = [
        ("struct_size", c.c_size_t),
        *((name, c.c_char_p) for name in ("device", "precision", "calibration", "engine", "caffe2_library", "kernels")),
        ("log", c.c_void_p),
        ("log_context", c.c_void_p),
        ("max_tensor_bytes", c.c_int64),
        *((name, c.c_int32) for name in ("threads", "low_memory", "tune", "as_in_file", "own_class_masks")),
        *((name, c.c_int32) for name in ("mode", "order", "row_order", "pad_with_zero", "caffe2_scale")),
        *((name, c.c_int32) for name in ("sem_seg", "keypoint_maps")),
        ("min_size", c.c_int64),
        ("max_size", c.c_int64),
    ]


class Picture(c.Structure):
    """d2d_image."""

    _fields_ = [
        ("data", c.c_void_p),
        ("bytes", c.c_size_t),
        *((name, c.c_int64) for name in ("height", "width", "row_bytes")),
        ("channels", c.c_int32),
        ("order", c.c_int32),
    ]


class Tensor(c.Structure):
    """d2d_tensor."""

    _fields_ = [
        ("name", c.c_char_p),
        ("data", c.c_void_p),
        ("bytes", c.c_size_t),
        ("dtype", c.c_int32),
        ("rank", c.c_int32),
        ("shape", c.c_int64 * 8),
    ]

    @classmethod
    def of(cls, name: str, array: Array) -> Tensor:
        dtype = {"float32": FLOAT32, "uint8": UINT8}[array.dtype.name]
        shape = (c.c_int64 * 8)(*array.shape)
        return cls(name.encode(), array.ctypes.data, array.nbytes, dtype, array.ndim, shape)

    def array(self) -> Array:
        """A copy of the elements, which are float32."""
        assert self.dtype == FLOAT32
        shape = tuple(self.shape[: self.rank])
        return np.frombuffer(c.string_at(self.data, self.bytes), np.float32).reshape(shape)


@pytest.fixture(scope="module")
def library() -> c.CDLL:
    loaded = c.CDLL(str(c_library()))
    for name in ("d2d_version", "d2d_last_message", "d2d_status_name"):
        getattr(loaded, name).restype = c.c_char_p
    return loaded


@pytest.fixture(scope="module")
def bgr() -> Array:
    """(H, W, 3), with objects of the example model."""
    with Image.open(ROOT / "examples" / "mask_rcnn" / "input.png") as image:
        return np.ascontiguousarray(np.asarray(image.convert("RGB"))[:, :, ::-1])


def call(library: c.CDLL, name: str, *arguments: Any) -> None:
    status = getattr(library, name)(*arguments)
    assert status == 0, library.d2d_last_message().decode()


@contextmanager
def handle(library: c.CDLL, kind: str, function: str, *arguments: Any) -> Iterator[c.c_void_p]:
    """What `d2d_<kind>_<function>` gives, until the end."""
    made = c.c_void_p()
    call(library, f"d2d_{kind}_{function}", *arguments, c.byref(made))
    yield made
    call(library, f"d2d_{kind if function != 'predict' else 'prediction'}_free", made)


def options(**given: int) -> Any:
    return c.byref(Options(struct_size=c.sizeof(Options), **given))


def picture(image: Array, order: int = 0) -> Any:
    """Of an array whose rows may have gaps between them."""
    height, width, channels = image.shape
    readable = (height - 1) * image.strides[0] + width * channels
    return c.byref(Picture(image.ctypes.data, readable, height, width, image.strides[0], channels, order))


def number(library: c.CDLL, name: str, of: c.c_void_p) -> int:
    value = c.c_int64()
    call(library, name, of, c.byref(value))
    return value.value


def mask_of(library: c.CDLL, found: c.c_void_p, i: int, shape: tuple[int, ...]) -> Array:
    mask = np.empty(shape, np.uint8)
    call(library, "d2d_prediction_mask", found, c.c_int64(i), c.c_float(0.5), mask.ctypes, c.c_size_t(mask.nbytes))
    return mask.astype(bool)


def rle_of(library: c.CDLL, found: c.c_void_p, i: int) -> bytes:
    needed = c.c_size_t()
    where = (found, c.c_int64(i), c.c_float(0.5))
    call(library, "d2d_prediction_mask_rle", *where, None, c.c_size_t(0), c.byref(needed))
    text = c.create_string_buffer(needed.value)
    call(library, "d2d_prediction_mask_rle", *where, text, needed, None)
    return text.value


def fields(library: c.CDLL, found: c.c_void_p, shape: tuple[int, ...]) -> dict[str, Array]:
    """A prediction of a Mask R-CNN, as arrays by the names that Predictor has for them."""
    count = number(library, "d2d_prediction_count", found)
    boxes, columns = c.POINTER(c.c_float)(), c.c_int64()
    scores, classes = c.POINTER(c.c_float)(), c.POINTER(c.c_int64)()
    call(library, "d2d_prediction_boxes", found, c.byref(boxes), c.byref(columns))
    call(library, "d2d_prediction_scores", found, c.byref(scores))
    call(library, "d2d_prediction_classes", found, c.byref(classes))
    return {
        "pred_boxes": np.ctypeslib.as_array(boxes, (count, columns.value)).copy(),
        "scores": np.ctypeslib.as_array(scores, (count,)).copy(),
        "pred_classes": np.ctypeslib.as_array(classes, (count,)).copy(),
        "pred_masks": np.array([mask_of(library, found, i, shape) for i in range(count)]),
    }


def test_predicts_what_predictor_predicts(library: c.CDLL, example: Path, bgr: Array) -> None:
    wanted = Predictor(example, **OPTIONS)(bgr)["instances"]
    assert len(wanted) >= 6
    with (
        handle(library, "detector", "load", bytes(example), options(**OPTIONS)) as detector,
        handle(library, "detector", "predict", detector, picture(bgr)) as found,
    ):
        shape = bgr.shape[:2]
        for name, values in fields(library, found, shape).items():
            field = wanted.get(name)
            assert np.array_equal(values, np.asarray(getattr(field, "tensor", field))), name
        for i, mask in enumerate(np.asarray(wanted.pred_masks)):
            code = coco.encode(np.asfortranarray(mask.astype(np.uint8)))["counts"]
            assert rle_of(library, found, i) == code


def test_rows_with_gaps_and_rgb(library: c.CDLL, example: Path, bgr: Array) -> None:
    part = bgr[5:, :-7]  # a view: rows lie further apart than they are long
    wanted = Predictor(example, **OPTIONS)(np.ascontiguousarray(part))["instances"]
    with handle(library, "detector", "load", bytes(example), options(**OPTIONS)) as detector:
        rgb = np.ascontiguousarray(part[:, :, ::-1])
        for given in (picture(part), picture(rgb, order=2)):
            with handle(library, "detector", "predict", detector, given) as found:
                values = fields(library, found, part.shape[:2])
                assert np.array_equal(values["pred_boxes"], np.asarray(wanted.pred_boxes.tensor))
                assert np.array_equal(values["pred_masks"], np.asarray(wanted.pred_masks))


def test_threads_share_a_detector(library: c.CDLL, example: Path, bgr: Array) -> None:
    pictures = [np.ascontiguousarray(bgr[:, : 256 - 8 * i]) for i in range(4)]
    with handle(library, "detector", "load", bytes(example), options(**(OPTIONS | {"threads": 1}))) as detector:

        def predict(image: Array) -> dict[str, Array]:
            with handle(library, "detector", "predict", detector, picture(image)) as found:
                return fields(library, found, image.shape[:2])

        wanted = [predict(image) for image in pictures]
        with ThreadPoolExecutor(4) as pool:
            for found, alone in zip(pool.map(predict, pictures * 3), wanted * 3):
                assert all(np.array_equal(found[name], values) for name, values in alone.items())


def test_sessions_give_the_nets_outputs(library: c.CDLL, example: Path, bgr: Array) -> None:
    data = np.ascontiguousarray(bgr.transpose(2, 0, 1)[None])
    inputs = {"data": data, "im_info": np.array([[*bgr.shape[:2], 1]], np.float32)}
    wanted = Model(example / "model.pb", example / "model_init.pb", threads=1).run(inputs)
    tensors = (Tensor * 2)(*(Tensor.of(name, array) for name, array in inputs.items()))
    found = {}
    with (
        handle(library, "model", "load", bytes(example), options(threads=1)) as model,
        handle(library, "session", "create", model) as session,
    ):
        call(library, "d2d_session_run", session, tensors, c.c_int64(2))
        for i in range(number(library, "d2d_session_output_count", session)):
            output = Tensor()
            call(library, "d2d_session_output", session, c.c_int64(i), c.byref(output))
            found[output.name.decode()] = output.array()
    assert found.keys() == wanted.keys()
    assert all(np.array_equal(found[name], array) for name, array in wanted.items())


def test_errors_have_a_status_and_a_message(library: c.CDLL, tmp_path: Path) -> None:
    made = c.c_void_p()
    assert library.d2d_detector_load(bytes(tmp_path), None, c.byref(made)) == 1  # the exit code of `d2deploy predict`
    assert not made
    assert library.d2d_last_status() == 1
    assert library.d2d_last_message().decode().startswith(f"d2d_detector_load: {tmp_path / 'model.pb'}")
    assert library.d2d_status_name(1) == b"invalid argument"
    (tmp_path / "model.pb").write_bytes(b"no net")
    (tmp_path / "model_init.pb").write_bytes(b"no net")
    assert library.d2d_detector_load(bytes(tmp_path), None, c.byref(made)) == 2
    assert library.d2d_status_name(library.d2d_last_status()) == b"invalid model"


def test_version(library: c.CDLL) -> None:
    assert f'\nversion = "{library.d2d_version().decode()}"\n' in (ROOT / "pyproject.toml").read_text()
    assert library.d2d_abi_version() >= 1
