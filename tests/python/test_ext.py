"""d2deploy._ext: arrays in and out, threads, what a file tells about itself, and errors by the names of d2deploy."""

from __future__ import annotations

import os
import re
import struct
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt
import pytest
from conftest import ROOT, find_program
from png import read_png

from d2deploy import errors

if TYPE_CHECKING:
    from d2deploy import _ext
else:
    _ext = pytest.importorskip("d2deploy._ext", reason="not built: cmake --preset dev && cmake --build --preset dev")

Arrays = dict[str, npt.NDArray[Any]]


@pytest.fixture(scope="module")
def model(example: Path) -> _ext.Model:
    return _ext.Model(example / "model.pb", example / "model_init.pb", threads=1)


@pytest.fixture(scope="module")
def inputs(example: Path) -> Arrays:
    """The example's picture, whose sides are multiples of 32."""
    picture = read_png(example / "input.png")[:, :, ::-1].transpose(2, 0, 1)
    data = np.ascontiguousarray(picture[None], np.float32)
    return {"data": data, "im_info": np.array([[*data.shape[2:], 1]], np.float32)}


@pytest.fixture(scope="module")
def wanted(model: _ext.Model, inputs: Arrays) -> Arrays:
    return model.run(inputs)


def same_bits(have: Arrays, want: Arrays) -> bool:
    return have.keys() == want.keys() and all(
        have[name].dtype == want[name].dtype
        and have[name].shape == want[name].shape
        and have[name].tobytes() == want[name].tobytes()
        for name in want
    )


# ---- What comes out --------------------------------------------------------------------------------


def test_names(model: _ext.Model, wanted: Arrays) -> None:
    assert model.inputs == ["data", "im_info"]
    assert model.outputs == ["bbox_nms", "score_nms", "class_nms", "mask_fcn_probs"]
    assert sorted(wanted) == sorted(model.outputs)


def test_gives_what_the_program_dumps(wanted: Arrays, example: Path, tmp_path: Path) -> None:
    program = find_program("caffe2_mask_rcnn")
    flags = [f"--{key}={value}" for key, value in {"output_dir": tmp_path, "dump_dir": tmp_path, "threads": 1}.items()]
    files = [
        f"--{key}={example / file}"
        for key, file in zip(
            ["predict_net", "init_net", "input"], ["model.pb", "model_init.pb", "input.png"], strict=True
        )
    ]
    subprocess.run([program, *files, *flags], check=True, capture_output=True)
    dumped = {name: np.load(tmp_path / f"{name}.npy") for name in sorted(wanted)}
    assert same_bits(wanted, dumped)
    assert len(wanted["score_nms"]) >= 6


def test_arrays_own_their_memory(example: Path, inputs: Arrays, wanted: Arrays) -> None:
    model = _ext.Model(str(example / "model.pb"), str(example / "model_init.pb"), threads=1)
    first = model.run(inputs)
    assert all(array.flags.owndata and array.flags.writeable for array in first.values())
    model.run({**inputs, "data": inputs["data"][:, :, ::-1]})
    del model
    assert same_bits(first, wanted)


def test_batches_tell_their_rows_apart(model: _ext.Model, inputs: Arrays, wanted: Arrays) -> None:
    other = np.ascontiguousarray(inputs["data"][:, :, ::-1])
    alone = [wanted, model.run({**inputs, "data": other})]
    both = model.run(
        {
            "data": np.concatenate([inputs["data"], other]),
            "im_info": np.repeat(inputs["im_info"], 2, axis=0),
        }
    )
    assert sorted(both) == ["batch_splits", *sorted(wanted)]
    splits = both.pop("batch_splits")
    assert splits.dtype == np.float32
    assert splits.tolist() == [len(answer["score_nms"]) for answer in alone]
    for name, array in both.items():
        np.testing.assert_allclose(array, np.concatenate([answer[name] for answer in alone]), rtol=1e-4, atol=1e-4)


# ---- What goes in ----------------------------------------------------------------------------------


