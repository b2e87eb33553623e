import json
import time
from collections.abc import Iterator
from datetime import UTC, date, datetime, timedelta, timezone, tzinfo
from typing import Any
from uuid import UUID
from zoneinfo import ZoneInfo

import numpy as np
import pytest

from strax_core.errors import ConfigError, DataCorrupted
from strax_core.format.run_document import (
    decode_run_document,
    encode_run_document,
    per_run_defaults,
    run_document_name,
    run_id_of_document,
    select_fields,
)

EAST = timezone(timedelta(hours=2))
NOON = datetime(2020, 1, 1, 12, tzinfo=UTC)
DOCUMENT = {"name": "run_7", "reader": {"ini": {"name": "x", "n": 5}}, "mode": "test", "a.b": 1}


def stored(document: dict[Any, Any]) -> dict[str, Any]:
    """What is in the file, read without our reader."""
    plain: dict[str, Any] = json.loads(encode_run_document(document, "run_7"))
    return plain


def read(text: str) -> Any:
    """What our reader makes of a value written by someone else."""
    return decode_run_document(f'{{"x": {text}}}'.encode(), "here")["x"]


def and_back(value: object) -> Any:
    return decode_run_document(encode_run_document({"x": value}, "run_7"), "here")["x"]


def test_a_run_document_is_named_after_its_run() -> None:
    assert run_document_name("run_7") == "run_7-metadata.json"
    assert run_id_of_document("run_7-metadata.json") == "run_7"


@pytest.mark.parametrize(
    "name",
    [
        "",
        "run_7",
        "-metadata.json",
        "metadata.json",
        "run_7-metadata.json.tmp",
        "peaks-2vrzk36v3x-metadata.json",
        "_superrun-metadata.json",
        "a/b-metadata.json",
        ".hidden-metadata.json",
    ],
)
def test_another_file_is_no_run_document(name: str) -> None:
    assert run_id_of_document(name) is None


def test_a_run_id_that_would_leave_the_folder_is_refused() -> None:
    with pytest.raises(ConfigError, match="run id"):
        run_document_name("../x")
    with pytest.raises(ConfigError, match="run id"):
        encode_run_document({}, "a/b")


def test_a_document_is_ascii_json_with_four_spaces() -> None:
    raw = encode_run_document({"name": "é", "n": [1]}, "run_7")

    assert raw == b'{\n    "name": "\\u00e9",\n    "n": [\n        1\n    ]\n}'


def test_the_order_of_keys_is_kept() -> None:
    spec = {"run_9": "all", "run_10": "all", "run_1": "all"}

    assert list(stored({"z": 1, "name": "x", "a": 1})) == ["z", "name", "a"]
    assert list(stored({"sub_run_spec": spec})["sub_run_spec"]) == list(spec)
    assert list(and_back(spec)) == list(spec)


def test_a_missing_name_is_added_to_a_copy() -> None:
    document = {"mode": "test"}

    assert stored(document) == {"name": "run_7", "mode": "test"}
    assert document == {"mode": "test"}


def test_another_name_is_kept() -> None:
    assert stored({"name": "other"}) == {"name": "other"}


