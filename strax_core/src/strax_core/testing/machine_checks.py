"""The contract of any order: random operations do what a model of them does."""

from strax_core.backend import StorageBackend
from strax_core.testing.base import BackendBase
from strax_core.testing.machines import data_machine, run_machine, verbs_machine
from strax_core.testing.raw import RawAccess


class MachineChecks(BackendBase):
    """State machines of hypothesis; the level `full` shows the shortest sequence that fails."""

    def test_any_order_of_verbs_does_what_a_dictionary_does(
        self, backend: StorageBackend, raw: RawAccess
    ) -> None:
        run_machine(verbs_machine(backend, raw), examples=20, steps=20)

    def test_any_order_of_saving_removing_and_cleaning_does_what_a_model_does(
        self, backend: StorageBackend, second: StorageBackend, raw: RawAccess
    ) -> None:
        run_machine(data_machine(backend, second, raw), examples=5, steps=10)
