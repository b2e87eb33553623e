"""The data plugins of the demo: records -> peaks -> events.

They keep the shape that data plugins of the package strax have. The demo writes a copy of this
file with the import changed to `import strax as sc`, and runs that with the real strax.
"""

from typing import Any

import strax_core as sc
from strax_demo import simulation


@sc.takes_config(
    sc.Option("n_chunks", default=1, help="how long the run is, in chunks of 5 s"),
    sc.Option("events_per_chunk", default=200, help="how busy the detector is"),
)
class Records(sc.Plugin):
    """Waveforms; a real data plugin would read them from the electronics."""

    __version__ = "1.0.0"
    provides = "records"
    data_kind = "records"
    depends_on = ()
    dtype = simulation.RECORD
    rechunk_on_save = False  # as they come: no border between two chunks cuts an event in two

    def is_ready(self, chunk_i: int) -> Any:
        """Say whether the detector has this chunk."""
        return chunk_i < self.config["n_chunks"]

    def source_finished(self) -> bool:
        """Say that no chunk comes late."""
        return True

    def compute(self, chunk_i: int) -> Any:
        """Take the next 5 s of data."""
        rows = simulation.simulate_records(self.run_id, chunk_i, self.config["events_per_chunk"])
        start, end = simulation.chunk_times(chunk_i)
        return self.chunk(start=start, end=end, data=rows)


@sc.takes_config(
    sc.Option("gain", default=320.0, help="area of one electron, in counts of the electronics"),
    sc.Option("gap_ns", default=1000, help="silence that ends a peak"),
)
class Peaks(sc.Plugin):
    """Flashes of light."""

    __version__ = "1.0.0"
    provides = "peaks"
    data_kind = "peaks"
    depends_on = "records"
    dtype = simulation.PEAK
    rechunk_on_save = False

    def compute(self, records: Any) -> Any:
        """Join waveforms to peaks."""
        return simulation.find_peaks(
            records, gain=self.config["gain"], gap_ns=self.config["gap_ns"]
        )


@sc.takes_config(
    sc.Option("elife_us", default=5000.0, help="mean life of drifting electrons"),
)
class Events(sc.Plugin):
    """Events in the detector, with their energies."""

    __version__ = "1.0.0"
    provides = "events"
    data_kind = "events"
    depends_on = "peaks"
    dtype = simulation.EVENT

    def compute(self, peaks: Any) -> Any:
        """Join peaks to events."""
        return simulation.build_events(peaks, elife_us=self.config["elife_us"])
