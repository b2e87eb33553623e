"""Of two writers of one key the first wins, and neither spoils the other's work (W3)."""

from pathlib import Path

import pytest
from small_line import N_CHUNKS, RECORDS, RUN, context, folder_of, left_by_writers, loading, values

from strax_core import DataExistsError


def check_one_whole_copy(folder: Path) -> None:
    ctx = loading(folder)
    assert values(ctx.get_array(RUN, "records")) == RECORDS
    assert len(list(folder_of(ctx, "records", folder).iterdir())) == N_CHUNKS + 1
    assert left_by_writers(folder) == []


@pytest.mark.weakness("W3")
@pytest.mark.parametrize("n_taken", [1, 5, N_CHUNKS])
def test_a_writer_that_starts_late_and_ends_first_wins(tmp_path: Path, n_taken: int) -> None:
    early = context(tmp_path).get_iter(RUN, "records")
    for _ in range(n_taken):
        next(early)
    context(tmp_path).make(RUN, "records")
    winner = loading(tmp_path).get_metadata(RUN, "records").write_id
    rest = list(early)

    assert len(rest) == N_CHUNKS - n_taken
    assert loading(tmp_path).get_metadata(RUN, "records").write_id == winner
    check_one_whole_copy(tmp_path)


@pytest.mark.weakness("W3")
def test_two_that_write_in_turns_leave_one_whole_copy(tmp_path: Path) -> None:
    both = [context(tmp_path).get_iter(RUN, "records") for _ in range(2)]
    for _ in range(5):
        for chunks in both:
            next(chunks)
    assert not loading(tmp_path).is_stored(RUN, "records")
    n_left = [len(list(chunks)) for chunks in both]

    assert n_left == [N_CHUNKS - 5] * 2
    check_one_whole_copy(tmp_path)


@pytest.mark.weakness("W3")
def test_a_writer_that_gives_up_takes_nothing_of_the_others(tmp_path: Path) -> None:
    early, late = (context(tmp_path).get_iter(RUN, "records") for _ in range(2))
    next(early)
    next(late)
    late.close()  # type: ignore[attr-defined]
    list(early)

    check_one_whole_copy(tmp_path)


@pytest.mark.weakness("W3")
def test_a_saver_that_comes_second_is_told_so_and_changes_nothing(tmp_path: Path) -> None:
    ctx = context(tmp_path)
    key, place = ctx.key_for(RUN, "records"), ctx.storage[0]
    (tmp_path / "elsewhere").mkdir()
    elsewhere = context(tmp_path / "elsewhere")
    chunks = list(elsewhere.get_iter(RUN, "records"))
    metadata = dict(elsewhere.get_metadata(RUN, "records"))
    for name in ("chunks", "start", "end", "writing_ended"):
        del metadata[name]

    first, second = place.saver(key, metadata), place.saver(key, metadata)
    for chunk_i, chunk in enumerate(chunks):
        first.save(chunk, chunk_i)
        second.save(chunk, chunk_i)
    first.commit()
    with pytest.raises(DataExistsError), second:
        pass
    assert ctx.get_metadata(RUN, "records").write_id == first.write_id
    check_one_whole_copy(tmp_path)
