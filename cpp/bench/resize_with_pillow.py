"""Times d2deploy's resize and Pillow's in turn, so that a change of the machine's speed meets both.

Usage: python cpp/bench/resize_with_pillow.py [RUNS]

Prints the medians for pictures of three channels and how many times as fast as Pillow d2deploy is. Needs Pillow, and
d2deploy._ext in Python's path.
"""

from __future__ import annotations

import statistics
import sys
import time
from collections.abc import Callable
from functools import partial

import numpy as np
from PIL import Image

from d2deploy import _ext

SIZES = [(480, 640, 800, 1067), (1080, 1920, 750, 1333), (3000, 4000, 800, 1067)]  # of the picture, of the result


def milliseconds(call: Callable[[], object]) -> float:
    start = time.perf_counter()
    call()
    return (time.perf_counter() - start) * 1e3


def main(runs: int) -> None:
    print(f"{'':28} {'Pillow':>9} {'1 thread':>15} {'all threads':>15}")
    for height, width, new_height, new_width in SIZES:
        pixels = np.random.default_rng(0).integers(0, 256, (height, width, 3), dtype=np.uint8)
        picture = Image.fromarray(pixels)
        calls: list[Callable[[], object]] = [
            partial(picture.resize, (new_width, new_height), Image.Resampling.BILINEAR),
            partial(_ext.resize, pixels, new_height, new_width, threads=1),
            partial(_ext.resize, pixels, new_height, new_width, threads=0),
        ]
        times = zip(*([milliseconds(call) for call in calls] for _ in range(runs)))
        pillow, one, every = (statistics.median(t) for t in times)
        name = f"{height} x {width} to {new_height} x {new_width}"
        ratios = "".join(f" {t:6.1f} ms {pillow / t:4.1f} x" for t in (one, every))
        print(f"{name:28} {pillow:6.1f} ms{ratios}")


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 31)
