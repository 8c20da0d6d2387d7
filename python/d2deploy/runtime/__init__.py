"""Converted files, run: from pixels to predictions. Needs NumPy and the compiled module d2deploy._ext alone."""

from typing import TYPE_CHECKING, Any

from d2deploy.runtime.caffe2_model import Caffe2Model
from d2deploy.runtime.predictor import Predictor, load

if TYPE_CHECKING:
    from d2deploy._ext import Detector, Model

__all__ = ["Caffe2Model", "Detector", "Model", "Predictor", "load"]


def __getattr__(name: str) -> Any:
    """The compiled module is loaded by what runs: the exporter makes a Caffe2Model without it."""
    if name not in ("Detector", "Model"):
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from d2deploy import _ext

    return getattr(_ext, name)
