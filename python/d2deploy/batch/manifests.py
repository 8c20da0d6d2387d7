"""Manifests: files that list pictures, as CSV, JSON lines or Parquet, read row by row."""

from __future__ import annotations

import csv
import json
import os
from collections.abc import Iterator
from typing import Any, BinaryIO, NamedTuple

from d2deploy.batch.entries import Entry
from d2deploy.errors import InvalidArgument
from d2deploy.picture_files import is_url

__all__ = ["MANIFESTS", "Columns", "Manifest"]

MANIFESTS = (".csv", ".jsonl", ".ndjson", ".parquet")
MOST_LINE = 1 << 20  # bytes of a line of JSON
SHOWN_COLUMNS = 20
READ_AT_ONCE = 4096  # rows of a Parquet file


class Columns(NamedTuple):
    """Where a manifest says what.

    Attributes:
        path: the column of paths.
        id: the column of ids; None: "id", where there is one.
        root: the folder that relative paths begin at; None: that of the manifest.
    """

    path: str = "path"
    id: str | None = None
    root: str | None = None


class Row(NamedTuple):
    """A row of a manifest: where it is, what it says, or what is wrong with it."""

    place: str
    path: Any = None
    id: Any = None
    fault: str = ""


class Manifest(NamedTuple):
    file: str
    columns: Columns

    def check(self) -> None:
        """Raises InvalidArgument where the file cannot be read, or lacks a column, as far as its beginning tells."""
        next(self._rows(), None)

    def entries(self) -> Iterator[Entry]:
        """Its pictures, in order. A row that is wrong is an entry with a fault.

        Raises:
            InvalidArgument: as `check`.
        """
        root = os.path.dirname(self.file) if self.columns.root is None else self.columns.root
        for row in self._rows():
            path, id_, fault = row.path, _id(row.id), row.fault
            if not fault and isinstance(path, bytes):
                path = os.fsdecode(path)
            if not fault and not (isinstance(path, str) and path):
                fault = f"{self.columns.path} is {'missing' if path is None else repr(path)[:100]}, wanted a path"
            if fault:
                yield Entry(row.place, self.file, id_, fault=fault)
            elif is_url(path):
                yield Entry(path, path, id_, fault="is a URL, wanted a file: download it, or mount where it is, first")
            else:
                name = os.path.join(root, path)
                yield Entry(name, name, id_)

    def _rows(self) -> Iterator[Row]:
        kind = os.path.splitext(self.file)[1].lower()
        try:
            if kind == ".csv":
                yield from self._csv()
            elif kind == ".parquet":
                yield from self._parquet()
            else:
                yield from self._json_lines()
        except OSError as error:
            raise InvalidArgument(f"{self.file}: cannot be read: {error}") from error

    def _checked(self, names: list[str]) -> tuple[str, str | None]:
        """The columns of paths and ids of a file that has columns of these names.

        Raises:
            InvalidArgument: one is missing, or there are two.
        """
        wanted = {"--path-column": self.columns.path, "--id-column": self.columns.id}
        for option, name in wanted.items():
            if name is not None and name not in names:
                found = ", ".join(map(repr, names[:SHOWN_COLUMNS])) or "none"
                raise InvalidArgument(f"{self.file}: has no column {name!r}, has {found}; give {option}")
        chosen = self.columns.path, self.columns.id or ("id" if "id" in names else None)
        for name in filter(None, chosen):
            if names.count(name) > 1:
                raise InvalidArgument(
                    f"{self.file}: has {names.count(name)} columns {name!r}, wanted one; rename the others"
                )
        return chosen

    def _csv(self) -> Iterator[Row]:
        with open(self.file, encoding="utf-8-sig", errors="surrogateescape", newline="") as file:
            reader = csv.reader(file, strict=True)  # else a quote that is not closed takes all that follows
            try:
                header = next(reader, [])
            except csv.Error as error:
                raise InvalidArgument(f"{self.file}: cannot be read as CSV: {error}") from error
            path, id_ = self._checked(header)
            place_of_path, place_of_id = header.index(path), None if id_ is None else header.index(id_)
            while True:
                try:
                    fields = next(reader, None)
                except csv.Error as error:
                    yield Row(f"{self.file}:{reader.line_num}", fault=f"cannot be read as CSV: {error}")
                    continue
                if fields is None:
                    return
                if not fields:  # an empty line
                    continue
                place = f"{self.file}:{reader.line_num}"
                if len(fields) != len(header):
                    yield Row(place, fault=f"has {len(fields)} fields, wanted {len(header)}")
                else:
                    yield Row(place, fields[place_of_path], None if place_of_id is None else fields[place_of_id])

    def _json_lines(self) -> Iterator[Row]:
        with open(self.file, "rb") as file:
            columns = None
            for number, line in enumerate(_lines(file), start=1):
                place, fault, item = f"{self.file}:{number}", "", None
                if line is None:
                    fault = f"has more than {MOST_LINE} bytes"
                elif not line.strip():
                    continue
                else:
                    try:
                        item = json.loads(line)
                    except (ValueError, RecursionError) as error:
                        fault = f"is no JSON: {error}"
                    if not fault and not isinstance(item, dict):
                        fault = f"is a {type(item).__name__}, wanted an object as {{{self.columns.path!r}: ...}}"
                if fault or item is None:
                    yield Row(place, fault=fault)
                    continue
                columns = columns or self._checked(list(item))
                yield Row(place, item.get(columns[0]), item.get(columns[1] or "id"))

    def _parquet(self) -> Iterator[Row]:
        import pyarrow as pa
        import pyarrow.parquet as pq

        try:
            file = pq.ParquetFile(self.file)
        except pa.ArrowException as error:
            raise InvalidArgument(f"{self.file}: cannot be read as Parquet: {error}") from error
        rows = 0
        with file:
            path, id_ = self._checked(file.schema_arrow.names)
            wanted = [path] if id_ is None else [path, id_]
            try:
                for batch in file.iter_batches(READ_AT_ONCE, columns=wanted):
                    paths = batch.column(path).to_pylist()
                    ids = [None] * len(paths) if id_ is None else batch.column(id_).to_pylist()
                    for one, its_id in zip(paths, ids):
                        rows += 1
                        yield Row(f"{self.file}:{rows}", one, its_id)
            except (pa.ArrowException, OSError) as error:
                place = f"{self.file}:{rows + 1}"
                yield Row(place, fault=f"cannot be read, nor what follows: {error}")


def _lines(file: BinaryIO) -> Iterator[bytes | None]:
    """The lines of a file; None for one that is too long."""
    while line := file.readline(MOST_LINE):
        whole = True
        while not line.endswith(b"\n") and len(line) == MOST_LINE:
            whole = False
            line = file.readline(MOST_LINE)
        yield line if whole else None


def _id(value: Any) -> str | None:
    """An id as a text, so that all manifests have ids of one type; what is no text or number as JSON."""
    if value is None or isinstance(value, str):
        return value
    if isinstance(value, bytes):
        return os.fsdecode(value)
    try:
        return json.dumps(value)
    except (TypeError, ValueError):
        return str(value)
