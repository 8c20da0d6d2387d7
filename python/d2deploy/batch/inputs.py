"""What the arguments of a job mean: pictures, folders, patterns, manifests, tar files."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

from d2deploy.batch.entries import Entry, Shelf
from d2deploy.batch.manifests import MANIFESTS, Columns, Manifest
from d2deploy.batch.tars import COMPRESSED, Tar
from d2deploy.errors import InvalidArgument
from d2deploy.picture_files import VIDEOS, files_of_folder, files_of_pattern, has_suffix, is_pattern, refuse_url

__all__ = ["Inputs"]


@dataclass(frozen=True)
class Inputs:
    """The inputs of a job.

    Attributes:
        arguments: paths of pictures, folders of them, manifests (.csv, .jsonl, .ndjson, .parquet) and tar files, and
            patterns of such names.
        columns: of manifests.
    """

    arguments: Sequence[str]
    columns: Columns = field(default_factory=Columns)

    def check(self) -> None:
        """Tells at the start what would be found wrong with an argument after hours.

        Raises:
            InvalidArgument: a URL, a folder or a pattern without pictures, a video, a compressed tar file, a manifest
                or tar file that cannot be read, or a manifest that lacks a column.
        """
        for argument in self.arguments:
            refuse_url(argument)
            if has_suffix(argument, VIDEOS):
                raise InvalidArgument(f"{argument}: is a video, wanted pictures; d2deploy predict takes videos")
            if os.path.isdir(argument) or is_pattern(argument):
                next(self._of(argument))
            elif argument.lower().endswith(COMPRESSED):
                raise InvalidArgument(
                    f"{argument}: is compressed, and could only be read from its beginning; wanted a plain tar file, "
                    "which is hardly larger: pictures are compressed already"
                )
            elif has_suffix(argument, (*MANIFESTS, ".tar")) and not os.path.isfile(argument):
                kind = "tar file" if has_suffix(argument, (".tar",)) else "manifest"
                raise InvalidArgument(f"{argument}: cannot be read: {_why_no_file(argument)}; wanted a {kind}")
            elif has_suffix(argument, MANIFESTS):
                Manifest(argument, self.columns).check()

    def found(self) -> Iterator[Entry | Shelf]:
        """All that they mean, in order.

        Raises:
            InvalidArgument: a folder or a pattern without pictures.
        """
        for argument in self.arguments:
            yield from self._of(argument)

    def _of(self, argument: str) -> Iterator[Entry | Shelf]:
        if os.path.isdir(argument):
            for file in files_of_folder(argument):
                yield Entry(file, file)
        elif is_pattern(argument):
            for file in files_of_pattern(argument):
                yield from self._file(file)
        else:
            yield from self._file(argument)

    def _file(self, file: str) -> Iterator[Entry | Shelf]:
        if has_suffix(file, MANIFESTS):
            try:
                yield from Manifest(file, self.columns).entries()
            except InvalidArgument as error:  # found by a pattern, or changed since `check`
                yield Entry(file, file, fault=str(error))
        elif has_suffix(file, (".tar",)):
            yield Tar(file)
        else:
            yield Entry(file, file)


def _why_no_file(path: str) -> str:
    try:
        os.stat(path)
    except OSError as error:
        return str(error.strerror)
    return "it is a pipe or a device"