@pytest.mark.parametrize(
    ("moment", "text"),
    [
        (NOON, "2020-01-01T12:00:00Z"),
        (NOON.replace(tzinfo=None), "2020-01-01T12:00:00Z"),
        (NOON.replace(tzinfo=ZoneInfo("UTC")), "2020-01-01T12:00:00Z"),
        (NOON.replace(microsecond=120_000), "2020-01-01T12:00:00.120Z"),
        (NOON.replace(microsecond=123_456), "2020-01-01T12:00:00.123456Z"),
        (NOON.replace(tzinfo=EAST), "2020-01-01T12:00:00+02:00"),
        (datetime(2020, 7, 1, 12, tzinfo=ZoneInfo("Europe/Rome")), "2020-07-01T12:00:00+02:00"),
        (datetime(2020, 1, 1, 12, tzinfo=ZoneInfo("Asia/Kolkata")), "2020-01-01T12:00:00+05:30"),
        (
            datetime(2020, 1, 1, 12, tzinfo=timezone(timedelta(hours=-3, seconds=-20))),
            "2020-01-01T15:00:20Z",
        ),
        (datetime(1950, 1, 1, tzinfo=UTC), "1950-01-01T00:00:00Z"),
    ],
)
def test_a_datetime_keeps_instant_microseconds_and_offset(moment: datetime, text: str) -> None:
    aware = moment if moment.tzinfo else moment.replace(tzinfo=UTC)

    assert stored({"x": moment})["x"] == {"$date": text}
    assert and_back(moment) == aware
    if "+" in text:
        assert and_back(moment).utcoffset() == aware.utcoffset()


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ('"2020-01-01T12:00:00Z"', NOON),
        ('"2020-01-01T12:00:00"', NOON),
        ('"2020-01-01T12:00:00.5Z"', NOON.replace(microsecond=500_000)),
        ('"2020-01-01T12:00:00.123Z"', NOON.replace(microsecond=123_000)),
        ('"2020-01-01T12:00:00.123456Z"', NOON.replace(microsecond=123_456)),
        ('"2020-01-01T14:00:00.123+0200"', NOON.replace(microsecond=123_000)),
        ('"2020-01-01T14:00:00+02:00"', NOON),
        ('"2020-01-01T14:00:00+02"', NOON),
        ("1577880000000", NOON),
        ("1577880000123", NOON.replace(microsecond=123_000)),
        ("-1", datetime(1969, 12, 31, 23, 59, 59, 999_000, tzinfo=UTC)),
        ('{"$numberLong": "1577880000000"}', NOON),
        ('{"$numberLong": "-631152000000"}', datetime(1950, 1, 1, tzinfo=UTC)),
    ],
)
def test_every_form_of_a_date_is_read(text: str, expected: datetime) -> None:
    moment = read(f'{{"$date": {text}}}')

    assert moment == expected
    assert moment.tzinfo is not None


@pytest.mark.parametrize(
    "value",
    [
        {"$date": "2020-01-01T12:00:00Z", "by": "me"},
        {"$date": "junk"},
        {"$date": None},
        {"$date": True},
        {"$date": [1]},
        {"$date": 10**20},
        {"$date": NOON.isoformat() + "junk"},
        {"$oid": 5},
        {"$numberLong": "five"},
        {"$numberInt": 1.5},
        {"$numberLong": "1", "$oid": "2"},
        {"$other": 1},
        {},
    ],
)
def test_a_dictionary_that_only_looks_like_a_date_stays_one(value: object) -> None:
    assert read(json.dumps(value)) == value
    assert and_back(value) == value


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ('{"$numberLong": "5"}', 5),
        ('{"$numberLong": 5}', 5),
        ('{"$numberInt": "-5"}', -5),
        ('{"$numberDouble": "2.5"}', 2.5),
        ('{"$oid": "507f1f77bcf86cd799439011"}', "507f1f77bcf86cd799439011"),
        ('[{"y": {"$numberLong": "5"}}]', [{"y": 5}]),
    ],
)
def test_other_values_of_mongodb_are_read(text: str, expected: object) -> None:
    assert read(text) == expected


def test_numpy_values_become_plain_ones() -> None:
    values = [np.int8(1), np.float32(0.5), np.True_, np.str_("x"), np.array([[1, 2]]), (3,)]

    assert json.dumps(stored({"x": values})["x"]) == '[1, 0.5, true, "x", [[1, 2]], [3]]'


def test_nan_is_written_as_python_does() -> None:
    assert b"NaN" in encode_run_document({"x": float("nan")}, "run_7")
    assert and_back(float("nan")) != and_back(float("nan"))


class NoOffset(tzinfo):
    def utcoffset(self, _: datetime | None) -> None:
        return None

    dst = tzname = utcoffset


