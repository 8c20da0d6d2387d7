"""Reads configurations from YAML files, with `_BASE_`, and from the zoo; gives plain nested dicts.

Files are hostile until they are read: only plain values come out, and sizes are bounded.
"""

from __future__ import annotations

import logging
import re
from collections.abc import Hashable, Mapping
from pathlib import Path
from typing import Any

import yaml

from d2deploy.config import zoo
from d2deploy.config.expression import evaluate
from d2deploy.config.versions import upgrade
from d2deploy.errors import InvalidArgument, Unsupported

_LOGGER = logging.getLogger(__name__)
BASE_KEY = "_BASE_"
_TARGET = re.compile(r"""^[\s{-]*["']?_target_["']?\s*:""", re.MULTILINE)  # the key that names what makes a part
MAX_BYTES = 1 << 18  # the whole of the defaults takes 6 KiB
MAX_VALUES = 100_000  # aliases let a small file stand for a huge tree
MAX_BASES = 32


def read_config(name: str | Path) -> dict[Any, Any]:
    """What a file and its bases say, or a configuration of the zoo where there is no such file.

    A base that is not there is taken from the zoo where its path ends in a name of the zoo.

    Raises:
        InvalidArgument: No such file or name, no YAML, a value that is not plain, a chain of bases without end.
        Unsupported: The zoo's configuration is one that cannot be exported, or written in Python.
    """
    path = Path(name).expanduser()
    if path.suffix == ".py":
        raise Unsupported(f"{name}: {zoo.LAZY}")
    if not _is_file(path) and (known := zoo.find_config(str(name))):
        return known
    return upgrade(_read_with_bases(path, ()), str(name))


def is_lazy_dump(file: str | Path) -> bool:
    """Whether a file is a lazy configuration that Detectron2 saved as YAML; False where it cannot be read."""
    try:
        return _TARGET.search(Path(file).read_text(encoding="utf-8")) is not None
    except (OSError, UnicodeError):
        return False


def _read_with_bases(path: Path, above: tuple[Path, ...]) -> dict[Any, Any]:
    if path.resolve() in above or len(above) >= MAX_BASES:
        chain = " -> ".join(str(p) for p in (*above, path))
        raise InvalidArgument(f"{path}: {BASE_KEY} leads back to a file of its own chain, or is too long: {chain}")
    config = _read_yaml(path)
    bases = config.pop(BASE_KEY, None)
    merged: dict[Any, Any] = {}
    for base in [] if bases is None else bases if isinstance(bases, list) else [bases]:
        if not isinstance(base, str) or not base:
            raise InvalidArgument(f"{path}: {BASE_KEY} must be the path of a file, got {base!r}")
        _overlay(merged, _read_base(path, base, (*above, path.resolve())), path)
    _overlay(merged, config, path)
    return merged


def _read_base(path: Path, base: str, above: tuple[Path, ...]) -> dict[Any, Any]:
    if "://" in base:
        raise InvalidArgument(f"{path}: {BASE_KEY} must be a local file, got {base}; download it first")
    file = path.parent / Path(base).expanduser()
    if not _is_file(file) and (known := zoo.find_base(file)):
        _LOGGER.warning("%s: %s: there is no %s; the zoo's is taken", path, BASE_KEY, file)
        return known
    try:
        return _read_with_bases(file, above)
    except InvalidArgument as error:
        raise InvalidArgument(f"{path}: {BASE_KEY}: {error}") from None


def _is_file(path: Path) -> bool:
    try:
        return path.is_file()
    except OSError:  # the name is too long, for one
        return False


def _overlay(under: dict[Any, Any], over: dict[Any, Any], path: Path) -> None:
    for key, value in over.items():
        if isinstance(value, dict) and key in under:
            if not isinstance(under[key], dict):
                raise InvalidArgument(f"{path}: {key} is a section here, but a value in the base")
            _overlay(under[key], value, path)
        else:
            under[key] = value


def _read_yaml(path: Path) -> dict[Any, Any]:
    try:
        if _is_file(path) and path.stat().st_size > MAX_BYTES:
            raise InvalidArgument(f"{path} has {path.stat().st_size} bytes, a configuration at most {MAX_BYTES}")
        text = path.read_text(encoding="utf-8")
    except FileNotFoundError:
        raise InvalidArgument(f"no configuration {path}: no such file{zoo.suggestion(path)}") from None
    except (OSError, UnicodeError) as error:
        raise InvalidArgument(f"cannot read the configuration {path}: {error}") from None
    if _TARGET.search(text):
        raise Unsupported(f"{path} is a lazy configuration, saved as YAML: {zoo.LAZY}")
    try:
        config = yaml.load(text, Loader=_Loader)
    except InvalidArgument as error:
        raise InvalidArgument(f"{path}: {error}") from None
    except RecursionError:
        raise InvalidArgument(f"{path}: nested too deeply") from None
    except (yaml.YAMLError, ValueError) as error:
        raise InvalidArgument(f"{path} is not YAML of plain values: {error}") from None
    if config is None:
        return {}
    if not isinstance(config, dict):
        raise InvalidArgument(f"{path} must hold KEY: VALUE lines, got a {type(config).__name__}")
    return _Copy(path).of(config)  # type: ignore[no-any-return]


class _Copy:
    """Copies a tree, bounded, so that the parts of the copy are not shared."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.values = 0

    def of(self, value: Any, depth: int = 0) -> Any:
        self.values += 1
        if self.values > MAX_VALUES or depth > 100:
            raise InvalidArgument(f"{self.path}: more than {MAX_VALUES} values, or nested too deeply")
        if isinstance(value, Mapping):
            return {key: self.of(inner, depth + 1) for key, inner in value.items()}
        if isinstance(value, (list, tuple)):
            return type(value)(self.of(inner, depth + 1) for inner in value)
        return value


class _Loader(yaml.SafeLoader):
    """YAML's plain values, tuples, and the arithmetic of RetinaNet's anchor sizes. A key stands once in a section."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Hashable, Any]:
        lines: dict[str, int] = {}
        for key, _ in node.value:
            name, line = str(key.value), key.start_mark.line + 1
            if isinstance(key, yaml.ScalarNode) and name != "<<" and name in lines:
                raise InvalidArgument(
                    f"{name} stands twice in one section, in lines {lines[name]} and {line}; Detectron2 would take the "
                    "last alone: put all into one"
                )
            lines[name] = line
        return super().construct_mapping(node, deep)


def _construct_eval(loader: _Loader, node: yaml.Node) -> Any:
    arguments = loader.construct_sequence(node, deep=True) if isinstance(node, yaml.SequenceNode) else None
    if arguments is None or len(arguments) != 1 or not isinstance(arguments[0], str):
        raise InvalidArgument(f"line {node.start_mark.line + 1}: eval takes one expression as text")
    try:
        return evaluate(arguments[0])
    except InvalidArgument as error:
        raise InvalidArgument(f"line {node.start_mark.line + 1}: {error}") from None


def _construct_tuple(loader: _Loader, node: yaml.SequenceNode) -> tuple[Any, ...]:
    return tuple(loader.construct_sequence(node, deep=True))


_Loader.add_constructor("tag:yaml.org,2002:python/object/apply:eval", _construct_eval)
_Loader.add_constructor("tag:yaml.org,2002:python/tuple", _construct_tuple)
