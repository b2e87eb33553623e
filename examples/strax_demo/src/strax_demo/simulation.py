"""The physics of the demo, in plain numpy: a detector that sees two flashes of light an event.

A calibration source gives every event the same energy. A first flash comes at once; electrons then
drift for up to 0.8 ms, some are lost on the way, and the rest make the second flash.
"""

import zlib
from collections import Counter
from typing import Any

import numpy as np

Rows = np.ndarray[Any, np.dtype[Any]]

SAMPLES = 100  # of one waveform
SAMPLE_NS = 10
RUN_START_NS = 1_700_000_000_000_000_000
CHUNK_NS = 5_000_000_000
EVENTS_PER_CHUNK_MAX = 850  # so that two events never run into each other
FIRST_ELECTRONS, SECOND_ELECTRONS = 40, 120  # the flashes of one event, without losses
LINE_KEV = 41.5  # energy of the source
DRIFT_US = (20.0, 800.0)
TRUE_ELIFE_US = 650.0  # after this time 1/e of the drifting electrons are left
COUNTS_PER_ELECTRON = 320.0
GAP_IN_EVENT_NS = 1_500_000  # the longest silence inside an event

RECORD = np.dtype(
    [
        ("time", "i8"),
        ("length", "i4"),
        ("dt", "i4"),
        ("channel", "i2"),
        ("waveform", "i2", (SAMPLES,)),
    ]
)
PEAK = np.dtype(
    [
        ("time", "i8"),
        ("endtime", "i8"),
        ("area", "f4"),
        ("height", "i2"),
        ("n_hits", "i4"),
    ]
)
EVENT = np.dtype(
    [
        ("time", "i8"),
        ("endtime", "i8"),
        ("n_peaks", "i4"),
        ("drift_us", "f4"),
        ("first_area", "f4"),
        ("second_area", "f4"),
        ("energy_kev", "f4"),
    ]
)
# On average this many records an event: few electrons are lost on a short way, many on a long one.
RECORDS_PER_EVENT = FIRST_ELECTRONS + SECOND_ELECTRONS * TRUE_ELIFE_US / np.ptp(DRIFT_US) * (
    np.exp(-DRIFT_US[0] / TRUE_ELIFE_US) - np.exp(-DRIFT_US[1] / TRUE_ELIFE_US)
)
BYTES_PER_EVENT = float(RECORDS_PER_EVENT) * RECORD.itemsize

chunks_made: Counter[str] = Counter()
"""By data type: the demo compares it with what it claims was made."""


def chunk_times(chunk_i: int) -> tuple[int, int]:
    """Return start and end of a chunk of the run, ns since the Unix epoch."""
    start = RUN_START_NS + chunk_i * CHUNK_NS
    return start, start + CHUNK_NS


def simulate_records(run_id: str, chunk_i: int, n_events: int) -> Rows:
    """Return the waveforms of one chunk, sorted by time; the same for the same run and chunk."""
    chunks_made["records"] += 1
    random = np.random.default_rng([zlib.crc32(run_id.encode()), chunk_i])
    time = _hit_times(random, chunk_i, n_events)
    n = len(time)
    rows = np.zeros(n, dtype=RECORD)
    rows["time"] = time
    rows["length"], rows["dt"] = SAMPLES, SAMPLE_NS
    rows["channel"] = random.integers(0, 256, n)
    charge = COUNTS_PER_ELECTRON * np.maximum(random.normal(1, 0.3, n), 0.1).astype("f4")
    rows["waveform"] = np.rint(charge[:, np.newaxis] * _pulse())
    rows["waveform"] += random.integers(-2, 3, (n, SAMPLES), dtype="i1")
    return rows


def find_peaks(records: Rows, *, gain: float, gap_ns: int) -> Rows:
    """Join waveforms that follow each other closely; areas in electrons."""
    chunks_made["peaks"] += 1
    if not len(records):
        return np.zeros(0, dtype=PEAK)
    time = records["time"]
    end = time + records["length"].astype("i8") * records["dt"]
    first = _starts_of_groups(time, end, gap_ns)
    rows = np.zeros(len(first), dtype=PEAK)
    waveforms = records["waveform"]
    rows["time"] = time[first]
    rows["endtime"] = np.maximum.reduceat(end, first)
    rows["area"] = np.add.reduceat(waveforms.sum(axis=1, dtype="i8"), first) / gain
    rows["height"] = np.maximum.reduceat(waveforms.max(axis=1), first)
    rows["n_hits"] = np.diff(first, append=len(records))
    return rows


def build_events(peaks: Rows, *, elife_us: float) -> Rows:
    """Join the peaks of an event; the energy corrects for electrons lost while they drifted."""
    chunks_made["events"] += 1
    if not len(peaks):
        return np.zeros(0, dtype=EVENT)
    first = _starts_of_groups(peaks["time"], peaks["endtime"], GAP_IN_EVENT_NS)
    last = np.append(first[1:], len(peaks)) - 1
    rows = np.zeros(len(first), dtype=EVENT)
    rows["time"] = peaks["time"][first]
    rows["endtime"] = np.maximum.reduceat(peaks["endtime"], first)
    rows["n_peaks"] = last - first + 1
    rows["drift_us"] = (peaks["time"][last] - peaks["time"][first]) / 1e3
    rows["first_area"] = peaks["area"][first]
    rows["second_area"] = np.add.reduceat(peaks["area"], first) - rows["first_area"]
    corrected = rows["second_area"] * np.exp(rows["drift_us"] / elife_us)
    kev_per_electron = LINE_KEV / (FIRST_ELECTRONS + SECOND_ELECTRONS)
    rows["energy_kev"] = (rows["first_area"] + corrected) * kev_per_electron
    return rows


def _hit_times(random: np.random.Generator, chunk_i: int, n_events: int) -> Rows:
    start, end = chunk_times(chunk_i)
    slot_ns = (end - start) // n_events  # each event has a slot of its own
    event = start + slot_ns * np.arange(n_events) + random.integers(0, slot_ns // 4, n_events)
    drift_us = random.uniform(*DRIFT_US, n_events)
    kept = np.exp(-drift_us / TRUE_ELIFE_US)
    n_first = np.maximum(random.poisson(FIRST_ELECTRONS, n_events), 3)
    n_second = np.maximum(random.poisson(SECOND_ELECTRONS * kept), 3)
    of_first = np.repeat(event, n_first) + random.exponential(100, n_first.sum()).astype("i8")
    of_second = np.repeat(event + (drift_us * 1e3).astype("i8"), n_second)
    of_second += 3_000 + random.normal(0, 600, n_second.sum()).astype("i8")
    times: Rows = np.sort(np.concatenate([of_first, of_second]))
    return times


def _pulse() -> Rows:
    """The waveform of one electron, of area 1."""
    at = np.arange(SAMPLES, dtype="f4")
    shape: Rows = np.where(at < 20, 0, np.exp(-(at - 20) / 12) * (1 - np.exp(-(at - 20) / 2)))  # noqa: PLR2004 - the pulse starts at sample 20
    shape /= shape.sum()
    return shape


def _starts_of_groups(time: Rows, end: Rows, gap_ns: int) -> Rows:
    """Return where a row comes later than `gap_ns` after the end of all rows before it."""
    latest_end = np.maximum.accumulate(end)
    starts_late = time[1:] - latest_end[:-1] > gap_ns
    starts: Rows = np.flatnonzero(np.concatenate([[True], starts_late]))
    return starts
