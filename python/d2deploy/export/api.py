"""Detectron2's export API: Caffe2Tracer traces a detector and gives a Caffe2Model, or ONNX, or TorchScript."""

from __future__ import annotations

import copy
import warnings
from collections.abc import Sequence
from functools import cached_property
from typing import Any

import numpy as np
import numpy.typing as npt
import onnx
import onnx_ir
import torch
from torch import Tensor, nn

from d2deploy.config import class_names as known_names
from d2deploy.config import number_of_things
from d2deploy.errors import InvalidArgument, Unsupported
from d2deploy.export.detectron2 import from_detectron2, is_detectron2
from d2deploy.export.meta_arch import Caffe2MetaArch, caffe2_meta_arch
from d2deploy.export.net_arguments import net_arguments
from d2deploy.export.netdef import NetWriter
from d2deploy.export.shapes import readable_shapes
from d2deploy.export.standard_onnx import check_standard
from d2deploy.export.tracing import to_onnx
from d2deploy.export.translations import TRANSLATIONS
from d2deploy.padding import net_inputs
from d2deploy.runtime import Caffe2Model
from d2deploy.runtime.inputs import checked, image_of
from d2deploy.runtime.shapes import sample_rois

__all__ = ["Caffe2Model", "Caffe2Tracer", "add_export_config", "export_caffe2_model", "export_onnx_model"]

Array = npt.NDArray[Any]
Inputs = Sequence[dict[str, Any]]
_SMALL_SIDE = 64  # of a picture where none is given


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


def _check_counts(cfg: Any) -> None:
    """Caffe2's operators take 0 for "all of them", Detectron2 for none."""
    model = cfg.MODEL
    counts = {"TEST.DETECTIONS_PER_IMAGE": cfg.TEST.DETECTIONS_PER_IMAGE}
    if model.META_ARCHITECTURE in ("RetinaNet", "FCOS"):
        counts["MODEL.RETINANET.TOPK_CANDIDATES_TEST"] = model.RETINANET.TOPK_CANDIDATES_TEST
    else:
        counts["MODEL.RPN.PRE_NMS_TOPK_TEST"] = model.RPN.PRE_NMS_TOPK_TEST
        counts["MODEL.RPN.POST_NMS_TOPK_TEST"] = model.RPN.POST_NMS_TOPK_TEST
    if none := [key for key, count in counts.items() if count == 0]:
        raise InvalidArgument(f"{', '.join(none)}: 0 would leave no detection at all; wanted at least 1")
    del counts["TEST.DETECTIONS_PER_IMAGE"]  # below 0 it means all of them to Detectron2, too
    if negative := [f"{key} is {count}" for key, count in counts.items() if count < 0]:
        raise InvalidArgument(f"{', '.join(negative)}; wanted at least 1")


