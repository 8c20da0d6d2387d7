"""scripts/check_layers: each kind of violation, alone in a small tree that is otherwise clean, and what must pass."""

from __future__ import annotations

import runpy
import subprocess
import sys
from collections.abc import Callable
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
    "cpp/src/reference/engine.h": '#include "io/npy.h"\n',
    "cpp/src/operators/relu/relu.h": '#include "kernels/sgemm.h"\n',
    "cpp/src/passes/fold.cpp": '#include "graph/graph.h"\n#include "operators/relu/relu.h"\n',
    "cpp/src/runtime/plan.h": '#include "reference/engine.h"\n#include "operators/relu/relu.h"\n',
    "cpp/src/runtime/bind.cpp": '#include "graph/graph.h"\n#include "io/npy.h"\n',
    "cpp/src/detector/paste.cpp": '#include "runtime/plan.h"\n#include "d2deploy/tensor.h"\n',
    "cpp/src/capi/call.h": '#include "core/check.h"\n#include "d2deploy/model.h"\n',
    "cpp/src/cli/main.cpp": '#include <opencv2/core.hpp>\n#include "core/check.h"\n#include "core/text.h"\n',
    "cpp/src/cli/dump.cpp": '#include "io/npy.h"\n#include "d2deploy/model.h"\n',
    "python/bindings/module.cpp": '#include "d2deploy/model.h"\n',
    "python/d2deploy/_ext.pyi": "import numpy.typing\n",
    "python/d2deploy/errors.py": "",
    "python/d2deploy/structures.py": "import numpy\nfrom d2deploy.errors import Error\n",
    "python/d2deploy/padding.py": "import numpy\n",
    "python/d2deploy/pickles.py": "import numpy\nfrom d2deploy import errors\n",
    "python/d2deploy/images.py": "import numpy\nfrom PIL import Image\nfrom d2deploy import errors\n",
    "python/d2deploy/drawing.py": "import numpy, PIL\nfrom d2deploy import _ext\n",
    "python/d2deploy/serving.py": (
        "import google, grpc, h11, numpy, PIL, prometheus_client, python_multipart, starlette, uvicorn\n"
        "from d2deploy import drawing, errors, images, padding\n"
    ),
    "python/d2deploy/config/__init__.py": "import yaml\nfrom . import zoo\n",
    "python/d2deploy/config/zoo.py": "import json\nfrom ..errors import Error\n",
    "python/d2deploy/checkpoint/__init__.py": "import numpy, torch, tqdm\nfrom safetensors.torch import load\n",
    "python/d2deploy/modeling/__init__.py": "import torch, d2deploy.config\nfrom d2deploy import padding, structures\n",
    "python/d2deploy/nets.py": "import graphviz, numpy\nfrom google.protobuf import message\nimport d2deploy.errors\n",
    "python/d2deploy/export/__init__.py": (
        "import numpy, onnx, onnx_ir, onnxscript, sympy, torch\nfrom d2deploy import modeling, nets\n"
    ),
    "python/d2deploy/export/api.py": "from d2deploy import runtime\n",
    "python/d2deploy/__init__.py": "import pkgutil\n\n\ndef __getattr__(name):\n    from d2deploy import runtime\n",
    "python/d2deploy/export/verify.py": "def verify():\n    from d2deploy.runtime import session\n",
    "python/d2deploy/runtime/__init__.py": "from d2deploy import _ext\nfrom . import session\n",
    "python/d2deploy/runtime/session.py": "import numpy as np\nfrom d2deploy import nets, padding\n",
    "python/d2deploy/evaluation/__init__.py": (
        "import numpy, PIL.Image, pycocotools.coco, torch, tqdm\n"
        "from d2deploy import images\nfrom d2deploy.runtime import session\n"
    ),
    "python/d2deploy/order.py": "from collections import deque\n",
    "python/d2deploy/picture_files.py": "from d2deploy.errors import InvalidArgument\n",
    "python/d2deploy/results.py": "def masks():\n    from d2deploy import _ext\n",
    "python/d2deploy/batch.py": (
        "import PIL, numpy, pyarrow, ray, tqdm\nfrom d2deploy import images, order, picture_files, results, runtime\n"
    ),
    "python/d2deploy/cli/__init__.py": (
        "import PIL, cv2, numpy, torch, tqdm, yaml\nfrom d2deploy import evaluation, export\n"
    ),
    "python/d2deploy/program.py": "import os\n",
    "python/d2deploy/__main__.py": "from d2deploy.cli import main\n",
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
    ("cpp/src/reference/bad.h", '#include "runtime/plan.h"', "reference must not include runtime/plan.h"),
    ("cpp/src/runtime/bad.h", '#include "cli/flags.h"', "runtime must not include cli/flags.h"),
    ("cpp/src/runtime/worse.h", '#include "detector/detector.h"', "runtime must not include detector/detector.h"),
    ("cpp/src/detector/bad.h", '#include "cli/flags.h"', "detector must not include cli/flags.h; it may use: core, "),
    (
        "cpp/src/capi/bad.h",
        '#include "detector/detector.h"',
        "capi must not include detector/detector.h; it may use: core/",
    ),
    ("cpp/src/cli/bad.h", '#include "core/memory.h"', "cli must not include core/memory.h; it may use: core/check.h"),
    ("cpp/src/cli/worse.h", '#include "detector/detector.h"', "cli must not include detector/detector.h"),
    (
        "python/bindings/bad.cpp",
        '#include "io/npy.h"',
        "bindings must not include io/npy.h; it may use: public headers",
    ),
    ("cpp/src/surprise/new.h", "#pragma once", "cpp/src/surprise: unknown layer"),
    ("cpp/include/d2deploy/bad.h", '#include "core/text.h"', "public headers include only public headers"),
    ("python/d2deploy/surprise.py", "import os", "python/d2deploy/surprise.py: unknown layer"),
    ("python/d2deploy/__init__.py", "from d2deploy import modeling", "d2deploy must not import d2deploy.modeling"),
    (
        "python/d2deploy/__init__.py",
        "import numpy",
        "d2deploy must not import numpy; of other projects it may use: nothing",
    ),
    (
        "python/d2deploy/errors.py",
        "from d2deploy import structures",
        "d2deploy.errors must not import d2deploy.structures",
    ),
    (
        "python/d2deploy/config/bad.py",
        "from ..checkpoint import x",
        "d2deploy.config must not import d2deploy.checkpoint",
    ),
    ("python/d2deploy/config/worse.py", "import torch", "d2deploy.config must not import torch"),
    ("python/d2deploy/modeling/bad.py", "import d2deploy.runtime.session", "d2deploy.modeling must not import"),
    (
        "python/d2deploy/modeling/worse.py",
        "from d2deploy import _ext",
        "d2deploy.modeling must not import d2deploy._ext",
    ),
    (
        "python/d2deploy/export/bad.py",
        "from d2deploy import runtime",
        "d2deploy.export must not import d2deploy.runtime",
    ),
    ("python/d2deploy/export/worse.py", "from ..runtime import session", "d2deploy.export must not import"),
    (
        "python/d2deploy/export/verify.py",
        "import d2deploy.evaluation, d2deploy.runtime",
        "must not import d2deploy.evaluation",
    ),
    (
        "python/d2deploy/runtime/bad.py",
        "def f():\n    import torch",
        "d2deploy.runtime must not import torch; of other proj",
    ),
    ("python/d2deploy/runtime/worse.py", "from detectron2.data import x", "must not import detectron2.data"),
    ("python/d2deploy/runtime/pictures.py", "import cv2", "must not import cv2"),
    (
        "python/d2deploy/runtime/images.py",
        "from d2deploy.images import x",
        "d2deploy.runtime must not import d2deploy.images",
    ),
    (
        "python/d2deploy/runtime/model.py",
        "from d2deploy import modeling",
        "d2deploy.runtime must not import d2deploy.modeling",
    ),
    ("python/d2deploy/nets.py", "import onnx", "d2deploy.nets must not import onnx; of other projects it may use"),
    ("python/d2deploy/nets.py", "from d2deploy import runtime", "d2deploy.nets must not import d2deploy.runtime"),
    (
        "python/d2deploy/evaluation/bad.py",
        "import d2deploy.export",
        "d2deploy.evaluation must not import d2deploy.export",
    ),
]

