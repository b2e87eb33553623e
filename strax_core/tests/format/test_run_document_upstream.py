import importlib
import json
from datetime import UTC, datetime, timedelta, timezone
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
from bson import json_util
from hypothesis import given
from hypothesis import strategies as st

from strax_core.errors import ConfigError
from strax_core.format.run_document import (
    decode_run_document,
    encode_run_document,
    run_document_name,
)

OFFSETS = st.integers(-86_399, 86_399).map(lambda s: timezone(timedelta(seconds=s)))
START = datetime(2020, 1, 1, 12, 0, 0, 123_000, tzinfo=timezone(timedelta(hours=5, minutes=30)))
DOCUMENT: dict[str, Any] = {
    "number": 7,
    "start": START,
    "end": datetime(2020, 1, 1, 13, 0, 0, 456_789),  # noqa: DTZ001 - upstream's are naive
    "livetime": 1.5,
    "mode": ["a", "b"],
    "tags": [{"name": "good", "date": datetime(1960, 1, 1, tzinfo=UTC)}],
    "reader": {"ini": {"name": "x"}},
    "strax_defaults": {"gain": 2.0},
}


def test_upstream_reads_our_document(upstream: ModuleType, tmp_path: Path) -> None:
    raw = encode_run_document(DOCUMENT, "run_7")
    (tmp_path / run_document_name("run_7")).write_bytes(raw)

    theirs = upstream.DataDirectory(str(tmp_path)).run_metadata("run_7")
    assert theirs["name"] == "run_7"
    assert theirs["start"].replace(tzinfo=UTC) == START
    assert theirs["end"] == DOCUMENT["end"]
    assert theirs["tags"][0]["date"].replace(tzinfo=UTC) == DOCUMENT["tags"][0]["date"]
    assert theirs["reader.ini.name"] == "x"
    assert theirs["strax_defaults"] == {"gain": 2.0}


def test_we_read_upstreams_document(upstream: ModuleType, tmp_path: Path) -> None:
    upstream.DataDirectory(str(tmp_path)).write_run_metadata("run_7", dict(DOCUMENT))

    raw = (tmp_path / run_document_name("run_7")).read_bytes()
    ours = decode_run_document(raw, "here")
    assert ours.pop("name") == "run_7"
    assert ours.pop("start") == START
    assert ours.pop("end") == datetime(2020, 1, 1, 13, 0, 0, 456_000, tzinfo=UTC)
    assert ours.pop("tags")[0]["date"] == DOCUMENT["tags"][0]["date"]
    assert ours == {k: DOCUMENT[k] for k in ours}
    assert len(ours) == 5


@given(moment=st.datetimes(datetime(2, 1, 1), datetime(9998, 1, 1), timezones=OFFSETS))  # noqa: DTZ001
def test_any_datetime_is_read_by_both(moment: datetime) -> None:
    raw = encode_run_document({"x": moment}, "run_7")

    theirs = json.loads(raw, object_hook=json_util.object_hook)["x"]
    assert timedelta(0) <= moment - theirs.replace(tzinfo=UTC) <= timedelta(microseconds=1)
    assert decode_run_document(raw, "here")["x"] == moment


def test_a_pandas_time_is_stored_if_that_loses_nothing() -> None:
    pd = importlib.import_module("pandas")  # untyped
    raw = encode_run_document({"x": pd.Timestamp("2020-01-01T12:00:00.123456+02:00")}, "run_7")

    expected = datetime(2020, 1, 1, 10, 0, 0, 123_456, tzinfo=UTC)
    assert decode_run_document(raw, "here")["x"] == expected
    for moment in (pd.Timestamp("2020-01-01T12:00:00.123456789Z"), pd.NaT):
        with pytest.raises(ConfigError, match="'x': no UTC time in whole microseconds"):
            encode_run_document({"x": moment}, "run_7")
