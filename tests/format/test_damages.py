"""The damages of damage.py, some hundred of them."""

import pytest


@pytest.mark.parametrize("name", ["scalars", "waveforms", "segments", "small"])
def test_damaged_data_are_told_or_mended_and_never_loaded(
    name: str, monkeypatch: pytest.MonkeyPatch, seed: int
) -> None:
    import damage

    came = damage.damaged(name, 60, seed=100 + seed, set_size=monkeypatch.setattr)

    assert not [one for one in came if "WRONG" in one[2]]
    assert sum(came.values()) == 240
    assert len({kind for kind, _, _ in came}) >= 10
    assert "DataCorrupted, names field and block" in {what for _, _, what in came}
    assert {"whole, two places", "time, two places"} < {asked for _, asked, _ in came}
