"""What is built installs away from the source and works, whatever else is installed beside it.

`nox -s wheels` runs this; it takes a minute or two, so it is no part of `nox -s tests`.
"""

import email
import os
import re
import subprocess
import sys
import tarfile
import zipfile
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import pytest
from installing import (
    OPEN,
    PACKAGES,
    ROOT,
    SAVE_AND_LOAD,
    SDK,
    ZIP_AND_LOAD,
    Answer,
    Environment,
    build,
    project_of,
    write_bad_ones,
)

HEAVY = {"numba", "numexpr", "pandas", "tqdm", "zstandard", "boto3", "paramiko", "sqlalchemy"}
VERSIONS = {project_of(package)["name"]: project_of(package)["version"] for package in PACKAGES}
CORE = VERSIONS["strax-core"]
each_package = pytest.mark.parametrize("package", PACKAGES, ids=lambda package: package.name)


@pytest.fixture(scope="session")
def dist(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the sdist and the wheel of each package."""
    folder = tmp_path_factory.mktemp("dist")
    build(folder)
    return folder


def wheel_of(dist: Path, package: Path) -> Path:
    (wheel,) = dist.glob(f"{package.name}-*.whl")
    return wheel


@dataclass
class Stage:
    """What an environment answered, once something more was installed in it."""

    listing: list[dict[str, Any]]
    table: str
    modules: set[str]
    saving: Answer
    demo: Answer

    @cached_property
    def by_name(self) -> dict[tuple[str, str], dict[str, Any]]:
        return {(line["distribution"], line["name"]): line for line in self.listing}

    @cached_property
    def errors(self) -> dict[tuple[str, str], str]:
        return {name: line["error"] for name, line in self.by_name.items() if line["error"]}


def ask(environment: Environment) -> Stage:
    return Stage(
        listing=environment.listing(),
        table=environment.run("strax", "plugins", COLUMNS="500").out,
        modules=environment.modules_after_listing(),
        saving=environment.python(SAVE_AND_LOAD, "./saved"),
        demo=environment.run("strax", "demo", "--size", "0.2"),
    )


@dataclass
class Stages:
    """One environment that grows; it is asked after each step, while it holds no more than that."""

    core: Stage
    local: Stage
    zip: Stage
    with_demo: Stage
    mixed: Stage
    environment: Environment


@pytest.fixture(scope="session")
def stages(dist: Path, tmp_path_factory: pytest.TempPathFactory) -> Stages:
    folder = tmp_path_factory.mktemp("installed")
    environment = Environment(folder)
    wheels = {package.name: wheel_of(dist, package) for package in PACKAGES}
    environment.install(wheels["strax_core"])
    core = ask(environment)
    environment.install(wheels["strax_local"])
    local = ask(environment)
    environment.install(wheels["strax_zip"])
    with_zip = ask(environment)
    environment.install(wheels["strax_demo"])
    with_demo = ask(environment)
    # What they require is not there: pip would not install them so, but a later change of core or
    # of an SDK leaves behind just that.
    environment.install("--no-deps", *write_bad_ones(folder))
    return Stages(core, local, with_zip, with_demo, ask(environment), environment)


@each_package
def test_a_wheel_has_all_modules_the_mark_of_types_and_the_license(
    dist: Path, package: Path
) -> None:
    source = package / "src"
    with zipfile.ZipFile(wheel_of(dist, package)) as wheel:
        names = set(wheel.namelist())
        (license_file,) = [name for name in names if name.endswith("licenses/LICENSE")]

        assert wheel.read(license_file) == (ROOT / "LICENSE").read_bytes()
    modules = {path.relative_to(source).as_posix() for path in source.rglob("*.py")}
    assert modules <= names
    assert f"{package.name}/py.typed" in names
    assert not [name for name in names if "test_" in name or "__pycache__" in name]


@each_package
def test_versions_and_requirements_agree(dist: Path, package: Path) -> None:
    project = project_of(package)
    with zipfile.ZipFile(wheel_of(dist, package)) as wheel:
        (name,) = [name for name in wheel.namelist() if name.endswith(".dist-info/METADATA")]
        metadata = email.message_from_bytes(wheel.read(name))

    assert (metadata["Name"], metadata["Version"]) == (project["name"], project["version"])
    assert metadata["License-Expression"] == "BSD-3-Clause"
    needs = metadata.get_all("Requires-Dist") or []
    if package.name != "strax_core":
        major, minor = CORE.split(".")[:2]
        of_core = [each for each in needs if each.startswith("strax-core")]
        assert of_core == [f"strax-core<{major}.{int(minor) + 1},>={major}.{minor}"]


@each_package
def test_an_sdist_has_what_the_wheel_is_made_of(dist: Path, package: Path) -> None:
    (sdist,) = dist.glob(f"{package.name}-*.tar.gz")
    with tarfile.open(sdist) as archive:
        names = {member.name.partition("/")[2] for member in archive if member.isfile()}

    assert {"pyproject.toml", "README.md", "LICENSE"} <= names
    assert {path.relative_to(package).as_posix() for path in package.glob("tests/*.py")} <= names


def test_core_alone_works_and_says_what_to_install_for_local(stages: Stages) -> None:
    assert {line["distribution"] for line in stages.core.listing} == {"strax-core"}
    assert ("strax-core", "memory") in stages.core.by_name
    assert stages.core.saving.code == 1
    last_line = stages.core.saving.err.strip().splitlines()[-1]
    assert last_line.endswith(
        "no storage plugin serves the frontend 'local': it is not installed, "
        "`pip install strax-local`"
    )
    memory = stages.environment.python(SAVE_AND_LOAD, "memory://here")
    assert (memory.code, memory.out, memory.err) == (0, "[5, 7, 9]\n", "")


def test_core_alone_lists_which_codecs_need_more(stages: Stages) -> None:
    assert set(stages.core.errors) == {("strax-core", "blosc"), ("strax-core", "lz4")}
    for error in stages.core.errors.values():
        assert '`pip install "strax-core[upstream]"`' in error


def test_with_local_data_are_saved_and_loaded(stages: Stages) -> None:
    assert stages.local.saving == Answer(0, "[5, 7, 9]\n", "")
    line = stages.local.by_name["strax-local", "local"]
    assert (line["kind"], line["version"], line["schemes"], line["error"]) == (
        "backend",
        VERSIONS["strax-local"],
        ["file"],
        None,
    )


def test_with_zip_a_run_is_packed_and_loaded(stages: Stages) -> None:
    assert stages.zip.by_name["strax-zip", "zip"]["error"] is None
    packed = stages.environment.python(ZIP_AND_LOAD, "-")
    assert packed == Answer(0, "[5, 7, 9]\n[5, 7, 9]\n", "")


def test_without_its_package_the_demo_says_how_to_get_it(stages: Stages) -> None:
    for stage in (stages.core, stages.local, stages.zip):
        assert (stage.demo.code, stage.demo.out) == (1, "")
        assert stage.demo.err == (
            "strax: error: the demo is a package of its own, which is not installed: "
            "`pip install strax-demo`\n"
        )


def test_with_its_package_the_demo_runs_and_changes_no_listing(stages: Stages) -> None:
    for stage in (stages.with_demo, stages.mixed):
        assert stage.demo.code == 0, stage.demo.err
        assert "every claim above was checked (step 5 was left out)." in stage.demo.out
    assert stages.with_demo.by_name == stages.zip.by_name
    assert "strax_demo" not in stages.with_demo.modules


REASONS = {
    ("acme-broken", "broken"): r"RuntimeError: libtape\.so is missing",
    ("acme-misspelt", "misspelt"): r"unknown hook 'strax_backend'.*\(the hooks are strax_backends",
    ("acme-tape", "tape"): r"also claimed by acme-robot 2\.5; choose .* 'acme-tape:tape'",
    ("acme-robot", "tape"): r"also claimed by acme-tape 2\.5; choose .* 'acme-robot:tape'",
    ("acme-future", "future"): r"made for another strax-core \(strax-core<2,>=1 is needed, but "
    + re.escape(CORE),
    ("acme-cloud", "cloud"): r"no-such-sdk>=3 is not installed; `pip install acme-cloud`",
}


@pytest.mark.parametrize(("who", "reason"), REASONS.items(), ids=lambda what: str(what[0]))
def test_each_bad_one_is_listed_with_distribution_version_and_reason(
    stages: Stages, who: tuple[str, str], reason: str
) -> None:
    line = stages.mixed.by_name[who]

    assert line["version"] == "2.5"
    assert re.search(reason, line["error"])
    below = stages.mixed.table.partition("These cannot be used as they are:\n")[2].splitlines()
    assert [each for each in below if re.match(rf"  {who[0]} 2\.5\b.*{reason}", each)] != []


def test_nothing_else_is_disturbed(stages: Stages) -> None:
    good = {name: line for name, line in stages.mixed.by_name.items() if name not in REASONS}

    assert good == stages.zip.by_name
    assert stages.mixed.saving == Answer(0, "[5, 7, 9]\n", "")
    rows = [line.split() for line in stages.zip.table.splitlines()]
    assert [row for row in rows if row] == [
        line.split()
        for line in stages.mixed.table.splitlines()
        if line and not re.search(r"\bacme-", line)
    ]


@pytest.mark.parametrize(
    ("name", "reason"),
    [
        ("broken", r"acme-broken 2\.5 failed to load \(RuntimeError: libtape"),
        ("misspelt", r"acme-misspelt 2\.5 failed to load .*unknown hook"),
        ("tape", r"'tape' is claimed by acme-\w+ 2\.5 and acme-\w+ 2\.5; choose one"),
        ("future", r"acme-future 2\.5 is made for another strax-core .*; install another version"),
        ("cloud", r"needs the module 'no_such_sdk', which is not installed; `pip install acme-cl"),
    ],
)
def test_a_bad_one_is_refused_when_it_is_asked_for(stages: Stages, name: str, reason: str) -> None:
    assert re.search(reason, stages.environment.python(OPEN, name).out)


def test_listing_imports_no_sdk_and_nothing_that_is_refused(stages: Stages) -> None:
    for stage in (stages.core, stages.local, stages.zip, stages.mixed):
        assert stage.modules & HEAVY == set()
    assert "acme_tape" in stages.mixed.modules
    assert SDK not in stages.mixed.modules
    assert "acme_future" not in stages.mixed.modules


BLOCK = re.compile(
    r"(?:^<!-- (?:file: (?P<file>\S+)|(?P<example>example)) -->\n)?"
    r"^```(?P<language>\w+)\n(?P<text>.*?)^```\n(?:\n```text\n(?P<output>.*?)^```)?",
    re.DOTALL | re.MULTILINE,
)


def test_who_follows_the_page_to_the_letter_has_a_tested_storage_plugin(
    dist: Path, tmp_path: Path
) -> None:
    page = (ROOT / "docs" / "write-a-storage-plugin.md").read_text(encoding="utf-8")
    here = tmp_path
    links = [str(dist), *os.environ.get("PIP_FIND_LINKS", "").split()]
    removed = {"PYTHONPATH", "PYTHONHOME", "STRAX_CONFIG", "STRAX_TRACE", "VIRTUAL_ENV"}
    variables = {name: value for name, value in os.environ.items() if name not in removed}
    variables["PIP_FIND_LINKS"] = " ".join(links)  # as if our packages were published
    variables["PIP_NO_COMPILE"] = "1"
    programs = [".venv/bin", str(Path(sys.executable).parent), variables["PATH"]]
    variables["PATH"] = os.pathsep.join(programs)
    n_tests = []
    for block in BLOCK.finditer(page):
        if block["file"]:
            (here / block["file"]).write_text(block["text"], encoding="utf-8")
            continue
        program = ["python"] if block["language"] == "python" else ["bash", "-e"]
        done = subprocess.run(
            [*program, "-c", block["text"]],
            capture_output=True,
            text=True,
            check=False,
            cwd=here,
            env=variables,
        )
        assert done.returncode == 0, block["text"] + done.stdout[-3000:] + done.stderr[-3000:]
        if block["example"]:
            assert done.stdout == block["output"], block["text"]
        n_tests += re.findall(r"^(\d+) passed in", done.stdout, re.MULTILINE)
        here = tmp_path / "strax-sqlite"
    assert len(n_tests) == page.count("\npytest -q\n") == 2
