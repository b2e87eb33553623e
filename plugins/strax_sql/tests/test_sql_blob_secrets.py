"""The password of a database is given by reference, and shows up nowhere."""

import logging
import pickle
import traceback
from collections.abc import Iterator
from pathlib import Path

import pytest
from postgres_server import PostgresServer
from raw_blobs import raw_postgresql

from strax_core import ConfigError, Context, StorageError
from strax_core.testing import everything, sample_key, save_sample

CANARY = "canary-password"


@pytest.fixture
def told_all(caplog: pytest.LogCaptureFixture) -> Iterator[pytest.LogCaptureFixture]:
    """What is logged, also by the SDK at its most talkative."""
    names = ("sqlalchemy", "sqlalchemy.engine", "sqlalchemy.pool", "psycopg")
    before = {name: logging.getLogger(name).level for name in names}
    with caplog.at_level(logging.DEBUG):
        for name in names:
            logging.getLogger(name).setLevel(logging.DEBUG)
        yield caplog
    for name, level in before.items():
        logging.getLogger(name).setLevel(level)


@pytest.mark.servers
@pytest.mark.parametrize("way", ["env", "file"])
def test_a_canary_is_nowhere(
    postgres_database: PostgresServer,
    told_all: pytest.LogCaptureFixture,
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
    way: str,
) -> None:
    monkeypatch.setenv("BLOBS_PASSWORD", postgres_database.password)
    (tmp_path / "password").write_text(postgres_database.password)
    reference = {"env": "BLOBS_PASSWORD"} if way == "env" else {"file": f"{tmp_path}/password"}
    table = {"frontend": "sqlblob", "url": postgres_database.url, "password": reference}
    context = Context([table])
    (frontend,) = context.storage
    backend = frontend.backends["main"]
    save_sample(backend, sample_key())
    backend.verify(sample_key().name)
    shown = [check.text for check in backend.checks(writes=True)]
    gone = Context([{**table, "url": f"{postgres_database.url}-gone"}]).storage[0].backends["main"]
    for asked in (backend, gone):
        with pytest.raises(StorageError) as caught:
            asked.read("missing")
        shown += traceback.format_exception(caught.value)
        shown.append(repr(vars(caught.value)))
    shown += [repr(backend), str(vars(backend)), repr(vars(backend._database)), backend.place]
    shown += [repr(frontend), repr(context), repr(context.storage)]
    engine = backend._database._ready()
    shown += [repr(engine), str(engine.url), repr(vars(engine.pool)), repr(engine.dialect)]
    shown += [pickle.dumps(each).decode("latin-1") for each in (backend, backend._options)]
    shown.append(told_all.text)
    with raw_postgresql(postgres_database) as raw:
        shown += [raw.read(path).decode("latin-1") for path in everything(raw)]

    assert "strax_blobs" in told_all.text
    assert [text[:200] for text in shown if postgres_database.password in text] == []


def test_a_password_in_a_url_is_refused_and_not_repeated() -> None:
    url = f"postgresql://strax:{CANARY}@127.0.0.1/monitors"
    places: list[object] = [
        f"sqlblob+{url}",
        {"frontend": "sqlblob", "url": url},
        {"frontend": "sqlblob", "url": f"postgresql://127.0.0.1/monitors?password={CANARY}"},
        {"frontend": "sqlblob", "url": "postgresql://127.0.0.1/monitors", "password": CANARY},
    ]
    for place in places:
        with pytest.raises(ConfigError) as caught:
            Context([place])  # type: ignore[list-item]
        assert CANARY not in "".join(traceback.format_exception(caught.value))
