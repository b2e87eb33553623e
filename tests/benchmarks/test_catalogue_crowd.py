from pathlib import Path
from types import ModuleType

import pytest


@pytest.mark.filterwarnings("ignore:.*multi-threaded, use of fork:DeprecationWarning")
def test_many_processes_register_and_find_though_one_is_killed_every_second(
    catalogue_crowd: ModuleType, tmp_path: Path, seed: int
) -> None:
    scene = catalogue_crowd.Scene(f"sqlite:///{tmp_path}/catalog.db", tmp_path)
    tally = catalogue_crowd.play(scene, n_kills=4, n_processes=6, seed=3 + seed)

    assert tally.wrong == []
    assert tally.counts["killed"] == 4
    assert tally.counts["made"] > 0
    assert tally.counts["found"] > 0
    assert tally.counts["wrote"] > 0
