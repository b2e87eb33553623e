from collections.abc import Iterator
from types import MappingProxyType
from typing import Any

import numpy as np
import pytest

from strax_core.chunks.chunk import Chunk
from strax_core.data_plugins.check_class import check_data_plugin
from strax_core.data_plugins.plugin import (
    Plugin,
    SaveWhen,
    lineage_name,
    prepared,
    provided,
    stated_for,
)
from strax_core.data_plugins.registered import DataPlugins
from strax_core.errors import ConfigError, PluginGaveWrongOutput
from strax_core.processing.compute import computed

SPAN = np.dtype([("time", "<i8"), ("endtime", "<i8")])
HITS = np.dtype([*SPAN.descr, ("x", "<i4")])


class Raw(Plugin):
    dtype = SPAN


class Split(Plugin):
    provides = ["hits", "noise"]  # noqa: RUF012 - as users write it
    depends_on = ["raw"]  # noqa: RUF012
    dtype = MappingProxyType({"hits": HITS, "noise": SPAN})
    data_kind = MappingProxyType({"hits": "hits", "noise": "raw"})
    answer: Any = None

    def compute(self, raw: np.ndarray, start: int, end: int) -> Any:
        return type(self).answer(self, raw, start, end)


def variant(**attributes: Any) -> type[Plugin]:
    return type("Split", (Split,), attributes)


def instance_of(data_plugin: type[Plugin]) -> Plugin:
    data_types = DataPlugins([Raw, data_plugin])
    return data_types.instances(provided(data_plugin), run_id="7", defaults={})[data_plugin]


def rows_of(*spans: tuple[int, int], dtype: Any = SPAN) -> np.ndarray:
    rows = np.zeros(len(spans), dtype)
    rows["time"] = [time for time, _ in spans]
    rows["endtime"] = [endtime for _, endtime in spans]
    return rows


def test_one_value_stands_for_all_outputs_and_a_dictionary_for_each() -> None:
    alike = instance_of(Split)
    apart = instance_of(
        variant(
            save_when={"hits": SaveWhen.TARGET, "noise": 0},
            rechunk_on_save={"hits": False, "noise": True},
            chunk_target_size_mb={"hits": 1.5, "noise": 3},
            compressor={"hits": "zstd", "noise": None},
        )
    )

    assert [alike.dtype_for(name) for name in ("hits", "noise")] == [HITS, SPAN]
    assert [alike.data_kind_for(name) for name in ("hits", "noise")] == ["hits", "raw"]
    assert {alike.save_when_for(name) for name in ("hits", "noise")} == {SaveWhen.ALWAYS}
    assert {alike.can_rechunk(name) for name in ("hits", "noise")} == {True}
    assert {alike.target_bytes_for(name) for name in ("hits", "noise")} == {200_000_000}
    assert {alike.compressor_for(name) for name in ("hits", "noise")} == {None}
    assert apart.save_when_for("hits") is SaveWhen.TARGET
    assert apart.save_when_for("noise") is SaveWhen.NEVER
    assert [apart.can_rechunk(name) for name in ("hits", "noise")] == [False, True]
    assert [apart.target_bytes_for(name) for name in ("hits", "noise")] == [1_500_000, 3_000_000]
    assert [apart.compressor_for(name) for name in ("hits", "noise")] == ["zstd", None]


def test_an_output_that_a_class_does_not_make_is_refused_by_name() -> None:
    with pytest.raises(ConfigError, match="Split makes hits, noise, not raw"):
        instance_of(Split).dtype_for("raw")
    with pytest.raises(ConfigError, match="Raw makes raw, not hits"):
        stated_for(Raw, "save_when", "hits")


def test_a_single_output_has_plain_values_also_if_it_is_given_dictionaries() -> None:
    class Single(Plugin):
        dtype = {"single": HITS}  # noqa: RUF012
        data_kind = {"single": "things"}  # noqa: RUF012
        save_when = {"single": SaveWhen.NEVER}  # noqa: RUF012

    instance = instance_of(Single)
    assert instance.dtype == HITS
    assert instance.data_kind == "things"
    assert instance.save_when_for("single") is SaveWhen.NEVER


