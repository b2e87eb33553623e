import copy
import pickle
import traceback
import types
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal
from urllib.parse import urlsplit

import pytest

from strax_core.backend.backend import StorageBackend
from strax_core.config.open import find_config_file, load_settings, open_backend, open_storage
from strax_core.config.secret import SecretReference
from strax_core.errors import ConfigError, PluginError, StorageError
from strax_core.frontend.frontend import StorageFrontend
from strax_core.storage_plugins.hookspecs import Provided, hookimpl
from strax_core.storage_plugins.registry import Registry

CANARY = "hunter2-canary"


@dataclass(frozen=True)
class DiskOptions:
    path: Path = field(metadata={"path": True})
    fsync: bool = True
    wait_s: float = 1.0
    copies: int | None = None
    mode: Literal["fast", "safe"] = "fast"
    hosts: tuple[str, ...] = ()
    url: str | None = None
    log: str = field(default="", metadata={"path": True})
    password: SecretReference | None = field(default=None, metadata={"secret": True})

    @classmethod
    def from_url(cls, url: str) -> dict[str, object]:
        return {"path": urlsplit(url).path}


@dataclass(frozen=True)
class CatalogueOptions:
    backends: Mapping[str, StorageBackend] = field(metadata={"backends": True})
    address: str = field(default="", metadata={"resolve": lambda text, folder: f"{folder}:{text}"})


@dataclass(frozen=True)
class ClashingOptions:
    readonly: bool = False


class DiskBackend(StorageBackend):
    def __init__(self, options: DiskOptions) -> None:
        self.options = options


class PlainBackend(StorageBackend):
    pass


class FakeFrontend(StorageFrontend):
    def __init__(self, subject: Any, **options: Any) -> None:
        self.subject = subject
        self.given = options


class FailingBackend(StorageBackend):
    def __init__(self) -> None:
        raise RuntimeError("no such device")


def here(name: str) -> str:
    return f"{__name__}:{name}"


@hookimpl
def strax_backends() -> list[Provided]:
    disk = here("DiskBackend")
    options = here("DiskOptions")
    fake = here("FakeFrontend")
    return [
        Provided(
            name="local",
            help="x",
            target=disk,
            options=options,
            schemes=("file",),
            frontend=fake,
        ),
        Provided(name="plain", help="x", target=here("PlainBackend"), frontend=fake),
        Provided(name="failing", help="x", target=here("FailingBackend"), frontend=fake),
        Provided(name="impostor", help="x", target=here("ClashingOptions"), frontend=fake),
        Provided(
            name="clash",
            help="x",
            target=disk,
            options=here("ClashingOptions"),
            frontend=fake,
        ),
    ]


@hookimpl
def strax_frontends() -> list[Provided]:
    options = here("CatalogueOptions")
    return [Provided(name="catalogue", help="x", target=here("FakeFrontend"), options=options)]


@dataclass(frozen=True)
class OneEntryPoint:
    name: str = "fakes"
    dist: Any = None

    def load(self) -> Any:
        module = types.ModuleType("fakes")
        module.__dict__.update(strax_backends=strax_backends, strax_frontends=strax_frontends)
        return module


@pytest.fixture
def registry() -> Registry:
    return Registry([OneEntryPoint()])


