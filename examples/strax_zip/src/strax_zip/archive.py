"""One zip archive: what is in it, and the bytes of its members."""

import os
import stat
import struct
import zlib
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import BinaryIO
from zipfile import ZIP_STORED, BadZipFile, ZipFile, ZipInfo

from strax_core import ConfigError, DataCorrupted, checked_path

_LOCAL_HEADER = struct.Struct("<4s5H3L2H")  # APPNOTE.TXT of PKWARE, 4.3.7
_LOCAL_SIGNATURE = b"PK\x03\x04"
_ENCRYPTED = 0x1
Stamp = tuple[int, int, int]


def stamp_of(file: BinaryIO) -> Stamp:
    """Return what changes when an archive is replaced: time, size and inode."""
    status = os.fstat(file.fileno())
    return status.st_mtime_ns, status.st_size, status.st_ino


@dataclass(frozen=True)
class Archive:
    """The table of contents of one archive, as it was when it was read.

    The archive is not trusted. Names that would leave its folder are not there at all; a member is
    read only if it lies in the archive just as the table says: so no more is read than there is.
    """

    path: str
    stamp: Stamp
    members: Mapping[str, ZipInfo]

    @classmethod
    def of(cls, path: str, file: BinaryIO) -> "Archive":
        """Read the table of contents of an open archive."""
        with ZipFile(file) as archive:
            members = {info.filename: info for info in archive.infolist() if _is_safe(info)}
        return cls(path, stamp_of(file), members)

    @property
    def modified_ns(self) -> int:
        """Time of the archive's last write; the members' own have neither zone nor seconds."""
        return self.stamp[0]

    def read(self, file: BinaryIO, name: str) -> bytes:
        """Return all bytes of a member, if its check sum fits.

        Raises:
            KeyError: there is no such member.
            DataCorrupted: it is damaged, or compressed.
        """
        info = self.members[name]
        with self._described(name):
            file.seek(self._start_of(file, info))
            data = file.read(info.file_size)
            if len(data) != info.file_size or zlib.crc32(data) != info.CRC:
                raise BadZipFile("its check sum does not fit")
        return data

    def read_ranges(
        self, file: BinaryIO, name: str, ranges: Sequence[tuple[int, int]]
    ) -> list[bytes]:
        """Return the bytes of each ``(offset, size)`` of a member; raises as `read`."""
        info = self.members[name]
        answers = []
        with self._described(name):
            start = self._start_of(file, info)
            for offset, size in ranges:
                if not 0 <= offset <= offset + size <= info.file_size:
                    raise BadZipFile(
                        f"it has {info.file_size} bytes; {size} at {offset} were asked"
                    )
                file.seek(start + offset)
                answers.append(file.read(size))
                if len(answers[-1]) != size:
                    raise BadZipFile("it is cut off")
        return answers

    def _start_of(self, file: BinaryIO, info: ZipInfo) -> int:
        """Return where the bytes of a stored member begin."""
        if stat.S_ISLNK(info.external_attr >> 16):  # where Info-ZIP keeps a file's mode
            raise BadZipFile("it is a link, and no link leads out of an archive: zip without -y")
        if info.flag_bits & _ENCRYPTED:
            raise BadZipFile("it is encrypted")
        if info.compress_type != ZIP_STORED or info.compress_size != info.file_size:
            raise BadZipFile(
                "it is compressed, and only stored members are read; chunks are compressed "
                "already: pack them again, with strax_zip.zip_run or `zip -0`"
            )
        file.seek(info.header_offset)
        header = file.read(_LOCAL_HEADER.size)
        if len(header) != _LOCAL_HEADER.size or header[:4] != _LOCAL_SIGNATURE:
            raise BadZipFile("it does not begin where the archive says")
        *_, name_bytes, extra_bytes = _LOCAL_HEADER.unpack(header)
        start = info.header_offset + _LOCAL_HEADER.size + int(name_bytes) + int(extra_bytes)
        if start + info.file_size > self.stamp[1]:
            raise BadZipFile("it reaches beyond the end of the archive")
        return start

    @contextmanager
    def _described(self, name: str) -> Iterator[None]:
        try:
            yield
        except BadZipFile as error:
            raise DataCorrupted(f"{self.path}: {name} cannot be read: {error}") from error


def _is_safe(info: ZipInfo) -> bool:
    try:
        checked_path(info.filename)
    except ConfigError:
        return False  # also the entry of a folder, which ends in a slash
    return True