@pytest.mark.parametrize(
    "dtype",
    [
        {"names": ["time", "endtime", "x"], "formats": ["<i8", "<i8", "<i4"]},
        (("time", "<i8"), ("endtime", "<i8", "when it ends, in ns"), (("an x", "x"), "<i4")),
    ],
)
def test_a_dtype_may_be_written_as_numpy_or_strax_take_it(dtype: Any) -> None:
    found = instance_of(type("Single", (Plugin,), {"dtype": dtype})).dtype

    assert {name: found[name] for name in found.names} == {
        "time": np.dtype("<i8"),
        "endtime": np.dtype("<i8"),
        "x": np.dtype("<i4"),
    }


def test_a_comment_of_strax_is_a_title() -> None:
    dtype = [("time", "<i8", "since 1970"), ("endtime", "<i8")]

    assert "since 1970" in instance_of(type("Single", (Plugin,), {"dtype": dtype})).dtype.fields


def test_infer_dtype_may_give_a_dictionary_and_counts_more_than_dtype() -> None:
    def infer_dtype(self: Plugin) -> Any:
        return {"noise": self.deps["raw"].dtype_for("raw"), "hits": [*SPAN.descr, ("y", "<f4")]}

    instance = instance_of(variant(infer_dtype=infer_dtype))
    assert instance.dtype_for("hits").names == ("time", "endtime", "y")
    assert instance.dtype_for("noise") == SPAN


def test_what_depends_on_an_output_gets_the_instance_that_makes_it_and_its_kind() -> None:
    class Follows(Plugin):
        depends_on = ("noise", "hits")

        def infer_dtype(self) -> Any:
            return self.deps["hits"].dtype_for("hits")

    data_plugins = DataPlugins([Raw, Split, Follows])
    instances = data_plugins.instances("follows", run_id="7", defaults={})

    assert instances[Follows].deps["noise"] is instances[Follows].deps["hits"] is instances[Split]
    assert instances[Follows].data_kind == "raw"
    assert instances[Follows].dtype == HITS
    assert instances[Follows].depends_on == ("noise", "hits")
    assert instances[Split].provides == ("hits", "noise")


def test_one_instance_makes_all_outputs_whenever_they_are_needed() -> None:
    early = type("Early", (Plugin,), {"depends_on": "hits", "dtype": SPAN})
    late = type("Late", (Plugin,), {"depends_on": ("early", "noise"), "dtype": SPAN})
    data_plugins = DataPlugins([Raw, Split, early, late])
    instances = data_plugins.instances("late", run_id="7", defaults={})

    assert list(instances) == [Raw, Split, early, late]
    assert instances[early].deps["hits"] is instances[late].deps["noise"] is instances[Split]


def test_outputs_share_one_lineage_entry_under_the_name_of_the_last() -> None:
    data_plugins = DataPlugins([Raw, Split])

    lineage = data_plugins.lineage("hits", {})
    assert lineage.as_json() == {"noise": ["Split", "0.0.0", {}], "raw": ["Raw", "0.0.0", {}]}
    assert lineage == data_plugins.lineage("noise", {})
    assert lineage_name(Split) == "noise"


def test_only_those_outputs_that_are_needed_stand_in_a_closure() -> None:
    follows = type("Follows", (Plugin,), {"depends_on": "hits", "dtype": SPAN})
    data_plugins = DataPlugins([Raw, Split, follows])

    assert list(data_plugins.closure("follows")) == ["raw", "hits", "follows"]
    assert list(data_plugins.closure(["follows", "noise"])) == ["raw", "hits", "follows", "noise"]


@pytest.mark.parametrize("attribute", ["provides", "depends_on"])
@pytest.mark.parametrize("names", [5, {"hits"}, b"hits"])
def test_names_are_a_text_or_a_sequence_of_them(attribute: str, names: Any) -> None:
    with pytest.raises(ConfigError, match=f"Split: {attribute} is .*give a text"):
        check_data_plugin(variant(**{attribute: names}))


