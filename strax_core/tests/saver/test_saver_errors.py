"""What a saver notes, tells and leaves behind; each was found by changing the code."""

import copy
import json
import pickle
import threading
from collections.abc import Sequence
from typing import Any

import pytest

from strax_core.backend.memory import ConditionalMemoryBackend, MemoryBackend
from strax_core.codecs import codec_named
from strax_core.codecs.encoded_chunk import encode_chunk
from strax_core.errors import DataExistsError, StorageError, StorageUnavailable
from strax_core.saver.saver import Saver
from strax_core.testing import RawMemory, everything
from strax_core.testing.damage_checks import change_metadata
from strax_core.testing.dataset_checks import (
    METADATA,
    named_paths,
    new_saver,
    sample_bytes,
    stored_bytes,
)
from strax_core.testing.samples import sample_chunks, sample_key, sample_metadata, save_sample

KEY = sample_key()


@pytest.fixture(params=[MemoryBackend, ConditionalMemoryBackend])
def backend(request: pytest.FixtureRequest) -> MemoryBackend:
    made: MemoryBackend = request.param()
    return made


def copy_elsewhere(saver: Saver) -> Saver:
    """Return what arrives in another process, but for the place in memory, which cannot travel."""
    there = copy.copy(saver)
    there._journal = copy.copy(saver._journal)
    return there


def listening(saver: Saver) -> list[Any]:
    """Return the list of what the saver tells from now on."""
    heard: list[Any] = []
    saver.after_commit = heard.append
    saver.after_failure = heard.append
    return heard


def is_beating(saver: Saver) -> bool:
    return any(saver.write_id in thread.name for thread in threading.enumerate())


@pytest.mark.parametrize(
    ("method", "arguments"), [("_write", ("name", [])), ("_publish", (None,)), ("_discard", ())]
)
def test_a_saver_that_lacks_a_method_says_which(
    backend: MemoryBackend, method: str, arguments: tuple[Any, ...]
) -> None:
    saver = Saver(backend, KEY.name, sample_metadata(KEY))
    with pytest.raises(NotImplementedError, match=f"must override Saver.{method}"):
        getattr(saver, method)(*arguments)


def test_a_copy_in_another_process_has_no_receipts_and_tells_nobody(
    backend: MemoryBackend,
) -> None:
    saver = new_saver(backend)
    heard = listening(saver)
    saver.save(sample_chunks(KEY)[0], 0)
    there = copy_elsewhere(saver)
    there.abort(ValueError("not there"))

    assert there._receipts == []
    assert {there.after_commit, there.after_failure}.isdisjoint({saver.after_commit})
    assert heard == []
    for chunk_i in (1, 2):
        saver.save(sample_chunks(KEY)[chunk_i], chunk_i)
    saver.commit()
    assert stored_bytes(backend) == sample_bytes()


def test_all_that_a_saver_takes_along_to_another_process_can_travel(
    backend: MemoryBackend,
) -> None:
    saver = new_saver(backend)
    listening(saver)
    state = saver.__getstate__()
    del state["medium"], state["_journal"]  # they know themselves how

    assert pickle.dumps(state)
    saver.abort()


def test_the_owner_finds_the_receipts_of_copies_in_the_journal(backend: MemoryBackend) -> None:
    chunks = sample_chunks(KEY)
    saver = new_saver(backend)
    copies = [copy_elsewhere(saver) for _ in range(2)]
    names = {str(there.save(chunks[0], 0).filename) for there in copies}  # one was thought lost
    copies[1].save(chunks[1], 1)
    saver.save(chunks[2], 2)
    saver.commit()

    start = KEY.name.removeprefix(f"{KEY.run_id}-")
    assert len(names) == 2
    assert all(name.startswith(f"{start}-000000-") for name in names)
    assert stored_bytes(backend) == sample_bytes()


def test_of_what_a_copy_writes_encoded_nobody_hears_but_by_the_receipt(
    backend: MemoryBackend,
) -> None:
    saver = new_saver(backend)
    there = copy_elsewhere(saver)
    receipts = [
        there.save_encoded(encode_chunk(chunk, codec_named("zstd")), chunk_i, chunk)
        for chunk_i, chunk in enumerate(sample_chunks(KEY))
    ]
    assert [path for path in everything(RawMemory(backend)) if "/journal-" in path] == []
    for receipt in receipts:
        saver.take(receipt)
    saver.commit()

    assert stored_bytes(backend) == sample_bytes()


def test_a_copy_resumes_only_while_the_writing_goes_on(backend: MemoryBackend) -> None:
    saver = new_saver(backend)
    copies = [copy_elsewhere(saver) for _ in range(2)]
    copies[0].resume()
    saver.abort()

    with pytest.raises(StorageUnavailable, match="has ended"):
        copies[1].resume()


def test_metadata_say_who_wrote_and_which_making_it_is(backend: MemoryBackend) -> None:
    document = {**sample_metadata(KEY), "writer": {"host": "lab"}}
    savers = [
        backend.saver(KEY.name, {**document, **more}, overwrite="always")
        for more in ({}, {}, {"data_id": "of the making"})
    ]
    stored = [saver.save_from(sample_chunks(KEY)) for saver in savers]

    # What can be imported from the front door is named there, whatever module it lies in.
    own = "strax_core.backend.memory:ConditionalMemoryBackend"
    storage = "strax_core:MemoryBackend" if type(backend) is MemoryBackend else own
    assert stored[0]["writer"] == {"host": "lab", "storage": storage}
    assert [each["write_id"] for each in stored] == [saver.write_id for saver in savers]
    assert len({saver.write_id for saver in savers}) == 3
    assert len({each["data_id"] for each in stored}) == 3
    assert stored[2]["data_id"] == "of the making"
    assert {each.place for each in stored} == {f"{backend.place}/{KEY.name}"}
    assert savers[0].metadata.place == f"{backend.place}/{KEY.name}"


