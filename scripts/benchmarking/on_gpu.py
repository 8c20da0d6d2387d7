"""The models of d2deploy.modeling in PyTorch on a GPU, to compare with: `python -m benchmarking.on_gpu FOLDER HxW`.

Times, with the picture on the device and without masks pasted, eager and through torch.compile: float32, and float16
by autocast with channels last.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch

from benchmarking.eager import compile_networks
from benchmarking.models import load_model, net_inputs_of, parse_size, picture


def median_milliseconds(work: Callable[[], Any], runs: int = 15) -> float:
    """Of a run, from its start to the end of all that it launched."""
    for _ in range(4):
        work()
    times = []
    for _ in range(runs):
        torch.cuda.synchronize()
        start = time.perf_counter()
        work()
        torch.cuda.synchronize()
        times.append(time.perf_counter() - start)
    return sorted(times)[runs // 2] * 1e3


@torch.inference_mode()
def measure(folder: Path, size: str, reduced: bool, compiled: bool) -> float:
    """Milliseconds of one picture."""
    model = load_model(folder).cuda()
    image = torch.from_numpy(net_inputs_of(picture(*parse_size(size)))["data"][0]).cuda()
    if reduced:
        model = model.to(memory_format=torch.channels_last)
    if compiled:
        compile_networks(model)
    with torch.autocast("cuda", torch.float16, enabled=reduced):
        return median_milliseconds(lambda: model.detect([{"image": image}]))


def main(folder: str, size: str) -> None:
    """Prints a line for each way."""
    for reduced in (False, True):
        for compiled in (False, True):
            way = f"{'torch.compile' if compiled else 'eager'} in {'float16' if reduced else 'float32'}"
            try:
                print(f"{way}: {measure(Path(folder), size, reduced, compiled):.2f} ms", flush=True)
            except Exception as error:  # one way that fails does not take the others with it
                print(f"{way}: {type(error).__name__}: {str(error).splitlines()[0][:120]}", flush=True)


if __name__ == "__main__":
    main(*sys.argv[1:])
