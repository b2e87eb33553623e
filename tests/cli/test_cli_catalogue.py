"""The commands on a catalogue: check, rebuild, replicate."""

from pathlib import Path

import pytest

from strax_core import Context, cli
from strax_core.testing import sample_key, save_sample
from strax_local import LocalBackend, LocalOptions

SETTINGS = """
[storage.catalog]
frontend = "sql"
url = "sqlite:///catalog.db"
backends = ["disk", "hall"]

[storage.looked_at]
frontend = "sql"
url = "sqlite:///catalog.db"
backends = ["disk", "hall"]
readonly = true

[storage.plain]
frontend = "local"
path = "disk"

[backends.disk]
backend = "local"
path = "disk"

[backends.hall]
backend = "local"
path = "hall"

[context.any]
storage = ["catalog"]
"""
RUNS = [sample_key(f"run_{number}") for number in range(4)]


@pytest.fixture
def config(tmp_path: Path) -> str:
    """Settings of two directories; four pieces of data lie in the first, none is entered."""
    for name in ("disk", "hall"):
        (tmp_path / name).mkdir()
    for key in RUNS:
        save_sample(LocalBackend(LocalOptions(path=str(tmp_path / "disk"), fsync=False)), key)
    (tmp_path / "strax.toml").write_text(SETTINGS)
    return str(tmp_path / "strax.toml")


def strax(*arguments: str) -> int:
    return cli.main(arguments)


def is_found(config: str) -> list[bool]:
    context = Context.from_config("any", path=config)
    (frontend,) = context.storage
    found = [each is not None for each in frontend.find_several(RUNS)]
    frontend.database.close()  # type: ignore[attr-defined]
    return found


def test_a_rebuild_only_tells_until_it_is_asked_to_change(
    config: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert strax("catalog", "rebuild", "catalog", "--config", config) == 0
    told = capsys.readouterr().out
    assert told.count("is not entered") == 4
    assert "could be repaired: 4; `--yes` does it" in told
    assert not (Path(config).parent / "catalog.db").exists()

    assert strax("catalog", "rebuild", "catalog", "--config", config, "--yes") == 0
    assert is_found(config) == [True] * 4
    assert strax("catalog", "rebuild", "catalog", "--config", config, "--yes") == 0
    assert "nothing to repair" in capsys.readouterr().out


def test_a_check_ends_with_an_error_if_there_are_differences(
    config: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert strax("catalog", "rebuild", "catalog", "--config", config, "--yes") == 0
    assert strax("catalog", "check", "catalog", "--config", config) == 0
    assert "says what lies in the storage" in capsys.readouterr().out
    LocalBackend(LocalOptions(path=str(Path(config).parent / "disk"))).remove(RUNS[0].name)

    assert strax("catalog", "check", "catalog", "--config", config) == 1
    told = capsys.readouterr()
    assert f"disk/{RUNS[0].name}: entered, and is not there" in told.out
    assert "strax catalog rebuild" in told.err


def test_what_has_no_copy_there_is_replicated_once(
    config: str, capsys: pytest.CaptureFixture[str]
) -> None:
    strax("catalog", "rebuild", "catalog", "--config", config, "--yes")
    to_hall = ("replicate", "catalog", "--config", config, "--to", "hall")
    capsys.readouterr()

    assert strax(*to_hall, "--run", "run_[01]", "--dry-run") == 0
    assert "could be copied to hall: 2" in capsys.readouterr().out
    assert list((Path(config).parent / "hall").iterdir()) == []
    assert strax(*to_hall, "--run", "run_[01]", "--type", "peaks", "--workers", "2") == 0
    assert "copied to hall: 2 of 2" in capsys.readouterr().out
    assert strax(*to_hall) == 0
    assert "copied to hall: 2 of 2" in capsys.readouterr().out
    assert strax(*to_hall) == 0
    assert "copied to hall: 0 of 0" in capsys.readouterr().out
    names = {path.name for path in (Path(config).parent / "hall").iterdir()}
    assert {key.name for key in RUNS} <= names
    assert strax("catalog", "check", "catalog", "--config", config) == 0


def test_what_cannot_be_copied_is_told_and_the_rest_is_done(
    config: str, capsys: pytest.CaptureFixture[str]
) -> None:
    strax("catalog", "rebuild", "catalog", "--config", config, "--yes")
    folder = Path(config).parent / "disk" / RUNS[1].name
    for chunk in folder.glob("*-00000?"):
        chunk.write_bytes(b"rust")
    capsys.readouterr()

    assert strax("replicate", "catalog", "--config", config, "--to", "hall") == 1
    told = capsys.readouterr()
    assert "copied to hall: 3 of 4" in told.out
    assert "failed: 1 of 4" in told.err


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("catalog", "check", "plain"), "keeps no catalogue"),
        (("catalog", "rebuild", "looked_at", "--yes"), "read-only"),
        (("replicate", "looked_at", "--to", "hall"), "read-only"),
        (("replicate", "catalog", "--to", "cellar"), "cellar"),
        (("replicate", "plain", "--to", "main"), "keeps no catalogue"),
    ],
    ids=str,
)
def test_what_cannot_be_is_refused(
    arguments: tuple[str, ...], message: str, config: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert strax(*arguments, "--config", config) == 1
    assert message in capsys.readouterr().err


def test_the_doctor_tells_of_the_database_and_of_each_backend(
    config: str, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = Path(config).parent
    assert strax("doctor", "catalog", "--config", config) == 1
    assert "BAD catalog: file: " in capsys.readouterr().out
    assert not (folder / "catalog.db").exists()
    assert strax("catalog", "rebuild", "catalog", "--config", config, "--yes") == 0
    capsys.readouterr()
    assert strax("doctor", "catalog", "--config", config) == 0
    lines = [line.split(": ")[:2] for line in capsys.readouterr().out.splitlines()]

    labels = [f"ok  catalog/{name} ({folder / name})" for name in ("disk", "hall")]
    of_writing = ("write", "read", "read a part", "rename, never replacing", "delete", "leftovers")
    asked = ("file", "database", "latency", "journal", "tables", "contents", "copies")
    of_reading = [*(["ok  catalog", name] for name in asked), *([each, "list"] for each in labels)]
    assert lines == [
        *of_reading,
        ["ok  catalog", "write"],
        *([label, name] for label in labels for name in of_writing),
    ]
    assert strax("doctor", "looked_at", "--config", config) == 0
    told = capsys.readouterr().out.replace("looked_at", "catalog")
    assert [line.split(": ")[:2] for line in told.splitlines()] == of_reading
