"""Matches stored data to a request: those made as wanted, or nearly so."""

import json
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

from strax_core.arguments import names
from strax_core.errors import ConfigError, DataCorrupted
from strax_core.format import Lineage

_VALUE_LENGTH_MAX = 200


@dataclass(frozen=True, init=False)
class Match:
    """Rules for how closely stored data must agree with what is wanted; left out: entirely.

    A fuzzy match leaves entries and options out of both lineages and compares the rest, as strax
    does: a tuple equals a list, and 1 equals 1.0.

    Args:
        fuzzy_for: entries of a lineage that may differ in all; of a data plugin with several
            outputs, the last data type that it provides.
        fuzzy_for_options: options that may differ, whichever data plugin takes them.
        allow_incomplete: whether data that are still being written serve, if no complete ones do.
    """

    fuzzy_for: tuple[str, ...] = ()
    fuzzy_for_options: tuple[str, ...] = ()
    allow_incomplete: bool = False

    def __init__(
        self,
        fuzzy_for: str | Iterable[str] = (),
        fuzzy_for_options: str | Iterable[str] = (),
        allow_incomplete: bool = False,  # noqa: FBT001, FBT002 - the order of a dataclass
    ) -> None:
        object.__setattr__(self, "fuzzy_for", names(fuzzy_for, "fuzzy_for"))
        object.__setattr__(self, "fuzzy_for_options", names(fuzzy_for_options, "fuzzy_for_options"))
        given: object = allow_incomplete
        if not isinstance(given, bool):
            raise ConfigError(f"allow_incomplete is {given!r}; give True or False")
        object.__setattr__(self, "allow_incomplete", given)

    @property
    def is_fuzzy(self) -> bool:
        """True if data of another lineage may serve."""
        return bool(self.fuzzy_for or self.fuzzy_for_options)

    def accepts(self, wanted: Lineage, stored: object) -> bool:
        """Say whether data with the stored lineage serve; garbage does not."""
        if not self.is_fuzzy and not isinstance(stored, Lineage):
            return wanted.same_as_json(stored)
        try:
            lineage = stored if isinstance(stored, Lineage) else Lineage.from_json(stored)
        except DataCorrupted:
            return False
        return wanted == lineage or (self.is_fuzzy and _accepts_rest(self, wanted, lineage))

    def accepts_rest(self, wanted: Lineage, stored: Lineage) -> bool:
        """Say whether two lineages agree in all that may not differ."""
        rests = self._rest(wanted), self._rest(stored)
        # As text too, for there NaN equals NaN.
        return rests[0] == rests[1] or _text(rests[0]) == _text(rests[1])

    def _rest(self, lineage: Lineage) -> dict[str, Any]:
        return {
            data_type: (
                class_name,
                version,
                {
                    name: value
                    for name, value in options.items()
                    if name not in self.fuzzy_for_options
                },
            )
            for data_type, (class_name, version, options) in lineage.items()
            if data_type not in self.fuzzy_for
        }


@dataclass(frozen=True, init=False)
class _AnyLineage(Match):
    """Takes all that is stored of a run and data type, however it was made."""

    @property
    def is_fuzzy(self) -> bool:
        return True

    def accepts_rest(self, wanted: Lineage, stored: Lineage) -> bool:  # noqa: ARG002 - any
        return True


@lru_cache(maxsize=256)
def _accepts_rest(match: Match, wanted: Lineage, stored: Lineage) -> bool:
    """Of thousands of runs, most have one of a few lineages; each pair is compared once."""
    return match.accepts_rest(wanted, stored)


STRICT = Match()
ANY_LINEAGE: Match = _AnyLineage()


def differences(wanted: Lineage, stored: Lineage) -> tuple[str, ...]:
    """Return one line for each thing in which two lineages differ; none if they are equal."""
    return tuple(_differences(wanted, stored))


def _differences(wanted: Lineage, stored: Lineage) -> Iterator[str]:
    for data_type in [*wanted, *(name for name in stored if name not in wanted)]:
        if data_type not in stored:
            yield f"{data_type}: not in the lineage here"
        elif data_type not in wanted:
            yield f"{data_type}: in the lineage here, not wanted"
        else:
            here, there = stored[data_type], wanted[data_type]
            for what, i in (("class", 0), ("version", 1)):
                if here[i] != there[i]:
                    yield f"{what} of {data_type}: {here[i]!r} here, {there[i]!r} wanted"
            yield from _of_options(data_type, here[2], there[2])


def _of_options(
    data_type: str, here: Mapping[str, Any], wanted: Mapping[str, Any]
) -> Iterator[str]:
    for name in sorted({*here, *wanted}):
        texts = [_value(options, name) for options in (here, wanted)]
        if name not in here or name not in wanted or _text(here[name]) != _text(wanted[name]):
            yield f"option {name!r} of {data_type}: {texts[0]} here, {texts[1]} wanted"


def _value(options: Mapping[str, Any], name: str) -> str:
    if name not in options:
        return "nothing"
    text = repr(options[name])
    return text if len(text) <= _VALUE_LENGTH_MAX else f"{text[:_VALUE_LENGTH_MAX]}…"


def _text(document: object) -> str:
    return json.dumps(document, sort_keys=True)
