"""Storage by name: `strax.toml`, URLs, typed options, secrets."""

from strax_core.config.open import open_storage
from strax_core.config.opener import frontend_options
from strax_core.config.secret import SecretReference
from strax_core.config.settings import ENVIRONMENT_VARIABLE, FILE_NAME, Settings, load_settings

__all__ = [
    "ENVIRONMENT_VARIABLE",
    "FILE_NAME",
    "SecretReference",
    "Settings",
    "frontend_options",
    "load_settings",
    "open_storage",
]
