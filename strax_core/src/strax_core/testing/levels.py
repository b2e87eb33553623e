"""Level and version of the kit; docs/contract-kit.md tells its changes.

The level comes from the environment and not from an option of pytest: an option needs a plugin of
pytest, and one that is installed with strax-core would be loaded in every run of everyone.
"""

import os
from typing import TypeVar

from strax_core.arguments import did_you_mean
from strax_core.errors import ConfigError

KIT_VERSION = "4.0"
"""The first number grows when what passed may fail, the second when there is more to use."""
VARIABLE = "STRAX_CONTRACT"
LEVELS = ("quick", "full")
Choice = TypeVar("Choice")


def level_named(name: str) -> str:
    """Return the level of this name.

    Raises:
        ConfigError: there is no such level.
    """
    if name not in LEVELS:
        raise ConfigError(f"there is no {VARIABLE}={name} {did_you_mean(name, LEVELS)}")
    return name


LEVEL = level_named(os.environ.get(VARIABLE) or LEVELS[0])


def at_level(*, quick: Choice, full: Choice) -> Choice:
    """Return what is meant for the level of this run."""
    return full if LEVEL == "full" else quick
