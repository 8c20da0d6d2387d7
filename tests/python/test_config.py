"""Config: values, merging of files and overrides, and what is said about each way to get them wrong."""

from __future__ import annotations

import copy
import pickle
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from d2deploy.config import Config, get_cfg, load_config
from d2deploy.config.merge import merge_nested
from d2deploy.errors import InvalidArgument


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path


def write(file: Path, text: str) -> Path:
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(text)
    return file


def merged(folder: Path, text: str) -> Config:
    return load_config(write(folder / "model.yaml", text))


def test_defaults_are_those_that_detectron2_documents() -> None:
    cfg = get_cfg()
    assert cfg.VERSION == 2
    assert cfg.MODEL.PIXEL_MEAN == [103.53, 116.28, 123.675]
    assert cfg.MODEL.ROI_BOX_HEAD.BBOX_REG_WEIGHTS == (10.0, 10.0, 5.0, 5.0)
    assert cfg["MODEL"]["ROI_HEADS"]["SCORE_THRESH_TEST"] == 0.05
    assert cfg.MODEL.ROI_BOX_CASCADE_HEAD.BBOX_REG_WEIGHTS[2] == (30.0, 30.0, 15.0, 15.0)
    assert (cfg.INPUT.MIN_SIZE_TEST, cfg.INPUT.MAX_SIZE_TEST) == (800, 1333)
    assert cfg.EXPORT_CAFFE2.USE_HEATMAP_MAX_KEYPOINT is False


def test_two_configurations_share_nothing() -> None:
    one, two = get_cfg(), get_cfg()
    one.MODEL.PIXEL_MEAN[0] = -1.0
    one.MODEL.RPN.NMS_THRESH = 0.1
    assert two.MODEL.PIXEL_MEAN[0] == 103.53
    assert two.MODEL.RPN.NMS_THRESH == 0.7
    three = one.clone()
    three.MODEL.PIXEL_MEAN[0] = -2.0
    assert one.MODEL.PIXEL_MEAN[0] == -1.0


# Text of an override, and what it must become.
LITERALS: dict[str, tuple[str, str, Any]] = {
    "text": ("MODEL.DEVICE", "cpu", "cpu"),
    "path": ("MODEL.WEIGHTS", "C:\\new\\data.pkl", "C:\\new\\data.pkl"),
    "quoted": ("MODEL.DEVICE", "'cuda:1'", "cuda:1"),
    "float": ("MODEL.RPN.NMS_THRESH", "0.25", 0.25),
    "integer_for_float": ("MODEL.RPN.NMS_THRESH", "1", 1.0),
    "exponent": ("SOLVER.BASE_LR", "1e-3", 0.001),
    "bool": ("MODEL.MASK_ON", "True", True),
    "tuple": ("DATASETS.TEST", "('a', 'b')", ("a", "b")),
    "list_for_tuple": ("DATASETS.TEST", "['a']", ("a",)),
    "tuple_for_list": ("MODEL.PIXEL_STD", "(1.0, 2.0, 3.0)", [1.0, 2.0, 3.0]),
    "nested": ("MODEL.ANCHOR_GENERATOR.SIZES", "[[16], [32]]", [[16], [32]]),
    "none": ("SOLVER.WEIGHT_DECAY_NORM", "None", None),
    "for_none": ("SOLVER.WEIGHT_DECAY_BIAS", "0.1", 0.1),
    "no_literal": ("MODEL.WEIGHTS", "(" * 500, "(" * 500),
}


@pytest.mark.parametrize("name", LITERALS)
def test_override(name: str) -> None:
    key, text, expected = LITERALS[name]
    cfg = get_cfg()
    cfg.merge_from_list([key, text])
    node: Any = cfg
    for part in key.split("."):
        node = node[part]
    assert node == expected
    assert type(node) is type(expected)


def test_override_takes_values_too() -> None:
    cfg = get_cfg()
    cfg.merge_from_list(("MODEL.ROI_HEADS.NUM_CLASSES", 3, "MODEL.MASK_ON", True))
    assert (cfg.MODEL.ROI_HEADS.NUM_CLASSES, cfg.MODEL.MASK_ON) == (3, True)


