"""Mask and keypoint heads: from pooled features of detections to logits.

Source: He et al., Mask R-CNN, section 3 with figure 4, and section 5 for keypoints;
detectron2/modeling/roi_heads/mask_head.py and keypoint_head.py.
"""

from __future__ import annotations

from collections.abc import Sequence

from torch import Tensor, nn
from torch.nn import functional

from d2deploy.config import Config
from d2deploy.modeling.layers import ShapeSpec, conv3x3
from d2deploy.modeling.registry import ROI_KEYPOINT_HEADS, ROI_MASK_HEADS

__all__ = ["KRCNNConvDeconvUpsampleHead", "MaskRCNNConvUpsampleHead"]


@ROI_MASK_HEADS.register()
class MaskRCNNConvUpsampleHead(nn.Sequential):
    """3x3 convolutions, a transposed one that doubles the resolution, and a 1x1 one for the classes.

    Args:
        input_shape: of the pooled features.
        num_classes: masks per box; 1 where one mask serves all classes.
        conv_dims: output channels of each 3x3 convolution and, last, of the transposed one.
        conv_norm: norm of the 3x3 convolutions.
    """

    def __init__(
        self, input_shape: ShapeSpec, *, num_classes: int, conv_dims: Sequence[int], conv_norm: str = ""
    ) -> None:
        super().__init__()
        channels = input_shape.channels
        for index, dim in enumerate(conv_dims[:-1], start=1):
            self.add_module(f"mask_fcn{index}", conv3x3(channels, dim, conv_norm))
            channels = dim
        self.add_module("deconv", nn.ConvTranspose2d(channels, conv_dims[-1], 2, stride=2))
        self.add_module("deconv_relu", nn.ReLU())
        self.add_module("predictor", nn.Conv2d(conv_dims[-1], num_classes, 1))

    @classmethod
    def from_config(cls, cfg: Config, input_shape: ShapeSpec) -> MaskRCNNConvUpsampleHead:
        node = cfg.MODEL.ROI_MASK_HEAD
        classes = 1 if node.CLS_AGNOSTIC_MASK else cfg.MODEL.ROI_HEADS.NUM_CLASSES
        conv_dims = [node.CONV_DIM] * (node.NUM_CONV + 1)
        return cls(input_shape, num_classes=classes, conv_dims=conv_dims, conv_norm=node.NORM)

    def layers(self, x: Tensor) -> Tensor:
        """Mask logits (R, num_classes, 2 S, 2 S) for features (R, C, S, S)."""
        logits: Tensor = self(x)
        return logits


@ROI_KEYPOINT_HEADS.register()
class KRCNNConvDeconvUpsampleHead(nn.Module):
    """3x3 convolutions with ReLU, a transposed one and bilinear interpolation that each double the resolution.

    Args:
        input_shape: of the pooled features.
        num_keypoints: heatmaps per box.
        conv_dims: output channels of each 3x3 convolution.
    """

    def __init__(self, input_shape: ShapeSpec, *, num_keypoints: int, conv_dims: Sequence[int]) -> None:
        super().__init__()
        channels = input_shape.channels
        for index, dim in enumerate(conv_dims, start=1):
            self.add_module(f"conv_fcn{index}", nn.Conv2d(channels, dim, 3, padding=1))
            self.add_module(f"conv_fcn_relu{index}", nn.ReLU())
            channels = dim
        self.score_lowres = nn.ConvTranspose2d(channels, num_keypoints, 4, stride=2, padding=1)

    @classmethod
    def from_config(cls, cfg: Config, input_shape: ShapeSpec) -> KRCNNConvDeconvUpsampleHead:
        node = cfg.MODEL.ROI_KEYPOINT_HEAD
        return cls(input_shape, num_keypoints=node.NUM_KEYPOINTS, conv_dims=node.CONV_DIMS)

    def layers(self, x: Tensor) -> Tensor:
        """Keypoint logits (R, num_keypoints, 4 S, 4 S) for features (R, C, S, S)."""
        for layer in self.children():
            x = layer(x)
        return functional.interpolate(x, scale_factor=2.0, mode="bilinear", align_corners=False)

    def forward(self, x: Tensor) -> Tensor:
        return self.layers(x)
