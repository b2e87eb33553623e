"""Ways to reach a machine and to log in; on asyncssh's server, and OpenSSH where it must be."""

import gc
import os
import pickle
import shutil
import subprocess
import sys
import traceback
import weakref
from collections.abc import Iterator
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from processes import program
from sftp_server import SftpServer, asyncssh_server, lock_key, made_key
from ssh_places import backend_on, options_on

from strax_core import (
    AccessDenied,
    ConfigError,
    Context,
    ObjectMissing,
    SecretReference,
    StorageError,
    StorageFrontend,
    StorageUnavailable,
)
from strax_core.testing import (
    ByteChecks,
    RawAccess,
    RawFolder,
    SecretChecks,
    everything,
    sample_key,
    save_sample,
)
from strax_ssh.backend import SshBackend
from strax_ssh.connection.ssh_config import Host
from strax_ssh.options import SshOptions

PASSWORD = "canary-7f3a-password"  # noqa: S105 - to see that it is nowhere
PASSPHRASE = "canary-91c2-passphrase"  # noqa: S105 - the same


@pytest.fixture(scope="module")
def password_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[SftpServer]:
    with asyncssh_server(tmp_path_factory.mktemp("password"), password=PASSWORD) as server:
        yield server


@pytest.fixture
def no_keys(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """A home without anybody's own keys and settings."""
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.delenv("SSH_AUTH_SOCK", raising=False)
    return tmp_path


@pytest.fixture
def by_password(
    password_server: SftpServer, no_keys: Path, monkeypatch: pytest.MonkeyPatch
) -> SshBackend:
    monkeypatch.setenv("SSH_TEST_PASSWORD", PASSWORD)
    place = no_keys / "place"
    place.mkdir()
    reference = SecretReference(env="SSH_TEST_PASSWORD")
    return backend_on(password_server, place, key_file=None, password=reference, fsync=False)


class TestSecretsOfAPassword(SecretChecks):
    @pytest.fixture
    def backend(self, by_password: SshBackend) -> SshBackend:
        return by_password

    @pytest.fixture
    def raw(self, tmp_path: Path) -> RawAccess:
        return RawFolder(tmp_path / "place")

    @pytest.fixture
    def secret(self) -> str:
        return PASSWORD


def test_a_password_lets_in(by_password: SshBackend) -> None:
    by_password.write("file", [b"x"])

    assert by_password.read("file") == b"x"


def all_that_is_told(error: BaseException, caplog: pytest.LogCaptureFixture) -> str:
    return "".join(traceback.format_exception(error)) + repr(vars(error)) + caplog.text


@pytest.mark.usefixtures("no_keys")
def test_a_wrong_password_is_denied_and_not_told(
    password_server: SftpServer,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    monkeypatch.setenv("SSH_TEST_PASSWORD", PASSWORD + "-wrong")
    options = {"key_file": None, "password": SecretReference(env="SSH_TEST_PASSWORD")}
    caplog.set_level("DEBUG")
    with pytest.raises(AccessDenied, match=r"does not let you in.*key_file") as caught:
        backend_on(password_server, tmp_path, **options).read("file")

    assert PASSWORD not in all_that_is_told(caught.value, caplog)


@pytest.mark.usefixtures("no_keys")
def test_a_locked_key_needs_its_passphrase(
    sftp_server: SftpServer,
    tmp_path: Path,
    caplog: pytest.LogCaptureFixture,
) -> None:
    locked = tmp_path / "locked"
    shutil.copy(sftp_server.key_file, locked)
    lock_key(locked, PASSPHRASE)
    (tmp_path / "secret").write_text(f"{PASSPHRASE}\n")
    caplog.set_level("DEBUG")
    with pytest.raises(AccessDenied, match=r"passphrase.*ssh-add"):
        backend_on(sftp_server, tmp_path, key_file=str(locked)).read("file")
    backend = backend_on(
        sftp_server,
        tmp_path,
        key_file=str(locked),
        passphrase=SecretReference(file=str(tmp_path / "secret")),
    )
    with pytest.raises(ObjectMissing) as caught:
        backend.read("file")

    told = all_that_is_told(caught.value, caplog) + repr(vars(backend)) + repr(backend)
    assert PASSPHRASE not in told
    assert PASSPHRASE.encode() not in pickle.dumps(backend)


@pytest.mark.usefixtures("no_keys")
def test_another_key_is_denied(sftp_server: SftpServer, tmp_path: Path) -> None:
    made_key(tmp_path / "other")
    with pytest.raises(AccessDenied, match=f"{sftp_server.user}@127.0.0.1:{sftp_server.port}"):
        backend_on(sftp_server, tmp_path, key_file=str(tmp_path / "other")).read("file")


def test_an_unknown_host_key_is_refused_and_not_added(
    sftp_server: SftpServer, tmp_path: Path
) -> None:
    known = tmp_path / "known_hosts"
    with pytest.raises(AccessDenied, match=rf"not known.*SHA256:.*ssh-keyscan.*{known}"):
        backend_on(sftp_server, tmp_path, known_hosts=str(known)).read("file")

    assert not known.exists()


def opened(url: str) -> StorageFrontend:
    """Open a place as a user does."""
    (frontend,) = Context(storage=url).storage
    return frontend


def write_config(tmp_path: Path, text: str) -> None:
    (tmp_path / ".ssh").mkdir()
    (tmp_path / ".ssh" / "config").write_text(text)


@pytest.mark.usefixtures("no_keys")
def test_the_settings_of_ssh_are_used(sftp_server: SftpServer, tmp_path: Path) -> None:
    write_config(tmp_path, "Include more/*\nUser nobody\nPort 1\n")
    (tmp_path / ".ssh" / "more").mkdir()
    (tmp_path / ".ssh" / "more" / "hall").write_text(
        f"Host hall\n  HostName 127.0.0.1\n  Port {sftp_server.port}\n  User {sftp_server.user}\n"
        f"  IdentityFile {sftp_server.key_file}\n  UserKnownHostsFile {sftp_server.known_hosts}\n"
        "Host *\n"
    )
    (tmp_path / "place").mkdir()
    frontend = opened(f"ssh://hall{tmp_path}/place")
    backend = frontend.backends["main"]
    backend.write("file", [b"x"])

    assert everything(RawFolder(tmp_path / "place")) == {"file"}
    assert frontend.name == f"ssh://hall{tmp_path}/place"
    assert Host.of(SshOptions(host="other", path="x")).user == "nobody"
    assert Host.of(SshOptions(host="hall", path="x", user="me", port=5)).user == "me"
    assert Host.of(SshOptions(host="hall", path="x", user="me", port=5)).port == 5


@pytest.mark.usefixtures("no_keys")
def test_a_host_key_may_be_known_under_an_alias(sftp_server: SftpServer, tmp_path: Path) -> None:
    line = Path(sftp_server.known_hosts).read_text()
    (tmp_path / "known").write_text(f"the-hall {line.partition(' ')[2]}")
    write_config(tmp_path, "Host *\n  HostKeyAlias the-hall\n")

    assert (
        list(backend_on(sftp_server, tmp_path, known_hosts=str(tmp_path / "known")).list("x")) == []
    )


@pytest.fixture
def own_ssh(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The program ssh, which looks for settings in a file of this test, not of this user."""
    settings = tmp_path / "settings"
    settings.write_text("")
    folder = tmp_path / "bin"
    folder.mkdir()
    real = program("ssh", "install openssh-client")
    (folder / "ssh").write_text(f'#!/bin/sh\nexec {real} -F {settings} "$@"\n')
    (folder / "ssh").chmod(0o700)
    monkeypatch.setenv("PATH", f"{folder}:{os.environ['PATH']}")
    return settings


@pytest.mark.servers
def test_a_machine_behind_another_one_is_reached(
    openssh: SftpServer,
    sftp_server: SftpServer,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    own_ssh: Path,
) -> None:
    own_ssh.write_text(
        f"Host gate\n  HostName 127.0.0.1\n  Port {openssh.port}\n  User {openssh.user}\n"
        f"  IdentityFile {openssh.key_file}\n  UserKnownHostsFile {openssh.known_hosts}\n"
    )
    monkeypatch.setenv("HOME", str(tmp_path))
    write_config(tmp_path, "Host 127.0.0.1\n  ProxyJump gate\n")
    backend = backend_on(sftp_server, tmp_path / "place")
    (tmp_path / "place").mkdir()
    backend.write("file", [b"x" * 1_000_000])

    assert backend.read("file") == b"x" * 1_000_000
    backend.close()
    own_ssh.write_text("Host gate\n  HostName 127.0.0.1\n  Port 1\n")
    with pytest.raises(StorageUnavailable, match="cannot be reached"):
        backend.read("file")


@pytest.mark.servers
@pytest.mark.usefixtures("own_ssh")
class TestByTheProgramSsh(ByteChecks):
    """The bytes; `test_ssh_program.py` checks much more by the same program, on OpenSSH."""

    @pytest.fixture
    def backend(self, sftp_server: SftpServer, tmp_path: Path) -> SshBackend:
        (tmp_path / "place").mkdir()
        return backend_on(sftp_server, tmp_path / "place", command="ssh", fsync=False)

    @pytest.fixture
    def raw(self, tmp_path: Path) -> RawAccess:
        return RawFolder(tmp_path / "place")

    def test_it_tells_why_it_was_not_let_in(self, sftp_server: SftpServer, tmp_path: Path) -> None:
        made_key(tmp_path / "other")
        options = {"command": "ssh -oIdentitiesOnly=yes", "key_file": str(tmp_path / "other")}
        with pytest.raises(AccessDenied, match="Permission denied"):
            backend_on(sftp_server, tmp_path, **options).read("file")
        with pytest.raises(AccessDenied, match="Host key verification failed"):
            backend_on(
                sftp_server, tmp_path, command="ssh", known_hosts=str(tmp_path / "none")
            ).read("file")
        with pytest.raises(StorageUnavailable, match="refused"):
            backend_on(sftp_server, tmp_path, command="ssh", port=1).read("file")


def test_a_program_that_is_not_there_is_told(sftp_server: SftpServer, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="no-such-program"):
        backend_on(sftp_server, tmp_path, command="no-such-program").read("file")


def test_what_is_no_sftp_is_told(
    sftp_server: SftpServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("strax_ssh.connection.connection.BUSY_S", 0.1)
    chatty = tmp_path / "chatty"
    chatty.write_text("#!/bin/sh\necho Welcome to this machine\ncat >/dev/null\n")
    chatty.chmod(0o700)
    with pytest.raises(StorageUnavailable, match="login script"):
        backend_on(sftp_server, tmp_path, command=str(chatty)).read("file")


def read_in_child(backend: SshBackend, answers: Any) -> None:
    answers.put((backend.read("file"), len(list(backend.list("")))))


@pytest.mark.parametrize("method", ["fork", "spawn", "forkserver"])
def test_a_live_connection_is_not_shared_with_another_process(
    sftp_server: SftpServer, tmp_path: Path, method: str
) -> None:
    backend = backend_on(sftp_server, tmp_path, fsync=False)
    backend.write("file", [b"x" * 300_000])
    context = get_context(method)
    answers = context.Queue()
    children = [context.Process(target=read_in_child, args=(backend, answers)) for _ in range(2)]
    for child in children:
        child.start()
    for _ in range(20):
        assert backend.read("file") == b"x" * 300_000
    got = [answers.get() for _ in children]
    for child in children:
        child.join()

    assert [content for content, _ in got] == [b"x" * 300_000] * 2
    assert [child.exitcode for child in children] == [0, 0]


def client_of_two(server: SftpServer, path: Path) -> Any:
    """Connect by way of two objects, and let go of both."""
    backend = backend_on(server, path)
    copy: SshBackend = pickle.loads(pickle.dumps(backend))  # noqa: S301 - our own
    assert list(copy.list("none")) == []
    client: Any = backend._connection._client
    assert client is copy._connection._client
    assert not client.is_lost
    return client


def test_objects_with_the_same_options_share_a_connection_which_ends_with_the_last(
    sftp_server: SftpServer, tmp_path: Path
) -> None:
    client = client_of_two(sftp_server, tmp_path)
    gc.collect()

    assert client.is_lost


@pytest.fixture
def no_collector() -> Iterator[None]:
    """What is in a cycle stays, as for a long time where many arrays and few objects are made."""
    gc.collect()
    gc.disable()
    yield
    gc.enable()


@pytest.mark.usefixtures("no_collector")
def test_a_connection_ends_with_its_last_object_also_if_a_key_was_of_no_use(
    password_server: SftpServer, no_keys: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SSH_TEST_PASSWORD", PASSWORD)
    (no_keys / "useless").write_text("no key")
    password = SecretReference(env="SSH_TEST_PASSWORD")
    options = {"key_file": str(no_keys / "useless"), "password": password}
    backend = backend_on(password_server, no_keys, **options)
    assert list(backend.list("none")) == []
    client: Any = backend._connection._client
    connection = weakref.ref(backend._connection)
    assert not client.is_lost
    del backend

    assert connection() is None
    assert client.is_lost


@pytest.mark.usefixtures("no_collector", "no_keys")
def test_who_was_not_let_in_leaves_nothing_behind(sftp_server: SftpServer, tmp_path: Path) -> None:
    made_key(tmp_path / "refused")
    for _ in range(2):
        backend = backend_on(sftp_server, tmp_path, key_file=str(tmp_path / "refused"))
        denied: list[str] = []
        try:
            backend.read("file")
        except AccessDenied as error:
            denied.append(str(error))
        connection = weakref.ref(backend._connection)
        del backend

        assert len(denied) == 1
        assert connection() is None


@pytest.mark.usefixtures("no_collector")
def test_a_channel_that_was_lost_leaves_nothing_behind(
    sftp_server: SftpServer, tmp_path: Path
) -> None:
    backend = backend_on(sftp_server, tmp_path)
    assert list(backend.list("none")) == []
    (session,) = backend._connection._free
    session._stream.close()
    assert list(backend.list("none")) == []
    assert session.error is not None
    connection = weakref.ref(backend._connection)
    lost = weakref.ref(session)
    del backend, session

    assert connection() is None
    assert lost() is None


def test_opening_a_place_connects_to_nothing(tmp_path: Path) -> None:
    frontend = opened(f"ssh://me@127.0.0.1:1{tmp_path}")

    assert frontend.name == f"ssh://me@127.0.0.1:1{tmp_path}"
    with pytest.raises(StorageUnavailable, match=r"127.0.0.1:1 cannot be reached"):
        list(frontend.backends["main"].list(""))


@pytest.mark.parametrize(
    ("url", "values"),
    [
        ("ssh://hall/data", {"host": "hall", "path": "/data"}),
        ("ssh://Hall.Example.org/data/", {"host": "Hall.Example.org", "path": "/data/"}),
        ("sftp://me@hall:2222/", {"host": "hall", "path": "/", "user": "me", "port": 2222}),
        ("ssh://hall/~/my%20data", {"host": "hall", "path": "my data"}),
        ("ssh://hall", {"host": "hall", "path": "."}),
        ("ssh://me@[::1]:22/x", {"host": "::1", "path": "/x", "user": "me", "port": 22}),
    ],
)
def test_urls(url: str, values: dict[str, object]) -> None:
    assert SshOptions.from_url(url) == values


@pytest.mark.parametrize(
    "options",
    [
        {"host": "-oProxyCommand=evil"},
        {"user": "-l"},
        {"path": ""},
        {"path": "~/data"},
        {"path": "a\nb"},
        {"io_timeout_s": 0},
        {"connect_timeout_s": -1.0},
        {"in_flight": 0},
        {"in_flight": 65},
        {"command": "ssh", "password": SecretReference(env="X")},
    ],
)
def test_impossible_options_are_refused(options: dict[str, Any]) -> None:
    with pytest.raises(ConfigError):
        SshOptions(**{"host": "hall", "path": "/data", **options})


@pytest.mark.parametrize("url", ["ssh://me:word@hall/x", "ssh:///x", "ssh://hall/x?y=1"])
def test_bad_urls_are_refused(url: str) -> None:
    with pytest.raises(ConfigError) as caught:
        opened(url)

    assert "word" not in str(caught.value).replace("password", "")


def test_a_name_that_is_not_utf8_hides_nothing(sftp_server: SftpServer, tmp_path: Path) -> None:
    backend = backend_on(sftp_server, tmp_path)
    backend.write("folder/file", [b"x"])
    Path(os.fsdecode(bytes(tmp_path / "folder") + b"/\xff\xfe")).write_bytes(b"foreign")
    names = {entry.name for entry in backend.list("folder")}

    assert "file" in names
    assert len(names) == 2
    with pytest.raises(ConfigError, match="not a path inside"):
        backend.write("\ud800", [b"x"])
    backend.delete("folder")
    assert list(tmp_path.iterdir()) == [tmp_path / ".staging"] or not list(tmp_path.iterdir())


def test_a_server_that_cannot_replace_says_so_and_takes_new_data(tmp_path: Path) -> None:
    keys = tmp_path / "keys"
    keys.mkdir()
    without = "posix-rename@openssh.com,fsync@openssh.com,statvfs@openssh.com,limits@openssh.com"
    with asyncssh_server(keys, without=without) as server:
        (tmp_path / "place").mkdir()
        backend = backend_on(server, tmp_path / "place")
        data = np.random.default_rng(1).bytes(200_000)
        backend.write("file", [data])
        with pytest.raises(ConfigError, match=r"cannot be replaced.*posix-rename"):
            backend.write("file", [b"new"])

        assert backend.read("file") == data
        assert everything(RawFolder(tmp_path / "place")) == {"file"}
        checks = {check.name: check for check in backend.checks(writes=True)}
        assert not checks["extensions"].is_good
        assert "fsync@openssh.com" in checks["extensions"].text


def test_a_server_whose_rename_replaces_is_refused_and_can_be_read(tmp_path: Path) -> None:
    keys, place = tmp_path / "keys", tmp_path / "place"
    keys.mkdir()
    place.mkdir()
    (place / "run_1-peaks-abc").mkdir()
    (place / "run_1-peaks-abc" / "file").write_bytes(b"first")
    with asyncssh_server(keys, without="exclusive rename") as server:
        backend = backend_on(server, place)
        backend.write("other/file", [b"second"])
        for verb in (
            lambda: backend.rename("other", "run_1-peaks-abc"),
            lambda: backend.write("run_1-peaks-abc/file", [b"third"], create_only=True),
            lambda: save_sample(backend, sample_key()),
        ):
            with pytest.raises(ConfigError, match="the last would win"):
                verb()

        assert backend.read("run_1-peaks-abc/file") == b"first"
        assert RawFolder(place).list("") == {"run_1-peaks-abc", "other", ".staging"}
        assert RawFolder(place).list("run_1-peaks-abc") == {"file"}


def test_a_missing_directory_is_unavailable_and_made_to_save_if_only_it_is_missing(
    sftp_server: SftpServer, tmp_path: Path
) -> None:
    gone = backend_on(sftp_server, tmp_path / "mount")
    for verb in (
        lambda: gone.read("file"),
        lambda: list(gone.list("")),
        lambda: gone.write("folder/file", [b"x"]),
        lambda: gone.delete("file"),
        lambda: gone.rename("a", "b"),
    ):
        with pytest.raises(StorageUnavailable, match="mkdir -p"):
            verb()
    assert list(tmp_path.iterdir()) == []
    backend_on(sftp_server, tmp_path / "not" / "mounted").make_root()
    assert list(tmp_path.iterdir()) == []
    gone.make_root()
    gone.write("file", [b"x"])

    assert everything(RawFolder(tmp_path)) == {"mount/.staging", "mount/file"}


def test_the_doctor_finds_all_well(sftp_server: SftpServer, tmp_path: Path) -> None:
    backend = backend_on(sftp_server, tmp_path)
    checks = {check.name: check for check in backend.checks(writes=True)}

    assert [check for check in checks.values() if not check.is_good] == []
    assert {"connect", "extensions", "rename, never replacing", "speed"} <= set(checks)
    assert "publickey" in checks["connect"].text
    assert "gcm" in checks["connect"].text
    assert everything(RawFolder(tmp_path)) == set()


def test_the_doctor_says_what_is_wrong_once(sftp_server: SftpServer, tmp_path: Path) -> None:
    backend = backend_on(sftp_server, tmp_path, known_hosts=str(tmp_path / "none"))
    (check,) = backend.checks(writes=True)

    assert not check.is_good
    assert "ssh-keyscan" in check.text


def test_a_process_that_ends_with_a_live_connection_ends_quietly(
    sftp_server: SftpServer, tmp_path: Path
) -> None:
    script = f"""
import pickle
from strax_ssh.backend import SshBackend
backend = SshBackend(pickle.loads({pickle.dumps(options_on(sftp_server, tmp_path))!r}))
backend.write("file", [b"x"])
print(backend.read("file"))
"""
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", script], capture_output=True, text=True, check=True
    )

    assert (done.stdout, done.stderr) == ("b'x'\n", "")


def test_closing_twice_and_using_it_again(sftp_server: SftpServer, tmp_path: Path) -> None:
    backend = backend_on(sftp_server, tmp_path)
    backend.write("file", [b"x"])
    backend.close()
    backend.close()

    assert backend.read("file") == b"x"
    with pytest.raises(StorageError):
        backend.read("missing")
