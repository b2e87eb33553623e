"""The catalogue: tables of what is where, their queries and writes, and what follows from them."""

from strax_sql.catalogue.diagnostics import remarks
from strax_sql.catalogue.fuzzy import fitting
from strax_sql.catalogue.lineages import lineage_of
from strax_sql.catalogue.outages import Outages
from strax_sql.catalogue.queries import (
    ABSENT,
    COMPLETE,
    DAMAGED,
    REMOVING,
    WRITING,
    Asked,
    CopyRow,
    copies_of,
    copies_of_any_lineage,
    copies_of_each,
    failures_of,
    lineage_texts,
)
from strax_sql.catalogue.recorder import Recorder, Reserved
from strax_sql.catalogue.removal import Removal
from strax_sql.catalogue.schema import COPIES, LINEAGES, PIECES, RUNS, SCHEMA, prepare_catalogue
from strax_sql.catalogue.targets import targets_of
from strax_sql.catalogue.writes import (
    FACTS,
    FAILURE_LETTERS_MAX,
    Entry,
    facts_of,
    insert_into,
    register,
)

__all__ = [
    "ABSENT",
    "COMPLETE",
    "COPIES",
    "DAMAGED",
    "FACTS",
    "FAILURE_LETTERS_MAX",
    "LINEAGES",
    "PIECES",
    "REMOVING",
    "RUNS",
    "SCHEMA",
    "WRITING",
    "Asked",
    "CopyRow",
    "Entry",
    "Outages",
    "Recorder",
    "Removal",
    "Reserved",
    "copies_of",
    "copies_of_any_lineage",
    "copies_of_each",
    "facts_of",
    "failures_of",
    "fitting",
    "insert_into",
    "lineage_of",
    "lineage_texts",
    "prepare_catalogue",
    "register",
    "remarks",
    "targets_of",
]
