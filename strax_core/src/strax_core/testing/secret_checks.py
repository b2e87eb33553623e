"""The contract of secrets: whatever is shown, raised, sent or stored holds none."""

import logging
import pickle
import traceback
from collections.abc import Callable

import pytest

from strax_core.backend import StorageBackend
from strax_core.errors import StorageError
from strax_core.frontend import DirectoryFrontend
from strax_core.testing.base import BackendBase
from strax_core.testing.dataset_checks import KEY, new_saver
from strax_core.testing.raw import RawAccess, everything
from strax_core.testing.samples import save_sample


class SecretChecks(BackendBase):
    """The fixture `secret` says what must be found nowhere; without one there is none to find."""

    def test_what_shows_a_backend_shows_no_secret(
        self, backend: StorageBackend, secret: str | None
    ) -> None:
        shown = [
            *(repr(backend), str(backend), backend.place, f"{backend}"),
            *(repr(frontend := DirectoryFrontend(backend)), str(frontend), frontend.name),
            *(repr(vars(one)) for one in (backend, frontend) if hasattr(one, "__dict__")),
            repr(getattr(backend, "_repr_html_", str)()),
        ]

        assert not [text for text in shown if holds(text, secret)]

    def test_what_is_sent_to_another_process_holds_no_secret(
        self, backend: StorageBackend, secret: str | None
    ) -> None:
        if not self.pickles:
            return
        save_sample(backend, KEY)
        with new_saver(backend, overwrite="always") as saver:
            sent = [pickle.dumps(one) for one in (backend, saver, backend.loader(KEY.name))]
            saver.abort()

        assert not [one for one in sent if holds(one.decode("latin-1"), secret)]

    def test_errors_and_logs_tell_no_secret(
        self, backend: StorageBackend, caplog: pytest.LogCaptureFixture, secret: str | None
    ) -> None:
        with caplog.at_level(logging.DEBUG):
            raised = [_raised(action) for action in _failing(backend)]
            with pytest.raises(ZeroDivisionError), new_saver(backend):
                raise ZeroDivisionError

        assert not [one for one in (*raised, caplog.text) if holds(one, secret)]

    def test_what_is_stored_holds_no_secret(
        self, backend: StorageBackend, raw: RawAccess, secret: str | None
    ) -> None:
        with pytest.raises(ZeroDivisionError), new_saver(backend) as saver:  # noqa: PT012 - `with` is tested
            tickets = [raw.read(path) for path in everything(raw)]
            saver.close()
            raise ZeroDivisionError
        with pytest.raises(ZeroDivisionError), new_saver(backend):
            raise ZeroDivisionError
        notes = [raw.read(path) for path in everything(raw)]
        save_sample(backend, KEY)
        stored = [raw.read(path) for path in everything(raw)]

        assert tickets
        assert notes
        for data in (*tickets, *notes, *stored):
            assert not holds(data.decode("latin-1"), secret)


def holds(text: str, secret: str | None) -> bool:
    """Say whether the secret stands in a text."""
    return secret is not None and secret in text


def _failing(backend: StorageBackend) -> list[Callable[[], object]]:
    save_sample(backend, KEY)
    return [
        lambda: backend.read("missing"),
        lambda: backend.read("../outside"),
        lambda: backend.read_ranges("missing", [(0, 1)]),
        lambda: backend.read_into("missing", memoryview(bytearray(1))),
        lambda: backend.loader("run_1-missing-abc"),
        lambda: save_sample(backend, KEY, overwrite="never"),
        lambda: backend.write("../outside", [b"x"]),
        lambda: backend.delete(".."),
        lambda: backend.remove(".."),
    ]


def _raised(action: Callable[[], object]) -> str:
    """Return all that an error tells: its causes too, and the objects it carries."""
    try:
        action()
    except StorageError as error:
        return "".join(traceback.format_exception(error)) + repr(vars(error))
    return ""  # that it should have raised one is said by another check