@pytest.mark.parametrize(
    ("attributes", "message"),
    [
        ({"provides": ("hits", "hits")}, "provides has one twice"),
        ({"data_kind": "hits"}, r"data_kind = \{'hits': …, 'noise': …\}"),
        ({"data_kind": ""}, "must say of which kind"),
        ({"data_kind": {"hits": "a"}}, "data_kind says nothing of noise"),
        ({"data_kind": {"hits": "a", "noise": "b", "x": "c"}}, "data_kind speaks of x"),
        ({"data_kind": {"hits": "a", "noise": 1}}, "data_kind is 1"),
        ({"save_when": {"hits": 3}}, "save_when says nothing of noise"),
        ({"save_when": {"hits": 3, "noise": 7}}, "save_when is 7"),
        ({"rechunk_on_save": {"hits": True, "nose": True}}, "says nothing of noise"),
        ({"rechunk_on_save": "yes"}, "rechunk_on_save is 'yes'"),
        ({"compressor": {"noise": "zstd"}}, "compressor says nothing of hits"),
        ({"compressor": 5}, "compressor is 5"),
        ({"chunk_target_size_mb": {"hits": 1, "noise": 0}}, "chunk_target_size_mb is 0"),
        ({"parallel": "threads"}, "parallel is 'threads'"),
        ({"parallel": None}, "parallel is None"),
        ({"__version__": None}, "__version__ is None, by which strax.*give it a text"),
    ],
)
def test_a_class_that_says_too_little_or_too_much_of_its_outputs_is_refused(
    attributes: dict[str, Any], message: str
) -> None:
    with pytest.raises(ConfigError, match=f"Split.*{message}"):
        DataPlugins([Raw, variant(**attributes)])


@pytest.mark.parametrize(
    ("dtype", "message"),
    [
        (HITS, "makes hits, noise: its dtype must be a dictionary"),
        ({"hits": HITS}, "dtype says nothing of noise"),
        ({"hits": HITS, "noise": SPAN, "more": SPAN}, "dtype speaks of more"),
        ({"hits": HITS, "noise": "nonsense"}, "'nonsense' is not a dtype"),
        ({"hits": HITS, "noise": [("time", "<i8")]}, "noise: rows need the fields"),
    ],
)
def test_a_dtype_that_is_not_one_for_each_output_is_refused(dtype: Any, message: str) -> None:
    for attributes in ({"dtype": dtype}, {"infer_dtype": lambda _: dtype}):
        with pytest.raises(ConfigError, match=f"data plugin Split.*{message}"):
            instance_of(variant(**attributes))


@pytest.mark.parametrize("parallel", [False, True, "process", "thread"])
def test_parallel_has_straxs_values(parallel: Any) -> None:
    check_data_plugin(variant(parallel=parallel))

    assert Plugin.parallel is False


def test_taking_one_output_removes_the_others_and_later_errors_say_so() -> None:
    taker = type("Taker", (Plugin,), {"provides": "noise", "dtype": SPAN})
    follows = type("Follows", (Plugin,), {"depends_on": "hits", "dtype": SPAN})
    data_plugins = DataPlugins([Raw, Split, follows]).with_registered([taker]).with_config({})

    assert data_plugins.that_makes("noise") is taker
    message = "follows depends on hits: .*'hits' any more: Split did, and was removed as a whole"
    with pytest.raises(ConfigError, match=message):
        data_plugins.closure("follows")
    again = DataPlugins(data_plugins.classes).with_registered([Split])
    assert again.that_makes("hits") is again.that_makes("noise") is Split
    assert taker not in again.classes


def test_registering_a_class_anew_forgets_the_old_one() -> None:
    data_plugins = DataPlugins([Raw, Split, variant(), newest := variant()])

    assert data_plugins.classes == [Raw, newest]


def test_a_class_that_depends_on_its_own_output_is_refused() -> None:
    with pytest.raises(ConfigError, match="depend on each other: hits -> noise -> noise"):
        DataPlugins([variant(depends_on="noise")]).closure("hits")


