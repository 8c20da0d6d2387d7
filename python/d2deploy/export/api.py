"""Detectron2's export API: Caffe2Tracer traces a detector, Caffe2Model holds the nets and writes them."""

from __future__ import annotations

import copy
import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import onnx
import onnx_ir
import torch
from google.protobuf import text_format
from google.protobuf.message import DecodeError
from torch import Tensor, nn

from d2deploy.config import class_names
from d2deploy.errors import InvalidArgument, InvalidModel, Unsupported
from d2deploy.export import drawing, proto
from d2deploy.export.detectron2 import from_detectron2, is_detectron2
from d2deploy.export.meta_arch import Caffe2MetaArch, Caffe2RetinaNet, caffe2_meta_arch
from d2deploy.export.net_arguments import net_arguments
from d2deploy.export.netdef import Dims, NetWriter
from d2deploy.export.shapes import readable_shapes
from d2deploy.export.tracing import MIN_SIDE, to_onnx
from d2deploy.export.translations import TRANSLATIONS
from d2deploy.padding import padded_size

# A protobuf message cannot be larger; a weight takes five bytes.
MAX_BYTES = 2**31 - 1


def add_export_config(cfg: Any) -> Any:
    """Adds the exporter's own keys, EXPORT_CAFFE2, to a configuration that lacks them, and returns it.

    `d2deploy.config.get_cfg` has them already; this is for Detectron2's.
    """
    if hasattr(cfg, "EXPORT_CAFFE2"):
        return cfg
    frozen = cfg.is_frozen()
    cfg.defrost()
    cfg.EXPORT_CAFFE2 = type(cfg)({"USE_HEATMAP_MAX_KEYPOINT": False})
    if frozen:
        cfg.freeze()
    return cfg


class Caffe2Model:
    """A predict net and an init net, as Caffe2's NetDef messages.

    Args:
        predict_net: the operators.
        init_net: the weights.
        shapes: of the predict net's blobs, for the picture; known after tracing.
    """

    def __init__(self, predict_net: Any, init_net: Any, shapes: dict[str, Dims] | None = None) -> None:
        self._predict_net = predict_net
        self._init_net = init_net
        self._shapes = shapes or {}

    @property
    def predict_net(self) -> Any:
        return self._predict_net

    @property
    def init_net(self) -> Any:
        return self._init_net

    def save_protobuf(self, output_dir: str | Path) -> None:
        """Writes `model.pb`, `model_init.pb` and `model.pbtxt`, the predict net as text.

        Args:
            output_dir: folder; made where it is missing.

        Raises:
            Unsupported: the weights are more than a protobuf file can hold.
            InvalidArgument: the folder cannot be written.
        """
        size = max(self._predict_net.ByteSize(), self._init_net.ByteSize())
        if size > MAX_BYTES:
            raise Unsupported(
                f"the model takes {size} bytes, a protobuf file holds {MAX_BYTES} at most (about 429 million weights); "
                "use a smaller backbone"
            )
        folder = Path(output_dir)
        try:
            folder.mkdir(parents=True, exist_ok=True)
            (folder / "model.pb").write_bytes(self._predict_net.SerializeToString())
            (folder / "model_init.pb").write_bytes(self._init_net.SerializeToString())
            (folder / "model.pbtxt").write_text(text_format.MessageToString(self._predict_net))
        except OSError as error:
            raise InvalidArgument(f"{folder}: cannot be written: {error.strerror}; choose another folder") from error

    def save_graph(self, output_file: str | Path, inputs: Sequence[dict[str, Any]] | None = None) -> None:
        """Draws the predict net, with the shapes of the blobs.

        Args:
            output_file: SVG file to write.
            inputs: as for the detector; the shapes are then those for this one image, else for height H and width W.

        Raises:
            Unsupported: Graphviz is not installed.
        """
        size = None
        if inputs is not None:
            height, width = inputs[0]["image"].shape[1:]
            size = padded_size(height, width, self._argument("size_divisibility"))
        drawing.draw(self._predict_net, readable_shapes(self._shapes, size), Path(output_file))

    @staticmethod
    def load_protobuf(directory: str | Path) -> Caffe2Model:
        """Reads what `save_protobuf`, or Detectron2, wrote.

        Raises:
            InvalidArgument: a file is missing or cannot be read.
            InvalidModel: a file is not a NetDef.
        """
        folder = Path(directory)
        return Caffe2Model(_read(folder / "model.pb"), _read(folder / "model_init.pb"))

    def _argument(self, name: str) -> int:
        return next((a.i for a in self._predict_net.arg if a.name == name), 0)


