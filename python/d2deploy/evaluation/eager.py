"""A model in PyTorch as a predictor, to compare its files with."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import torch
from torch import nn

__all__ = ["ModelPredictor"]


class ModelPredictor:
    """A model in PyTorch, ours or Detectron2's, on an image.

    Args:
        model: takes and gives Detectron2's list[dict].
    """

    def __init__(self, model: nn.Module) -> None:
        self._model = model

    @torch.no_grad()
    def __call__(self, inputs: Mapping[str, Any]) -> dict[str, Any]:
        """Predicts; `inputs` and the result are as one of those of `Caffe2Model`, but for tensors."""
        image = torch.from_numpy(np.ascontiguousarray(inputs["image"]))
        result: dict[str, Any] = self._model([{**inputs, "image": image}])[0]
        return result
