import sys
from types import FrameType
from typing import Any

import numpy as np

from strax_core.chunks.copy_rows import as_plain

ROW = np.dtype([("time", "<i8"), ("name", "<U3"), ("wave", "<f4", (3,))])


def test_rows_are_seen_as_plain_bytes_of_the_same_memory() -> None:
    rows = np.zeros(4, ROW)
    plain = as_plain(rows)
    rows["time"] = 7

    assert plain.dtype == np.dtype(f"V{ROW.itemsize}")
    assert plain.tobytes() == rows.tobytes()
    assert np.shares_memory(plain, rows)


def test_no_python_of_numpy_is_called_in_which_an_interrupt_would_get_lost() -> None:
    rows, called = np.zeros(4, ROW), list[str]()

    def note(frame: FrameType, event: str, _: Any) -> None:
        if event == "call":
            called.append(frame.f_code.co_name)

    sys.setprofile(note)
    try:
        as_plain(rows)
    finally:
        sys.setprofile(None)

    assert "npy_ctypes_check" not in called
