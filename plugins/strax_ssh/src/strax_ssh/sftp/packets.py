"""The messages of SFTP, version 3: from values to bytes and back.

Source: draft-ietf-secsh-filexfer-02, and the file PROTOCOL of OpenSSH for what it adds.
"""

import stat
import struct
from collections.abc import Iterator
from dataclasses import dataclass
from enum import IntEnum

VERSION_3 = 3
ENCODING = "utf-8"
NAMES_AS = "surrogateescape"  # one name that is not UTF-8 must not hide a whole folder
READ_ONLY_FLAG = 1  # of statvfs@openssh.com


class Kind(IntEnum):
    """Kind of a message."""

    INIT = 1
    VERSION = 2
    OPEN = 3
    CLOSE = 4
    READ = 5
    WRITE = 6
    LSTAT = 7
    FSTAT = 8
    OPENDIR = 11
    READDIR = 12
    REMOVE = 13
    MKDIR = 14
    RMDIR = 15
    REALPATH = 16
    STAT = 17
    READLINK = 19
    RENAME = 18
    STATUS = 101
    HANDLE = 102
    DATA = 103
    NAME = 104
    ATTRS = 105
    EXTENDED = 200
    EXTENDED_REPLY = 201


class Status(IntEnum):
    """Status that a server answers if it has nothing else to say."""

    OK = 0
    EOF = 1
    NO_SUCH_FILE = 2
    PERMISSION_DENIED = 3
    FAILURE = 4
    BAD_MESSAGE = 5
    OP_UNSUPPORTED = 8
    # Of later versions, which some servers send in version 3 too.
    FILE_ALREADY_EXISTS = 11
    WRITE_PROTECT = 12
    NO_SPACE = 14
    QUOTA_EXCEEDED = 15


class Open(IntEnum):
    """Ways to open a file."""

    READ = 1
    WRITE = 2 | 8 | 16  # create it, or make it empty


class SftpError(Exception):
    """The server refused: its code and its words."""

    def __init__(self, code: int, text: str) -> None:
        super().__init__(f"the server says: {text or 'no'} (SFTP status {code})")
        self.code = code
        self.text = text


@dataclass(frozen=True, slots=True)
class Attributes:
    """Attributes of a file, as a server tells them."""

    size_bytes: int
    mode: int
    modified_s: int

    @property
    def is_folder(self) -> bool:
        """True if it is a folder."""
        return stat.S_ISDIR(self.mode)

    @property
    def is_link(self) -> bool:
        """True if it is a symbolic link."""
        return stat.S_ISLNK(self.mode)

    @property
    def is_special(self) -> bool:
        """True if it is a pipe, a socket or a device: to open it may take for ever."""
        return stat.S_IFMT(self.mode) in {stat.S_IFIFO, stat.S_IFSOCK, stat.S_IFCHR, stat.S_IFBLK}


def encoded(path: str) -> bytes:
    """Return a path as it goes over the line."""
    return path.encode(ENCODING, NAMES_AS)


def packed_text(value: bytes) -> bytes:
    """Return bytes with their length in front."""
    return struct.pack(">I", len(value)) + value


def packed_path(path: str) -> bytes:
    """Return a path with its length in front."""
    return packed_text(encoded(path))


def packed_header(kind: Kind, number: int, n_bytes: int) -> bytes:
    """Return what stands in front of a message of so many bytes."""
    return struct.pack(">IBI", 5 + n_bytes, kind, number)


class Reader:
    """Takes a message apart, from its start to its end."""

    def __init__(self, body: bytes) -> None:
        self._body = body
        self._at = 0

    def number(self) -> int:
        """Take 4 bytes."""
        return int.from_bytes(self._take(4))

    def long_number(self) -> int:
        """Take 8 bytes."""
        return int.from_bytes(self._take(8))

    def text(self) -> bytes:
        """Take bytes that have their length in front."""
        return self._take(self.number())

    def attributes(self) -> Attributes:
        """Take the attributes of a file; what is not told is 0."""
        flags = self.number()
        size = self.long_number() if flags & 1 else 0
        if flags & 2:
            self._take(8)  # user and group
        mode = self.number() if flags & 4 else 0
        modified = 0
        if flags & 8:
            self.number()  # when it was read
            modified = self.number()
        if flags & (1 << 31):
            for _ in range(self.number()):
                self.text(), self.text()
        return Attributes(size, mode, modified)

    def pairs(self) -> Iterator[tuple[bytes, bytes]]:
        """Take names and values until the end."""
        while self._at < len(self._body):
            yield self.text(), self.text()

    def names(self) -> Iterator[tuple[str, Attributes]]:
        """Take a part of a listing; links are not followed."""
        for _ in range(self.number()):
            name = self.text().decode(ENCODING, NAMES_AS)
            self.text()  # as `ls -l` would show it
            yield name, self.attributes()

    def error(self) -> SftpError:
        """Take a status."""
        code = self.number()
        text = self.text() if self._at < len(self._body) else b""
        return SftpError(code, text.decode(ENCODING, "replace"))

    def _take(self, n: int) -> bytes:
        part = self._body[self._at : self._at + n]
        if len(part) != n:
            raise SftpError(Status.BAD_MESSAGE, "an answer that ends too soon")
        self._at += n
        return part