# What must not be there, and what the message must say of the rule that is left over.
LEFT_OVER = [
    ("cpp/src/capi/", "there is no layer capi; drop it from the rules"),
    ("cpp/src/reference/", "there is no layer reference; drop it from the rules"),
    ("python/bindings/", "there is no layer bindings; drop it from the rules"),
    ("python/d2deploy/padding.py", "there is no d2deploy.padding; drop it from the rules"),
    ("python/d2deploy/config/", "there is no d2deploy.config; drop it from the rules"),
    ("python/d2deploy/_ext.pyi", "there is no d2deploy._ext; drop it from the rules"),
    ("cpp/src/cli/", "cli does not include io/npy.h; drop it from the exceptions"),
    (
        "python/d2deploy/export/verify.py",
        "export/verify.py does not import d2deploy.runtime; drop it from the exceptions",
    ),
    ("python/d2deploy/images.py", "d2deploy.images does not import PIL; drop it from THIRD_PARTY"),
]


def write_tree(root: Path, files: dict[str, str]) -> None:
    for name, text in files.items():
        file = root / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text, encoding="utf-8")


Check = Callable[[Path], tuple[int, str, str]]


@pytest.fixture
def check_layers(capsys: pytest.CaptureFixture[str]) -> Check:
    """Runs the script on a tree: its exit status, and what it prints to stdout and stderr."""
    main = runpy.run_path(str(ROOT / "scripts/check_layers"))["main"]
    return lambda root: (main([str(root)]), *capsys.readouterr())


