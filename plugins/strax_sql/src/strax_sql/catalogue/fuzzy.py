"""Fuzzy matches: data of other lineages that serve, found without reading any storage."""

import logging
import math
from collections.abc import Mapping, Sequence

from strax_core import DataCorrupted, DataKey, Match
from strax_sql.catalogue.lineages import lineage_of
from strax_sql.catalogue.queries import CopyRow

_LOG = logging.getLogger("strax_core")


def fitting(
    key: DataKey, match: Match, rows: Sequence[CopyRow], lineages: Mapping[int, str]
) -> list[CopyRow]:
    """Return the copies that serve and are not of the key itself, the newest making first.

    Copies of one making keep their order; it is as old as the oldest of them.

    Args:
        key: what is wanted.
        match: what may differ.
        rows: all copies of this run and data type, nearest first.
        lineages: the text of each lineage that they have.
    """
    fits = {number: _fits(key, match, lineages[number]) for number in {r.lineage_id for r in rows}}
    chosen = [row for row in rows if fits[row.lineage_id]]
    made_s: dict[object, float] = {}
    for row in chosen:
        made_s[_making(row)] = min(made_s.get(_making(row), math.inf), _written_s(row))
    return sorted(chosen, key=lambda row: -made_s[_making(row)])


def _fits(key: DataKey, match: Match, text: str) -> bool:
    try:
        lineage = lineage_of(text)
    except DataCorrupted:
        _LOG.warning("the catalogue holds a lineage of %s that cannot be read", key.data_type)
        return False
    return lineage != key.lineage and match.accepts(key.lineage, lineage)


def _making(row: CopyRow) -> object:
    return row.data_id or (row.backend, row.backend_key)


def _written_s(row: CopyRow) -> float:
    return -math.inf if row.written_s is None else row.written_s
