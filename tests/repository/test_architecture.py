"""The shape of the code; to raise a limit here is a decision that a reader sees."""

import ast
import importlib
import subprocess
import sys
import tomllib
from collections import Counter
from collections.abc import Iterator
from fnmatch import fnmatch
from functools import cache
from pathlib import Path
from typing import Any

import pytest

import strax_core

ROOT = Path(__file__).resolve().parents[2]
LINES_PER_FILE_MAX = 400
LINES_PER_FUNCTION_MAX = 60
PARAMETERS_MAX = 6
# Every type in a public signature is there (tests/repository/test_front_door.py): decision 0020.
PUBLIC_NAMES_MAX = 83
DEPENDENCIES_OF_CORE_MAX = 9
N_SUB_PACKAGES = {"strax_core": 17, "strax_sql": 5, "strax_ssh": 2}

MANY_PARAMETERS = (  # what users call with many options, all of them keywords
    "Context.__init__",
    "Context.get_*",
    "Context.make",
    "Option.__init__",
    "select",  # runs, by what upstream selects them by
    "*Frontend.__init__",
    "call5",  # a compiled function at an address, with its five numbers
)
HEAVY = {
    "boto3",
    "multiprocessing",
    "numba",
    "numexpr",
    "pandas",
    "paramiko",
    "rich",
    "sqlalchemy",
    "tqdm",
}
VAGUE_FILE_NAMES = {"common", "helper", "helpers", "misc", "util", "utils"}
MACHINE_PATHS = ["/" + "/".join(parts) for parts in (("root", ""), ("work", ""), ("tmp", "venv"))]
FOLDERS = [
    *("strax_core", "plugins", "examples", "tests", "tools", "benchmarks"),
    *("docs", "decisions", ".ci"),
]

Function = ast.FunctionDef | ast.AsyncFunctionDef


def project_of(package: Path) -> dict[str, Any]:
    """Return what a package's pyproject.toml says of it."""
    settings = tomllib.loads((package / "pyproject.toml").read_text(encoding="utf-8"))
    project: dict[str, Any] = settings["project"]
    return project


CORE = ROOT / "strax_core"
DEMO = ROOT / "examples" / "strax_demo"
PACKAGES = [
    CORE,
    *sorted(
        project.parent
        for folder in ("plugins", "examples")
        for project in ROOT.glob(f"{folder}/*/pyproject.toml")
    ),
]
STORAGE_PLUGINS = [
    package
    for package in PACKAGES
    if "strax.storage" in project_of(package).get("entry-points", {})
]


def python_files(packages: list[Path], *, under: str = "src") -> list[Path]:
    """List the modules of these packages."""
    return [path for package in packages for path in sorted((package / under).rglob("*.py"))]


@cache
def syntax_tree(path: Path) -> ast.Module:
    """Parse a file once."""
    return ast.parse(path.read_text(encoding="utf-8"))


def functions(node: ast.AST, prefix: str = "") -> Iterator[tuple[str, Function]]:
    """Yield each function under this node with its name, as `Class.method`."""
    for child in ast.iter_child_nodes(node):
        name = prefix
        if isinstance(child, ast.ClassDef | Function):
            name = f"{prefix}{child.name}."
        if isinstance(child, Function):
            yield name.rstrip("."), child
        yield from functions(child, name)


def all_functions() -> Iterator[tuple[str, str, Function]]:
    """Yield each function of the packages with its place and name."""
    for path in python_files(PACKAGES):
        for name, function in functions(syntax_tree(path)):
            yield f"{path.relative_to(ROOT)}:{function.lineno} {name}", name, function


def imported_modules(path: Path) -> Iterator[str]:
    """Yield what a file imports; `from a import b` gives `a.b` where that is a module of core."""
    for node in ast.walk(syntax_tree(path)):
        if isinstance(node, ast.Import):
            yield from (name.name for name in node.names)
        elif isinstance(node, ast.ImportFrom) and node.level == 0 and node.module:
            yield node.module
            if node.module == "strax_core":
                core_modules = {p.stem for p in (ROOT / "strax_core/src/strax_core").iterdir()}
                yield from (f"strax_core.{n.name}" for n in node.names if n.name in core_modules)


