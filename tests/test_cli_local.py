"""The command on directories."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from strax_core import cli


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
