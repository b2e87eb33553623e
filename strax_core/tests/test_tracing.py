"""STRAX_TRACE: it is read when core is imported, so each test starts a process."""

import os
import re
import subprocess
import sys

import pytest

PROGRAM = """
import logging

import numpy as np
import strax_core as sc

logging.basicConfig(level=logging.DEBUG)


class Records(sc.Plugin):
    provides = "records"
    dtype = [("time", "i8"), ("endtime", "i8"), ("adc", "i4")]

    def chunks(self):
        rows = np.zeros(3, self.dtype)
        rows["time"] = np.arange(3)
        rows["endtime"] = rows["time"] + 1
        yield self.chunk(start=0, end=10, data=rows)


class Leaky(sc.StorageFrontend):
    def _find(self, key, match):
        raise ValueError("password=hunter2")


leaky = Leaky({"main": sc.MemoryBackend()}, name="leaky", storage_type=-1)
ctx = sc.Context([leaky, {"frontend": "memory", "name": "notes"}], plugins=[Records])
ctx.make("run_7", "records")
ctx.get_array("run_7", "records")
ctx.availability(["run_7"], "records")
ctx.write_run_metadata("run_7", {"mode": "x"})
list(ctx.scan_runs())
"""


def traced(value: str | None) -> list[str]:
    environment = {} if value is None else {"STRAX_TRACE": value}
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM],
        capture_output=True,
        text=True,
        check=True,
        env={**os.environ, **environment},
    )
    assert done.stdout == ""
    return done.stderr.splitlines()


@pytest.fixture(scope="module")
def lines() -> list[str]:
    return [line for line in traced("1") if line.startswith("strax: ") or ".trace" in line]


@pytest.mark.parametrize("value", [None, "", "0"])
def test_without_it_nothing_is_traced(value: str | None) -> None:
    assert [line for line in traced(value) if line.startswith("strax:")] == []


def test_each_line_says_who_was_asked_what_was_the_answer_and_how_long_it_took(
    lines: list[str],
) -> None:
    form = re.compile(r"strax: (\S+): (.*) -> (.*) \((\d+\.\d) ms\)")

    assert lines
    assert [line for line in lines if form.fullmatch(line) is None] == []


@pytest.mark.parametrize(
    "wanted",
    [
        r"leaky: find\(run_7-records-\w+, Match\(\)\) -> ValueError \(",
        r"leaky: has it run_7-records-\w+\? -> ValueError \(",
        r"notes: has it run_7-records-\w+\? -> DataNotAvailable: .*there is no",
        r"notes: has it run_7-records-\w+\? -> yes, in main/run_7-records-\w+ \(",
        r"notes: targets\(run_7-records-\w+\) -> \[Location\(backend='main', .*\]",
        r"memory://: write\('.*/records-\w+-000000', \[\d+ bytes.*\]\) -> done",
        r"memory://: rename\('.staging/.*/data', 'run_7-records-\w+'\) -> done",
        r"memory://: read\('run_7-records-\w+/.*metadata.json'\) -> ObjectMissing: memory://",
        r"memory://: read\('run_7-records-\w+/.*metadata.json'\) -> \d+ bytes",
        r"memory://: list\('', starts_with=''\) -> 1 items",
        r"notes: committed\(",
        r"notes: find_several\(\[run_7-records-\w+\], Match\(\)\) -> 1 items",
        r"notes: write_run_metadata\('run_7', 1 fields\) -> done",
        r"notes: scan_runs\(\) -> 1 items",
    ],
)
def test_questions_to_frontends_and_backends_are_told(lines: list[str], wanted: str) -> None:
    assert [line for line in lines if re.search(wanted, line)] != []


def test_texts_of_errors_that_are_not_ours_are_left_out(lines: list[str]) -> None:
    assert "hunter2" not in "\n".join(lines)


def test_a_line_is_written_once_whatever_the_program_logs(lines: list[str]) -> None:
    assert [line for line in lines if "strax_core.trace" in line] == []
