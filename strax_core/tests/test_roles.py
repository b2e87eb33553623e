from collections.abc import Callable
from typing import Any

import pytest

from strax_core.backend.backend import StorageBackend
from strax_core.backend.memory import MemoryBackend
from strax_core.errors import ConfigError, ReadOnlyError, RunMetadataNotAvailable
from strax_core.frontend.frontend import StorageFrontend
from strax_core.frontend.match import STRICT
from strax_core.saver.saver import Saver
from strax_core.testing.samples import sample_chunks, sample_key, sample_metadata

KEY = sample_key()


class BareBackend(StorageBackend):
    pass


class BareSaver(Saver):
    pass


class BareFrontend(StorageFrontend):
    pass


def bare_saver() -> BareSaver:
    return BareSaver(MemoryBackend(), KEY.name, sample_metadata(KEY))


def bare_frontend(**options: Any) -> BareFrontend:
    return BareFrontend({"main": MemoryBackend()}, **options)


BACKEND_VERBS: dict[str, Callable[[StorageBackend], object]] = {
    "place": lambda backend: backend.place,
    "read": lambda backend: backend.read("file"),
    "list": lambda backend: list(backend.list("")),
    "write": lambda backend: backend.write("file", [b""]),
    "delete": lambda backend: backend.delete("file"),
    "rename": lambda backend: backend.rename("a", "b"),
}
SAVER_METHODS: dict[str, Callable[[Saver], object]] = {
    "_write": lambda saver: saver.save(sample_chunks(KEY)[0], 0),
    "_publish": lambda saver: saver.commit([saver.save(sample_chunks(KEY, sizes=(0,))[0], 0)]),
    "_discard": lambda saver: saver.abort(),
}


@pytest.mark.parametrize("verb", BACKEND_VERBS)
def test_a_bare_backend_names_the_verb_to_override(verb: str) -> None:
    with pytest.raises(NotImplementedError, match=rf"BareBackend must .*StorageBackend\.{verb}$"):
        BACKEND_VERBS[verb](BareBackend())


@pytest.mark.parametrize("method", SAVER_METHODS)
def test_a_bare_saver_names_the_method_to_override(method: str) -> None:
    with pytest.raises(NotImplementedError, match=rf"BareSaver must override Saver\.{method}$"):
        SAVER_METHODS[method](bare_saver())


def test_a_bare_frontend_names_the_method_to_override() -> None:
    with pytest.raises(
        NotImplementedError, match=r"BareFrontend must override StorageFrontend\._find$"
    ):
        bare_frontend().find(KEY, STRICT)


def test_what_a_bare_frontend_cannot_do_has_a_typed_answer() -> None:
    frontend = bare_frontend()

    with pytest.raises(RunMetadataNotAvailable, match="BareFrontend"):
        frontend.run_metadata("run_1")
    with pytest.raises(ReadOnlyError, match="BareFrontend"):
        frontend.write_run_metadata("run_1", {})
    with pytest.raises(ReadOnlyError, match="BareFrontend"):
        frontend._targets(KEY)
    assert list(frontend.scan_runs()) == []


def test_a_bare_backend_is_read_only() -> None:
    class Bare(BareBackend):
        @property
        def place(self) -> str:
            return "nowhere"

    with pytest.raises(ReadOnlyError, match="nowhere"):
        Bare().saver(KEY.name, sample_metadata(KEY))
    with pytest.raises(ReadOnlyError, match="nowhere"):
        Bare().remove(KEY.name)


@pytest.mark.parametrize(
    ("options", "message"),
    [({"overwrite": "sometimes"}, "if_broken"), ({"grace_time_s": 0}, "grace_time_s")],
)
def test_an_impossible_option_of_a_frontend_is_refused(
    options: dict[str, Any], message: str
) -> None:
    with pytest.raises(ConfigError, match=message):
        bare_frontend(**options)


def test_a_frontend_needs_a_backend() -> None:
    with pytest.raises(ConfigError, match="backend"):
        BareFrontend({})
