"""Places that keep only what strax can read (`for_upstream`)."""

from typing import Any

import numpy as np
import pytest

import strax_core
from strax_core import ConfigError, Context, DirectoryFrontend, StorageBackend
from strax_core.backend.memory import MemoryBackend
from strax_core.config.open import open_storage


def place(**options: Any) -> DirectoryFrontend:
    return DirectoryFrontend(MemoryBackend(), **options)


def things(compressor: str | None) -> type[strax_core.Plugin]:
    def compute(self: Any, chunk_i: int) -> Any:
        rows = np.zeros(1, self.dtype)
        rows["endtime"] = 1
        return self.chunk(start=chunk_i, end=chunk_i + 1, data=rows)

    body = {
        "provides": "things",
        "depends_on": (),
        "data_kind": "things",
        "dtype": [("time", "<i8"), ("endtime", "<i8")],
        "compute": compute,
        "is_ready": lambda self, chunk_i: chunk_i < 1,  # noqa: ARG005
        "source_finished": lambda self: True,  # noqa: ARG005
    }
    return type("Things", (strax_core.Plugin,), body | {"compressor": compressor})


def files(frontend: DirectoryFrontend) -> set[str]:
    backend: StorageBackend = frontend.backends["main"]
    return {entry.name for entry in backend.list("")}


@pytest.mark.parametrize("compressor", ["blosc", "zstd", "lz4", "bz2"])
def test_what_strax_reads_is_kept(compressor: str) -> None:
    frontend = place(for_upstream=True)
    context = Context(frontend, plugins=[things(compressor)])
    context.make("7", "things")

    assert context.get_metadata("7", "things").compressor == compressor
    assert place(for_upstream=True, compressor=compressor).compressor == compressor


@pytest.mark.parametrize("compressor", ["none", "strax-core:zstd", "columns"])
def test_an_option_that_strax_cannot_read_is_refused_when_the_place_is_made(
    compressor: str,
) -> None:
    message = rf"here keeps only what strax can read.*{compressor}.*choose compressor = \"zstd\""
    with pytest.raises(ConfigError, match=message):
        place(name="here", for_upstream=True, compressor=compressor)


def test_a_data_plugin_whose_codec_strax_cannot_read_is_refused_and_nothing_is_written() -> None:
    frontend = place(name="here", for_upstream=True)
    context = Context(frontend, plugins=[things("none")])

    with pytest.raises(ConfigError, match=r"here keeps only.*'none'.*compressor = \"zstd\""):
        context.make("7", "things")
    assert files(frontend) == set()


def test_other_places_keep_what_such_a_place_refuses() -> None:
    refusing, other = place(name="here", for_upstream=True), place(name="there")
    context = Context([refusing, other], plugins=[things("none")])
    context.make("7", "things")

    assert files(refusing) == set()
    assert str(context.key_for("7", "things")) in files(other)


def test_the_place_s_own_codec_wins_over_a_data_plugin_s() -> None:
    context = Context(place(for_upstream=True, compressor="lz4"), plugins=[things("none")])
    context.make("7", "things")

    assert context.get_metadata("7", "things").compressor == "lz4"


def test_left_open_it_is_zstd_whatever_the_default(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("strax_core.processing.open_savers.DEFAULT_COMPRESSOR", "none")
    for for_upstream, compressor in ((True, "zstd"), (False, "none")):
        context = Context(place(for_upstream=for_upstream), plugins=[things(None)])
        context.make("7", "things")

        assert context.get_metadata("7", "things").compressor == compressor


def test_it_is_an_option_in_settings() -> None:
    table = {"frontend": "memory", "for_upstream": True}

    assert open_storage(table).for_upstream
    with pytest.raises(ConfigError, match="for_upstream"):
        open_storage({**table, "compressor": "none"})
    with pytest.raises(ConfigError, match="for_upstream"):
        open_storage({**table, "for_upstream": "yes"})
