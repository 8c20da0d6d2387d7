"""d2deploy: runs Detectron2 models that were exported to Caffe2 files. Importing this package needs NumPy alone."""

from pkgutil import extend_path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from d2deploy.runtime import Caffe2Model, Predictor

# In the source tree the compiled module _ext lies in build/<preset>/python; an installed package has it here.
__path__ = extend_path(__path__, __name__)

__version__: str

__all__ = ["Caffe2Model", "Predictor", "__version__"]


def __getattr__(name: str) -> Any:
    """What runs models is loaded with its first use: converting them does not need the compiled library. So is the
    version, whose reader takes longer than all else here.
    """
    if name == "__version__":
        return _version()
    if name not in ("Caffe2Model", "Predictor"):
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from d2deploy import runtime

    return getattr(runtime, name)


def _version() -> str:
    from importlib import metadata

    try:
        return metadata.version("d2deploy")
    except metadata.PackageNotFoundError:  # in the source tree: the version stands in pyproject.toml alone
        return "0+source"
