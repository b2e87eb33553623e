import importlib
import subprocess
import sys
import threading
import types
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from strax_core.codecs import codec_named
from strax_core.errors import ConfigError, PluginError
from strax_core.storage_plugins.hookspecs import Provided, hookimpl
from strax_core.storage_plugins.registry import Listed, Registry, default_registry


@dataclass(frozen=True)
class FakeDistribution:
    name: str
    version: str = "1.0"


@dataclass(frozen=True)
class FakeEntryPoint:
    name: str
    dist: Any
    load: Callable[[], Any]


def hooks_module(hook_name: str, answer: Callable[[], Any]) -> types.ModuleType:
    module = types.ModuleType(f"hooks_{hook_name}")
    answer.__name__ = hook_name
    setattr(module, hook_name, hookimpl(answer))
    return module


def entry_point(
    name: str, answer: Callable[[], Any], *, dist: str = "", hook: str = "strax_backends"
) -> FakeEntryPoint:
    return FakeEntryPoint(
        name, FakeDistribution(dist or f"strax-{name}"), lambda: hooks_module(hook, answer)
    )


def tape(name: str = "tape", scheme: str = "tape") -> list[Provided]:
    return [
        Provided(
            name=name,
            help="a tape robot",
            target="tape_sdk:TapeBackend",
            options="tape_sdk:Options",
            schemes=(scheme,),
        )
    ]


def broken(name: str = "broken", dist: str = "strax-broken") -> FakeEntryPoint:
    def load() -> None:
        raise ImportError("libbroken.so: cannot open")

    return FakeEntryPoint(name, FakeDistribution(dist, "0.3"), load)


def errors_by_distribution(registry: Registry) -> dict[str, str | None]:
    return {line.distribution: line.error for line in registry.listing()}


def test_core_serves_memory_and_codecs_through_the_hooks() -> None:
    registry = Registry([])

    assert registry.backend("memory").distribution == "strax-core"
    assert registry.for_scheme("memory").provided.name == "memory"
    assert registry.codec("zstd").load_target().__name__ == "ZstdCodec"
    assert registry.codec("none").load_target().__name__ == "NoneCodec"
    assert registry.codec("bz2").load_target().__name__ == "Bz2Codec"


def test_a_storage_plugin_that_fails_on_import_is_listed_and_stops_no_other() -> None:
    registry = Registry([broken(), entry_point("tape", tape)])

    assert registry.backend("tape").provided == tape()[0]
    assert registry.listing()[-1] == Listed(
        None, "broken", "strax-broken", "0.3", error="ImportError: libbroken.so: cannot open"
    )


def test_asking_for_the_broken_one_by_name_raises_with_its_error_as_cause() -> None:
    registry = Registry([broken()])

    for ask in (registry.frontend, registry.backend, registry.codec, registry.for_scheme):
        with pytest.raises(PluginError, match=r"strax-broken 0\.3 failed to load") as caught:
            ask("broken")
        assert isinstance(caught.value.__cause__, ImportError)


def test_a_misspelt_hook_marks_only_the_storage_plugin_that_misspelt_it() -> None:
    misspelt = entry_point("wrong", tape, hook="strax_backend")
    registry = Registry([misspelt, entry_point("tape", tape)])

    errors = errors_by_distribution(registry)
    assert "unknown hook 'strax_backend'" in str(errors["strax-wrong"])
    assert errors["strax-tape"] is None


@pytest.mark.parametrize(
    "answer",
    [
        lambda: ["s3"],
        lambda: tape()[0],
        lambda: 1 / 0,
        lambda: [Provided(name="A b", help="", target="m:C")],
        lambda: [Provided(name="a", help="one\ntwo", target="m:C")],
        lambda: [Provided(name="a", help="one", target="no_class")],
        lambda: [Provided(name="a", help="one", target="m:C", schemes=("a",))],
        lambda: tape() + tape(),
    ],
)
def test_a_hook_that_answers_garbage_marks_its_storage_plugin_broken(
    answer: Callable[[], Any],
) -> None:
    registry = Registry([entry_point("garbage", answer), entry_point("tape", tape)])

    errors = errors_by_distribution(registry)
    assert errors["strax-garbage"]
    assert errors["strax-tape"] is None


def test_a_module_without_any_hook_is_marked_broken() -> None:
    empty = types.ModuleType("empty")
    registry = Registry([FakeEntryPoint("e", FakeDistribution("strax-e"), lambda: empty)])

    assert "no function marked @hookimpl" in str(errors_by_distribution(registry)["strax-e"])


def test_a_distribution_with_damaged_metadata_is_still_served() -> None:
    registry = Registry([FakeEntryPoint("t", None, lambda: hooks_module("strax_backends", tape))])

    assert registry.backend("tape").distribution == "an unknown distribution"


def test_two_that_claim_one_name_are_an_error_at_use_and_the_full_name_chooses() -> None:
    registry = Registry(
        [
            entry_point("one", tape, dist="Strax_One"),
            entry_point("two", lambda: tape(scheme="tape2"), dist="strax-two"),
        ]
    )

    with pytest.raises(PluginError, match=r"Strax_One 1\.0 and strax-two 1\.0.*'strax-two:tape'"):
        registry.backend("tape")
    assert registry.backend("strax-one:tape").distribution == "Strax_One"
    assert registry.frontend("strax-two:tape").distribution == "strax-two"
    assert registry.for_scheme("tape2").distribution == "strax-two"
    assert "strax-two 1.0" in str(errors_by_distribution(registry)["Strax_One"])


