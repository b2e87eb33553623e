import importlib
import warnings
from types import ModuleType

import pytest


@pytest.fixture(scope="session")
def upstream() -> ModuleType:
    """The real strax, imported once: that takes seconds, and warns."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return importlib.import_module("strax")
