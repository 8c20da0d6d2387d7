"""scripts/check_layers: each kind of violation, alone in a small tree that is otherwise clean, and what must pass."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]

CLEAN = {
    "cpp/include/d2deploy/tensor.h": "#pragma once\n#include <vector>\n",
    "cpp/include/d2deploy/model.h": '#include "d2deploy/tensor.h"\n',
    "cpp/src/core/text.h": '#include "d2deploy/tensor.h"\n',
    "cpp/src/kernels/sgemm.h": '#include "core/text.h"\n',
    "cpp/src/graph/graph.h": '#include "core/text.h"\n',
    "cpp/src/io/npy.h": '#include "core/text.h"\n',
    "cpp/src/io/reader.cpp": '#include "graph/graph.h"\n#include "caffe2.pb.h"\n',
    "cpp/src/operators/relu/relu.h": '#include "kernels/sgemm.h"\n',
    "cpp/src/passes/fold.cpp": '#include "graph/graph.h"\n#include "operators/relu/relu.h"\n',
    "cpp/src/runtime/plan.h": '#include "io/npy.h"\n#include "operators/relu/relu.h"\n#include "graph/graph.h"\n',
    "cpp/src/detector/paste.cpp": '#include "core/text.h"\n#include "d2deploy/tensor.h"\n',
    "cpp/src/cli/main.cpp": '#include <opencv2/core.hpp>\n#include "core/text.h"\n#include "io/npy.h"\n',
    "python/bindings/module.cpp": '#include "d2deploy/model.h"\n',
    "python/d2deploy/__init__.py": "import numpy\nfrom d2deploy import runtime\n",
    "python/d2deploy/runtime/__init__.py": "import json\nfrom . import session\n",
    "python/d2deploy/runtime/session.py": "from __future__ import annotations\nimport numpy as np\n",
    "python/d2deploy/modeling/__init__.py": "import torch\n",
    "python/d2deploy/export/__init__.py": "import onnx\nfrom d2deploy import modeling\n",
    "python/d2deploy/export/verify.py": "from d2deploy import runtime\nfrom d2deploy.runtime import session\n",
}

# file, its content, what the message must say
VIOLATIONS = [
    ("cpp/src/core/bad.h", '#include "graph/graph.h"', "core must not include graph/graph.h"),
    ("cpp/src/graph/bad.h", '#include "io/npy.h"', "graph must not include io/npy.h"),
    ("cpp/src/io/bad.h", '#include "operators/relu/relu.h"', "io must not include operators/relu/relu.h"),
    ("cpp/src/kernels/bad.h", '#include "graph/graph.h"', "kernels must not include graph/graph.h"),
    ("cpp/src/kernels/worse.h", '#include "operators/relu/relu.h"', "kernels must not include operators/relu/relu.h"),
    ("cpp/src/operators/bad.h", '#include "graph/graph.h"', "operators must not include graph/graph.h"),
    ("cpp/src/operators/relu/bad.cpp", '#include "io/npy.h"', "operators must not include io/npy.h"),
    ("cpp/src/operators/relu/worse.cpp", '#include "../../io/npy.h"', "operators must not include ../../io/npy.h"),
    ("cpp/src/passes/bad.h", '#include "io/npy.h"', "passes must not include io/npy.h"),
    ("cpp/src/passes/worse.h", "#  include <runtime/plan.h>", "passes must not include runtime/plan.h"),
    ("cpp/src/runtime/bad.h", '#include "cli/flags.h"', "runtime must not include cli/flags.h"),
    (
        "cpp/src/detector/bad.h",
        '#include "runtime/plan.h"',
        "detector must not include runtime/plan.h; it may use: core",
    ),
    ("cpp/src/cli/bad.h", '#include "core/memory.h"', "cli must not include core/memory.h; it may use: core/check.h"),
    ("python/bindings/bad.cpp", '#include "io/npy.h"', "bindings must not include io/npy.h"),
    ("cpp/src/surprise/new.h", "#pragma once", "cpp/src/surprise: unknown layer"),
    ("cpp/include/d2deploy/bad.h", '#include "core/text.h"', "public headers include only public headers"),
    ("python/d2deploy/modeling/bad.py", "import d2deploy.runtime.session", "d2deploy.modeling must not import"),
    (
        "python/d2deploy/export/bad.py",
        "from d2deploy import runtime",
        "d2deploy.export must not import d2deploy.runtime",
    ),
    ("python/d2deploy/export/worse.py", "from ..runtime import session", "d2deploy.export must not import"),
    ("python/d2deploy/runtime/bad.py", "def f():\n    import torch", "d2deploy.runtime must not import torch"),
    ("python/d2deploy/runtime/worse.py", "from detectron2.data import x", "must not import detectron2.data"),
    ("python/d2deploy/runtime/session.py", "import yaml", "`import d2deploy` needs NumPy alone, but this imports yaml"),
    (
        "python/d2deploy/runtime/session.py",
        "from d2deploy import modeling",
        "needs NumPy alone, but this imports torch",
    ),
]


def write_tree(root: Path, files: dict[str, str]) -> None:
    for name, text in files.items():
        file = root / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text, encoding="utf-8")


def check_layers(root: Path) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, str(ROOT / "scripts/check_layers"), str(root)]
    return subprocess.run(command, capture_output=True, text=True, check=False)


def test_clean_tree_passes(tmp_path: Path) -> None:
    write_tree(tmp_path, CLEAN)
    result = check_layers(tmp_path)
    assert (result.returncode, result.stdout, result.stderr) == (0, "", "")


@pytest.mark.parametrize(("file", "text", "message"), VIOLATIONS, ids=[f"{v[0]}:{v[2][-20:]}" for v in VIOLATIONS])
def test_violation_is_named(tmp_path: Path, file: str, text: str, message: str) -> None:
    write_tree(tmp_path, CLEAN | {file: text + "\n"})
    result = check_layers(tmp_path)
    assert result.returncode == 1, result.stderr
    assert message in result.stdout
    assert all(line.startswith(("cpp/", "python/")) for line in result.stdout.splitlines())


@pytest.mark.parametrize(
    "text",
    [
        "def f():\n    import yaml",
        "from typing import TYPE_CHECKING\nif TYPE_CHECKING:\n    import yaml",
        "import os.path",
    ],
    ids=["in a function", "for type checkers", "standard library"],
)
def test_import_that_does_not_run_passes(tmp_path: Path, text: str) -> None:
    write_tree(tmp_path, CLEAN | {"python/d2deploy/runtime/session.py": text + "\n"})
    result = check_layers(tmp_path)
    assert (result.returncode, result.stdout) == (0, "")


def test_folder_without_sources_is_an_error(tmp_path: Path) -> None:
    result = check_layers(tmp_path)
    assert result.returncode == 2
    assert "neither cpp/src nor python" in result.stderr


def test_this_tree_passes() -> None:
    result = check_layers(ROOT)
    assert result.returncode == 0, result.stdout + result.stderr