# Computing


def raw(n_chunks: int = 2) -> Iterator[Chunk]:
    for i in range(n_chunks):
        yield Chunk(10 * i, 10 * i + 10, rows_of((10 * i + 1, 10 * i + 2)), "7", "raw")


def steps(answer: Any) -> list[dict[str, Chunk]]:
    return list(computed(instance_of(variant(answer=staticmethod(answer))), {"raw": raw()}))


def both(_: Plugin, rows: np.ndarray, start: int, end: int) -> dict[str, Any]:
    hits = {"time": [start + 1, start + 3], "endtime": [end, end], "x": [1, 2]}
    return {"noise": rows, "hits": hits}


def test_each_step_has_a_chunk_of_every_output() -> None:
    made = steps(both)

    assert [list(step) for step in made] == [["hits", "noise"]] * 2
    assert [chunk.data_type for chunk in made[1].values()] == ["hits", "noise"]
    assert [(chunk.start, chunk.end) for chunk in made[1].values()] == [(10, 20)] * 2
    assert made[1]["hits"].data.tolist() == [(11, 20, 1), (13, 20, 2)]
    assert made[1]["noise"].data.tolist() == [(11, 12)]
    assert not any(chunk.data.flags.writeable for chunk in made[1].values())


def test_compute_may_return_chunks_of_its_step() -> None:
    def answer(self: Plugin, rows: np.ndarray, start: int, end: int) -> dict[str, Any]:
        noise = self.chunk(start=start, end=end, data=rows, data_type="noise")
        return {"noise": noise, "hits": rows_of(dtype=HITS)}

    assert [step["noise"].data.tolist() for step in steps(answer)] == [[(1, 2)], [(11, 12)]]


def chunk_of(self: Plugin, start: int, end: int, data_type: str | None = None) -> Chunk:
    rows = rows_of(dtype=HITS if data_type == "hits" else SPAN)
    return self.chunk(start=start, end=end, data=rows, data_type=data_type)


NO_HITS = rows_of(dtype=HITS)


@pytest.mark.parametrize(
    ("answer", "message"),
    [
        (lambda *_: rows_of(), r"hits, noise of run 7\) gave ndarray, not a dictionary"),
        (lambda *_: {"hits": NO_HITS}, "promised hits, noise, and gave hits"),
        (lambda *_: {}, "promised hits, noise, and gave nothing"),
        (lambda *_: {"hits": NO_HITS, "noise": rows_of(), "x": 1}, "gave hits, noise, x"),
        (lambda *_: {"hits": NO_HITS, "noise": NO_HITS}, r"\(noise of run 7\) promised rows"),
        (lambda *_: {"hits": NO_HITS, "noise": None}, r"\(noise of run 7\) gave NoneType"),
        (lambda *_: {"hits": NO_HITS, "noise": rows_of((3, 4), (1, 2))}, "noise.*sort rows"),
        (lambda *_: {"hits": NO_HITS, "noise": rows_of((1, 11))}, "noise.*ends after the chunk"),
        (
            lambda self, *_: {"hits": NO_HITS, "noise": chunk_of(self, 0, 9, "noise")},
            r"noise of run 7\) gave .*must be of \[0, 10\)",
        ),
        (
            lambda self, *_: {"hits": NO_HITS, "noise": chunk_of(self, 0, 10, "hits")},
            r"\(noise of run 7\) gave <Chunk run 7, hits",
        ),
        (lambda self, *_: {"hits": chunk_of(self, 0, 10)}, "chunk of None; say which"),
        (lambda self, *_: {"hits": chunk_of(self, 0, 10, "raw")}, "chunk of 'raw'; say which"),
    ],
)
def test_wrong_outputs_name_the_data_plugin_and_the_output(answer: Any, message: str) -> None:
    with pytest.raises(PluginGaveWrongOutput, match=f"(?s)Split.*{message}"):
        steps(answer)


