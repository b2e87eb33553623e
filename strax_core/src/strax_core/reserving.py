"""Opens savers for a piece of data, in every place that takes it."""

import logging
import os
import secrets
from functools import cache
from threading import Lock
from typing import Any
from weakref import WeakKeyDictionary

from strax_core.codecs import codec_named
from strax_core.errors import DataExistsError, ReadOnlyError
from strax_core.keys import DataKey, deterministic_hash
from strax_core.metadata import dtype_text
from strax_core.places import Places
from strax_core.plugin import Plugin, stated_for
from strax_core.saver import Saver

DEFAULT_COMPRESSOR = "columns"
DEFAULT_FOR_UPSTREAM = "zstd"  # whatever the default is elsewhere
REFUSALS = (ReadOnlyError, DataExistsError)
"""What a place answers that is well and does not take the data."""
_LOG = logging.getLogger("strax_core")
_SOURCE_LOCK = Lock()
_SOURCE_HASHES: WeakKeyDictionary[type[Plugin], str | None] = WeakKeyDictionary()


def open_savers(
    places: Places, key: DataKey, instance: Plugin, opened: list[Saver], *, again: bool
) -> list[Exception]:
    """Open a saver in each place; return why the others have none. One bad place is only reported.

    Args:
        places: all that may take it.
        key: what is to be saved.
        instance: what makes it.
        opened: the savers are added here, so that none is forgotten if this is interrupted.
        again: replace what is stored, but where the place's `overwrite` is ``never``.
    """
    reasons: list[Exception] = []
    first_metadata = _metadata_before(key, instance)
    for frontend in places:
        default = DEFAULT_FOR_UPSTREAM if frontend.for_upstream else DEFAULT_COMPRESSOR
        compressor = frontend.compressor or instance.compressor_for(key.data_type) or default
        overwrite = "always" if again and frontend.overwrite == "if_broken" else None
        try:
            codec_named(compressor)
            opened.append(
                frontend.saver(
                    key, {**first_metadata, "compressor": compressor}, overwrite=overwrite
                )
            )
        except REFUSALS as error:
            # A disk that turns out to be mounted read-only is news; what a frontend says is not.
            is_news = isinstance(error, ReadOnlyError) and error.__cause__ is not None
            level = logging.WARNING if is_news else logging.DEBUG
            _LOG.log(level, "%s is not kept in %s: %s", key, frontend.name, error)
            reasons.append(error)
        except Exception as error:  # noqa: BLE001 - the other places may take it
            _LOG.warning("%s is not kept in %s: %s", key, frontend.name, error)
            reasons.append(error)
    return reasons


def _metadata_before(key: DataKey, instance: Plugin) -> dict[str, Any]:
    """Return what is known of a piece of data before its first chunk, wherever it is kept."""
    import platform
    import socket

    return {
        "data_id": secrets.token_hex(8),
        "run_id": key.run_id,
        "data_type": key.data_type,
        "data_kind": instance.data_kind_for(key.data_type),
        "dtype": dtype_text(instance.dtype_for(key.data_type)),
        "lineage": key.lineage.as_json(),
        "lineage_hash": key.lineage_hash,
        "chunk_target_size_mb": stated_for(instance, "chunk_target_size_mb", key.data_type),
        "writer": {
            "host": socket.gethostname(),
            "pid": os.getpid(),
            "python": platform.python_version(),
            "strax_core": _own_version(),
            "data_plugin_module": type(instance).__module__,
            "data_plugin_source": source_hash(type(instance)),
        },
    }


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


@cache
def _own_version() -> str:
    from importlib.metadata import PackageNotFoundError, version

    try:
        return version("strax-core")
    except PackageNotFoundError:
        return "unknown"
