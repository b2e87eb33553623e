"""Compiling loops with numba. Importing this imports numba: do it inside functions."""

import logging
from collections.abc import Callable
from typing import Any, TypeVar, cast

from numba import cfunc, njit, types

Function = TypeVar("Function", bound=Callable[..., Any])
_uncached: list[str] = []


def compiled(*arguments: Any) -> Callable[[Function], Function]:
    """Compile a function for these argument types; without a cache on disk if none can be kept."""

    def compile_one(function: Function) -> Function:
        def with_cache(cache: bool) -> Any:  # noqa: FBT001 - as numba calls it
            return njit(arguments, nogil=True, error_model="numpy", cache=cache)(function)

        return cast("Function", _cached(with_cache))

    return compile_one


def compiled_at(*arguments: Any) -> Callable[[Callable[..., int]], Any]:
    """Compile a function that returns an int64, to be called at its ``address``."""
    signature = types.int64(*arguments)

    def compile_one(function: Callable[..., int]) -> Any:
        def with_cache(cache: bool) -> Any:  # noqa: FBT001
            return cfunc(signature, error_model="numpy", cache=cache)(function)

        return _cached(with_cache)

    return compile_one


def _cached(compiling: Callable[[bool], Any]) -> Any:
    try:
        return compiling(True)  # noqa: FBT003
    except (RuntimeError, OSError) as error:
        # numba has no error class of its own for "nowhere to keep a cache".
        if isinstance(error, RuntimeError) and "locator" not in str(error):
            raise
        _warn_once(error)
        return compiling(False)  # noqa: FBT003


def _warn_once(error: Exception) -> None:
    if not _uncached:
        logging.getLogger("strax_core").warning(
            "numba cannot keep its compiled code on disk, so every start takes seconds longer; "
            "set NUMBA_CACHE_DIR to a writable folder (%s)",
            error,
        )
    _uncached.append(str(error))
