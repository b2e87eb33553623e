"""Which storage plugins are used: by the environment, by what they are made for, by strax.toml."""

import importlib
import logging
import sys
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

import pytest

from strax_core.config.open import load_settings
from strax_core.errors import ConfigError, PluginError
from strax_core.storage_plugins.registry import Registry

DISABLE = "STRAX_STORAGE_PLUGINS_DISABLE"
ONLY = "STRAX_STORAGE_PLUGINS_ONLY"
HOOKS = """
from strax_core import Provided, hookimpl
@hookimpl
def strax_backends():
    return [Provided(name="{name}", help="x", target="{name}_sdk:Backend", extra={extra!r})]
"""


def install(
    site: Path, name: str, *requires: str, extra: str | None = None, version: str = "2.5"
) -> None:
    """Lay out the distribution ``acme-NAME``, with a backend NAME and an entry point of_NAME."""
    (site / f"{name}_hooks.py").write_text(HOOKS.format(name=name, extra=extra))
    info = site / f"acme_{name}-{version}.dist-info"
    info.mkdir()
    lines = ["Metadata-Version: 2.1", f"Name: acme-{name}", f"Version: {version}"]
    (info / "METADATA").write_text("\n".join([*lines, *(f"Requires-Dist: {r}" for r in requires)]))
    (info / "entry_points.txt").write_text(f"[strax.storage]\nof_{name} = {name}_hooks\n")