def test_metadata_say_which_format_they_follow(backend: MemoryBackend) -> None:
    save_sample(backend, KEY)
    document = json.loads(backend.read(METADATA))

    assert document["format_version"] == 1
    assert document["strax_version"] == "2.2.3"


def test_the_ticket_says_what_is_written_and_by_which_saver(backend: MemoryBackend) -> None:
    saver = new_saver(backend)
    ticket = json.loads(RawMemory(backend).read(saver.staging.ticket))
    saver.abort()

    assert ticket["backend_key"] == KEY.name
    assert ticket["saver"] == type(saver).__name__
    assert ticket["saver"] in {"RenamingSaver", "ConditionalSaver"}


def test_an_unknown_outcome_closes_the_saver_and_discards_nothing(backend: MemoryBackend) -> None:
    saver = new_saver(backend)
    heard = listening(saver)
    saver.save(sample_chunks(KEY)[0], 0)
    lost = StorageUnavailable("the answer was lost")

    def publish(_: object) -> None:
        raise lost

    saver._publish = publish  # type: ignore[method-assign]
    with pytest.raises(StorageUnavailable, match="lost"):
        saver.commit()
    before = everything(RawMemory(backend))
    saver.abort(lost)

    assert heard == [lost]
    assert not is_beating(saver)
    assert everything(RawMemory(backend)) == before
    with pytest.raises(StorageError, match="cannot commit: it is closed"):
        saver.commit()


def test_an_interrupted_commit_is_aborted_once(backend: MemoryBackend) -> None:
    saver = new_saver(backend)
    heard = listening(saver)
    saver.save(sample_chunks(KEY)[0], 0)

    def publish(_: object) -> None:
        raise KeyboardInterrupt

    saver._publish = publish  # type: ignore[method-assign]
    with pytest.raises(KeyboardInterrupt), saver:
        pass

    assert [type(error) for error in heard] == [KeyboardInterrupt]
    assert not is_beating(saver)
    assert everything(RawMemory(backend)) == set()


def test_a_failure_leaves_a_note_of_why_until_data_are_saved(backend: MemoryBackend) -> None:
    raw = RawMemory(backend)
    saver = new_saver(backend)
    heard = listening(saver)
    saver.save(sample_chunks(KEY)[0], 0)
    with pytest.raises(ZeroDivisionError) as caught, saver:
        raise ZeroDivisionError("the voltage was off")
    (path,) = everything(raw)
    note = json.loads(raw.read(path))

    assert heard == [caught.value]
    assert note["reason"] == "ZeroDivisionError: the voltage was off"
    assert note["exception"].startswith('Traceback (most recent call last):\n  File "')
    assert note["exception"].endswith("\nZeroDivisionError: the voltage was off\n")
    assert note["chunks"] == []
    assert note["writing_started"] <= note["writing_ended"]
    save_sample(backend, KEY)
    assert everything(raw) == named_paths(raw)


@pytest.mark.parametrize("error", [None, KeyboardInterrupt(), DataExistsError("a rival was first")])
def test_what_is_no_failure_leaves_no_note(
    backend: MemoryBackend, error: BaseException | None
) -> None:
    saver = new_saver(backend)
    heard = listening(saver)
    saver.save(sample_chunks(KEY)[0], 0)
    saver.abort(error)
    saver.abort(error)

    assert heard == ([] if error is None else [error])
    assert everything(RawMemory(backend)) == set()


def test_a_place_that_fails_while_tidying_up_is_told_and_raises_nothing(
    backend: MemoryBackend, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    def denied(paths: Sequence[str]) -> None:
        raise StorageUnavailable(f"{paths} cannot be removed now")

    savers = [new_saver(backend, overwrite="always") for _ in range(2)]
    heard = [listening(saver) for saver in savers]
    error = ValueError("the first error")
    for chunk_i, chunk in enumerate(sample_chunks(KEY)):
        savers[0].save(chunk, chunk_i)
    with monkeypatch.context() as patch:
        patch.setattr(backend, "delete_files", denied)
        metadata = savers[0].commit()
        savers[1].abort(error)

    assert heard == [[metadata], [error]]
    assert stored_bytes(backend) == sample_bytes()
    told = [(record.name, record.getMessage()) for record in caplog.records]
    assert {name for name, _ in told} == {"strax_core"}
    assert ["committed, but" in told[0][1], "could not tidy up" in told[1][1]] == [True, True]


def test_a_saver_is_beaten_by_good_data_only(backend: MemoryBackend) -> None:
    raw = RawMemory(backend)
    saver = new_saver(backend)
    before = saver.is_superseded()
    save_sample(backend, KEY)
    by_good_data = saver.is_superseded()
    change_metadata(raw, lambda document: document.update(strax_version="0.8.9"))
    by_too_old = saver.is_superseded()
    change_metadata(raw, lambda document: document.pop("writing_ended"))
    by_unfinished = saver.is_superseded()
    for path in named_paths(raw):
        raw.write(path, b"unreadable")
    by_unreadable = saver.is_superseded()
    saver.abort()

    assert (before, by_good_data) == (False, True)
    assert (by_too_old, by_unfinished, by_unreadable) == (False, False, False)
