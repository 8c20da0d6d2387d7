"""Configurations as Detectron2 has them: defaults, YAML files with `_BASE_`, KEY VALUE overrides, the zoo by name."""

from d2deploy.config.datasets import ClassNames, class_names, number_of_things
from d2deploy.config.files import is_lazy_dump
from d2deploy.config.node import Config, get_cfg, load_config
from d2deploy.config.zoo import zoo_configs, zoo_weights

__all__ = [
    "ClassNames",
    "Config",
    "class_names",
    "get_cfg",
    "is_lazy_dump",
    "load_config",
    "number_of_things",
    "zoo_configs",
    "zoo_weights",
]
