import json
import pickle
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import strax_core as sc
from strax_core import cli
from strax_core.backend.backend import StorageBackend
from strax_core.config.open import open_storage
from strax_core.storage_plugins import registry
from strax_core.storage_plugins.registry import Registry

Run = Callable[..., tuple[int, str, str]]
PEAK = np.dtype([("time", "<i8"), ("endtime", "<i8")])
N_ROWS, N_CHUNKS, ROW_BYTES = 6, 2, 16


class Peaks(sc.Plugin):
    provides = "peaks"
    dtype = PEAK
    rechunk_on_save = False

    def chunks(self) -> Any:
        for start in (0, 30):
            rows = np.zeros(3, dtype=PEAK)
            rows["time"] = start + np.arange(3) * 10
            rows["endtime"] = rows["time"] + 5
            yield self.chunk(start=start, end=start + 30, data=rows)


@pytest.fixture
def run(capsys: pytest.CaptureFixture[str]) -> Run:
    """Run the command in this process; give exit code, output, errors."""

    def run_command(*arguments: str) -> tuple[int, str, str]:
        code = cli.main(arguments)
        captured = capsys.readouterr()
        return code, captured.out, captured.err

    return run_command


@pytest.fixture
def url(tmp_path: Path) -> str:
    return f"memory://{tmp_path.name}"


@pytest.fixture
def context(url: str) -> sc.Context:
    return sc.Context(url, plugins=[Peaks])


@pytest.fixture
def backend(url: str) -> StorageBackend:
    return open_storage(url).backends["main"]


def listed(run: Run, url: str) -> dict[str, Any]:
    code, output, _ = run("ls", url, "--json")
    assert code == 0
    contents: dict[str, Any] = json.loads(output)["backends"]["main"]
    return contents


def metadata_file(backend: StorageBackend, key: sc.DataKey) -> str:
    (name,) = [e.name for e in backend.list(key.name) if e.name.endswith("-metadata.json")]
    return f"{key.name}/{name}"


def open_saver(backend: StorageBackend, key: sc.DataKey) -> sc.Saver:
    metadata = {
        "run_id": key.run_id,
        "data_type": key.data_type,
        "data_kind": key.data_type,
        "dtype": repr(PEAK.descr),
        "lineage": key.lineage.as_json(),
        "compressor": "none",
    }
    return backend.saver(key.name, metadata)


def first_chunk(key: sc.DataKey) -> sc.Chunk:
    rows = np.array([(0, 5), (10, 15), (20, 25)], dtype=PEAK)
    return sc.Chunk(start=0, end=30, data=rows, run_id=key.run_id, data_type=key.data_type)


# plugins


def test_plugins_lists_what_core_brings(run: Run) -> None:
    code, output, _ = run("plugins")

    assert code == 0
    rows = [line.split()[:3] for line in output.splitlines()]
    assert ["backend", "memory", "strax-core"] in rows
    assert ["codec", "zstd", "strax-core"] in rows
    assert "memory://" in output


def test_plugins_gives_json(run: Run) -> None:
    _, output, _ = run("plugins", "--json")

    (memory,) = [line for line in json.loads(output) if line["name"] == "memory"]
    assert (memory["kind"], memory["schemes"], memory["error"]) == ("backend", ["memory"], None)