def unaligned(array: npt.NDArray[Any]) -> npt.NDArray[Any]:
    raw = np.empty(array.nbytes + 1, np.uint8)
    out = raw[1:].view(array.dtype).reshape(array.shape)
    out[...] = array
    assert not out.flags.aligned
    return out


def read_only(array: npt.NDArray[Any]) -> npt.NDArray[Any]:
    out = array.copy()
    out.flags.writeable = False
    return out


@pytest.mark.parametrize(
    "same",
    [
        np.asfortranarray,
        lambda a: np.ascontiguousarray(a[:, :, ::-1, ::-1])[:, :, ::-1, ::-1],
        lambda a: np.repeat(a, 2, axis=3)[:, :, :, ::2],
        lambda a: np.ascontiguousarray(a.transpose(0, 2, 3, 1)).transpose(0, 3, 1, 2),
        unaligned,
        read_only,
    ],
    ids=["fortran", "backwards", "every second", "channels last", "unaligned", "read-only"],
)
def test_arrays_of_any_layout(
    model: _ext.Model, inputs: Arrays, wanted: Arrays, same: Callable[[npt.NDArray[Any]], npt.NDArray[Any]]
) -> None:
    assert same_bits(model.run({**inputs, "data": same(inputs["data"])}), wanted)


def test_images_as_bytes(model: _ext.Model, inputs: Arrays, wanted: Arrays) -> None:
    assert same_bits(model.run({**inputs, "data": inputs["data"].astype(np.uint8)}), wanted)


def test_what_holds_an_array(model: _ext.Model, inputs: Arrays, wanted: Arrays) -> None:
    given: Any = {name: memoryview(array.copy().data) for name, array in inputs.items()}
    assert same_bits(model.run(given), wanted)


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"im_info": None}, "input 'im_info' is of type NoneType, wanted a NumPy array"),
        ({"im_info": [[192.0, 256.0, 1.0]]}, "input 'im_info' is of type list, wanted a NumPy array"),
        ({"im_info": np.ones((1, 3))}, "input 'im_info' is float64, which no blob is; convert it with astype"),
        ({"im_info": np.ones((1, 3), np.float16)}, "input 'im_info' is float16, which no blob is"),
        ({"im_info": np.ones((1, 3), ">f4")}, "input 'im_info' is >f4, wanted a NumPy array"),
        ({"im_info": np.array([["a", "b", "c"]])}, "input 'im_info' is <U1, wanted a NumPy array"),
        ({"im_info": np.ones((1, 3), np.int64)}, "input 'im_info' is int64, wanted float32"),
        ({"im_info": np.ones((1, 4), np.float32)}, r"input 'im_info' is \(1, 4\), wanted \(\?, 3\)"),
        ({"im_info": np.float32(1)}, r"input 'im_info' is .*, wanted"),
        ({"data": np.ones((0, 3, 8, 8), np.float32)}, r"input 'data' is \(0, 3, 8, 8\), wanted"),
        ({"data": np.ones((1, 4, 64, 64), np.float32)}, r"A \(1, 4, 64, 64\) and B \(3, 1, 1\) do not go together"),
        ({"image": np.ones(1, np.float32)}, "there is no input 'image'; wanted: data, im_info"),
        ({7: np.ones(1, np.float32)}, "an input's name is of type int, wanted a str"),
    ],
)
def test_inputs_are_checked(model: _ext.Model, inputs: Arrays, changed: dict[Any, Any], message: str) -> None:
    with pytest.raises(errors.InvalidArgument, match=message):
        model.run({**inputs, **changed})


def test_input_that_is_missing(model: _ext.Model, inputs: Arrays, wanted: Arrays) -> None:
    with pytest.raises(errors.InvalidArgument, match=r"^input 'im_info' is missing; wanted: data, im_info$"):
        model.run({"data": inputs["data"]})
    assert same_bits(model.run(inputs), wanted)  # the session goes on


def test_array_of_too_many_dimensions(model: _ext.Model, inputs: Arrays) -> None:
    with pytest.raises(errors.Unsupported, match="8"):
        model.run({**inputs, "data": np.ones((1,) * 9, np.float32)})


