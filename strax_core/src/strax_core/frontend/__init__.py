"""Role 1, the frontend: finds where data are, and keeps documents about runs."""

from strax_core.frontend.catalogue import KeepsCatalogue, catalogue_of
from strax_core.frontend.directory import DirectoryFrontend
from strax_core.frontend.frontend import StorageFrontend
from strax_core.frontend.location import Location, State
from strax_core.frontend.match import STRICT, Match, differences
from strax_core.frontend.search import SETTLED, Search, Searchable, metadata_of, newest_first

__all__ = [
    "SETTLED",
    "STRICT",
    "DirectoryFrontend",
    "KeepsCatalogue",
    "Location",
    "Match",
    "Search",
    "Searchable",
    "State",
    "StorageFrontend",
    "catalogue_of",
    "differences",
    "metadata_of",
    "newest_first",
]
