"""Folders that were written once, by strax and by each format of ours, stay readable."""

import importlib
import json
import shutil
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest
from twins import Rows, our_context, source, their_context

import strax_core
from strax_core import ConfigError, DataNotAvailable
from strax_core.config.open import open_backend

GOLDEN = Path(__file__).resolve().parents[1] / "golden"
KEY = "run_7-things-6rymenyvbx"
METADATA = f"{KEY}/things-6rymenyvbx-metadata.json"
# Of the folders without a codec in their name, it is zstd.
BY_STRAX = {"": "zstd", "-blosc": "blosc", "-lz4": "lz4", "-bz2": "bz2"}
FOLDERS = [*(f"strax-2.2.3{ending}" for ending in BY_STRAX), "format-1"]
each_format = pytest.mark.parametrize("folder", FOLDERS)
DTYPE = np.dtype(
    [
        (("Start of the row", "time"), "<i8"),
        (("Number of samples", "length"), "<i4"),
        ("dt", "<i2"),
        (("Samples", "data"), "<i2", (10,)),
        ("big", ">f4"),
        ("text", "<U3"),
    ]
)
SPANS = [(0, 10**9, 3), (10**9, 2 * 10**9, 0), (2 * 10**9, 3 * 10**9, 2)]


def expected_rows() -> Rows:
    """Row k of five: its samples count up from 100 k; the last two are in the third second."""
    k = np.arange(5)
    rows = np.zeros(5, DTYPE)
    rows["time"] = 1000 * k + 2 * 10**9 * (k >= 3)
    rows["length"], rows["dt"] = 10, 20
    rows["data"] = 100 * k[:, np.newaxis] + np.arange(10)
    rows["big"] = k / 4
    rows["text"] = ["", "é", "éé", "ééé", ""]
    return rows


def class_for(package: ModuleType, **attributes: Any) -> type:
    """Return the data plugin whose key the folders have; it makes other rows, if it must."""
    other = expected_rows()[:1]
    made = source(package, [(0, 10**9, other)], dtype=DTYPE, **attributes)
    option = package.Option("gain", default={"a": (1, 2.5), "é": None})
    return package.takes_config(option)(made)  # type: ignore[no-any-return]


@pytest.fixture
def copied(tmp_path: Path) -> Callable[[str], Path]:
    return lambda folder: Path(shutil.copytree(GOLDEN / folder, tmp_path / folder))


def assert_expected(rows: Rows) -> None:
    assert rows.dtype.descr == DTYPE.descr
    assert rows.tobytes() == expected_rows().tobytes()


@each_format
def test_a_golden_folder_is_found_by_name_and_loads(folder: str) -> None:
    place = {"frontend": "local", "path": str(GOLDEN / folder), "readonly": True}
    context = strax_core.Context([place], plugins=[class_for(strax_core)])

    assert str(context.key_for("run_7", "things")) == KEY
    assert context.is_stored("run_7", "things")
    assert_expected(context.get_array("run_7", "things"))
    chunks = list(context.get_iter("run_7", "things"))
    assert [(chunk.start, chunk.end, chunk.n) for chunk in chunks] == SPANS
    assert_expected(np.frombuffer(b"".join(c.data.tobytes() for c in chunks), chunks[0].dtype))
    assert context.run_metadata("run_7") == {
        "name": "run_7",
        "number": 7,
        "strax_defaults": {"gain": 3},
        "comments": [{"comment": "é"}],
    }
    assert [run["name"] for run in context.scan_runs()] == ["run_7"]


@each_format
def test_a_golden_folder_loads_without_the_data_plugin(folder: str) -> None:
    backend = open_backend({"backend": "local", "path": str(GOLDEN / folder)})

    backend.verify(KEY)
    assert_expected(backend.loader(KEY).read_all())
    metadata = backend.get_metadata(KEY)
    assert metadata.lineage.as_json() == {
        "things": ["Things", "1.2", {"gain": {"a": [1, 2.5], "é": None}}]
    }
    assert metadata["lineage_hash"] == KEY.split("-")[2]


