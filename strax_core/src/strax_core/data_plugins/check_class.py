"""Refuses data plugins, when they are registered, that could only fail later."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from strax_core.arguments import did_you_mean
from strax_core.data_plugins.option import Option, options_of, replaced_by_child_options
from strax_core.data_plugins.outputs import check_by_data_type, values_of
from strax_core.data_plugins.plugin import Plugin, SaveWhen, dependencies, provided
from strax_core.errors import ConfigError
from strax_core.format import CHUNK_BYTES_MAX, check_data_type

_NOT_HERE = (
    "OverlapWindowPlugin",
    "LoopPlugin",
    "ExhaustPlugin",
    "CutPlugin",
    "CutList",
    "DownChunkingPlugin",
)


def check_data_plugin(data_plugin: Any) -> None:
    """Refuse a class that could only fail later.

    Raises:
        ConfigError: not a data plugin, or one of a sort that is not served here.
    """
    if not isinstance(data_plugin, type):
        raise ConfigError(f"{data_plugin!r} is not a class; register the data plugin's class")
    name = data_plugin.__name__
    for ancestor in data_plugin.__mro__:
        if ancestor.__name__ in _NOT_HERE and ancestor.__module__.startswith("strax"):
            raise ConfigError(f"{name}: {ancestor.__name__} of strax is not served here")
    if not issubclass(data_plugin, Plugin):
        is_of_strax = any(each.__module__.startswith("strax.") for each in data_plugin.__mro__)
        hint = ": write `import strax_core as strax`" if is_of_strax else ""
        raise ConfigError(
            f"{name} is not a data plugin: it must inherit from strax_core.Plugin{hint}"
        )
    options = options_of(data_plugin)
    _check_names(data_plugin)
    _check_attributes(data_plugin)
    _check_kinds(data_plugin)
    if data_plugin.child_plugin:
        _check_child(data_plugin, options)


def _check_names(data_plugin: type[Plugin]) -> None:
    name = data_plugin.__name__
    for attribute, names in (("provides", provided), ("depends_on", dependencies)):
        value: Any = getattr(data_plugin, attribute)
        if not isinstance(value, str | Sequence) or isinstance(value, bytes):
            raise ConfigError(f"{name}: {attribute} is {value!r}; give a text, or several")
        data_types = [check_data_type(data_type) for data_type in names(data_plugin)]
        if len(set(data_types)) < len(data_types):
            raise ConfigError(f"{name}: {attribute} has one twice: {', '.join(data_types)}")


def _check_attributes(data_plugin: type[Plugin]) -> None:
    name = data_plugin.__name__
    version: Any = data_plugin.__version__
    if version is None:
        raise ConfigError(
            f"{name}: __version__ is None, by which strax makes one of the source text; that is "
            "not served here: give it a text"
        )
    if not isinstance(version, str):
        raise ConfigError(f"{name}: __version__ is {version!r}; it must be a text")
    parallel: Any = data_plugin.parallel
    if not isinstance(parallel, bool) and parallel not in {"process", "thread"}:
        raise ConfigError(
            f"{name}: parallel is {parallel!r}; give False, True, 'process' or 'thread'"
        )
    for attribute, (is_fine, wanted) in _BY_DATA_TYPE.items():
        value = getattr(data_plugin, attribute)
        check_by_data_type(value, provided(data_plugin), who=f"{name}: {attribute}")
        for one in values_of(value):
            if not is_fine(one):
                raise ConfigError(f"{name}: {attribute} is {one!r}; it must be {wanted}")


def _is_size(size_mb: Any) -> bool:
    return isinstance(size_mb, int | float) and 1 <= size_mb * 1e6 < CHUNK_BYTES_MAX


_BY_DATA_TYPE: Mapping[str, tuple[Callable[[Any], bool], str]] = {
    "data_kind": (lambda kind: isinstance(kind, str), "a text"),
    "save_when": (lambda when: when in tuple(SaveWhen), "a SaveWhen"),
    "rechunk_on_save": (lambda can: isinstance(can, bool), "True or False"),
    "compressor": (lambda name: name is None or isinstance(name, str), "the name of a codec"),
    "chunk_target_size_mb": (_is_size, f"a number above 0 and below {CHUNK_BYTES_MAX // 10**6}"),
}


def _check_kinds(data_plugin: type[Plugin]) -> None:
    data_types = provided(data_plugin)
    if len(data_types) > 1 and not isinstance(data_plugin.data_kind, Mapping):
        kinds = ", ".join(f"{data_type!r}: …" for data_type in data_types)
        raise ConfigError(
            f"{data_plugin.__name__} makes several data types, so it must say of which kind each "
            f"is: data_kind = {{{kinds}}}"
        )


def _check_child(data_plugin: type[Plugin], options: Mapping[str, Option]) -> None:
    name = data_plugin.__name__
    for parent, child in replaced_by_child_options(options).items():
        if parent not in options:
            raise ConfigError(
                f"{name}: the option {child!r} stands for {parent!r}, which no parent has "
                f"{did_you_mean(parent, options.keys() - {child})}"
            )
    for base in data_plugin.__bases__:
        if not issubclass(base, Plugin) or not isinstance(base.__version__, str):
            raise ConfigError(
                f"{name} is a child_plugin, so its lineage has the version of each parent, but "
                f"{base.__name__} is not a data plugin with a text as its __version__"
            )
