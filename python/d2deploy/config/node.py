"""Config: the tree of values that describes a model, read by attribute (`cfg.MODEL.DEVICE`) or by item."""

from __future__ import annotations

import copy
import difflib
from collections.abc import Callable, Iterator, Mapping, MutableMapping, Sequence
from pathlib import Path
from typing import Any

import yaml

from d2deploy.config.defaults import DEFAULTS
from d2deploy.config.files import read_config
from d2deploy.config.merge import LEAVES, merge_nested, merge_pairs
from d2deploy.errors import InvalidArgument


class Config(MutableMapping[str, Any]):
    """A section of a configuration: keys in capitals, values plain (text, numbers, lists, None) or sections.

    New keys may be set by attribute or item, as custom models need; merging files and overrides only changes keys
    that exist.
    """

    __slots__ = ("_frozen", "_values")

    _frozen: bool
    _values: dict[str, Any]

    def __init__(self, values: Mapping[str, Any] | None = None) -> None:
        self._frozen = False
        self._values = {}
        for key, value in (values or {}).items():
            self[key] = copy.deepcopy(value)

    def __getitem__(self, key: str) -> Any:
        return self._values[key]

    def __setitem__(self, key: str, value: Any) -> None:
        self._check_not_frozen()
        if not isinstance(key, str):
            raise InvalidArgument(f"a key of a configuration must be text, got {key!r}")
        if isinstance(value, Mapping) and not isinstance(value, Config):
            value = Config(value)
        if not isinstance(value, (Config, *LEAVES)):
            raise InvalidArgument(
                f"{key} must be text, a number, a list, None or a section, got {type(value).__name__}"
            )
        self._values[key] = value

    def __delitem__(self, key: str) -> None:
        self._check_not_frozen()
        del self._values[key]

    def __iter__(self) -> Iterator[str]:
        return iter(self._values)

    def __len__(self) -> int:
        return len(self._values)

    def __getattr__(self, key: str) -> Any:
        if not key.startswith("_") and key in self._values:
            return self._values[key]
        nearest = [] if key.startswith("_") else difflib.get_close_matches(key, self._values, n=1)
        raise AttributeError(f"no key {key} here" + (f"; did you mean {nearest[0]}?" if nearest else ""))

    def __setattr__(self, key: str, value: Any) -> None:
        if key in Config.__slots__:
            object.__setattr__(self, key, value)
        else:
            self[key] = value

    def __delattr__(self, key: str) -> None:
        if key not in self._values:
            raise AttributeError(f"no key {key} here")
        del self[key]

    def __repr__(self) -> str:
        return f"Config({self._values!r})"

    def __str__(self) -> str:
        return self.dump()

    def merge_from_file(self, name: str | Path) -> None:
        """Sets what a YAML file says, or a configuration of the zoo.

        Args:
            name: Path of a file, or, where there is no such file, a name out of `zoo_configs()`.

        Raises:
            InvalidArgument: The file cannot be read, or has unknown keys or values of a wrong type (all are named).
            Unsupported: The zoo's configuration is one that cannot be exported.
        """
        self._check_not_frozen()
        merge_nested(self, read_config(name), str(name))

    def merge_from_list(self, overrides: Sequence[Any]) -> None:
        """Sets keys by full name: `["MODEL.DEVICE", "cpu", "TEST.DETECTIONS_PER_IMAGE", 50]`.

        Text that is a Python literal becomes what it says, so that "50" does for 50.

        Raises:
            InvalidArgument: A value is missing, or keys are unknown or values of a wrong type (all are named).
        """
        self._check_not_frozen()
        if isinstance(overrides, str) or len(overrides) % 2:
            raise InvalidArgument(f"overrides must be KEY VALUE pairs, got {overrides!r}: the last key has no value")
        merge_pairs(self, [(str(k), v) for k, v in zip(overrides[::2], overrides[1::2])], "overrides")

    def freeze(self) -> None:
        """From now on, changes are refused, in all sections below too."""
        self._set_frozen(True)

    def defrost(self) -> None:
        """Takes `freeze` back."""
        self._set_frozen(False)

    def is_frozen(self) -> bool:
        return self._frozen

    def clone(self) -> Config:
        """A copy that shares nothing with this one; frozen where this one is."""
        return copy.deepcopy(self)

    def to_dict(self) -> dict[str, Any]:
        """Nested dicts that share nothing with this configuration."""
        return {
            key: value.to_dict() if isinstance(value, Config) else copy.deepcopy(value)
            for key, value in self._values.items()
        }

    def dump(self) -> str:
        """YAML that `merge_from_file` reads back, here and in Detectron2."""
        return yaml.dump(self.to_dict(), Dumper=_Dumper, default_flow_style=None, width=120)

    def _set_frozen(self, frozen: bool) -> None:
        self._frozen = frozen
        for value in self._values.values():
            if isinstance(value, Config):
                value._set_frozen(frozen)

    def _check_not_frozen(self) -> None:
        if self._frozen:
            raise InvalidArgument("this configuration is frozen; change a clone() of it, after defrost()")


class _Dumper(yaml.SafeDumper):
    """Writes tuples as lists (reading makes them tuples again), and equal lists in full rather than as aliases."""

    def ignore_aliases(self, data: Any) -> bool:
        return True


def get_cfg() -> Config:
    """Detectron2's defaults, and the exporter's own section EXPORT_CAFFE2."""
    return Config(DEFAULTS)


def load_config(
    name: str | Path, overrides: Sequence[Any] = (), extend: Sequence[Callable[[Config], object]] = ()
) -> Config:
    """The defaults, then a file or a configuration of the zoo, then overrides.

    Args:
        name: as `Config.merge_from_file` takes it.
        overrides: as `Config.merge_from_list` takes them.
        extend: functions that add keys of their own to the defaults, with the values that these have by default, as
            `cfg.MODEL.VOVNET = {"CONV_BODY": "V-39-eSE"}` does.

    Raises:
        InvalidArgument, Unsupported: see `Config.merge_from_file` and `Config.merge_from_list`.
    """
    cfg = get_cfg()
    for add_keys in extend:
        add_keys(cfg)
    cfg.merge_from_file(name)
    cfg.merge_from_list(overrides)
    return cfg
