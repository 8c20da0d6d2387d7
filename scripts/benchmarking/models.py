"""The models that are measured, as files: `python -m benchmarking.models` makes them.

Weights are random: they cost what trained ones cost, since they are drawn so that a picture has as many proposals and
detections as it may have. A folder gets `model.pb` and `model_init.pb`, `standard.onnx`, `weights.pth`, the net's
inputs for each size, and, where they can be made, `calibration.txt` and `openvino_int8.xml`; `*.failed` says why not.
"""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

# Name in tables -> configuration of the zoo.
MODELS = {
    "R50-FPN": "COCO-InstanceSegmentation/mask_rcnn_R_50_FPN_3x.yaml",
    "R50-C4": "COCO-InstanceSegmentation/mask_rcnn_R_50_C4_3x.yaml",
    "RetinaNet": "COCO-Detection/retinanet_R_50_FPN_3x.yaml",
    "Keypoint": "COCO-Keypoints/keypoint_rcnn_R_50_FPN_3x.yaml",
    "Panoptic": "COCO-PanopticSegmentation/panoptic_fpn_R_50_3x.yaml",
}
# Random layers want normalised pixels.
OVERRIDES: list[Any] = ["MODEL.DEVICE", "cpu", "MODEL.PIXEL_STD", [58.0, 58.0, 58.0]]
# How far a layer's outputs spread, times its inputs': scores differ, boxes stay near their anchors, blocks add little.
GAINS = {
    **dict.fromkeys(["objectness_logits", "cls_score", "predictor", "score_lowres"], 1.5),
    **dict.fromkeys(["anchor_deltas", "bbox_pred"], 0.3),
    "conv3": 0.3,
}
CALIBRATION_PICTURES = 8


def build(config: str, overrides: list[Any]) -> tuple[Any, Any]:
    """Configuration and model of a file of the zoo, or another one."""
    from d2deploy.config import load_config
    from d2deploy.modeling import build_model

    cfg = load_config(config, [*OVERRIDES, *overrides])
    return cfg, build_model(cfg).eval()


def draw_weights(model: Any, gains: Mapping[str, float]) -> None:
    """Draws weights from PyTorch's generator, spread so that activations stay about as large from layer to layer.

    Args:
        model: any; its parameters and buffers change.
        gains: by name of a layer, where it is not 1.2.
    """
    for name, value in model.state_dict().items():
        if name.endswith(("running_mean", "bias")):
            value.normal_(std=0.1)
        elif name.endswith(("running_var", "norm.weight")):
            value.uniform_(0.5, 1.5)
        elif value.ndim > 1 and value.is_floating_point():  # indices stay what they are
            value.normal_(std=gains.get(name.split(".")[-2], 1.2) / value[0].numel() ** 0.5)


def load_model(folder: Path) -> Any:
    """The model of a folder in PyTorch."""
    import torch

    saved = torch.load(folder / "weights.pth", weights_only=True, mmap=True)
    _, model = build(saved["config"], saved["overrides"])
    model.load_state_dict(saved["weights"], assign=True)
    return model


def picture(height: int, width: int, number: int = 0) -> np.ndarray[Any, Any]:
    """A picture of that size, (height, width, 3) uint8 RGB: the one in the package, from another corner by number."""
    from importlib import resources

    from PIL import Image

    with resources.as_file(resources.files("d2deploy") / "data" / "sample.jpg") as path, Image.open(path) as file:
        whole = file.convert("RGB")
        cut = number * min(whole.size) // (4 * CALIBRATION_PICTURES)
        part = whole.resize((width, height), Image.Resampling.BILINEAR, (cut, cut, whole.width, whole.height))
        return np.asarray(part)


def net_inputs_of(pixels: np.ndarray[Any, Any]) -> dict[str, Any]:
    """The net's inputs for a picture in RGB whose sides need no padding."""
    data = np.ascontiguousarray(pixels[:, :, ::-1].transpose(2, 0, 1)[None], np.float32)
    return {"data": data, "im_info": np.array([[*pixels.shape[:2], 1]], np.float32)}


