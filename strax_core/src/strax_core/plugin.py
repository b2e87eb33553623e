"""What a data plugin is: a class that makes one data type from others, or from an instrument."""

import re
from collections.abc import Mapping
from enum import IntEnum
from typing import Any

import numpy as np

from strax_core.chunks import Chunk, check_dtype
from strax_core.errors import ConfigError
from strax_core.keys import check_data_type
from strax_core.metadata import CHUNK_BYTES_MAX, packed
from strax_core.option import options_of


class SaveWhen(IntEnum):
    """When a data type is kept; the values are strax's."""

    NEVER = 0
    """Not even if it is listed in ``save=``: that is an error."""
    EXPLICIT = 1
    """Only if it is listed in ``save=``."""
    TARGET = 2
    """If it was asked for by name."""
    ALWAYS = 3
    """Whenever it is made."""


class Plugin:
    """Makes a data type. Subclass it, set the attributes, and write `compute`.

    - One instance serves one run in one request; `setup` is called before the first `compute`.
    - A source (no `depends_on`) writes ``compute(self, chunk_i)`` with `is_ready` and
      `source_finished`, or a generator method ``chunks(self)``; both give what `chunk` returns.
    - A class without `compute` may be registered; it fails only when it has to make something.
    """

    __version__: str = "0.0.0"
    provides: str | tuple[str, ...] = ()
    """Name of the data type; left out, it is the class's name in snake case."""
    depends_on: str | tuple[str, ...] = ()
    data_kind: str = ""
    """Rows of a kind stand for the same things; left out: the first dependency's, or `provides`."""
    dtype: Any = None
    """With int64 ``time`` and ``endtime`` (or ``length`` and ``dt``), ns since the Unix epoch."""
    compressor: str | None = None
    """Codec; None: the default of this version."""
    save_when: SaveWhen = SaveWhen.ALWAYS
    rechunk_on_save: bool = True
    chunk_target_size_mb: float = 200
    """Size of stored chunks, uncompressed, in 1e6 bytes."""
    input_timeout: float = 80
    """How long a source that is not ready is waited for, in s."""

    run_id: str
    config: Mapping[str, Any]
    deps: Mapping[str, "Plugin"]

    def __getattr__(self, name: str) -> Any:
        # Options that do not stand as class attributes are read like those that do.
        config = self.__dict__.get("config", {})
        if name in config:
            return config[name]
        raise AttributeError(f"{type(self).__name__} has no attribute {name!r}")

    def infer_dtype(self) -> Any:
        """Return the dtype, where it depends on options or dependencies (`config`, `deps`)."""
        raise NotImplementedError(f"{type(self).__name__} must set dtype, or override infer_dtype")

    def setup(self) -> None:
        """Prepare for computing; `config`, `run_id` and `deps` are there."""

    def compute(self, *args: Any, **inputs: Any) -> Any:
        """Return the rows made from the arrays of each kind, all of the same time range.

        Takes ``start``, ``end`` (ns) and ``chunk_i`` too, if it names them.
        """
        raise NotImplementedError(f"{type(self).__name__} cannot compute: it must override compute")

    def is_ready(self, chunk_i: int) -> bool:
        """Say whether a source has this chunk already."""
        raise NotImplementedError(
            f"{type(self).__name__} must override is_ready, or write a generator method chunks"
        )

    def source_finished(self) -> bool:
        """Say whether a source that is not ready never will be: the chunk before was its last."""
        return False

    def chunk(self, *, start: int, end: int, data: np.ndarray[Any, Any]) -> Chunk:
        """Return a chunk of this run and data type; ``[start, end)`` in ns since the Unix epoch.

        Its rows are a read-only view: others read them while they are encoded in other threads.
        """
        return Chunk(
            start=start,
            end=end,
            data=read_only(data),
            run_id=self.run_id,
            data_type=provided(type(self)),
        )


_NOT_HERE = (
    "OverlapWindowPlugin",
    "LoopPlugin",
    "ExhaustPlugin",
    "CutPlugin",
    "CutList",
    "DownChunkingPlugin",
)


