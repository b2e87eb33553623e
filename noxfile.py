"""What the checks do: `nox -s demo`, `tests`, `servers`, `lint`, `types`, `layers`, `wheels`.

Longer ones, for each night or now and then: `nox -s nightly`, `bench`, `contract_full`, `mutation`.
All sessions share one virtual environment in `.nox/shared`. It is made once, from the checkout, and
made again when this file or a `pyproject.toml` changes. `bench` has two of its own.
"""

import hashlib
import os
import secrets
import shutil
import sys
from pathlib import Path

import nox

ROOT = Path(__file__).resolve().parent
SHARED = ROOT / ".nox" / "shared"
PYTHONS = ((3, 11), (3, 12))
# One process more than processors, since tests often wait. Tests of a class or file stay together,
# in order: they share what takes long to make. `conftest.py` says which come first.
SIDE_BY_SIDE_TESTS = (
    *("--numprocesses", str((os.cpu_count() or 1) + 1)),
    *("--dist", "loadscope", "--no-loadscope-reorder"),
)
PROJECTS = [*ROOT.glob("plugins/*/pyproject.toml"), *ROOT.glob("examples/*/pyproject.toml")]
PACKAGES = [ROOT / "strax_core", *sorted(project.parent for project in PROJECTS)]
EXTRAS = {  # of each package, what the tests need
    "strax_core": ["pandas", "testing", "upstream"],
    "strax_s3": ["testing"],
    "strax_sql": ["testing"],
    "strax_ssh": ["testing"],
}
CONTRACTS = [
    "strax_core/tests/backend/test_memory.py",
    *(
        f"strax_core/tests/testing/test_contract_{what}.py"
        for what in ("codecs", "frontends", "reading")
    ),
    "plugins/strax_local/tests/test_local_contract.py",
    "examples/strax_zip/tests/test_zip.py",
]
BUILDERS = ["hatchling>=1.26", "editables"]  # of all packages, as their pyproject.toml say
TOOLS = [
    "build",
    "import-linter",
    "mypy",
    "nox",  # mypy reads this file too
    "pytest-xdist>=3.8",  # runs tests side by side
    "ruff==0.17.6",  # exactly: every rule is selected, and a new release adds rules
    "strax==2.2.3",  # the real peer in tests and demo; it needs Python below 3.13
]

BENCH = ROOT / ".nox" / "bench"
SIDE_BY_SIDE = ROOT / "benchmarks" / "side_by_side"
UPSTREAM = ["strax==2.2.3"]  # with what it asks for: zarr 2
PEERS = ["zarr>=3", "pyarrow", "h5py", "hdf5plugin", "pandas", "matplotlib"]

nox.needs_version = ">=2024.3"
nox.options.default_venv_backend = "none"  # the shared environment is used instead
nox.options.sessions = ["lint", "types", "layers", "tests"]


@nox.session
def demo(session: nox.Session) -> None:
    """Run the main job on a simulated detector run; `-- --size 60` makes it about 60 MB."""
    run(session, "strax", "demo", "--upstream", "required", *session.posargs)


@nox.session
def tests(session: nox.Session) -> None:
    """Run all tests that need no server; arguments after `--` go to pytest: `-n 0` with `--pdb`."""
    run(session, "pytest", *SIDE_BY_SIDE_TESTS, *session.posargs)


@nox.session
def servers(session: nox.Session) -> None:
    """Run the tests that need real servers; `tests/servers/install-debian.sh` installs them."""
    run(session, "pytest", *SIDE_BY_SIDE_TESTS, "-m", "servers and not nightly", *session.posargs)


@nox.session
def lint(session: nox.Session) -> None:
    """Check the format and all rules of ruff; `-- --fix` repairs."""
    fix = "--fix" in session.posargs
    run(session, "ruff", "format", *([] if fix else ["--check"]), ".")
    run(session, "ruff", "check", *(["--fix"] if fix else []), ".")


@nox.session
def types(session: nox.Session) -> None:
    """Check the types of each package, and of the files that run the checks."""
    for package in PACKAGES:
        run(session, "mypy", str((package / "src").relative_to(ROOT)))
    run(session, "mypy", "noxfile.py", "conftest.py")
    run(session, "mypy", str(SIDE_BY_SIDE.relative_to(ROOT)))


@nox.session
def layers(session: nox.Session) -> None:
    """Check that imports go down only."""
    run(session, "lint-imports")


@nox.session
def wheels(session: nox.Session) -> None:
    """Build all packages, install them away from the source, and check what works there."""
    run(session, "pytest", "tests/wheels/wheel_checks.py", *session.posargs)


@nox.session
def contract_full(session: nox.Session) -> None:
    """Run the contract kit at its level full, on memory, strax-local and strax-zip."""
    arguments = (*SIDE_BY_SIDE_TESTS, *CONTRACTS, *session.posargs)
    run(session, "pytest", *arguments, STRAX_CONTRACT="full")


@nox.session
def nightly(session: nox.Session) -> None:
    """Run all tests there are on random numbers, then `contract_full`; `-- SEED …` repeats one."""
    seed, arguments = str(secrets.randbelow(1 << 32)), session.posargs
    if arguments and arguments[0].isdecimal():
        seed, *arguments = arguments
    session.log(f"seed {seed}; to repeat it: nox -s nightly -- {seed}")
    of_kit = ("--hypothesis-seed", seed)
    session.notify("contract_full", of_kit)
    seeds = ("--seed", seed, *of_kit, "--hypothesis-profile", "nightly")
    run(session, "pytest", *SIDE_BY_SIDE_TESTS, "-m", "", *seeds, *arguments)


