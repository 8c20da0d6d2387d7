"""What `import d2deploy` costs, and what it needs: each in a process of its own."""

from __future__ import annotations

import os
import subprocess
import sys

from conftest import ROOT

HEAVY = ("PIL", "cv2", "google", "graphviz", "onnx", "onnx_ir", "pycocotools", "torch", "tqdm")


def printed(code: str, *, with_numpy: bool = True) -> list[str]:
    """The words that a program prints."""
    run = subprocess.run(
        [sys.executable, *([] if with_numpy else ["-S"]), "-c", code],
        env={**os.environ, "PYTHONPATH": str(ROOT / "python")},
        capture_output=True,
        text=True,
        check=True,
    )
    return run.stdout.split()


def test_importing_it_is_cheap() -> None:
    """Counted, since seconds depend on the machine: every module is a file to find, read and run."""
    count = "import sys; before = set(sys.modules); import {}; print(len(set(sys.modules) - before))"
    ours, numpy = (int(printed(count.format(name))[0]) for name in ("d2deploy", "numpy"))
    assert ours < numpy / 2


def test_importing_it_loads_no_other_package() -> None:
    code = "import sys, d2deploy; print(*sys.modules)"
    loaded = {name.partition(".")[0] for name in printed(code)}
    assert "d2deploy" in loaded
    assert not loaded & {*HEAVY, "numpy"}
    assert "d2deploy" in printed(code, with_numpy=False)  # no package is there at all
