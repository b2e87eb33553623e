"""The contract of run documents: what is kept comes back, to the microsecond, field by field."""

from datetime import UTC, datetime, timedelta, timezone

import pytest

from strax_core.errors import ConfigError, DataCorrupted, ReadOnlyError, RunMetadataNotAvailable
from strax_core.frontend import StorageFrontend
from strax_core.testing.frontend_base import FrontendBase, OpenFrontend, PutDocument
from strax_core.testing.raw import RawAccess

TOKYO = timezone(timedelta(hours=9))
DOCUMENT = {
    "name": "run_1",
    "start": datetime(2024, 2, 29, 23, 59, 59, 999_999, tzinfo=UTC),
    "end": datetime(2024, 3, 1, 9, 30, 0, 1, tzinfo=TOKYO),
    "mode": "räuschen 测试",
    "reader": {"ini": {"name": "reader", "boards": [1, 2, {"channel": 7}]}, "na": None},
    "rate": {"a": 1.5, "b": -0.0},
    "n_events": 2**53 + 1,
    "tags": ["a", "b"],
    "is_good": True,
    "m": "one letter of the word mode",
}


class DocumentChecks(FrontendBase):
    """`write_run_metadata`, `run_metadata`, `scan_runs`."""

    def test_a_document_comes_back_as_it_was(
        self, frontend: StorageFrontend, open_frontend: OpenFrontend, put_document: PutDocument
    ) -> None:
        if not self.keeps_run_documents:
            return
        put_document("run_1", DOCUMENT)

        for each in (frontend, open_frontend()):
            document = each.run_metadata("run_1")
            assert document == DOCUMENT
            assert document["end"].utcoffset() == timedelta(hours=9)
            assert document["start"].microsecond == 999_999

    def test_a_later_document_replaces_an_earlier_one(
        self, frontend: StorageFrontend, open_frontend: OpenFrontend
    ) -> None:
        if not self.keeps_run_documents or not self.takes_data:
            return
        frontend.write_run_metadata("run_1", DOCUMENT)
        open_frontend().write_run_metadata("run_1", {"mode": "other"})

        assert frontend.run_metadata("run_1") == {"name": "run_1", "mode": "other"}
        assert [one["mode"] for one in frontend.scan_runs()] == ["other"]

    def test_fields_are_asked_by_their_whole_names(
        self, frontend: StorageFrontend, put_document: PutDocument
    ) -> None:
        if not self.keeps_run_documents:
            return
        put_document("run_1", DOCUMENT)
        nested = {"reader.ini.name": "reader"}

        assert frontend.run_metadata("run_1", "mode") == {"mode": DOCUMENT["mode"]}
        assert frontend.run_metadata("run_1", "mod") == {}
        assert frontend.run_metadata("run_1", ["mode", "m"]).keys() == {"mode", "m"}
        assert frontend.run_metadata("run_1", "reader.ini.name") == nested
        assert frontend.run_metadata("run_1", ("missing", "reader.ini.missing")) == {}
        assert list(frontend.scan_runs("m")) == [{"m": DOCUMENT["m"]}]
        assert list(frontend.scan_runs(["reader.ini.name", "missing"])) == [nested]

    def test_all_runs_are_scanned_each_once(
        self, frontend: StorageFrontend, open_frontend: OpenFrontend, put_document: PutDocument
    ) -> None:
        if not self.keeps_run_documents:
            return
        assert list(frontend.scan_runs()) == []
        names = [f"run_{i}" for i in range(12)]
        for name in names:
            put_document(name, {"mode": name})

        scanned = list(open_frontend().scan_runs(["name", "mode"]))
        assert sorted(one["name"] for one in scanned) == sorted(names)
        assert all(one["name"] == one["mode"] for one in scanned)

    def test_a_run_without_a_document_says_so(
        self, frontend: StorageFrontend, put_document: PutDocument
    ) -> None:
        if self.keeps_run_documents:
            put_document("run_10", {"mode": "x"})

        for run_id in ("run_1", "run_100", "run"):
            with pytest.raises(RunMetadataNotAvailable):
                frontend.run_metadata(run_id)

    def test_what_is_no_run_and_no_document_is_refused(self, frontend: StorageFrontend) -> None:
        if not self.keeps_run_documents or not self.takes_data:
            with pytest.raises(ReadOnlyError):
                frontend.write_run_metadata("run_1", DOCUMENT)
            return
        for run_id in ("", "../run_1", "run-1", ".run", "a/b"):
            with pytest.raises(ConfigError):
                frontend.write_run_metadata(run_id, {})
            with pytest.raises(ConfigError):
                frontend.run_metadata(run_id)
        with pytest.raises(ConfigError):
            frontend.write_run_metadata("run_1", {"thing": object()})

        assert list(frontend.scan_runs()) == []

    def test_a_damaged_document_spoils_no_other(
        self, frontend: StorageFrontend, raw: RawAccess | None, put_document: PutDocument
    ) -> None:
        if raw is None or not self.keeps_run_documents:
            return
        put_document("run_1", {"mode": "good"})
        raw.write("run_2-metadata.json", b"{")
        raw.write("my-own-metadata.json", b"{}")
        raw.write("run_3-metadata.json/file", b"{}")

        assert [one["name"] for one in frontend.scan_runs()] == ["run_1"]
        with pytest.raises(DataCorrupted):
            frontend.run_metadata("run_2")
