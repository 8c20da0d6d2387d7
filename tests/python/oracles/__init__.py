"""What every operator means, in NumPy and float64, apart from the C++ code: written from Caffe2's documented behaviour
and from the papers. An oracle takes the arguments and the inputs of a case and gives the outputs, with their types.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from . import dense, detections, elementwise, proposals, roi, windows
from .arguments import Arguments, Array
from .elementwise import binary
from .fused import Oracle, conv_add, then_relu

__all__ = ["ORACLES", "Arguments", "Array", "Expectation", "Oracle"]


@dataclass(frozen=True)
class Expectation:
    """An oracle, and how many float32 roundings of max(1, |value|) the kernel may be away from it.

    0 is for results that are moved, chosen, or rounded once; sums differ by their length.
    """

    oracle: Oracle
    roundings: int


_exact = {
    "Add": binary(np.add),
    "BatchBoxes": proposals.batch_boxes,
    "BatchPermutation": elementwise.batch_permutation,
    "Cast": elementwise.cast,
    "CollectRpnProposals": proposals.collect_rpn_proposals,
    "Concat": elementwise.concat,
    "Copy": elementwise.copy,
    "DistributeFpnProposals": proposals.distribute_fpn_proposals,
    "Div": binary(elementwise.divide),
    "Flatten": elementwise.flatten,
    "MaxPool": windows.max_pool,
    "Mul": binary(np.multiply),
    "Relu": elementwise.relu,
    "Reorder": elementwise.copy,  # another layout in memory, the same logical values
    "ResizeNearest": windows.resize_nearest,
    "Sub": binary(np.subtract),
}

# A handful of float32 operations each; boxes decode by a product and an exponential.
_short = {
    "BBoxTransform": detections.bbox_transform,
    "BoxWithNMSLimit": detections.box_with_nms_limit,
    "GenerateProposals": proposals.generate_proposals,
    "Sigmoid": elementwise.sigmoid,
    "Softmax": dense.softmax,
}

# Sums over channels, windows or samples, in whatever order the kernel takes: some hundred roundings of values near 1.
_sums = {
    "Conv": windows.conv,
    "ConvAdd": conv_add,
    "ConvAddRelu": then_relu(conv_add),
    "ConvRelu": then_relu(windows.conv),
    "ConvTranspose": windows.conv_transpose,
    "ConvTransposeRelu": then_relu(windows.conv_transpose),
    "FC": dense.fc,
    "FCRelu": then_relu(dense.fc),
    "PyramidRoIAlign": roi.pyramid_roi_align,
    "ReduceMean": dense.reduce_mean,
    "RoIAlign": roi.roi_align,
}

ORACLES: dict[str, Expectation] = {
    type_: Expectation(oracle, roundings)
    for group, roundings in ((_exact, 0), (_short, 8), (_sums, 256))
    for type_, oracle in group.items()
}
