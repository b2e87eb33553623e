"""Plain models of a backend: dictionaries that do what its verbs and its savers should do."""

from collections.abc import Callable

from strax_core.backend import StorageBackend, clean
from strax_core.errors import (
    DataCorrupted,
    DataExistsError,
    DataNotAvailable,
    ObjectExists,
    ObjectMissing,
    StorageError,
)
from strax_core.format import DataKey
from strax_core.saver import Saver
from strax_core.testing.faults import kill
from strax_core.testing.raw import RawAccess, everything
from strax_core.testing.samples import bytes_of_chunks, sample_chunks, sample_key, sample_metadata

KEYS = (sample_key("run_1"), sample_key("run_10"), sample_key("run_1", "peaks_more"))


def outcome_of(action: Callable[[], object]) -> object:
    """Return what it returns, or the class of the error of ours that it raises."""
    try:
        return action()
    except StorageError as error:
        return type(error)


class VerbsModel:
    """The verbs of a backend beside a dictionary that does the same."""

    def __init__(self, backend: StorageBackend, raw: RawAccess, root: str) -> None:
        self.backend = backend
        self.raw = raw
        self.root = root
        self.files: dict[str, bytes] = {}
        self.n_renamed = 0

    def write(self, path: str, data: bytes, *, create_only: bool) -> None:
        """Write to both."""
        is_refused = create_only and path in self.files
        ended = outcome_of(
            lambda: self.backend.write(
                self._at(path), [data[:3], data[3:]], create_only=create_only
            )
        )
        assert ended is (ObjectExists if is_refused else None), path
        if not is_refused:
            self.files[path] = data

    def read(self, path: str) -> None:
        """Read from both."""
        read = outcome_of(lambda: self.backend.read(self._at(path)))
        assert read == self.files.get(path, ObjectMissing), path

    def read_range(self, path: str, offset: int, size: int) -> None:
        """Read a part from both."""
        whole = self.files.get(path)
        expected: object = ObjectMissing
        if whole is not None:
            fits = offset + size <= len(whole)
            expected = [whole[offset : offset + size]] if fits else DataCorrupted
        read = outcome_of(lambda: self.backend.read_ranges(self._at(path), [(offset, size)]))
        assert read == expected, path

    def list(self, folder: str, starts_with: str) -> None:
        """List both; a folder that became empty may be listed or not."""
        entries = list(self.backend.list(self._at(folder), starts_with=starts_with))
        files = {entry.name: entry.size_bytes for entry in entries if not entry.is_folder}
        folders = {entry.name for entry in entries if entry.is_folder}
        below = [
            (path.removeprefix(f"{folder}/").partition("/"), data)
            for path, data in self.files.items()
            if path.startswith(f"{folder}/{starts_with}")
        ]
        assert files == {name: len(data) for (name, slash, _), data in below if not slash}, folder
        assert folders >= {name for (name, slash, _), _ in below if slash}, folder
        assert len(files) + len(folders) == len(entries), folder

    def delete(self, path: str) -> None:
        """Delete from both."""
        self.backend.delete(self._at(path))
        doomed = [each for each in self.files if each == path or each.startswith(f"{path}/")]
        for each in doomed:
            del self.files[each]

    def rename(self, source: str, target: str | None) -> None:
        """Rename in both; None is a name that was never used."""
        if target is None:
            self.n_renamed += 1
            target = f"new-{self.n_renamed}"
        moved = [path for path in self.files if path.startswith(f"{source}/")]
        is_taken = any(path.startswith(f"{target}/") for path in self.files)
        if not moved or f"{target}/".startswith(f"{source}/"):
            return  # an empty folder may still be there, so both answers are right
        ended = outcome_of(lambda: self.backend.rename(self._at(source), self._at(str(target))))
        if is_taken:
            assert ended is ObjectExists, (source, target)
        elif ended is None:
            for path in moved:
                self.files[target + path.removeprefix(source)] = self.files.pop(path)
        else:
            assert ended is ObjectExists, (source, target)  # by a folder that became empty
            assert not self.n_renamed or not target.startswith("new-"), (source, target)

    def check_all(self) -> None:
        """Compare what lies there with the model, not by way of the backend."""
        root = f"{self.root}/"
        lying = {path for path in everything(self.raw, self.root) if _is_file(self.raw, path)}
        assert {path.removeprefix(root) for path in lying} == set(self.files)
        for path, data in self.files.items():
            assert self.raw.read(root + path) == data, path

    def _at(self, path: str) -> str:
        return f"{self.root}/{path}"


def _is_file(raw: RawAccess, path: str) -> bool:
    try:
        raw.read(path)
    except Exception:  # noqa: BLE001 - whatever an author's raw access raises for an empty folder
        return False
    return True


class DataModel:
    """Pieces of data in a backend beside a dictionary of who wrote them."""

    def __init__(self, backend: StorageBackend, reader: StorageBackend, raw: RawAccess) -> None:
        self.backend = backend
        self.reader = reader
        self.raw = raw
        self.marks: dict[DataKey, int] = {}
        self.writers: list[tuple[DataKey, int, Saver]] = []
        self.n_writers = 0

    def begin(self, key: DataKey, overwrite: str) -> None:
        """Begin to write; the rows tell who did."""
        self.n_writers += 1
        saver = self.backend.saver(key.name, sample_metadata(key), overwrite=overwrite)
        for chunk_i, chunk in enumerate(sample_chunks(key, mark=self.n_writers)):
            saver.save(chunk, chunk_i)
        self.writers.append((key, self.n_writers, saver))

    def commit(self, number: int) -> None:
        """Commit: the first wins, unless all may be replaced."""
        key, mark, saver = self.writers.pop(number)
        try:
            with saver:
                pass
        except DataExistsError:
            assert key in self.marks, key
            assert saver.overwrite != "always", key
        else:
            assert key not in self.marks or saver.overwrite == "always", key
            self.marks[key] = mark

    def end(self, number: int, *, by_death: bool) -> None:
        """Abort, or die: what stops the heart and tidies nothing up."""
        _, _, saver = self.writers.pop(number)
        if by_death:
            kill(saver)
        else:
            saver.abort(ZeroDivisionError("the detector is on fire"))

    def remove(self, key: DataKey) -> None:
        """Remove from both."""
        self.backend.remove(key.name)
        self.marks.pop(key, None)

    def clean(self, *, at_work: bool) -> None:
        """Clean up; with a grace time while writers are at work."""
        if at_work:
            clean(self.backend, grace_s=3600, dry_run=False)
        elif not self.writers:
            clean(self.backend, grace_s=0, dry_run=False)

    def check(self) -> None:
        """Load every key, through another object."""
        for key in KEYS:
            loaded = outcome_of(lambda key=key: self.reader.loader(key.name).read_all().tobytes())  # type: ignore[misc]
            mark = self.marks.get(key)
            chunks = None if mark is None else sample_chunks(key, mark=mark)
            assert loaded == (DataNotAvailable if chunks is None else bytes_of_chunks(chunks)), key

    def finish(self) -> None:
        """End all writers, remove all data, and find nothing left."""
        while self.writers:
            self.end(0, by_death=True)
        for key in KEYS:
            self.remove(key)
        clean(self.backend, grace_s=0, dry_run=False)
        assert everything(self.raw) == set()
