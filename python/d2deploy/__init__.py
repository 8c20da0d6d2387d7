"""d2deploy: runs Detectron2 models that were exported to Caffe2 files. Importing this package needs NumPy alone."""

from importlib import metadata
from pkgutil import extend_path

# In the source tree the compiled module _ext lies in build/<preset>/python; an installed package has it here.
__path__ = extend_path(__path__, __name__)

try:
    __version__ = metadata.version("d2deploy")
except metadata.PackageNotFoundError:  # in the source tree: the version stands in pyproject.toml alone
    __version__ = "0+source"

__all__ = ["__version__"]
