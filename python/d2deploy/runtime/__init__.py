"""Converted files, run: from pixels to predictions. Needs NumPy and the compiled module d2deploy._ext alone."""

from d2deploy._ext import Detector, Model
from d2deploy.runtime.caffe2_model import Caffe2Model
from d2deploy.runtime.predictor import Predictor, load

__all__ = ["Caffe2Model", "Detector", "Model", "Predictor", "load"]
