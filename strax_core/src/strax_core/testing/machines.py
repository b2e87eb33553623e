"""Random sequences of operations, compared with a model after each; hypothesis makes them.

Hypothesis is imported when a machine runs, so that the rest of the kit does without it.
"""

from typing import Any

from strax_core.backend import StorageBackend
from strax_core.errors import ConfigError
from strax_core.format import DataKey
from strax_core.testing.base import renames
from strax_core.testing.levels import LEVEL, at_level
from strax_core.testing.models import KEYS, DataModel, VerbsModel
from strax_core.testing.raw import RawAccess

FILES = ("f", "f1", "f10", "g")
FOLDERS = ("d", "d1", "d10", "d1/e", "d1/h")


def need_hypothesis() -> None:
    """Say what to install if hypothesis is missing.

    Raises:
        ConfigError: it is.
    """
    try:
        import hypothesis  # noqa: F401
    except ModuleNotFoundError as error:
        raise ConfigError(
            "the kit's machines need hypothesis: pip install 'strax-core[testing]'"
        ) from error


def run_machine(machine: type[Any], *, examples: int, steps: int) -> None:
    """Run a state machine; at the level `quick` always with the same sequences, not made short."""
    need_hypothesis()
    import hypothesis
    from hypothesis import stateful

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


def verbs_machine(backend: StorageBackend, raw: RawAccess) -> type[Any]:
    """Return a state machine of the verbs, each example in a folder of its own."""
    need_hypothesis()
    from hypothesis import stateful
    from hypothesis import strategies as st

    folders = st.sampled_from(FOLDERS)
    paths = st.builds("{}/{}".format, folders, st.sampled_from(FILES))
    roots = iter(range(10**9))

    class Verbs(stateful.RuleBasedStateMachine):
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


def data_machine(backend: StorageBackend, reader: StorageBackend, raw: RawAccess) -> type[Any]:
    """Return a state machine of savers, loaders, `remove` and `clean`."""
    need_hypothesis()
    from hypothesis import stateful
    from hypothesis import strategies as st

    keys = st.sampled_from(KEYS)
    numbers = st.integers(0, 5)

    class Data(stateful.RuleBasedStateMachine):
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