@pytest.fixture
def _far_from_utc(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    with monkeypatch.context() as patch:
        patch.setenv("TZ", "Asia/Tokyo")
        time.tzset()
        yield
    time.tzset()


@pytest.mark.usefixtures("_far_from_utc")
@pytest.mark.parametrize("zone", [None, NoOffset()])
def test_a_datetime_without_an_offset_is_utc_wherever_the_machine_is(zone: tzinfo | None) -> None:
    assert and_back(NOON.replace(tzinfo=zone)) == NOON


@pytest.mark.parametrize(
    ("value", "message"),
    [
        ({1, 2}, "'start.foo': a value of type set"),
        (b"x", "'start.foo': a value of type bytes"),
        (object(), "'start.foo': a value of type object"),
        (date(2020, 1, 1), "'start.foo': a value of type date"),
        (UUID(int=1), "'start.foo': a value of type UUID"),
        (np.datetime64("2020"), "'start.foo': a value of type datetime64"),
        (np.timedelta64(1, "s"), "'start.foo': a value of type timedelta64"),
        (np.array(["2020"], "M8[ns]"), "'start.foo': an array of datetime64"),
        ([1, {"bar": 1j}], r"'start\.foo\.1\.bar': a value of type complex"),
        ({1: 2}, r"'start\.foo\.1': its key is of type int"),
        (datetime.min.replace(tzinfo=EAST), r"'start\.foo': no UTC time"),
        pytest.param(10**5000, "too many digits", id="long"),
    ],
)
def test_what_json_cannot_keep_is_refused_with_its_field(value: object, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        encode_run_document({"start": {"foo": value}}, "run_7")


def test_a_document_that_contains_itself_is_refused() -> None:
    document: dict[str, Any] = {}
    document["x"] = document

    with pytest.raises(ConfigError, match="contains itself"):
        encode_run_document(document, "run_7")


def test_a_document_is_a_dictionary() -> None:
    with pytest.raises(ConfigError, match="list; give a dict"):
        encode_run_document([1], "run_7")  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("raw", "cause"),
    [
        (b"", ValueError),
        (b"{", ValueError),
        (b'{"a": 1} x', ValueError),
        (b"\xff\xfe\xfd", ValueError),
        (b'{"a": ' * 100_000, RecursionError),
        (b"[1]", None),
        (b"null", None),
        (b'{"$date": 1}', None),
        (b'{"x": %s}' % (b"9" * 5000), ValueError),
    ],
)
def test_a_broken_document_is_corrupt_and_names_its_place(
    raw: bytes, cause: type[Exception] | None
) -> None:
    with pytest.raises(DataCorrupted, match=r"run document /data/run_7\.json") as caught:
        decode_run_document(raw, "/data/run_7.json")

    assert isinstance(caught.value.__cause__, cause or type(None))


def test_a_document_comes_back_nested() -> None:
    assert decode_run_document(encode_run_document(DOCUMENT, "run_7"), "here") == DOCUMENT


@pytest.mark.parametrize(
    ("fields", "expected"),
    [
        (None, DOCUMENT),
        ("mode", {"mode": "test"}),
        ("mod", {}),
        ("reader.ini.name", {"reader.ini.name": "x"}),
        ("reader.ini", {"reader.ini": {"name": "x", "n": 5}}),
        (["name", "reader.ini.n", "absent"], {"name": "run_7", "reader.ini.n": 5}),
        (iter(("mode",)), {"mode": "test"}),
        ("name.x", {}),
        ("reader.absent.name", {}),
        ("reader.", {}),
        ("a.b", {"a.b": 1}),
        ((), {}),
        ("", {}),
    ],
)
def test_fields_are_selected_by_path(fields: Any, expected: dict[str, Any]) -> None:
    assert select_fields(DOCUMENT, fields) == expected


def test_all_fields_are_a_copy() -> None:
    document = {"name": "run_7"}
    select_fields(document, None)["name"] = "other"

    assert document == {"name": "run_7"}


@pytest.mark.parametrize("value", [None, False, 0, ""])
def test_a_field_with_an_empty_value_is_there(value: object) -> None:
    assert select_fields({"x": {"y": value}}, "x.y") == {"x.y": value}


@pytest.mark.parametrize("fields", [5, b"name", [b"name"], [None], ["name", ["mode"]]])
def test_fields_are_str(fields: Any) -> None:
    with pytest.raises(ConfigError, match="give a str"):
        select_fields(DOCUMENT, fields)


def test_per_run_defaults_are_a_dictionary_or_absent() -> None:
    document = {"name": "run_7", "strax_defaults": {"gain": 2.0}}
    per_run_defaults(document)["gain"] = 3.0

    assert per_run_defaults(document) == {"gain": 2.0}
    assert per_run_defaults({"name": "run_7"}) == {}


@pytest.mark.parametrize("defaults", [None, [], "gain"])
def test_other_per_run_defaults_are_refused(defaults: object) -> None:
    with pytest.raises(ConfigError, match="strax_defaults of run run_7"):
        per_run_defaults({"name": "run_7", "strax_defaults": defaults})
