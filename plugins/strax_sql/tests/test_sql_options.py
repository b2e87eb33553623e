"""URLs, secrets, names of backends: what a user may write."""

import pickle
import traceback
from pathlib import Path
from typing import Any

import pytest

from strax_core import ConfigError, Context, MemoryBackend, SecretReference
from strax_sql.options import DatabaseOptions, SqlOptions, located

BACKENDS = {"disk": MemoryBackend(), "hall": MemoryBackend()}
SECRET = "canary-of-the-options"  # noqa: S105 - it is looked for


@pytest.mark.parametrize(
    ("url", "message"),
    [
        ("", "names no database"),
        ("catalog.db", "names no database"),
        ("sqlite://", "names no database"),
        ("sqlite:///", "names no database"),
        ("mysql://host/database", "names no database"),
        ("postgresql://host", "names no database"),
        (f"postgresql://me:{SECRET}@host/database", "holds a password"),
        (f"postgresql://me@host/database?password={SECRET}", "holds a password"),
        (f"postgresql://me@host/database?sslpassword={SECRET}", "holds a password"),
        *(
            (f"postgresql://me:{letter}{SECRET}{letter}x@host/database", "holds a password")
            for letter in "/?#@:"
        ),
        (f"mysql://me:/{SECRET}@host/database", "holds a password"),
        (f"postgresql://me:{SECRET}/database", "the url of a database"),
        ("postgresql://[host/database", "the url of a database"),
        ("sqlite:///catalog.db?mirror_runs=false", "mirror_runs"),
    ],
)
def test_a_url_that_cannot_be_is_refused_and_a_password_not_repeated(
    url: str, message: str
) -> None:
    with pytest.raises(ConfigError, match=message) as caught:
        DatabaseOptions(url=url)

    assert SECRET not in "".join(traceback.format_exception(caught.value))


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"timeout_s": 0}, "timeout_s"),
        ({"pool_size": 0}, "pool_size"),
        ({"retry_for_s": -1}, "retry_for_s"),
        ({"outage_s": -1}, "outage_s"),
        ({"backends": {}}, "needs backends"),
        ({"write_to": "cellar"}, r"'cellar'.*disk, hall"),
        ({"write_to": {"peaks": ["disk", "cellar"]}}, "cellar"),
        ({"write_to": {"peaks": 3}}, "write_to is a name"),
        ({"password": SecretReference(env="X")}, "SQLite takes no password"),
    ],
    ids=str,
)
def test_options_that_cannot_be_are_refused(options: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        SqlOptions(**{"url": "sqlite:///x.db", "backends": BACKENDS, **options})


def test_a_relative_file_starts_at_the_folder_of_the_settings(tmp_path: Path) -> None:
    here = Path.cwd()

    assert located("sqlite:///catalog.db", tmp_path) == f"sqlite:///{tmp_path}/catalog.db"
    assert located("sqlite:///a/../b.db?x=1", tmp_path) == f"sqlite:///{tmp_path}/b.db?x=1"
    assert located("sqlite:////data/catalog.db", tmp_path) == "sqlite:////data/catalog.db"
    assert located("sqlite:///~/c.db", tmp_path) == f"sqlite:///{Path.home()}/c.db"
    assert located("postgresql://h/d", tmp_path) == "postgresql://h/d"
    assert located(3, tmp_path) == 3
    assert DatabaseOptions(url="sqlite:///c.db").place == f"sqlite:///{here}/c.db"


def test_a_url_may_name_the_backends() -> None:
    given = SqlOptions.from_url("sqlite:///c.db?backends=disk,hall&write_to=hall")

    assert given == {"url": "sqlite:///c.db", "backends": ["disk", "hall"], "write_to": ["hall"]}
    assert SqlOptions.from_url("postgresql://h/d?backends=disk&sslmode=require")["url"] == (
        "postgresql://h/d?sslmode=require"
    )
    with pytest.raises(ConfigError, match=r"backends=NAME"):
        SqlOptions.from_url("sqlite:///c.db")


def test_a_catalogue_stands_in_a_file_of_settings(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path / "project"
    folder.mkdir()
    (folder / "strax.toml").write_text(
        """
        [storage.catalog]
        frontend = "sql"
        url = "sqlite:///catalog.db"
        backends = ["near", "far"]
        write_to = { raw_records = "far", "*" = ["near", "far"] }
        [backends.near]
        backend = "memory"
        [backends.far]
        backend = "memory"
        [context.analysis]
        storage = ["catalog"]
        """
    )
    monkeypatch.chdir(tmp_path)
    context = Context.from_config("analysis", path=str(folder / "strax.toml"))
    (frontend,) = context.storage

    assert frontend.name == "catalog"
    assert list(frontend.backends) == ["near", "far"]
    context.write_run_metadata("run_1", {"mode": "x"})
    assert (folder / "catalog.db").is_file()


def test_backends_may_be_given_as_a_table() -> None:
    table = {"near": {"backend": "memory"}, "far": MemoryBackend()}
    (frontend,) = Context([{"frontend": "sql", "url": "sqlite:///x.db", "backends": table}]).storage

    assert list(frontend.backends) == ["near", "far"]
    assert frontend.backends["far"] is table["far"]


def test_a_password_is_told_by_reference_only(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CATALOG_PASSWORD", SECRET)
    options = DatabaseOptions(
        url="postgresql://me@host/database", password=SecretReference(env="CATALOG_PASSWORD")
    )

    assert SECRET not in repr(options)
    assert SECRET.encode() not in pickle.dumps(options)
    assert options.place == "postgresql://me@host/database"
