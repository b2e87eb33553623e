"""What a database says of data, and when (W20); without one folder for all (W39)."""

import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from small_line import PEAKS, RECORDS, RUN, Peaks, Records, values

from strax_core import Context, Entry
from strax_local import LocalBackend, LocalOptions
from strax_sql import SqlFrontend, SqlOptions

HERE = Path(__file__).parent
KILLED_IN_MID_SAVE = """
import os, signal, sys
sys.path.insert(0, sys.argv[2])
from pathlib import Path
from small_line import Records
from test_catalogues import catalogue
from strax_core import Context

class Dies(Records):
    provides = "records"
    def chunks(self):
        for i, chunk in enumerate(super().chunks()):
            yield chunk
            if i == 5:
                os.kill(os.getpid(), signal.SIGKILL)

Dies.__name__ = "Records"
Context([catalogue(Path(sys.argv[1]))], plugins=[Dies]).make("run_7", "records")
"""


class Listed(LocalBackend):
    """A directory that knows which folders were listed."""

    def __init__(self, folder: Path) -> None:
        folder.mkdir(exist_ok=True)
        super().__init__(LocalOptions(path=str(folder), fsync=False))
        self.listed: list[str] = []

    def list(self, folder: str, *, starts_with: str = "") -> Iterator[Entry]:
        self.listed.append(folder)
        return super().list(folder, starts_with=starts_with)


def catalogue(folder: Path) -> SqlFrontend:
    """Return a catalogue that keeps records and all else in two directories."""
    backends = {name: Listed(folder / name) for name in ("disk", "tape")}
    return SqlFrontend(
        SqlOptions(
            url=f"sqlite:///{folder}/catalog.db",
            backends=backends,
            write_to={"records": "tape", "*": "disk"},
        )
    )


@pytest.mark.weakness("W20")
def test_what_a_killed_writer_entered_promises_nothing_and_can_be_taken_out(
    tmp_path: Path,
) -> None:
    command = [sys.executable, "-c", KILLED_IN_MID_SAVE, str(tmp_path), str(HERE)]
    died = subprocess.run(command, capture_output=True, text=True, check=False)
    assert died.returncode == -signal.SIGKILL, died.stderr
    frontend = catalogue(tmp_path)
    ctx = Context([frontend], plugins=[Records])
    key = ctx.key_for(RUN, "records")

    (found,) = frontend.find_several([key])
    assert found is None
    assert not ctx.is_stored(RUN, "records")
    assert values(ctx.get_array(RUN, "records")) == RECORDS
    assert ctx.is_stored(RUN, "records")
    assert list(frontend.check_catalogue()) == []


@pytest.mark.weakness("W39")
def test_data_types_lie_in_folders_of_their_own_and_nothing_is_listed_to_find_them(
    tmp_path: Path,
) -> None:
    ctx = Context([catalogue(tmp_path)], plugins=[Records, Peaks])
    runs = [f"run_{i}" for i in range(20)]
    ctx.make(runs, "peaks")
    types = {
        name: {path.name.split("-")[1] for path in (tmp_path / name).iterdir() if "-" in path.name}
        for name in ("disk", "tape")
    }
    assert types == {"disk": {"peaks"}, "tape": {"records"}}

    fresh = catalogue(tmp_path)
    ctx = Context([fresh], plugins=[Records, Peaks])
    table = ctx.availability([*runs, "run_99"], ["records", "peaks"])
    assert [bool(each) for each in table["peaks"]] == [True] * 20 + [False]
    assert values(ctx.get_array(runs[3], "peaks")) == PEAKS
    assert [each.listed for each in fresh.backends.values()] == [[], []]  # type: ignore[attr-defined]