# What is merged, and what the one error must say.
WRONG_OVERRIDES: dict[str, tuple[list[Any], str]] = {
    "unknown": (
        ["MODEL.ROI_HEAD.NUM_CLASSES", "3"],
        r"unknown key MODEL.ROI_HEAD.NUM_CLASSES; did you mean MODEL.ROI_HEADS.NUM",
    ),
    "nothing_near": (["XYZ", "3"], r"^overrides: unknown key XYZ$"),
    "below_a_value": (["MODEL.DEVICE.NAME", "3"], r"unknown key MODEL.DEVICE.NAME"),
    "type": (["MODEL.RPN.NMS_THRESH", "high"], r"^overrides: MODEL.RPN.NMS_THRESH must be float, got 'high' \(str\)$"),
    "bool_is_no_number": (["MODEL.ROI_HEADS.NUM_CLASSES", "True"], r"must be int, got True \(bool\)"),
    "number_is_no_bool": (["MODEL.MASK_ON", "1"], r"must be bool, got 1 \(int\)"),
    "float_is_no_integer": (["MODEL.ROI_HEADS.NUM_CLASSES", "3.0"], r"must be int, got 3.0 \(float\)"),
    "number_is_no_text": (["MODEL.WEIGHTS", "12"], r"MODEL.WEIGHTS must be str, got 12 \(int\)"),
    "number_is_no_list": (["MODEL.PIXEL_MEAN", "12.0"], r"must be list, got 12.0 \(float\)"),
    "section": (["MODEL.RPN", "12"], r"MODEL.RPN is a section, got 12"),
    "odd": (["MODEL.DEVICE"], r"KEY VALUE pairs.*'MODEL.DEVICE'.*no value"),
    "one_text": (["MODEL.DEVICE", "cpu", "MODEL.MASK_ON"], r"KEY VALUE pairs"),
    "set": (["MODEL.DEVICE", "{1, 2}"], r"MODEL.DEVICE must be str, got \{1, 2\} \(set\)"),
    "bytes_for_none": (["SOLVER.WEIGHT_DECAY_BIAS", "b'1'"], r"must be any plain value, got b'1' \(bytes\)"),
    "long": (["MODEL.RPN.NMS_THRESH", "x" * 200], r"got 'x{56}\.\.\. \(str\)"),
}


@pytest.mark.parametrize("name", WRONG_OVERRIDES)
def test_wrong_override(name: str) -> None:
    overrides, message = WRONG_OVERRIDES[name]
    with pytest.raises(InvalidArgument, match=message):
        get_cfg().merge_from_list(overrides)


def test_all_faults_are_in_one_error_and_nothing_changes(folder: Path) -> None:
    cfg = get_cfg()
    text = "MODEL: {DEVICE: cpu, MASKON: true, RPN: {NMS: 1}, MY_HEAD: {A: 1, B: 2}}\nTEST: 3\nSEED: x\n"
    with pytest.raises(InvalidArgument) as caught:
        cfg.merge_from_file(write(folder / "m.yaml", text))
    lines = str(caught.value).splitlines()
    assert lines[0] == f"{folder / 'm.yaml'}: "
    assert [line.split(";")[0] for line in lines[1:]] == [
        "  unknown key MODEL.MASKON",
        "  unknown key MODEL.RPN.NMS",
        "  unknown key MODEL.MY_HEAD",
        "  TEST is a section, got 3",
        "  SEED must be int, got 'x' (str)",
    ]
    assert "did you mean MODEL.MASK_ON?" in lines[1]
    assert cfg == get_cfg()


def test_thousands_of_unknown_keys_are_counted() -> None:
    overrides = [part for k in range(5000) for part in (f"MODEL.K{k}", 1)]
    with pytest.raises(InvalidArgument, match=r"and 4900 more$"):
        get_cfg().merge_from_list(overrides)


def test_custom_keys_may_be_added_and_then_merged(folder: Path) -> None:
    cfg = get_cfg()
    cfg.MODEL.MY_HEAD = {"WIDTH": 8, "DEEP": {"NAME": "a"}}
    cfg.merge_from_list(["MODEL.MY_HEAD.WIDTH", "9", "MODEL.MY_HEAD.DEEP.NAME", "b"])
    assert isinstance(cfg.MODEL.MY_HEAD, Config)
    assert (cfg.MODEL.MY_HEAD.WIDTH, cfg.MODEL.MY_HEAD.DEEP.NAME) == (9, "b")
    del cfg.MODEL.MY_HEAD
    assert "MY_HEAD" not in cfg.MODEL
    for value in (object(), {1}, b"x"):
        with pytest.raises(InvalidArgument, match="MY_HEAD must be text, a number, a list, None or a section, got"):
            cfg.MODEL.MY_HEAD = value
    with pytest.raises(InvalidArgument, match="a key of a configuration must be text, got 3"):
        cfg[3] = 4  # type: ignore[index]


