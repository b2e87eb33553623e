"""Archives know their distance and the documents in them, and a field is one field (W34)."""

from pathlib import Path

import pytest
from small_line import RECORDS, RUN, context, loading, local, values

from strax_core import DirectoryFrontend
from strax_zip import ZipBackend, ZipOptions, zip_run

DOCUMENT = {"start": 1, "end": 2, "mode": "test", "name": RUN}


def archives(folder: Path, *, name: str = "archives") -> DirectoryFrontend:
    return DirectoryFrontend(ZipBackend(ZipOptions(path=str(folder))), name=name)


def packed(folder: Path) -> DirectoryFrontend:
    """Return a place with an archive of one run."""
    ctx = context(folder / "data")
    ctx.make(RUN, "records")
    ctx.write_run_metadata(RUN, DOCUMENT)
    zip_run(local(folder / "data"), RUN, folder / "zips")
    return archives(folder / "zips")


@pytest.mark.weakness("W34")
def test_the_document_of_a_run_is_read_from_its_archive(tmp_path: Path) -> None:
    ctx = loading(packed(tmp_path))

    assert ctx.run_metadata(RUN) == DOCUMENT
    assert list(ctx.scan_runs()) == [DOCUMENT]


@pytest.mark.weakness("W34")
def test_archives_are_asked_after_a_disk_and_before_a_network(tmp_path: Path) -> None:
    zips = packed(tmp_path)
    disk = local(tmp_path / "data")
    far = local(tmp_path / "far", storage_type=4)
    context(far).make(RUN, "records")

    assert [
        loading(*places).find(RUN, "records").place for places in ((zips, disk), (far, zips))
    ] == [
        "data",
        "archives",
    ]
    assert values(loading(far, zips).get_array(RUN, "records")) == RECORDS


@pytest.mark.weakness("W34")
@pytest.mark.parametrize("field", ["start_end_name", "friend", "mode ", ""])
def test_a_text_asks_for_the_field_of_this_name_only(tmp_path: Path, field: str) -> None:
    disk = context(tmp_path)
    disk.write_run_metadata(RUN, DOCUMENT)

    assert disk.run_metadata(RUN, field) == {}
    assert disk.run_metadata(RUN, "end") == {"end": 2}
