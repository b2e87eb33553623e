"""The contract kit: checks that every storage plugin passes, and what they are made of.

A storage plugin's test is a subclass of a contract with one or two fixtures; docs/contract-kit.md
shows each. ``pip install 'strax-core[testing]'`` brings what the kit needs.
"""

try:
    import pytest
except ModuleNotFoundError as error:
    raise ModuleNotFoundError(
        "strax_core.testing needs pytest: pip install 'strax-core[testing]'"
    ) from error

PARTS = (
    *("byte", "name", "race", "dataset", "saving", "part", "damage", "cleaning", "link", "fault"),
    *("death", "secret", "machine", "finding", "keeping", "document"),
)
CONTRACTS = ("codec_contract", "distribution_contract", "reading_contract")
for module in ("models", "frontend_base", *CONTRACTS, *(f"{part}_checks" for part in PARTS)):
    pytest.register_assert_rewrite(f"strax_core.testing.{module}")

from strax_core.backend import clean  # noqa: E402
from strax_core.testing.byte_checks import ByteChecks  # noqa: E402 - after the registration
from strax_core.testing.cleaning_checks import CleaningChecks  # noqa: E402
from strax_core.testing.codec_contract import CodecContract  # noqa: E402
from strax_core.testing.contract import BackendContract, FrontendContract  # noqa: E402
from strax_core.testing.damage_checks import DamageChecks  # noqa: E402
from strax_core.testing.dataset_checks import DatasetChecks  # noqa: E402
from strax_core.testing.death_checks import DeathChecks  # noqa: E402
from strax_core.testing.distribution_contract import DistributionContract  # noqa: E402
from strax_core.testing.fault_checks import FaultChecks  # noqa: E402
from strax_core.testing.faults import Call, Fault, FaultyBackend, Moment  # noqa: E402
from strax_core.testing.foreign_checks import ForeignChecks  # noqa: E402
from strax_core.testing.http_proxy import Fate, HttpProxy, HttpRequest, s3_error  # noqa: E402
from strax_core.testing.levels import KIT_VERSION  # noqa: E402
from strax_core.testing.link_checks import LinkChecks  # noqa: E402
from strax_core.testing.machine_checks import MachineChecks  # noqa: E402
from strax_core.testing.name_checks import NameChecks  # noqa: E402
from strax_core.testing.part_checks import PartChecks  # noqa: E402
from strax_core.testing.proxy import End, LinkFault, Proxy, Way  # noqa: E402
from strax_core.testing.race_checks import RaceChecks  # noqa: E402
from strax_core.testing.raw import (  # noqa: E402
    FolderLinks,
    RawAccess,
    RawFolder,
    RawLinks,
    RawMemory,
    everything,
)
from strax_core.testing.reading_contract import ReadingContract  # noqa: E402
from strax_core.testing.samples import (  # noqa: E402
    sample_chunks,
    sample_key,
    sample_metadata,
    save_sample,
)
from strax_core.testing.saving_checks import SavingChecks  # noqa: E402
from strax_core.testing.secret_checks import SecretChecks  # noqa: E402

__all__ = [
    "KIT_VERSION",
    "BackendContract",
    "ByteChecks",
    "Call",
    "CleaningChecks",
    "CodecContract",
    "DamageChecks",
    "DatasetChecks",
    "DeathChecks",
    "DistributionContract",
    "End",
    "Fate",
    "Fault",
    "FaultChecks",
    "FaultyBackend",
    "FolderLinks",
    "ForeignChecks",
    "FrontendContract",
    "HttpProxy",
    "HttpRequest",
    "LinkChecks",
    "LinkFault",
    "MachineChecks",
    "Moment",
    "NameChecks",
    "PartChecks",
    "Proxy",
    "RaceChecks",
    "RawAccess",
    "RawFolder",
    "RawLinks",
    "RawMemory",
    "ReadingContract",
    "SavingChecks",
    "SecretChecks",
    "Way",
    "clean",
    "everything",
    "s3_error",
    "sample_chunks",
    "sample_key",
    "sample_metadata",
    "save_sample",
]
