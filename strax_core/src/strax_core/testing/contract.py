"""The contracts that every backend and every frontend passes: what contexts rely on."""

from strax_core.testing.byte_checks import ByteChecks
from strax_core.testing.cleaning_checks import CleaningChecks
from strax_core.testing.damage_checks import DamageChecks
from strax_core.testing.dataset_checks import DatasetChecks
from strax_core.testing.death_checks import DeathChecks
from strax_core.testing.document_checks import DocumentChecks
from strax_core.testing.fault_checks import FaultChecks
from strax_core.testing.finding_checks import FindingChecks
from strax_core.testing.foreign_checks import ForeignChecks
from strax_core.testing.keeping_checks import KeepingChecks
from strax_core.testing.link_checks import LinkChecks
from strax_core.testing.machine_checks import MachineChecks
from strax_core.testing.name_checks import NameChecks
from strax_core.testing.part_checks import PartChecks
from strax_core.testing.race_checks import RaceChecks
from strax_core.testing.saving_checks import SavingChecks
from strax_core.testing.secret_checks import SecretChecks


class BackendContract(
    ByteChecks,
    NameChecks,
    RaceChecks,
    DatasetChecks,
    SavingChecks,
    PartChecks,
    DamageChecks,
    CleaningChecks,
    ForeignChecks,
    LinkChecks,
    FaultChecks,
    DeathChecks,
    SecretChecks,
    MachineChecks,
):
    """Subclass it, give the fixtures `backend` and `raw`, and pytest runs every check.

    - `backend`: your backend on a place that is fresh and empty in each test.
    - `raw`: a `RawAccess` to the same place that does not use your code.
    - `second`: another object on the same place; a pickled copy unless you override it.
    - `links`: how links get there, if the medium has any and `raw` is no `RawFolder`.
    - `secret`: the secret that `backend` uses, if it takes one.
    - Deviations that are known and meant are class attributes (see `BackendBase`).
    """


class FrontendContract(FindingChecks, KeepingChecks, DocumentChecks):
    """Subclass it, give the fixture `open_frontend`, and pytest runs every check.

    - `open_frontend`: a function that takes the options of frontends and opens yours, each time on
      the same place; the place is fresh and empty in each test.
    - `put`, `put_document`: how samples get there, if not by saving them through the frontend.
    - `secret`: the secret that the frontend uses, if it takes one.
    - `raw`: a `RawAccess` to the place, if others can leave files there.
    - `requests`, with the attribute `requests_for_many`: how many requests were made until now.
    - Deviations that are known and meant are class attributes (see `FrontendBase`).
    """
