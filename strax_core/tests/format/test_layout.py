"""Which names in the folder of a piece of data only writers give."""

import pytest

from strax_core.format.layout import is_chunk, is_chunk_below, is_of_ticket, is_scratch_file

KEY = "run_1-peaks-gmyvv4lrfi"
CHUNK = "peaks-gmyvv4lrfi-000003"


@pytest.mark.parametrize(
    "name",
    [
        CHUNK,
        "peaks-gmyvv4lrfi-1000000",
        f"{CHUNK}-9e937c02",  # of another process
        f"{CHUNK}-6b49d35c68e3e7da-9e937c02",  # with the writing
        f"{CHUNK}-9e937c02-4419aa16",  # a saver of others adds to it
    ],
)
def test_what_writers_call_chunks_is_theirs(name: str) -> None:
    assert is_chunk(KEY, name)
    assert is_chunk_below(KEY, name)
    assert is_chunk_below(KEY, f"6b49d35c68e3e7da/{name}")


@pytest.mark.parametrize(
    "name",
    [
        f"{CHUNK}-backup",
        f"{CHUNK}.bak",
        f"{CHUNK} (copy)",
        f"{CHUNK}\n",
        f"old-{CHUNK}",
        "peaks-gmyvv4lrfi-0003",
        "peaks-aaaaaaaaaa-000003",
        "events-gmyvv4lrfi-000003",
        "notes.txt",
    ],
)
def test_what_others_call_their_files_is_not(name: str) -> None:
    assert not is_chunk(KEY, name)
    assert not is_chunk_below(KEY, name)


@pytest.mark.parametrize(
    "path", [f"mine/{CHUNK}", f"../{CHUNK}", f"6b49d35c68e3e7da/more/{CHUNK}", f"/{CHUNK}"]
)
def test_chunks_are_in_no_other_folder(path: str) -> None:
    assert not is_chunk_below(KEY, path)


@pytest.mark.parametrize("name", ["ticket.json.bak", "journal-x-1.json", "tmp-1", "clock-mine"])
def test_names_in_staging_are_whole(name: str) -> None:
    assert not is_of_ticket(name)
    assert not is_scratch_file(name)