def test_missing_keys_are_attribute_errors() -> None:
    cfg = get_cfg()
    assert not hasattr(cfg, "NOTHING_LIKE_THIS")
    assert getattr(cfg.MODEL, "MY_HEAD", 5) == 5
    with pytest.raises(AttributeError, match=r"no key WEIGHT here; did you mean WEIGHTS\?"):
        _ = cfg.MODEL.WEIGHT
    with pytest.raises(AttributeError, match="no key WEIGHT here"):
        del cfg.MODEL.WEIGHT
    with pytest.raises(KeyError):
        cfg["WEIGHT"]


def test_frozen() -> None:
    cfg = get_cfg()
    cfg.freeze()
    assert cfg.is_frozen()
    changes: list[Callable[[], object]] = [
        lambda: setattr(cfg.MODEL, "DEVICE", "cpu"),
        lambda: cfg.MODEL.update(DEVICE="cpu"),
        lambda: cfg.MODEL.pop("DEVICE"),
        lambda: cfg.merge_from_list([]),
        lambda: cfg.merge_from_file("COCO-Detection/faster_rcnn_R_50_C4_1x"),
    ]
    for change in changes:
        with pytest.raises(InvalidArgument, match=r"frozen; change a clone\(\) of it, after defrost\(\)"):
            change()
    assert cfg == get_cfg()
    other = cfg.clone()
    assert other.is_frozen()
    other.defrost()
    other.MODEL.DEVICE = "cpu"
    assert cfg.MODEL.DEVICE == "cuda"


def test_copies_and_pickles() -> None:
    cfg = load_config("COCO-Keypoints/keypoint_rcnn_R_50_FPN_1x")
    cfg.freeze()
    for other in (copy.deepcopy(cfg), pickle.loads(pickle.dumps(cfg))):
        assert other == cfg
        assert other.MODEL.is_frozen()
    assert repr(cfg.MODEL.BACKBONE) == "Config({'NAME': 'build_resnet_fpn_backbone', 'FREEZE_AT': 2})"


def test_dump_is_read_back(folder: Path) -> None:
    cfg = load_config(
        "COCO-Detection/retinanet_R_50_FPN_1x", ["MODEL.DEVICE", "cpu", "SOLVER.WEIGHT_DECAY_BIAS", "0.5"]
    )
    again = merged(folder, cfg.dump())
    assert again.dump() == cfg.dump()
    assert again.DATASETS == cfg.DATASETS  # tuples again
    assert again.MODEL.ANCHOR_GENERATOR == cfg.MODEL.ANCHOR_GENERATOR
    plain = yaml.safe_load(str(cfg))
    assert plain["MODEL"]["DEVICE"] == "cpu"
    assert plain["DATASETS"]["TEST"] == ["coco_2017_val"]


@given(
    st.floats(allow_nan=False), st.lists(st.integers()), st.text(st.characters(codec="utf-8", exclude_categories=["C"]))
)
def test_any_values_are_read_back(number: float, integers: list[int], text: str) -> None:
    # A path, since text that looks like a number becomes one, here as in Detectron2.
    cfg = Config({"NUMBER": number, "LISTS": {"ONE": integers, "TWO": tuple(integers)}, "TEXT": f"/{text}"})
    again = Config({"NUMBER": 0.0, "LISTS": {"ONE": [], "TWO": ()}, "TEXT": ""})
    merge_nested(again, yaml.safe_load(cfg.dump()), "dump")
    assert again == cfg


def test_text_in_a_file_may_be_a_literal(folder: Path) -> None:
    cfg = merged(folder, "DATASETS:\n  TEST: ('a', 'b',)\nSOLVER: {BASE_LR: 1e-3}\nMODEL: {RPN: {NMS_THRESH: 1}}\n")
    assert cfg.DATASETS.TEST == ("a", "b")
    assert cfg.SOLVER.BASE_LR == 0.001
    assert cfg.MODEL.RPN.NMS_THRESH == 1.0


