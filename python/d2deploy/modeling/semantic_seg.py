"""Semantic segmentation from the pyramid: the stuff branch of Panoptic FPN.

Source: Kirillov et al., Panoptic Feature Pyramid Networks, section 3; detectron2/modeling/meta_arch/semantic_seg.py.
"""

from __future__ import annotations

from typing import Any

from torch import Tensor, nn
from torch.nn import functional

from d2deploy.config import Config
from d2deploy.modeling.layers import ShapeSpec, conv3x3
from d2deploy.modeling.registry import SEM_SEG_HEADS
from d2deploy.modeling.rpn import chosen

__all__ = ["SemSegFPNHead", "full_size_logits"]


@SEM_SEG_HEADS.register()
class SemSegFPNHead(nn.Module):
    """Each level is brought to one resolution by convolutions and bilinear doubling; then their sum is classified.

    Args:
        input_shape: of each map by name.
        num_classes: stuff classes and, as 0, things.
        conv_dims: channels of the convolutions.
        common_stride: of the sum.
        norm: norm of the convolutions.
    """

    def __init__(
        self, input_shape: dict[str, ShapeSpec], *, num_classes: int, conv_dims: int, common_stride: int, norm: str = ""
    ) -> None:
        super().__init__()
        strides = {name: shape.stride or 1 for name, shape in input_shape.items()}
        self.in_features = sorted(input_shape, key=lambda name: strides[name])
        self.common_stride = common_stride
        for name in self.in_features:
            channels = input_shape[name].channels
            doublings = (strides[name] // common_stride).bit_length() - 1
            layers: list[nn.Module] = []
            for _ in range(max(1, doublings)):
                layers.append(conv3x3(channels, conv_dims, norm))
                if doublings:
                    layers.append(nn.Upsample(scale_factor=2, mode="bilinear", align_corners=False))
                channels = conv_dims
            self.add_module(name, nn.Sequential(*layers))
        self.predictor = nn.Conv2d(conv_dims, num_classes, 1)

    @classmethod
    def from_config(cls, cfg: Config, input_shape: dict[str, ShapeSpec]) -> SemSegFPNHead:
        node = cfg.MODEL.SEM_SEG_HEAD
        shapes = dict(zip(node.IN_FEATURES, chosen(input_shape, node.IN_FEATURES, "MODEL.SEM_SEG_HEAD.IN_FEATURES")))
        return cls(
            shapes,
            num_classes=node.NUM_CLASSES,
            conv_dims=node.CONVS_DIM,
            common_stride=node.COMMON_STRIDE,
            norm=node.NORM,
        )

    def layers(self, features: dict[str, Tensor]) -> Tensor:
        """Logits (N, K, H / common_stride, W / common_stride) of an image H x W."""
        total: Tensor | None = None
        for name in self.in_features:
            level = self.get_submodule(name)(features[name])
            total = level if total is None else total + level
        logits: Tensor = self.predictor(total)
        return logits


def full_size_logits(head: Any, features: dict[str, Tensor]) -> Tensor:
    """Logits (N, K, H, W): what `head.layers` gives, interpolated bilinearly by `head.common_stride`."""
    logits: Tensor = head.layers(features)
    if head.common_stride == 1:
        return logits
    return functional.interpolate(logits, scale_factor=float(head.common_stride), mode="bilinear", align_corners=False)
