"""Health checks: try in a scratch folder what core needs of a place, one line each."""

import secrets
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Self

from strax_core.errors import DataCorrupted, ObjectExists, ObjectMissing, StorageError
from strax_core.format import STAGING
from strax_core.medium import Medium

CONTENT = bytes(range(256)) * 16


@dataclass(frozen=True, slots=True)
class Check:
    """Result of one check of a place."""

    name: str
    is_good: bool
    text: str
    """One line; if it is not good, with the way out."""

    @classmethod
    def of(cls, name: str, action: Callable[[], str]) -> Self:
        """Do something that returns the text; a `StorageError` is what is not good."""
        try:
            return cls(name, is_good=True, text=action())
        except StorageError as error:
            return cls(name, is_good=False, text=" ".join(str(error).split()))


def reading_checks(medium: Medium) -> Iterator[Check]:
    """Try what a place must be able to do of which is only read."""
    yield Check.of("list", lambda: _list(medium))


def writing_checks(medium: Medium, *, renames: bool) -> Iterator[Check]:
    """Try what a place must be able to do that takes data; nothing of it stays.

    A writer's death leaves a folder that `strax clean` finds.
    """
    trial = _Trial(medium)
    tries = [("write", trial.write), ("read", trial.read), ("read a part", trial.read_part)]
    if renames:
        tries.append(("rename, never replacing", trial.rename))
    else:
        tries.append(("create only what is new", trial.create_only))
    tries.append(("delete", trial.delete))
    try:
        for name, action in tries:
            check = Check.of(name, action)
            yield check
            if name == "write" and not check.is_good:
                return
    finally:
        Check.of("tidy up", trial.delete)


def _list(medium: Medium) -> str:
    names = [entry.name for entry in medium.list("")]
    return f"{len(names)} names at the top"


class _Trial:
    """A scratch folder below the one of the writers, where nobody looks for data."""

    def __init__(self, medium: Medium) -> None:
        self._medium = medium
        self._folder = f"{STAGING}/check-{secrets.token_hex(8)}"
        self._file = f"{self._folder}/here/file"

    def write(self) -> str:
        self._medium.write(self._file, [CONTENT[:100], CONTENT[100:]])
        listed = [entry.size_bytes for entry in self._medium.list(f"{self._folder}/here")]
        if listed != [len(CONTENT)]:
            told = "nothing is" if not listed else f"{sum(listed)} are"
            raise DataCorrupted(
                f"{len(CONTENT)} bytes were written, {told} listed; a commit compares these, so "
                "nothing can be saved here"
            )
        return f"{len(CONTENT)} bytes, listed at once"

    def read(self) -> str:
        if self._medium.read(self._file) != CONTENT:
            raise DataCorrupted("what was written came back changed")
        return "the same bytes came back"

    def read_part(self) -> str:
        if self._medium.read_ranges(self._file, [(300, 7), (5, 2)]) != [
            CONTENT[300:307],
            CONTENT[5:7],
        ]:
            raise DataCorrupted("other bytes came than were asked for")
        return "just the bytes that were asked for"

    def create_only(self) -> str:
        path = f"{self._folder}/once"
        self._medium.write(path, [b"first"], create_only=True)
        try:
            self._medium.write(path, [b"second"], create_only=True)
        except ObjectExists:
            return "the second of two writers is refused"
        raise DataCorrupted(_TWO_WINNERS)

    def rename(self) -> str:
        other = f"{self._folder}/there"
        self._medium.write(f"{other}/file", [b"other"])
        try:
            self._medium.rename(f"{self._folder}/here", other)
        except ObjectExists:
            self._medium.rename(f"{self._folder}/here", f"{self._folder}/new")
            return "the second of two writers is refused"
        raise DataCorrupted(_TWO_WINNERS)

    def delete(self) -> str:
        self._medium.delete(self._folder)
        try:
            self._medium.read(f"{self._folder}/once")
        except ObjectMissing:
            return "what was written is gone"
        raise DataCorrupted("a deleted file can still be read")


_TWO_WINNERS = (
    "the second of two writers replaced what the first had written, so data of several writers "
    "are not safe here: use another place, or only one writer"
)
