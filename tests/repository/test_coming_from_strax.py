"""What the document promises to users of strax, held against the real one."""

import re
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
from twins import our_context, their_context

import strax_core
from strax_core import ConfigError

DOCUMENT = Path(__file__).resolve().parents[2] / "docs" / "coming-from-strax.md"
RUN = "run_7"


def data_plugins(package: ModuleType) -> list[Any]:
    """Return those of the document, with only the import changed."""
    text = DOCUMENT.read_text(encoding="utf-8")
    (shown,) = re.findall(r"(?ms)their_plugins\.py -->\n```python\n(.*?)^```", text)
    found: dict[str, Any] = {}
    code = shown.replace("import strax_core as strax", f"import {package.__name__} as strax")
    assert f"import {package.__name__} as strax" in code
    exec(compile(code, str(DOCUMENT), "exec"), found)  # noqa: S102 - our own document
    return [found["Records"], found["Peaks"]]


def test_with_only_the_import_changed_keys_and_rows_are_the_same_and_each_loads_the_others(
    upstream: ModuleType, tmp_path: Path
) -> None:
    folders = [tmp_path / name for name in ("theirs", "ours")]
    for folder in folders:
        folder.mkdir()
    theirs = [their_context(upstream, folder, *data_plugins(upstream)) for folder in folders]
    ours = [our_context(folder, *data_plugins(strax_core)) for folder in folders]
    theirs[0].make(RUN, "peaks", progress_bar=False)
    ours[1].make(RUN, "peaks")

    for data_type in ("records", "peaks"):
        assert str(theirs[0].key_for(RUN, data_type)) == str(ours[0].key_for(RUN, data_type))
        made = theirs[0].get_array(RUN, data_type, progress_bar=False)
        for i in (0, 1):
            assert theirs[i].is_stored(RUN, data_type)
            assert ours[i].is_stored(RUN, data_type)
            assert theirs[i].get_array(RUN, data_type, progress_bar=False).tobytes() == (
                made.tobytes()
            )
            assert ours[i].get_array(RUN, data_type).tobytes() == made.tobytes()


@pytest.mark.parametrize(
    "sort",
    re.findall(
        r"`(\w+)`", DOCUMENT.read_text("utf-8").split("Not served here: ")[1].split("superruns")[0]
    ),
)
def test_the_sorts_that_are_not_served_are_refused_by_name(upstream: ModuleType, sort: str) -> None:
    assert not hasattr(strax_core, sort)
    inherited = type("Theirs", (getattr(upstream, sort),), {"provides": "theirs"})

    with pytest.raises(ConfigError, match=f"{sort} of strax is not served here"):
        strax_core.Context(storage=[], plugins=[inherited])


def test_what_is_of_strax_is_refused_with_the_way_over(upstream: ModuleType) -> None:
    theirs = type("Theirs", (upstream.Plugin,), {"provides": "theirs"})
    with pytest.raises(ConfigError, match="write `import strax_core as strax`"):
        strax_core.Context(storage=[], plugins=[theirs])
    with pytest.raises(ConfigError, match="not DataDirectory; give its path"):
        strax_core.Context(storage=[upstream.DataDirectory(".")])