def parse_size(text: str) -> tuple[int, int]:
    """Height and width of HxW; nets take multiples of 32."""
    height, width = (int(side) for side in text.split("x"))
    if min(height, width) <= 0 or height % 32 or width % 32:
        raise ValueError(f"size {text}: height and width must be multiples of 32, as 800x1216")
    return height, width


def make(name: str, folder: Path, overrides: list[Any]) -> None:
    """Writes the files of a model."""
    import torch

    from d2deploy.export import Caffe2Tracer

    folder.mkdir(parents=True, exist_ok=True)
    cfg, model = build(MODELS[name], overrides)
    torch.manual_seed(0)
    draw_weights(model, GAINS)
    saved = {"config": MODELS[name], "overrides": overrides, "weights": model.state_dict()}
    torch.save(saved, folder / "weights.pth")
    tracer = Caffe2Tracer(cfg, model)
    tracer.export_caffe2().save_protobuf(folder)
    (folder / "standard.onnx").write_bytes(tracer.export_onnx(standard_ops=True).SerializeToString())


def attempt(work: Any, note: Path) -> None:
    """Does what may fail; the note says why it did."""
    note.unlink(missing_ok=True)
    try:
        work()
    except ModuleNotFoundError as error:
        note.write_text(f"the package {error.name} is not installed; pip install --group bench brings it")
    except Exception as error:
        note.write_text(f"{type(error).__name__}: {' '.join(str(error).split())[:300]}")


def calibrate(folder: Path, size: tuple[int, int]) -> None:
    """What precision int8 of ours needs, from `d2deploy calibrate`."""
    from PIL import Image

    pictures = folder / "pictures"
    pictures.mkdir(exist_ok=True)
    for number in range(CALIBRATION_PICTURES):
        Image.fromarray(picture(*size, number)).save(pictures / f"{number}.png")
    sides = [f"--min-size={min(size)}", f"--max-size={max(size)}"]
    command = [sys.executable, "-m", "d2deploy", "calibrate", str(folder), "--images", str(pictures), *sides]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        raise RuntimeError(f"d2deploy calibrate: {(done.stderr.strip().splitlines() or ['failed'])[-1]}")


def quantize(folder: Path, size: tuple[int, int]) -> None:
    """OpenVINO's int8, by NNCF with its own choice of layers."""
    import nncf
    import openvino

    model = openvino.Core().read_model(folder / "standard.onnx")
    names = {name for port in model.inputs for name in port.get_names()}
    feeds = (net_inputs_of(picture(*size, number)) for number in range(CALIBRATION_PICTURES))
    dataset = nncf.Dataset([{k: v for k, v in feed.items() if k in names} for feed in feeds])
    openvino.save_model(nncf.quantize(model, dataset), folder / "openvino_int8.xml", compress_to_fp16=False)


def main(arguments: list[str]) -> None:
    """MODEL FOLDER SIZE[,SIZE]... ENGINE[,ENGINE]... [KEY VALUE]...; engines in int8 have files of their own."""
    name, place, sizes, engines, *overrides = arguments
    folder, size_names = Path(place), sizes.split(",")
    if not (folder / "standard.onnx").exists():
        make(name, folder, overrides)
    for size in size_names:
        np.savez(folder / f"{size}.npz", **net_inputs_of(picture(*parse_size(size))))
    first = parse_size(size_names[0])
    if "ours-int8" in engines.split(",") and not (folder / "calibration.txt").exists():
        attempt(lambda: calibrate(folder, first), folder / "calibration.failed")
    if "openvino-int8" in engines.split(",") and not (folder / "openvino_int8.xml").exists():
        attempt(lambda: quantize(folder, first), folder / "openvino_int8.failed")


if __name__ == "__main__":
    main(sys.argv[1:])
