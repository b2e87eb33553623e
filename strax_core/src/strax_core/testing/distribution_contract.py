"""The contract of a distribution: what it tells about itself is true, and it disturbs nobody."""

import inspect
import json
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import MISSING, fields, is_dataclass
from functools import cache
from importlib import metadata
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest
from packaging.utils import canonicalize_name

from strax_core.backend import StorageBackend
from strax_core.codecs import codec_named
from strax_core.config import frontend_options, open_storage
from strax_core.errors import ConfigError, PluginError
from strax_core.frontend import StorageFrontend
from strax_core.storage_plugins import ENTRY_POINT_GROUP, Served, default_registry, discover
from strax_core.testing.base import ContractBase

WATCH = """
import json, logging, os, signal, sys, threading, warnings
import strax_core
from strax_core.storage_plugins import (default_registry)
for name in sys.argv[3:]: sys.modules[name] = None
def state():
    return {
        "environment": dict(os.environ), "folder": os.getcwd(), "search path": list(sys.path),
        "handlers": [str(each) for each in logging.getLogger().handlers],
        "warning filters": [str(each) for each in warnings.filters],
        "signals": [str(signal.getsignal(n)) for n in (signal.SIGINT, signal.SIGTERM)],
        "threads": threading.active_count(), "hooks": [str(sys.excepthook), str(sys.displayhook)],
    }
before = state()
listing = [each.name for each in default_registry().listing()]
listed = sorted(sys.modules)
errors = []
for target in json.loads(sys.argv[1]):
    module, _, name = target.partition(":")
    try: getattr(__import__(module, fromlist=[name]), name)
    except Exception as error: errors.append(f"{type(error).__name__}: {error}")
for name in json.loads(sys.argv[2]):
    try: default_registry().frontend(name).load_target()
    except Exception as error: errors.append(f"{type(error).__name__}: {error}")
after = state()
print(json.dumps({
    "changed": [what for what in before if before[what] != after[what]],
    "listed": listed, "listing": listing, "errors": errors,
}))
"""

HEAVY = ("boto3", "numba", "pandas", "paramiko", "requests", "sqlalchemy")


@cache
def watched_import(
    targets: tuple[str, ...], names: tuple[str, ...], missing: tuple[str, ...]
) -> Any:
    """Import these in a process of its own, without the missing modules; tell what happened."""
    arguments = [json.dumps(targets), json.dumps(names), *missing]
    done = subprocess.run(  # noqa: S603 - our own text
        [sys.executable, "-c", WATCH, *arguments], capture_output=True, text=True, check=True
    )
    return json.loads(done.stdout)


class DistributionContract(ContractBase):
    """Subclass it, say which distribution, and pytest runs every check; it must be installed.

    - `distribution`: its name, as in ``pip install NAME``.
    - `heavy`: modules of its SDK, which only those need who open a place.
    """

    distribution = ""
    heavy: tuple[str, ...] = ()

    @pytest.fixture
    def served(self) -> list[Served]:
        """Everything that the distribution brings."""
        return list(self._served())

    def _served(self) -> Iterator[Served]:
        points = metadata.distribution(self.distribution).entry_points
        for plugin in discover(points.select(group=ENTRY_POINT_GROUP)):
            if canonicalize_name(plugin.distribution) == canonicalize_name(self.distribution):
                assert plugin.error is None, plugin.reason  # core's own are listed, too
                yield from plugin.served

    def _targets(self) -> tuple[str, ...]:
        provided = [each.provided for each in self._served()]
        return tuple(
            target for p in provided for target in (p.target, p.options, p.frontend) if target
        )

    def _names(self) -> tuple[str, ...]:
        return tuple(each.provided.name for each in self._served() if each.kind != "codec")

    def test_it_brings_something_under_its_own_names(self, served: list[Served]) -> None:
        listing = default_registry().listing()

        assert served
        for each in served:
            found = [
                line
                for line in listing
                if (line.kind, line.name) == (each.kind, each.provided.name)
            ]
            assert [line.error for line in found] == [None]

    def test_every_target_is_what_it_is_said_to_be(self, served: list[Served]) -> None:
        kinds = {"backend": StorageBackend, "frontend": StorageFrontend}
        for each in served:
            target = each.load_target()
            assert inspect.isclass(target)
            if each.kind == "codec":
                assert codec_named(each.provided.name).name == each.provided.name
            else:
                assert issubclass(target, kinds[each.kind])
            if each.provided.frontend:
                assert issubclass(each.load_target(each.provided.frontend), StorageFrontend)

    def test_listing_imports_nothing_heavy(self) -> None:
        told = watched_import(self._targets(), self._names(), ())

        assert set(self._names()) <= set(told["listing"])
        assert set(told["listed"]) & {*HEAVY, *self.heavy} == set()

    def test_importing_it_changes_nothing_for_others(self) -> None:
        told = watched_import(self._targets(), self._names(), ())

        assert told["errors"] == []
        assert told["changed"] == []

    def test_without_its_sdk_it_says_what_to_install(self) -> None:
        if not self.heavy:
            return
        told = watched_import((), self._names(), self.heavy)

        assert set(self._names()) <= set(told["listing"])
        assert told["errors"]
        for error in told["errors"]:
            assert error.startswith(PluginError.__name__)
            assert "pip install" in error

    def test_every_option_is_described(self, served: list[Served]) -> None:
        for each in served:
            if each.provided.options is None:
                continue
            options = each.load_target(each.provided.options)
            assert is_dataclass(options)
            assert vars(options)["__dataclass_params__"].frozen
            for field in fields(options):
                assert field.metadata.get("help"), f"{field.name} has no help"
                assert field.kw_only, f"{field.name} is not keyword-only"
                assert field.name not in frontend_options()
                if field.metadata.get("secret"):
                    assert field.default in (None, MISSING), f"{field.name} holds a secret"

    def test_an_unknown_option_is_refused(self) -> None:
        for name in self._names():
            with pytest.raises(ConfigError, match="no_such_option"):
                open_storage({"frontend": name, "no_such_option": 1})

    def test_it_says_which_versions_of_core_it_works_with(self) -> None:
        required = metadata.distribution(self.distribution).requires or []
        of_core = [each for each in required if each.startswith(("strax-core", "strax_core"))]

        assert len(of_core) == 1
        assert "<" in of_core[0], f"{of_core[0]} takes any later version of strax-core"

    def test_its_types_are_told(self, served: list[Served]) -> None:
        for package in {each.provided.target.partition(".")[0] for each in served}:
            spec = find_spec(package)
            assert spec is not None
            assert [
                p for p in spec.submodule_search_locations or () if (Path(p) / "py.typed").is_file()
            ]