def _read(path: Path) -> Any:
    try:
        data = path.read_bytes()
    except OSError as error:
        raise InvalidArgument(f"{path}: cannot be read: {error.strerror}") from error
    net = proto.NetDef()
    try:
        net.ParseFromString(data)
    except DecodeError as error:
        raise InvalidModel(f"{path}: is not a Caffe2 net, or is damaged") from error
    if not net.op:
        raise InvalidModel(f"{path}: holds no operators; is it a Caffe2 net?")
    return net


class Caffe2Tracer:
    """Makes a detector portable.

    Args:
        cfg: its configuration, ours or Detectron2's.
        model: one of d2deploy.modeling's meta-architectures, or a model of Detectron2, with weights.
        inputs: accepted for compatibility; tracing needs no sample. `export_torchscript` takes its size from it.

    Raises:
        Unsupported: the model has parts that Caffe2 files cannot express; the message names them.
    """

    def __init__(self, cfg: Any, model: nn.Module, inputs: Sequence[dict[str, Any]] | None = None) -> None:
        self._cfg = add_export_config(cfg)
        self._inputs = inputs
        self._traced: onnx_ir.Model | None = None
        self.meta_arch = _meta_arch(self._cfg, model).eval()

    def export_onnx(self) -> onnx.ModelProto:
        """The model in ONNX, with the detection operators in domain `org.pytorch._caffe2`."""
        return onnx_ir.to_proto(self._trace())

    def export_caffe2(self) -> Caffe2Model:
        """The model as a predict net and an init net."""
        nets = NetWriter(self._trace(), TRANSLATIONS).write()
        if isinstance(self.meta_arch, Caffe2RetinaNet):  # readers of Detectron2's files look for it there
            nets.predict.external_output.insert(0, "im_info")
        nets.predict.arg.extend(net_arguments(self.meta_arch, self._cfg, class_names(self._cfg)))
        return Caffe2Model(nets.predict, nets.init, nets.shapes)

    def export_torchscript(self) -> torch.jit.ScriptModule:
        """The same graph in TorchScript; it runs where `d2deploy.export` has been imported."""
        sample = self._sample(self._inputs)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # TorchScript's deprecation; that shapes of the sample are constants
            traced: torch.jit.ScriptModule = torch.jit.trace(  # type: ignore[no-untyped-call]
                self.meta_arch, (sample["data"], sample["im_info"]), check_trace=False
            )
        return traced

    @torch.no_grad()
    def run(self, data: Tensor, im_info: Tensor) -> dict[str, Tensor]:
        """What the written files compute, in PyTorch.

        Args:
            data: (1, C, H, W) float32, raw pixels, H and W multiples of the size divisibility.
            im_info: (1, 3) float32: height, width, scale.

        Returns:
            output -> tensor.
        """
        return dict(zip(self.meta_arch.outputs, self.meta_arch(data, im_info), strict=True))

    def _sample(self, inputs: Sequence[dict[str, Any]] | None = None) -> dict[str, Tensor]:
        """Tensors to trace with: of the size of an input, or else of a small image."""
        multiple = self.meta_arch.size_divisibility
        height = max(MIN_SIDE, 2 * multiple)
        width = height * 3 // 2
        if inputs:
            height, width = inputs[0]["image"].shape[1:]
        size = padded_size(height, width, multiple)
        channels = len(self.meta_arch.model.pixel_mean)
        return {"data": torch.zeros(1, channels, *size), "im_info": torch.tensor([[*size, 1.0]])}

    def _trace(self) -> onnx_ir.Model:
        """The model in ONNX: traced once, which takes most of the time, and not changed by what is made of it."""
        arch = self.meta_arch
        if self._traced is None:
            self._traced = to_onnx(arch, self._sample(), arch.outputs, arch.size_divisibility)
        return self._traced


def _meta_arch(cfg: Any, model: nn.Module) -> Caffe2MetaArch:
    """What is traced for a model, ours or Detectron2's."""
    # A copy on the CPU: tracing needs no GPU, and the caller's model stays as it is.
    model = (from_detectron2(cfg, model) if is_detectron2(model) else copy.deepcopy(model)).cpu()
    return caffe2_meta_arch(model, bool(cfg.EXPORT_CAFFE2.USE_HEATMAP_MAX_KEYPOINT))
