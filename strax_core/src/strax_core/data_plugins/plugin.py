"""The base of data plugins: classes that make data types from others, or from an instrument."""

import re
from collections.abc import Mapping, Sequence
from enum import IntEnum
from typing import Any

import numpy as np

from strax_core.chunks import Chunk
from strax_core.data_plugins.outputs import dtypes_of
from strax_core.errors import ConfigError, PluginGaveWrongOutput


class SaveWhen(IntEnum):
    """The occasions on which a data type is kept; the values are strax's."""

    NEVER = 0
    """Not even if it is listed in ``save=``: that is an error."""
    EXPLICIT = 1
    """Only if it is listed in ``save=``."""
    TARGET = 2
    """If it was asked for by name."""
    ALWAYS = 3
    """Whenever it is made."""


class Plugin:
    """Makes data types, most often one. Subclass it, set the attributes, and write `compute`.

    - One instance serves one run in one request; `setup` is called before the first `compute`.
    - A class with several outputs names them in `provides`; `dtype` and `data_kind` are then
      dictionaries by data type. So may be `save_when`, `rechunk_on_save`, `chunk_target_size_mb`
      and `compressor`; one value stands for all.
    - A source (no `depends_on`) writes ``compute(self, chunk_i)`` with `is_ready` and
      `source_finished`, or a generator method ``chunks(self)``; both give what `chunk` returns, or
      for several outputs a dictionary of that.
    - A class without `compute` may be registered; it fails only when it has to make something.
    """

    __version__: str = "0.0.0"
    provides: str | Sequence[str] = ()
    """Names of the data types; left out, it is the class's name in snake case."""
    depends_on: str | Sequence[str] = ()
    data_kind: str | Mapping[str, str] = ""
    """Rows of a kind stand for the same things; left out: the first dependency's, or `provides`."""
    dtype: Any = None
    """With int64 ``time`` and ``endtime`` (or ``length`` and ``dt``), ns since the Unix epoch."""
    compressor: str | Mapping[str, str | None] | None = None
    """Codec; None: the default of this version."""
    save_when: SaveWhen | Mapping[str, SaveWhen] = SaveWhen.ALWAYS
    rechunk_on_save: bool | Mapping[str, bool] = True
    chunk_target_size_mb: float | Mapping[str, float] = 200
    """Size of stored chunks, uncompressed, in 1e6 bytes."""
    parallel: bool | str = False
    """Permission to run `compute` for several chunks at once. True: in threads; ``"process"``: in
    the processes of an ``executor=``, on pickled copies of this instance."""
    child_plugin: bool = False
    """True if its parents' versions, and its `child_option` options, take part in the lineage."""
    input_timeout: float = 80
    """Longest wait for a source that is not ready, in s."""

    run_id: str
    config: Mapping[str, Any]
    deps: Mapping[str, "Plugin"]
    """For each data type of `depends_on`, what makes it."""

    def __getattr__(self, name: str) -> Any:
        # Options that do not stand as class attributes are read like those that do.
        config = self.__dict__.get("config", {})
        if name in config:
            return config[name]
        raise AttributeError(f"{type(self).__name__} has no attribute {name!r}")

    def infer_dtype(self) -> Any:
        """Return the dtype, where it depends on options or dependencies (`config`, `deps`).

        It counts more than the attribute `dtype`. For several outputs, return a dictionary.
        """
        raise NotImplementedError(f"{type(self).__name__} must set dtype, or override infer_dtype")

    def setup(self) -> None:
        """Prepare for computing; `config`, `run_id` and `deps` are there."""

    def compute(self, *args: Any, **inputs: Any) -> Any:
        """Return the rows made from the arrays of each kind, all of the same time range.

        For several outputs, return a dictionary: rows by data type. Takes ``start``, ``end`` (ns)
        and ``chunk_i`` too, if it names them.
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

    def chunk(
        self, *, start: int, end: int, data: np.ndarray[Any, Any], data_type: str | None = None
    ) -> Chunk:
        """Return a chunk of this run; ``[start, end)`` in ns since the Unix epoch.

        Its rows are a read-only view: others read them while they are encoded in other threads.

        Args:
            start: ns, inclusive.
            end: ns, exclusive.
            data: the rows.
            data_type: which output; may be left out if there is but one.

        Raises:
            PluginGaveWrongOutput: the data type is left out, or is none that this class makes.
            ChunkError: the rows break an invariant of chunks.
        """
        data_types = provided(type(self))
        if data_type is None and len(data_types) == 1:
            data_type = data_types[0]
        if data_type is None or data_type not in data_types:
            raise PluginGaveWrongOutput(
                f"{type(self).__name__} made a chunk of {data_type!r}; say which it is: "
                f"self.chunk(…, data_type=…), one of {', '.join(data_types)}"
            )
        return Chunk(
            start=start, end=end, data=read_only(data), run_id=self.run_id, data_type=data_type
        )

    def dtype_for(self, data_type: str) -> np.dtype[Any]:
        """Return the dtype of one of its outputs."""
        dtype: np.dtype[Any] = stated_for(self, "dtype", data_type)
        return dtype

    def data_kind_for(self, data_type: str) -> str:
        """Return the kind of one of its outputs."""
        return str(stated_for(self, "data_kind", data_type))

    def save_when_for(self, data_type: str) -> SaveWhen:
        """Return when one of its outputs is kept."""
        return SaveWhen(stated_for(self, "save_when", data_type))

    def can_rechunk(self, data_type: str) -> bool:
        """Say whether the stored chunks of one of its outputs may differ from those it makes."""
        return bool(stated_for(self, "rechunk_on_save", data_type))

    def target_bytes_for(self, data_type: str) -> int:
        """Return the size of stored chunks of one of its outputs, uncompressed."""
        return int(stated_for(self, "chunk_target_size_mb", data_type) * 1e6)

    def compressor_for(self, data_type: str) -> str | None:
        """Return the codec of one of its outputs; None: the default of this version."""
        compressor: str | None = stated_for(self, "compressor", data_type)
        return compressor


def stated_for(data_plugin: Plugin | type[Plugin], attribute: str, data_type: str) -> Any:
    """Return what a data plugin, or its class, says in an attribute of one of its outputs.

    Raises:
        ConfigError: it does not make this data type.
    """
    data_plugin_class = data_plugin if isinstance(data_plugin, type) else type(data_plugin)
    if data_type not in provided(data_plugin_class):
        raise ConfigError(
            f"{data_plugin_class.__name__} makes {', '.join(provided(data_plugin_class))}, "
            f"not {data_type}"
        )
    value = getattr(data_plugin, attribute)
    return value[data_type] if isinstance(value, Mapping) else value


def provided(data_plugin: type[Plugin]) -> tuple[str, ...]:
    """Return the data types that a class makes."""
    if data_plugin.provides:
        return _as_texts(data_plugin.provides)
    words = re.sub("(.)([A-Z][a-z]+)", r"\1_\2", data_plugin.__name__)  # strax's two steps
    return (re.sub("([a-z0-9])([A-Z])", r"\1_\2", words).lower(),)


def lineage_name(data_plugin: type[Plugin]) -> str:
    """Return the name of a class's entry in lineages: the last data type it makes, as in strax."""
    return provided(data_plugin)[-1]