def sourced(chunks: Any) -> list[dict[str, Chunk]]:
    return list(computed(instance_of(variant(depends_on=(), chunks=chunks)), {}))


def test_a_source_gives_a_dictionary_of_chunks() -> None:
    def chunks(self: Plugin) -> Iterator[Any]:
        for i in range(2):
            yield {name: chunk_of(self, i, i + 1, name) for name in ("noise", "hits")}

    made = sourced(chunks)
    assert [[chunk.data_type for chunk in step.values()] for step in made] == [
        ["hits", "noise"]
    ] * 2
    assert [step["hits"].start for step in made] == [0, 1]


@pytest.mark.parametrize(
    ("spans", "message"),
    [
        ([{"hits": (0, 1)}], "promised hits, noise, and gave hits"),
        ([{"hits": (0, 1), "noise": (0, 2)}], r"noise of run 7\) gave .*must be of \[0, 1\)"),
        ([{"hits": (0, 1), "noise": (0, 1)}, {"hits": (2, 3), "noise": (2, 3)}], "hole"),
    ],
)
def test_wrong_chunks_of_a_source_of_several_name_it(spans: Any, message: str) -> None:
    def chunks(self: Plugin) -> Iterator[Any]:
        for step in spans:
            yield {name: chunk_of(self, *span, name) for name, span in step.items()}

    with pytest.raises(PluginGaveWrongOutput, match=f"Split.*{message}"):
        sourced(chunks)


def test_a_source_that_gives_rows_is_told_to_give_chunks() -> None:
    with pytest.raises(PluginGaveWrongOutput, match="is a source and gave ndarray"):
        sourced(lambda _: iter([{"hits": NO_HITS, "noise": rows_of()}]))


def test_titles_of_columns_need_not_be_those_that_were_promised() -> None:
    titled = np.dtype([(("start", "time"), "<i8"), ("endtime", "<i8")])
    made = steps(lambda *_: {"hits": NO_HITS, "noise": rows_of((11, 12), dtype=titled)[:0]})

    assert made[0]["noise"].dtype == SPAN


def test_each_output_goes_to_what_depends_on_it_by_its_own_kind() -> None:
    class Follows(Plugin):
        depends_on, dtype, data_kind = ("raw", "noise", "hits"), SPAN, "follows"

        def compute(self, **kinds: np.ndarray) -> np.ndarray:
            seen.append({kind: len(rows) for kind, rows in kinds.items()})
            return rows_of()

    seen: list[dict[str, int]] = []
    data_plugins = DataPlugins([Raw, Split, Follows])
    instance = data_plugins.instances("follows", run_id="7", defaults={})[Follows]
    spans = [(1, 2), (3, 4)]
    inputs = {
        "raw": iter([Chunk(0, 10, rows_of(*spans), "7", "raw")]),
        "noise": iter([Chunk(0, 10, rows_of(*spans), "7", "noise")]),
        "hits": iter([Chunk(0, 10, rows_of((1, 2), dtype=HITS), "7", "hits")]),
    }

    list(computed(instance, inputs))
    assert seen == [{"raw": 2, "hits": 1}]


def test_inputs_that_start_at_different_times_are_computed_from_a_time_on() -> None:
    late = Chunk(5, 20, rows_of((6, 7)), "7", "late")
    both_inputs = type(
        "Both",
        (Plugin,),
        {
            "depends_on": ("raw", "late"),
            "dtype": SPAN,
            "compute": lambda _, raw, late: late,  # noqa: ARG005
        },
    )
    late_class = type("Late", (Plugin,), {"dtype": SPAN})
    instance = DataPlugins([Raw, late_class, both_inputs]).instances(
        "both", run_id="7", defaults={}
    )[both_inputs]

    made = list(computed(instance, {"raw": raw(), "late": iter([late])}, from_ns=5))
    assert [(step["both"].start, step["both"].end) for step in made] == [(5, 10), (10, 20)]


def test_prepared_without_dependencies_takes_its_own_name_as_its_kind() -> None:
    assert prepared(Raw, run_id="7", config={}, deps={}).data_kind == "raw"
