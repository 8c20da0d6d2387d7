"""Errors of ours that are Python's too: what its protocols, and programs written for Detectron2's classes, wait for."""

from d2deploy.errors import InvalidArgument

__all__ = ["MissingField", "NotDefined", "OutOfRange"]


class OutOfRange(InvalidArgument, IndexError):  # noqa: N818  # named as the others of the tree
    """There is no element of that number."""


class MissingField(InvalidArgument, AttributeError, KeyError):  # noqa: N818
    """Instances have no field of that name."""

    __str__ = Exception.__str__  # KeyError's would put the message in quotes


class NotDefined(InvalidArgument, NotImplementedError):  # noqa: N818
    """What Instances do not have: a length before they have a field, and iteration."""
