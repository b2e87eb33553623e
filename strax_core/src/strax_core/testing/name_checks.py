"""The contract of names: any text goes there and back, and no path leaves the place."""

from collections.abc import Callable

import pytest

from strax_core.backend import StorageBackend
from strax_core.errors import ConfigError
from strax_core.testing.base import BackendBase, renames
from strax_core.testing.byte_checks import listed
from strax_core.testing.raw import RawAccess, everything

OUTSIDE = (
    *("", "/x", "..", "../x", "a/../x", "a/../../x", "a/..", ".", "a/./x", "./x"),
    *("a//x", "a/", "a\\x", "..\\x", "a\0x", "a\nx", "a\x7fx", "a\udcffx"),
)
NAMES = (
    *("plain", "Größe", "测试", "with space", "%2F", "a+b", "a#b", "a?b=c&d", "a:b", "-dash"),
    *("dot.", "~home", "$HOME", "*", "a'b\"c", "x" * 200, "x" * 255),
)
DEEP = "/".join(["a folder with a name of fifty bytes, which is long"] * 20)
"""About 1000 bytes; keys of object stores end at 1024."""


class NameChecks(BackendBase):
    """Every verb, with names that are hard to keep and with paths that are refused."""

    @pytest.mark.parametrize("name", NAMES)
    def test_any_name_goes_there_and_back(
        self, backend: StorageBackend, raw: RawAccess, name: str
    ) -> None:
        backend.write(f"{name}/{name}", [b"x"])

        assert everything(raw) == {f"{name}/{name}"}
        assert set(listed(backend, "")) == {name}
        assert set(listed(backend, name, name)) == {name}
        assert backend.read(f"{name}/{name}") == b"x"
        backend.delete(f"{name}/{name}")
        assert listed(backend, name) == {}

    def test_a_long_path_goes_there_and_back(self, backend: StorageBackend, raw: RawAccess) -> None:
        backend.write(f"{DEEP}/file", [b"x"])

        assert everything(raw) == {f"{DEEP}/file"}
        assert backend.read(f"{DEEP}/file") == b"x"
        assert set(listed(backend, DEEP)) == {"file"}

    def test_capital_letters_make_another_name(
        self, backend: StorageBackend, raw: RawAccess
    ) -> None:
        if self.is_case_blind:
            return
        for name in ("run_a", "run_A", "RUN_a"):
            backend.write(f"{name}/file", [name.encode()])
        backend.delete("run_a")

        assert everything(raw) == {"run_A/file", "RUN_a/file"}
        assert backend.read("RUN_a/file") == b"RUN_a"

    @pytest.mark.parametrize("path", OUTSIDE)
    def test_a_path_that_leaves_the_place_is_refused(
        self, backend: StorageBackend, raw: RawAccess, path: str
    ) -> None:
        raw.write("a/x", b"untouched")
        verbs: list[Callable[[], object]] = [
            lambda: backend.read(path),
            lambda: backend.read_ranges(path, [(0, 1)]),
            lambda: backend.read_into(path, memoryview(bytearray(1))),
            lambda: backend.write(path, [b"bad"]),
            lambda: backend.write(path, [b"bad"], create_only=True),
            lambda: backend.delete(path),
        ]
        if path:  # "" is the root, which may be listed
            verbs.append(lambda: list(backend.list(path)))
        if renames(backend):
            verbs.append(lambda: backend.rename("a", path))
            verbs.append(lambda: backend.rename(path, "b"))

        for verb in verbs:
            with pytest.raises(ConfigError):
                verb()
        assert everything(raw) == {"a/x"}
        assert raw.read("a/x") == b"untouched"
