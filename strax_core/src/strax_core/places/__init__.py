"""Several frontends together: search, failover, copy, rewrite, verify."""

from strax_core.places.copy import Target, copy_data, stored_bytes
from strax_core.places.failover import (
    Find,
    LoadRequest,
    is_replica,
    joined,
    joined_columns,
    load_chunks,
    load_rows,
)
from strax_core.places.found import Found
from strax_core.places.places import Places
from strax_core.places.rewrite import Outcome, Rewritten, found_at, rewrite_data, stored_at
from strax_core.places.search import report
from strax_core.places.transfer import TransferOptions
from strax_core.places.verify import verify_data

__all__ = [
    "Find",
    "Found",
    "LoadRequest",
    "Outcome",
    "Places",
    "Rewritten",
    "Target",
    "TransferOptions",
    "copy_data",
    "found_at",
    "is_replica",
    "joined",
    "joined_columns",
    "load_chunks",
    "load_rows",
    "report",
    "rewrite_data",
    "stored_at",
    "stored_bytes",
    "verify_data",
]