def test_plugins_shows_a_broken_storage_plugin_with_its_reason(
    run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Distribution:
        name, version = "strax-tape", "3.1"

    class Broken:
        name, dist = "tape", Distribution

        def load(self) -> None:
            raise ImportError("libtape.so\nis missing")

    monkeypatch.setattr(registry, "_default", [Registry([Broken()])])
    code, output, _ = run("plugins")

    assert code == 0
    assert "strax-tape 3.1: ImportError: libtape.so is missing" in output
    assert "memory" in output


def test_plugins_imports_nothing_heavy() -> None:
    code = "import sys; from strax_core.cli import main; main(['plugins']); print(*sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)

    loaded = set(done.stdout.splitlines()[-1].split())
    assert loaded & {"numba", "pandas", "boto3", "paramiko", "sqlalchemy", "rich"} == set()


# ls


def test_ls_shows_what_is_stored(
    run: Run, context: sc.Context, backend: StorageBackend, url: str
) -> None:
    context.make("run_1", "peaks")
    (piece,) = listed(run, url)["stored"]

    key = context.key_for("run_1", "peaks")
    assert piece["folder"] == key.name
    assert (piece["run_id"], piece["data_type"]) == ("run_1", "peaks")
    assert piece["lineage_hash"] == key.lineage_hash
    assert (piece["state"], piece["codec"]) == ("complete", "columns")
    assert (piece["rows"], piece["chunks"]) == (N_ROWS, N_CHUNKS)
    assert piece["nbytes"] == N_ROWS * ROW_BYTES
    files = [entry for entry in backend.list(key.name) if "metadata" not in entry.name]
    assert piece["stored_bytes"] == sum(entry.size_bytes for entry in files)


def test_ls_writes_a_table_and_the_runs_with_documents(
    run: Run, context: sc.Context, url: str
) -> None:
    context.make("run_1", "peaks")
    context.write_run_metadata("run_1", {"comment": "good"})
    _, output, _ = run("ls", url)

    (line,) = [line for line in output.splitlines() if "peaks" in line]
    words = ["run_1", "peaks", context.key_for("run_1", "peaks").lineage_hash, "complete", "6", "2"]
    assert line.split()[:6] == words
    assert "documents about runs: run_1" in output


def test_ls_of_an_empty_place_says_so(run: Run, url: str) -> None:
    code, output, _ = run("ls", url)

    assert code == 0
    assert "no data" in output


@pytest.mark.parametrize(
    ("raw", "reason"), [(b"{", "not JSON"), (b'{"format_version": 999}', "newer strax-core")]
)
def test_ls_goes_on_after_what_it_cannot_read(
    run: Run, context: sc.Context, backend: StorageBackend, url: str, raw: bytes, reason: str
) -> None:
    context.make(["run_1", "run_2"], "peaks")
    backend.write(metadata_file(backend, context.key_for("run_1", "peaks")), [raw])
    first, second = listed(run, url)["stored"]

    assert (first["state"], second["state"]) == ("unreadable", "complete")
    assert reason in first["reason"]
    assert reason in run("ls", url)[1]


def test_ls_shows_a_folder_without_metadata_as_unreadable(
    run: Run, context: sc.Context, backend: StorageBackend, url: str
) -> None:
    context.make("run_1", "peaks")
    backend.delete(metadata_file(backend, context.key_for("run_1", "peaks")))
    (piece,) = listed(run, url)["stored"]

    assert (piece["state"], piece["reason"]) == ("unreadable", "it has no metadata")


def test_ls_shows_failed_and_unfinished_data_of_strax(
    run: Run, context: sc.Context, backend: StorageBackend, url: str
) -> None:
    context.make(["run_1", "run_2"], "peaks")
    for run_id, change in (("run_1", {"exception": "Traceback\nValueError: bad"}), ("run_2", {})):
        path = metadata_file(backend, context.key_for(run_id, "peaks"))
        document = json.loads(backend.read(path)) | change
        del document["writing_ended"]
        backend.write(path, [json.dumps(document).encode()])
    backend.write("run_3-peaks-abcdefghij_temp/peaks-abcdefghij-000000_temp", [b"x"])
    failed, unfinished, temporary = listed(run, url)["stored"]

    assert (failed["state"], failed["reason"]) == ("failed", "ValueError: bad")
    assert unfinished["state"] == "unfinished"
    assert (temporary["state"], temporary["lineage_hash"]) == ("unfinished", "abcdefghij")


def test_ls_looks_at_the_files_where_metadata_do_not_say_their_size(
    run: Run, context: sc.Context, backend: StorageBackend, url: str
) -> None:
    context.make("run_1", "peaks")
    path = metadata_file(backend, context.key_for("run_1", "peaks"))
    document = json.loads(backend.read(path))
    sizes = [chunk.pop("filesize") for chunk in document["chunks"]]
    backend.write(path, [json.dumps(document).encode()])
    (piece,) = listed(run, url)["stored"]

    assert piece["stored_bytes"] == sum(sizes)


def test_ls_shows_a_writer_at_work_and_how_far_it_is(
    run: Run, context: sc.Context, backend: StorageBackend, url: str
) -> None:
    key = context.key_for("run_1", "peaks")
    with open_saver(backend, key) as saver:
        saver.save(first_chunk(key), 0)
        saver._journal._write_segment()  # at once, instead of with the next beat
        contents = listed(run, url)
        _, output, _ = run("ls", url)

    (writer,) = contents["writers"]
    assert contents["stored"] == []
    assert (writer["folder"], writer["data_type"]) == (key.name, "peaks")
    assert (writer["chunks"], writer["rows"], writer["nbytes"]) == (1, 3, 3 * ROW_BYTES)
    assert f"being written: {key.name}" in output
    assert listed(run, url)["writers"] == []


def test_ls_shows_why_a_save_failed(
    run: Run, context: sc.Context, backend: StorageBackend, url: str
) -> None:
    key = context.key_for("run_1", "peaks")
    open_saver(backend, key).abort(sc.StorageFull("no space left"))
    contents = listed(run, url)

    assert contents["stored"] == []
    assert [note["folder"] for note in contents["failures"]] == [key.name]
    assert contents["failures"][0]["reason"].endswith("StorageFull: no space left")


# clean


@pytest.fixture
def dead_writer(context: sc.Context, backend: StorageBackend) -> str:
    """Leave what a writer leaves that dies; give the folder of its ticket."""
    saver = open_saver(backend, context.key_for("run_1", "peaks"))
    saver._journal.close()
    return saver.staging.folder


def test_clean_only_lists_unless_told_to_remove(
    run: Run, backend: StorageBackend, url: str, dead_writer: str
) -> None:
    code, output, _ = run("clean", url, "--grace-s", "1e-9")

    assert code == 0
    assert f"{dead_writer}: a writer that never committed" in output
    assert "--yes" in output
    assert list(backend.list(dead_writer))


def test_clean_removes_with_yes(
    run: Run, backend: StorageBackend, url: str, dead_writer: str
) -> None:
    code, output, _ = run("clean", url, "--grace-s", "1e-9", "--yes")

    assert (code, output.splitlines()[-1]) == (0, "removed: 1")
    assert list(backend.list(dead_writer)) == []


def test_what_clean_could_not_look_for_is_told_after_all_that_it_did(
    monkeypatch: pytest.MonkeyPatch,
    run: Run,
    context: sc.Context,
    backend: StorageBackend,
    url: str,
    dead_writer: str,
) -> None:
    def denied(_: StorageBackend, *, before_ns: int, dry_run: bool) -> Iterator[str]:
        assert before_ns
        yield f"of a dead writer {dry_run}"
        raise sc.AccessDenied("you may not look")

    monkeypatch.setattr(sc.MemoryBackend, "drop_stale", denied)
    with pytest.raises(sc.CleanedInPart, match="you may not look") as caught:
        context.clean(context.storage[0], grace_s=1e-9)
    assert [each.path for each in caught.value.leftovers] == [dead_writer, "of a dead writer True"]
    assert str(pickle.loads(pickle.dumps(caught.value))) == str(caught.value)  # noqa: S301 - ours
    code, output, errors = run("clean", url, "--grace-s", "1e-9", "--yes")

    assert code == 1
    assert output.splitlines()[-1] == "removed: 2"
    assert "all else was cleaned, but not an upload that never ended" in errors
    assert "you may not look" in errors
    assert list(backend.list(dead_writer)) == []


@pytest.mark.usefixtures("dead_writer")
def test_clean_waits_for_the_grace_time_of_the_place(run: Run, url: str) -> None:
    assert "nothing to clean" in run("clean", url, "--yes")[1]


def test_clean_removes_nothing_from_a_place_that_is_read_only(
    run: Run, backend: StorageBackend, url: str, dead_writer: str, tmp_path: Path
) -> None:
    config = tmp_path / "strax.toml"
    memory = url.removeprefix("memory://")
    config.write_text(
        f'[storage.fixed]\nfrontend = "memory"\nplace = "{memory}"\nreadonly = true\n'
    )
    code, _, errors = run("clean", "fixed", "--config", str(config), "--grace-s", "1e-9", "--yes")

    assert code == 1
    assert "read-only" in errors
    assert list(backend.list(dead_writer))


# errors


def test_an_error_is_one_line_without_a_traceback(run: Run) -> None:
    code, output, errors = run("ls", "nosuch://place")

    assert (code, output) == (1, "")
    assert errors.startswith("strax: error: no storage plugin serves 'nosuch://'")
    assert len(errors.splitlines()) == 1


@pytest.mark.parametrize("arguments", [("--debug", "ls", "no://x"), ("ls", "no://x", "--debug")])
def test_debug_shows_where_an_error_arose(arguments: tuple[str, ...]) -> None:
    with pytest.raises(sc.ConfigError):
        cli.main(arguments)


def test_an_unexpected_error_is_called_so(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(**_: object) -> None:
        raise KeyError("oh")

    monkeypatch.setattr("strax_core.cli.plugins.list_plugins", fail)
    code, _, errors = run("plugins")

    assert code == 1
    assert errors == "strax: error: unexpected KeyError: 'oh' (--debug shows where)\n"


def test_ctrl_c_ends_with_130(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupt(**_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("strax_core.cli.plugins.list_plugins", interrupt)

    assert run("plugins")[0] == 130


@pytest.mark.parametrize(
    "arguments", [(), ("list",), ("ls",), ("clean", "x", "--grace-s", "0"), ("demo", "--size", "a")]
)
def test_wrong_usage_ends_with_2(arguments: tuple[str, ...]) -> None:
    with pytest.raises(SystemExit) as ended:
        cli.main(arguments)

    assert ended.value.code == 2


def test_the_demo_says_how_to_get_it_if_it_is_not_installed(
    run: Run, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setitem(sys.modules, "strax_demo", None)  # as if it were not there
    code, output, errors = run("demo", "--folder", str(tmp_path / "demo"))

    assert (code, output) == (1, "")
    assert errors == (
        "strax: error: the demo is a package of its own, which is not installed: "
        "`pip install strax-demo`\n"
    )
    assert not (tmp_path / "demo").exists()


@pytest.fixture
def demo_folder(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """Make a folder that an import of the demo's package finds instead of the real one."""
    monkeypatch.setitem(sys.modules, "strax_demo", None)
    del sys.modules["strax_demo"]  # the line before lets it be, after the test, as it was
    others = [each for each in sys.path if not Path(each, "strax_demo", "__init__.py").exists()]
    monkeypatch.setattr(sys, "path", [str(tmp_path), *others])
    folder = tmp_path / "strax_demo"
    folder.mkdir()
    return folder


def test_the_folder_of_an_earlier_demo_is_not_taken_for_its_package(
    run: Run, demo_folder: Path
) -> None:
    code, _, errors = run("demo", "--folder", str(demo_folder))

    assert code == 1
    assert "`pip install strax-demo`" in errors


def test_the_help_of_the_demo_is_there_without_it(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setitem(sys.modules, "strax_demo", None)
    with pytest.raises(SystemExit) as ended:
        cli.main(["demo", "--help"])

    assert ended.value.code == 0
    assert "--upstream" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("line", "complaint"),
    [
        ("import no_such_package", "No module named 'no_such_package'"),
        ("from strax_demo import no_such_part", "cannot import name 'no_such_part'"),
    ],
)
def test_what_is_missing_in_an_installed_demo_is_told(
    line: str, complaint: str, run: Run, demo_folder: Path
) -> None:
    (demo_folder / "__init__.py").write_text(line)
    code, _, errors = run("demo", "--folder", str(demo_folder))

    assert code == 1
    assert complaint in errors
    assert "strax-demo" not in errors


def test_version_is_that_of_the_package(capsys: pytest.CaptureFixture[str]) -> None:
    from importlib.metadata import version

    with pytest.raises(SystemExit) as ended:
        cli.main(["--version"])

    assert ended.value.code == 0
    assert capsys.readouterr().out == f"strax-core {version('strax-core')}\n"