# ---- Threads ---------------------------------------------------------------------------------------


def test_threads_get_what_they_get_alone(model: _ext.Model, inputs: Arrays) -> None:
    def request(i: int) -> Arrays:
        data = np.roll(inputs["data"], 16 * i, axis=3)[:, :, : 192 - 32 * (i % 3)]
        return {"data": data, "im_info": np.array([[*data.shape[2:], 1]], np.float32)}

    alone = [model.run(request(i)) for i in range(6)]
    assert len({answer["score_nms"].tobytes() for answer in alone}) == 6
    with ThreadPoolExecutor(4) as pool:
        together = list(pool.map(lambda i: model.run(request(i % 6)), range(18)))
    assert all(same_bits(answer, alone[i % 6]) for i, answer in enumerate(together))


def steps_beside(work: Callable[[], object]) -> int:
    """How often this thread comes to its turn while `work` runs in another."""
    thread = threading.Thread(target=work)
    steps = 0
    thread.start()
    while thread.is_alive():
        steps += 1
        time.sleep(0.001)
    return steps


def test_other_threads_of_python_go_on(model: _ext.Model, inputs: Arrays) -> None:
    large = {**inputs, "data": np.tile(inputs["data"], (1, 1, 4, 4))}
    model.run(large)  # what only the first run does is done
    assert max(steps_beside(lambda: model.run(large)) for _ in range(3)) > 5  # one or two where a run keeps the GIL


# ---- What a file tells about itself ----------------------------------------------------------------


def field(number: int, payload: bytes) -> bytes:
    """A field of protobuf's wire format whose payload is shorter than 2 MiB: key, length in three bytes, payload."""
    size = len(payload)
    length = bytes([size & 127 | 128, size >> 7 & 127 | 128, size >> 14])
    return bytes([number << 3 | 2]) + length + payload


def net_argument(name: bytes, value: bytes) -> bytes:
    """A field of a net; appended to a file, it belongs to it."""
    return field(6, field(1, name) + value)


def load_with(example: Path, folder: Path, more: bytes) -> _ext.Model:
    (folder / "model.pb").write_bytes((example / "model.pb").read_bytes() + more)
    return _ext.Model(folder / "model.pb", example / "model_init.pb")


def test_info(model: _ext.Model) -> None:
    assert model.info["meta_architecture"] == "GeneralizedRCNN"
    assert model.info["size_divisibility"] == 32
    model.info.clear()  # a copy
    assert model.info


def test_info_has_all_arguments(example: Path, tmp_path: Path) -> None:
    ints = bytes([6 << 3, 8]) + bytes([6 << 3, 16])
    floats = bytes([5 << 3 | 5]) + struct.pack("<f", 0.5) + bytes([5 << 3 | 5]) + struct.pack("<f", -2)
    arguments = {
        b"an_int": bytes([3 << 3, 7]),
        b"a_float": bytes([2 << 3 | 5]) + struct.pack("<f", 0.1),
        b"text": field(4, "Stra\u00dfe".encode()),
        b"raw": field(4, b"\x80\x02\xff\x00."),
        b"ints": ints,
        b"floats": floats,
        b"names": field(7, b"disc") + field(7, b"\xff"),
        b"nothing": b"",
        "\u00e9".encode(): bytes([3 << 3, 1]),
        b"\xe9": bytes([3 << 3, 2]),
    }
    info = load_with(example, tmp_path, b"".join(net_argument(*item) for item in arguments.items())).info
    assert {name: info[name] for name in info if name not in ("meta_architecture", "size_divisibility", "device")} == {
        "an_int": 7,
        "a_float": float(np.float32(0.1)),
        "text": "Stra\u00dfe",
        "raw": b"\x80\x02\xff\x00.",
        "ints": [8, 16],
        "floats": [0.5, -2.0],
        "names": ["disc", b"\xff"],
        "nothing": [],
        "\u00e9": 1,
        "\udce9": 2,
    }
    assert isinstance(info["an_int"], int)


