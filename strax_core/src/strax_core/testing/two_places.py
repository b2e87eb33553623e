"""A worked example of a frontend: two named backends, chosen by data type.

Many experiments keep small, often used data near and the large rest far away. A frontend that does
so overrides two methods, and core does all else: it reads and checks metadata, goes on to the next
place if one is down or damaged, makes savers, and reports what happened.
"""

from collections.abc import Collection, Sequence
from typing import Any

from strax_core.backend import StorageBackend
from strax_core.format import DataKey
from strax_core.frontend import Location, Match, StorageFrontend


class TwoPlaceFrontend(StorageFrontend):
    """Keeps the data types of `near_types` in `near`, all others in `far`, and looks in both.

    - A copy that is missing or damaged in `near` is loaded from `far`.
    - What belongs far away never goes to the near place, also if the far one is down.

    Args:
        near: the place asked first.
        far: the place asked second.
        near_types: data types that are written to `near`.
        options: those of every `StorageFrontend`.
    """

    def __init__(
        self,
        near: StorageBackend,
        far: StorageBackend,
        *,
        near_types: Collection[str],
        **options: Any,
    ) -> None:
        # The names stand in every `Location`, and core finds the backend by them.
        super().__init__({"near": near, "far": far}, **options)
        self.near_types = frozenset(near_types)

    def _find(self, key: DataKey, match: Match) -> Sequence[Location]:  # noqa: ARG002 - by name only
        # Where it *may* be, nearest first. Core looks whether it is, and takes the first that is
        # complete and has the right lineage. A frontend on a database would ask it here, and
        # answer with what it knows; a `backend_key` is any name that the backend understands. For
        # a fuzzy match it would name other data of this run and type too; this one cannot.
        return [Location(backend=name, backend_key=key.name) for name in ("near", "far")]

    def _targets(self, key: DataKey) -> Sequence[Location]:
        # Where it should go, best first. Give several, and core takes the next if one fails.
        name = "near" if key.data_type in self.near_types else "far"
        return [Location(backend=name, backend_key=key.name)]