def test_two_that_claim_one_url_scheme_are_an_error_that_names_both() -> None:
    registry = Registry([entry_point("one", tape), entry_point("two", lambda: tape(name="other"))])

    with pytest.raises(PluginError, match=r"strax-one 1\.0 and strax-two 1\.0"):
        registry.for_scheme("tape")


def test_a_frontend_and_a_backend_of_one_name_in_one_distribution_do_not_clash() -> None:
    module = hooks_module("strax_backends", tape)
    answer = hooks_module(
        "strax_frontends", lambda: [Provided(name="tape", help="x", target="m:F")]
    )
    module.strax_frontends = answer.strax_frontends  # type: ignore[attr-defined]
    registry = Registry([FakeEntryPoint("tape", FakeDistribution("strax-tape"), lambda: module)])

    assert registry.frontend("tape").kind == "frontend"
    assert registry.backend("tape").kind == "backend"
    assert errors_by_distribution(registry)["strax-tape"] is None


def test_a_name_nobody_serves_is_an_error_that_says_what_is_near() -> None:
    registry = Registry([entry_point("tape", tape), broken()])

    with pytest.raises(ConfigError, match=r"'tapes' \(did you mean 'tape'\?\).*strax-broken"):
        registry.frontend("tapes")
    with pytest.raises(ConfigError, match=r"'ftp://' \(served: memory, tape\)"):
        registry.for_scheme("ftp")
    with pytest.raises(ConfigError, match="no storage plugin serves the codec 'tar'"):
        registry.codec("tar")
    with pytest.raises(ConfigError, match="strax-else:tape"):
        registry.backend("strax-else:tape")


@pytest.mark.parametrize("name", ["local", "ssh", "s3", "sql"])
def test_our_own_storage_plugins_say_how_to_install_them(name: str) -> None:
    with pytest.raises(PluginError, match=f"`pip install strax-{name}`"):
        Registry([]).frontend(name)


def test_a_missing_sdk_is_named_with_what_to_install() -> None:
    served = Registry([entry_point("tape", tape)]).backend("tape")

    with pytest.raises(PluginError, match=r"'tape_sdk', which is not installed; `pip install"):
        served.load_target()


@pytest.mark.parametrize("name", ["blosc", "lz4"])
def test_a_codec_without_its_package_is_named_with_the_extra_that_brings_it(
    monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    monkeypatch.setitem(sys.modules, name, None)  # as if it were not installed
    monkeypatch.delitem(sys.modules, f"strax_core.codecs.{name}", raising=False)

    way_out = rf"module '{name}(\.frame)?'.*`pip install \"strax-core\[upstream\]\"`"
    with pytest.raises(PluginError, match=way_out):
        codec_named(name)


def test_a_class_that_is_not_there_is_an_error_that_names_the_distribution() -> None:
    served = Registry([entry_point("tape", tape)]).backend("tape")

    with pytest.raises(PluginError, match=r"strax-tape 1\.0 is broken: json:Nothing"):
        served.load_target("json:Nothing")


def test_storage_plugins_are_loaded_once_even_if_many_threads_ask() -> None:
    loaded: list[str] = []

    def load() -> types.ModuleType:
        loaded.append("tape")
        return hooks_module("strax_backends", tape)

    registry = Registry([FakeEntryPoint("tape", FakeDistribution("strax-tape"), load)])
    threads = [threading.Thread(target=registry.listing) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert loaded == ["tape"]
    assert default_registry() is default_registry()


def install(site: Path, distribution: str, hooks: str) -> None:
    """Lay out an installed distribution with one entry point called ``archive``."""
    module = distribution.replace("-", "_") + "_hooks"
    (site / f"{module}.py").write_text(hooks)
    info = site / f"{distribution.replace('-', '_')}-2.5.dist-info"
    info.mkdir()
    (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {distribution}\nVersion: 2.5\n")
    (info / "entry_points.txt").write_text(f"[strax.storage]\narchive = {module}\n")


HOOKS = """
from strax_core.storage_plugins.hookspecs import (Provided, hookimpl)
@hookimpl
def strax_backends():
    return [Provided(name="{name}", help="x", target="heavy_sdk:Backend")]
"""


def test_installed_entry_points_of_one_name_are_all_loaded(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    install(tmp_path, "acme-good", HOOKS.format(name="good"))
    install(tmp_path, "acme-fine", HOOKS.format(name="fine"))
    install(tmp_path, "acme-bad", "raise RuntimeError('no licence')\n")
    (tmp_path / "heavy_sdk.py").write_text("class Backend: pass\n")
    monkeypatch.syspath_prepend(tmp_path)
    importlib.invalidate_caches()
    lines = [line for line in Registry().listing() if line.distribution.startswith("acme")]

    assert {(line.name, line.distribution, line.version, line.error) for line in lines} == {
        ("good", "acme-good", "2.5", None),
        ("fine", "acme-fine", "2.5", None),
        ("archive", "acme-bad", "2.5", "RuntimeError: no licence"),
    }
    assert "heavy_sdk" not in sys.modules
    assert Registry().backend("good").load_target().__name__ == "Backend"


def test_listing_imports_no_heavy_module() -> None:
    code = (
        "import sys; from strax_core.storage_plugins.registry import default_registry;"
        "assert default_registry().listing();"
        "heavy = {'numba', 'pandas', 'boto3', 'paramiko', 'sqlalchemy', 'rich'};"
        "sys.exit(' '.join(heavy & set(sys.modules)) or 0)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)

    assert (done.returncode, done.stderr) == (0, "")
