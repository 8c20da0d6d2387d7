"""Converted files, run: from pixels to predictions. Needs NumPy and the compiled module d2deploy._ext alone."""

from d2deploy._ext import Model
from d2deploy.runtime.predictor import FilePredictor, load

__all__ = ["FilePredictor", "Model", "load"]
