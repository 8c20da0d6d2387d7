"""Oracle of keypoints that are read from heat maps."""

from __future__ import annotations

import numpy as np

from .arguments import Arguments, Array
from .elementwise import float32


def _refine(window: Array) -> tuple[Array, float]:
    """Step (x, y) from the middle of a 3 x 3 window to the extremum of a quadratic through it, and its value there.

    The quadratic has the window's central differences. Where it has no bend, the middle stays; steps end at 1.5.
    """
    gradient = np.array([window[1, 2] - window[1, 0], window[2, 1] - window[0, 1]]) / 2
    mixed = (window[2, 2] - window[2, 0] - window[0, 2] + window[0, 0]) / 4
    bends = [window[1, 0] + window[1, 2] - 2 * window[1, 1], window[0, 1] + window[2, 1] - 2 * window[1, 1]]
    hessian = np.array([[bends[0], mixed], [mixed, bends[1]]])
    middle = float(window[1, 1])
    if not np.isfinite(hessian).all() or abs(np.linalg.det(hessian)) < 1e-4:
        return np.zeros(2), middle
    step = -np.linalg.solve(hessian, gradient)
    step *= min(1.0, 1.5 / max(np.abs(step).max(), 1e-9))
    return step, middle + float(gradient @ step + step @ hessian @ step / 2)


def heatmap_max_keypoint(args: Arguments, inputs: list[Array]) -> list[Array]:
    """Rows x, y, score, probability (n, 4, K) of the highest cell of each map (n, K, S, S), refined, in its box.

    The first of equal cells is taken; NaN is never the highest. Deliberately the softmax is that of the logits less
    their largest, so that none overflow.
    """
    maps, boxes = inputs[0].astype(np.float64), inputs[1].astype(np.float64)
    side = maps.shape[2]
    out = np.zeros((maps.shape[0], 4, maps.shape[1]))
    for row, k in np.ndindex(*maps.shape[:2]):
        heat = maps[row, k]
        flat = 0 if np.isnan(heat).all() else int(np.nanargmax(heat))
        top, left = divmod(flat, side)
        with np.errstate(invalid="ignore"):
            window = np.pad(heat, 1, mode="reflect")[top : top + 3, left : left + 3]
            step, score = _refine(window)
            corner, size = boxes[row, :2], np.maximum(boxes[row, 2:4] - boxes[row, :2], 1)
            out[row, :2, k] = corner + (0.5 + np.array([left, top]) + step) * size / side
            out[row, 2, k] = score
            if args.flag("should_output_softmax", False):
                out[row, 3, k] = 1 / np.exp(heat - heat[top, left]).sum()
    return [float32(out)]
