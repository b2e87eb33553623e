"""Parses metadata but for the lineage, which stays a text until someone asks for it.

It is most of the metadata, and of thousands of runs most have one of a few. So each is parsed once.
"""

import json
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

FIELD = "lineage"
_START = f'\n    "{FIELD}": '  # in what we write, and in what strax does
_STANDS_FOR_IT = json.dumps("\0the lineage")


@dataclass(frozen=True, slots=True)
class LineageText:
    """The JSON of a lineage, as it stands in metadata."""

    json: str

    def parsed(self) -> Any:
        """Return what it says; fresh, so that nobody changes another's."""
        return json.loads(self.json)


def parse(raw: bytes) -> Any:
    """Return what `json.loads` gives; but a lineage may be a `LineageText`, which says the same.

    Raises:
        ValueError, RecursionError: it is not JSON, lineage included.
    """
    # Other encodings, other layouts, and whatever is wrong: the long way knows all of them.
    if raw.isascii():
        text = raw.decode("ascii")
        start = text.find(_START) + len(_START)
        end = _end_of_value(text, start) if start >= len(_START) else -1
        if end >= 0:
            try:
                document = json.loads(f"{text[:start]}{_STANDS_FOR_IT}{text[end:]}")
                if isinstance(document, dict) and document.get(FIELD) == json.loads(_STANDS_FOR_IT):
                    document[FIELD] = _checked(text[start:end])
                    return document
            except ValueError:
                pass
    return json.loads(raw)


def _end_of_value(text: str, start: int) -> int:
    """Return where a value of the outermost object ends, if it is laid out as usual; else -1.

    What is found is right if what remains is JSON: no text in JSON has the end of a line in it.
    """
    if text.startswith("{\n", start):
        end = text.find("\n    }", start)
        return end if end < 0 else end + len("\n    }")
    end = text.find("\n", start)
    return end - 1 if end > 0 and text[end - 1] == "," else end


@lru_cache(maxsize=256)
def _checked(text: str) -> LineageText:
    """Return a text that is JSON; of equal ones, one is kept in memory.

    Raises:
        ValueError: it is not.
    """
    json.loads(text)
    return LineageText(text)
