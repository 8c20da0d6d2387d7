"""Pickles: what checkpoints hold is read as Python's own unpickler reads it, and nothing else is read at all."""

from __future__ import annotations

import collections
import os
import pickle
import pickletools
import struct
import time
import tracemalloc
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from d2deploy.errors import InvalidModel
from d2deploy.pickles.reader import read_pickle


def load(folder: Path, data: bytes) -> Any:
    file = folder / "file.pkl"
    file.write_bytes(data)
    return read_pickle(file)


def equal(one: Any, two: Any) -> bool:
    if isinstance(two, (np.ndarray, np.generic)):
        return bool(one.dtype == two.dtype and one.shape == two.shape and one.tobytes() == two.tobytes())
    if isinstance(two, dict):
        return list(one) == list(two) and all(equal(one[key], two[key]) for key in two)
    if isinstance(two, (list, tuple)):
        return type(one) is type(two) and len(one) == len(two) and all(map(equal, one, two))
    return bool(type(one) is type(two) and one == two)


VALUES: dict[str, Any] = {
    "plain": {"a": [1, 2.5, None, True, "ü", b"x"], "b": ((), (1,), (1, 2), (1, 2, 3), (1, 2, 3, 4)), 7: -(2**40)},
    "long": {"n": 2**100, "empty": [[], {}, (), "", b""], "text": "x" * 300, "bytes": b"x" * 300},
    "float32": {"model": {"w": np.arange(6, dtype=np.float32).reshape(2, 3)}, "__author__": "me"},
    "empty": np.zeros((0, 4), np.float32),
    "scalar_array": np.array(3, np.int64),
    "fortran": np.asfortranarray(np.arange(6, dtype=np.float64).reshape(2, 3)),
    "big_endian": np.arange(3, dtype=">f4"),
    "slices": np.arange(20, dtype=np.int16).reshape(4, 5)[::2, 1:4],
    **{kind: np.arange(3).astype(kind) for kind in ("b1", "i1", "u1", "u2", "i4", "u4", "u8", "f2", "f8")},
}


@pytest.mark.parametrize("protocol", range(pickle.HIGHEST_PROTOCOL + 1))
@pytest.mark.parametrize("name", VALUES)
def test_what_checkpoints_hold(name: str, protocol: int, tmp_path: Path) -> None:
    value = VALUES[name]
    if protocol == 0 and name in ("plain",):
        value = {"a": value["a"][:4], "b": value["b"]}  # bytes have no plain form there
    assert equal(load(tmp_path, pickle.dumps(value, protocol=protocol)), value)


def test_scalars_and_state_dicts_and_shared_arrays(tmp_path: Path) -> None:
    array = np.arange(4.0)
    ordered = collections.OrderedDict(a=array, b=array)
    ordered._metadata = {"": {"version": 1}}  # type: ignore[attr-defined]  # as state_dict() has it
    found = load(tmp_path, pickle.dumps({"s": np.float32(2.5), "n": np.int64(3), "o": ordered}))
    assert (found["s"], found["n"]) == (2.5, 3)
    assert found["s"].dtype == np.float32
    assert found["o"]["a"] is found["o"]["b"]
    np.testing.assert_array_equal(found["o"]["a"], array)


def test_pickles_of_python_2(tmp_path: Path) -> None:
    # pickle.dumps({u"n": "\\xe9", "w": numpy.array([1, 2], "f4")}, 2) of Python 2.7 and NumPy 1.16
    array = b"cnumpy.core.multiarray\n_reconstruct\nq\x01cnumpy\nndarray\nq\x02K\x00\x85U\x01b\x87Rq\x03"
    dtype = b"cnumpy\ndtype\nq\x04U\x02f4K\x00K\x01\x87R(K\x03U\x01<NNNJ\xff\xff\xff\xffJ\xff\xff\xff\xffK\x00tb"
    state = b"(K\x01K\x02\x85" + dtype
    raw = struct.pack("<2f", 1, 2)
    data = b"\x80\x02}q\x00(X\x01\x00\x00\x00nU\x01\xe9U\x01w" + array + state + b"\x89U\x08" + raw + b"tbu."
    assert equal(load(tmp_path, data), {"n": "é", "w": np.array([1, 2], "f4")})
    assert equal(load(tmp_path, data), pickle.loads(data, encoding="latin1"))


@pytest.mark.parametrize("core", ["numpy.core", "numpy._core"])
def test_both_names_of_numpys_core(core: str, tmp_path: Path) -> None:
    for protocol in (2, 4, 5):
        data = pickle.dumps({"w": np.arange(3.0), "s": np.float32(1)}, protocol=protocol)
        old, new = b"numpy._core.", core.encode() + b"."
        assert old in data
        renamed = data.replace(old, new) if protocol == 2 else relabelled(data, old.decode(), new.decode())
        assert equal(load(tmp_path, renamed), {"w": np.arange(3.0), "s": np.float32(1)})


