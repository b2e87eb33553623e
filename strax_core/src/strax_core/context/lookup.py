"""The part of a context that finds data, and neither makes nor changes any."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from threading import Lock
from typing import TYPE_CHECKING, Any

from strax_core.arguments import names
from strax_core.data_plugins import DataPlugins, Plugin
from strax_core.errors import ConfigError
from strax_core.format import (
    DataKey,
    Lineage,
    Metadata,
    check_run_id,
    per_run_defaults,
    select_fields,
)
from strax_core.frontend import Match, StorageFrontend
from strax_core.places import Found, Places

if TYPE_CHECKING:  # pandas is not needed by those who ask for no table
    import pandas as pd


class Lookup:
    """Data plugins, their options, and the places where data are kept. See `Context`."""

    def __init__(
        self,
        places: Places,
        data_plugins: DataPlugins,
        *,
        match: Match,
        use_per_run_defaults: bool,
        forbidden: tuple[str, ...],
        buffer_bytes: int,
    ) -> None:
        self._places = places
        self._data_plugins = data_plugins
        self._given_match = match
        self._use_per_run_defaults = use_per_run_defaults
        self._forbidden = forbidden
        if buffer_bytes < 1:
            raise ConfigError(f"buffer_bytes is {buffer_bytes!r}; it must be above 0")
        self._buffer_bytes = buffer_bytes
        self._lock = Lock()

    @property
    def storage(self) -> list[StorageFrontend]:
        """The places, in the order in which they are asked."""
        return list(self._places)

    @property
    def config(self) -> dict[str, Any]:
        """A copy of the options that were set."""
        return self._data_plugins.config

    def register(self, *data_plugins: type[Plugin]) -> None:
        """Add data plugins; one that makes the same data type is replaced.

        Raises:
            ConfigError: something is not a data plugin; then none of them is added.
        """
        with self._lock:
            self._data_plugins = self._data_plugins.with_registered(data_plugins)

    def set_config(self, config: Mapping[str, Any]) -> None:
        """Set options; those not named stay."""
        with self._lock:
            self._data_plugins = self._data_plugins.with_config(config)

    # One piece of data

    def lineage(self, run_id: str, data_type: str) -> Lineage:
        """Return where the rows of a data type come from; errors as `key_for`."""
        return self._data_plugins.lineage(_one(data_type), self._defaults(run_id))

    def key_for(self, run_id: str, data_type: str) -> DataKey:
        """Return the key of a piece of data: run, data type, lineage.

        Raises:
            ConfigError: nothing makes this data type, an option has no value, a name is refused.
            StorageError: with per-run defaults, the run's document could not be read.
        """
        return self._keys(run_id, [_one(data_type)])[0]

    def find(self, run_id: str, data_type: str) -> Found:
        """Return where a piece of data is stored, nearest first; `differences` if by a loose match.

        Raises:
            DataNotAvailable: nowhere; the message says what each place answered.
            StorageError: no place could answer.
        """
        return self._places.find(self.key_for(run_id, data_type), self._match)

    def is_stored(self, run_id: str, targets: str | Sequence[str]) -> bool:
        """Say whether a copy is found that would be loaded; of several data types, of each.

        So with `allow_incomplete`, what is still being written counts, too.

        A place that cannot answer is logged.

        Raises:
            StorageError: no place could answer.
        """
        keys = self._keys(run_id, names(targets, "targets"))
        return all(self._places.has(key, self._match) for key in keys)

    def get_metadata(self, run_id: str, data_type: str) -> Metadata:
        """Return the metadata of stored data, with strax's field names; errors as `find`."""
        return self.find(run_id, data_type).metadata

    def explain(self, run_id: str, data_type: str) -> str:
        """Return a text: where this is stored, or why not, what failed before, what can be done.

        A place that cannot answer is told in the text.

        Raises:
            ConfigError: nothing makes this data type, or a name is refused.
            StorageError: with per-run defaults, the run's document could not be read.
        """
        from strax_core.context.explain import Explanation

        keys = self._keys(run_id, self._data_plugins.closure(_one(data_type)))
        return Explanation(
            keys={key.data_type: key for key in keys},
            data_plugins=self._data_plugins,
            places=self._places,
            match=self._match,
            forbidden=self._forbidden,
        ).of(data_type)

    # Runs, and many pieces of data

    def run_metadata(
        self, run_id: str, fields: str | Sequence[str] | None = None
    ) -> dict[str, Any]:
        """Return the document about a run, or the named fields of it.

        Raises:
            RunMetadataNotAvailable: no place has one.
            StorageError: a place could not answer, and no other has one.
        """
        return self._places.run_metadata(run_id, fields)

    def write_run_metadata(self, run_id: str, document: Mapping[str, Any]) -> None:
        """Keep a document about a run in the first place that takes one.

        Raises:
            ReadOnlyError: no place does.
        """
        self._places.write_run_metadata(run_id, document)

    def scan_runs(self, fields: str | Sequence[str] | None = None) -> Iterator[dict[str, Any]]:
        """Iterate over the documents of all runs, each run once: the nearest place's.

        A place that cannot answer is logged, and its runs are missing.
        """
        asked = None if fields is None else names(fields, "fields")
        for document in self._places.scan_runs(asked):
            yield select_fields(document, asked)

    def availability(
        self,
        run_ids: str | Sequence[str],
        targets: str | Sequence[str],
        *,
        check: bool = False,
    ) -> "pd.DataFrame":
        """Return a table: a line a run, a column a data type, in it the names of those who have it.

        Goes by names: a few listings, however many runs. So failed data of strax, which have the
        name of good data, count as stored; with `check`, all metadata are read, and they do not.
        A place that could not answer is logged, and stands in ``table.attrs["problems"]``.

        Raises:
            StorageError: no place could answer.
        """
        from strax_core.context.run_table import availability_table

        runs, data_types = names(run_ids, "run_ids"), names(targets, "targets")
        where, problems = self._holders(runs, data_types, check=check)
        table = availability_table(runs, data_types, where)
        table.attrs["problems"] = problems
        return table

    def select_runs(
        self,
        *,
        available: str | Sequence[str] = (),
        check: bool = False,
        **conditions: Any,
    ) -> "pd.DataFrame":
        """Return a table of the runs that have documents and fulfil all conditions.

        Args:
            available: data types that must be stored, somewhere; a place that could not answer
                stands in ``table.attrs["problems"]``.
            check: read the metadata of these, see `availability`.
            conditions: ``run_mode``, ``run_id``, ``include_tags``, ``exclude_tags``,
                ``pattern_type`` (``fnmatch`` or ``re``), ``ignore_underscore``; as in strax. Also
                ``time_range``, of which the run has a part, in ns since the Unix epoch, end
                exclusive; and ``fields``, values by the dotted names of fields. A catalogue in a
                database selects there.

        Raises:
            ConfigError: an unknown condition.
            StorageError: no place could answer.
        """
        from strax_core.context.run_table import check_conditions, for_databases, runs_table, select

        check_conditions(conditions)
        documents = self._places.select_runs(for_databases(conditions))
        table = select(runs_table(documents), **conditions)
        data_types = names(available, "available")
        if not data_types:
            return table
        runs = [str(name) for name in table["name"]]
        where, problems = self._holders(runs, data_types, check=check)
        kept = [all(where[run, data_type] for data_type in data_types) for run in runs]
        selected = table[kept]
        selected.attrs["problems"] = problems
        return selected

    # Inside

    @property
    def _match(self) -> Match:
        """How loosely to match; any output of a data plugin stands for its entry in lineages."""
        given = self._given_match
        try:
            entries = tuple(self._data_plugins.entry_of(name) for name in given.fuzzy_for)
        except ConfigError as error:
            raise ConfigError(f"fuzzy_for = {list(given.fuzzy_for)!r}: {error}") from error
        return replace(given, fuzzy_for=entries)

    def _keys(self, run_id: str, data_types: Iterable[str]) -> list[DataKey]:
        """Return the keys of several data types of a run, whose document is read once."""
        return self._keys_of_several([run_id], data_types)

    def _keys_of_several(self, runs: Iterable[str], data_types: Iterable[str]) -> list[DataKey]:
        """Return the keys of several data types, run by run; runs of one lineage share it."""
        data_types, data_plugins = tuple(data_types), self._data_plugins

        def lineages(run_id: str) -> list[tuple[str, Lineage]]:
            defaults = self._defaults(run_id)
            return [(name, data_plugins.lineage(name, defaults)) for name in data_types]

        if self._use_per_run_defaults:
            return [DataKey(run, *each) for run in runs for each in lineages(run)]
        shared: list[tuple[str, Lineage]] = []
        keys = []
        for run in runs:
            shared = shared or lineages(run)
            keys += [DataKey(run, *each) for each in shared]
        return keys

    def _defaults(self, run_id: str) -> Mapping[str, Any]:
        check_run_id(run_id)
        if not self._use_per_run_defaults:
            return {}
        return per_run_defaults({"name": run_id, **self._places.run_metadata_or_error(run_id)})

    def _holders(
        self, runs: Sequence[str], data_types: Sequence[str], *, check: bool
    ) -> tuple[dict[tuple[str, str], tuple[str, ...]], dict[str, str]]:
        wanted = [(run, data_type) for run in runs for data_type in data_types]
        keys = self._keys_of_several(runs, data_types)
        survey = self._places.find_several(keys, self._match, check=check)
        holders: dict[tuple[str, str], tuple[str, ...]] = dict.fromkeys(wanted, ())
        for name, locations in survey.locations.items():
            alone = (name,)  # shared: there may be very many
            for each, location in zip(wanted, locations, strict=True):
                if location is not None:
                    holders[each] = (*holders[each], name) if holders[each] else alone
        return holders, dict(survey.problems)


def _one(data_type: Any) -> str:
    if isinstance(data_type, str):
        return data_type
    raise ConfigError(f"data_type is {data_type!r}; give the name of one data type")