def provided(data_plugin: type[Plugin]) -> str:
    """Return the data type that a class makes."""
    provides = data_plugin.provides
    if not provides:
        words = re.sub("(.)([A-Z][a-z]+)", r"\1_\2", data_plugin.__name__)  # strax's two steps
        return re.sub("([a-z0-9])([A-Z])", r"\1_\2", words).lower()
    return provides if isinstance(provides, str) else provides[0]


def dependencies(data_plugin: type[Plugin]) -> tuple[str, ...]:
    """Return the data types that a class needs, in its order."""
    depends_on = data_plugin.depends_on
    return (depends_on,) if isinstance(depends_on, str) else tuple(depends_on)


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
        raise ConfigError(f"{name} is not a data plugin: it must inherit from strax_core.Plugin")
    _check_attributes(data_plugin)
    needed = tuple(check_data_type(data_type) for data_type in dependencies(data_plugin))
    if len(set(needed)) < len(needed):
        raise ConfigError(f"{name} depends on a data type twice: {', '.join(needed)}")
    options_of(data_plugin)


def _check_attributes(data_plugin: type[Plugin]) -> None:
    name = data_plugin.__name__
    if not isinstance(data_plugin.provides, str) and len(data_plugin.provides) > 1:
        raise ConfigError(f"{name} provides several data types, which is not served yet")
    if getattr(data_plugin, "child_plugin", False):
        # Its key would differ from strax's: there the parent's options and version take part.
        raise ConfigError(f"{name} is a child_plugin, which is not served yet")
    check_data_type(provided(data_plugin))
    for attribute in ("data_kind", "__version__"):
        value = getattr(data_plugin, attribute)
        if not isinstance(value, str):
            raise ConfigError(f"{name}: {attribute} is {value!r}; it must be a text")
    if data_plugin.save_when not in tuple(SaveWhen):
        raise ConfigError(f"{name}: save_when is {data_plugin.save_when!r}; give a SaveWhen")
    size_mb: Any = data_plugin.chunk_target_size_mb
    if not isinstance(size_mb, int | float) or not 1 <= size_mb * 1e6 < CHUNK_BYTES_MAX:
        raise ConfigError(f"{name}: chunk_target_size_mb is {size_mb!r}; give a number above 0")


def prepared(
    data_plugin: type[Plugin], *, run_id: str, config: Mapping[str, Any], deps: Mapping[str, Plugin]
) -> Plugin:
    """Return an instance that knows its run, options, dependencies, dtype and kind.

    Raises:
        ConfigError: its dtype is none that rows can have.
    """
    instance = data_plugin()
    instance.run_id, instance.config, instance.deps = run_id, dict(config), dict(deps)
    declared = instance.dtype if instance.dtype is not None else instance.infer_dtype()
    try:
        instance.dtype = packed(np.dtype(declared))
    except (TypeError, ValueError) as error:
        raise ConfigError(
            f"{data_plugin.__name__}: {declared!r} is not a dtype: {error}"
        ) from error
    check_dtype(instance.dtype, f"data plugin {data_plugin.__name__}")
    if not instance.data_kind:
        instance.data_kind = next(iter(deps.values())).data_kind if deps else provided(data_plugin)
    return instance


def missing_methods(data_plugin: type[Plugin]) -> tuple[str, ...]:
    """Return what a class must override before it can make anything; empty if it can."""
    if dependencies(data_plugin):
        needed: tuple[str, ...] = ("compute",)
    elif callable(getattr(data_plugin, "chunks", None)):
        needed = ()
    else:
        needed = ("compute", "is_ready")
    return tuple(name for name in needed if getattr(data_plugin, name) is getattr(Plugin, name))


def read_only(rows: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
    """Return a view that cannot be written to; anything but an array is returned as it is."""
    given: Any = rows
    if not isinstance(given, np.ndarray):
        return rows
    view = rows.view()
    view.flags.writeable = False
    return view
