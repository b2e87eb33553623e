"""Documents about runs: kept and filtered in the database, mirrored as files beside the data."""

from strax_sql.runs.store import RunStore

__all__ = [
    "RunStore",
]
