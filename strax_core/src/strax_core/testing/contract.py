"""The contract that every backend passes: what loaders, savers and `clean` rely on."""

from strax_core.testing.byte_checks import ByteChecks
from strax_core.testing.cleaning_checks import CleaningChecks
from strax_core.testing.damage_checks import DamageChecks
from strax_core.testing.dataset_checks import DatasetChecks
from strax_core.testing.death_checks import DeathChecks
from strax_core.testing.fault_checks import FaultChecks
from strax_core.testing.machine_checks import MachineChecks
from strax_core.testing.name_checks import NameChecks
from strax_core.testing.race_checks import RaceChecks
from strax_core.testing.saving_checks import SavingChecks
from strax_core.testing.secret_checks import SecretChecks


class BackendContract(
    ByteChecks,
    NameChecks,
    RaceChecks,
    DatasetChecks,
    SavingChecks,
    DamageChecks,
    CleaningChecks,
    FaultChecks,
    DeathChecks,
    SecretChecks,
    MachineChecks,
):
    """Subclass it, give the fixtures `backend` and `raw`, and pytest runs every check.

    - `backend`: your backend on a place that is fresh and empty in each test.
    - `raw`: a `RawAccess` to the same place that does not use your code.
    - `second`: another object on the same place; a pickled copy unless you override it.
    - `secret`: the secret that `backend` uses, if it takes one.
    - Deviations that are known and meant are class attributes (see `BackendBase`).
    """
