"""Hooks by which core asks a storage plugin for its backends, frontends and codecs."""

import re
from dataclasses import dataclass

import pluggy

from strax_core.errors import PluginError

PROJECT_NAME = "strax"
ENTRY_POINT_GROUP = "strax.storage"
hookspec = pluggy.HookspecMarker(PROJECT_NAME)
hookimpl = pluggy.HookimplMarker(PROJECT_NAME)
_TARGET = re.compile(r"[A-Za-z_][\w.]*:[A-Za-z_]\w*")
_NAME = re.compile(r"[a-z0-9][a-z0-9_+.-]*")
_LINE = re.compile(r"[^\r\n]+")


@dataclass(frozen=True, kw_only=True)
class Provided:
    """A light description of one backend, frontend or codec; nothing is imported until it is used.

    How core makes the object, with ``options`` an instance of the options class:

    - a backend: ``Target(options)``, and around it ``Frontend(backend, **frontend_options)``;
    - a frontend: ``Target(options, **frontend_options)``;
    - without an options class, the same calls without ``options``;
    - ``frontend_options`` are those of `StorageFrontend`: name, readonly, overwrite and so on.

    The options class is a frozen dataclass; its fields are the keys of the table in ``strax.toml``.
    It must not use a name of a frontend option. A field may carry ``metadata``:

    - ``{"path": True}``: a path on this machine; ``~`` expands, a relative one becomes absolute;
    - ``{"resolve": function}``: the value is what ``function(value, folder)`` returns; relative
      paths in it, such as those in a URL, start at ``folder``;
    - ``{"secret": True}``: takes a `SecretReference` only;
    - ``{"backends": True}``: takes a list of names of ``[backends.NAME]``, or a table of backends
      by name, and gets a dictionary of the opened backends by name (frontends only).

    If there are URL schemes, the options class has a classmethod
    ``from_url(url: str) -> dict[str, object]``, which returns values by field name.
    """

    __module__ = "strax_core"

    name: str  # what users write, as in `frontend = "s3"`
    help: str  # one line
    target: str  # "module:Class"
    options: str | None = None  # "module:Class" of the options of the medium
    schemes: tuple[str, ...] = ()  # ("s3",) serves "s3://…"
    frontend: str | None = None  # for a backend: "module:Class"; None is core's DirectoryFrontend
    extra: str | None = None  # of the distribution; installs what the target needs beyond it

    def __post_init__(self) -> None:
        """Refuse a description that could only fail later.

        Raises:
            PluginError: a field has the wrong type or form.
        """
        if not _fits(_NAME, self.name):
            raise PluginError(f"Provided.name must be a lower-case word, not {self.name!r}")
        if not _fits(_LINE, self.help):
            raise PluginError(f"Provided.help of {self.name!r} must be one line of text")
        if self.extra is not None and not _fits(_NAME, self.extra):
            raise PluginError(f"Provided.extra of {self.name!r} must be a lower-case word")
        optional = [each for each in (self.options, self.frontend) if each is not None]
        for target in (self.target, *optional):
            if not _fits(_TARGET, target):
                raise PluginError(f"{self.name!r} must name 'module:Class', not {target!r}")
        if type(self.schemes) is not tuple or not all(_fits(_NAME, each) for each in self.schemes):
            raise PluginError(f"Provided.schemes of {self.name!r} must be a tuple of words")
        if self.schemes and self.options is None:
            raise PluginError(f"{self.name!r} serves URLs and needs an options class with from_url")


def _fits(form: re.Pattern[str], value: object) -> bool:
    return isinstance(value, str) and form.fullmatch(value) is not None


class StorageHooks:
    """The hooks; a storage plugin implements those it needs, as functions of one light module."""

    @hookspec
    def strax_backends(self) -> list[Provided]:
        """Return the backends that this storage plugin brings."""
        raise NotImplementedError

    @hookspec
    def strax_frontends(self) -> list[Provided]:
        """Return the frontends that are more than a directory on one backend."""
        raise NotImplementedError

    @hookspec
    def strax_codecs(self) -> list[Provided]:
        """Return the codecs that this storage plugin brings."""
        raise NotImplementedError
