"""The same data plugin for the real strax and for strax_core: one text, two base classes."""

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np

import strax_core

Rows = np.ndarray[Any, np.dtype[Any]]
Piece = tuple[int, int, Rows]  # start and end in ns, rows
TIMES = np.dtype([("time", "<i8"), ("endtime", "<i8")])


def rows_of(dtype: np.dtype[Any], times: Sequence[int], *, seed: int) -> Rows:
    """Return rows at these times, each 100 ns long, with random numbers and texts."""
    random = np.random.default_rng(seed)
    rows = np.zeros(len(times), dtype)
    for name in dtype.names or ():
        field = rows[name]
        if field.dtype.kind in "if" and field.dtype.names is None:
            field[...] = random.integers(-100, 100, field.shape)
        elif field.dtype.kind in "SU":
            field[...] = random.choice(["", "a", "bc"], field.shape)
    rows["time"] = times
    if "endtime" in (dtype.names or ()):
        rows["endtime"] = rows["time"] + 100
    else:
        rows["dt"], rows["length"] = 10, 10
    return rows


def source(
    package: ModuleType,
    pieces: Sequence[Piece],
    *,
    dtype: Any,
    name: str = "Things",
    fails_at: int | None = None,
    **attributes: Any,
) -> type:
    """Return a data plugin of this package that gives these chunks, with `zstd` as its codec."""

    def compute(self: Any, chunk_i: int) -> Any:
        if chunk_i == fails_at:
            raise ZeroDivisionError("the detector is on fire")
        start, end, rows = pieces[chunk_i]
        return self.chunk(start=start, end=end, data=rows)

    body: dict[str, Any] = {
        "__version__": "1.2",
        "depends_on": (),
        "provides": name.lower(),
        "data_kind": name.lower(),
        "dtype": np.dtype(dtype),
        "compressor": "zstd",
        "rechunk_on_save": False,
        "compute": compute,
        "is_ready": lambda self, chunk_i: chunk_i < len(pieces),  # noqa: ARG005
        "source_finished": lambda self: True,  # noqa: ARG005
    }
    return type(name, (package.Plugin,), body | attributes)


def made_from(
    package: ModuleType, needed: str, compute: Callable[..., Any], **attributes: Any
) -> type:
    """Return a data plugin that makes `results` from another data type, in rows of its dtype."""
    body: dict[str, Any] = {
        "__version__": "0.1",
        "depends_on": needed,
        "provides": "results",
        "data_kind": "results",
        "compressor": "zstd",
        "compute": compute,
    }
    return type("Results", (package.Plugin,), body | attributes)


def their_context(
    upstream: ModuleType,
    folder: Path,
    *data_plugins: type,
    config: Mapping[str, Any] | None = None,
    **options: Any,
) -> Any:
    """Return the real strax's context on a folder."""
    place = upstream.DataDirectory(str(folder), provide_run_metadata=True)
    return upstream.Context(
        storage=[place], register=list(data_plugins), config=dict(config or {}), **options
    )


def our_context(folder: Path, *data_plugins: type, **options: Any) -> strax_core.Context:
    """Return ours on the same folder, in codecs that both know; no waiting for the disk."""
    place = {"frontend": "local", "path": str(folder), "fsync": False, "for_upstream": True}
    return strax_core.Context([place], plugins=data_plugins, **options)
