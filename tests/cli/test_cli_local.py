"""The command on directories."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from strax_core import cli
from strax_core.testing import sample_key, save_sample
from strax_local.backend import LocalBackend
from strax_local.options import LocalOptions


@pytest.fixture
def config(tmp_path: Path) -> Path:
    file = tmp_path / "strax.toml"
    file.write_text('[storage.scratch]\nfrontend = "local"\npath = "./data"\n', encoding="utf-8")
    return file


def errors_of(*arguments: str, capsys: pytest.CaptureFixture[str]) -> str:
    assert cli.main(arguments) == 1
    return capsys.readouterr().err


@pytest.mark.parametrize("command", [("ls",), ("clean",), ("clean", "--yes")])
@pytest.mark.parametrize("form", ["{}", "file://{}"])
def test_a_mistyped_directory_is_an_error_and_is_not_made(
    command: tuple[str, ...], form: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    missing = tmp_path / "missing"
    errors = errors_of(*command, form.format(missing), capsys=capsys)

    assert str(missing) in errors
    assert not missing.exists()


def test_a_place_named_in_the_settings_is_listed(
    config: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (config.parent / "data").mkdir()

    assert cli.main(["ls", "scratch", "--config", str(config)]) == 0
    assert f"scratch = {config.parent / 'data'}" in capsys.readouterr().out


def test_a_mistyped_name_gets_a_hint(config: Path, capsys: pytest.CaptureFixture[str]) -> None:
    errors = errors_of("ls", "scrach", "--config", str(config), capsys=capsys)

    assert "did you mean 'scratch'?" in errors


@pytest.mark.parametrize("command", [("ls",), ("clean", "--yes")])
def test_a_name_that_is_also_another_directory_here_is_refused(
    command: tuple[str, ...],
    config: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    for name in ("scratch", "data"):
        (config.parent / name).mkdir()
    monkeypatch.chdir(config.parent)
    errors = errors_of(*command, "scratch", capsys=capsys)

    assert (
        f"'scratch' is a place in {config}, and another directory here: write ./scratch" in errors
    )
    assert cli.main([*command, "./scratch"]) == 0
    assert str(config.parent / "scratch") in capsys.readouterr().out
    assert cli.main([*command, "scratch", "--config", str(config)]) == 0
    monkeypatch.setenv("STRAX_CONFIG", str(config))
    assert cli.main([*command, "scratch"]) == 0


def test_a_name_of_just_this_directory_has_one_meaning(
    config: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (config.parent / "data").mkdir()
    (config.parent / "scratch").symlink_to("data")
    monkeypatch.chdir(config.parent)

    assert cli.main(["ls", "scratch"]) == 0


def test_a_bare_name_is_also_a_directory(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "strax_data").mkdir()
    monkeypatch.chdir(tmp_path)

    assert cli.main(["ls", "strax_data"]) == 0
    assert str(tmp_path / "strax_data") in capsys.readouterr().out


def test_an_empty_directory_has_nothing_to_clean(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert cli.main(["clean", str(tmp_path), "--yes"]) == 0
    assert "nothing to clean" in capsys.readouterr().out


def test_the_installed_command_runs_and_bears_a_reader_that_leaves() -> None:
    command = shutil.which("strax", path=Path(sys.executable).parent)
    assert command is not None
    reading, writing = os.pipe()
    os.close(reading)
    try:
        done = subprocess.run(
            [command, "plugins"], stdout=writing, stderr=subprocess.PIPE, text=True, check=False
        )
    finally:
        os.close(writing)

    assert (done.returncode, done.stderr) == (1, "")


def test_data_behind_a_link_are_rewritten_only_if_their_run_is_named(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    place, disk = tmp_path / "place", tmp_path / "disk"
    place.mkdir()
    key = sample_key("run_1")
    backend = LocalBackend(LocalOptions(path=str(place), fsync=False))
    save_sample(backend, key)
    (place / key.name).rename(disk)
    (place / key.name).symlink_to(disk)
    before = {path: path.read_bytes() for path in disk.iterdir()}
    errors = errors_of("recompress", str(place), "--compressor", "zstd", capsys=capsys)

    assert f"{key.name} is passed over: it is a link; name its run, run_1" in errors
    assert {path: path.read_bytes() for path in disk.iterdir()} == before
    assert cli.main(["recompress", str(place), "--compressor", "zstd", "--run", "run_1"]) == 0
    assert (place / key.name).is_symlink()
    assert backend.get_metadata(key.name).compressor == "zstd"
    backend.verify(key.name)


def test_clean_shows_what_it_leaves(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / ".staging").mkdir()
    (tmp_path / ".staging" / "notes.txt").write_text("mine")
    (tmp_path / ".staging" / "tmp-0123456789abcdef").write_text("ours")
    for path in (tmp_path / ".staging").iterdir():
        os.utime(path, (0, 0))

    assert cli.main(["clean", str(tmp_path), "--yes"]) == 0
    said = capsys.readouterr().out
    assert f"{tmp_path}/.staging/notes.txt: left alone: nothing that a writer made\n" in said
    assert said.endswith("removed: 1\n")
    assert [path.name for path in (tmp_path / ".staging").iterdir()] == ["notes.txt"]