def test_hostile_arguments_are_refused(example: Path, tmp_path: Path) -> None:
    with pytest.raises(errors.InvalidModel, match=r"the net's arguments take .* bytes, at most 1048576 are read"):
        load_with(example, tmp_path, net_argument(b"names", b":\0" * (1 << 19)))
    twice = net_argument(b"x\xff", bytes([3 << 3, 1])) + net_argument(b"x\xff", bytes([3 << 3, 2]))
    with pytest.raises(errors.InvalidModel, match=re.escape(r"argument 'x\xff': is there twice")):
        load_with(example, tmp_path, twice)


# ---- Errors ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("options", "kind", "message"),
    [
        ({"device": "tpu"}, errors.Unsupported, "device 'tpu' is not available; available: cpu, cuda, cuda:N"),
        (
            {"precision": "int4"},
            errors.Unsupported,
            "precision 'int4' is not available on cpu; available: float32, bfloat16, int8",
        ),
        ({"engine": "torch"}, errors.Unsupported, "engine 'torch' is not available; available: native, caffe2"),
        ({"threads": -1}, errors.InvalidArgument, "threads is -1, wanted 0 (as many as the process may use) to 4096"),
        (
            {"threads": 5000},
            errors.InvalidArgument,
            "threads is 5000, wanted 0 (as many as the process may use) to 4096",
        ),
        ({"max_tensor_bytes": 0}, errors.InvalidArgument, "max_tensor_bytes is 0, must be positive"),
        ({"max_tensor_bytes": 1000}, errors.InvalidModel, "1000"),
    ],
)
def test_options_are_checked(example: Path, options: dict[str, Any], kind: type[Exception], message: str) -> None:
    with pytest.raises(kind) as caught:
        _ext.Model(example / "model.pb", example / "model_init.pb", **options)
    assert message in str(caught.value)
    assert type(caught.value) is kind


