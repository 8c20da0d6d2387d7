"""PointRend: masks and semantic maps that are refined where they are least certain, by a small head for single points.

Source: Kirillov et al., PointRend: Image Segmentation as Rendering; Cheng et al., Pointly-Supervised Instance
Segmentation, for implicit heads; mask_head.py, point_head.py and semantic_seg.py of
detectron2/projects/PointRend/point_rend.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from d2deploy.config import Config
from d2deploy.errors import InvalidArgument
from d2deploy.modeling.layers import Conv2d, ShapeSpec
from d2deploy.modeling.points import grid_points, own_class, point_sample, put_points, uncertain_points
from d2deploy.modeling.registry import POINT_HEADS, ROI_MASK_HEADS, SEM_SEG_HEADS
from d2deploy.modeling.rpn import chosen

__all__ = [
    "CoarseMaskHead",
    "ImplicitPointHead",
    "ImplicitPointRendMaskHead",
    "PointRendMaskHead",
    "PointRendSemSegHead",
    "StandardPointHead",
]


@POINT_HEADS.register()
class StandardPointHead(nn.Module):
    """Fully connected layers that see each point by itself: its features, and what the coarse head says there.

    Args:
        layers: the hidden ones, convolutions with a window of one.
        predictor: the last one, which gives a logit for each class, or one for all.
        coarse_pred_each_layer: every layer sees the coarse prediction, not the first alone.
    """

    def __init__(
        self, layers: Sequence[nn.Conv1d], predictor: nn.Conv1d, *, coarse_pred_each_layer: bool = True
    ) -> None:
        super().__init__()
        self.coarse_pred_each_layer = coarse_pred_each_layer
        self.num_fc = len(layers)
        for index, layer in enumerate(layers, start=1):
            self.add_module(f"fc{index}", layer)
        self.predictor = predictor

    @classmethod
    def from_config(cls, cfg: Config, input_shape: ShapeSpec) -> StandardPointHead:
        node = cfg.MODEL.POINT_HEAD
        classes, each = node.NUM_CLASSES, node.COARSE_PRED_EACH_LAYER
        inputs = [input_shape.channels + classes] + [node.FC_DIM + (classes if each else 0)] * node.NUM_FC
        layers = [nn.Conv1d(channels, node.FC_DIM, 1) for channels in inputs[:-1]]
        predictor = nn.Conv1d(inputs[-1], 1 if node.CLS_AGNOSTIC_MASK else classes, 1)
        return cls(layers, predictor, coarse_pred_each_layer=each)

    def forward(self, features: Tensor, coarse: Tensor) -> Tensor:
        """Logits (R, K or 1, h, w) of points with features (R, C, h, w) and coarse predictions (R, K, h, w)."""
        x = torch.cat([features, coarse], dim=1)
        for index in range(1, self.num_fc + 1):
            x = functional.relu(_each_point(self.get_submodule(f"fc{index}"), x))
            if self.coarse_pred_each_layer:
                x = torch.cat([x, coarse], dim=1)
        return _each_point(self.predictor, x)


@POINT_HEADS.register()
class ImplicitPointHead(nn.Module):
    """Fully connected layers whose weights another head finds for each detection.

    They see the features of a point, and where it is in the box: sine and cosine of 128 random directions.

    Args:
        input_channels: features of a point.
        num_classes: K, logits of a point.
        channels: outputs of each hidden layer.
        num_layers: with the last one.
        image_feature_enabled: the layers see the features.
        positional_encoding_enabled: they see the place.

    Raises:
        InvalidArgument: they would see nothing.
    """

    DIRECTIONS = 128
    positional_encoding_gaussian_matrix: Tensor

    def __init__(
        self,
        input_channels: int,
        *,
        num_classes: int,
        channels: int,
        num_layers: int,
        image_feature_enabled: bool = True,
        positional_encoding_enabled: bool = True,
    ) -> None:
        super().__init__()
        if not (image_feature_enabled or positional_encoding_enabled):
            raise InvalidArgument(
                "MODEL.IMPLICIT_POINTREND: IMAGE_FEATURE_ENABLED and POS_ENC_ENABLED are both False; one is needed"
            )
        self.image_feature_enabled = image_feature_enabled
        self.positional_encoding_enabled = positional_encoding_enabled
        if positional_encoding_enabled:
            self.register_buffer("positional_encoding_gaussian_matrix", torch.randn(2, self.DIRECTIONS))
        self.place_channels = 2 * self.DIRECTIONS * positional_encoding_enabled
        inputs = [self.place_channels + input_channels * image_feature_enabled, *[channels] * (num_layers - 1)]
        self.shapes = list(zip([*[channels] * (num_layers - 1), num_classes], inputs))  # of weights, layer by layer

    @property
    def num_params(self) -> int:
        """Weights and biases of all layers together."""
        return sum(outputs * inputs + outputs for outputs, inputs in self.shapes)

    @classmethod
    def from_config(cls, cfg: Config, input_shape: ShapeSpec) -> ImplicitPointHead:
        node, implicit = cfg.MODEL.POINT_HEAD, cfg.MODEL.IMPLICIT_POINTREND
        return cls(
            input_shape.channels,
            num_classes=1 if node.CLS_AGNOSTIC_MASK else node.NUM_CLASSES,
            channels=node.FC_DIM,
            num_layers=node.NUM_FC + 1,
            image_feature_enabled=implicit.IMAGE_FEATURE_ENABLED,
            positional_encoding_enabled=implicit.POS_ENC_ENABLED,
        )

    def forward(self, features: Tensor, points: Tensor, parameters: Tensor) -> Tensor:
        """Logits (R, K, h, w) of points with features (R, C, h, w) at `points` (R or 1, h * w, 2), from 0 to 1, by
        `parameters` (R, num_params): the weights of all layers, then their biases."""
        rows = parameters.shape[0]
        weights, at = [], 0
        for outputs, inputs in self.shapes:
            weights.append(parameters[:, at : at + outputs * inputs].reshape(rows, outputs, inputs))
            at += outputs * inputs
        cut = self.place_channels
        parts = [torch.matmul(weights[0][:, :, :cut], self.encoded(points))] if cut else []
        if self.image_feature_enabled:
            parts.append(torch.matmul(weights[0][:, :, cut:], features.flatten(2)))
        x = parts[0] if len(parts) == 1 else parts[0] + parts[1]
        for index, (outputs, _) in enumerate(self.shapes):
            x = x if index == 0 else torch.matmul(weights[index], functional.relu(x))
            x = x + parameters[:, at : at + outputs, None]
            at += outputs
        return x.reshape(rows, self.shapes[-1][0], *features.shape[2:])

    def encoded(self, points: Tensor) -> Tensor:
        """Places (R or 1, P, 2) as (R or 1, 256, P)."""
        turns = torch.matmul(2 * points - 1, 2 * math.pi * self.positional_encoding_gaussian_matrix)
        return torch.cat([turns.sin(), turns.cos()], dim=2).transpose(1, 2)


def _each_point(layer: Any, x: Tensor) -> Tensor:
    """A layer of one-dimensional convolution with a window of one, on points that lie in two dimensions."""
    return functional.conv2d(x, layer.weight[..., None], layer.bias)


class CoarseMaskHead(nn.Module):
    """Coarse masks of all classes, or whatever else is wanted, from pooled features, by fully connected layers.

    Args:
        input_shape: of the pooled features, even in height and width.
        conv_dim: channels that they are reduced to.
        fc_dims: outputs of each hidden layer.
        output_shape: of what it gives, as K, S, S.
    """

    def __init__(
        self, input_shape: ShapeSpec, *, conv_dim: int, fc_dims: Sequence[int], output_shape: tuple[int, ...]
    ) -> None:
        super().__init__()
        self.output_shape = tuple(output_shape)
        self.num_fc = len(fc_dims)
        if input_shape.channels > conv_dim:
            self.reduce_channel_dim_conv = Conv2d(input_shape.channels, conv_dim, 1, activation=nn.ReLU())
        self.reduce_spatial_dim_conv = Conv2d(conv_dim, conv_dim, 2, stride=2, activation=nn.ReLU())
        size = conv_dim * (input_shape.height or 1) * (input_shape.width or 1) // 4
        for index, dim in enumerate(fc_dims, start=1):
            self.add_module(f"fc{index}", nn.Linear(size, dim))
            size = dim
        self.prediction = nn.Linear(size, math.prod(output_shape))

    def forward(self, x: Tensor) -> Tensor:
        """(R, *output_shape) for features (R, C, H, W)."""
        if hasattr(self, "reduce_channel_dim_conv"):
            x = self.reduce_channel_dim_conv(x)
        x = torch.flatten(self.reduce_spatial_dim_conv(x), start_dim=1)
        for index in range(1, self.num_fc + 1):
            x = functional.relu(self.get_submodule(f"fc{index}")(x))
        result: Tensor = self.prediction(x)
        return result.view(x.shape[0], *self.output_shape)


@ROI_MASK_HEADS.register()
class PointRendMaskHead(nn.Module):
    """A coarse mask of each detection, doubled in size again and again, its least certain points predicted anew.

    It reads the feature maps itself, at the detections: the heads around it have no pooler for masks.

    Args:
        strides: of the maps by name, in pixels of the image.
        coarse_in_features: names of the maps that the coarse head sees.
        coarse_size: points per side at which it sees them.
        coarse_head: from features (R, C, coarse_size, coarse_size) to logits (R, K, S, S).
        point_in_features: names of the maps that the point head sees.
        point_head: see StandardPointHead.
        init_size: side of the first mask, which is predicted point by point.
        steps: doublings.
        num_points: of each doubled mask, that are predicted anew.
    """

    coarse_points: Tensor
    init_points: Tensor
    coarse_name = "coarse_head"

    def __init__(
        self,
        *,
        strides: dict[str, int],
        coarse_in_features: Sequence[str],
        coarse_size: int,
        coarse_head: nn.Module,
        point_in_features: Sequence[str],
        point_head: nn.Module,
        init_size: int,
        steps: int,
        num_points: int,
    ) -> None:
        super().__init__()
        self.strides = strides
        self.coarse_in_features, self.point_in_features = tuple(coarse_in_features), tuple(point_in_features)
        self.coarse_size, self.init_size, self.steps, self.num_points = coarse_size, init_size, steps, num_points
        self.point_head = point_head
        self.add_module(self.coarse_name, coarse_head)
        self.register_buffer("coarse_points", grid_points(coarse_size), persistent=False)
        self.register_buffer("init_points", grid_points(init_size), persistent=False)

    @classmethod
    def from_config(cls, cfg: Config, input_shape: dict[str, ShapeSpec]) -> PointRendMaskHead:
        node, points = cfg.MODEL.ROI_MASK_HEAD, cfg.MODEL.POINT_HEAD
        check_classes(points.NUM_CLASSES, "MODEL.ROI_HEADS.NUM_CLASSES", cfg.MODEL.ROI_HEADS.NUM_CLASSES)
        coarse = chosen(input_shape, node.IN_FEATURES, "MODEL.ROI_MASK_HEAD.IN_FEATURES")
        size = node.POOLER_RESOLUTION
        point_head = build_point_head(cfg, input_shape)
        coarse_head = CoarseMaskHead(
            ShapeSpec(sum(shape.channels for shape in coarse), height=size, width=size),
            conv_dim=node.CONV_DIM,
            fc_dims=[node.FC_DIM] * node.NUM_FC,
            output_shape=cls.coarse_shape(cfg, point_head),
        )
        init_size, steps = cls.first_size(cfg)
        return cls(
            strides={name: shape.stride or 1 for name, shape in input_shape.items()},
            coarse_in_features=node.IN_FEATURES,
            coarse_size=size,
            coarse_head=coarse_head,
            point_in_features=points.IN_FEATURES,
            point_head=point_head,
            init_size=init_size,
            steps=steps,
            num_points=points.SUBDIVISION_NUM_POINTS,
        )

    @classmethod
    def coarse_shape(cls, cfg: Config, point_head: Any) -> tuple[int, ...]:
        """What the coarse head gives of a detection; InvalidArgument where the point head does not fit."""
        node = cfg.MODEL.ROI_MASK_HEAD
        if not node.POINT_HEAD_ON:
            raise InvalidArgument("MODEL.ROI_MASK_HEAD.POINT_HEAD_ON is False, which is for training alone; set True")
        if isinstance(point_head, ImplicitPointHead):
            raise InvalidArgument(
                "MODEL.POINT_HEAD.NAME is ImplicitPointHead; PointRendMaskHead needs StandardPointHead"
            )
        side = node.OUTPUT_SIDE_RESOLUTION
        return (cfg.MODEL.ROI_HEADS.NUM_CLASSES, side, side)

    @classmethod
    def first_size(cls, cfg: Config) -> tuple[int, int]:
        """Side of the first mask, and the doublings left: steps that would predict every point anew are left out."""
        side, points = cfg.MODEL.ROI_MASK_HEAD.OUTPUT_SIDE_RESOLUTION, cfg.MODEL.POINT_HEAD
        steps = points.SUBDIVISION_STEPS
        while 4 * side**2 <= points.SUBDIVISION_NUM_POINTS:
            side, steps = 2 * side, steps - 1
        return side, steps

    def sample(
        self, features: dict[str, Tensor], names: Sequence[str], points: Tensor, rois: Tensor, width: int
    ) -> Tensor:
        """The maps of these names at points of the rois, one behind the other: (R, C, P / width, width)."""
        parts = [
            point_sample(features[f], points, rois, spatial_scale=1.0 / self.strides[f], width=width) for f in names
        ]
        return parts[0] if len(parts) == 1 else torch.cat(parts, dim=1)

    def logits(self, fine: Tensor, points: Tensor, coarse: Tensor) -> Tensor:
        """Of points (R or 1, P, 2) with features (R, C, h, w); `coarse` is what the coarse head gives."""
        result: Tensor = self.point_head(fine, point_sample(coarse, points, width=int(fine.shape[3])))
        return result

    def masks(self, features: dict[str, Tensor], rois: Tensor, classes: Tensor) -> Tensor:
        """Mask logits (R, 1, S, S) of the classes (R,) of detections; rois (R, 4 or 5) are as for `point_sample`."""
        pooled = self.sample(features, self.coarse_in_features, self.coarse_points, rois, self.coarse_size)
        coarse = self.get_submodule(self.coarse_name)(pooled)

        def predict(points: Tensor, width: int) -> Tensor:
            fine = self.sample(features, self.point_in_features, points, rois, width)
            logits = self.logits(fine, points, coarse)
            return logits if logits.shape[1] == 1 else own_class(logits, classes)

        masks = predict(self.init_points, self.init_size)
        for _ in range(self.steps):
            masks = functional.interpolate(masks, scale_factor=2.0, mode="bilinear", align_corners=False)
            places, points = uncertain_points(masks, self.num_points)
            masks = put_points(masks, places, predict(points, 1))
        return masks


@ROI_MASK_HEADS.register()
class ImplicitPointRendMaskHead(PointRendMaskHead):
    """The coarse head finds the weights of the point head, for each detection its own."""

    coarse_name = "parameter_head"

    @classmethod
    def coarse_shape(cls, cfg: Config, point_head: Any) -> tuple[int, ...]:
        if not isinstance(point_head, ImplicitPointHead):
            raise InvalidArgument(
                f"MODEL.POINT_HEAD.NAME is {cfg.MODEL.POINT_HEAD.NAME}; ImplicitPointRendMaskHead needs "
                "ImplicitPointHead"
            )
        return (point_head.num_params,)

    @classmethod
    def first_size(cls, cfg: Config) -> tuple[int, int]:
        points = cfg.MODEL.POINT_HEAD
        side = math.isqrt(points.SUBDIVISION_NUM_POINTS)
        if side**2 != points.SUBDIVISION_NUM_POINTS:
            raise InvalidArgument(
                f"MODEL.POINT_HEAD.SUBDIVISION_NUM_POINTS is {points.SUBDIVISION_NUM_POINTS}; "
                "ImplicitPointRendMaskHead begins with a square of so many points, so it must be a square number"
            )
        return side, points.SUBDIVISION_STEPS

    def logits(self, fine: Tensor, points: Tensor, coarse: Tensor) -> Tensor:
        result: Tensor = self.point_head(fine, points, coarse)
        return result


def build_point_head(cfg: Config, input_shape: dict[str, ShapeSpec]) -> Any:
    """The head of MODEL.POINT_HEAD.NAME for the maps of MODEL.POINT_HEAD.IN_FEATURES."""
    node = cfg.MODEL.POINT_HEAD
    shapes = chosen(input_shape, node.IN_FEATURES, "MODEL.POINT_HEAD.IN_FEATURES")
    return POINT_HEADS.build(node.NAME, cfg, ShapeSpec(sum(shape.channels for shape in shapes), height=1, width=1))


def check_classes(found: int, key: str, wanted: int) -> None:
    """Raises InvalidArgument where MODEL.POINT_HEAD.NUM_CLASSES is not what another key says."""
    if found != wanted:
        raise InvalidArgument(f"MODEL.POINT_HEAD.NUM_CLASSES is {found}, {key} {wanted}; both must be the same")


@SEM_SEG_HEADS.register()
class PointRendSemSegHead(nn.Module):
    """A coarse semantic map, doubled until it is as large as the image, its least certain points predicted anew.

    Args:
        coarse_sem_seg_head: see SemSegFPNHead.
        in_features: names of the maps that the point head sees.
        point_head: see StandardPointHead.
        steps: doublings.
        num_points: of each doubled map, that are predicted anew.

    Raises:
        InvalidArgument: so many doublings do not make the coarse map as large as the image.
    """

    common_stride = 1

    def __init__(
        self,
        *,
        coarse_sem_seg_head: Any,
        in_features: Sequence[str],
        point_head: nn.Module,
        steps: int,
        num_points: int,
    ) -> None:
        super().__init__()
        if 2**steps != coarse_sem_seg_head.common_stride:
            raise InvalidArgument(
                f"MODEL.POINT_HEAD.SUBDIVISION_STEPS is {steps}, which makes a map {2**steps} times as large; "
                f"MODEL.SEM_SEG_HEAD.COMMON_STRIDE is {coarse_sem_seg_head.common_stride}; both must be the same"
            )
        self.coarse_sem_seg_head = coarse_sem_seg_head
        self.point_in_features = tuple(in_features)
        self.point_head = point_head
        self.steps, self.num_points = steps, num_points

    @classmethod
    def from_config(cls, cfg: Config, input_shape: dict[str, ShapeSpec]) -> PointRendSemSegHead:
        node = cfg.MODEL.POINT_HEAD
        check_classes(node.NUM_CLASSES, "MODEL.SEM_SEG_HEAD.NUM_CLASSES", cfg.MODEL.SEM_SEG_HEAD.NUM_CLASSES)
        return cls(
            coarse_sem_seg_head=SEM_SEG_HEADS.build(node.COARSE_SEM_SEG_HEAD_NAME, cfg, input_shape),
            in_features=node.IN_FEATURES,
            point_head=build_point_head(cfg, input_shape),
            steps=node.SUBDIVISION_STEPS,
            num_points=node.SUBDIVISION_NUM_POINTS,
        )

    def layers(self, features: dict[str, Tensor]) -> Tensor:
        """Logits (N, K, H, W) of an image H x W."""
        coarse: Tensor = self.coarse_sem_seg_head.layers(features)
        logits = coarse
        for _ in range(self.steps):
            logits = functional.interpolate(logits, scale_factor=2.0, mode="bilinear", align_corners=False)
            places, points = uncertain_points(logits, self.num_points)
            fine = torch.cat([point_sample(features[f], points) for f in self.point_in_features], dim=1)
            logits = put_points(logits, places, self.point_head(fine, point_sample(coarse, points)))
        return logits
