"""Old names of what storage plugins override or call serve until 1.0, and mix with new ones."""

from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import Any, ClassVar

import pytest

from strax_core import DataKey, DirectoryFrontend, Location, MemoryBackend
from strax_core.backend import clean
from strax_core.testing import sample_chunks, sample_key, sample_metadata

KEY = sample_key("run_1", "peaks")


class Old(DirectoryFrontend):
    """A frontend as one was written before."""

    heard: ClassVar[list[str]] = []

    def _reserve(self, key: DataKey) -> Sequence[Location]:
        self.heard.append("reserve")
        return super()._reserve(key)  # type: ignore[misc, no-any-return]

    def _forget(self, *_: Any) -> None:
        self.heard.append("forget")

    def _failed(self, *_: Any) -> None:
        self.heard.append("failed")


class New(Old):
    """One that goes on from there."""

    def _targets(self, key: DataKey) -> Sequence[Location]:
        self.heard.append("targets")
        return super()._targets(key)


@pytest.mark.parametrize(("kind", "targets"), [(Old, ["reserve"]), (New, ["targets", "reserve"])])
def test_hooks_of_old_names_are_called(kind: type[Old], targets: list[str]) -> None:
    frontend = kind(MemoryBackend())
    kind.heard.clear()
    with frontend.saver(KEY, sample_metadata(KEY)) as saver:
        for chunk_i, chunk in enumerate(sample_chunks(KEY)):
            saver.save(chunk, chunk_i)
    frontend.remove(KEY)

    assert [each for each in kind.heard if each != "failed"] == [*targets, "forget"]
    assert kind.heard[0] == "failed"  # it was looked for before it was saved


def test_old_names_can_be_called() -> None:
    frontend: Any = DirectoryFrontend(MemoryBackend())
    (at,) = frontend._reserve(KEY)
    saver: Any = frontend.saver(KEY, sample_metadata(KEY))
    superseded = saver.is_beaten()
    saver.abort()

    assert at == frontend._targets(KEY)[0]
    assert not superseded


def test_a_backend_with_old_names_tells_what_is_stale() -> None:
    class Backend(MemoryBackend):
        leftover_reason = "half a file"

        def drop_unfinished(self, *, before_ns: int, dry_run: bool) -> Iterator[str]:
            yield f"a part, {before_ns > 0}, {dry_run}"

    assert [(each.path, each.reason) for each in clean(Backend(), grace_s=0)] == [
        ("a part, True, True", "half a file")
    ]


def test_a_location_takes_the_old_name_of_listed() -> None:
    there: Any = Location
    at = there(backend="disk", backend_key="run_1-a-b", known=True)

    assert (at.listed, at.known) == (True, True)
    assert replace(at, listed=False) == Location(backend="disk", backend_key="run_1-a-b")
    assert not replace(at, known=False).listed