@nox.session
def mutation(session: nox.Session) -> None:
    """Change the code in small ways, and look whether the tests notice."""
    run(session, "python", "tools/mutation/mutation.py", *session.posargs)


@nox.session
def bench(session: nox.Session) -> None:
    """Measure against upstream and others; `-- --quick`, `-- NAME …`: benchmarks/README.md.

    With `-- --against REF`, against an older commit: also `-- --against REF NAME …`.
    """
    if "--against" in session.posargs:
        bench_against(session)
        return
    packages = [ROOT / "strax_core", ROOT / "plugins" / "strax_local"]
    ours = [word for package in packages for word in ("--editable", str(package))]
    make_environment(session, BENCH / "ours", [*ours, *PEERS])
    make_environment(session, BENCH / "upstream", UPSTREAM)
    session.run(
        str(BENCH / "ours" / "bin" / "python"),
        str(SIDE_BY_SIDE / "runner.py"),
        *("--folder", str(BENCH / "data")),
        *("--python-upstream", str(BENCH / "upstream" / "bin" / "python")),
        *session.posargs,
        external=True,
    )


def bench_against(session: nox.Session) -> None:
    """Measure this checkout against an older commit, which gets a work tree of its own."""
    at = session.posargs.index("--against")
    if at + 1 == len(session.posargs):
        session.error("--against wants a commit")
    others, ref = [*session.posargs[:at], *session.posargs[at + 2 :]], session.posargs[at + 1]
    commit = git(session, "rev-parse", "--verify", "--quiet", f"{ref}^{{commit}}").strip()
    if not commit:
        session.error(f"there is no commit {ref!r}")
    folder = BENCH / "against" / commit[:12]
    tree = folder / "tree"
    if not tree.exists():
        git(session, "worktree", "prune")
        git(session, "worktree", "add", "--quiet", "--detach", str(tree), commit)
    pythons = {}
    for side, root in (("now", ROOT), ("before", tree)):
        packages = [root / "strax_core", root / "plugins" / "strax_local"]
        installs = [word for package in packages for word in ("--editable", str(package))]
        environment = (BENCH / "against" if side == "now" else folder) / "environment"
        make_environment(session, environment, [*installs, "pandas"])
        pythons[side] = str(environment / "bin" / "python")
    session.run(
        pythons["now"],
        str(SIDE_BY_SIDE / "against.py"),
        *("--folder", str(BENCH / "against" / "data"), "--commit", f"{ref} ({commit[:12]})"),
        *("--python-now", pythons["now"], "--python-before", pythons["before"]),
        *others,
        external=True,
    )


def git(session: nox.Session, *arguments: str) -> str:
    """Return what git says; nothing, if it found nothing."""
    codes = [0, 1] if arguments[0] == "rev-parse" else [0]
    said = session.run("git", *arguments, external=True, silent=True, success_codes=codes)
    return str(said or "")


def run(session: nox.Session, command: str, *arguments: str, **variables: str) -> None:
    """Run a command of the shared environment, with variables added to its environment."""
    make_shared_environment(session)
    # Whatever the user's habit: hundreds of processes import the same, compiled once.
    variables["PYTHONDONTWRITEBYTECODE"] = ""
    session.run(str(SHARED / "bin" / command), *arguments, external=True, env=variables)


def make_shared_environment(session: nox.Session) -> None:
    """Install the packages (editable) and the tools, unless that was done already."""
    if sys.version_info[:2] not in PYTHONS:
        session.error(
            f"nox runs on Python {sys.version_info[0]}.{sys.version_info[1]}, but demo and tests "
            "need 3.11 or 3.12. Remove .venv and make it with python3.11 or python3.12"
        )
    editable = [word for package in PACKAGES for word in ("--editable", with_extras(package))]
    # Half of the time: nothing is compiled that is not imported, and no package gets an environment
    # of its own to be built in.
    make_environment(
        session,
        SHARED,
        ["--no-compile", *BUILDERS],
        ["--no-compile", "--no-build-isolation", *editable, *TOOLS],
    )


def make_environment(session: nox.Session, folder: Path, *installs: list[str]) -> None:
    """Install packages in an environment, list by list, unless that was done already."""
    stamp = folder / "stamp"
    if stamp.exists() and stamp.read_text() == wanted_stamp():
        return
    session.log(f"making the environment {folder.name}; this takes a minute or two, once")
    shutil.rmtree(folder, ignore_errors=True)
    session.run(sys.executable, "-m", "venv", str(folder), external=True)
    python = str(folder / "bin" / "python")
    for packages in installs:
        session.run(python, "-m", "pip", "install", "--quiet", *packages, external=True)
    stamp.write_text(wanted_stamp())  # last, so that an interrupted install is done again


def with_extras(package: Path) -> str:
    """Return what pip calls a package in the checkout together with its extras."""
    extras = EXTRAS.get(package.name, [])
    return f"{package}[{','.join(extras)}]" if extras else str(package)


def wanted_stamp() -> str:
    """Hash all that decides what is installed: the files, the place, the interpreter."""
    digest = hashlib.sha256(f"{ROOT} {sys.version}".encode())
    for path in [Path(__file__), *(package / "pyproject.toml" for package in PACKAGES)]:
        digest.update(path.read_bytes())
    return digest.hexdigest()
