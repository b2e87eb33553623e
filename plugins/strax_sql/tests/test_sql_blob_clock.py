"""Time to live: data go as a whole, and when they are over their time they are not there."""

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from blob_places import made, server_options, sqlite_options
from raw_blobs import RawBlobs, raw_postgresql, raw_sqlite

from strax_core import DataNotAvailable
from strax_core.testing import (
    clean,
    everything,
    sample_chunks,
    sample_key,
    sample_metadata,
    save_sample,
)
from strax_sql.blobs.backend import SqlBlobBackend
from strax_sql.blobs.frontend import SqlBlobFrontend

KEY, OTHER = sample_key(), sample_key("run_2")
SERVERS = ("sqlite", pytest.param("postgresql", marks=pytest.mark.servers))
Place = tuple[Callable[..., SqlBlobBackend], RawBlobs]
END_ALL = "UPDATE strax_blobs SET expires_ns = 1 WHERE expires_ns IS NOT NULL AND name LIKE ?"


@pytest.fixture(params=SERVERS)
def place(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Place]:
    """A function that opens a backend, and raw access to the same place."""
    if request.param == "sqlite":
        file = tmp_path / "blobs.db"
        made(sqlite_options(file))
        with raw_sqlite(file) as raw:
            yield lambda **more: SqlBlobBackend(sqlite_options(file, **more)), raw
    else:
        server = request.getfixturevalue("postgres_database")
        made(server_options(server, tmp_path))
        with raw_postgresql(server) as raw:
            yield lambda **more: SqlBlobBackend(server_options(server, tmp_path, **more)), raw


def rows_of(backend: SqlBlobBackend) -> bytes:
    return backend.loader(KEY.name).read_all().tobytes()


def test_data_end_so_long_after_their_last_file_was_written(place: Place) -> None:
    opened, raw = place
    save_sample(opened(ttl_s=3.5), KEY)
    kept = raw.run("SELECT expires_ns - modified_ns FROM strax_blobs WHERE expires_ns IS NOT NULL")

    assert {tuple(row) for row in kept} == {(3_500_000_000,)}
    assert len(kept) == len(everything(raw)) > 1


def test_data_stay_whole_as_long_as_one_of_their_files_is_within_its_time(place: Place) -> None:
    opened, raw = place
    backend = opened(ttl_s=60)
    save_sample(backend, KEY)
    before = rows_of(backend)
    raw.run(END_ALL, "%-0000%")  # the chunks, which were written first

    assert rows_of(backend) == before
    backend.verify(KEY.name)
    assert len([*backend.list(KEY.name)]) == len(everything(raw))
    assert clean(backend, grace_s=0, dry_run=False) == []


def test_what_is_over_its_time_is_not_there_for_anybody(place: Place) -> None:
    opened, raw = place
    writer, other = opened(ttl_s=60), opened()
    save_sample(writer, KEY)
    save_sample(other, OTHER)
    metadata = [path for path in everything(raw) if KEY.name in path and "metadata" in path]
    raw.run(END_ALL, "%")

    for backend in (writer, other):
        with pytest.raises(DataNotAvailable):
            backend.get_metadata(KEY.name)
        assert {entry.name for entry in backend.list("")} == {OTHER.name}
        assert [*backend.list(KEY.name)] == []
        found = SqlBlobFrontend(backend).find_several([KEY, OTHER])
        assert [location is not None for location in found] == [False, True]
        assert backend.loader(OTHER.name).metadata.is_complete
    assert metadata


def test_what_is_over_its_time_is_cleaned_up_once_it_is_old_enough(place: Place) -> None:
    opened, raw = place
    backend = opened(ttl_s=60)
    save_sample(backend, KEY)
    save_sample(opened(), OTHER)
    raw.run(END_ALL, "%")
    before = everything(raw)
    assert clean(backend, grace_s=3600, dry_run=False) == []
    (left,) = clean(backend, grace_s=0, dry_run=True)
    assert (left.path, left.reason) == (KEY.name, "data that are over their time")
    assert everything(raw) == before
    assert clean(backend, grace_s=0, dry_run=False) == [left]

    assert everything(raw) == {path for path in before if OTHER.name in path}
    assert [tuple(row) for row in raw.run("SELECT count(*) FROM strax_blob_parts")] != [(0,)]
    assert clean(backend, grace_s=0, dry_run=False) == []


def test_cleaning_one_place_leaves_others_in_the_same_database_alone(place: Place) -> None:
    opened, raw = place
    save_sample(opened(ttl_s=60, prefix="one"), KEY)
    save_sample(opened(ttl_s=60, prefix="other"), KEY)
    raw.run(END_ALL, "%")
    (left,) = clean(opened(prefix="one"), grace_s=0, dry_run=False)

    assert left.path == KEY.name
    assert raw.list("") == {"other"}


def test_new_data_do_not_bring_back_what_is_over_its_time(place: Place) -> None:
    opened, raw = place
    backend = opened(ttl_s=60)
    save_sample(backend, KEY)
    raw.run(END_ALL, "%")
    old = everything(raw)
    with backend.saver(KEY.name, sample_metadata(KEY)) as saver:
        saver.save(sample_chunks(KEY, mark=2)[0], 0)
        with pytest.raises(DataNotAvailable):
            backend.get_metadata(KEY.name)
        for chunk_i in (1, 2):
            saver.save(sample_chunks(KEY, mark=2)[chunk_i], chunk_i)

    expected = b"".join(chunk.data.tobytes() for chunk in sample_chunks(KEY, mark=2))
    assert rows_of(backend) == expected
    assert len(everything(raw)) == len(old)


def test_documents_about_runs_and_writers_at_work_do_not_end(place: Place) -> None:
    opened, raw = place
    backend = opened(ttl_s=60)
    SqlBlobFrontend(backend).write_run_metadata("run_7", {"name": "run_7"})
    with backend.saver(KEY.name, sample_metadata(KEY)) as saver:
        saver.save(sample_chunks(KEY)[0], 0)
        kept = raw.run("SELECT DISTINCT folder FROM strax_blobs WHERE expires_ns IS NULL")
        ending = raw.run("SELECT DISTINCT folder FROM strax_blobs WHERE expires_ns IS NOT NULL")
        saver.abort()

    assert {folder.split("/")[0] for (folder,) in kept} == {"", ".staging"}
    assert [folder for (folder,) in ending] == [f"{KEY.name}/"]
