"""With ``STRAX_TRACE=1``: a line on stderr for each question to a place: who, the answer, ms."""

import functools
import inspect
import logging
import os
import sys
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import fields, is_dataclass
from typing import Any, ClassVar

from strax_core.errors import StorageError
from strax_core.old_names import Renamed

IS_ON = os.environ.get("STRAX_TRACE", "") not in {"", "0"}
_LOG = logging.getLogger("strax_core.trace")
_SHOWN_MAX = 4  # items of a long list of arguments

if IS_ON:
    _handler = logging.StreamHandler(sys.stderr)
    _handler.setFormatter(logging.Formatter("strax: %(message)s"))
    _LOG.addHandler(_handler)
    _LOG.setLevel(logging.INFO)
    _LOG.propagate = False


class Traced(Renamed):
    """Its subclasses tell who asked them what, and what they answered; only while tracing is on."""

    _traced: ClassVar[tuple[str, ...]] = ()
    """Methods that are traced in each subclass that overrides them."""

    def __init_subclass__(cls, **options: Any) -> None:
        for name in cls._traced if IS_ON else ():
            method = vars(cls).get(name)
            if inspect.isfunction(method):
                setattr(cls, name, _traced(method))
        super().__init_subclass__(**options)


class TracedFrontend(Traced):
    """Tells what a frontend is asked: the methods that storage plugins override."""

    _renamed: ClassVar[Mapping[str, str]] = {
        "_reserve": "_targets",
        "_reserve_in": "_targets_in",
        "_forget": "_removed",
        "_failed": "_not_usable",
    }

    _traced = (
        "_find",
        "_find_several",
        "_targets",
        "_targets_in",
        "_committed",
        "_removed",
        "_run_metadata",
        "_write_run_metadata",
        "_scan_runs",
        "_scan_fields",
        "_select_runs",
    )


class TracedBackend(Traced):
    """Tells what a backend is asked: the byte verbs."""

    _renamed: ClassVar[Mapping[str, str]] = {
        "drop_unfinished": "drop_stale",
        "leftover_reason": "stale_reason",
    }

    _traced = (
        *("read", "read_ranges", "read_into", "list"),
        *("write", "delete", "delete_files", "drop_empty", "rename"),
    )


class Stopwatch:
    """Measures one question, and tells the answer; it costs nothing while tracing is off."""

    def __init__(self, place: str, question: str) -> None:
        self._place, self._question = place, question
        self._began = time.perf_counter()

    def tell(self, answer: str | Exception) -> None:
        """Write the line; then begin anew, for a further answer to the same question."""
        if IS_ON:
            answer = answer if isinstance(answer, str) else _answer(answer)
            _write(self._place, self._question, answer, time.perf_counter() - self._began)
            self._began = time.perf_counter()


def _tell(place: str, question: str, answer: object, seconds: float) -> None:
    _write(place, question, _answer(answer), seconds)


def _write(place: str, question: str, answer: str, seconds: float) -> None:
    _LOG.info("%s: %s -> %s (%.1f ms)", place, question, answer, seconds * 1e3)


def _traced(method: Callable[..., Any]) -> Callable[..., Any]:
    @functools.wraps(method)
    def traced(self: Any, *arguments: Any, **options: Any) -> Any:
        question = _question(method.__name__.removeprefix("_"), arguments, options)
        began = time.perf_counter()
        try:
            answer = method(self, *arguments, **options)
        except Exception as error:
            _tell(_place(self), question, error, time.perf_counter() - began)
            raise
        if isinstance(answer, Iterator):
            return _each(answer, _place(self), question)
        _tell(_place(self), question, answer, time.perf_counter() - began)
        return answer

    return traced


def _each(items: Iterator[Any], place: str, question: str) -> Iterator[Any]:
    """Pass an iterator on; only what it does itself counts, not what is done with its items."""
    n_items, seconds, answer = 0, 0.0, ""
    try:
        while True:
            began = time.perf_counter()
            try:
                item = next(items)
            except StopIteration:
                return
            finally:
                seconds += time.perf_counter() - began
            n_items += 1
            yield item
    except Exception as error:
        answer = f", then {_answer(error)}"
        raise
    finally:
        _write(place, question, f"{n_items} items{answer}", seconds)


def _place(asked: Any) -> str:
    """Return the name of a frontend, else the place of a backend, as far as they are known yet."""
    for attribute in ("name", "place"):
        try:
            return str(getattr(asked, attribute))
        except Exception:  # noqa: BLE001, S112 - a storage plugin's fault is not for the trace to find
            continue
    return type(asked).__name__


def _question(verb: str, arguments: Iterable[Any], options: dict[str, Any]) -> str:
    told = [_shown(value) for value in arguments]
    told += [f"{name}={_shown(value)}" for name, value in options.items()]
    return f"{verb}({', '.join(told)})"


def _shown(value: Any) -> str:
    """Return what may be shown: names and numbers, of bytes only how many."""
    if isinstance(value, bytes | bytearray | memoryview):
        return f"{memoryview(value).nbytes} bytes"
    if isinstance(value, dict):
        return f"{len(value)} fields"
    if isinstance(value, list | tuple):
        more = [f"and {len(value) - _SHOWN_MAX} more"] if len(value) > _SHOWN_MAX else []
        return f"[{', '.join([*map(_shown, value[:_SHOWN_MAX]), *more])}]"
    if (
        is_dataclass(value)
        and not isinstance(value, type)
        and type(value).__str__ is object.__str__
    ):
        said = [(each.name, getattr(value, each.name)) for each in fields(value)]
        told = [f"{name}={_shown(one)}" for name, one in said if one]
        return f"{type(value).__name__}({', '.join(told)})"
    return repr(value) if isinstance(value, str) else str(value)


def _answer(value: object) -> str:
    if isinstance(value, BaseException):
        # Another's text may hold a secret.
        return f"{type(value).__name__}{f': {value}' if isinstance(value, StorageError) else ''}"
    return "done" if value is None else _shown(value)
