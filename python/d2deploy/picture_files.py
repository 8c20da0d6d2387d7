"""Which files a folder or a pattern means: in order, one after the other, however many there are.

Needs the standard library alone.
"""

from __future__ import annotations

import fnmatch
import glob
import heapq
import os
import pickle
import re
import tempfile
from collections.abc import Callable, Iterable, Iterator
from typing import IO, Any

from d2deploy.errors import InvalidArgument

__all__ = [
    "PICTURES",
    "VIDEOS",
    "files_of_folder",
    "files_of_pattern",
    "has_suffix",
    "is_folder",
    "is_pattern",
    "is_url",
    "refuse_url",
]

PICTURES = frozenset({".bmp", ".gif", ".jpeg", ".jpg", ".pgm", ".png", ".pnm", ".ppm", ".tif", ".tiff", ".webp"})
VIDEOS = frozenset({".avi", ".m4v", ".mkv", ".mov", ".mp4", ".mpeg", ".mpg", ".webm", ".wmv"})
SORTED_AT_ONCE = 1_000_000  # names of a folder; of a larger one, sorted runs of so many lie on the disk

# A name in a folder, and whether it is a folder itself.
Name = tuple[str, bool]


def has_suffix(path: str, suffixes: Iterable[str]) -> bool:
    """Whether a path ends in one of them, in small or capital letters."""
    return os.path.splitext(path)[1].lower() in suffixes


def is_folder(path: str) -> bool:
    """Whether there is a folder; not where it may not be looked at, of which `Path.is_dir` makes an error."""
    return os.path.isdir(path)


def is_pattern(text: str) -> bool:
    """Whether an argument is a pattern, and not the name of a file that is there."""
    return glob.has_magic(text) and not os.path.lexists(text)


def is_url(text: str) -> bool:
    """Whether this is an address of the network."""
    return re.match(r"[a-zA-Z][a-zA-Z0-9+.-]+://", text) is not None


def refuse_url(text: str) -> None:
    """Raises InvalidArgument for an address of the network."""
    if is_url(text):
        raise InvalidArgument(f"{text}: is a URL, wanted a file here; download it first: curl -LO {text}")


def files_of_folder(folder: str) -> Iterator[str]:
    """The pictures in a folder, not those in its folders, in the order of their names.

    Raises:
        InvalidArgument: there is none, or the folder cannot be read.
    """
    try:
        names = _listed(folder, lambda entry: has_suffix(entry.name, PICTURES) and _is_file(entry))
    except OSError as error:
        raise InvalidArgument(f"{folder}: cannot be read: {error.strerror}") from error
    first = next(names, None)
    if first is None:
        raise InvalidArgument(f"{folder}: no pictures are in this folder; looked for {', '.join(sorted(PICTURES))}")
    yield os.path.join(folder, first[0])
    for name, _ in names:
        yield os.path.join(folder, name)


def files_of_pattern(pattern: str) -> Iterator[str]:
    """The files that a pattern matches, in the order of the parts of their paths.

    Args:
        pattern: as the shell's: `*`, `?`, `[abc]` in the names of folders and files, `**` for any folders. Names that
            begin with a dot are matched by patterns that do. Links are followed.

    Yields:
        Paths; also that of a folder which might hold more and cannot be read: whoever reads it is told why.

    Raises:
        InvalidArgument: no file has such a name.
    """
    base, matchers = _compiled(pattern)
    found = False
    start = _closed({0}, matchers)
    try:
        names = _candidates(base, start, matchers)
    except OSError as error:
        raise InvalidArgument(f"{pattern}: no file has such a name: {base or '.'}: {error.strerror}") from error
    # Folders on the way down: path, what identifies each, what of the pattern its names may match, names to come.
    stack = [(base, _identity(base), start, names)]
    while stack:
        folder, _, states, names = stack[-1]
        entry = next(names, None)
        if entry is None:
            stack.pop()
            continue
        path, reached = os.path.join(folder, entry[0]), _advanced(states, entry[0], matchers)
        if not entry[1]:
            found = True
            yield path
        elif (identity := _identity(path)) not in {above for _, above, _, _ in stack}:  # a link may lead upwards
            try:
                stack.append((path, identity, reached, _candidates(path, reached, matchers)))
            except OSError:
                found = True
                yield path
    if not found:
        raise InvalidArgument(f"{pattern}: no file has such a name")


