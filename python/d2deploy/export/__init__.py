"""From a detector in PyTorch to Caffe2's two files, with Detectron2's names: Caffe2Tracer, Caffe2Model."""

from d2deploy.export.api import (
    Caffe2Model,
    Caffe2Tracer,
    add_export_config,
    export_caffe2_model,
    export_onnx_model,
)
from d2deploy.export.lazy_config import config_of_lazy

__all__ = [
    "Caffe2Model",
    "Caffe2Tracer",
    "add_export_config",
    "config_of_lazy",
    "export_caffe2_model",
    "export_onnx_model",
]
