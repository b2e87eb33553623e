"""Old names, until 1.0: of modules that pickles name, and of what storage plugins override."""

import importlib
import sys
from collections.abc import Mapping, Sequence
from functools import partial
from importlib.machinery import ModuleSpec
from types import ModuleType
from typing import Any, ClassVar

NEW = {
    "strax_core.asking": "strax_core.places.found",
    "strax_core.chunk_info": "strax_core.format.chunk_info",
    "strax_core.directory": "strax_core.frontend.directory",
    "strax_core.keys": "strax_core.format.keys",
    "strax_core.lineage_texts": "strax_core.format.lineage_text",
    "strax_core.location": "strax_core.frontend.location",
    "strax_core.matching": "strax_core.frontend.match",
    "strax_core.metadata": "strax_core.format.metadata",
    "strax_core.option": "strax_core.data_plugins.option",
    "strax_core.secret_reference": "strax_core.config.secret",
}
"""Modules in which old pickles have their classes, and the modules of these now."""


class Renamed:
    """A class whose subclasses may use old names and new ones, for what they override and call.

    Each class that defines something under one name gets it under the other, too. So a call by
    `super()` ends where it should, whichever name it uses.
    """

    _renamed: ClassVar[Mapping[str, str]] = {}
    """The new name of each old one."""

    def __init_subclass__(cls, **options: Any) -> None:
        super().__init_subclass__(**options)
        own = vars(cls)
        for old, new in cls._renamed.items():
            if old in own and new not in own:
                setattr(cls, new, own[old])
            elif new in own:
                setattr(cls, old, own[new])


class OldModules:
    """Finds a module of an old name; its names are those of the new one."""

    @classmethod
    def find_spec(
        cls, fullname: str, _path: Sequence[str] | None = None, _target: ModuleType | None = None
    ) -> ModuleSpec | None:
        """Return how to import it; None if it is no old name."""
        return ModuleSpec(fullname, cls()) if fullname in NEW else None  # type: ignore[arg-type]

    def create_module(self, _spec: ModuleSpec) -> None:
        """Leave it to Python to make an empty one."""

    def exec_module(self, module: ModuleType) -> None:
        """Let it ask the new module for every name."""
        new = importlib.import_module(NEW[module.__name__])
        vars(module)["__getattr__"] = partial(getattr, new)


def install() -> None:
    """Let imports, and with them pickle, know the old names."""
    sys.meta_path.append(OldModules)