def faces(package: Path) -> list[Path]:
    """List the `__init__.py` of the sub-packages at the top."""
    return sorted((package / "src" / package.name).glob("*/__init__.py"))


def parameters(function: Function) -> list[str]:
    """Name the parameters of a function, without `self` and `cls`."""
    a = function.args
    named = [p.arg for p in (*a.posonlyargs, *a.args, *a.kwonlyargs, a.vararg, a.kwarg) if p]
    return [name for name in named if name not in ("self", "cls")]


def loaded_by(statement: str) -> set[str]:
    """Name the modules that a new process has loaded after a statement."""
    code = f"{statement}; import sys; print(*sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    return set(done.stdout.split())


def test_no_file_is_long() -> None:
    lengths = {p: len(p.read_text(encoding="utf-8").splitlines()) for p in python_files(PACKAGES)}

    assert lengths
    assert {p: n for p, n in lengths.items() if n > LINES_PER_FILE_MAX} == {}


def test_no_function_is_long() -> None:
    lengths = {at: (f.end_lineno or 0) - f.lineno + 1 for at, _, f in all_functions()}

    assert {at: n for at, n in lengths.items() if n > LINES_PER_FUNCTION_MAX} == {}


def test_no_function_takes_many_parameters() -> None:
    counts = {
        at: len(parameters(f))
        for at, name, f in all_functions()
        if not any(fnmatch(name, allowed) for allowed in MANY_PARAMETERS)
    }

    assert {at: n for at, n in counts.items() if n > PARAMETERS_MAX} == {}


def test_the_public_names_of_core_are_few_and_sorted_and_there() -> None:
    names = strax_core.__all__

    assert len(names) <= PUBLIC_NAMES_MAX
    assert [name for name in names if not hasattr(strax_core, name)] == []
    assert list(names) == sorted(  # constants, classes, functions: the order that ruff gives
        set(names), key=lambda name: (not name.isupper(), not name[0].isupper(), name)
    )


def test_core_requires_few_packages() -> None:
    assert len(project_of(CORE)["dependencies"]) <= DEPENDENCIES_OF_CORE_MAX


def test_library_code_prints_nothing() -> None:
    prints = [
        f"{path.relative_to(ROOT)}:{node.lineno}"
        for path in python_files(PACKAGES)
        if "cli" not in (path.parent.name, path.stem)
        for node in ast.walk(syntax_tree(path))
        if isinstance(node, ast.Call) and getattr(node.func, "id", "") == "print"
    ]

    assert prints == []


def test_file_names_say_what_is_inside() -> None:
    assert [p for p in python_files(PACKAGES) if p.stem in VAGUE_FILE_NAMES] == []


def test_importing_core_imports_nothing_heavy() -> None:
    assert HEAVY & loaded_by("import strax_core") == set()


def test_importing_the_command_line_loads_no_settings_and_no_storage_plugins() -> None:
    loaded = loaded_by("import strax_core.cli")

    assert {"pluggy", "strax_core.config", "strax_core.storage_plugins"} & loaded == set()


def test_every_package_but_core_and_the_demo_is_a_storage_plugin() -> None:
    assert STORAGE_PLUGINS
    assert set(PACKAGES) - set(STORAGE_PLUGINS) == {CORE, DEMO}


@pytest.mark.parametrize("package", STORAGE_PLUGINS, ids=lambda package: package.name)
def test_a_storage_plugin_imports_only_the_front_door_of_core(package: Path) -> None:
    check_imports(package, "src", of_core={"strax_core"})
    check_imports(package, "tests", of_core={"strax_core", "strax_core.testing"})


def test_the_demo_imports_only_the_front_door_of_core_and_the_face_of_its_command() -> None:
    check_imports(DEMO, "src", of_core={"strax_core", "strax_core.cli"})
    check_imports(DEMO, "tests", of_core={"strax_core", "strax_core.cli"})


def check_imports(package: Path, folder: str, *, of_core: set[str]) -> None:
    """Compare what a package imports of core; of the other packages, it imports nothing."""
    others = {path.name for path in PACKAGES} - {package.name, CORE.name}
    for path in python_files([package], under=folder):
        imported = set(imported_modules(path))

        assert {name for name in imported if name.split(".")[0] == CORE.name} <= of_core, path
        assert {name.split(".")[0] for name in imported} & others == set(), path


