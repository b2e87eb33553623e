from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from strax_core import MemoryBackend, StorageBackend
from strax_core.testing import DistributionContract, FrontendContract
from strax_sql.frontend import SqlFrontend
from strax_sql.options import SqlOptions


class TestSqlFrontend(FrontendContract):
    """On SQLite, with two backends; both hold copies in some checks."""

    @pytest.fixture
    def places(self) -> dict[str, StorageBackend]:
        return {"near": MemoryBackend(), "far": MemoryBackend()}

    @pytest.fixture
    def open_frontend(
        self, tmp_path: Path, places: dict[str, StorageBackend]
    ) -> Callable[..., SqlFrontend]:
        def opened(**options: Any) -> SqlFrontend:
            chosen = SqlOptions(url=f"sqlite:///{tmp_path}/catalog.db", backends=places)
            return SqlFrontend(chosen, **options)

        return opened


class TestDistribution(DistributionContract):
    distribution = "strax-sql"
    heavy = ("sqlalchemy",)
