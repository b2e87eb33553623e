import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType

import pytest

BENCHMARKS = Path(__file__).resolve().parents[2] / "benchmarks"


@pytest.fixture
def many_writers(monkeypatch: pytest.MonkeyPatch) -> Iterator[ModuleType]:
    """The script that plays these rounds by the hundred."""
    monkeypatch.syspath_prepend(BENCHMARKS)
    import many_writers

    yield many_writers
    sys.modules.pop("many_writers")


def test_many_writers_of_one_key_leave_one_whole_piece_or_none_though_a_third_is_killed(
    many_writers: ModuleType, tmp_path: Path, seed: int
) -> None:
    tally = many_writers.play(12, seed=20 + seed, folder=tmp_path)

    ended = [tally.counts["ended with one piece"], tally.counts["ended with none"]]
    assert sum(ended) == tally.counts["rounds"] == 12
    assert tally.counts["killed"] >= 12
    assert sum(tally.counts[f"began with {kind}"] for kind in many_writers.BROKEN) > 0
    assert tally.leftovers["a writer that never committed"] > 0


@pytest.mark.parametrize("extra", ["run_0-records-abcdefghij", "a-b-c"])
def test_a_leftover_that_looks_like_data_would_be_noticed(
    many_writers: ModuleType, tmp_path: Path, extra: str
) -> None:
    (tmp_path / extra).mkdir()

    with pytest.raises(AssertionError, match="look like data"):
        many_writers.check_only_the_key_looks_like_data(tmp_path, "run_0-records-vssavwforl")
