"""Options of a request, whichever the run: checked before any work."""

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypedDict

from strax_core.arguments import did_you_mean, names, positive_int
from strax_core.data_plugins import DataPlugins, SaveWhen, stated_for
from strax_core.errors import ConfigError
from strax_core.loader import ReadReport
from strax_core.selection import ALL_ROWS, LoadOptions, Query, query_of

_OF_LOADING = frozenset(LoadOptions.__annotations__)
_OF_A_CONTEXT = (  # strax takes them in requests, too
    "config",
    "storage",
    "fuzzy_for",
    "fuzzy_for_options",
    "allow_incomplete",
    "use_per_run_defaults",
    "forbid_creation_of",
)


class ShowOptions(TypedDict, total=False):
    """Options for showing progress."""

    progress: bool | None
    """Show how far one run is, on stderr; None, the default: on a terminal or in a notebook."""
    progress_bar: bool | None
    """Upstream's name of `progress`."""


class GetOptions(LoadOptions, ShowOptions, total=False):
    """Options of `get_iter`, `get_array` and their likes: rows, columns, and progress."""

    chunk_size_bytes: int | None
    """About how large the chunks of `get_iter` are; left out: as they are stored or made."""
    report: ReadReport | None
    """Counts what is read."""


@dataclass(frozen=True, kw_only=True)
class RequestOptions:
    """Checked options of one request, whichever the run."""

    targets: tuple[str, ...]
    save: tuple[str, ...]
    query: Query
    progress: bool | None
    chunk_size_bytes: int | None
    report: ReadReport
    data_plugins: DataPlugins


def request_options(
    data_plugins: DataPlugins,
    forbidden: Collection[str],
    targets: str | Sequence[str],
    save: str | Sequence[str],
    options: Mapping[str, Any],
) -> RequestOptions:
    """Return what is asked for.

    Args:
        data_plugins: what can be made.
        forbidden: what is not to be made.
        targets: data types, or one.
        save: data types to keep.
        options: see `GetOptions`.

    Raises:
        ConfigError: an unknown name or option, or a value that cannot be.
    """
    _check_known(options, GetOptions.__annotations__)
    shown = [options[name] for name in ShowOptions.__annotations__ if name in options]
    if len(shown) > 1:
        raise ConfigError("progress and progress_bar are the same option; give one of them")
    report = options.get("report")
    if report is not None and not isinstance(report, ReadReport):
        raise ConfigError(f"report is a {type(report).__name__}; give a strax_core.ReadReport()")
    selection = {name: options[name] for name in options if name in _OF_LOADING}
    size = options.get("chunk_size_bytes")
    asked = RequestOptions(
        progress=shown[0] if shown else None,
        chunk_size_bytes=None if size is None else positive_int(size, "chunk_size_bytes"),
        report=ReadReport() if report is None else report,
        targets=names(targets, "targets"),
        save=names(save, "save"),
        query=query_of(selection) if selection else ALL_ROWS,
        data_plugins=data_plugins,
    )
    if not asked.targets or len(set(asked.targets)) < len(asked.targets):
        raise ConfigError(f"targets are {asked.targets!r}; give each data type once")
    for data_type in set(forbidden) - {"*"}:
        data_plugins.that_makes(data_type)  # or a misspelt name would forbid nothing
    for listed in asked.save:
        if stated_for(data_plugins.that_makes(listed), "save_when", listed) == SaveWhen.NEVER:
            raise ConfigError(f"{listed} is never saved (save_when), but is listed in save")
    return asked


def _check_known(options: Iterable[str], known: Iterable[str]) -> None:
    """Refuse names of options that a request does not have.

    Raises:
        ConfigError: says what was meant, perhaps, or that it is an option of a context.
    """
    for option in options:
        if option in _OF_A_CONTEXT:
            raise ConfigError(
                f"{option} is an option of a context, not of a request: "
                f"ask ctx.new_context({option}=…)"
            )
        if option not in known:
            raise ConfigError(f"there is no option {option!r} {did_you_mean(option, known)}")