def test_bases_are_under_the_file_that_names_them(folder: Path) -> None:
    write(folder / "base/a.yaml", "MODEL: {DEVICE: cpu, MASK_ON: true, RPN: {NMS_THRESH: 0.1}}\nSEED: 1\n")
    write(folder / "base/b.yaml", "_BASE_: a.yaml\nMODEL: {RPN: {NMS_THRESH: 0.2}}\nSEED: 2\n")
    cfg = merged(folder, "_BASE_: base/b.yaml\nSEED: 3\n")
    assert (cfg.MODEL.DEVICE, cfg.MODEL.MASK_ON, cfg.MODEL.RPN.NMS_THRESH, cfg.SEED) == ("cpu", True, 0.2, 3)
    cfg = merged(folder, f"_BASE_: {folder / 'base/b.yaml'}\n")
    assert cfg.SEED == 2
    cfg = merged(folder, "_BASE_: [base/b.yaml, base/a.yaml]\n")
    assert cfg.SEED == 1


@pytest.mark.parametrize("base", ["../Base-RCNN-FPN.yaml", "../../configs/Base-RCNN-FPN.yaml", "Base-RCNN-FPN.yaml"])
def test_a_base_of_the_zoo_need_not_lie_there(folder: Path, base: str, caplog: pytest.LogCaptureFixture) -> None:
    cfg = merged(folder, f"_BASE_: {base}\nMODEL: {{MASK_ON: true}}\n")
    assert cfg.MODEL.BACKBONE.NAME == "build_resnet_fpn_backbone"
    assert cfg.MODEL.RPN.PRE_NMS_TOPK_TEST == 1000
    assert "Base-RCNN-FPN.yaml; the zoo's is taken" in caplog.text


def test_a_file_goes_before_the_zoo(folder: Path) -> None:
    write(folder / "Base-RCNN-FPN.yaml", "SEED: 7\n")
    cfg = merged(folder, "_BASE_: Base-RCNN-FPN.yaml\n")
    assert cfg.SEED == 7
    assert cfg.MODEL.BACKBONE.NAME == "build_resnet_backbone"


# Text of a file, and what the error must say; {folder} is where it lies.
WRONG_FILES: dict[str, tuple[str, str]] = {
    "no_yaml": ("MODEL: [1, 2\nX: {", r"model.yaml is not YAML of plain values: (.|\n)*line 2"),
    "text": ("just text", r"must hold KEY: VALUE lines, got a str"),
    "list": ("- 1\n- 2\n", r"must hold KEY: VALUE lines, got a list"),
    "date": ("SEED: 2020-01-01\n", r"SEED must be int, got .*\(date\)"),
    "python": ("SEED: !!python/object/apply:os.system ['echo']\n", r"not YAML of plain values(.|\n)*os.system"),
    "eval": ("SEED: !!python/object/apply:eval ['__import__(\"os\")']\n", r"line 1: will not evaluate"),
    "eval_of_two": ("SEED: !!python/object/apply:eval ['1', '2']\n", r"line 1: eval takes one expression"),
    "eval_of_mapping": ("SEED: !!python/object/apply:eval {args: ['1']}\n", r"line 1: eval takes one expression"),
    "empty_section": ("MODEL:\n", r"MODEL is a section, got None"),
    "no_base": ("_BASE_: none.yaml\n", r"model.yaml: _BASE_: no configuration .*none.yaml: no such file$"),
    "section_twice": (
        "MODEL:\n  RPN: {NMS_THRESH: 0.5}\n  MASK_ON: true\n  RPN: {BATCH: 3}\n",
        r"model.yaml: RPN stands twice in one section, in lines 2 and 4; Detectron2 would take the last",
    ),
    "number_as_base": ("_BASE_: 3\n", r"_BASE_ must be the path of a file, got 3"),
    "base_elsewhere": (
        "_BASE_: https://x.org/a.yaml\n",
        r"_BASE_ must be a local file, got https://x.org/a.yaml; download",
    ),
    "own_base": ("_BASE_: model.yaml\n", r"_BASE_ leads back to a file of its own chain"),
    "base_with_value": (
        "_BASE_: value.yaml\nMODEL: {DEVICE: cpu}\n",
        r"MODEL is a section here, but a value in the base",
    ),
    "version": ("VERSION: 3\n", r"VERSION 3 is not known; 1 and 2 are"),
    "version_text": ("VERSION: new\n", r"VERSION 'new' is not known"),
    "deep": ("[" * 1000, r"nested too deeply|not YAML"),
    "endless": ("SEED: &a [*a]\n", r"nested too deeply"),
    "bomb": (
        "a: &a [1,1,1,1,1,1,1,1,1,1]\n"
        + "".join(f"{b}: &{b} [{','.join(['*' + a] * 10)}]\n" for a, b in zip("abcdefgh", "bcdefghi")),
        r"more than 100000 values",
    ),
    "large": ("# " + "x" * (1 << 18), r"has 262146 bytes, a configuration at most 262144"),
}