def relabelled(data: bytes, old: str, new: str) -> bytes:
    """The pickle with a word in its short texts replaced; framing is left out."""
    out, places = b"", [(op.name, arg, pos or 0) for op, arg, pos in pickletools.genops(data)]
    for (name, argument, start), (_, _, end) in zip(places, [*places[1:], ("", None, len(data))]):
        if name == "SHORT_BINUNICODE" and old in str(argument):
            text = str(argument).replace(old, new).encode()
            out += b"\x8c" + bytes([len(text)]) + text
        elif name != "FRAME":
            out += data[start:end]
    return out


class Reduce:
    def __init__(self, function: Any, *arguments: Any) -> None:
        self.call: tuple[Any, ...] = (function, arguments)

    def __reduce__(self) -> Any:
        return self.call


REFUSED: dict[str, tuple[Any, str]] = {
    "system": (
        Reduce(os.system, "touch hacked"),
        r"refused: it names (posix|nt)\.system, and a checkpoint may hold only",
    ),
    "eval": (Reduce(eval, "1"), r"refused: it names (builtins|__builtin__)\.eval"),
    "getattr": (Reduce(getattr, "a", "upper"), r"names (builtins|__builtin__)\.getattr"),
    "nested": (
        {"model": {"w": [Reduce(os.getcwd)]}},
        r"names posix\.getcwd.*torch\.save\(\{\"model\": model\.state_dict",
    ),
    "set": ({"a": {1, 2}}, r"refused: "),
    "objects": ({"w": np.array([None, {}], object)}, r"refused: an array of type 'O8'"),
    "texts": ({"w": np.array(["a"])}, r"refused: an array of type 'U1'"),
    "records": ({"w": np.zeros(2, [("a", "f4")])}, r"refused: an array of type 'V4'"),
    "complex": ({"w": np.zeros(2, "c8")}, r"refused: an array of type 'c8'"),
    "class": ({"w": np.ndarray}, r"holds Global\(kind='ndarray'\), which is neither an array nor a plain value"),
    "type": ({"w": np.dtype("f4")}, r"holds DType\(.*, which is neither an array nor a plain value"),
    "key": ({(1, 2): 3}, r"a key of a dict must be text or an integer, got tuple"),
    "large_key": ({2**61: 3}, r"a key of a dict must be text or an integer, got int"),
    "reconstruct": (Reduce(np.zeros(0).__reduce__()[0], int, (0,), b"b"), r"names (builtins\.int|__builtin__\.long)"),
    "bytes": (Reduce(bytes, 10**12), r"calls bytes in a way that checkpoints do not"),
    "exception": (ValueError("x"), r"names (builtins|exceptions)\.ValueError"),
}


