"""Golden files of the codec columns, and the program of docs/format.md that reads them."""

import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from strax_core.config.open import open_backend
from strax_core.testing.samples import sample_key

ROOT = Path(__file__).resolve().parents[2]
GOLDEN = ROOT / "tests" / "golden" / "columns-1"
PIECES = ("filtered", "odd", "small")
Rows = np.ndarray[Any, np.dtype[Any]]
each_piece = pytest.mark.parametrize("data_type", PIECES)


def stored(data_type: str) -> Rows:
    loader = open_backend({"backend": "local", "path": str(GOLDEN)}).loader(
        sample_key("run_7", data_type).name
    )
    return loader.read_all()


@pytest.fixture
def made(monkeypatch: pytest.MonkeyPatch) -> Any:
    monkeypatch.syspath_prepend(str(GOLDEN.parent))
    import make_columns

    return make_columns


@each_piece
def test_golden_files_of_the_codec_columns_load(data_type: str, made: Any) -> None:
    expected = np.concatenate([part.astype(part.dtype) for part in made.PIECES[data_type]()])
    rows = stored(data_type)
    expected = expected.astype(rows.dtype)
    if data_type == "filtered":
        shift = rows["time"][1500:] - expected["time"][1500:]
        assert len(set(shift.tolist())) == 1
        expected["time"][1500:] += shift
        expected["endtime"][1500:] += shift

    assert rows.dtype.names == expected.dtype.names
    assert rows.tobytes() == expected.tobytes()


@each_piece
def test_the_program_of_the_page_reads_them(data_type: str) -> None:
    page = (ROOT / "docs" / "format.md").read_text(encoding="utf-8")
    found = re.search(
        r"<!-- file: read_columns.py -->\s*```python\n(.*?)^```", page, re.DOTALL | re.MULTILINE
    )
    assert found is not None
    program: dict[str, Any] = {}
    exec(compile(found[1], "read_columns.py", "exec"), program)  # noqa: S102 - of our own page
    rows = list(program["read"](GOLDEN / sample_key("run_7", data_type).name))

    assert len(rows) == {"filtered": 4, "odd": 1, "small": 1}[data_type]
    assert b"".join(part.tobytes() for part in rows) == stored(data_type).tobytes()


def test_the_golden_files_are_small_and_have_every_filter() -> None:
    used = set()
    for data_type in PIECES:
        backend = open_backend({"backend": "local", "path": str(GOLDEN)})
        key = sample_key("run_7", data_type).name
        for info in backend.get_metadata(key).chunks:
            if info.n:
                data = (GOLDEN / key / str(info.filename)).read_bytes()
                _, size, index_bytes, *_ = (info.codec or {})["segments"][0]
                index = data[size - index_bytes : size]
                n_fields, n_blocks = np.frombuffer(index, "<u4", 2, 8)
                fields = np.frombuffer(index, "u1", 8 * n_fields, 32 + 16 * n_blocks)
                for width, filters, *_, other in fields.reshape(-1, 8)[:, [0, 1, 7]].tolist():
                    used.add((min(width, 2), filters & 1, filters & 2, other != 255))

    assert len({one[1] for one in used}) == len({one[2] for one in used}) == 2
    assert {one[3] for one in used} == {False, True}
    assert sum(path.stat().st_size for path in GOLDEN.rglob("*")) < 100_000
