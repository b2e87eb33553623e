"""Data plugins: classes that make data types from others, their options and lineages."""

from strax_core.data_plugins.check_result import promised_rows
from strax_core.data_plugins.merge_only import MergeOnlyPlugin
from strax_core.data_plugins.option import Option, takes_config
from strax_core.data_plugins.plugin import (
    Plugin,
    SaveWhen,
    dependencies,
    missing_methods,
    provided,
    read_only,
    stated_for,
)
from strax_core.data_plugins.registered import DataPlugins, data_plugins_in
from strax_core.data_plugins.source_hash import source_hash

__all__ = [
    "DataPlugins",
    "MergeOnlyPlugin",
    "Option",
    "Plugin",
    "SaveWhen",
    "data_plugins_in",
    "dependencies",
    "missing_methods",
    "promised_rows",
    "provided",
    "read_only",
    "source_hash",
    "stated_for",
    "takes_config",
]
