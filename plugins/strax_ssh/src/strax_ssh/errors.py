"""Turns errors of a server or a connection into ours."""

from strax_core import (
    AccessDenied,
    ConfigError,
    ObjectExists,
    ObjectMissing,
    ReadOnlyError,
    StorageError,
    StorageFull,
    StorageUnavailable,
)
from strax_ssh.sftp import (
    READ_ONLY_FLAG,
    Kind,
    Session,
    SftpError,
    Status,
    packed_path,
    packed_text,
)

_DENIED = "may not be used: ask for permission, or give the place readonly = true if you only read"
_BY_CODE: dict[int, tuple[type[StorageError], str]] = {
    Status.NO_SUCH_FILE: (ObjectMissing, "is not there"),
    Status.PERMISSION_DENIED: (AccessDenied, _DENIED),
    Status.BAD_MESSAGE: (ConfigError, "is not a name, or too long a name, for this server"),
    Status.FILE_ALREADY_EXISTS: (ObjectExists, "is there already"),
    Status.WRITE_PROTECT: (ReadOnlyError, "lies on a file system that is mounted read-only"),
    Status.NO_SPACE: (StorageFull, "did not fit: the disk is full"),
    Status.QUOTA_EXCEEDED: (StorageFull, "did not fit: the quota is used up"),
    Status.OP_UNSUPPORTED: (ConfigError, "needs something that this server does not offer"),
}
# Most errors of a system come as "Failure"; some servers say in words which one it was.
_BY_WORDS: dict[str, tuple[type[StorageError], str]] = {
    "no space": (StorageFull, "did not fit: the disk is full"),
    "quota": (StorageFull, "did not fit: the quota is used up"),
    "too large": (StorageFull, "is larger than the file system or a limit allows"),
    "read-only": (ReadOnlyError, "lies on a file system that is mounted read-only"),
    "name too long": (ConfigError, "is too long a name for this server"),
    "not a directory": (ObjectMissing, "is not there: a part of the path is a file"),
    "is a directory": (ObjectMissing, "is a folder, not a file"),
    "exists": (ObjectExists, "is there already"),
    "not empty": (ObjectExists, "is there already"),
}
SMALL_BYTES = 1 << 16  # with less room than this, a disk counts as full


def translated(error: SftpError, where: str, *, else_: str = "could not be used") -> StorageError:
    """Return our error for a refusal, naming the place `where`."""
    kind, text = _BY_CODE.get(error.code, (StorageUnavailable, else_))
    if kind is StorageUnavailable:
        said = error.text.lower()
        kind, text = next(
            (answer for words, answer in _BY_WORDS.items() if words in said), (kind, text)
        )
    return kind(f"{where} {text} ({error})")


def why_not_written(session: Session, error: SftpError, path: str, where: str) -> StorageError:
    """Return our error for a refused write, after asking how full the disk is."""
    if error.code != Status.FAILURE:
        return translated(error, where)
    answer = translated(error, where)
    if type(answer) is not StorageUnavailable or "statvfs@openssh.com" not in session.extensions:
        return answer
    try:
        name = packed_text(b"statvfs@openssh.com")
        about = session.ask(Kind.EXTENDED, name, packed_path(path), answer=Kind.EXTENDED_REPLY)
    except SftpError:
        return answer
    _, block_bytes, _, _, n_free, _, _, n_files_free, _, flags, _ = (
        about.long_number() for _ in range(11)
    )
    if flags & READ_ONLY_FLAG:
        return ReadOnlyError(f"{where} lies on a file system that is mounted read-only ({error})")
    if n_free * block_bytes < SMALL_BYTES or not n_files_free:
        return StorageFull(f"{where} did not fit: the disk is full ({error})")
    return StorageFull(
        f"{where} did not fit: a quota or a limit is used up, or the disk was full a moment ago; "
        f"now it has {n_free * block_bytes / 1e6:.0f} MB of room ({error})"
    )
