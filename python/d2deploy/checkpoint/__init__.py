"""Checkpoints (`.pkl` of Detectron2's zoo, `.pth`, `.safetensors`), by path or address, as tensors or into a model."""

from d2deploy.checkpoint.formats import load_checkpoint
from d2deploy.checkpoint.weights import load_weights

__all__ = ["load_checkpoint", "load_weights"]
