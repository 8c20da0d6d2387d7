#!/usr/bin/env python3
"""Converts a Detectron2 model to Caffe2 files; --help tells how. The same as `caffe2_converter` and `d2deploy convert`.

In a source tree it takes the package from there, and the compiled module from the newest build.
"""

import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]

if (ROOT / "python" / "d2deploy").is_dir():
    builds = sorted(ROOT.glob("build/*/python/d2deploy/_ext*"), key=lambda file: file.stat().st_mtime)
    sys.path[:0] = [str(ROOT / "python"), *(str(file.parents[1]) for file in builds[-1:])]

from d2deploy.cli.convert import main  # noqa: E402

if __name__ == "__main__":
    sys.exit(main())