def test_clean_tree_passes(check_layers: Check, tmp_path: Path) -> None:
    write_tree(tmp_path, CLEAN)
    assert check_layers(tmp_path) == (0, "", "")


@pytest.mark.parametrize(("file", "text", "message"), VIOLATIONS, ids=[f"{v[0]}:{v[2][-20:]}" for v in VIOLATIONS])
def test_violation_is_named(check_layers: Check, tmp_path: Path, file: str, text: str, message: str) -> None:
    write_tree(tmp_path, CLEAN | {file: text + "\n"})
    status, out, err = check_layers(tmp_path)
    assert (status, err) == (1, "")
    assert message in out
    assert all(line.startswith(("cpp/", "python/", "scripts/check_layers: ")) for line in out.splitlines())


@pytest.mark.parametrize(("gone", "message"), LEFT_OVER, ids=[gone for gone, _ in LEFT_OVER])
def test_rules_that_name_nothing_are_errors(check_layers: Check, tmp_path: Path, gone: str, message: str) -> None:
    write_tree(tmp_path, {name: text for name, text in CLEAN.items() if not name.startswith(gone)})
    status, out, _ = check_layers(tmp_path)
    assert status == 1
    assert f"scripts/check_layers: {message}" in out.splitlines()


def test_folder_without_sources_is_an_error(check_layers: Check, tmp_path: Path) -> None:
    status, _, err = check_layers(tmp_path)
    assert status == 2
    assert "neither cpp/src nor python" in err


def test_this_tree_passes() -> None:
    command = [sys.executable, str(ROOT / "scripts/check_layers")]
    result = subprocess.run(command, capture_output=True, text=True, check=False)
    assert (result.returncode, result.stdout, result.stderr) == (0, "", "")
