"""The command `caffe2_mask_rcnn`: the program of C++ that the wheel brought."""

import os
import sys
from pathlib import Path

PROGRAM = Path(__file__).parent / "bin" / "caffe2_mask_rcnn"


def main() -> int:
    """Becomes the program, which takes over arguments, streams and environment; returns only where it cannot."""
    try:
        os.execv(PROGRAM, [str(PROGRAM), *sys.argv[1:]])
    except OSError as error:
        print(f"error: cannot run {PROGRAM}: {error.strerror}; install d2deploy again", file=sys.stderr)
    return 1
