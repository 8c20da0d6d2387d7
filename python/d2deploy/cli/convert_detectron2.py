"""`d2deploy convert --detectron2`: models that Detectron2 builds, from a configuration in YAML or in Python."""

from __future__ import annotations

import argparse
from collections.abc import Callable, Sequence
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any

from d2deploy.cli.convert_checks import check_weights
from d2deploy.errors import InvalidArgument

if TYPE_CHECKING:
    from torch import nn

Build = Callable[[], "nn.Module"]

# Keys of a configuration in YAML that a lazy one takes, too: they say what is done with the model.
_KEYS_BESIDE = ("MODEL.DEVICE", "INPUT.", "DATASETS.", "EXPORT_CAFFE2.")
_WEIGHTS = ("MODEL.WEIGHTS", "train.init_checkpoint")


def configuration(args: argparse.Namespace, hooks: Sequence[Callable[[Any], object]]) -> tuple[Any, Build]:
    """The configuration, and what gives its model with weights, on the CPU whatever the device that it names."""
    try:
        config, model_zoo = (import_module(f"detectron2.{part}") for part in ("config", "model_zoo"))
    except ImportError as error:
        raise InvalidArgument(f"--detectron2: Detectron2 cannot be imported ({error}); install it") from error
    from d2deploy.config import is_lazy_dump

    known = Path(args.config_file).exists()
    try:
        file = args.config_file if known else model_zoo.get_config_file(args.config_file)
    except RuntimeError as error:
        raise InvalidArgument(f"{args.config_file}: no such file, and none of Detectron2's zoo: {error}") from error
    if Path(file).suffix == ".py" or is_lazy_dump(file):
        return _of_lazy(args, config, file)
    return _of_yaml(args, config, file, hooks)


def _of_yaml(
    args: argparse.Namespace, config: Any, file: str, hooks: Sequence[Callable[[Any], object]]
) -> tuple[Any, Build]:
    import yaml

    from d2deploy.checkpoint import load_weights
    from d2deploy.export import add_export_config

    cfg = add_export_config(config.get_cfg())
    for add_keys in hooks:
        add_keys(cfg)
    try:
        cfg.merge_from_file(file)
        cfg.merge_from_list(args.overrides)
    except (KeyError, ValueError, AssertionError, OSError, RuntimeError, yaml.YAMLError) as error:
        raise InvalidArgument(f"{args.config_file}: Detectron2 refuses the configuration: {error}") from error
    check_weights(args.config_file, cfg.MODEL.WEIGHTS)
    on_cpu = cfg.clone()
    on_cpu.MODEL.DEVICE = "cpu"

    def build() -> nn.Module:
        model: nn.Module = import_module("detectron2.modeling").build_model(on_cpu)
        load_weights(model, cfg.MODEL.WEIGHTS)
        return model.eval()

    return cfg, build


def _of_lazy(args: argparse.Namespace, config: Any, file: str) -> tuple[Any, Build]:
    """Of a lazy configuration, in Python or as Detectron2 saves it: code, which is run."""
    from d2deploy.checkpoint import load_weights
    from d2deploy.export import config_of_lazy

    pairs = list(zip(args.overrides[::2], args.overrides[1::2]))
    beside = [pair for pair in pairs if pair[0].startswith(_KEYS_BESIDE)]
    try:
        lazy = config.LazyConfig.load(file)
        own = [f"{key}={value}" for key, value in pairs if (key, value) not in beside and key not in _WEIGHTS]
        lazy = config.LazyConfig.apply_overrides(lazy, own)
        weights = dict(pairs).get("MODEL.WEIGHTS") or dict(pairs).get("train.init_checkpoint")
        if weights is None:
            weights = lazy.get("train", {}).get("init_checkpoint", "")
        if "model" not in lazy:
            raise KeyError(f"it has no `model`; it has {', '.join(map(str, lazy))}")
        model: nn.Module = config.instantiate(lazy.model)
    except Exception as error:  # whatever the configuration's code raises
        raise InvalidArgument(
            f"{args.config_file}: Detectron2 cannot make the model of this lazy configuration: "
            f"{type(error).__name__}: {error}"
        ) from error
    check_weights(args.config_file, weights)
    cfg = config_of_lazy(lazy, model)
    cfg.merge_from_list([word for pair in beside for word in pair])
    cfg.MODEL.WEIGHTS = weights

    def build() -> nn.Module:
        load_weights(model, weights)
        return model.cpu().eval()

    return cfg, build
