"""Metadata whose lineage stays a text: what comes out is what `json.loads` gives."""

import json
import pickle
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from strax_core import DataCorrupted, Lineage
from strax_core.format.lineage_text import LineageText, parse
from strax_core.format.metadata import Metadata, encode_document
from strax_core.testing import sample_key, sample_metadata

LINEAGE = {"peaks": ["Peaks", "0.1.0", {"gain": 5.0, "a": [], "text": 'x"\n    }', "none": {}}]}
DOCUMENT: dict[str, Any] = {
    **sample_metadata(sample_key()),
    "compressor": "zstd",
    "lineage": LINEAGE,
    "zzz": {"lineage": 3},
}
LAYOUTS: dict[str, Callable[[Any], bytes]] = {
    "ours": encode_document,
    "of strax": lambda document: json.dumps(document, sort_keys=True, indent=4).encode(),
    "lineage last": lambda document: json.dumps(
        {**{name: document[name] for name in document if name != "lineage"}, "lineage": LINEAGE},
        indent=4,
    ).encode(),
    "one line": lambda document: json.dumps(document).encode(),
    "indented by one": lambda document: json.dumps(document, indent=1).encode(),
    "utf-8": lambda document: json.dumps(
        {**document, "note": "ö"}, indent=4, ensure_ascii=False
    ).encode(),
}


def whole(raw: bytes) -> Any:
    """Parse, and ask for the lineage, too."""
    document = parse(raw)
    if isinstance(document, dict) and isinstance(document.get("lineage"), LineageText):
        document["lineage"] = document["lineage"].parsed()
    return document


def said(action: Callable[[bytes], Any], raw: bytes) -> Any:
    """Return what comes out as text, in which NaN equals NaN; or that it is no JSON."""
    try:
        return json.dumps(action(raw))
    except ValueError:
        return ValueError


@pytest.mark.parametrize("layout", LAYOUTS)
def test_metadata_say_what_their_json_says(layout: str) -> None:
    raw = LAYOUTS[layout](DOCUMENT)
    assert json.loads(Metadata.parse(raw, place="here").to_bytes()) == json.loads(raw)
    metadata = Metadata.parse(raw, place="here")
    copy = pickle.loads(pickle.dumps(metadata))  # noqa: S301

    for each in (metadata, copy):
        assert each.lineage == Lineage(LINEAGE)
        assert dict(each) == json.loads(raw)
        assert list(each) == list(json.loads(raw))


@pytest.mark.parametrize("layout", ["ours", "of strax", "lineage last"])
def test_a_lineage_that_many_have_is_parsed_once_and_belongs_to_each(
    layout: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    raw = LAYOUTS[layout](DOCUMENT)
    _ = parse(raw), Metadata.parse(raw, place="here").lineage
    parsed: list[str] = []
    honest = json.loads
    monkeypatch.setattr(json, "loads", lambda text: parsed.append(text) or honest(text))
    first, second = (Metadata.parse(raw, place="here") for _ in range(2))
    assert first.lineage == second.lineage
    assert [text for text in parsed if "gain" in text] == []

    first["lineage"]["peaks"][2]["gain"] = "changed"
    assert second["lineage"] == LINEAGE
    assert Metadata.parse(raw, place="here").lineage == Lineage(LINEAGE)


@pytest.mark.parametrize(
    "raw",
    [
        b'{\n    "lineage": {"a": 1},\n    "lineage": {"b": 2}\n}',
        b'{\n"deeper": {\n    "lineage": {"a": 1}\n},\n"lineage": {"b": 2}\n}',
        b'{\n"deeper": {\n    "lineage": {"a": 1}\n}\n}',
        b'[{\n    "lineage": {"a": 1}\n}]',
        b'{\n    "lineage": {"a": 1}, "b": 2\n}',
        b'{\n    "lineage": {"a": 1}}',
        b'{\n    "lineage": {\n        "a": 1}}',
        b'{\n    "lineage": ,\n    "b": 2\n}',
        b'{\n    "lineage": {"a": 1]\n}',
        b'{\n    "lineage": {"a": 1},,\n    "b": 2\n}',
        b'{\n    "lineage": "\\u0000the lineage"\n}',
        b'{\n    "lineage": null\n}',
        b'{\n    "lineage": \n}',
        b'\n    "lineage": ',
        b"",
        json.dumps({"lineage": {"a": 1}}, indent=4).encode("utf-16"),
    ],
)
def test_whatever_the_layout_the_result_is_that_of_json(raw: bytes) -> None:
    assert said(whole, raw) == said(json.loads, raw)


@given(
    st.sampled_from([LAYOUTS[name](DOCUMENT) for name in LAYOUTS]),
    st.data(),
    st.sampled_from(
        [b"", b"{", b"}", b'"', b",", b"\n", b"\n    }", b'\n    "lineage": ', b"[", b"0"]
    ),
)
def test_of_what_was_damaged_the_result_is_that_of_json(
    raw: bytes, data: st.DataObject, put: bytes
) -> None:
    start = data.draw(st.integers(0, len(raw)))
    end = data.draw(st.integers(start, min(len(raw), start + 20)))
    damaged = raw[:start] + put + raw[end:]

    assert said(whole, damaged) == said(json.loads, damaged)


@pytest.mark.parametrize("lineage", [b"[]", b'"text"', b"3", b"null", b'{"a": 1}', b"{"])
def test_a_lineage_that_is_none_is_told_with_its_place(lineage: bytes) -> None:
    raw = encode_document(DOCUMENT)
    line = next(each for each in raw.split(b"\n") if b'    "lineage"' in each)
    with pytest.raises(DataCorrupted, match=r"^here: "):
        _ = Metadata.parse(
            raw.replace(line, b'    "lineage": ' + lineage + b","), place="here"
        ).lineage
