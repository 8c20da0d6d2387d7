"""Checkpoints: every format into tensors and into a model, and what is said where they do not fit."""

from __future__ import annotations

import argparse
import fractions
import pickle
import re
import subprocess
import sys
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import save_file
from torch import nn

from d2deploy.checkpoint import load_checkpoint, load_weights
from d2deploy.errors import InvalidArgument, InvalidModel, Unsupported

Tensors = dict[str, torch.Tensor]


class FrozenNorm(nn.Module):
    """The buffers of Detectron2's FrozenBatchNorm2d."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        for name in ("weight", "bias", "running_mean", "running_var"):
            self.register_buffer(name, torch.full((channels,), 9.0))


class Predictor(nn.Module):
    def __init__(self, classes: int) -> None:
        super().__init__()
        self.cls_score = nn.Linear(4, classes + 1)


class Model(nn.Module):
    """A detector as far as names go."""

    def __init__(self, classes: int = 2) -> None:
        super().__init__()
        self.backbone = nn.Sequential(nn.Conv2d(3, 4, 1, bias=False), FrozenNorm(4), nn.BatchNorm2d(4))
        self.box_predictor = Predictor(classes)
        self.register_buffer("pixel_mean", torch.tensor([1.0, 2.0, 3.0]).view(3, 1, 1), persistent=False)


def weights_of(model: nn.Module, seed: int = 0) -> Tensors:
    generator = torch.Generator().manual_seed(seed)
    names = (name for name in model.state_dict() if not name.endswith("num_batches_tracked"))
    return {name: torch.randn(model.state_dict()[name].shape, generator=generator) for name in names}


def save_pkl(tensors: Tensors, file: Path) -> None:
    content = {"model": {name: value.numpy() for name, value in tensors.items()}, "__author__": "Detectron2 Model Zoo"}
    file.write_bytes(pickle.dumps(content))


def save_old_pth(tensors: Tensors, file: Path) -> None:
    torch.save(tensors, file, _use_new_zipfile_serialization=False)


def save_training_pth(tensors: Tensors, file: Path) -> None:
    optimizer = torch.optim.SGD([nn.Parameter(torch.ones(2))], lr=0.1, momentum=0.9)
    content = {"model": tensors, "optimizer": optimizer.state_dict(), "scheduler": {"last_epoch": 3}, "iteration": 5}
    torch.save(content, file)


FORMATS: dict[str, Callable[[Tensors, Path], object]] = {
    "a.pkl": save_pkl,
    "a.pth": lambda tensors, file: torch.save({"model": tensors}, file),
    "plain.pth": torch.save,
    "old.pth": save_old_pth,
    "training.pth": save_training_pth,
    "a.safetensors": lambda tensors, file: save_file(tensors, str(file)),
    "no_suffix": torch.save,
    "named_wrongly.pkl": torch.save,
    "named_wrongly.pth": save_pkl,
}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path


def saved(folder: Path, tensors: dict[str, Any], name: str = "a.pth") -> Path:
    FORMATS[name](tensors, folder / name)
    return folder / name


@pytest.mark.parametrize("name", FORMATS)
def test_formats(name: str, folder: Path) -> None:
    tensors = weights_of(Model())
    tensors["backbone.1.bias"] = tensors["backbone.1.bias"].half()
    tensors["backbone.1.weight"] = tensors["backbone.1.weight"].double()
    file = saved(folder, tensors, name)
    found = load_checkpoint(file)
    assert found.keys() == tensors.keys()
    for key, tensor in tensors.items():
        assert found[key].dtype == tensor.dtype
        assert torch.equal(found[key], tensor)
    found["backbone.1.bias"].zero_()  # the file does not change with it
    model = Model()
    load_weights(model, str(file))
    for key, tensor in tensors.items():
        assert model.state_dict()[key].dtype == torch.float32
        assert torch.equal(model.state_dict()[key], tensor.float())
    assert model.get_buffer("pixel_mean").flatten().tolist() == [1, 2, 3]


def test_arrays_of_other_layouts(folder: Path) -> None:
    expected = np.arange(6.0).reshape(2, 3)
    shared = np.ones(2, np.float32)
    content = {
        "a.f": np.asfortranarray(expected),
        "a.b": expected.astype(">f8"),
        "a.s": np.float32(3),
        "b.1": shared,
        "b.2": shared,
    }
    (folder / "a.pkl").write_bytes(pickle.dumps(content, protocol=2))
    found = load_checkpoint(folder / "a.pkl")
    assert torch.equal(found["a.f"], torch.tensor(expected))
    assert torch.equal(found["a.b"], torch.tensor(expected))
    assert (found["a.s"].item(), found["a.s"].shape) == (3, ())
    assert found["b.1"].data_ptr() == found["b.2"].data_ptr()


def test_bfloat16(folder: Path) -> None:
    tensors = {name: value.bfloat16() for name, value in weights_of(Model()).items()}
    model = Model()
    for name in ("a.pth", "a.safetensors"):
        file = saved(folder, tensors, name)
        assert load_checkpoint(file)["backbone.0.weight"].dtype == torch.bfloat16
        load_weights(model, file)
        assert torch.equal(model.state_dict()["backbone.0.weight"], tensors["backbone.0.weight"].float())


def test_half_a_model(folder: Path) -> None:
    tensors = weights_of(Model())
    model = Model().half()
    load_weights(model, saved(folder, tensors))
    assert torch.equal(model.state_dict()["backbone.0.weight"], tensors["backbone.0.weight"].half())


def test_names_that_models_of_today_do_not_have(folder: Path) -> None:
    tensors = weights_of(Model())
    old = {
        "proposal_generator.anchor_generator.cell_anchors.0": torch.ones(3, 4),
        "anchor_generator.cell_anchors.4": torch.ones(3, 4),
        "pixel_mean": torch.zeros(3, 1, 1),
        "pixel_std": torch.ones(3, 1, 1),
        "backbone.0.num_batches_tracked": torch.tensor(5),
    }
    model = Model()
    load_weights(model, saved(folder, {**tensors, **old}))
    assert model.get_buffer("pixel_mean").flatten().tolist() == [1, 2, 3]
    load_weights(model, saved(folder, {f"module.{name}": value for name, value in {**tensors, **old}.items()}))
    assert torch.equal(model.state_dict()["backbone.0.weight"], tensors["backbone.0.weight"])


def test_older_names_of_point_rend(folder: Path) -> None:
    heads = {
        "coarse_head": nn.ModuleDict({"fc1": nn.Linear(2, 3)}),
        "point_head": nn.ModuleDict({"fc1": nn.Linear(3, 2)}),
    }
    model = nn.ModuleDict({"roi_heads": nn.ModuleDict({"mask_head": nn.ModuleDict(heads)})})
    old = {
        f"roi_heads.{name}.{part}": torch.rand(shape)
        for name, sizes in (("mask_coarse_head.coarse_mask_fc1", (3, 2)), ("mask_point_head.fc1", (2, 3)))
        for part, shape in (("weight", sizes), ("bias", sizes[:1]))
    }
    load_weights(model, saved(folder, old))
    found = model.state_dict()
    for name, was in (("coarse_head", "mask_coarse_head.coarse_mask_fc1"), ("point_head", "mask_point_head.fc1")):
        assert torch.equal(found[f"roi_heads.mask_head.{name}.fc1.weight"], old[f"roi_heads.{was}.weight"])


def test_frozen_norms_of_old_checkpoints_have_no_statistics(folder: Path) -> None:
    tensors = weights_of(Model())
    del tensors["backbone.1.running_mean"], tensors["backbone.1.running_var"]
    model = Model()
    load_weights(model, saved(folder, tensors))
    assert model.state_dict()["backbone.1.running_mean"].tolist() == [0, 0, 0, 0]
    assert model.state_dict()["backbone.1.running_var"].tolist() == [1, 1, 1, 1]
    del tensors["backbone.2.running_mean"]  # a norm that is not frozen has them
    with pytest.raises(InvalidModel, match=r"1 missing in the file: backbone.2.running_mean\n"):
        load_weights(model, saved(folder, tensors))


def misfit(folder: Path, tensors: Tensors, model: nn.Module | None = None) -> list[str]:
    """The lines of the error, after it was checked that nothing was loaded."""
    model = model or Model()
    before = {name: value.clone() for name, value in model.state_dict().items()}
    file = saved(folder, tensors)
    with pytest.raises(InvalidModel) as caught:
        load_weights(model, file)
    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())
    first, *lines, last = str(caught.value).split("\n  ")
    assert first == f"{file} does not fit the model:"
    assert last == "give the configuration that the checkpoint was trained with"
    return lines


def test_all_misfits_are_in_one_error(folder: Path) -> None:
    tensors = weights_of(Model())
    del tensors["backbone.1.bias"], tensors["backbone.2.weight"]
    tensors["extra.weight"] = torch.ones(1)
    tensors["backbone.0.weight"] = torch.ones(4, 3, 3, 3)
    tensors["backbone.2.bias"] = torch.ones(4, dtype=torch.int64)
    assert misfit(folder, tensors) == [
        "2 missing in the file: backbone.1.bias, backbone.2.weight",
        "1 not in the model: extra.weight",
        "2 of another shape or type: backbone.0.weight is (4, 3, 3, 3), the model's (4, 3, 1, 1), "
        "backbone.2.bias is of torch.int64, the model's of torch.float32",
    ]


def test_long_lists_are_counted(folder: Path) -> None:
    tensors = weights_of(Model())
    many = {f"x{k}": torch.ones(1) for k in range(100)}
    assert misfit(folder, {**tensors, **many})[0] == "100 not in the model: x0, x1, x2, x3, x4, x5, and 94 more"
    many = {f"head.a.{k}.w": torch.ones(1) for k in range(100)} | {"head.b.w": torch.ones(1), "tail": torch.ones(1)}
    assert misfit(folder, {**tensors, **many})[0] == "102 not in the model: head.a.* (100), head.b.* (1), tail (1)"


def test_prefixes_are_recognised(folder: Path) -> None:
    tensors = weights_of(Model())
    few = list(tensors.items())[:4]  # most of them would have been taken
    lines = misfit(folder, {f"model.{name}": value for name, value in few})
    assert lines[-1] == "the file's names begin with 'model.', the model's do not: remove it from the names"
    wrapper = nn.ModuleDict({"net": Model()})
    lines = misfit(folder, tensors, wrapper)
    assert lines[-1] == "the model's names begin with 'net.', the file's do not: add it to the names"


def test_similar_names_are_suggested(folder: Path) -> None:
    tensors = weights_of(Model())
    tensors["box_predictor.class_score.weight"] = tensors.pop("box_predictor.cls_score.weight")
    expected = "box_predictor.class_score.weight may be what the model calls box_predictor.cls_score.weight"
    assert misfit(folder, tensors)[-1] == expected


def test_another_number_of_classes_is_recognised(folder: Path) -> None:
    lines = misfit(folder, weights_of(Model(classes=7)))
    assert lines[-1] == "the file's MODEL.ROI_HEADS.NUM_CLASSES is 7"


@pytest.mark.parametrize(
    "tensor", [torch.ones(4, dtype=torch.complex64), torch.ones(4).to_sparse(), torch.ones(4, device="meta")]
)
def test_tensors_that_are_not_plain(tensor: torch.Tensor, folder: Path) -> None:
    tensors = {**weights_of(Model()), "backbone.1.bias": tensor}
    assert "backbone.1.bias is not a plain tensor of real numbers (torch." in misfit(folder, tensors)[0]


class Hostile:
    def __reduce__(self) -> Any:
        import os

        return os.system, ("touch hacked",)


def write_compressed(file: Path) -> None:
    torch.save({"a": torch.zeros(1 << 20)}, file)
    with zipfile.ZipFile(file) as archive:
        parts = {name: archive.read(name) for name in archive.namelist()}
    with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, part in parts.items():
            archive.writestr(name, part)


# How a file is written, and what is said of it.
BROKEN: dict[str, tuple[Callable[[Path], object], type[Exception], str]] = {
    "hostile.pth": (
        lambda f: torch.save({"model": Hostile()}, f),
        InvalidModel,
        r"refused: it holds more than tensors, or is damaged \((posix|nt)\.system, which is neither a tensor nor",
    ),
    "hostile_old.pth": (
        lambda f: torch.save({"m": Hostile()}, f, _use_new_zipfile_serialization=False),
        InvalidModel,
        r"refused: it holds more than tensors",
    ),
    "compressed.pth": (write_compressed, InvalidModel, r"refused: its parts are compressed"),
    "zip.pth": (
        lambda f: zipfile.ZipFile(f, "w").writestr("a", b"x"),
        InvalidModel,
        r"damaged or cut off|not a checkpoint",
    ),
    "text.pth": (
        lambda f: f.write_text("hello, world"),
        InvalidModel,
        r"not a checkpoint \(its first bytes are b'hello, w'\); wanted",
    ),
    "empty.pth": (lambda f: f.write_bytes(b""), InvalidModel, r"empty.pth is empty; wanted: a .pkl"),
    "empty.pkl": (lambda f: f.write_bytes(b""), InvalidModel, r"empty.pkl is empty"),
    "lfs.pkl": (lambda f: f.write_text("version https://git-lfs.github.com/spec/v1\n"), InvalidModel, r"git lfs pull"),
    "list.pth": (
        lambda f: torch.save([torch.ones(1)], f),
        InvalidModel,
        r'holds list; wanted: \{"model": tensors by name\}',
    ),
    "list.pkl": (lambda f: f.write_bytes(pickle.dumps([1])), InvalidModel, r"holds list; wanted"),
    "number.pkl": (
        lambda f: f.write_bytes(pickle.dumps({"model": 1})),
        InvalidModel,
        r'"model" is int; wanted: tensors by name',
    ),
    "nothing.pth": (lambda f: torch.save({}, f), InvalidModel, r"holds no tensors"),
    "entries.pkl": (
        lambda f: f.write_bytes(pickle.dumps({"model": {"a.b": "x", "c": np.ones(1), 3: np.ones(1)}})),
        InvalidModel,
        r"2 entries are not tensors with a name: 'a\.b' \(str\), 3 \(Tensor\)",
    ),
    "backbone.pkl": (
        lambda f: f.write_bytes(pickle.dumps({"conv1_w": np.ones(1), "res2_0_branch2a_w": np.ones(1)})),
        Unsupported,
        r"holds a backbone to start training from, and no detector; give the weights",
    ),
    "heuristics.pkl": (
        lambda f: f.write_bytes(
            pickle.dumps({"model": {"stem.conv1.weight": np.ones(1)}, "matching_heuristics": True})
        ),
        Unsupported,
        r"holds a backbone to start training from",
    ),
    "detectron.pkl": (
        lambda f: f.write_bytes(pickle.dumps({"blobs": {"my_w": np.ones(1)}, "cfg": ""})),
        Unsupported,
        r"is of Detectron and has 1 weights of layers that are not known: my_w",
    ),
}


def beside_weights() -> dict[str, Any]:
    """What trainers keep beside weights."""
    return {
        "best_metric": np.float64(41.5),
        "epoch": np.int64(3),
        "history": np.arange(6.0).reshape(2, 3),
        "args": argparse.Namespace(lr=0.1, output=Path("out")),
    }


@pytest.mark.parametrize("old", [False, True], ids=["zip", "old"])
def test_harmless_objects_beside_the_weights(old: bool, folder: Path) -> None:
    tensors = weights_of(Model())
    file = folder / "best.pth"
    torch.save({"model": tensors, **beside_weights()}, file, _use_new_zipfile_serialization=not old)
    assert load_checkpoint(file).keys() == tensors.keys()


def test_what_is_refused_is_named_without_terminal_codes(folder: Path) -> None:
    torch.save({"model": {"a": torch.ones(1)}, "x": fractions.Fraction(1, 3)}, folder / "a.pth")
    with pytest.raises(InvalidModel, match=r"\(fractions.Fraction, which is neither a tensor nor a plain") as caught:
        load_checkpoint(folder / "a.pth")
    assert "\x1b" not in str(caught.value)
    assert "[9" not in str(caught.value)


def test_advice_of_pytorch_to_run_what_a_file_says_is_not_passed_on(folder: Path) -> None:
    torch.save({"model": {"a": torch.ones(1)}, "x": np.array([None, "a"], dtype=object)}, folder / "a.pth")
    with pytest.raises(InvalidModel, match="refused: it holds more than tensors, or is damaged") as caught:
        load_checkpoint(folder / "a.pth")
    assert "weights_only" not in str(caught.value)


def test_the_one_dict_of_tensors_is_found_by_any_name(folder: Path, caplog: pytest.LogCaptureFixture) -> None:
    optimizer = {"state": {0: {"exp_avg": torch.ones(2)}}, "param_groups": [{"lr": 0.1}]}
    torch.save({"ema": {"net": weights_of(Model())}, "optimizer": optimizer}, folder / "a.pth")
    with pytest.raises(InvalidModel, match="'ema'"):
        load_checkpoint(folder / "a.pth")
    torch.save({"checkpoint": {"state_dict": weights_of(Model())}, "epoch": 3}, folder / "a.pth")
    with pytest.raises(InvalidModel, match="'checkpoint'"):
        load_checkpoint(folder / "a.pth")
    for content in ({"net": weights_of(Model()), "optimizer": optimizer}, {"model": {"params": weights_of(Model())}}):
        torch.save(content, folder / "a.pth")
        load_weights(Model(), folder / "a.pth")
    assert "the weights are those of its entry 'net'" in caplog.text
    assert "the weights are those of its entry 'model.params'" in caplog.text


def test_several_dicts_of_tensors_are_named(folder: Path) -> None:
    torch.save({"generator": weights_of(Model()), "critic": {"a": torch.ones(1)}}, folder / "a.pth")
    with pytest.raises(
        InvalidModel, match="holds several sets of tensors: 'generator', 'critic'; save that of the model"
    ):
        load_checkpoint(folder / "a.pth")


@pytest.mark.parametrize("wrapper", ["_orig_mod", "_fsdp_wrapped_module", "_checkpoint_wrapped_module"])
def test_names_of_wrapped_modules(wrapper: str, folder: Path) -> None:
    tensors = {f"{wrapper}.{n.replace('.', f'.{wrapper}.', 1)}": v for n, v in weights_of(Model()).items()}
    load_weights(Model(), saved(folder, tensors))


def test_numbers_that_are_not_finite_are_told(folder: Path, caplog: pytest.LogCaptureFixture) -> None:
    tensors = weights_of(Model())
    tensors["backbone.1.bias"] = tensors["backbone.1.bias"] * float("nan")
    load_weights(Model(), saved(folder, tensors))
    assert "numbers that are not finite in backbone.1.bias; did its training diverge?" in caplog.text


def test_averaged_models(folder: Path) -> None:
    averaged = {f"module.{name}": value for name, value in weights_of(Model()).items()}
    load_weights(Model(), saved(folder, {"n_averaged": torch.tensor(3), **averaged}))


@pytest.mark.parametrize("entry", ["state_dict", "model_state_dict", "model_ema", "ema_state"])
def test_other_names_of_the_weights(entry: str, folder: Path, caplog: pytest.LogCaptureFixture) -> None:
    torch.save({entry: weights_of(Model()), "epoch": 3}, folder / "a.pth")
    load_weights(Model(), folder / "a.pth")
    assert f"the weights are those of its entry '{entry}'" in caplog.text


def test_of_several_entries_the_model_is_taken_with_a_word(folder: Path, caplog: pytest.LogCaptureFixture) -> None:
    torch.save({"model_ema": weights_of(Model(), seed=1), "model": weights_of(Model())}, folder / "a.pth")
    found = load_checkpoint(folder / "a.pth")
    assert torch.equal(found["backbone.0.weight"], weights_of(Model())["backbone.0.weight"])
    assert "the weights are those of its entry 'model'; it also holds model_ema" in caplog.text


def test_the_teacher_of_two_models_is_taken(folder: Path, caplog: pytest.LogCaptureFixture) -> None:
    student = {f"modelStudent.{name}": value for name, value in weights_of(Model(), seed=1).items()}
    teacher = {f"modelTeacher.{name}": value for name, value in weights_of(Model()).items()}
    model = Model()
    load_weights(model, saved(folder, {**student, **teacher}))
    assert torch.equal(model.state_dict()["backbone.0.weight"], weights_of(Model())["backbone.0.weight"])
    assert "begin with 'modelTeacher.'; those of 'modelStudent.' are left out" in caplog.text


def test_one_entry_without_the_prefix(folder: Path) -> None:
    tensors = {f"module.{name}": value for name, value in weights_of(Model()).items()}
    tensors["backbone.1.bias"] = tensors.pop("module.backbone.1.bias")
    load_weights(Model(), saved(folder, tensors))
    with pytest.raises(InvalidModel, match=r"1 not in the model: extra\n") as caught:
        load_weights(Model(), saved(folder, {**tensors, "extra": torch.ones(1)}))
    assert "missing" not in str(caught.value)


@pytest.mark.parametrize("name", BROKEN)
def test_broken_files(name: str, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(folder)
    write, error, message = BROKEN[name]
    write(folder / name)
    with pytest.raises(error, match=message) as caught:
        load_checkpoint(folder / name)
    assert str(caught.value).startswith(str(folder / name))
    assert not (folder / "hacked").exists()


@pytest.mark.parametrize("name", FORMATS)
def test_files_that_are_cut_off(name: str, folder: Path) -> None:
    whole = saved(folder, {"a.b": torch.arange(50.0), "a.c": torch.ones(3, 3)}, name).read_bytes()
    for length in (len(whole) * k // 23 for k in range(23)):
        (folder / name).write_bytes(whole[:length])
        with pytest.raises(InvalidModel, match=re.escape(name)):
            load_checkpoint(folder / name)


def test_importing_d2deploy_needs_none_of_this() -> None:
    code = "import sys, d2deploy; print(sorted({'torch', 'yaml', 'tqdm', 'safetensors'} & set(sys.modules)))"
    package = Path(__file__).resolve().parents[2] / "python"
    found = subprocess.run([sys.executable, "-c", code], cwd=package, capture_output=True, text=True, check=True)
    assert found.stdout == "[]\n"


def test_no_checkpoint_is_given() -> None:
    with pytest.raises(InvalidArgument, match=r"no checkpoint is given; set MODEL.WEIGHTS to a file or an address"):
        load_weights(Model(), "")
