"""What the documents show is run: their examples print what they say, their files work."""

import os
import re
import subprocess
import sys
import tempfile
import tomllib
from collections.abc import Iterator
from dataclasses import fields
from inspect import signature
from pathlib import Path
from typing import Any

import pytest

import strax_core as sc
from strax_core.config.opener import frontend_options
from strax_core.config.settings import ContextSettings, load_settings
from strax_core.context.context import GetOptions
from strax_local import LocalOptions

pytestmark = pytest.mark.long
ROOT = Path(__file__).resolve().parents[2]
DOCUMENTS = (
    "docs/context.md",
    "docs/storage.md",
    "docs/write-a-storage-plugin.md",
    "docs/contract-kit.md",
    "docs/coming-from-strax.md",
    "strax_core/README.md",
    "plugins/strax_local/README.md",
    "plugins/strax_sql/README.md",
    "plugins/strax_ssh/README.md",
    "examples/strax_zip/README.md",
)
FILE = re.compile(
    r"<!-- file: (?P<name>\S+) -->\s*```\w+\n(?P<text>.*?)^```", re.DOTALL | re.MULTILINE
)
EXAMPLE = re.compile(
    r"<!-- example -->\s*```(?P<language>\w+)\n(?P<code>.*?)^```\s+```text\n(?P<output>.*?)^```",
    re.DOTALL | re.MULTILINE,
)


def text_of(document: str) -> str:
    return (ROOT / document).read_text(encoding="utf-8")


def write_files(document: str, folder: Path) -> None:
    """Write the files that a document shows, and what installing them would leave behind."""
    for file in FILE.finditer(text_of(document)):
        path = folder / file["name"]
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(file["text"], encoding="utf-8")
        if path.name == "pyproject.toml":
            install(tomllib.loads(file["text"])["project"], folder)


def install(project: dict[str, Any], folder: Path) -> None:
    """Write the metadata of an installed distribution, with its entry points."""
    package = folder / str(project["name"]).replace("-", "_")
    package.mkdir(exist_ok=True)
    (package / "py.typed").touch()
    installed = folder / f"{str(project['name']).replace('-', '_')}-{project['version']}.dist-info"
    installed.mkdir()
    metadata = ["Metadata-Version: 2.1", f"Name: {project['name']}"]
    metadata += [f"Version: {project['version']}"]
    metadata += [f"Requires-Dist: {each}" for each in project["dependencies"]]
    (installed / "METADATA").write_text("\n".join(metadata))
    lines: list[str] = []
    for group, points in project["entry-points"].items():
        lines += [f"[{group}]", *(f"{name} = {target}" for name, target in points.items())]
    (installed / "entry_points.txt").write_text("\n".join(lines))


def run(command: list[str], folder: Path) -> subprocess.CompletedProcess[str]:
    """Run a command in a folder whose modules can be imported, with our programs first."""
    environment = {key: value for key, value in os.environ.items() if key != "STRAX_CONFIG"}
    environment["PYTHONPATH"] = os.pathsep.join(
        [str(folder), *filter(None, [os.environ.get("PYTHONPATH")])]
    )
    environment["PATH"] = f"{Path(sys.executable).parent}{os.pathsep}{environment['PATH']}"
    return subprocess.run(
        command, capture_output=True, text=True, check=False, cwd=folder, env=environment
    )


def examples() -> Iterator[object]:
    for document in DOCUMENTS:
        for number, example in enumerate(EXAMPLE.finditer(text_of(document)), 1):
            yield pytest.param(document, example, id=f"{document}-{number}")


@pytest.mark.parametrize(("document", "example"), list(examples()))
def test_an_example_prints_what_the_document_says(
    document: str, example: re.Match[str], tmp_path: Path
) -> None:
    write_files(document, tmp_path)
    program = ["bash"] if example["language"] == "sh" else [sys.executable, "-W", "error"]
    done = run([*program, "-c", example["code"]], tmp_path)

    assert done.stdout.rstrip() == example["output"].rstrip(), done.stderr


@pytest.mark.parametrize("document", DOCUMENTS)
def test_every_marked_block_is_one_that_is_run(document: str) -> None:
    text = text_of(document)

    assert text.count("<!-- example -->") == len(EXAMPLE.findall(text))
    assert text.count("<!-- file:") == len(FILE.findall(text))
    assert text.count("```python") == text.count("<!-- example -->\n```python") + sum(
        name.endswith(".py") for name, _ in FILE.findall(text)
    )


@pytest.mark.parametrize(
    ("document", "left_out"),
    [
        ("docs/write-a-storage-plugin.md", "process or whichever_call or stops_at or any_order"),
        ("docs/contract-kit.md", "process"),
    ],
)
def test_the_storage_plugins_of_a_document_pass_the_contract(
    document: str, left_out: str, tmp_path: Path
) -> None:
    """All but what starts processes; of the first, `nox -s wheels` runs the whole contract."""
    write_files(document, tmp_path)
    pytest_here = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider"]
    pytest_here += ["-k", f"not ({left_out})"]
    # In memory where there is such a folder: thousands of writes wait for the disk otherwise.
    in_memory = "/dev/shm" if os.access("/dev/shm", os.W_OK) else None  # noqa: S108 - not a fixed name in it
    with tempfile.TemporaryDirectory(dir=in_memory) as base:
        done = run([*pytest_here, f"--basetemp={base}/tests"], tmp_path)

    assert done.returncode == 0, done.stdout[-3000:]
    assert re.search(r"^\d{2,} passed, \d+ deselected in ", done.stdout, re.MULTILINE), done.stdout[
        -3000:
    ]


def test_the_page_about_the_context_names_every_option_and_selection() -> None:
    text = text_of("docs/context.md")
    options = set(signature(sc.Context).parameters)

    assert {setting.name for setting in fields(ContextSettings)} == options
    for name in (*options, *GetOptions.__annotations__):
        assert f"`{name}`" in text or f"`{name}=" in text, name


def test_the_settings_of_the_document_show_every_key(tmp_path: Path) -> None:
    write_files("docs/storage.md", tmp_path)
    settings = load_settings(tmp_path / "strax.toml")
    tables = tomllib.loads((tmp_path / "strax.toml").read_text(encoding="utf-8"))

    local = {"frontend", *frontend_options(), *(option.name for option in fields(LocalOptions))}
    assert set(settings.storage["archive"]) == local
    context = {setting.name for setting in fields(ContextSettings)}
    assert set(tables["context"]["analysis"]) == context


@pytest.mark.parametrize(
    "document",
    ["README.md", "ARCHITECTURE.md", "CONTRIBUTING.md", *DOCUMENTS, "decisions/README.md"],
)
def test_a_document_links_to_what_is_there(document: str) -> None:
    folder = (ROOT / document).parent
    links = re.findall(r"\]\((?!https?:)([^)#]+)", text_of(document))

    assert [link for link in links if not (folder / link).exists()] == []


def test_every_decision_has_its_four_parts_and_stands_in_the_list() -> None:
    listed = text_of("decisions/README.md")

    for path in sorted((ROOT / "decisions").glob("0*.md")):
        text = path.read_text(encoding="utf-8")
        assert f"({path.name})" in listed
        assert text.startswith(f"# {path.name[:4]}: ")
        assert [part for part in ("**Question", "**Given up") if part not in text] == [], path.name
