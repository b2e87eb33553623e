"""Compiled loops: kept on disk where that is possible."""

from typing import Any

import pytest

from strax_core.codecs.columns.kernels import compiling


def test_without_a_place_for_its_cache_numba_still_compiles_and_warns_once(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def no_place(*_: object, cache: bool = False, **__: object) -> Any:
        if cache:
            raise RuntimeError("cannot cache function 'f': no locator available for file 'f.py'")
        return lambda function: function

    monkeypatch.setattr(compiling, "njit", no_place)
    monkeypatch.setattr(compiling, "_uncached", [])
    functions = [compiling.compiled()(abs) for _ in range(3)]

    assert functions == [abs] * 3
    assert [record.name for record in caplog.records] == ["strax_core"]


def test_other_errors_of_the_compiler_are_not_hidden(monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(*_: object, **__: object) -> Any:
        raise RuntimeError("out of registers")

    monkeypatch.setattr(compiling, "njit", broken)
    with pytest.raises(RuntimeError, match="registers"):
        compiling.compiled()(abs)
