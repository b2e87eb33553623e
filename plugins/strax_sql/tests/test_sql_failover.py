"""Three places; one is down, damaged or slow, before or in mid-load: the rows are right."""

import itertools
import time
from collections.abc import Iterator, Sequence

import numpy as np
import pytest
from sql_places import NAMES, OpenCatalogue, states

from strax_core import (
    Chunk,
    Context,
    Entry,
    MemoryBackend,
    Plugin,
    StorageBackend,
    StorageUnavailable,
)
from strax_sql.frontend import SqlFrontend

RUN, N_CHUNKS, ROWS = "run_7", 8, 50
DTYPE = np.dtype([("time", "<i8"), ("endtime", "<i8"), ("x", "<i8")])
TOLD = {
    "down": ["  catalog: disk did not answer this process"],
    "damaged": ["  catalog: disk has a damaged copy"],
    "slow": [],
}
FAULTS = tuple(TOLD)
SLOW_S = 0.02


class Records(Plugin):
    """A source; x counts the rows of the run."""

    provides = "records"
    dtype = DTYPE
    rechunk_on_save = False

    def chunks(self) -> Iterator[Chunk]:
        for i in range(N_CHUNKS):
            rows = np.zeros(ROWS, DTYPE)
            rows["time"] = i * 1000 + np.arange(ROWS) * 10
            rows["endtime"] = rows["time"] + 5
            rows["x"] = i * ROWS + np.arange(ROWS)
            yield self.chunk(start=i * 1000, end=(i + 1) * 1000, data=rows)


class Frail(StorageBackend):
    """Memory with one thing wrong with it, from a moment on."""

    default_storage_type = 1
    saver_class = MemoryBackend.saver_class

    def __init__(self) -> None:
        self.memory = MemoryBackend()
        self.fault = ""

    @property
    def place(self) -> str:
        return f"frail {id(self)}"

    def read(self, path: str) -> bytes:
        if self.fault == "down":
            raise StorageUnavailable("no answer")
        if self.fault == "slow":
            time.sleep(SLOW_S)
        data = self.memory.read(path)
        if self.fault == "damaged" and not path.endswith(".json"):
            return bytes(byte ^ 0x55 for byte in data)
        return data

    def list(self, folder: str, *, starts_with: str = "") -> Iterator[Entry]:
        if self.fault == "down":
            raise StorageUnavailable("no answer")
        return self.memory.list(folder, starts_with=starts_with)

    def write(
        self,
        path: str,
        buffers: Sequence[bytes | bytearray | memoryview],
        *,
        create_only: bool = False,
    ) -> None:
        self.memory.write(path, buffers, create_only=create_only)

    def delete(self, path: str) -> None:
        self.memory.delete(path)

    def rename(self, source: str, target: str) -> None:
        self.memory.rename(source, target)


@pytest.fixture
def places() -> dict[str, StorageBackend]:
    return {name: Frail() for name in NAMES}


@pytest.fixture
def copied(open_catalogue: OpenCatalogue) -> SqlFrontend:
    """A catalogue with three copies of one making."""
    context = Context([open_catalogue()], plugins=[Records])
    context.make(RUN, "records")
    for name in NAMES[1:]:
        context.copy(RUN, "records", to=f"catalog/{name}")
    return open_catalogue()


def loaded(frontend: SqlFrontend, *, in_mid_load: bool, harm: dict[str, str]) -> list[int]:
    """Load everything, a chunk at a time; harm places before, or after the second chunk."""
    context = Context([frontend], plugins=[Records], buffer_bytes=1)

    def do_harm() -> None:
        for name, fault in harm.items():
            frontend.backends[name].fault = fault  # type: ignore[attr-defined]

    if not in_mid_load:
        do_harm()
    found: list[int] = []
    for i, chunk in enumerate(context.get_iter(RUN, "records")):
        if i == 1 and in_mid_load:
            do_harm()
        found += chunk.data["x"].tolist()
    return found


@pytest.mark.parametrize("in_mid_load", [False, True], ids=["before", "in_mid_load"])
@pytest.mark.parametrize("fault", FAULTS)
@pytest.mark.parametrize("name", NAMES)
def test_one_bad_place_changes_no_row(
    copied: SqlFrontend, name: str, fault: str, *, in_mid_load: bool
) -> None:
    assert loaded(copied, in_mid_load=in_mid_load, harm={name: fault}) == list(
        range(N_CHUNKS * ROWS)
    )
    expected = dict.fromkeys(NAMES, "complete")
    if fault == "damaged" and name == "disk":
        expected["disk"] = "damaged"
    assert states(copied) == expected
    context = Context([copied], plugins=[Records])
    first, *remarks = context.explain(RUN, "records").splitlines()
    told = TOLD[fault] if name == "disk" else []
    assert f" is stored in catalog/{'hall' if told else 'disk'}: " in first
    assert len(remarks) == len(told)
    assert all(line.startswith(start) for line, start in zip(remarks, told, strict=True))


@pytest.mark.parametrize(("first", "second"), [*itertools.permutations(FAULTS[:2])])
def test_two_bad_places_leave_the_third(copied: SqlFrontend, first: str, second: str) -> None:
    harm = {"disk": first, "hall": second}

    assert loaded(copied, in_mid_load=True, harm=harm) == list(range(N_CHUNKS * ROWS))


def test_if_all_copies_are_marked_they_are_still_tried(copied: SqlFrontend) -> None:
    with pytest.raises(Exception, match="run_7"):
        loaded(copied, in_mid_load=False, harm=dict.fromkeys(NAMES, "damaged"))
    assert set(states(copied).values()) == {"damaged"}

    healed = dict.fromkeys(NAMES, "")
    assert loaded(copied, in_mid_load=False, harm=healed) == list(range(N_CHUNKS * ROWS))
