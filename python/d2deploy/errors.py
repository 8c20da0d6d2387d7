"""The errors of d2deploy: one tree, with the names that the C++ library and the program use too.

A message says what failed, what was found, what was wanted, and the way out.
"""

__all__ = ["DeviceError", "Error", "InternalError", "InvalidArgument", "InvalidModel", "Unsupported"]


class Error(Exception):
    """Base of all errors that d2deploy raises on purpose."""


class InvalidModel(Error):  # noqa: N818  # the tree's names are those of the C++ library
    """The model is wrong: a file is damaged or inconsistent, or a checkpoint does not fit its configuration."""


class InvalidArgument(Error, ValueError):  # noqa: N818
    """The call is wrong: an input's shape or type, an option's or a configuration key's value."""


class Unsupported(Error):  # noqa: N818
    """Right, but not available here: an operator, an architecture, a device, a precision."""


class DeviceError(Error):
    """The device failed: out of memory, lost, not present."""


class InternalError(Error):
    """A fault of this library; please report it."""
