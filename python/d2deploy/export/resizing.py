"""ONNX's Resize and DepthToSpace as Caffe2 operators."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import sympy

from d2deploy.export.netdef import Node

# Mode and coordinates of ONNX -> Caffe2's or our own operator's arguments.
_MODES: Mapping[tuple[str, str], tuple[str, int]] = {
    ("nearest", "asymmetric"): ("nearest", 0),
    ("linear", "half_pixel"): ("bilinear", 0),
    ("linear", "pytorch_half_pixel"): ("bilinear", 0),
    ("linear", "align_corners"): ("bilinear", 1),
}
_MOST_CELLS = 65536  # of a side


def resize(n: Node) -> None:
    """By factors, or to the size of another map. By one whole factor the operators are Caffe2's, else our own; so they
    are for one channel, as masks have, of which a transposed convolution makes much work."""
    key = (n.attribute("mode", "nearest"), n.attribute("coordinate_transformation_mode", "half_pixel"))
    scales = n.constant(2)
    known = _MODES.get(key)
    if known is None or (key[0] == "nearest" and n.attribute("nearest_mode") != "floor"):
        raise n.refuse(
            f"resizing with mode '{key[0]}', coordinates '{key[1]}', cannot be written; nearest and bilinear can"
        )
    if scales is not None and (len(scales) != 4 or list(scales[:2]) != [1, 1]):
        raise n.refuse("resizing of other dimensions than height and width cannot be written")
    mode, corners = known
    height, width = (float(s) for s in scales[2:]) if scales is not None else _factors(n)
    if height and mode == "nearest" and all(map(_is_caffe2s, (height, width))):
        n.emit("ResizeNearest", [n.source], width_scale=width, height_scale=height, order="NCHW")
    elif height and not corners and height == width and height.is_integer() and n.shape()[1] != 1:
        _by_transposed_convolution(n, int(height))
    elif height:
        n.emit("Interpolate", [n.source], height_scale=height, width_scale=width, mode=mode, align_corners=corners)
    else:
        n.emit("Interpolate", [n.source, _map_of_that_size(n)], mode=mode, align_corners=corners)


def _is_caffe2s(factor: float) -> bool:
    """Whether ResizeNearest, which divides by the factor, takes the cells that PyTorch takes, which multiplies."""
    cells, scale = np.arange(_MOST_CELLS, dtype=np.float32), np.float32(factor)
    return np.array_equal(np.trunc(cells / scale), np.trunc(cells * np.float32(1 / factor)))


def _factors(n: Node) -> tuple[float, float]:
    """By what the size that was asked for is larger than the input's, at any size of the image, where that is a whole
    number, or one by a power of two, which float32 has exactly; else 0."""
    factors = []
    for before, after in zip(n.shape()[2:], n.output_shape()[2:], strict=True):
        ratio = sympy.sympify(str(after)) / sympy.sympify(str(before))
        exact = ratio.is_Rational and int(ratio.q).bit_count() == 1
        factors.append(float(ratio) if exact and not isinstance(before, int) else 0.0)
    return (factors[0], factors[1]) if all(factors) else (0.0, 0.0)


def _map_of_that_size(n: Node) -> str:
    """The blob of a map as large as the output is to be."""
    height, width = n.output_shape()[2:]
    if isinstance(height, int) and isinstance(width, int):
        return n.parameter("size", np.zeros((1, 1, height, width), np.float32))
    found = n.earlier_map(height, width)
    if found is None:
        raise n.refuse(
            f"resizing to {height} x {width}, a size that no map has that is computed before, cannot be written; "
            "give F.interpolate a scale_factor, or the size of a map"
        )
    return found


def _by_transposed_convolution(n: Node, factor: int) -> None:
    """Half-pixel bilinear resizing as a transposed convolution per channel.

    Cell i of a row spreads over the cells j around factor * i with weight 1 - |(j + 0.5) / factor - 0.5 - i|. Beyond
    the border the edge repeats, so one row and column of it are added all around, and cut off again by the pads.
    """
    channels = _channels(n)
    pad = factor // 2
    size = 2 * factor - factor % 2
    row = 1 - np.abs((np.arange(size) - pad + 0.5) / factor - 0.5)
    kernel = np.broadcast_to(np.outer(row, row), (channels, 1, size, size)).astype(np.float32)
    shape = n.shape()
    padded = n.step("padded", [*shape[:2], *(d + 2 if isinstance(d, int) else f"{d} + 2" for d in shape[2:])])
    n.emit("PadImage", [n.source], [padded], mode="edge", pads=[1] * 4)
    weight = n.parameter(f"bilinear_{factor}x", kernel)
    n.emit(
        "ConvTranspose",
        [padded, weight],
        strides=[factor] * 2,
        pads=[pad + factor] * 4,
        kernels=[size] * 2,
        group=channels,
    )


def depth_to_space(n: Node) -> None:
    """Each channel's r * r input channels become the cells of r x r blocks, as PyTorch's PixelShuffle has them."""
    r, channels = n.attribute("blocksize"), _channels(n)
    if n.attribute("mode", "DCR") != "CRD":
        raise n.refuse("DepthToSpace whose blocks come first cannot be written; use nn.PixelShuffle")
    kernel = np.tile(np.eye(r * r, dtype=np.float32).reshape(r * r, 1, r, r), (channels // (r * r), 1, 1, 1))
    n.emit(
        "ConvTranspose",
        [n.source, n.parameter(f"pixel_shuffle_{r}x", kernel)],
        strides=[r, r],
        pads=[0] * 4,
        kernels=[r, r],
        group=channels // (r * r),
    )


def _channels(n: Node) -> int:
    channels = n.shape()[1]
    if not isinstance(channels, int):
        raise n.refuse("the number of channels must be known")
    return channels