class Caffe2Tracer:
    """Makes a detector portable.

    Args:
        cfg: its configuration, ours or Detectron2's; stays as it is.
        model: one of d2deploy.modeling's meta-architectures, or a model of Detectron2, with weights; stays as it is.
        inputs: what the model could be called with. Files and ONNX need no sample; `traceable_inputs` and
            `export_torchscript` have the size of the first one.
        class_names: of the objects, by class, which the files keep; without them those of the zoo's data sets, where
            DATASETS.TEST names one.

    Raises:
        Unsupported: the model has parts that Caffe2 files cannot express; the message names them.
        InvalidArgument: the names are not as many as the model has classes, or the configuration keeps no proposals.
    """

    def __init__(
        self, cfg: Any, model: nn.Module, inputs: Inputs | None = None, *, class_names: Sequence[str] = ()
    ) -> None:
        self.cfg = add_export_config(copy.deepcopy(cfg))
        _check_counts(self.cfg)
        self.inputs = inputs
        if class_names and len(class_names) != number_of_things(self.cfg):
            raise InvalidArgument(
                f"class_names are {len(class_names)} ({', '.join(class_names)}), the model has "
                f"{number_of_things(self.cfg)} classes"
            )
        self.class_names = tuple(class_names)
        self._traced: onnx_ir.Model | None = None
        self.meta_arch = _meta_arch(self.cfg, model).eval()

    @cached_property
    def traceable_model(self) -> nn.Module:
        """What is traced: `traceable_model(traceable_inputs)` gives the outputs of the files, in their order."""
        return _OfOneTuple(self.meta_arch)

    @cached_property
    def traceable_inputs(self) -> tuple[Tensor, ...]:
        """`data` (1, C, H, W), padded, and `im_info` (1, 3): height and width before, scale 1. Of the first of the
        inputs, or of a small gray picture where there are none. For a model that takes proposals, some of these, too.

        Raises:
            InvalidArgument: the first of the inputs has no image.
        """
        return self._feed(image_of(checked(self.inputs)[0], "inputs[0]")[0] if self.inputs else self._small_image())

    def export_onnx(self, standard_ops: bool = False) -> onnx.ModelProto:
        """The model in ONNX, with the names, shapes and meaning of the inputs and outputs of the Caffe2 files.

        Args:
            standard_ops: False: the detection operators are Caffe2's, in domain `org.pytorch._caffe2`, as Detectron2
                exports them, which no runtime of ONNX knows. True: standard operators alone (RoiAlign,
                NonMaxSuppression, TopK, ...), which ONNX Runtime and OpenVINO run, for one image of any size.

        Raises:
            Unsupported: standard operators cannot express the model: its boxes are rotated.
        """
        if standard_ops:
            check_standard(self.meta_arch.model)
            return onnx_ir.to_proto(self._to_onnx(standard_ops=True))
        return onnx_ir.to_proto(self._trace())

    def export_caffe2(self) -> Caffe2Model:
        """The model as a predict net and an init net."""
        nets = NetWriter(self._trace(), TRANSLATIONS).write()
        if self.meta_arch.name == "RetinaNet":  # readers of Detectron2's files look for it there
            nets.predict.external_output.insert(0, "im_info")
        names = known_names(self.cfg)
        if self.class_names:
            names = names._replace(things=self.class_names)
        nets.predict.arg.extend(net_arguments(self.meta_arch, self.cfg, names))
        return Caffe2Model(nets.predict, nets.weights, shapes=readable_shapes(nets.shapes))

    def export_torchscript(self) -> torch.jit.ScriptModule:
        """The same graph in TorchScript; it runs where `d2deploy.export` has been imported."""
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # TorchScript's deprecation; that shapes of the sample are constants
            traced: torch.jit.ScriptModule = torch.jit.trace(  # type: ignore[no-untyped-call]
                self.meta_arch, self.traceable_inputs, check_trace=False
            )
        return traced

    @torch.no_grad()
    def run(self, data: Tensor, im_info: Tensor, proposals: Tensor | None = None) -> dict[str, Tensor]:
        """What the written files compute, in PyTorch.

        Args:
            data: (1, C, H, W) float32, raw pixels, H and W as `meta_arch.padding` makes them.
            im_info: (1, 3) float32: height, width, scale.
            proposals: (R, 5) float32: image and box, for a model that takes them.

        Returns:
            output -> tensor.
        """
        inputs = (data, im_info) if proposals is None else (data, im_info, proposals)
        return dict(zip(self.meta_arch.outputs, self.meta_arch(*inputs), strict=True))

    def _small_image(self) -> Array:
        padding = self.meta_arch.padding
        height = padding.square_size // 2 or max(_SMALL_SIDE, 2 * padding.size_divisibility)
        return np.full((len(self.meta_arch.model.pixel_mean), height, height * 3 // 2), 128, np.float32)

    def _feed(self, image: Array) -> tuple[Tensor, ...]:
        return tuple(torch.from_numpy(array) for array in self.feed(image).values())

    def feed(self, image: Array) -> dict[str, Array]:
        """The net's inputs for a picture (C, H, W): `data`, `im_info` and, for a model that takes them, `proposals`,
        which are boxes of all sizes and shapes, everywhere in the picture."""
        mean = self.meta_arch.model.pixel_mean.flatten().tolist()
        inputs: dict[str, Array] = dict(net_inputs(image, mean, self.meta_arch.padding))
        if self.meta_arch.takes_proposals:
            inputs["proposals"] = sample_rois(*image.shape[1:])
        return inputs

    def _trace(self) -> onnx_ir.Model:
        """The model in ONNX with Caffe2's operators: traced once, which takes most of the time, and not changed by what
        is made of it."""
        if self._traced is None:
            self._traced = self._to_onnx()
        return self._traced

    def forget(self) -> None:
        """Lets go of what was traced, and of its own weights; it is traced anew where it is needed again."""
        for value in self._traced.graph.initializers.values() if self._traced else ():
            value.const_value = None  # the graph itself waits for the garbage collector
        self._traced = None

    def _to_onnx(self, standard_ops: bool = False) -> onnx_ir.Model:
        arch = self.meta_arch
        sample = {name: torch.from_numpy(array) for name, array in self.feed(self._small_image()).items()}
        try:
            return to_onnx(arch, sample, arch.outputs, arch.padding, standard_ops)
        except Unsupported as error:
            raise Unsupported(f"{error}{_other_way_out(arch)}") from error


def _meta_arch(cfg: Any, model: nn.Module) -> Caffe2MetaArch:
    """What is traced for a model, ours or Detectron2's."""
    # A copy on the CPU: tracing needs no GPU, and the caller's model stays as it is.
    model = (from_detectron2(cfg, model) if is_detectron2(model) else copy.deepcopy(model)).cpu()
    return caffe2_meta_arch(model, bool(cfg.EXPORT_CAFFE2.USE_HEATMAP_MAX_KEYPOINT))


def _other_way_out(arch: Caffe2MetaArch) -> str:
    """For a backbone of Detectron2 that could be given pictures of one size."""
    constraints = getattr(arch.model.backbone, "padding_constraints", {})
    if "square_size" not in constraints or arch.padding.square_size:
        return ""
    return (
        ". Where sizes are the reason: this backbone can take squares of one size, to which pictures are padded; set "
        "its square_pad to a multiple of 32 that is no less than INPUT.MAX_SIZE_TEST, in a lazy configuration "
        "model.backbone.square_pad"
    )


class _OfOneTuple(nn.Module):
    """A model of several tensors as one of a tuple, which Detectron2's traceable models are."""

    def __init__(self, model: nn.Module) -> None:
        super().__init__()
        self.model = model

    def forward(self, inputs: tuple[Tensor, ...]) -> Any:
        return self.model(*inputs)


def export_caffe2_model(cfg: Any, model: nn.Module, inputs: Inputs | None = None) -> Caffe2Model:
    """`Caffe2Tracer(cfg, model, inputs).export_caffe2()`: Detectron2's name for it up to its version 0.5."""
    return Caffe2Tracer(cfg, model, inputs).export_caffe2()


def export_onnx_model(cfg: Any, model: nn.Module, inputs: Inputs | None = None) -> onnx.ModelProto:
    """`Caffe2Tracer(cfg, model, inputs).export_onnx()`, likewise."""
    return Caffe2Tracer(cfg, model, inputs).export_onnx()
