"""Compares what is installed here with requirements such as ``strax-local>=0.1``."""

from collections.abc import Iterable, Iterator
from importlib.metadata import PackageNotFoundError, version

from packaging.requirements import InvalidRequirement, Requirement
from packaging.utils import canonicalize_name
from packaging.version import InvalidVersion

from strax_core.errors import ConfigError

CORE_DISTRIBUTION = "strax-core"


def version_of(distribution: str) -> str | None:
    """Return the version that is installed; None if there is none."""
    try:
        return version(distribution)
    except PackageNotFoundError:
        return None


def parsed(text: str, *, where: str) -> Requirement:
    """Return what a text asks for: a distribution, and perhaps which versions of it.

    Raises:
        ConfigError: it does not read as that.
    """
    try:
        return Requirement(text)
    except InvalidRequirement as error:
        raise ConfigError(f"{where}: {text!r} does not read as 'name' or 'name>=1.0'") from error


def unmet(requirement: Requirement) -> str | None:
    """Say what is wrong with what is installed; None if it is what was asked for."""
    there = version_of(requirement.name)
    if there is None:
        return f"{_shown(requirement)} is not installed"
    try:
        fits = requirement.specifier.contains(there, prereleases=True)
    except InvalidVersion:
        fits = False
    return None if fits else f"{_shown(requirement)} is needed, but {there} is installed"


def needs(requires: Iterable[str] | None, *, extra: str | None = None) -> Iterator[Requirement]:
    """Iterate over what a distribution requires on this machine, with one of its extras.

    What cannot be read is passed over: installing it was not our business.
    """
    for text in requires or ():
        try:
            requirement = Requirement(text)
        except InvalidRequirement:
            continue
        if requirement.marker is None or requirement.marker.evaluate({"extra": extra or ""}):
            yield requirement


def is_core(requirement: Requirement) -> bool:
    """Say whether it is about strax-core, however that is spelt."""
    return canonicalize_name(requirement.name) == CORE_DISTRIBUTION


def _shown(requirement: Requirement) -> str:
    return f"{requirement.name}{requirement.specifier}"