@pytest.fixture(autouse=True)
def empty_home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A home and a working folder of this test alone, with no strax.toml anywhere."""
    for variable in ("STRAX_CONFIG", "XDG_CONFIG_HOME"):
        monkeypatch.delenv(variable, raising=False)
    home = tmp_path / "home"
    home.mkdir()
    monkeypatch.setenv("HOME", str(home))
    monkeypatch.chdir(home)
    return home


WriteToml = Callable[[str], Path]


@pytest.fixture
def write_toml(tmp_path: Path) -> WriteToml:
    def write(text: str) -> Path:
        folder = tmp_path / "project"
        folder.mkdir(exist_ok=True)
        (folder / "strax.toml").write_text(text)
        return folder / "strax.toml"

    return write


def opened(spec: Any, **keywords: Any) -> FakeFrontend:
    frontend = open_storage(spec, **keywords)
    assert isinstance(frontend, FakeFrontend)
    return frontend


# Which file


def test_without_any_file_the_settings_are_empty() -> None:
    settings = load_settings()

    assert (settings.path, settings.storage, settings.contexts) == (None, {}, {})
    with pytest.raises(ConfigError, match=r"there is no strax\.toml"):
        settings.context("analysis")


def test_the_argument_goes_before_the_variable_the_parents_and_the_config_folder(
    empty_home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    places = ["a/argument.toml", "b/variable.toml", "strax.toml", "xdg/strax/strax.toml"]
    argument, variable, parent, users = (empty_home / place for place in places)
    for file in (argument, variable, parent, users):
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text("")
    deep = empty_home / "deep" / "deeper"
    deep.mkdir(parents=True)
    monkeypatch.chdir(deep)
    monkeypatch.setenv("STRAX_CONFIG", str(variable))
    monkeypatch.setenv("XDG_CONFIG_HOME", str(empty_home / "xdg"))

    assert find_config_file(argument) == argument
    assert find_config_file() == variable
    monkeypatch.delenv("STRAX_CONFIG")
    assert find_config_file() == parent
    parent.unlink()
    assert find_config_file() == users


def test_the_config_folder_of_the_home_is_the_last_place(empty_home: Path) -> None:
    file = empty_home / ".config" / "strax" / "strax.toml"
    file.parent.mkdir(parents=True)
    file.write_text("")

    assert load_settings().path == file


def test_a_named_file_that_does_not_exist_is_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(ConfigError, match=r"path=.*nothing\.toml"):
        load_settings("nothing.toml")
    monkeypatch.setenv("STRAX_CONFIG", "/no/such/file.toml")
    with pytest.raises(ConfigError, match=r"STRAX_CONFIG.*/no/such/file\.toml"):
        load_settings()


# What stands in it


def test_a_context_is_read_with_its_keys(write_toml: WriteToml) -> None:
    settings = load_settings(
        write_toml("""
        [storage.scratch]
        frontend = "local"
        path = "./data"
        [context.analysis]
        storage = ["scratch"]
        plugins = ["mypackage.peaks"]
        use_per_run_defaults = true
        buffer_bytes = 1000
        [context.analysis.config]
        gain = 2.0
        env = { env = "this is an option of a data plugin" }
        [context.empty]
        """)
    )
    context = settings.context("analysis")

    assert context.storage == ("scratch",)
    assert context.plugins == ("mypackage.peaks",)
    assert context.use_per_run_defaults is True
    assert context.buffer_bytes == 1000
    assert context.config["gain"] == 2.0
    assert settings.context("empty").storage is None


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("[storage\n", r"strax\.toml is not valid TOML: .*line 1"),
        ("[storages.a]\n", r"unknown key 'storages' \(did you mean 'storage'\?\)"),
        ("[context.a]\nplugin = []\n", r"\[context\.a\].*'plugin' \(did you mean 'plugins'\?\)"),
        ("[context.a]\nfuzzy = []\n", r"unknown key 'fuzzy'"),
        ("[context.a]\nstorage = 'scratch'\n", r"'storage' must be a list or nothing, not str"),
        ("[context.a]\nstorage = [1]\n", r"'storage' must be a list"),
        ("[context.a]\nuse_per_run_defaults = 1\n", r"must be true or false, not int"),
        ("[context.a]\nbuffer_bytes = true\n", r"must be a whole number, not bool"),
        ("storage = 3\n", r"'storage' holds tables"),
        ("[storage]\nfrontend = 'local'\n", r"'frontend' is none"),
    ],
)
def test_a_wrong_file_is_an_error_that_says_where_and_what(
    write_toml: WriteToml, text: str, message: str
) -> None:
    file = write_toml(text)

    with pytest.raises(ConfigError, match=message) as caught:
        load_settings(file)
    assert str(file) in str(caught.value)


def test_a_file_in_another_encoding_is_an_error(write_toml: WriteToml) -> None:
    file = write_toml("")
    file.write_bytes("name = 'é'".encode("latin-1"))

    with pytest.raises(ConfigError, match="is not UTF-8 text, at byte 8"):
        load_settings(file)


def test_an_unknown_context_suggests_the_one_that_was_meant(write_toml: WriteToml) -> None:
    settings = load_settings(write_toml("[context.analysis]\n"))

    with pytest.raises(ConfigError, match=r"no context 'analisys' \(did you mean 'analysis'\?\)"):
        settings.context("analisys")


# Opening storage


def test_a_path_opens_local_storage_named_as_it_was_written(
    registry: Registry, empty_home: Path
) -> None:
    for spec in ("./data", "~/data", "data", Path("data"), "sub/../data"):
        frontend = opened(spec, registry=registry)

        assert frontend.given == {"name": str(spec)}
        assert frontend.subject.options.path.resolve() == empty_home / "data"
        assert frontend.subject.options.path.is_absolute()


def test_a_url_opens_what_serves_its_scheme(registry: Registry) -> None:
    frontend = opened("file:///data/runs", registry=registry)

    assert frontend.given == {"name": "file:///data/runs"}
    assert frontend.subject.options.path == Path("/data/runs")


def test_a_frontend_is_returned_as_it_is(registry: Registry) -> None:
    frontend = FakeFrontend(None)

    assert open_storage(frontend, registry=registry) is frontend


def test_a_table_is_split_between_the_frontend_and_the_medium(registry: Registry) -> None:
    table = {
        "frontend": "local",
        "path": "data",
        "fsync": False,
        "wait_s": 3,
        "mode": "safe",
        "hosts": ["a", "b"],
        "readonly": True,
        "take_only": "peaks",
        "exclude": ["records"],
        "storage_type": 1.5,
        "grace_time_s": 60,
    }
    before = copy.deepcopy(table)
    frontend = opened(table, registry=registry)
    options = frontend.subject.options

    assert frontend.given == {
        "readonly": True,
        "take_only": "peaks",
        "exclude": ("records",),
        "storage_type": 1.5,
        "grace_time_s": 60,
    }
    assert (options.fsync, options.wait_s, options.mode) == (False, 3.0, "safe")
    assert options.hosts == ("a", "b")
    assert table == before


def test_a_name_opens_its_table_with_paths_relative_to_the_file(
    registry: Registry, write_toml: WriteToml, empty_home: Path
) -> None:
    file = write_toml("""
        [storage.scratch]
        frontend = "local"
        path = "./data"
        log = "~/strax.log"
        password = { file = "secret.txt" }
    """)
    settings = load_settings(file)
    frontend = opened("scratch", settings=settings, registry=registry)
    options = frontend.subject.options

    assert frontend.given == {"name": "scratch"}
    assert options.path == file.parent / "data"
    assert options.log == str(empty_home / "strax.log")
    assert options.password == SecretReference(file=str(file.parent / "secret.txt"))
    beside = opened("./more", settings=settings, registry=registry, from_file=True)
    assert beside.subject.options.path == file.parent / "more"
    here_instead = opened("./more", settings=settings, registry=registry)
    assert here_instead.subject.options.path == empty_home / "more"


def test_a_name_in_python_is_looked_up_in_the_file_that_is_found(
    registry: Registry, empty_home: Path
) -> None:
    (empty_home / "strax.toml").write_text(
        '[storage.scratch]\nfrontend = "local"\npath = "d"\nname = "mine"\n'
    )

    assert opened("scratch", registry=registry).given == {"name": "mine"}


def test_an_unknown_name_in_the_file_is_an_error(registry: Registry, write_toml: WriteToml) -> None:
    settings = load_settings(write_toml('[storage.scratch]\nfrontend = "local"\n'))

    with pytest.raises(ConfigError, match=r"no \[storage\.scrach\] \(did you mean 'scratch'\?\)"):
        open_storage("scrach", settings=settings, registry=registry, from_file=True)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"frontend": None}, r"'frontend' must be a text"),
        ({"frontend": "locl"}, r"did you mean 'local'\?"),
        ({"pth": "x"}, r"unknown key 'pth' \(did you mean 'path'\?\)"),
        ({"readnly": True}, r"unknown key 'readnly' \(did you mean 'readonly'\?\)"),
        ({"readonly": "yes"}, r"'readonly' must be true or false, not str"),
        ({"storage_type": True}, r"'storage_type' must be a number or nothing, not bool"),
        ({"fsync": "yes"}, r"'fsync' must be true or false, not str"),
        ({"wait_s": "3"}, r"'wait_s' must be a number, not str"),
        ({"copies": 1.5}, r"'copies' must be a whole number or nothing, not float"),
        ({"mode": "slow"}, r"'mode' must be 'fast' or 'safe', not str"),
        ({"hosts": [1]}, r"'hosts' must be a list"),
        ({"hosts": "host"}, r"'hosts' must be a list, not str"),
        ({"exclude": 3}, r"'exclude' must be a text or a list, not int"),
        ({"path": 3}, r"'path' must be a path, not int"),
        ({"url": {"env": "X"}}, r"'url' is not a secret and takes its value itself"),
        ({"password": {"env": "X", "file": "y"}}, r"'password': a secret reference is one of"),
        ({"password": {"env": 3}}, r"'password': a secret reference is one of"),
    ],
)
def test_a_wrong_table_is_an_error_that_names_the_key(
    registry: Registry, changes: dict[str, object], message: str
) -> None:
    with pytest.raises(ConfigError, match=message):
        open_storage({"frontend": "local", "path": "x", **changes}, registry=registry)


def test_a_missing_key_is_an_error_that_names_the_table(
    registry: Registry, write_toml: WriteToml
) -> None:
    settings = load_settings(write_toml('[storage.a]\nfrontend = "local"\n[storage.b]\npath="x"'))

    with pytest.raises(ConfigError, match=r"\[storage\.a\] of .*the key 'path' is missing"):
        open_storage("a", settings=settings, registry=registry)
    with pytest.raises(ConfigError, match=r"\[storage\.b\] of .*the key 'frontend' is missing"):
        open_storage("b", settings=settings, registry=registry)


@pytest.mark.parametrize("spec", [3, None, b"bytes", ""])
def test_what_names_no_storage_at_all_is_an_error(registry: Registry, spec: Any) -> None:
    with pytest.raises(ConfigError, match="storage is named by"):
        open_storage(spec, registry=registry)


def test_a_storage_plugin_that_does_not_keep_its_promises_is_an_error(registry: Registry) -> None:
    expected = {
        "failing": r"'failing' of .* could not be opened \(RuntimeError\)",
        "impostor": "is not a StorageBackend",
        "clash": "names of frontend options: readonly",
    }

    for name, message in expected.items():
        with pytest.raises(PluginError, match=message):
            open_storage({"frontend": name}, registry=registry)


def test_a_class_without_options_takes_no_keys_of_its_own(registry: Registry) -> None:
    assert isinstance(opened({"frontend": "plain"}, registry=registry).subject, PlainBackend)
    with pytest.raises(ConfigError, match="unknown key 'path'"):
        open_storage({"frontend": "plain", "path": "x"}, registry=registry)


# Named backends


def test_a_frontend_gets_the_named_backends_that_it_lists(
    registry: Registry, write_toml: WriteToml
) -> None:
    file = write_toml("""
        [storage.where]
        frontend = "catalogue"
        backends = ["hall", "cellar"]
        [backends.hall]
        backend = "local"
        path = "hall"
        [backends.cellar]
        backend = "plain"
    """)
    settings = load_settings(file)
    backends = opened("where", settings=settings, registry=registry).subject.backends

    assert list(backends) == ["hall", "cellar"]
    assert backends["hall"].options.path == file.parent / "hall"
    assert isinstance(backends["cellar"], PlainBackend)
    assert isinstance(open_backend("cellar", settings=settings, registry=registry), PlainBackend)


def test_an_option_may_say_itself_where_its_paths_start(
    registry: Registry, write_toml: WriteToml
) -> None:
    file = write_toml("""
        [storage.where]
        frontend = "catalogue"
        backends = []
        address = "x"
    """)
    settings = load_settings(file)

    assert opened("where", settings=settings, registry=registry).subject.address == (
        f"{file.parent}:x"
    )
    table = {"frontend": "catalogue", "backends": [], "address": 3}
    with pytest.raises(ConfigError, match="'address' must be a text"):
        open_storage(table, registry=registry)


def test_backends_may_be_given_as_a_table_or_as_they_are(
    registry: Registry, write_toml: WriteToml
) -> None:
    file = write_toml("""
        [storage.where]
        frontend = "catalogue"
        backends = { hall = { backend = "local", path = "hall" }, cellar = { backend = "plain" } }
    """)
    settings = load_settings(file)
    backends = opened("where", settings=settings, registry=registry).subject.backends
    assert list(backends) == ["hall", "cellar"]
    assert backends["hall"].options.path == file.parent / "hall"

    given = PlainBackend()
    table = {"frontend": "catalogue", "backends": {"mine": given}}
    assert opened(table, registry=registry).subject.backends == {"mine": given}
    for wrong in ({"mine": "hall"}, {"mine": 3}, {"mine": {"path": "x"}}):
        with pytest.raises(ConfigError, match="mine"):
            open_storage({"frontend": "catalogue", "backends": wrong}, registry=registry)


def test_wrong_backends_are_errors(registry: Registry, write_toml: WriteToml) -> None:
    settings = load_settings(write_toml('[backends.hall]\nbackend = "local"\nreadonly = true\n'))

    with pytest.raises(ConfigError, match=r"no \[backends\.hal\] \(did you mean 'hall'\?\)"):
        open_storage(
            {"frontend": "catalogue", "backends": ["hal"]}, settings=settings, registry=registry
        )
    with pytest.raises(ConfigError, match="must be a list of names"):
        open_storage({"frontend": "catalogue", "backends": "hall"}, registry=registry)
    with pytest.raises(ConfigError, match=r"\[backends\.hall\].*unknown key 'readonly'"):
        open_backend("hall", settings=settings, registry=registry)
    with pytest.raises(ConfigError, match="the key 'backend' is missing"):
        open_backend({"path": "x"}, registry=registry)


# Core's own


def test_a_backend_without_a_frontend_gets_the_directory_frontend_of_core() -> None:
    frontend = open_storage("memory://test-config", registry=Registry([]))

    assert type(frontend).__name__ == "DirectoryFrontend"
    assert frontend.name == "memory://test-config"


def test_every_option_of_a_frontend_may_stand_in_a_file() -> None:
    frontend = open_storage(
        {
            "frontend": "memory",
            "name": "fast",
            "readonly": True,
            "overwrite": "never",
            "take_only": "peaks",
            "exclude": ["records"],
            "storage_type": 0.5,
            "compressor": "zstd",
            "grace_time_s": 60,
        },
        registry=Registry([]),
    )

    assert (frontend.name, frontend.readonly, frontend.overwrite) == ("fast", True, "never")
    assert (frontend.take_only, frontend.exclude) == (("peaks",), ("records",))
    assert (frontend.storage_type, frontend.compressor) == (0.5, "zstd")
    assert frontend.grace_time_s == 60


# Secrets


def everything_shown(error: BaseException) -> str:
    shown = "".join(traceback.format_exception(error))
    chain: BaseException | None = error
    while chain is not None:
        shown += repr(chain) + str(chain.args) + repr(pickle.dumps(chain.args))
        chain = chain.__cause__ or chain.__context__
    return shown


@pytest.mark.parametrize(
    "spec",
    [
        {"frontend": "local", "path": "x", "password": CANARY},
        {"frontend": "local", "path": "x", "password": [CANARY]},
        {"frontend": "local", "path": "x", "password": {"env": CANARY}},
        {"frontend": "local", "path": "x", "password": {"value": CANARY}},
        {"frontend": "local", "path": "x", "url": f"sql://me:{CANARY}@host/x"},
        {"frontend": "local", "path": f"sql://me:{CANARY}@host/x"},
        {"frontend": "local", "path": "x", "name": f"sql://me:{CANARY}@host/x"},
        f"file://me:{CANARY}@host/x",
        f"file://me:{CANARY}/and/more@host/x",
        f"file://:{CANARY}@[::1]:22/x",
        f"unknown://me:{CANARY}@host/x",
    ],
)
def test_a_secret_in_the_wrong_place_is_refused_and_not_repeated(
    registry: Registry, spec: Any
) -> None:
    with pytest.raises(ConfigError) as caught:
        open_storage(spec, registry=registry)
    assert CANARY not in everything_shown(caught.value)


@pytest.mark.parametrize(
    "url", ["file:///a/b:c@d", "file://host:22/a@b", "file://user@host/a:b", "file://[::1]:22/a@b"]
)
def test_a_url_without_a_password_is_taken(registry: Registry, url: str) -> None:
    assert opened(url, registry=registry).given["name"] == url


def test_a_secret_shows_nowhere_but_where_it_is_revealed(
    registry: Registry, write_toml: WriteToml, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("STRAX_TEST_SECRET", CANARY)
    file = write_toml("""
        [storage.archive]
        frontend = "local"
        path = "x"
        password = { env = "STRAX_TEST_SECRET" }
    """)
    settings = load_settings(file)
    options = opened("archive", settings=settings, registry=registry).subject.options
    travelled = pickle.loads(pickle.dumps(options.password))  # noqa: S301 - our own bytes

    assert travelled.reveal() == CANARY
    assert repr(options.password) == "SecretReference(env='STRAX_TEST_SECRET')"
    for shown in (repr(options), str(options.password), repr(settings), vars(travelled)):
        assert CANARY not in str(shown)
    assert CANARY.encode() not in pickle.dumps((options, settings))


def test_a_secret_in_a_file_is_read_without_its_line_break(empty_home: Path) -> None:
    (empty_home / "key").write_text(f"{CANARY} \n")

    assert SecretReference(file="~/key").reveal() == f"{CANARY} "
    assert repr(SecretReference(file="~/key")) == "SecretReference(file='~/key')"


def test_a_missing_secret_is_an_error_that_names_the_reference(
    empty_home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("STRAX_TEST_SECRET", raising=False)
    (empty_home / "binary").write_bytes(CANARY.encode() + b"\xff")
    wrong = {
        "STRAX_TEST_SECRET": SecretReference(env="STRAX_TEST_SECRET"),
        "nothing": SecretReference(file="nothing"),
        "binary": SecretReference(file="binary"),
    }

    for name, reference in wrong.items():
        with pytest.raises(StorageError, match=name) as caught:
            reference.reveal()
        assert CANARY not in everything_shown(caught.value)
