"""Simulated data of a time projection chamber: the same arrays for every peer.

`README.md` describes them. Rows come in blocks of about 20 MB, as a source would give them: no row
crosses from one block into the next.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

Rows = np.ndarray[Any, np.dtype[Any]]
Floats = np.ndarray[Any, np.dtype[np.float64]]

SEED = 20
BLOCK_BYTES = 20_000_000
RUN_START_NS = 1_700_000_000_000_000_000
N_PMTS, N_TOP = 494, 253
SAMPLES = 110
WAVEFORM = 200
SAMPLE_NS = 10

RAW_RECORDS = np.dtype(
    [
        ("time", "<i8"),
        ("length", "<i4"),
        ("dt", "<i2"),
        ("channel", "<i2"),
        ("pulse_length", "<i4"),
        ("record_i", "<i2"),
        ("baseline", "<i2"),
        ("data", "<i2", (SAMPLES,)),
    ]
)
PEAK_BASICS = np.dtype(
    [
        ("time", "<i8"),
        ("endtime", "<i8"),
        ("center_time", "<i8"),
        ("area", "<f4"),
        ("n_hits", "<i4"),
        ("n_channels", "<i2"),
        ("n_top_channels", "<i2"),
        ("max_pmt", "<i2"),
        ("max_pmt_area", "<f4"),
        ("n_saturated_channels", "<i2"),
        ("range_50p_area", "<f4"),
        ("range_90p_area", "<f4"),
        ("area_fraction_top", "<f4"),
        ("length", "<i4"),
        ("dt", "<i4"),
        ("rise_time", "<f4"),
        ("tight_coincidence", "<i2"),
        ("type", "<i1"),
        ("median_time", "<f4"),
        ("max_goodness_of_split", "<f4"),
        ("max_diff", "<i4"),
        ("min_diff", "<i4"),
    ]
)
PEAKS = np.dtype(
    [
        ("time", "<i8"),
        ("length", "<i4"),
        ("dt", "<i4"),
        ("channel", "<i2"),
        ("type", "<i1"),
        ("area", "<f4"),
        ("area_fraction_top", "<f4"),
        ("area_per_channel", "<f4", (N_PMTS,)),
        ("n_hits", "<i4"),
        ("data", "<f4", (WAVEFORM,)),
        ("center_time", "<i8"),
        ("median_time", "<f4"),
        ("width", "<f4", (11,)),
        ("area_decile_from_midpoint", "<f4", (11,)),
        ("n_saturated_channels", "<i2"),
        ("tight_coincidence", "<i2"),
        ("max_gap", "<i4"),
        ("max_goodness_of_split", "<f4"),
    ]
)


@dataclass(frozen=True)
class Signals:
    """What the detector saw: one entry a peak."""

    area_pe: Floats
    width_ns: Floats
    is_s2: np.ndarray[Any, np.dtype[np.bool_]]


def signals(randomness: np.random.Generator, n: int) -> Signals:
    """Draw small scintillation signals (S1), lone hits among them, and large, wide ones (S2)."""
    is_s2 = randomness.random(n) < 0.4  # noqa: PLR2004
    area = np.where(is_s2, randomness.lognormal(5.5, 1.6, n), randomness.lognormal(1.6, 1.3, n))
    width = np.where(is_s2, randomness.lognormal(6.7, 0.6, n), randomness.lognormal(4.0, 0.5, n))
    return Signals(area, width, is_s2)


def starts_ns(randomness: np.random.Generator, duration_ns: Floats, gap_ns: float) -> Any:
    """Return when things begin that follow one another with random gaps, relative to the first."""
    gaps = randomness.exponential(gap_ns, len(duration_ns)) + SAMPLE_NS
    steps = (np.asarray(duration_ns, np.int64) + gaps.astype(np.int64)) // SAMPLE_NS * SAMPLE_NS
    return np.concatenate([[0], np.cumsum(steps[:-1])])


def raw_records(randomness: np.random.Generator, n: int) -> Rows:
    """Pulses of single channels, cut into records of 110 samples; the last one is padded."""
    samples = np.where(
        randomness.random(n) < 0.12,  # noqa: PLR2004
        randomness.integers(SAMPLES, 8 * SAMPLES, n),
        randomness.normal(68, 12, n).astype(int).clip(20, SAMPLES),
    )
    n_fragments = -(-samples // SAMPLES)
    pulse = np.repeat(np.arange(n), n_fragments)[:n]
    first = np.concatenate([[0], np.cumsum(n_fragments)])[pulse]
    rows = np.zeros(n, RAW_RECORDS)
    rows["record_i"] = np.arange(n) - first
    rows["pulse_length"] = samples[pulse]
    rows["length"] = (samples[pulse] - rows["record_i"] * SAMPLES).clip(1, SAMPLES)
    rows["dt"] = SAMPLE_NS
    channels = randomness.integers(0, N_PMTS, n)
    rows["channel"] = channels[pulse]
    begins = np.cumsum(randomness.exponential(600, n).astype(np.int64) // SAMPLE_NS * SAMPLE_NS)
    rows["time"] = begins[pulse] + rows["record_i"].astype(np.int64) * SAMPLES * SAMPLE_NS
    levels = np.random.default_rng(SEED).normal(16_000, 30, N_PMTS).round()
    rows["baseline"] = levels[rows["channel"]]
    at = np.arange(SAMPLES)
    height = randomness.lognormal(3.6, 0.8, n).clip(0, 12_000)[:, None]
    begin = randomness.normal(22, 4, n)[:, None]
    since = np.float32(at - begin)
    shape = np.where(since > 0, np.exp(-since / 4.0), np.exp(np.minimum(since, 0) * 2.0))
    noise = randomness.standard_normal((n, SAMPLES), np.float32) * np.float32(1.7)
    wave = rows["baseline"][:, None] + np.rint(noise - np.float32(height) * shape)
    rows["data"] = np.where(at < rows["length"][:, None], wave, 0)
    return rows[np.argsort(rows["time"], kind="stable")]


def peak_basics(randomness: np.random.Generator, n: int) -> Rows:
    """Derive the scalar properties of peaks."""
    seen = signals(randomness, n)
    spread = randomness.lognormal(0, 0.1, n)
    rows = np.zeros(n, PEAK_BASICS)
    rows["dt"] = np.where(seen.width_ns > 500, 20, SAMPLE_NS)  # noqa: PLR2004
    rows["length"] = (seen.width_ns * 2.5 / rows["dt"]).clip(3, WAVEFORM)
    duration = rows["length"].astype(np.int64) * rows["dt"]
    rows["time"] = starts_ns(randomness, duration, 20_000)
    rows["endtime"] = rows["time"] + duration
    rows["center_time"] = rows["time"] + (duration * randomness.normal(0.42, 0.06, n)).clip(0)
    rows["median_time"] = duration * randomness.normal(0.4, 0.06, n)
    rows["area"] = seen.area_pe
    rows["n_hits"] = 1 + randomness.poisson(seen.area_pe.clip(0, 3000))
    n_channels = (N_PMTS * (1 - np.exp(-rows["n_hits"] / N_PMTS))).clip(1).astype(int)
    rows["n_channels"] = n_channels
    top = np.where(seen.is_s2, randomness.normal(0.7, 0.06, n), randomness.beta(2, 5, n))
    rows["area_fraction_top"] = top.clip(0, 1)
    rows["n_top_channels"] = randomness.binomial(n_channels, top.clip(0, 1))
    rows["max_pmt"] = randomness.integers(0, N_PMTS, n)
    rows["max_pmt_area"] = seen.area_pe * randomness.beta(2, 12, n).clip(1 / N_PMTS)
    is_large = seen.area_pe > 20_000  # noqa: PLR2004
    rows["n_saturated_channels"] = np.where(is_large, randomness.poisson(6, n), 0)
    rows["range_50p_area"] = seen.width_ns * 0.4 * spread
    rows["range_90p_area"] = seen.width_ns * spread * randomness.normal(1.1, 0.08, n)
    rows["rise_time"] = seen.width_ns * 0.3 * randomness.lognormal(0, 0.25, n)
    rows["tight_coincidence"] = randomness.binomial(n_channels, 0.6)
    rows["type"] = np.where(seen.is_s2, 2, np.where(seen.area_pe > 2, 1, 0))  # noqa: PLR2004
    rows["max_goodness_of_split"] = np.where(n_channels > 2, randomness.beta(2, 6, n), 0)  # noqa: PLR2004
    rows["max_diff"] = duration * randomness.beta(3, 2, n) // SAMPLE_NS * SAMPLE_NS
    rows["min_diff"] = randomness.geometric(0.4, n) * SAMPLE_NS - SAMPLE_NS
    return rows


def peaks(randomness: np.random.Generator, n: int) -> Rows:
    """Summed waveforms, padded with zeros, and the area that each light sensor saw."""
    seen = signals(randomness, n)
    rows = np.zeros(n, PEAKS)
    rows["dt"] = SAMPLE_NS * (1 + (seen.width_ns * 2.5 // (WAVEFORM * SAMPLE_NS)))
    rows["length"] = (seen.width_ns * 2.5 / rows["dt"]).clip(3, WAVEFORM)
    duration = rows["length"].astype(np.int64) * rows["dt"]
    rows["time"] = starts_ns(randomness, duration, 20_000)
    rows["channel"] = -1
    rows["type"] = np.where(seen.is_s2, 2, np.where(seen.area_pe > 2, 1, 0))  # noqa: PLR2004
    at = np.arange(WAVEFORM)
    length = rows["length"][:, None]
    shape = np.exp(-0.5 * ((at - length * 0.4) / (length * 0.18)) ** 2)
    shape *= randomness.gamma(8, 1 / 8, shape.shape)  # photons arrive at random
    shape[at >= length] = 0
    shape *= (seen.area_pe / shape.sum(axis=1))[:, None]
    rows["data"] = shape
    rows["area"] = rows["data"].sum(axis=1)
    middle = randomness.integers(0, N_TOP, n)[:, None]
    pmts = np.arange(N_PMTS)
    light = 1 / (1 + ((pmts - middle) / 12.0) ** 2) + np.where(pmts < N_TOP, 0.01, 0.06)
    light *= (seen.area_pe / light.sum(axis=1))[:, None]
    n_photons = randomness.poisson(light)
    seen_pe = n_photons + randomness.normal(0, 0.35, light.shape) * np.sqrt(n_photons)
    rows["area_per_channel"] = np.where(n_photons > 0, np.abs(seen_pe), 0)
    total = rows["area_per_channel"].sum(axis=1).clip(1e-3)
    rows["area_fraction_top"] = rows["area_per_channel"][:, :N_TOP].sum(axis=1) / total
    rows["n_hits"] = n_photons.sum(axis=1).clip(1)
    fractions = np.linspace(0, 1, 11)
    jitter = randomness.lognormal(0, 0.05, (n, 11))
    rows["width"] = seen.width_ns[:, None] * fractions**1.5 * jitter
    rows["area_decile_from_midpoint"] = seen.width_ns[:, None] * (fractions - 0.5) * jitter
    rows["center_time"] = rows["time"] + (duration * randomness.normal(0.42, 0.03, n)).clip(0)
    rows["median_time"] = duration * randomness.normal(0.4, 0.03, n)
    rows["n_saturated_channels"] = (rows["area_per_channel"] > 2000).sum(axis=1)  # noqa: PLR2004
    rows["tight_coincidence"] = (rows["area_per_channel"] > 0).sum(axis=1) * 0.6
    rows["max_gap"] = randomness.geometric(0.1, n) * SAMPLE_NS
    rows["max_goodness_of_split"] = randomness.beta(2, 6, n)
    return rows


SIMULATIONS: dict[str, Callable[[np.random.Generator, int], Rows]] = {
    "raw_records": raw_records,
    "peak_basics": peak_basics,
    "peaks": peaks,
}
DTYPES = {"raw_records": RAW_RECORDS, "peak_basics": PEAK_BASICS, "peaks": PEAKS}


def dtype_of(data_type: str) -> np.dtype[Any]:
    """Return the dtype; that of `peak_basics` for data types that are only counted."""
    return DTYPES.get(data_type, PEAK_BASICS)


def endtimes(rows: Rows) -> Any:
    """Return when each row ends, in ns."""
    names = rows.dtype.names or ()
    if "endtime" in names:
        return rows["endtime"]
    return rows["time"] + rows["length"].astype(np.int64) * rows["dt"]


def rows_a_block(data_type: str) -> int:
    """Return how many rows a source gives at once."""
    return BLOCK_BYTES // DTYPES[data_type].itemsize


def simulate(data_type: str, size_mb: float, path: Path) -> None:
    """Write the rows of one data type to a file of numpy, unless it is there."""
    if path.exists():
        return
    path.parent.mkdir(parents=True, exist_ok=True)
    dtype, block = DTYPES[data_type], rows_a_block(data_type)
    n = max(1, int(size_mb * 1e6) // dtype.itemsize)
    unfinished = path.with_suffix(".unfinished")
    array = np.lib.format.open_memmap(unfinished, "w+", dtype, (n,))
    now = RUN_START_NS
    for at in range(0, n, block):
        randomness = np.random.default_rng([SEED, at])
        rows = SIMULATIONS[data_type](randomness, min(block, n - at))
        for name in {"time", "endtime", "center_time"} & set(DTYPES[data_type].names or ()):
            rows[name] += now
        now = int(endtimes(rows).max()) + SAMPLE_NS
        array[at : at + len(rows)] = rows
    array.flush()
    unfinished.rename(path)


def blocks(rows: Rows, n_a_block: int) -> Iterator[tuple[int, int, Rows]]:
    """Iterate over ``(start_ns, end_ns, rows)``: what a source gives, one block after the other."""
    last_end = int(endtimes(rows[-n_a_block:]).max())
    for at in range(0, len(rows), n_a_block):
        part = rows[at : at + n_a_block]
        after = at + n_a_block
        end = int(rows["time"][after]) if after < len(rows) else last_end
        yield int(part["time"][0]), end, part