@pytest.mark.parametrize("package", PACKAGES, ids=lambda package: package.name)
def test_a_module_of_a_sub_package_is_imported_only_inside_it(package: Path) -> None:
    source = package / "src" / package.name
    rooms = {face.parent.name for face in faces(package)}
    front_door = source / "__init__.py"  # that of a storage plugin tells type checkers what is late
    deep = [
        f"{path.relative_to(source)}: {name}"
        for path in python_files([package])
        for name in imported_modules(path)
        if name.startswith(f"{package.name}.")
        and name.count(".") > 1
        and (room := name.split(".")[1]) in rooms
        and room != path.relative_to(source).parts[0]
        and (path != front_door or package not in STORAGE_PLUGINS)
    ]

    assert len(rooms) == N_SUB_PACKAGES.get(package.name, 0)
    assert deep == []


@pytest.mark.parametrize("package", PACKAGES, ids=lambda package: package.name)
def test_a_face_is_a_docstring_and_names(package: Path) -> None:
    for face in faces(package):
        docstring, *imports, names = syntax_tree(face).body
        if face.parent.name == "testing":  # pytest is told of it first
            imports = [node for node in imports if isinstance(node, ast.ImportFrom)]

        assert ast.unparse(docstring).count(". ") <= 2, face
        assert {type(node) for node in imports} == {ast.ImportFrom}, face
        assert ast.unparse(names).startswith("__all__ = ["), face


@pytest.mark.parametrize("package", STORAGE_PLUGINS, ids=lambda package: package.name)
def test_storage_plugins_name_their_parts_alike(package: Path) -> None:
    source = package / "src" / package.name
    hooks = importlib.import_module(f"{package.name}.hooks")
    provided = [
        each
        for kind in ("backends", "frontends")
        for each in getattr(hooks, f"strax_{kind}", list)()
    ]

    assert {"errors", "hooks", "options"} <= {path.stem for path in source.glob("*.py")}
    for each in provided:
        modules = [
            name.partition(":")[0].rpartition(".")[2] for name in (each.target, each.options)
        ]
        assert modules in (["backend", "options"], ["frontend", "options"]), each
    assert provided


def test_tests_mirror_the_source() -> None:
    core = ROOT / "strax_core"
    rooms = {path.parent.name for path in (core / "src" / "strax_core").glob("*/__init__.py")}
    folders = {path.name for path in (core / "tests").iterdir() if list(path.glob("*.py"))}

    assert folders - {"helpers"} == rooms


def test_each_file_of_tests_has_a_name_of_its_own() -> None:
    names = Counter(
        path.name
        for folder in FOLDERS
        for path in (ROOT / folder).rglob("test_*.py")
        if ".nox" not in path.parts
    )

    assert [name for name, n in names.items() if n > 1] == []


def test_core_imports_no_storage_plugin_and_the_demo_only_for_its_command() -> None:
    others = {package.name for package in PACKAGES} - {CORE.name}
    imported = {
        (str(path.relative_to(CORE / "src" / "strax_core")), name)
        for path in python_files([CORE])
        for name in imported_modules(path)
        if name.split(".")[0] in others
    }

    assert imported == {("cli/main.py", "strax_demo")}


@pytest.mark.parametrize("package", [CORE, *STORAGE_PLUGINS], ids=lambda package: package.name)
def test_what_is_stored_and_pickled_names_the_front_door(package: Path) -> None:
    front_door = importlib.import_module(package.name)
    public = {name: getattr(front_door, name) for name in front_door.__all__}
    ours = {
        name: value.__module__
        for name, value in public.items()
        if isinstance(value, type) and value.__module__.startswith("strax_")
    }

    assert ours
    assert set(ours.values()) == {package.name}


def test_no_file_names_a_place_on_one_machine() -> None:
    # In a work tree of git, `.git` is a file that says where the repository is.
    top = [path for path in ROOT.glob("*.*") if path.name != ".git"]
    files = [*top, *(path for name in FOLDERS for path in (ROOT / name).rglob("*"))]
    found = [
        f"{path.relative_to(ROOT)}: {word}"
        for path in files
        if path.is_file() and "__pycache__" not in path.parts
        for word in MACHINE_PATHS
        if word.encode() in path.read_bytes()
    ]

    assert found == []
