import io
import os
import re
import sys
import termios
import threading
from collections.abc import Iterator
from types import SimpleNamespace

import numpy as np
import pytest
from tqdm.std import TqdmDefaultWriteLock

from strax_core import Chunk
from strax_core.processing.progress_bar import _bar_class, progress

SECOND = 10**9
START = 1_600_000_000 * SECOND


def chunks_of_1_s(n: int, first: int = 0) -> Iterator[Chunk]:
    rows = np.zeros(0, [("time", "<i8"), ("endtime", "<i8")])
    for i in range(first, first + n):
        yield Chunk(START + i * SECOND, START + (i + 1) * SECOND, rows, "7", "peaks")


def last_line(text: str) -> str:
    return re.split(r"[\r\n]", text.rstrip())[-1]


def test_the_chunks_are_the_same_and_in_order(capsys: pytest.CaptureFixture[str]) -> None:
    chunks = list(chunks_of_1_s(3))

    assert list(progress(iter(chunks), show=True, title="peaks")) == chunks
    assert "peaks" in capsys.readouterr().err


def test_the_part_of_the_span_that_has_come_is_shown(capsys: pytest.CaptureFixture[str]) -> None:
    span = (START, START + 4 * SECOND)
    for _ in progress(chunks_of_1_s(3), show=True, title="run 7", span_ns=span):
        pass
    shown, out = capsys.readouterr().err, capsys.readouterr().out

    assert last_line(shown).startswith("run 7:  75%|")
    assert "| 3.0/4.0 s [" in last_line(shown)
    assert "3 chunks" in last_line(shown)
    assert out == ""


def test_chunks_beyond_the_span_do_not_give_more_than_all(
    capsys: pytest.CaptureFixture[str],
) -> None:
    list(progress(chunks_of_1_s(3), show=True, title="t", span_ns=(START, START + SECOND)))

    assert "100%|" in last_line(capsys.readouterr().err)


def test_chunks_before_the_span_count_nothing(capsys: pytest.CaptureFixture[str]) -> None:
    span = (START + 5 * SECOND, START + 9 * SECOND)
    list(progress(chunks_of_1_s(1), show=True, title="t", span_ns=span))

    assert "  0%|" in last_line(capsys.readouterr().err)


@pytest.mark.parametrize("span", [None, (START, START)])
def test_without_a_span_the_seconds_of_data_are_counted(
    span: tuple[int, int] | None, capsys: pytest.CaptureFixture[str]
) -> None:
    list(progress(chunks_of_1_s(3, first=1), show=True, title="t", span_ns=span))

    shown = last_line(capsys.readouterr().err)
    assert shown.startswith("t: 3.0 s [")


def test_nothing_is_shown_and_nothing_wrapped_if_it_is_turned_off(
    capsys: pytest.CaptureFixture[str],
) -> None:
    chunks = chunks_of_1_s(1)

    assert progress(chunks, show=False, title="t") is chunks
    assert capsys.readouterr().err == ""


def test_a_bar_is_shown_on_a_terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    ours, theirs = os.openpty()
    termios.tcsetwinsize(theirs, (25, 80))
    with os.fdopen(theirs, "w") as terminal:
        monkeypatch.setattr(sys, "stderr", terminal)
        list(progress(chunks_of_1_s(1), show=None, title="on a terminal"))
        shown = os.read(ours, 10_000).decode()
    os.close(ours)

    assert "on a terminal" in shown


@pytest.mark.parametrize("stderr", [io.StringIO(), None])
def test_no_bar_is_shown_where_nobody_looks(
    stderr: io.StringIO | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "stderr", stderr)
    chunks = chunks_of_1_s(1)

    assert progress(chunks, show=None, title="t") is chunks


@pytest.mark.parametrize(
    ("shell", "is_shown"),
    [(SimpleNamespace(kernel=object()), True), (SimpleNamespace(), False), (None, False)],
)
def test_a_bar_is_shown_in_a_notebook(
    shell: object, *, is_shown: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "stderr", io.StringIO())
    monkeypatch.setitem(sys.modules, "IPython", SimpleNamespace(get_ipython=lambda: shell))
    chunks = chunks_of_1_s(1)

    assert (progress(chunks, show=None, title="t") is not chunks) is is_shown


def test_leaving_half_way_closes_the_bar_and_the_chunks(
    capsys: pytest.CaptureFixture[str],
) -> None:
    closed = []

    def chunks() -> Iterator[Chunk]:
        try:
            yield from chunks_of_1_s(3)
        finally:
            closed.append(True)

    shown = progress(source := chunks(), show=True, title="t")
    next(shown)
    shown.close()  # type: ignore[attr-defined] # it is a generator

    assert closed == [True]
    assert list(source) == []
    assert capsys.readouterr().err.endswith("\n")


def test_an_error_passes_and_closes_the_bar(capsys: pytest.CaptureFixture[str]) -> None:
    def chunks() -> Iterator[Chunk]:
        yield from chunks_of_1_s(1)
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError) as caught:
        list(progress(chunks(), show=True, title="t"))

    assert caught.traceback  # it keeps the bar alive, which tqdm closes when it is deleted
    assert capsys.readouterr().err.endswith("\n")


def test_a_bar_leaves_no_thread_and_no_lock_of_processes_behind() -> None:
    before = threading.active_count()
    shown = progress(chunks_of_1_s(2), show=True, title="t")
    next(shown)

    assert threading.active_count() == before
    assert len(list(shown)) == 1
    assert not isinstance(_bar_class().get_lock(), TqdmDefaultWriteLock)
