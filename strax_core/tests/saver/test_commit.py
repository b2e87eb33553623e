import json
import threading
from collections.abc import Callable, Sequence

import pytest

from strax_core.backend.clean import clean
from strax_core.backend.memory import ConditionalMemoryBackend, MemoryBackend
from strax_core.errors import (
    DataCorrupted,
    DataExistsError,
    ObjectExists,
    ObjectMissing,
    StorageUnavailable,
)
from strax_core.medium import Buffer
from strax_core.saver.saver import Saver
from strax_core.testing import Call, FaultyBackend, RawMemory, everything
from strax_core.testing.dataset_checks import (
    KEY,
    METADATA,
    named_paths,
    new_saver,
    sample_bytes,
    stored_bytes,
)
from strax_core.testing.samples import sample_chunks, save_sample


@pytest.fixture(params=[MemoryBackend, ConditionalMemoryBackend])
def backend(request: pytest.FixtureRequest) -> MemoryBackend:
    made: MemoryBackend = request.param()
    return made


def saved(saver: Saver, mark: int = 1) -> Saver:
    for chunk_i, chunk in enumerate(sample_chunks(KEY, mark=mark)):
        saver.save(chunk, chunk_i)
    return saver


class Interrupting(FaultyBackend):
    """Calls `action` once, just before the first call that `when` picks."""

    def __init__(
        self, backend: MemoryBackend, when: Callable[[Call], bool], action: Callable[[], object]
    ) -> None:
        super().__init__(backend)
        self._when = when
        self._actions = [action]

    def _do(self, call: Call, action: Callable[[], object], short: object = None) -> object:  # type: ignore[override]  # noqa: ARG002 - nothing is short here
        if self._actions and self._when(call):
            self._actions.pop()()
        return super()._do(call, action)


def commits(call: Call) -> bool:
    return call.verb in {"rename", "write"} and call.path in {KEY.name, METADATA}


def test_metadata_become_visible_after_all_chunks(backend: MemoryBackend) -> None:
    watched = FaultyBackend(backend)
    save_sample(watched, KEY)
    (commit,) = [i for i, call in enumerate(watched.calls) if commits(call)]
    writes = [i for i, call in enumerate(watched.calls) if call.verb == "write" and i != commit]
    lists = [i for i, call in enumerate(watched.calls) if call.verb == "list" and i < commit]

    assert max(writes) < commit
    assert lists  # the sizes were looked at
    assert watched.calls[-1].verb == "delete"  # the ticket, last
    assert watched.calls[-1].path.startswith(f".staging/{KEY.name}/")


def test_a_rival_that_commits_just_before_us_wins(backend: MemoryBackend) -> None:
    late = Interrupting(backend, commits, lambda: save_sample(backend, KEY))
    with pytest.raises(DataExistsError), saved(new_saver(late), mark=2):
        pass

    assert stored_bytes(backend) == sample_bytes(mark=1)
    assert {p for p in everything(RawMemory(backend)) if "/failed-" not in p} == named_paths(
        RawMemory(backend)
    )


def test_of_two_that_meet_a_folder_without_metadata_the_first_wins(backend: MemoryBackend) -> None:
    RawMemory(backend).write(f"{KEY.name}/junk", b"junk")
    late = Interrupting(
        backend,
        lambda call: call == Call("write", METADATA),
        lambda: save_sample(backend, KEY),
    )
    with pytest.raises(DataExistsError), saved(new_saver(late), mark=2):
        pass

    assert stored_bytes(backend) == sample_bytes(mark=1)


def test_a_rival_that_replaces_us_before_our_answer_comes_does_not_fail_us_wrongly(
    backend: MemoryBackend,
) -> None:
    def lost_answer_then_replaced() -> None:
        saved(new_saver(backend, overwrite="always"), mark=3).commit()

    slow = Interrupting(
        backend,
        lambda call: call.verb == "delete" and backend_has_data(backend),
        lost_answer_then_replaced,
    )
    save_sample(slow, KEY)

    assert stored_bytes(backend) == sample_bytes(mark=3)
    assert everything(RawMemory(backend)) == named_paths(RawMemory(backend))


def test_rivals_that_have_ended_make_nobody_else_leave_a_ticket(backend: MemoryBackend) -> None:
    def tickets() -> set[str]:
        return {path for path in everything(RawMemory(backend)) if path.endswith("/ticket.json")}

    save_sample(backend, KEY)
    late = Interrupting(
        backend,
        lambda call: call == Call("write", METADATA) and is_announced(backend),
        lambda: saved(new_saver(backend, overwrite="always"), mark=2).commit(),
    )
    saved(new_saver(late, overwrite="always"), mark=3).commit()
    of_the_first = tickets()
    for mark in (4, 5):
        saved(new_saver(backend, overwrite="always"), mark=mark).commit()

    assert len(of_the_first) == 1  # replaced at once: `clean` finds its chunks by its ticket
    assert tickets() == of_the_first
    assert stored_bytes(backend) == sample_bytes(mark=5)


def test_a_rival_that_replaced_us_and_has_ended_leaves_us_our_ticket(
    backend: MemoryBackend,
) -> None:
    """Both replace the same old data: ours, theirs, and they are through before we tidy up."""
    save_sample(backend, KEY)
    we_replaced, they_ended = threading.Event(), threading.Event()

    def wait_for_them() -> None:
        we_replaced.set()
        assert they_ended.wait(600)

    def looks_for_rivals(call: Call) -> bool:
        return call == Call("list", f".staging/{KEY.name}") and is_announced(backend)

    def let_us_replace() -> None:
        commit.start()
        assert we_replaced.wait(600)

    ours = saved(
        new_saver(Interrupting(backend, looks_for_rivals, wait_for_them), overwrite="always"),
        mark=2,
    )
    commit = threading.Thread(target=ours.commit)
    between = Interrupting(
        backend,
        lambda call: call == Call("write", METADATA) and is_announced(backend),
        let_us_replace,
    )
    saved(new_saver(between, overwrite="always"), mark=3).commit()
    they_ended.set()
    commit.join()
    assert stored_bytes(backend) == sample_bytes(mark=3)
    clean(backend, grace_s=0, dry_run=False)

    assert everything(RawMemory(backend)) == named_paths(RawMemory(backend))


