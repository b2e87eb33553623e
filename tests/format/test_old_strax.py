"""Folders as older versions of strax left them, in front of the real strax and of us."""

import json
import shutil
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
from test_golden import GOLDEN, KEY, METADATA, assert_expected, class_for
from twins import our_context, their_context

import strax_core
from strax_core import DataExistsError, DataNotAvailable, Match
from strax_core.backend.memory import MemoryBackend
from strax_core.config.open import open_backend


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return Path(shutil.copytree(GOLDEN / "strax-2.2.3-blosc", tmp_path / "data"))


def edit(folder: Path, **fields: Any) -> None:
    document = json.loads((folder / METADATA).read_text("ascii"))
    document.update(fields)
    (folder / METADATA).write_text(json.dumps(document), "ascii")


def contents(folder: Path) -> dict[str, bytes]:
    return {
        str(path.relative_to(folder)): path.read_bytes()
        for path in folder.rglob("*")
        if path.is_file() and ".staging" not in path.parts
    }


@pytest.mark.parametrize("version", ["0.1.0", "0.8.19"])
def test_what_a_strax_below_0_9_wrote_is_refused_at_once_with_the_reason(
    upstream: ModuleType, folder: Path, version: str
) -> None:
    edit(folder, strax_version=version)
    theirs = their_context(upstream, folder, class_for(upstream))
    with pytest.raises(upstream.DataNotAvailable, match=version):
        theirs.get_array("run_7", "things", progress_bar=False)  # strax refuses it too, late

    ours = our_context(folder, class_for(strax_core))
    reason = rf"written by strax {version}; nobody loads .*again=True"
    assert not ours.is_stored("run_7", "things")
    with pytest.raises(DataNotAvailable, match=reason):
        ours.find("run_7", "things")
    with pytest.raises(DataNotAvailable, match=reason):
        open_backend({"backend": "local", "path": str(folder)}).loader(KEY)


def test_it_is_replaced_only_if_that_is_asked_for(folder: Path) -> None:
    edit(folder, strax_version="0.8.19")
    before = contents(folder)
    ours = our_context(folder, class_for(strax_core))

    with pytest.raises(DataExistsError, match="stand"):
        ours.make("run_7", "things")
    assert contents(folder) == before
    ours.make("run_7", "things", again=True)
    assert ours.is_stored("run_7", "things")
    assert len(ours.get_array("run_7", "things")) == 1


@pytest.mark.parametrize("version", ["0.9.0", "0.10.2", "1.0.0", "3.0.0rc1", "10.0", "a fork's"])
def test_any_later_version_loads(folder: Path, version: str) -> None:
    edit(folder, strax_version=version)

    assert_expected(our_context(folder, class_for(strax_core)).get_array("run_7", "things"))


def test_what_does_not_say_its_version_loads_as_in_strax(
    upstream: ModuleType, folder: Path
) -> None:
    document = json.loads((folder / METADATA).read_text("ascii"))
    del document["strax_version"]
    (folder / METADATA).write_text(json.dumps(document), "ascii")
    with pytest.warns(UserWarning, match="does not say what strax"):
        rows = their_context(upstream, folder, class_for(upstream)).get_array(
            "run_7", "things", progress_bar=False
        )

    assert len(rows) == 5
    assert_expected(our_context(folder, class_for(strax_core)).get_array("run_7", "things"))


@pytest.fixture
def old_name(folder: Path) -> Path:
    (folder / METADATA).rename(folder / KEY / "metadata.json")
    return folder


def test_metadata_under_their_old_name_are_found_and_load(
    upstream: ModuleType, old_name: Path
) -> None:
    theirs = their_context(upstream, old_name, class_for(upstream))
    assert theirs.is_stored("run_7", "things")
    assert len(theirs.get_array("run_7", "things", progress_bar=False)) == 5

    ours = our_context(old_name, class_for(strax_core))
    assert ours.is_stored("run_7", "things")
    assert_expected(ours.get_array("run_7", "things"))
    open_backend({"backend": "local", "path": str(old_name)}).verify(KEY)


def test_they_can_be_replaced_and_removed(upstream: ModuleType, old_name: Path) -> None:
    ours = our_context(old_name, class_for(strax_core))
    ours.make("run_7", "things", again=True)
    assert len(ours.get_array("run_7", "things")) == 1
    theirs = their_context(upstream, old_name, class_for(upstream))
    assert len(theirs.get_array("run_7", "things", progress_bar=False)) == 1

    open_backend({"backend": "local", "path": str(old_name)}).remove(KEY)
    assert not (old_name / KEY).exists()
    assert not theirs.is_stored("run_7", "things")


def test_an_old_name_is_looked_for_only_where_an_old_strax_can_have_been() -> None:
    class Counting(MemoryBackend):
        def __init__(self) -> None:
            super().__init__()
            self.paths: list[str] = []

        def read(self, path: str) -> bytes:
            self.paths.append(path)
            return super().read(path)

    class Counted(Counting):
        may_hold_strax_folders = True

    for backend, n_reads in ((Counting(), 1), (Counted(), 2)):
        with pytest.raises(DataNotAvailable):
            backend.get_metadata(KEY)
        assert len(backend.paths) == n_reads


def test_what_strax_did_not_come_to_rename_is_a_fuzzy_match_for_both(
    upstream: ModuleType, folder: Path
) -> None:
    (folder / KEY).rename(folder / f"{KEY}_temp")
    fuzzy = {"fuzzy_for_options": ("gain",)}
    theirs = their_context(upstream, folder, class_for(upstream), **fuzzy)
    strict = their_context(upstream, folder, class_for(upstream))
    assert (theirs.is_stored("run_7", "things"), strict.is_stored("run_7", "things")) == (1, 0)

    ours = our_context(folder, class_for(strax_core))
    (place,) = ours.storage
    key = ours.key_for("run_7", "things")
    assert not ours.is_stored("run_7", "things")
    assert_expected(place.loader(key, Match(**fuzzy)).read_all())
    (found,) = place.find_several([key], Match(**fuzzy))
    assert found is not None
    assert found.backend_key == f"{KEY}_temp"
    assert place.find_several([key]) == [None]


def test_if_its_writing_had_not_ended_it_is_none(folder: Path) -> None:
    document = json.loads((folder / METADATA).read_text("ascii"))
    del document["writing_ended"]
    (folder / METADATA).write_text(json.dumps(document), "ascii")
    (folder / KEY).rename(folder / f"{KEY}_temp")
    (place,) = our_context(folder).storage
    key = our_context(folder, class_for(strax_core)).key_for("run_7", "things")

    with pytest.raises(DataNotAvailable):
        place.find(key, Match(fuzzy_for_options=("gain",)))
