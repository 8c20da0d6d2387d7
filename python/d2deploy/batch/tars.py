"""Pictures in tar files, as WebDataset has them: headers are read one after the other, nothing is unpacked."""

from __future__ import annotations

import tarfile
from collections.abc import Iterator
from typing import BinaryIO, NamedTuple

from d2deploy.batch.entries import Entry
from d2deploy.errors import InvalidArgument
from d2deploy.picture_files import PICTURES, has_suffix

__all__ = ["COMPRESSED", "Tar", "read_member"]

COMPRESSED = (".tar.gz", ".tgz", ".tar.bz2", ".tbz2", ".tar.xz", ".txz", ".tar.zst")
MOST_BYTES = 1 << 29  # of a member: more is no picture that would be read


class Tar(NamedTuple):
    """A tar file that is not compressed; its members are read where they lie."""

    path: str

    def entries(self) -> Iterator[Entry]:
        """Its pictures, in order. What ends the file too early is an entry with a fault behind those before it."""
        last = ""
        try:
            with open(self.path, "rb") as file:
                for member in _members(file):
                    if has_suffix(member.name, PICTURES) and (member.isreg() or member.islnk() or member.issym()):
                        yield self._entry(member)
                    last = member.name
                fault = _end_fault(file)
        except Exception as error:  # tarfile raises what it likes on damaged headers
            fault = f"cannot be read as a tar file: {error}"
        if fault:
            where = f", behind {last}" if last else ""
            yield Entry(self.path, self.path, fault=f"{fault}{where}; pictures that follow are missing")

    def _entry(self, member: tarfile.TarInfo) -> Entry:
        fault = ""
        if not member.isreg():
            fault = (
                f"is a link to {member.linkname}, which is not followed; write the tar file with --dereference and "
                "--hard-dereference"
            )
        elif member.size > MOST_BYTES:
            fault = f"has {member.size} bytes, at most {MOST_BYTES} are read"
        elif member.issparse():
            fault = "is a sparse member, which is not read; write the tar file without them"
        name = f"{self.path}::{member.name}"
        return Entry(name, self.path, None, member.offset_data, member.size, fault)


def _members(file: BinaryIO) -> Iterator[tarfile.TarInfo]:
    """All headers. The file then stands where the next one would."""
    with tarfile.open(fileobj=file, mode="r:", encoding="utf-8", errorlevel=2) as tar:
        while (member := tar.next()) is not None:
            yield member
            tar.members.clear()  # type: ignore[attr-defined]  # it would keep them all
        file.seek(tar.offset)


def _end_fault(file: BinaryIO) -> str:
    """What is wrong with the end of a file, where a block of zeros must follow; empty: nothing."""
    block = file.read(tarfile.BLOCKSIZE)
    if not block.strip(b"\0") and len(block) == tarfile.BLOCKSIZE:
        return ""
    return "has a damaged header" if len(block) == tarfile.BLOCKSIZE else "is cut short"


def read_member(entry: Entry) -> bytes:
    """The bytes of a member.

    Raises:
        InvalidArgument: they are not all there.
        OSError: the file cannot be read.
    """
    with open(entry.file, "rb") as file:
        file.seek(entry.offset)
        data = file.read(entry.size)
    if len(data) != entry.size:
        raise InvalidArgument(f"has {len(data)} bytes of {entry.size}: the file is cut short, or changed meanwhile")
    return data
