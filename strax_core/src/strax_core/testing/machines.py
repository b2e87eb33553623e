"""Random sequences of operations, compared with a model after each; hypothesis makes them.

Hypothesis is imported when a machine runs, so that the rest of the kit does without it.
"""

from collections.abc import Callable
from types import ModuleType
from typing import Any

from strax_core.backend import StorageBackend
from strax_core.cleaning import clean
from strax_core.errors import (
    ConfigError,
    DataCorrupted,
    DataExistsError,
    DataNotAvailable,
    ObjectExists,
    ObjectMissing,
    StorageError,
)
from strax_core.keys import DataKey
from strax_core.saver import Saver
from strax_core.testing.base import renames
from strax_core.testing.levels import LEVEL, at_level
from strax_core.testing.raw import RawAccess, everything
from strax_core.testing.samples import bytes_of_chunks, sample_chunks, sample_key, sample_metadata

FILES = ("f", "f1", "f10", "g")
FOLDERS = ("d", "d1", "d10", "d1/e", "d1/h")
KEYS = (sample_key("run_1"), sample_key("run_10"), sample_key("run_1", "peaks_more"))


def hypothesis_modules() -> tuple[ModuleType, ModuleType]:
    """Return hypothesis and its `stateful`.

    Raises:
        ConfigError: it is not installed.
    """
    try:
        import hypothesis
        from hypothesis import stateful
    except ModuleNotFoundError as error:
        raise ConfigError(
            "the kit's machines need hypothesis: pip install 'strax-core[testing]'"
        ) from error
    return hypothesis, stateful


def run_machine(machine: Callable[[], Any], *, examples: int, steps: int) -> None:
    """Run a state machine; at the level `quick` always with the same sequences, not made short."""
    hypothesis, stateful = hypothesis_modules()
    phases = list(hypothesis.Phase)
    if LEVEL == "quick":  # to find the shortest sequence that fails takes minutes
        phases.remove(hypothesis.Phase.shrink)
    settings = hypothesis.settings(
        phases=phases,
        max_examples=at_level(quick=examples, full=20 * examples),
        stateful_step_count=at_level(quick=steps, full=2 * steps),
        derandomize=at_level(quick=True, full=False),
        report_multiple_bugs=False,
        database=None,
        deadline=None,
        suppress_health_check=list(hypothesis.HealthCheck),
    )
    stateful.run_state_machine_as_test(machine, settings=settings)


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


def verbs_machine(backend: StorageBackend, raw: RawAccess) -> Callable[[], Any]:
    """Return a state machine of the verbs, each example in a folder of its own."""
    hypothesis, stateful = hypothesis_modules()
    st = hypothesis.strategies
    folders = st.sampled_from(FOLDERS)
    paths = st.builds("{}/{}".format, folders, st.sampled_from(FILES))
    roots = iter(range(10**9))

    class Verbs(stateful.RuleBasedStateMachine):  # type: ignore[name-defined,misc]
        def __init__(self) -> None:
            super().__init__()
            self.model = VerbsModel(backend, raw, f"example-{next(roots)}")

        @stateful.rule(path=paths, data=st.binary(max_size=9), create_only=st.booleans())
        def write(self, path: str, data: bytes, *, create_only: bool) -> None:
            self.model.write(path, data, create_only=create_only)

        @stateful.rule(path=paths)
        def read(self, path: str) -> None:
            self.model.read(path)

        @stateful.rule(path=paths, offset=st.integers(0, 9), size=st.integers(0, 9))
        def read_range(self, path: str, offset: int, size: int) -> None:
            self.model.read_range(path, offset, size)

        @stateful.rule(folder=folders, starts_with=st.sampled_from(("", "f", "f1", "h")))
        def list(self, folder: str, starts_with: str) -> None:
            self.model.list(folder, starts_with)

        @stateful.rule(path=st.one_of(paths, folders))
        def delete(self, path: str) -> None:
            self.model.delete(path)

        @stateful.precondition(lambda _: renames(backend))
        @stateful.rule(source=folders, name=st.one_of(st.none(), folders))
        def rename(self, source: str, name: str | None) -> None:
            self.model.rename(source, name)

        def teardown(self) -> None:
            self.model.check_all()

    return Verbs


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
            saver._journal.close()  # noqa: SLF001 - nobody else needs to do that
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


def data_machine(
    backend: StorageBackend, reader: StorageBackend, raw: RawAccess
) -> Callable[[], Any]:
    """Return a state machine of savers, loaders, `remove` and `clean`."""
    hypothesis, stateful = hypothesis_modules()
    st = hypothesis.strategies
    keys = st.sampled_from(KEYS)
    numbers = st.integers(0, 5)

    class Data(stateful.RuleBasedStateMachine):  # type: ignore[name-defined,misc]
        def __init__(self) -> None:
            super().__init__()
            self.model = DataModel(backend, reader, raw)

        @stateful.rule(key=keys, overwrite=st.sampled_from(("if_broken", "always", "never")))
        def begin(self, key: DataKey, overwrite: str) -> None:
            self.model.begin(key, overwrite)

        @stateful.precondition(lambda self: self.model.writers)
        @stateful.rule(number=numbers)
        def commit(self, number: int) -> None:
            self.model.commit(number % len(self.model.writers))

        @stateful.precondition(lambda self: self.model.writers)
        @stateful.rule(number=numbers, by_death=st.booleans())
        def end(self, number: int, *, by_death: bool) -> None:
            self.model.end(number % len(self.model.writers), by_death=by_death)

        @stateful.rule(key=keys)
        def remove(self, key: DataKey) -> None:
            self.model.remove(key)

        @stateful.rule(at_work=st.booleans())
        def clean(self, *, at_work: bool) -> None:
            self.model.clean(at_work=at_work)

        @stateful.invariant()
        def loads(self) -> None:
            self.model.check()

        def teardown(self) -> None:
            self.model.finish()

    return Data
