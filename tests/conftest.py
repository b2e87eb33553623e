import importlib
import sys
import warnings
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType

import pytest

BENCHMARKS = Path(__file__).resolve().parent.parent / "benchmarks"


@pytest.fixture(scope="session")
def upstream() -> ModuleType:
    """The real strax, imported once: that takes seconds, and warns."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return importlib.import_module("strax")


@pytest.fixture
def catalogue_crowd(monkeypatch: pytest.MonkeyPatch) -> Iterator[ModuleType]:
    """The script that plays a minute of it."""
    monkeypatch.syspath_prepend(BENCHMARKS)
    yield importlib.import_module("catalogue_crowd")
    sys.modules.pop("catalogue_crowd")
