"""Opens savers for those data types that are made and to be kept."""

import logging
import os
import secrets
import warnings
from functools import cache
from typing import Any

from strax_core.codecs import DEFAULT_COMPRESSOR, DEFAULT_FOR_UPSTREAM, codec_named
from strax_core.data_plugins import Plugin, SaveWhen, provided, source_hash, stated_for
from strax_core.errors import ConfigError, DataExistsError, ReadOnlyError
from strax_core.format import DataKey, dtype_text
from strax_core.places import Places
from strax_core.processing.plan import Plan, is_forbidden
from strax_core.saver import Saver

Savers = dict[str, list[Saver]]


def open_savers_of(plan: Plan, opened: Savers) -> set[str]:
    """Open savers for all that a plan makes and that is to be kept, the targets first.

    Of a part of a run nothing is kept.

    Args:
        plan: what is made.
        opened: the savers are added here by data type, so that none is forgotten if this is
            interrupted.

    Returns:
        The data types that turn out to be stored already: someone else was faster.

    Raises:
        ConfigError: a target must be kept, but is made from what was found by a loose match.
        ReadOnlyError: a target must be kept, and no place takes it.
        StorageError: no place can take something now.
    """
    if plan.query.is_partial:
        return set()
    return {
        data_type
        for data_plugin in reversed(plan.made)
        for data_type in provided(data_plugin)
        if not _open(plan, data_plugin, data_type, opened)
    }


def _open(plan: Plan, data_plugin: type[Plugin], data_type: str, opened: Savers) -> bool:
    """Open savers if this data type is to be kept; False if it turns out to be stored already."""
    request = plan.request
    if data_type in plan.loaded:
        return True  # another output of the same data plugin is to be made
    is_target = data_type in request.targets
    must_keep = is_target and request.must_keep
    if not _is_kept(plan, data_plugin, data_type):
        if must_keep:
            _warn(f"{data_type} is made and not kept: its save_when says so; list it in save=")
        return True
    inexact = plan.inexact(data_plugin)
    if inexact is None:
        return _opened_somewhere(plan, data_plugin, data_type, opened)
    message = f"{request.key_of(data_type)} is not kept, since {inexact}"
    if must_keep:
        raise ConfigError(f"{message}; make it in a strict context, or load it with get_array")
    if is_target:
        _warn(message)
    return True


def _opened_somewhere(
    plan: Plan, data_plugin: type[Plugin], data_type: str, opened: Savers
) -> bool:
    request = plan.request
    is_target = data_type in request.targets
    key, savers = request.key_of(data_type), opened.setdefault(data_type, [])
    again = request.again and is_target
    reasons = open_savers(request.places, key, plan.instances[data_plugin], savers, again=again)
    if savers:
        return True
    for reason in reasons:
        if again or not isinstance(reason, REFUSALS):
            raise reason
    if any(isinstance(reason, DataExistsError) for reason in reasons):
        return False
    answers = "; ".join(map(str, reasons)) or "it has none"
    message = f"no place of this context takes {data_type}: {answers}; {key}"
    if is_target and request.must_keep:
        raise ReadOnlyError(f"{message} cannot be kept") from next(iter(reasons), None)
    if is_target:
        _warn(f"{message} is not kept")
    return True


def _is_kept(plan: Plan, data_plugin: type[Plugin], data_type: str) -> bool:
    if is_forbidden(data_type, plan.request.forbidden):
        return False  # it comes along with another output of the same data plugin
    save_when = plan.instances[data_plugin].save_when_for(data_type)
    if save_when == SaveWhen.TARGET and data_type in plan.request.targets:
        return True
    is_listed = data_type in plan.request.save and save_when != SaveWhen.NEVER
    return save_when == SaveWhen.ALWAYS or is_listed


def _warn(message: str) -> None:
    warnings.warn(message, stacklevel=2)


REFUSALS = (ReadOnlyError, DataExistsError)
"""Errors of a place that is well and does not take the data."""

_LOG = logging.getLogger("strax_core")


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


@cache
def _own_version() -> str:
    from importlib.metadata import PackageNotFoundError, version

    try:
        return version("strax-core")
    except PackageNotFoundError:
        return "unknown"
