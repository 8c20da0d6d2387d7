"""What every operator means, in NumPy and float64, apart from the C++ code: written from Caffe2's documented behaviour
and from the papers. An oracle takes the arguments and the inputs of a case and gives the outputs, with their types.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from . import deform, dense, detections, elementwise, keypoints, maps, points, proposals, roi, shapes, windows
from .arguments import Arguments, Array
from .elementwise import binary
from .fused import Oracle, conv_add, then_relu

__all__ = ["ORACLES", "Arguments", "Array", "Expectation", "Oracle"]


@dataclass(frozen=True)
class Expectation:
    """An oracle, and how many float32 roundings the kernel may be away from it; 0 demands the same bits.

    A rounding is that of max(1, |value|), or of the largest value of the output where `of_largest` is set, as in
    coordinates, which are differences of others.
    """

    oracle: Oracle
    roundings: int
    of_largest: bool = False


# Values that are moved, chosen, or rounded once.
_EXACT: dict[str, Oracle] = {
    "Abs": elementwise.absolute,
    "Add": binary(np.add),
    "BatchBoxes": proposals.batch_boxes,
    "BatchPermutation": elementwise.batch_permutation,
    "Cast": elementwise.cast,
    "CollectAndDistributeFpnRpnProposals": proposals.collect_and_distribute,
    "Clip": elementwise.clip,
    "CollectRpnProposals": proposals.collect_rpn_proposals,
    "Concat": elementwise.concat,
    "ConstantFill": shapes.constant_fill,
    "Copy": elementwise.copy,
    "DistributeFpnProposals": proposals.distribute_fpn_proposals,
    "Div": binary(elementwise.divide),
    "ExpandDims": shapes.expand_dims,
    "Flatten": elementwise.flatten,
    "Gather": shapes.gather,
    "GivenTensorBoolFill": shapes.given_tensor_fill(np.bool_),
    "GivenTensorFill": shapes.given_tensor_fill(None),
    "GivenTensorInt64Fill": shapes.given_tensor_fill(np.int64),
    "GivenTensorIntFill": shapes.given_tensor_fill(np.int32),
    "AdaptiveMaxPool": windows.adaptive_pool(np.max),
    "MaxPool": windows.max_pool,
    "Mul": binary(np.multiply),
    "NCHW2NHWC": maps.nchw_to_nhwc,
    "Negative": elementwise.negative,
    "NHWC2NCHW": maps.nhwc_to_nchw,
    "OwnClass": points.own_class,
    "PadImage": maps.pad_image,
    "PutPoints": points.put_points,
    "ReduceMax": dense.reduce_max,
    "Relu": elementwise.relu,
    "NormaliseImage": elementwise.normalise_image,
    "Reorder": elementwise.reorder,
    "Reshape": shapes.reshape,
    "ResizeNearest": windows.resize_nearest,
    "Sqrt": elementwise.square_root,
    "Sub": binary(np.subtract),
    "Sum": elementwise.add_up,
    "UpsampleNearest": maps.upsample_nearest,
    "ScatterAssign": shapes.scatter_assign,
    "Shape": shapes.shape,
    "Slice": shapes.slice_,
    "Split": shapes.split,
    "Squeeze": shapes.squeeze,
    "Transpose": shapes.transpose,
}

# A handful of float32 operations each. The scores that soft suppression lowers take one product per kept box.
_SHORT: dict[str, Oracle] = {
    "AffineChannel": maps.affine_channel,
    "AveragePool": windows.average_pool,
    "BoxWithNMSLimit": detections.box_with_nms_limit,
    "Cos": elementwise.cosine,
    "Elu": elementwise.elu,
    "Erf": elementwise.error_function,
    "Exp": elementwise.exponential,
    "Gelu": elementwise.gelu,
    "LeakyRelu": elementwise.leaky_relu,
    "Log": elementwise.logarithm,
    "Pow": elementwise.power,
    "ResizeBilinear": maps.resize_bilinear,
    "Sigmoid": elementwise.sigmoid,
    "Sin": elementwise.sine,
    "Softmax": dense.softmax,
    "Softplus": elementwise.softplus,
    "SpatialBN": maps.spatial_bn,
    "Tanh": elementwise.tanh,
    "UncertainPoints": points.uncertain_points,
}

# Coordinates that are rounded at the size of a map, which may be some ten cells, between values that differ by 2.
_PLACES: dict[str, Oracle] = {"Interpolate": maps.interpolate, "PointSample": points.point_sample}

# Boxes that are decoded: a product and an exponential, and differences of the corners.
_BOXES: dict[str, Oracle] = {
    "BBoxTransform": detections.bbox_transform,
    "GenerateProposals": proposals.generate_proposals,
    "PyramidProposals": proposals.pyramid_proposals,
}

# A division by a determinant that may be small, of a few differences.
_REFINED: dict[str, Oracle] = {"HeatmapMaxKeypoint": keypoints.heatmap_max_keypoint}

# Sums over channels, windows or samples, in whatever order the kernel takes: some hundred roundings of values near 1.
_SUMS: dict[str, Oracle] = {
    "AdaptiveAveragePool": windows.adaptive_pool(np.mean),
    "BatchMatMul": dense.batch_mat_mul,
    "Conv": windows.conv,
    "ConvAdd": conv_add,
    "ConvAddRelu": then_relu(conv_add),
    "ConvRelu": then_relu(windows.conv),
    "ConvTranspose": windows.conv_transpose,
    "ConvTransposeRelu": then_relu(windows.conv_transpose),
    "DeformConv": deform.deform_conv,
    "DeformConvRelu": then_relu(deform.deform_conv),
    "FC": dense.fc,
    "FCRelu": then_relu(dense.fc),
    "GroupNorm": maps.group_norm,
    "GroupNormRelu": maps.group_norm_relu,
    "InstanceNorm": maps.instance_norm,
    "LayerNorm": maps.layer_norm,
    "FCTransposed": dense.fc_transposed,
    "MatMul": dense.mat_mul,
    "OwnClassConv": windows.own_class_conv,
    "PyramidRoIAlign": roi.pyramid_roi_align,
    "ReduceMean": dense.reduce_mean,
    "ReduceSum": dense.reduce_sum,
    "RoIAlign": roi.roi_align,
    "RoIAlignRotated": roi.roi_align_rotated,
}

ORACLES: dict[str, Expectation] = {
    **{type_: Expectation(oracle, 0) for type_, oracle in _EXACT.items()},
    **{type_: Expectation(oracle, 8) for type_, oracle in _SHORT.items()},
    **{type_: Expectation(oracle, 64) for type_, oracle in _PLACES.items()},
    **{type_: Expectation(oracle, 8, of_largest=True) for type_, oracle in _BOXES.items()},
    **{type_: Expectation(oracle, 64, of_largest=True) for type_, oracle in _REFINED.items()},
    **{type_: Expectation(oracle, 256) for type_, oracle in _SUMS.items()},
}

# Other names in files. Between devices, as copies, or as marks of training, these all keep the value.
_ALIASES = {
    "Copy": "Alias AliasWithName CopyCPUToGPU CopyFromCPUInput CopyGPUToCPU EnsureCPUOutput Identity StopGradient",
    "GenerateProposals": "GenerateProposalsCPP",
    "ResizeBilinear": "UpsampleBilinear",
    "GivenTensorFill": "GivenTensorDoubleFill",
}
ORACLES |= {alias: ORACLES[type_] for type_, aliases in _ALIASES.items() for alias in aliases.split()}