@pytest.mark.parametrize("protocol", [2, 4])
@pytest.mark.parametrize("name", REFUSED)
def test_refused(name: str, protocol: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    value, message = REFUSED[name]
    with pytest.raises(InvalidModel, match=message) as caught:
        load(tmp_path, pickle.dumps(value, protocol=protocol))
    assert str(caught.value).startswith(str(tmp_path / "file.pkl"))
    assert not (tmp_path / "hacked").exists()


def array_of(shape: Any, raw: bytes, code: str = "f4") -> bytes:
    """A pickle of an array that says what it likes about itself."""
    good = Reduce(np.zeros(0).__reduce__()[0], np.ndarray, (0,), b"b")
    good.call = (*good.call, (1, shape, np.dtype(code), False, raw))
    return pickle.dumps({"w": good}, protocol=4)


DAMAGED: dict[str, tuple[bytes, str]] = {
    "empty": (b"", r"is empty"),
    "text": (b"hello", r"is not a pickle, or is damaged or cut off"),
    "no_stop": (b"\x80\x04N", r"is not a pickle, or is damaged or cut off"),
    "two_values": (b"NN.", r"is not a pickle"),
    "underflow": (b"\x85.", r"an instruction lacks its values"),
    "no_mark": (b"t.", r"an instruction lacks its mark"),
    "mark_as_value": (b"(\x85.", r"an instruction lacks its values"),
    "append": (b"NNa.", r"appended to what is not a list"),
    "set_item": (b"NNNs.", r"set in what is not a dict"),
    "odd": (b"}(Nu.", r"a key has no value"),
    "call": (b"N)R.", r"called that is not a function"),
    "memo": (b"h\x05.", r"is not a pickle"),
    "persistent": (b"Px\n.", r"refused: the pickle's instruction PERSID"),
    "extension": (b"\x82\x01.", r"refused: the pickle's instruction EXT1"),
    "instance": (b"(ios\nsystem\n.", r"refused: the pickle's instruction INST"),
    "global_by_number": (b"K\x01K\x02\x93.", r"names a function by something else than text"),
    "endless_list": (b"]\x94h\x00a.", r"nested too deeply"),
    "deep": (b"N" + b"\x85" * 200 + b".", r"nested too deeply"),
    "deep_name": (b"N" + b"\x85" * 200_000 + b"N\x93.", r"names a function by something else than text"),
    "state": (b"NNb.", r"sets the state of NoneType"),
    "no_data": (pickle.dumps(Reduce(np.zeros(0).__reduce__()[0], np.ndarray, (0,), b"b")), r"an array has no data"),
    "few_bytes": (array_of((2, 3), b"1234"), r"an array of shape \(2, 3\) takes 24 bytes, the file has 4 for it"),
    "many_bytes": (array_of((1,), b"12345678"), r"takes 4 bytes, the file has 8"),
    "huge": (array_of((2**40, 2**40), b"1234"), r"takes \d+ bytes, the file has 4"),
    "overflow": (array_of((2**32, 2**32), b""), r"takes \d+ bytes, the file has 0"),
    "negative": (array_of((-1,), b""), r"sizes must be integers and not negative, got \(-1,\)"),
    "sizes": (array_of((1.0,), b"1234"), r"sizes must be integers"),
    "no_shape": (array_of(3, b"123412341234"), r"shape must be a tuple"),
    "dimensions": (array_of((1,) * 33, b"1234"), r"a tuple of at most 32 sizes"),
    "data": (array_of((1,), [1.0]), r"refused: an array of list"),  # type: ignore[arg-type]
    "claims_bytes": (b"\x8e" + struct.pack("<Q", 2**62) + b"x.", r"damaged or cut off"),
    "claims_text": (b"X\xff\xff\xff\xffx.", r"damaged or cut off"),
    "claims_number": (b"\x8b\xff\xff\xff\x7fx.", r"damaged or cut off"),
    "digits": (b"I" + b"9" * 10_000 + b"\n.", r"damaged or cut off"),
    "many": (b"N0" * 250_000 + b"N.", r"more than 500000 instructions"),
    "codec": (pickle.dumps(b"x", 2).replace(b"latin1", b"utf-16"), r"calls encode in a way"),
}


@pytest.mark.parametrize("name", DAMAGED)
def test_damaged(name: str, tmp_path: Path) -> None:
    data, message = DAMAGED[name]
    tracemalloc.start()
    start = time.perf_counter()
    try:
        with pytest.raises(InvalidModel, match=message) as caught:
            load(tmp_path, data)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert str(caught.value).startswith(str(tmp_path / "file.pkl"))
    assert len(str(caught.value)) < 1000
    assert peak < (200 << 20)
    assert time.perf_counter() - start < 60  # seconds alone; tracing and a busy machine take more


def test_one_piece_of_data_does_not_become_many_arrays(tmp_path: Path) -> None:
    raw = b"B" + struct.pack("<I", 1 << 20) + bytes(1 << 20) + b"\x94"
    dtype = b"cnumpy\ndtype\n\x8c\x02u1\x85R"
    array = b"cnumpy._core.numeric\n_frombuffer\n(h\x00" + dtype + b"J\x00\x00\x10\x00\x85\x8c\x01CtR"
    assert len(load(tmp_path, b"\x80\x04" + raw + b"0](" + array + b"e.")) == 1
    with pytest.raises(InvalidModel, match="refused: its arrays are larger than the file"):
        load(tmp_path, b"\x80\x04" + raw + b"0](" + array * 100 + b"e.")


@pytest.mark.parametrize("protocol", [0, 2, 4, 5])
def test_a_file_that_is_cut_off(protocol: int, tmp_path: Path) -> None:
    whole = pickle.dumps({"model": {"w": np.arange(5.0), "b": np.zeros((2, 2), "f4")}, "__author__": "x"}, protocol)
    for length in range(1, len(whole), 3):
        with pytest.raises(InvalidModel):
            load(tmp_path, whole[:length])


@pytest.mark.filterwarnings("ignore:invalid escape sequence")  # Python's own, of a text that is damaged
@settings(max_examples=300, deadline=None)
@given(data=st.data())
def test_any_damage_is_an_error_or_harmless(data: st.DataObject, tmp_path_factory: pytest.TempPathFactory) -> None:
    protocol = data.draw(st.sampled_from([2, 4, 5]))
    whole = bytearray(pickle.dumps({"model": {"w": np.arange(5.0), "s": np.float32(1)}, "n": [1, "a"]}, protocol))
    for _ in range(data.draw(st.integers(1, 4))):
        whole[data.draw(st.integers(0, len(whole) - 1))] = data.draw(st.integers(0, 255))
    folder = tmp_path_factory.getbasetemp()
    try:
        load(folder, bytes(whole))
    except InvalidModel as error:
        assert "file.pkl" in str(error)  # noqa: PT017  # either way is right
