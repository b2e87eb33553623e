"""An honest backend and eleven that break one promise each; test_twins.py runs the kit on all.

Not named test_*: pytest collects it only when it is asked for by its name.
"""

import threading
import time
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import pytest

from strax_core import (
    ChunkInfo,
    DataCorrupted,
    Entry,
    Metadata,
    ObjectExists,
    ObjectMissing,
    RenamingSaver,
    SecretReference,
    StorageError,
    checked_path,
    metadata_path,
)
from strax_core.backend.memory import MemoryBackend, MemoryOptions
from strax_core.format.layout import STAGING
from strax_core.format.metadata import Metadata as FullMetadata
from strax_core.medium import Buffer
from strax_core.testing import BackendContract, RawAccess, RawMemory

SECRET = "correct-horse-battery-staple"  # noqa: S105 - a canary, not a password


@dataclass(frozen=True, kw_only=True)
class TwinOptions(MemoryOptions):
    password: SecretReference = field(metadata={"secret": True})


class Honest(MemoryBackend):
    """Keeps every promise, and uses a secret."""

    def __init__(self, options: TwinOptions) -> None:
        super().__init__(options)
        self.password = options.password
        self.password.reveal()  # as one does to connect


class WritesInPlace(Honest):
    """A reader sees half of a file that is being written."""

    def write(self, path: str, buffers: Sequence[Buffer], *, create_only: bool = False) -> None:
        if path not in self._storage.files:  # a new file has no old bytes to mix with
            super().write(path, buffers, create_only=create_only)
            return
        if create_only:
            raise ObjectExists(f"{self.place}/{path} is there already")
        whole = b"".join(buffers)
        super().write(path, [whole[: len(whole) // 2]])
        time.sleep(0.001)  # the disk is busy
        super().write(path, [whole])


class MetadataFirstSaver(RenamingSaver):
    def _publish(self, metadata: Metadata) -> None:
        infos = [
            info
            if info.filename is None
            else replace(info, filename=f"{self.write_id}/{info.filename}")
            for info in metadata.chunks
        ]
        document = {**metadata, "chunks": [info.as_json() for info in infos]}
        moved = FullMetadata(document, place=metadata.place).to_bytes()
        path = metadata_path(self.backend_key)
        if not self._settle(lambda: self.medium.write(path, [moved], create_only=True)):
            self._replaceable()
            self._replace(metadata)
        elif any(info.filename is not None for info in infos):
            self.medium.rename(self.staging.data, f"{self.backend_key}/{self.write_id}")


class MetadataFirst(Honest):
    """The metadata are there before the chunks that they name."""

    saver_class = MetadataFirstSaver


class ChecksThenCreates(Honest):
    """Of several that create a file, more than one may succeed."""

    def write(self, path: str, buffers: Sequence[Buffer], *, create_only: bool = False) -> None:
        if create_only and path in self._storage.files:
            raise ObjectExists(f"{self.place}/{path} is there already")
        if create_only:
            time.sleep(0.001)  # the answer travels
        super().write(path, buffers)


class MissingIsEmpty(Honest):
    """A chunk's file that is missing reads as no bytes."""

    def read(self, path: str) -> bytes:
        try:
            return super().read(path)
        except ObjectMissing:
            if path.endswith(".json"):  # else nobody could save anything at all
                raise
            return b""


class ListsWhatBeginsAlike(Honest):
    """A listing of `run_1` has the files of `run_10` too."""

    def list(self, folder: str, *, starts_with: str = "") -> Iterator[Entry]:
        above, _, name = folder.rpartition("/")
        alike = [folder]
        if name.startswith("run_") and not above:
            alike = [e.name for e in super().list("", starts_with=name) if e.is_folder] or alike
        seen = set()
        for each in alike:
            for entry in super().list(each, starts_with=starts_with):
                if entry.name not in seen:
                    seen.add(entry.name)
                    yield entry


class ReadsRangesShort(Honest):
    """A range that reaches beyond the end of the file comes back short."""

    def read_ranges(
        self, path: str, ranges: Sequence[tuple[int, int]], *, file_bytes: int | None = None
    ) -> list[bytes]:
        whole = self.read(path)
        if any(min(pair) < 0 for pair in ranges) or file_bytes not in (None, len(whole)):
            raise DataCorrupted(f"{self.place}/{path}: {ranges}")
        return [whole[offset : offset + size] for offset, size in ranges]


class TakesAnySize(Honest):
    """Ranges are read from a file of another size than it has to have."""

    def read_ranges(
        self,
        path: str,
        ranges: Sequence[tuple[int, int]],
        *,
        file_bytes: int | None = None,  # noqa: ARG002 - that is what is wrong
    ) -> list[bytes]:
        return super().read_ranges(path, ranges)


class FillsAnySize(Honest):
    """Memory is filled from a file of any size, as far as it reaches."""

    def read_into(self, path: str, memory: memoryview) -> None:
        part = self.read(path)[: len(memory)]
        memory[: len(part)] = part


class DeletesSiblings(Honest):
    """To delete a folder takes those along whose names begin like its own."""

    def delete(self, path: str) -> None:
        above, slash, _ = checked_path(path).rpartition("/")
        for entry in list(super().list(above)):
            name = f"{above}{slash}{entry.name}"
            if entry.is_folder and name.startswith(path):
                super().delete(name)
        super().delete(path)


class DeletesFolders(Honest):
    """To delete files takes along what lies in a folder of that name."""

    def delete_files(self, paths: Sequence[str]) -> None:
        for path in paths:
            self.delete(path)


class DropsFull(Honest):
    """To drop an empty folder drops a full one, too; but where it would break every save."""

    def drop_empty(self, folder: str) -> None:
        if not folder.startswith(STAGING):
            self.delete(folder)


class RenameReplaces(Honest):
    """To rename replaces what has the new name."""

    def rename(self, source: str, target: str) -> None:
        with self._storage.lock:
            if any(True for _ in self.list(source)):
                self.delete(target)
            super().rename(source, target)


class SwallowingSaver(RenamingSaver):
    def save(self, chunk: Any, chunk_i: int) -> ChunkInfo:
        try:
            return super().save(chunk, chunk_i)
        except StorageError as error:
            if not self.is_in_worker():
                raise
            self.lost = error
            return ChunkInfo(
                chunk_i=chunk_i, n=0, start=chunk.start, end=chunk.end, run_id="", nbytes=0
            )

    def commit(self, receipts: Iterable[ChunkInfo] | None = None) -> Metadata:
        if getattr(self, "lost", None) is None:
            return super().commit(receipts)
        self.close()
        return self.metadata

    def is_in_worker(self) -> bool:
        return "ThreadPool" in threading.current_thread().name


class SwallowsAWorkersError(Honest):
    """A commit claims success although a worker has failed."""

    saver_class = SwallowingSaver


class ShowsItsSecret(Honest):
    """What shows the backend shows its password."""

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {self.place} password={self.password.reveal()}>"


class TestHonest(BackendContract):
    backend_class: type[Honest] = Honest
    pickles = False

    @pytest.fixture
    def secret(self, monkeypatch: pytest.MonkeyPatch) -> str:
        monkeypatch.setenv("TWIN_PASSWORD", SECRET)
        return SECRET

    @pytest.fixture
    def backend(self, request: pytest.FixtureRequest, secret: str) -> Honest:  # noqa: ARG002 - set first
        password = SecretReference(env="TWIN_PASSWORD")
        return self.backend_class(TwinOptions(place=request.node.nodeid, password=password))

    @pytest.fixture
    def second(self, request: pytest.FixtureRequest, backend: Honest) -> Honest:
        password = backend.password
        return self.backend_class(TwinOptions(place=request.node.nodeid, password=password))

    @pytest.fixture
    def raw(self, backend: Honest) -> RawAccess:
        return RawMemory(backend)


class TestWritesInPlace(TestHonest):
    backend_class = WritesInPlace


class TestMetadataFirst(TestHonest):
    backend_class = MetadataFirst


class TestChecksThenCreates(TestHonest):
    backend_class = ChecksThenCreates


class TestMissingIsEmpty(TestHonest):
    backend_class = MissingIsEmpty


class TestListsWhatBeginsAlike(TestHonest):
    backend_class = ListsWhatBeginsAlike


class TestReadsRangesShort(TestHonest):
    backend_class = ReadsRangesShort


class TestTakesAnySize(TestHonest):
    backend_class = TakesAnySize


class TestFillsAnySize(TestHonest):
    backend_class = FillsAnySize


class TestDeletesSiblings(TestHonest):
    backend_class = DeletesSiblings


class TestDeletesFolders(TestHonest):
    backend_class = DeletesFolders


class TestDropsFull(TestHonest):
    backend_class = DropsFull


class TestRenameReplaces(TestHonest):
    backend_class = RenameReplaces


class TestSwallowsAWorkersError(TestHonest):
    backend_class = SwallowsAWorkersError


class TestShowsItsSecret(TestHonest):
    backend_class = ShowsItsSecret