def dependencies(data_plugin: type[Plugin]) -> tuple[str, ...]:
    """Return the data types that a class needs, in its order."""
    return _as_texts(data_plugin.depends_on)


def _as_texts(names: str | Sequence[str]) -> tuple[str, ...]:
    """Return one name, or several, as a tuple."""
    return (names,) if isinstance(names, str) else tuple(names)


def prepared(
    data_plugin: type[Plugin], *, run_id: str, config: Mapping[str, Any], deps: Mapping[str, Plugin]
) -> Plugin:
    """Return an instance that knows its run, options, dependencies, dtypes and kinds.

    Raises:
        ConfigError: a dtype is none that rows can have.
    """
    instance, data_types = data_plugin(), provided(data_plugin)
    instance.run_id, instance.config, instance.deps = run_id, dict(config), dict(deps)
    instance.provides, instance.depends_on = data_types, dependencies(data_plugin)
    # As in strax; so a child may infer what its parent declares.
    is_inferred = data_plugin.infer_dtype is not Plugin.infer_dtype or instance.dtype is None
    dtypes = dtypes_of(
        instance.infer_dtype() if is_inferred else instance.dtype,
        data_types,
        who=f"data plugin {data_plugin.__name__}",
    )
    instance.dtype = dtypes if len(dtypes) > 1 else dtypes[data_types[0]]
    if instance.data_kind:
        kinds = {each: instance.data_kind_for(each) for each in data_types}
        instance.data_kind = kinds if len(kinds) > 1 else kinds[data_types[0]]
    elif deps:
        first = instance.depends_on[0]
        instance.data_kind = deps[first].data_kind_for(first)
    else:
        instance.data_kind = data_types[0]
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
