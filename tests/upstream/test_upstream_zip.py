"""Archives of the real strax are ours, and ours are the real strax's."""

from pathlib import Path
from types import ModuleType

import numpy as np
import pytest
from twins import TIMES, our_context, rows_of, source, their_context

import strax_core
from strax_zip import zip_run

PIECES = [(i * 1000, (i + 1) * 1000, rows_of(TIMES, [i * 1000 + 1], seed=i)) for i in range(3)]
ROWS = np.concatenate([rows for _, _, rows in PIECES])
RUN = "run_7"


@pytest.mark.parametrize("codec", ["blosc", "zstd", "lz4", "bz2"])
def test_an_archive_of_the_real_strax_is_read(
    upstream: ModuleType, tmp_path: Path, codec: str
) -> None:
    (tmp_path / "zips").mkdir()
    theirs = source(upstream, PIECES, dtype=TIMES, compressor=codec)
    their_context(upstream, tmp_path / "data", theirs).make(RUN, "things", progress_bar=False)
    upstream.ZipDirectory.zip_dir(str(tmp_path / "data"), str(tmp_path / "zips" / f"{RUN}.zip"))

    ours = strax_core.Context(
        [{"frontend": "zip", "path": str(tmp_path / "zips")}],
        plugins=[source(strax_core, PIECES, dtype=TIMES)],
        forbid_creation_of="*",
    )
    assert ours.get_array(RUN, "things").tobytes() == ROWS.tobytes()
    assert [chunk.data.tobytes() for chunk in ours.get_iter(RUN, "things")] == [
        rows.tobytes() for _, _, rows in PIECES
    ]
    loose = ours.new_context(fuzzy_for=["things"])
    assert loose.is_stored(RUN, "things")  # strax raises NotImplementedError


@pytest.mark.parametrize("by", ["ours", "theirs"])
def test_the_real_strax_reads_an_archive_of_ours(
    upstream: ModuleType, tmp_path: Path, by: str
) -> None:
    data = tmp_path / "data"
    if by == "ours":
        data.mkdir()
        our_context(data, source(strax_core, PIECES, dtype=TIMES)).make(RUN, "things", again=True)
    else:
        their_source = source(upstream, PIECES, dtype=TIMES)
        their_context(upstream, data, their_source).make(RUN, "things", progress_bar=False)
    zip_run(data, RUN, tmp_path / "zips")

    theirs = upstream.Context(
        storage=[upstream.ZipDirectory(str(tmp_path / "zips"))],
        register=[source(upstream, PIECES, dtype=TIMES)],
        forbid_creation_of="*",
    )
    assert theirs.is_stored(RUN, "things")
    assert not theirs.is_stored("run_8", "things")
    assert theirs.get_array(RUN, "things", progress_bar=False).tobytes() == ROWS.tobytes()
