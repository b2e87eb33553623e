"""The damages of damage.py, a few hundred of them."""

import pytest

from strax_core.codecs.columns import ColumnsCodec


@pytest.mark.parametrize("name", ["filtered", "odd", "small"])
def test_damaged_files_are_told_and_never_loaded(
    name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    import damage

    for size, value in damage.SIZES.items():
        monkeypatch.setattr(ColumnsCodec, size, value)
    came = damage.damaged(name, 120, seed=1)

    assert not [one for one in came if one[1].startswith("WRONG")]
    assert sum(came.values()) == 120
    assert {done for done, _ in came} > {"flip", "cut", "swap files", "change the entry"}
    assert ("flip", "DataCorrupted, names field and block") in came