@pytest.fixture
def site(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder of installed distributions, with two good storage plugins."""
    for variable in (DISABLE, ONLY):
        monkeypatch.delenv(variable, raising=False)
    monkeypatch.syspath_prepend(tmp_path)
    for name in ("tape", "disc"):
        install(tmp_path, name)
        monkeypatch.delitem(sys.modules, f"{name}_hooks", raising=False)
    importlib.invalidate_caches()
    return tmp_path


def reasons() -> dict[str, str | None]:
    """Return the reason of each storage plugin of ours, by distribution."""
    lines = Registry().listing()
    return {each.distribution: each.error for each in lines if each.distribution[:4] == "acme"}


@pytest.mark.parametrize(
    ("variable", "value", "used"),
    [
        (DISABLE, "acme-tape", {"acme-disc"}),
        (DISABLE, "Acme_Tape", {"acme-disc"}),
        (DISABLE, "acme_tape , acme.disc,", set()),
        (DISABLE, "of-tape", {"acme-disc"}),
        (DISABLE, "", {"acme-tape", "acme-disc"}),
        (ONLY, "acme-tape", {"acme-tape"}),
        (ONLY, " acme_disc,strax-core", {"acme-disc"}),
        (ONLY, "OF_TAPE", {"acme-tape"}),
        (ONLY, "strax-core", set()),
        (ONLY, "", {"acme-tape", "acme-disc"}),
    ],
)
@pytest.mark.usefixtures("site")
def test_the_environment_says_which_are_used(
    monkeypatch: pytest.MonkeyPatch, variable: str, value: str, used: set[str]
) -> None:
    monkeypatch.setenv(variable, value)

    assert {name for name, reason in reasons().items() if reason is None} == used
    assert {name for name, reason in reasons().items() if variable in str(reason)} == (
        {"acme-tape", "acme-disc"} - used
    )
    assert {f"acme-{name}" for name in ("tape", "disc") if f"{name}_hooks" in sys.modules} == used
    assert Registry().backend("memory").distribution == "strax-core"


@pytest.mark.usefixtures("site")
def test_one_that_is_switched_off_says_so_when_it_is_asked_for(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv(DISABLE, "acme-tape")
    with pytest.raises(PluginError, match=rf"acme-tape 2\.5 is switched off: \${DISABLE} names it"):
        Registry().backend("acme-tape:tape")
    with pytest.raises(ConfigError, match=r"not loaded: acme-tape \(see `strax plugins`\)"):
        Registry().backend("tape")


@pytest.mark.usefixtures("site")
def test_a_name_in_the_environment_that_nobody_has_is_told(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setenv(DISABLE, "acme-tpae,acme-disc")
    with caplog.at_level(logging.WARNING, "strax_core"):
        Registry().listing()

    assert [record.getMessage() for record in caplog.records] == [
        f"${DISABLE} names 'acme-tpae', and no storage plugin of this name is here"
    ]


@pytest.mark.parametrize("requirement", ["strax-core>=1,<2", "Strax_Core (<0.1)", "strax-core==99"])
def test_one_made_for_another_core_is_listed_and_refused_but_not_imported(
    site: Path, requirement: str
) -> None:
    install(site, "future", requirement)

    assert "made for another strax-core" in str(reasons()["acme-future"])
    assert "0.1.0 is installed" in str(reasons()["acme-future"])
    assert reasons()["acme-tape"] is None
    with pytest.raises(
        PluginError, match=r"acme-future 2\.5 is made for .*install another version"
    ):
        Registry().backend("acme-future:future")
    assert "future_hooks" not in sys.modules


@pytest.mark.parametrize(
    "requirement",
    ["strax-core>=0.1,<0.2", "strax-core", "strax-core>9; extra == 'x'", "not (a)) text"],
)
def test_one_made_for_this_core_is_used(site: Path, requirement: str) -> None:
    install(site, "present", requirement)

    assert reasons()["acme-present"] is None


def test_what_is_not_installed_is_listed_without_importing_anything(site: Path) -> None:
    install(site, "sdk", "no-such-sdk>=3", "numpy>=1")
    install(site, "old", "numpy>=9999")
    install(site, "more", "no-such-sdk; extra == 'fast'", extra="fast")
    install(site, "less", "no-such-sdk; extra == 'fast'")
    install(site, "other", "no-such-sdk; python_version < '3'")

    assert reasons()["acme-sdk"] == (
        "no-such-sdk>=3 is not installed; `pip install acme-sdk` installs what it needs"
    )
    assert "numpy>=9999 is needed, but" in str(reasons()["acme-old"])
    assert 'no-such-sdk is not installed; `pip install "acme-more[fast]"`' in str(
        reasons()["acme-more"]
    )
    assert [reasons()[f"acme-{name}"] for name in ("less", "other", "tape")] == [None] * 3
    with pytest.raises(PluginError, match="needs the module 'sdk_sdk'"):
        Registry().backend("sdk").load_target()


def test_core_run_from_its_source_has_no_version_and_refuses_nobody(
    site: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def unknown(distribution: str) -> str:
        if distribution == "strax-core":
            raise PackageNotFoundError(distribution)
        return version(distribution)

    install(site, "future", "strax-core>=1,<2")
    monkeypatch.setattr("strax_core.storage_plugins.requirements.version", unknown)

    assert reasons() == dict.fromkeys(["acme-tape", "acme-disc", "acme-future"])


def settings(folder: Path, required: str) -> Path:
    file = folder / "strax.toml"
    file.write_text(f"required_storage_plugins = {required}\n", encoding="utf-8")
    return file


@pytest.mark.parametrize(
    "required",
    [
        '["acme-tape"]',
        '["acme-tape>=2", "Acme.Disc>=1,<3"]',
        '["acme-beta>=2"]',
        '["strax-core>=0.1"]',
        "[]",
    ],
)
def test_settings_are_read_if_all_that_they_require_is_here(site: Path, required: str) -> None:
    install(site, "beta", version="3.0rc1")
    file = settings(site, required)

    assert len(load_settings(file).required_storage_plugins) == required.count('"') // 2


def test_settings_that_require_what_is_missing_say_what_to_install(site: Path) -> None:
    file = settings(site, '["acme-tape>=3", "acme-disc", "acme-moon>=0.1"]')
    with pytest.raises(PluginError) as caught:
        load_settings(file)

    assert str(caught.value) == (
        f"{file} requires storage plugins: acme-tape>=3 is needed, but 2.5 is installed; "
        "acme-moon>=0.1 is not installed; `pip install 'acme-tape>=3' 'acme-moon>=0.1'`"
    )


@pytest.mark.parametrize("required", ['"acme-tape"', "[3]", '["acme tape !"]', '[""]', "true"])
def test_a_requirement_that_does_not_read_as_one_is_an_error(site: Path, required: str) -> None:
    file = settings(site, required)
    with pytest.raises(ConfigError, match="required_storage_plugins"):
        load_settings(file)
