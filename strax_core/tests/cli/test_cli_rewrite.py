"""``strax rechunk`` and ``strax recompress``."""

import json
from collections.abc import Callable
from pathlib import Path

import pytest
from small_plugins import N_CHUNKS, N_ROWS, RECORDS, ROW, Peaks, Records

import strax_core as sc
from strax_core import cli

Run = Callable[..., tuple[int, str, str]]
CHUNK_MB = str(2 * N_ROWS * ROW.itemsize / 1e6)


@pytest.fixture
def run(capsys: pytest.CaptureFixture[str]) -> Run:
    def run_command(*arguments: str) -> tuple[int, str, str]:
        code = cli.main(arguments)
        captured = capsys.readouterr()
        return code, captured.out, captured.err

    return run_command


@pytest.fixture
def url(tmp_path: Path) -> str:
    """A place with records and peaks of two runs."""
    place = f"memory://{tmp_path.name}"
    context(place).make(["7", "8"], ["records", "peaks"])
    return place


def context(*places: str) -> sc.Context:
    return sc.Context(list(places), plugins=[Records, Peaks])


def codecs(place: str) -> dict[str, str]:
    ctx = context(place)
    return {
        f"{run_id} {data_type}": ctx.get_metadata(run_id, data_type).compressor
        for run_id in ("7", "8")
        for data_type in ("records", "peaks")
        if ctx.is_stored(run_id, data_type)
    }


def test_the_runs_and_types_that_are_named_get_another_codec(run: Run, url: str) -> None:
    before = codecs(url)
    code, out, err = run(
        *("recompress", url, "--compressor", "bz2", "--run", "[67]", "--type", "rec*", "peaks")
    )

    assert code == 0
    assert codecs(url) == before | {"7 records": "bz2", "7 peaks": "bz2"}
    assert out.splitlines()[-1].startswith("2 rewritten: ")
    assert [line.split()[0] for line in err.splitlines()] == ["[1/2]", "[2/2]"]
    assert context(url).get_array("7", "records")["x"].tolist() == RECORDS.tolist()
    code, out, _ = run("recompress", url, "--compressor", "bz2", "--workers", "1")
    assert code == 0
    assert out.splitlines()[-1].startswith("2 rewritten, 2 as wanted already: ")


def test_chunks_of_another_size_can_be_kept_elsewhere(run: Run, url: str, tmp_path: Path) -> None:
    there = f"memory://{tmp_path.name}-there"
    code, out, _ = run("rechunk", url, "--chunk-size-mb", CHUNK_MB, "--to", there, "--json")
    told = json.loads(out)

    assert code == 0
    assert len(context(url).get_metadata("7", "records").chunks) == N_CHUNKS
    assert len(context(there).get_metadata("7", "records").chunks) == N_CHUNKS // 2
    assert [piece["outcome"] for piece in told["pieces"]] == ["rewritten"] * 4
    assert {(p["chunks_before"], p["chunks_after"]) for p in told["pieces"]} == {(4, 2)}
    code, out, _ = run("rechunk", url, "--chunk-size-mb", CHUNK_MB, "--to", there)
    assert code == 0
    assert out.splitlines()[-1].startswith("4 there already: ")


def test_a_dry_run_changes_nothing(run: Run, url: str) -> None:
    before = codecs(url)
    code, out, _ = run("recompress", url, "--compressor", "bz2", "--dry-run")

    assert code == 0
    assert codecs(url) == before
    assert out.splitlines()[-1].startswith("4 to be rewritten: ")


def test_what_cannot_be_read_is_told_and_all_else_is_done(run: Run, url: str) -> None:
    ctx = context(url)
    found = ctx.find("7", "records")
    chunk = found.metadata.chunks[1]
    backend = ctx.storage[0].backends["main"]
    backend.write(f"{found.location.backend_key}/{chunk.filename}", [b"not the rows"])
    code, out, err = run("recompress", url, "--compressor", "bz2")

    assert code == 1
    assert "chunk 1" in out
    assert err.splitlines()[-1] == "strax: error: failed: 1 of 4, the rest is done"
    assert codecs(url)["8 records"] == codecs(url)["7 peaks"] == "bz2"
    assert codecs(url)["7 records"] != "bz2"


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("--compressor", "bz"), "did you mean 'bz2'"),
        (("--compressor", "bz2", "--run", "77"), "no complete data of what was named"),
        (("--compressor", "bz2", "--to", "nowhere"), "'nowhere' is no directory"),
    ],
)
def test_what_cannot_be_done_is_an_error(
    run: Run, url: str, arguments: tuple[str, ...], message: str
) -> None:
    code, _, err = run("recompress", url, *arguments)

    assert code == 1
    assert message in err


def test_a_place_that_is_read_only_is_not_changed(run: Run, url: str, tmp_path: Path) -> None:
    settings = tmp_path / "strax.toml"
    name = url.removeprefix("memory://")
    settings.write_text(f'[storage.here]\nfrontend = "memory"\nplace = "{name}"\nreadonly = true\n')
    before = codecs(url)
    code, _, err = run("recompress", "here", "--compressor", "bz2", "--config", str(settings))

    assert code == 1
    assert "read-only" in err
    assert codecs(url) == before


@pytest.mark.parametrize(
    "arguments", [("rechunk", "x"), ("recompress", "x"), ("rechunk", "x", "--chunk-size-mb", "0")]
)
def test_a_form_must_be_given(arguments: tuple[str, ...]) -> None:
    with pytest.raises(SystemExit):
        cli.main(arguments)
