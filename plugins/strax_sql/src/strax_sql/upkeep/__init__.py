"""Upkeep of the catalogue: checks, comparison with the storage, repair."""

from strax_sql.upkeep.checks import catalogue_checks
from strax_sql.upkeep.upkeep import Upkeep

__all__ = [
    "Upkeep",
    "catalogue_checks",
]
