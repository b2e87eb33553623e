"""Lineages as the catalogue keeps them: each once, under the digest of its text."""

import hashlib
import json
from functools import lru_cache

from strax_core import DataCorrupted, Lineage


@lru_cache(maxsize=1024)
def text_of(lineage: Lineage) -> str:
    """Return the text that is the same for lineages that are equal."""
    return json.dumps(lineage.as_json(), sort_keys=True)


@lru_cache(maxsize=1024)
def digest_of(lineage: Lineage) -> str:
    """Return what a lineage is looked up by: SHA-256 of its text, 64 letters."""
    return hashlib.sha256(text_of(lineage).encode()).hexdigest()


@lru_cache(maxsize=1024)
def lineage_of(text: str) -> Lineage:
    """Return the lineage of a text; of thousands of runs, most have one of a few.

    Raises:
        DataCorrupted: it is none.
    """
    try:
        return Lineage.from_json(json.loads(text))
    except ValueError as error:
        raise DataCorrupted(f"a lineage in the catalogue is no JSON: {error}") from error