# What one part of a pattern makes of a name; None is `**`.
Matcher = Callable[[str], Any] | None


def _compiled(pattern: str) -> tuple[str, list[Matcher]]:
    """The folder that a pattern begins with, and what matches the parts behind it."""
    parts = pattern.split("/")
    fixed = next(i for i, part in enumerate(parts) if glob.has_magic(part))
    base = "/".join(parts[:fixed]) or ("/" if pattern.startswith("/") else "")
    rest = [part for part in parts[fixed:] if part not in ("", ".")]
    if rest[-1] == "**":  # any folders, and what is in them
        rest.append("*")
    return base, [None if part == "**" else _one_part(part) for part in rest]


def _one_part(part: str) -> Callable[[str], Any]:
    match = re.compile(fnmatch.translate(part)).match
    if part.startswith("."):
        return match
    return lambda name: not name.startswith(".") and match(name)


def _closed(states: set[int], matchers: list[Matcher]) -> set[int]:
    """Where in a pattern one may be: `**` matches no folder as well."""
    closed = set(states)
    for state in range(len(matchers)):
        if state in closed and matchers[state] is None:
            closed.add(state + 1)
    return closed


def _advanced(states: set[int], name: str, matchers: list[Matcher]) -> set[int]:
    """The same, one folder or file further."""
    reached = set()
    for state in states - {len(matchers)}:
        match = matchers[state]
        if match is None:
            if not name.startswith("."):
                reached.add(state)
        elif match(name):
            reached.add(state + 1)
    return _closed(reached, matchers)


def _candidates(folder: str, states: set[int], matchers: list[Matcher]) -> Iterator[Name]:
    """Names of a folder that match, or of folders that may hold such names."""
    end = len(matchers)

    def wanted(entry: os.DirEntry[str]) -> bool:
        reached = _advanced(states, entry.name, matchers)
        return bool(reached - {end}) if _is_folder(entry) else end in reached and _is_file(entry)

    return _listed(folder or ".", wanted)


def _is_folder(entry: os.DirEntry[str]) -> bool:
    try:
        return entry.is_dir()
    except OSError:  # of a link that leads nowhere
        return False


def _is_file(entry: os.DirEntry[str]) -> bool:
    """Also a link that leads nowhere: whoever reads it is told why."""
    try:
        return entry.is_file() or (entry.is_symlink() and not os.path.exists(entry.path))
    except OSError:
        return True


def _identity(folder: str) -> tuple[int, int] | None:
    try:
        status = os.stat(folder or ".")
    except OSError:
        return None
    return status.st_dev, status.st_ino


def _listed(folder: str, wanted: Callable[[os.DirEntry[str]], bool]) -> Iterator[Name]:
    """Names in a folder, in order, without holding all of them where they are very many.

    Raises:
        OSError: it cannot be read; at once.
    """
    runs: list[IO[bytes]] = []
    names: list[Name] = []
    with os.scandir(folder) as entries:
        for entry in entries:
            if not wanted(entry):
                continue
            names.append((entry.name, _is_folder(entry)))
            if len(names) == SORTED_AT_ONCE:
                runs.append(_spilled(sorted(names)))
                names = []
    names.sort()
    return heapq.merge(names, *map(_read_back, runs)) if runs else iter(names)


def _spilled(names: list[Name]) -> IO[bytes]:
    file = tempfile.TemporaryFile()  # noqa: SIM115  # _read_back closes it
    for start in range(0, len(names), 1000):
        pickle.dump(names[start : start + 1000], file)
    file.seek(0)
    return file


def _read_back(file: IO[bytes]) -> Iterator[Name]:
    with file:
        while True:
            try:
                yield from pickle.load(file)
            except EOFError:
                return