@each_format
def test_strax_loads_the_golden_folders(
    upstream: ModuleType, copied: Callable[[str], Path], folder: str
) -> None:
    theirs = their_context(upstream, copied(folder), class_for(upstream))

    rows = theirs.get_array("run_7", "things", progress_bar=False)
    assert rows.dtype.names == DTYPE.names
    assert rows.tobytes() == expected_rows().astype(rows.dtype).tobytes()
    assert theirs.run_metadata("run_7")["strax_defaults"] == {"gain": 3}


def test_the_golden_folders_are_what_they_are_called() -> None:
    for ending, codec in BY_STRAX.items():
        theirs = json.loads((GOLDEN / f"strax-2.2.3{ending}" / METADATA).read_text("ascii"))
        assert theirs["compressor"] == codec
        assert theirs["strax_version"] == "2.2.3"
        assert "format_version" not in theirs
    ours = json.loads((GOLDEN / "format-1" / METADATA).read_text("ascii"))

    assert (ours["strax_version"], ours["compressor"]) == ("2.2.3", "zstd")
    assert ours["format_version"] == 1
    assert ours["writer"]["host"] == "example"
    assert sum(path.stat().st_size for path in GOLDEN.rglob("*")) < 400_000


def contents(folder: Path) -> dict[str, bytes]:
    return {str(path): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


@pytest.fixture
def from_the_future(copied: Callable[[str], Path]) -> Path:
    folder = copied("format-1")
    document = json.loads((folder / METADATA).read_text("ascii"))
    text = json.dumps({**document, "format_version": 99})
    (folder / METADATA).write_text(text, "ascii")
    return folder


def test_a_newer_format_is_refused_with_the_way_out(from_the_future: Path) -> None:
    backend = open_backend({"backend": "local", "path": str(from_the_future)})
    context = our_context(from_the_future, class_for(strax_core))
    message = "format 99, .*reads up to 1.*newer strax-core"

    for ask in (backend.get_metadata, backend.loader, backend.verify):
        with pytest.raises(ConfigError, match=message):
            ask(KEY)
    for frontend in context.storage:
        with pytest.raises(ConfigError, match=message):
            frontend.find(context.key_for("run_7", "things"))
    with pytest.raises(DataNotAvailable, match=message):
        context.find("run_7", "things")


@pytest.mark.parametrize(
    "ask",
    [
        lambda context: context.make("run_7", "things"),
        lambda context: context.make("run_7", "things", again=True),
        lambda context: context.get_array("run_7", "things"),
        lambda context: list(context.get_iter("run_7", "things")),
    ],
    ids=["make", "make again", "get_array", "get_iter"],
)
def test_a_newer_format_is_not_replaced(
    from_the_future: Path, ask: Callable[[strax_core.Context], object]
) -> None:
    before = contents(from_the_future)

    with pytest.raises(ConfigError, match="format 99"):
        ask(our_context(from_the_future, class_for(strax_core)))
    after = contents(from_the_future)
    assert {path: after[path] for path in before} == before
    assert not [path for path in set(after) - set(before) if "/.staging/" not in path]


def test_the_script_still_makes_such_folders(
    upstream: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.syspath_prepend(str(GOLDEN))
    importlib.import_module("make_golden").main(tmp_path / "new")

    assert upstream.__version__ == "2.2.3"
    changing = {"data_id", "write_id", "writer", "writing_started", "writing_ended", "chunks"}
    for folder in FOLDERS:
        new = json.loads((tmp_path / "new" / folder / METADATA).read_text("ascii"))
        old = json.loads((GOLDEN / folder / METADATA).read_text("ascii"))
        assert set(new) == set(old)
        assert {k: new[k] for k in set(new) - changing} == {k: old[k] for k in set(old) - changing}
