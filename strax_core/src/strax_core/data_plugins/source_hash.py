"""The hash of a data plugin's source, kept in metadata to tell namesakes apart."""

from threading import Lock
from weakref import WeakKeyDictionary

from strax_core.data_plugins.plugin import Plugin
from strax_core.format import deterministic_hash

_SOURCE_LOCK = Lock()
_SOURCE_HASHES: WeakKeyDictionary[type[Plugin], str | None] = WeakKeyDictionary()


def source_hash(data_plugin: type[Plugin]) -> str | None:
    """Return a short hash of the class's source text; None where there is none (a prompt)."""
    with _SOURCE_LOCK:
        if data_plugin not in _SOURCE_HASHES:
            _SOURCE_HASHES[data_plugin] = _source_hash(data_plugin)
        return _SOURCE_HASHES[data_plugin]


def _source_hash(data_plugin: type[Plugin]) -> str | None:
    import inspect

    try:
        return deterministic_hash(inspect.getsource(data_plugin))
    except (OSError, TypeError, SyntaxError, SystemError):
        # SystemError: Python 3.11 cannot parse in several threads at once, here and elsewhere.
        return None
