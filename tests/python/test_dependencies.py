"""pyproject.toml declares what the package imports: no more, no less, and pinned where it is developed."""

from __future__ import annotations

import ast
import re
import sys
from importlib.metadata import packages_distributions

import tomllib
from conftest import ROOT

PACKAGE = ROOT / "python" / "d2deploy"
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
# What runs a converted model; all else may need the extra `export`.
LIGHT = ("__init__.py", "errors.py", "structures", "padding.py", "runtime")


def names(requirements: list[str]) -> set[str]:
    """The packages that requirements name, as PyPI compares them."""
    found = (re.match(r"[\w.-]+", requirement) for requirement in requirements)
    return {normalised(match[0]) for match in found if match}


def normalised(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()


def imported(*places: str) -> dict[str, set[str]]:
    """The modules of other projects that files and folders of the package import -> the packages that have them."""
    every = packages_distributions()
    found: dict[str, set[str]] = {}
    for file in (f for place in places for f in [PACKAGE / place, *(PACKAGE / place).rglob("*.py")] if f.is_file()):
        for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Import):
                modules = [alias.name for alias in node.names]
            else:
                modules = [node.module or ""] if isinstance(node, ast.ImportFrom) and not node.level else []
            for module in (m.partition(".")[0] for m in modules):
                if module != "d2deploy" and module not in sys.stdlib_module_names:
                    found[module] = {normalised(name) for name in every.get(module, [])}
    return found


DEPENDENCIES = names(PROJECT["project"]["dependencies"])
OPTIONAL = PROJECT["project"]["optional-dependencies"]
EXTRAS = names([r for extra, wanted in OPTIONAL.items() if extra != "cuda" for r in wanted])  # nothing imports cuDNN


def test_what_is_imported_is_declared() -> None:
    modules = imported("")
    assert {"numpy", "onnx_ir", "sympy", "torch"} <= modules.keys()
    assert not {m: packages for m, packages in modules.items() if not packages & (DEPENDENCIES | EXTRAS)}


def test_running_a_model_needs_no_extra() -> None:
    modules = imported(*LIGHT)
    assert modules
    assert not {m: packages for m, packages in modules.items() if not packages & DEPENDENCIES}


def test_what_is_declared_is_imported() -> None:
    assert not (DEPENDENCIES | EXTRAS) - set().union(*imported("").values())


def test_what_is_declared_is_pinned_where_it_is_developed() -> None:
    developed = PROJECT["dependency-groups"]["dev"]
    assert not (DEPENDENCIES | EXTRAS) - names(developed)
    assert not [requirement for requirement in developed if "==" not in requirement]
    assert set(PROJECT["dependency-groups"]["program"]) <= set(developed)


def test_what_a_build_for_gpus_takes_is_pinned() -> None:
    group = PROJECT["dependency-groups"]["cuda"]
    assert names(OPTIONAL["cuda"]) <= names(group)
    assert not [requirement for requirement in group if "==" not in requirement]
