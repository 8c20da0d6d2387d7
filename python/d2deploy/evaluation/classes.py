"""Whether a model's classes are those of a data set. They are matched by their numbers, names are compared."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from d2deploy.errors import InvalidArgument

from .checks import say

__all__ = ["Classes", "check_classes", "count_of"]

# What is known of a model's classes: their names, their number, or nothing.
Classes = Sequence[str] | int | None
MOST_TOLD = 5


def count_of(model: Classes) -> int | None:
    """The number of classes, None where it is not known."""
    return model if model is None or isinstance(model, int) else len(model) or None


def check_classes(model: Classes, names: Sequence[str], file: Path, kind: str = "classes") -> int | None:
    """Shows how a model's classes and a data set's differ.

    Detectron2 takes the k-th class of a model for the k-th category by id, whatever they are called; so it is here.

    Args:
        model: what is known of the model's classes.
        names: the data set's classes.
        file: the data set's, for messages.
        kind: what the classes are, for messages.

    Returns:
        How many of the model's classes count; predictions of others are to be left out. None: all.

    Raises:
        InvalidArgument: the model has more, and it is not certain that the first ones are the data set's.
    """
    count = count_of(model)
    if count is None:
        return None
    of_model = [] if isinstance(model, int) or model is None else list(model)
    differing = [
        f"class {k} is {mine!r} in the model and {theirs!r} in the data set"
        for k, (mine, theirs) in enumerate(zip(of_model, names))
        if mine.casefold() != theirs.casefold()
    ]
    told = "; ".join(differing[:MOST_TOLD]) + ("; ..." if len(differing) > MOST_TOLD else "")
    if count > len(names) and (differing or not of_model):
        raise InvalidArgument(
            f"{file}: has {len(names)} {kind}, but the model has {count}{': ' + told if told else ''}; classes are "
            f"matched by their order, so the data set must list all that the model was trained for as categories"
        )
    if differing:
        say(f"{file}: names of {kind} differ from the model's; they are matched by their order: {told}")
    if count < len(names):
        more = ", ".join(repr(name) for name in names[count : count + MOST_TOLD])
        say(
            f"{file}: has {len(names)} {kind}, but the model has {count}: it cannot find {more}"
            f"{', ...' if len(names) > count + MOST_TOLD else ''}"
        )
    if count > len(names):
        say(
            f"{file}: has {len(names)} {kind}, the first of the model's {count}: what the model finds of the others is "
            f"left out"
        )
        return len(names)
    return None