@pytest.mark.parametrize("name", WRONG_FILES)
def test_wrong_file(name: str, folder: Path) -> None:
    text, message = WRONG_FILES[name]
    write(folder / "value.yaml", "MODEL: 3\n")
    with pytest.raises(InvalidArgument, match=message) as caught:
        merged(folder, text)
    assert "model.yaml" in str(caught.value)


def test_files_that_cannot_be_read(folder: Path) -> None:
    cases = {
        str(folder): "cannot read the configuration .*directory",
        str(folder / "none.yaml"): "no configuration .*none.yaml: no such file$",
        "a" * 5000: "cannot read the configuration a+: ",
    }
    for path, message in cases.items():
        with pytest.raises(InvalidArgument, match=message):
            load_config(path)
    (folder / "binary.yaml").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(InvalidArgument, match=r"cannot read the configuration .*binary.yaml: .*decode"):
        load_config(folder / "binary.yaml")
    write(folder / "0.yaml", "SEED: 1\n")
    for k in range(40):
        write(folder / f"{k + 1}.yaml", f"_BASE_: {k}.yaml\n")
    with pytest.raises(InvalidArgument, match=r"or is too long: .*40.yaml -> .*39.yaml"):
        load_config(folder / "40.yaml")


def test_an_empty_file_changes_nothing(folder: Path) -> None:
    assert merged(folder, "# nothing\n") == get_cfg()


VERSION_1 = """
MODEL:
  META_ARCHITECTURE: {architecture}
  WEIGHT: a.pkl
  ROI_HEADS: {{SCORE_THRESH: 0.1, NMS: 0.2}}
  RPN: {{ANCHOR_SIZES: [[1]], ANCHOR_ASPECT_RATIOS: [[2.0]]}}
  RETINANET: {{ANCHOR_SIZES: [[3]], ANCHOR_STRIDES: [8], INFERENCE_NMS_THRESHOLD: 0.3}}
  PANOPTIC_FPN: {{COMBINE_ON: false, SEMANTIC_LOSS_SCALE: 0.4}}
TEST: {{AUG_ON: true, DETECTIONS_PER_IMG: 5}}
"""


@pytest.mark.parametrize("version", ["", "VERSION: 1\n"])
@pytest.mark.parametrize(("architecture", "sizes"), [("GeneralizedRCNN", [[1]]), ("RetinaNet", [[3]])])
def test_version_1_is_read_under_the_names_of_today(folder: Path, architecture: str, sizes: Any, version: str) -> None:
    cfg = merged(folder, VERSION_1.format(architecture=architecture) + version)
    model = cfg.MODEL
    assert cfg.VERSION == 2
    assert model.WEIGHTS == "a.pkl"
    assert (model.ROI_HEADS.SCORE_THRESH_TEST, model.ROI_HEADS.NMS_THRESH_TEST) == (0.1, 0.2)
    assert sizes == model.ANCHOR_GENERATOR.SIZES
    assert model.RETINANET.NMS_THRESH_TEST == 0.3
    assert model.SEM_SEG_HEAD.LOSS_WEIGHT == 0.4
    assert model.PANOPTIC_FPN.COMBINE.ENABLED is False
    assert (cfg.TEST.AUG.ENABLED, cfg.TEST.DETECTIONS_PER_IMAGE) == (True, 5)
    assert set(cfg.MODEL) == set(get_cfg().MODEL)


def test_version_1_with_a_section_that_is_none(folder: Path) -> None:
    text = "VERSION: 1\nMODEL: {ANCHOR_GENERATOR: 3, RPN: {ANCHOR_SIZES: [[1]]}}\n"
    with pytest.raises(InvalidArgument, match=re.escape("ANCHOR_GENERATOR is not a section")):
        merged(folder, text)
