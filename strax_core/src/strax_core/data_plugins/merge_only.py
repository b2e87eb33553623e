"""A data plugin that puts the columns of its dependencies side by side."""

from typing import Any

import numpy as np

from strax_core.chunks import merged_dtype
from strax_core.data_plugins.plugin import Plugin, SaveWhen
from strax_core.errors import ConfigError


class MergeOnlyPlugin(Plugin):
    """Merges data types of one kind by column; subclass it and set `depends_on`, as in strax."""

    save_when = SaveWhen.EXPLICIT

    def infer_dtype(self) -> Any:
        """Return the columns of all; of a column that several have, the last one's."""
        kinds = {maker.data_kind_for(needed): maker for needed, maker in self.deps.items()}
        if len(kinds) != 1:
            raise ConfigError(
                f"{type(self).__name__} merges data types of one kind, not of "
                f"{', '.join(kinds) or 'none'}"
            )
        dtypes = {needed: maker.dtype_for(needed) for needed, maker in self.deps.items()}
        return merged_dtype(dtypes, kind=next(iter(kinds)))

    def compute(self, **merged: np.ndarray[Any, Any]) -> Any:
        """Return the columns, which are merged for every data plugin."""
        return next(iter(merged.values()))
