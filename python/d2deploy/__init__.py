"""d2deploy: runs Detectron2 models that were exported to Caffe2 files. Importing this package needs NumPy alone."""

from importlib import metadata

try:
    __version__ = metadata.version("d2deploy")
except metadata.PackageNotFoundError:  # in the source tree: the version stands in pyproject.toml alone
    __version__ = "0+source"

__all__ = ["__version__"]
