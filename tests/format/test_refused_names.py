"""Names that would leave their place, or that no folder can have, are refused."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from twins import TIMES, our_context, rows_of, source

import strax_core
from strax_core import ConfigError, DataCorrupted, DataKey, Lineage, StorageError

BAD_RUNS = [
    "../x",
    "a/b",
    "a-b",
    "..",
    ".",
    "",
    "/x",
    "a\\b",
    "a\n",
    "a_temp",
    "_superrun",
    "x" * 101,
]
BAD_FILES = [
    "../outside",
    "/outside",
    "..",
    "a/../../outside",
    "a/b/c",
    "",
    "a\\b",
    "x\x00",
    "./x",
    "\udcff",
]
each_bad_run = pytest.mark.parametrize("run_id", BAD_RUNS)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Return the place of the data, two folders below what the tests watch."""
    (tmp_path / "around" / "data").mkdir(parents=True)
    return tmp_path / "around" / "data"


def everything_in(folder: Path) -> dict[str, bytes | None]:
    return {
        str(path): path.read_bytes() if path.is_file() else None
        for path in folder.parent.parent.rglob("*")
    }


def context_on(folder: Path, rows: int = 3) -> strax_core.Context:
    piece = (0, 10**9, rows_of(TIMES, range(rows), seed=0))
    return our_context(folder, source(strax_core, [piece], dtype=TIMES), use_per_run_defaults=True)


ASK: dict[str, Callable[[strax_core.Context, str], Any]] = {
    "make": lambda context, run: context.make(run, "things"),
    "make several": lambda context, run: context.make([run], "things"),
    "get_array": lambda context, run: context.get_array(run, "things"),
    "get_iter": lambda context, run: context.get_iter(run, "things"),
    "key_for": lambda context, run: context.key_for(run, "things"),
    "lineage": lambda context, run: context.lineage(run, "things"),
    "find": lambda context, run: context.find(run, "things"),
    "is_stored": lambda context, run: context.is_stored(run, "things"),
    "get_metadata": lambda context, run: context.get_metadata(run, "things"),
    "run_metadata": lambda context, run: context.run_metadata(run),
    "write_run_metadata": lambda context, run: context.write_run_metadata(run, {"number": 7}),
    "frontend's run_metadata": lambda context, run: context.storage[0].run_metadata(run),
    "frontend's write_run_metadata": lambda context, run: context.storage[0].write_run_metadata(
        run, {"number": 7}
    ),
    "DataKey": lambda context, run: DataKey(run, "things", context.lineage("run_7", "things")),
}


@pytest.mark.weakness("W29")
@each_bad_run
@pytest.mark.parametrize("ask", ASK.values(), ids=ASK.keys())
def test_a_run_id_that_cannot_be_a_name_is_refused(
    folder: Path, run_id: str, ask: Callable[[strax_core.Context, str], Any]
) -> None:
    context = context_on(folder)
    before = everything_in(folder)

    with pytest.raises(ConfigError, match="run id"):
        ask(context, run_id)
    assert everything_in(folder) == before


@pytest.mark.parametrize("run_id", [7, None, b"run_7", ("run_7",)])
def test_a_run_id_that_is_no_text_is_refused(folder: Path, run_id: Any) -> None:
    context = context_on(folder)

    for ask in (context.key_for, context.is_stored):
        with pytest.raises(ConfigError, match="give a str"):
            ask(run_id, "things")
    with pytest.raises(ConfigError, match="give a str"):
        context.run_metadata(run_id)
    for several in ([7], (None,), [b"run_7"], *(() if isinstance(run_id, tuple) else (run_id,))):
        with pytest.raises(ConfigError, match="give a str"):
            context.get_array(several, "things")


@pytest.mark.parametrize("name", ["../x", "a/b", "a-b", ".x", "a_temp", "a\\b"])
def test_a_data_type_that_cannot_be_a_name_is_refused(folder: Path, name: str) -> None:
    context = context_on(folder)
    before = everything_in(folder)
    badly_named = source(strax_core, [], dtype=TIMES, provides=name)

    with pytest.raises(ConfigError, match="data type"):
        context.register(badly_named)
    with pytest.raises(ConfigError, match="data type"):
        DataKey("run_7", name, Lineage({name: ("Things", "1", {})}))
    with pytest.raises(ConfigError, match=r"no registered data plugin makes"):
        context.get_array("run_7", name)
    assert everything_in(folder) == before


@pytest.mark.parametrize("filename", BAD_FILES)
def test_metadata_that_name_a_file_elsewhere_are_refused(folder: Path, filename: str) -> None:
    context = context_on(folder)
    context.make("run_7", "things")
    data = folder / str(context.key_for("run_7", "things"))
    (path,) = data.glob("*-metadata.json")
    document = json.loads(path.read_text("ascii"))
    chunk = document["chunks"][0]
    (folder.parent / "outside").write_bytes((data / chunk["filename"]).read_bytes())
    chunk["filename"] = filename
    path.write_text(json.dumps(document), "ascii")
    before = everything_in(folder)

    (frontend,) = context.storage
    (backend,) = frontend.backends.values()
    key = context.key_for("run_7", "things")
    for ask in (
        lambda: backend.get_metadata(key.name),
        lambda: backend.loader(key.name).read_all(),
        lambda: frontend.find(key),
        lambda: frontend.loader(key),
    ):
        with pytest.raises(DataCorrupted, match="names the file"):
            ask()
    with pytest.raises(StorageError, match="names the file"):
        context.find("run_7", "things")
    assert not context.is_stored("run_7", "things")
    assert everything_in(folder) == before


def test_replacing_metadata_that_name_files_elsewhere_leaves_those_alone(folder: Path) -> None:
    context = context_on(folder)
    context.make("run_7", "things")
    data = folder / str(context.key_for("run_7", "things"))
    (path,) = data.glob("*-metadata.json")
    document = json.loads(path.read_text("ascii"))
    outside = folder.parent / "outside"
    outside.write_bytes(b"mine")
    document["chunks"][0]["filename"] = "../../outside"
    path.write_text(json.dumps(document), "ascii")

    context.make("run_7", "things")

    assert outside.read_bytes() == b"mine"
    assert np.array_equal(context.get_array("run_7", "things")["time"], [0, 1, 2])
    assert sorted(item.name for item in folder.parent.iterdir()) == ["data", "outside"]


def test_metadata_of_another_run_under_this_name_are_not_taken(folder: Path) -> None:
    context = context_on(folder)
    context.make("run_7", "things")
    key = str(context.key_for("run_7", "things"))
    (folder / key).rename(folder / key.replace("run_7", "run_8"))

    assert not context.is_stored("run_8", "things")
    assert not context.is_stored("run_7", "things")


@pytest.mark.weakness("W29")
@pytest.mark.parametrize("path", ["../outside", "/outside", "a/../../outside", ""])
def test_a_backend_reads_and_writes_nothing_outside(folder: Path, path: str) -> None:
    (backend,) = context_on(folder).storage[0].backends.values()
    (folder.parent / "outside").write_bytes(b"mine")
    backend.write("inside/x", [b"1"])
    before = everything_in(folder)

    for ask in (
        lambda: backend.read(path),
        lambda: backend.read_ranges(path, [(0, 1)]),
        lambda: backend.read_into(path, memoryview(bytearray(1))),
        lambda: backend.write(path, [b"2"]),
        lambda: backend.delete(path),
        lambda: backend.rename("inside", path),
        lambda: backend.rename(path, "inside/y"),
        lambda: backend.get_metadata(path),
    ):
        with pytest.raises(StorageError):
            ask()
    assert everything_in(folder) == before
