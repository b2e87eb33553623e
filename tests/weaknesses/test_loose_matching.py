"""Loose matching takes the newest good data, in any spelling, and says what it took (W28)."""

import json
from pathlib import Path

import pytest
from small_line import RECORDS, RUN, Peaks, context, folder_of, local, values

from strax_core import Context, Option

LOOSE = {"fuzzy_for_options": ("gain",)}
OLDEST_FIRST = (3.0, 4.0, 5.0, 6.0, 7.0)


class Limited(Peaks):
    """Peaks with an option that holds a tuple in Python, and a list in JSON."""

    provides = "peaks"
    limits = Option(default=(0, (1, 2.5)))


Limited.__name__ = "Peaks"  # it stands in the lineage


def made(folder: Path, gain: float, **options: object) -> Context:
    ctx = context(folder, plugins=[Limited], config={"gain": gain}, **options)
    ctx.make(RUN, "peaks")
    return ctx


def loose(folder: Path, gain: float = 2.0) -> Context:
    return context(local(folder, readonly=True), plugins=[Limited], config={"gain": gain}, **LOOSE)


@pytest.mark.weakness("W28")
def test_an_option_that_holds_a_tuple_does_not_hinder_a_match(tmp_path: Path) -> None:
    made(tmp_path, 3.0)
    ctx = loose(tmp_path)

    assert ctx.is_stored(RUN, "peaks")
    assert values(ctx.get_array(RUN, "peaks")) == [3 * x for x in RECORDS]


@pytest.mark.weakness("W28")
def test_find_names_the_differences_of_what_was_taken(tmp_path: Path) -> None:
    made(tmp_path, 3.0)
    found = loose(tmp_path).find(RUN, "peaks")

    assert not found.is_exact
    assert found.differences == ("option 'gain' of peaks: 3.0 here, 2.0 wanted",)
    assert found.metadata.lineage["peaks"][2]["gain"] == 3.0
    exact = loose(tmp_path, gain=3.0).find(RUN, "peaks")
    assert (exact.is_exact, exact.differences) == (True, ())


@pytest.mark.weakness("W28")
def test_the_newest_of_several_is_taken_whatever_the_order_of_their_names(tmp_path: Path) -> None:
    names = []
    for gain in OLDEST_FIRST:
        ctx = made(tmp_path, gain)
        names.append(str(ctx.key_for(RUN, "peaks")))
        assert loose(tmp_path).find(RUN, "peaks").metadata.lineage["peaks"][2]["gain"] == gain

    assert names not in (sorted(names), sorted(names, reverse=True))


def broken_folder(good: Path, name: str) -> None:
    """Leave what strax leaves of a save that failed, or that is at work, under this name."""
    metadata = json.loads(next(good.glob("*-metadata.json")).read_text())
    del metadata["writing_ended"]
    if not name.endswith("_temp"):
        metadata |= {"exception": "ZeroDivisionError", "writing_ended": 1e12}
    folder = good.parent / name
    folder.mkdir()
    prefix = name.removesuffix("_temp").partition("-")[2]
    (folder / f"{prefix}-metadata.json").write_text(json.dumps(metadata))


@pytest.mark.weakness("W28")
def test_broken_folders_with_names_before_and_after_hide_no_good_match(tmp_path: Path) -> None:
    good = folder_of(made(tmp_path, 3.0), "peaks", tmp_path)
    for letters in ("aaaaaaaaaa", "7777777777", "2222222222", "zzzzzzzzzz"):
        broken_folder(good, f"{RUN}-peaks-{letters}")
        broken_folder(good, f"{RUN}-peaks-{letters[:-1]}b_temp")
    (tmp_path / f"{RUN}-peaks-aaaaaaaaab").mkdir()
    ctx = loose(tmp_path)

    assert ctx.find(RUN, "peaks").location.backend_key == good.name
    assert values(ctx.get_array(RUN, "peaks")) == [3 * x for x in RECORDS]


@pytest.mark.weakness("W28")
def test_loose_and_incomplete_together_are_no_error(tmp_path: Path) -> None:
    ctx = context(tmp_path, plugins=[Limited], allow_incomplete=True, **LOOSE)
    assert not ctx.is_stored(RUN, "peaks")
    made(tmp_path, 3.0)

    assert ctx.is_stored(RUN, "peaks")
    assert values(ctx.get_array(RUN, "peaks")) == [3 * x for x in RECORDS]


@pytest.mark.weakness("W28")
def test_what_does_not_match_is_not_taken(tmp_path: Path) -> None:
    made(tmp_path, 3.0)
    ctx = context(
        local(tmp_path, readonly=True),
        plugins=[Limited],
        config={"limits": (0, (1, 3.5))},
        **LOOSE,
    )

    assert not ctx.is_stored(RUN, "peaks")
