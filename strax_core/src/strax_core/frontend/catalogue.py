"""The protocol of frontends that keep a catalogue of what lies in their backends."""

from collections.abc import Iterator
from typing import Protocol, runtime_checkable

from strax_core.backend import Check
from strax_core.errors import ConfigError
from strax_core.format import DataKey
from strax_core.frontend.frontend import StorageFrontend


@runtime_checkable
class KeepsCatalogue(Protocol):
    """A frontend with these methods is served by `strax catalog` and `strax replicate`."""

    def check_catalogue(self) -> Iterator[Check]:
        """Iterate over what the catalogue and the storage differ in; all metadata are read."""

    def rebuild_catalogue(self, *, dry_run: bool) -> Iterator[Check]:
        """Bring the catalogue to what lies in the storage, and tell what was done, one by one.

        What was interrupted goes on the next time. With `dry_run`, only tell.
        """

    def catalogued(self, *, missing_in: str | None = None) -> Iterator[DataKey]:
        """Iterate over all data that have a good copy, but none in the backend `missing_in`."""


def catalogue_of(frontend: StorageFrontend) -> KeepsCatalogue:
    """Return a frontend as one that keeps a catalogue.

    Raises:
        ConfigError: it keeps none.
    """
    if not isinstance(frontend, KeepsCatalogue):
        raise ConfigError(
            f"{frontend.name} keeps no catalogue: a {type(frontend).__name__} finds data without"
        )
    return frontend
