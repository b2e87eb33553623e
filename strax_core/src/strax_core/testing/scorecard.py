"""A file that says how each check of the kit ended, for which backend, frontend or codec.

Nothing that was skipped, or expected to fail, counts as passed.
"""

import json
import os
from collections.abc import Generator
from pathlib import Path
from typing import Any

import pytest

from strax_core.testing.levels import KIT_VERSION, LEVEL

VARIABLE = "STRAX_CONTRACT_SCORECARD"
NAME = "strax-contract-scorecard"
SUBJECTS = ("backend", "frontend", "codec", "distribution")
"""Fixtures whose value is what a contract is about."""


class Scorecard:
    """Notes the outcomes; pytest calls it, once the first check has registered it.

    Args:
        path: of the file to be; it is written when the run ends.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._contracts: dict[str, dict[str, Any]] = {}

    @pytest.hookimpl(wrapper=True)
    def pytest_runtest_makereport(
        self, item: pytest.Item, call: pytest.CallInfo[None]
    ) -> Generator[None, pytest.TestReport, pytest.TestReport]:
        """Note a check that failed or was skipped in any phase, or passed."""
        report = yield
        contract = _contract_of(item)
        if contract is not None:
            entry = self._entry(item, contract)
            if report.failed or report.skipped:
                told = {"check": item.name, "error": _told(call.excinfo)}
                entry["failed" if report.failed else "skipped"].append(told)
            elif report.when == "call":
                entry["passed"].append(item.name)
        return report

    def pytest_sessionfinish(self) -> None:
        """Write the file."""
        document = {
            "kit_version": KIT_VERSION,
            "level": LEVEL,
            "contracts": list(self._contracts.values()),
        }
        self._path.write_text(json.dumps(document, indent=2))

    def _entry(self, item: pytest.Item, contract: str) -> dict[str, Any]:
        test = item.nodeid.removesuffix(f"::{item.name}")
        empty: dict[str, Any] = {
            "test": test,
            "contract": contract,
            "subject": None,
            "passed": [],
            "failed": [],
            "skipped": [],
        }
        entry = self._contracts.setdefault(test, empty)
        entry["subject"] = entry["subject"] or _subject_of(item)
        return entry


def keep_scorecard(config: pytest.Config) -> None:
    """Begin a scorecard if the environment names a file for it."""
    path = os.environ.get(VARIABLE)
    if path and not config.pluginmanager.has_plugin(NAME):
        worker = os.environ.get("PYTEST_XDIST_WORKER")  # each worker process has its own
        file = Path(path) if worker is None else Path(f"{path}.{worker}")
        config.pluginmanager.register(Scorecard(file), NAME)


def _contract_of(item: pytest.Item) -> str | None:
    tested = getattr(item, "cls", None) or object
    ours = [
        base.__name__ for base in tested.__mro__ if base.__module__.startswith("strax_core.testing")
    ]
    return ours[0] if "ContractBase" in ours else None


def _subject_of(item: pytest.Item) -> str | None:
    given = getattr(item, "funcargs", {})
    found = next((given[name] for name in SUBJECTS if name in given), None)
    return None if found is None else found if isinstance(found, str) else type(found).__name__


def _told(caught: pytest.ExceptionInfo[BaseException] | None) -> str:
    return "" if caught is None else f"{caught.typename}: {caught.value}"
