"""The words of a command that ends in KEY VALUE pairs: options may stand before, between and behind them."""

from __future__ import annotations

import argparse
import difflib
from collections.abc import Sequence


def options_first(parser: argparse.ArgumentParser, words: Sequence[str]) -> list[str]:
    """The same words, all options with their values before the others; unknown options are the parser's error.

    A word in the place of a VALUE is one whatever it begins with, so long as it is no option of the parser.
    """
    options, others = [], []
    left = list(words)
    while left:
        word = left.pop(0)
        if word == "--":
            others += left
            break
        action = _option(parser, word)
        if action is not None:
            options.append(word)
            if action.nargs is None and "=" not in word and left:
                options.append(left.pop(0))
        elif word.startswith("--") and len(word) > 2:
            parser.error(f"unknown option {word}{_nearest(parser, word)}")
        else:
            others.append(word)
    return [*options, *others]


def _option(parser: argparse.ArgumentParser, word: str) -> argparse.Action | None:
    """What a word or the beginning of one stands for, as argparse has it."""
    name = word.partition("=")[0]
    known = parser._option_string_actions  # argparse has no public way to ask
    if name in known:
        return known[name]
    near = {id(known[full]): known[full] for full in known if name.startswith("--") and full.startswith(name)}
    return next(iter(near.values())) if len(near) == 1 and len(name) > 2 else None


def _nearest(parser: argparse.ArgumentParser, word: str) -> str:
    found = difflib.get_close_matches(word.partition("=")[0], parser._option_string_actions, n=1, cutoff=0.8)
    return f"; did you mean {found[0]}?" if found else ""
