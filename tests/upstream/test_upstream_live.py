"""What the real strax is writing is readable so far, and goes on where it is renamed to."""

from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest
from twins import TIMES, Rows, our_context, rows_of, source, their_context

from strax_core import DataNotAvailable, Match, State

RUN = "run_7"
SECOND = 1_000_000_000
PIECES = [
    (i * SECOND, (i + 1) * SECOND, rows_of(TIMES, range(i * SECOND, i * SECOND + n), seed=i))
    for i, n in enumerate((3, 0, 2, 4))
]
LIVE = Match(allow_incomplete=True)


@pytest.fixture
def saver(upstream: ModuleType, tmp_path: Path) -> Any:
    """Return a saver of the real strax that has written nothing yet."""
    theirs = their_context(upstream, tmp_path, source(upstream, PIECES, dtype=TIMES))
    data_plugin = theirs.get_single_plugin(RUN, "things")
    return theirs.storage[0].saver(
        theirs.key_for(RUN, "things"), data_plugin.metadata(RUN, "things")
    )


def save(upstream: ModuleType, saver: Any, number: int) -> None:
    start, end, rows = PIECES[number]
    chunk = upstream.Chunk(
        start=start,
        end=end,
        data=rows,
        run_id=RUN,
        data_type="things",
        data_kind="things",
        dtype=TIMES,
        target_size_mb=200,
    )
    saver.save(chunk, number)


def expected(n_pieces: int) -> Rows:
    return np.concatenate([rows for _, _, rows in PIECES[:n_pieces]])


@pytest.mark.parametrize("is_forked", [False, True])
def test_what_strax_has_written_so_far_is_read(
    upstream: ModuleType, saver: Any, tmp_path: Path, *, is_forked: bool
) -> None:
    import strax_core

    ours = our_context(tmp_path, source(strax_core, PIECES, dtype=TIMES))
    key, place = ours.key_for(RUN, "things"), ours.storage[0]
    saver.is_forked = is_forked
    for number in range(3):
        save(upstream, saver, number)
        location = place.find(key, LIVE)
        assert location.state is State.WRITING
        rows = place.loader_at(location).read_all()
        np.testing.assert_array_equal(rows, expected(number + 1))
    with pytest.raises(DataNotAvailable):
        place.find(key)

    loader = place.loader(key, LIVE)
    save(upstream, saver, 3)
    if is_forked:  # the parent closes, and did not see what the others added to its own list
        saver.md["chunks"] = []
    saver.close()

    np.testing.assert_array_equal(loader.read_all(), expected(3))
    assert place.find(key, LIVE).state is State.COMPLETE
    np.testing.assert_array_equal(place.loader(key).read_all(), expected(4))


def test_what_strax_failed_to_write_is_neither_complete_nor_unfinished(
    upstream: ModuleType, saver: Any, tmp_path: Path
) -> None:
    import strax_core

    ours = our_context(tmp_path, source(strax_core, PIECES, dtype=TIMES))
    key, place = ours.key_for(RUN, "things"), ours.storage[0]
    save(upstream, saver, 0)
    loader = place.loader(key, LIVE)
    try:
        raise ValueError("on fire")
    except ValueError:
        saver.close()  # which notes the error that is being handled

    for match in (Match(), LIVE, Match("things", allow_incomplete=True)):
        with pytest.raises(DataNotAvailable):
            place.find(key, match)
    with pytest.raises(DataNotAvailable):
        loader.read_all()