def is_announced(backend: MemoryBackend) -> bool:
    return any(path.endswith("/replaced.json") for path in everything(RawMemory(backend)))


def backend_has_data(backend: MemoryBackend) -> bool:
    return METADATA in everything(RawMemory(backend))


def test_chunks_that_vanish_before_the_commit_are_corrupt(backend: MemoryBackend) -> None:
    raw = RawMemory(backend)
    saver = saved(new_saver(backend))
    for path in everything(raw):
        if "/peaks-" in path:
            raw.delete(path)
    with pytest.raises(DataCorrupted, match="chunk 0"), saver:
        pass

    assert not backend_has_data(backend)


def test_an_interrupt_just_after_the_commit_leaves_the_data_and_no_leftovers(
    backend: MemoryBackend,
) -> None:
    save_sample(backend, KEY)

    def stop() -> None:
        raise KeyboardInterrupt

    stopped = Interrupting(
        backend,
        lambda call: call.verb == "delete" and call.path.startswith(f"{KEY.name}/"),
        stop,
    )
    with pytest.raises(KeyboardInterrupt), saved(new_saver(stopped, overwrite="always"), mark=2):
        pass

    assert stored_bytes(backend) == sample_bytes(mark=2)
    assert everything(RawMemory(backend)) >= named_paths(RawMemory(backend))


@pytest.mark.parametrize("answer", [ObjectExists, ObjectMissing])
def test_a_false_conflict_after_our_own_success_is_success(
    backend: MemoryBackend, monkeypatch: pytest.MonkeyPatch, answer: type[Exception]
) -> None:
    for verb in ("write", "rename"):
        honest = getattr(backend, verb)

        def doubtful(
            *arguments: object, honest: Callable[..., None] = honest, **options: object
        ) -> None:
            honest(*arguments, **options)
            if {KEY.name, METADATA} & set(map(str, arguments)):
                raise answer("as told to the second try of a lost request")

        monkeypatch.setattr(backend, verb, doubtful)
    save_sample(backend, KEY)

    assert stored_bytes(backend) == sample_bytes()


def test_an_unknown_outcome_tells_what_to_do(backend: MemoryBackend) -> None:
    def lose() -> None:
        raise StorageUnavailable("no answer")

    lost = FaultyBackend(backend, settle_time_s=0.005)
    saver = saved(new_saver(lost))
    lost.rename = lambda *_: lose()  # type: ignore[method-assign]
    honest = backend.write

    def lose_metadata(path: str, buffers: Sequence[Buffer], **options: bool) -> None:
        if path == METADATA:
            lose()
        honest(path, buffers, **options)

    lost.write = lose_metadata  # type: ignore[method-assign]
    with pytest.raises(StorageUnavailable, match=r"unknown.*strax clean") as caught, saver:
        pass

    assert isinstance(caught.value.__cause__, StorageUnavailable)
    assert saver.write_id in str(caught.value)
    assert [p for p in everything(RawMemory(backend)) if p.endswith("/ticket.json")]


def test_replacing_deletes_exactly_what_the_old_metadata_named(backend: MemoryBackend) -> None:
    raw = RawMemory(backend)
    save_sample(backend, KEY)
    raw.write(f"{KEY.name}/notes.txt", b"mine")
    save_sample(backend, KEY, sample_chunks(KEY, mark=2), overwrite="always")

    assert everything(raw) == named_paths(raw) | {f"{KEY.name}/notes.txt"}


def test_old_data_are_whole_until_the_new_ones_are_there(backend: MemoryBackend) -> None:
    save_sample(backend, KEY)
    seen: list[bytes] = []

    class Watching(FaultyBackend):
        def _do(self, call: Call, action: Callable[[], object], short: object = None) -> object:  # type: ignore[override]  # noqa: ARG002
            answer = super()._do(call, action)
            seen.append(stored_bytes(backend))
            return answer

    save_sample(Watching(backend), KEY, sample_chunks(KEY, mark=2), overwrite="always")
    old, new = sample_bytes(mark=1), sample_bytes(mark=2)

    assert seen.count(old) + seen.count(new) == len(seen)
    assert seen == sorted(seen, key=[old, new].index)
    assert seen[0] == old
    assert seen[-1] == new


def test_a_path_of_a_chunk_never_holds_other_bytes(backend: MemoryBackend) -> None:
    raw = RawMemory(backend)
    contents: dict[str, bytes] = {}
    for mark in range(4):
        save_sample(backend, KEY, sample_chunks(KEY, mark=mark), overwrite="always")
        for path in named_paths(raw) - {METADATA}:
            assert contents.setdefault(path, raw.read(path)) == raw.read(path)

    assert len(contents) == 8


def test_two_that_replace_the_same_data_both_succeed_and_the_last_stays(
    backend: MemoryBackend,
) -> None:
    save_sample(backend, KEY)
    savers = [saved(new_saver(backend, overwrite="always"), mark) for mark in (2, 3)]
    for saver in savers:
        saver.commit()

    assert stored_bytes(backend) == sample_bytes(mark=3)
    assert json.loads(RawMemory(backend).read(METADATA))["write_id"] == savers[1].write_id