def test_bfloat16_where_the_cpu_has_none_warns(example: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    files = (example / "model.pb", example / "model_init.pb")
    monkeypatch.delenv("D2DEPLOY_EMULATE", raising=False)
    if "avx512_bf16" in Path("/proc/cpuinfo").read_text():
        assert _ext.Model(*files, precision="bfloat16").precision == "bfloat16"  # warnings are errors
        return
    for kind in (_ext.Model, _ext.Detector):
        with pytest.warns(UserWarning, match="precision bfloat16 would be slower than float32 here") as caught:
            assert kind(*files, precision="bfloat16").precision == "float32"
        assert len(caught) == 1
    monkeypatch.setenv("D2DEPLOY_EMULATE", "bfloat16")
    assert _ext.Model(*files, precision="bfloat16").precision == "bfloat16"


def test_options_have_names(example: Path) -> None:
    by_position: Any = (example / "model.pb", example / "model_init.pb", "cpu")
    with pytest.raises(TypeError):
        _ext.Model(*by_position)


def test_files_are_checked(example: Path, tmp_path: Path) -> None:
    init = example / "model_init.pb"
    with pytest.raises(errors.InvalidArgument, match=re.escape(f"{tmp_path / 'nowhere.pb'}: there is no such file")):
        _ext.Model(tmp_path / "nowhere.pb", init)
    with pytest.raises(errors.InvalidArgument, match="init net"):
        _ext.Model(init, example / "model.pb")
    damaged = tmp_path / "d\u00e9g\u00e2t.pb"
    damaged.write_bytes((example / "model.pb").read_bytes()[:-7])
    with pytest.raises(errors.InvalidModel, match=re.escape(f"{damaged}: ")) as caught:
        _ext.Model(damaged, init)
    flags = [f"--predict_net={damaged}", f"--init_net={init}", f"--input={example / 'input.png'}"]
    command: list[str | Path] = [find_program("caffe2_mask_rcnn"), *flags]
    result = subprocess.run(command, capture_output=True, text=True, check=False)
    assert str(caught.value) in result.stderr  # the words are kept


def test_lack_of_memory_for_arrays(
    model: _ext.Model, inputs: Arrays, wanted: Arrays, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(shape: tuple[int, ...], dtype: str) -> None:
        raise MemoryError(f"Unable to allocate {shape} {dtype}")

    with monkeypatch.context() as patch:
        patch.setattr(np, "empty", refuse)
        with pytest.raises(
            errors.DeviceError, match=r"^output 'bbox_nms': out of memory: Unable to allocate \(\d+, 4\)"
        ):
            model.run(inputs)
    assert same_bits(model.run(inputs), wanted)


def test_optimize_is_passed_on(example: Path, inputs: Arrays, wanted: Arrays) -> None:
    plain = _ext.Model(example / "model.pb", example / "model_init.pb", threads=1, optimize=False).run(inputs)
    assert not same_bits(plain, wanted)  # other kernels sum in other orders
    np.testing.assert_allclose(plain["score_nms"][:6], wanted["score_nms"][:6], atol=1e-4)


def test_low_memory_is_passed_on(example: Path, inputs: Arrays, wanted: Arrays) -> None:
    def kernels(model: _ext.Model) -> set[str]:
        return {node["kernel"].partition("/")[0] for node in model.profile(inputs, 0)}

    files = example / "model.pb", example / "model_init.pb"
    low = _ext.Model(*files, threads=1, low_memory=True)
    assert kernels(_ext.Model(*files, threads=1)) - kernels(low) == {"winograd_3x3_f32"}
    np.testing.assert_allclose(low.run(inputs)["score_nms"][:6], wanted["score_nms"][:6], atol=1e-4)


def test_profile(example: Path, inputs: Arrays, wanted: Arrays) -> None:
    model = _ext.Model(example / "model.pb", example / "model_init.pb", threads=1)
    planned, ran = model.profile(inputs, 0), model.profile(inputs, runs=2)
    assert [node["outputs"].keys() for node in planned] == [node["outputs"].keys() for node in ran]
    assert {(node["runs"], node["milliseconds"]) for node in planned} == {(0, 0)}
    assert {node["runs"] for node in ran} == {2}
    assert sum(node["milliseconds"] for node in ran) > 0
    shapes = {name: shape for node in ran for name, shape in node["outputs"].items()}
    assert {name: shapes[name] for name in wanted} == {name: array.shape for name, array in wanted.items()}
    # As many operations as the pictures' boxes need, and for the most boxes more.
    assert 0 < sum(node["flops"] for node in ran) < sum(node["flops"] for node in planned)
    assert all(node["bytes"] >= 0 and node["kernel"] for node in ran)
    assert same_bits(model.run(inputs), wanted)
    for runs in (0, 1):
        with pytest.raises(errors.InvalidArgument, match=r"^input 'im_info' is missing; wanted: "):
            model.profile({"data": inputs["data"]}, runs)
    with pytest.raises(errors.InvalidArgument, match=r"^runs is -1, must be at least 0$"):
        model.profile(inputs, -1)


# ---- The module ------------------------------------------------------------------------------------


def test_stub_is_that_of_the_module(tmp_path: Path) -> None:
    stub = tmp_path / "_ext.pyi"
    path = os.pathsep.join([str(ROOT / "python"), str(Path(_ext.__file__).parents[1])])
    write = [sys.executable, "-m", "nanobind.stubgen", "-q", "-m", "d2deploy._ext", "-o", str(stub)]
    form = [sys.executable, "-m", "ruff", "format", "-q", "--line-length=120", str(stub)]
    subprocess.run(write, check=True, env={"PYTHONPATH": path})
    subprocess.run(form, check=True)
    commands = " && ".join([" ".join(write), " ".join(form)]).replace(str(stub), "python/d2deploy/_ext.pyi")
    assert stub.read_text() == (ROOT / "python/d2deploy/_ext.pyi").read_text(), f"to mend: PYTHONPATH={path} {commands}"


def test_everything_is_documented() -> None:
    assert _ext.__doc__
    for name in ("__init__", "run", "profile", "inputs", "outputs", "info"):
        assert getattr(_ext.Model, name).__doc__, name
