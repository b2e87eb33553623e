"""Builds all distributions, and small bad ones, and installs them step by step away from here."""

import json
import os
import subprocess
import sys
import tomllib
import zipfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent.parent
PACKAGES = [
    ROOT / "strax_core",
    *sorted(
        project.parent
        for folder in ("plugins", "examples")
        for project in ROOT.glob(f"{folder}/*/pyproject.toml")
    ),
]
LISTING = """
import json, sys
from strax_core.storage_plugins.registry import (default_registry)
default_registry().listing()
print(json.dumps(sorted(sys.modules)))
"""
SAVE_AND_LOAD = """
import sys
import numpy as np
import strax_core as sc


class Records(sc.Plugin):
    provides = "records"
    dtype = [("time", "i8"), ("endtime", "i8"), ("adc", "i4")]

    def chunks(self):
        rows = np.zeros(3, self.dtype)
        rows["time"] = np.arange(3)
        rows["endtime"] = rows["time"] + 1
        rows["adc"] = [5, 7, 9]
        yield self.chunk(start=0, end=10, data=rows)


sc.Context(sys.argv[1], plugins=[Records]).make("run_7", "records")
again = sc.Context(sys.argv[1], plugins=[Records], forbid_creation_of="*")
print(again.get_array("run_7", "records")["adc"].tolist())
"""
ZIP_AND_LOAD = f"""
from strax_zip import zip_run
import sys
zip_run("./saved", "run_7", "./zips")
sys.argv[1] = "./saved"
{SAVE_AND_LOAD}
place = {{"frontend": "zip", "path": "./zips"}}
zips = sc.Context([place], plugins=[Records], forbid_creation_of="*")
print(zips.get_array("run_7", "records")["adc"].tolist())
"""
OPEN = """
import sys, traceback
import strax_core as sc
try:
    sc.Context(storage=[{"frontend": sys.argv[1]}])
except sc.PluginError as error:
    print(error)
"""


@dataclass(frozen=True)
class Answer:
    """How a command ended."""

    code: int
    out: str
    err: str


class Environment:
    """A virtual environment away from the source; every command runs in an empty folder beside."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder / "elsewhere"
        self.folder.mkdir(parents=True)
        self.bin = folder / "venv" / "bin"
        variables = {"PYTHONPATH", "PYTHONHOME", "STRAX_CONFIG", "STRAX_TRACE", "VIRTUAL_ENV"}
        self.variables = {k: v for k, v in os.environ.items() if k not in variables}
        self.variables["PIP_NO_COMPILE"] = "1"  # half of the time
        self.variables["PIP_ONLY_BINARY"] = ":all:"  # so nothing needs a compiler
        subprocess.run([sys.executable, "-m", "venv", folder / "venv"], check=True)

    def install(self, *what: str | Path) -> None:
        """Install with pip."""
        self._checked(self.run("pip", "install", "--quiet", *map(str, what)))

    def run(self, command: str, *arguments: str, **variables: str) -> Answer:
        """Run an installed command."""
        done = subprocess.run(
            [self.bin / command, *arguments],
            capture_output=True,
            text=True,
            check=False,
            cwd=self.folder,
            env={**self.variables, **variables},
        )
        return Answer(done.returncode, done.stdout, done.stderr)

    def python(self, code: str, *arguments: str) -> Answer:
        """Run a program, isolated: nothing but what is installed can be imported."""
        return self.run("python", "-I", "-c", code, *arguments)

    def listing(self) -> list[dict[str, Any]]:
        """Return what ``strax plugins --json`` says."""
        lines: list[dict[str, Any]] = json.loads(
            self._checked(self.run("strax", "plugins", "--json")).out
        )
        return lines

    def modules_after_listing(self) -> set[str]:
        """Return what a process has imported that listed all storage plugins."""
        return set(json.loads(self._checked(self.python(LISTING)).out))

    @staticmethod
    def _checked(answer: Answer) -> Answer:
        if answer.code:
            raise AssertionError(answer.out + answer.err)
        return answer


def build(folder: Path) -> None:
    """Build the sdist of each package, and from the sdist its wheel."""
    for package in PACKAGES:
        subprocess.run(
            [sys.executable, "-m", "build", "--no-isolation", "--outdir", folder, package],
            check=True,
            capture_output=True,
        )


def project_of(package: Path) -> dict[str, Any]:
    """Return what a package's pyproject.toml says of it."""
    settings = tomllib.loads((package / "pyproject.toml").read_text(encoding="utf-8"))
    project: dict[str, Any] = settings["project"]
    return project


def write_wheel(folder: Path, name: str, hooks: str, *requires: str) -> Path:
    """Write a wheel of one module, with its entry point; its version is 2.5."""
    module = name.replace("-", "_")
    info = f"{module}-2.5.dist-info"
    metadata = ["Metadata-Version: 2.1", f"Name: {name}", "Version: 2.5"]
    members = {
        f"{module}.py": hooks,
        f"{info}/METADATA": "\n".join(
            [*metadata, *(f"Requires-Dist: {each}" for each in requires)]
        ),
        f"{info}/WHEEL": "Wheel-Version: 1.0\nGenerator: a test\nRoot-Is-Purelib: true\n"
        "Tag: py3-none-any\n",
        f"{info}/entry_points.txt": f"[strax.storage]\n{name.removeprefix('acme-')} = {module}\n",
    }
    members[f"{info}/RECORD"] = "".join(f"{member},,\n" for member in [*members, f"{info}/RECORD"])
    wheel = folder / f"{module}-2.5-py3-none-any.whl"
    with zipfile.ZipFile(wheel, "w") as archive:
        for member, text in members.items():
            archive.writestr(member, text)
    return wheel


SDK = "xmlrpc.server"  # plays one: it is there, and nothing else imports it


def hooks(name: str, *, hook: str = "strax_backends", target: str = f"{SDK}:C") -> str:
    """Return a hooks module that offers one backend."""
    return (
        "from strax_core import Provided, hookimpl\n"
        "@hookimpl\n"
        f"def {hook}():\n"
        f"    return [Provided(name={name!r}, help='an example', target={target!r})]\n"
    )


def write_bad_ones(folder: Path) -> list[Path]:
    """Write the wheels of storage plugins that are bad, each in its own way."""
    return [
        write_wheel(folder, "acme-broken", "raise RuntimeError('libtape.so is missing')\n"),
        write_wheel(folder, "acme-misspelt", hooks("misspelt", hook="strax_backend")),
        write_wheel(folder, "acme-tape", hooks("tape")),
        write_wheel(folder, "acme-robot", hooks("tape")),
        write_wheel(folder, "acme-future", hooks("future"), "strax-core>=1,<2"),
        write_wheel(
            folder, "acme-cloud", hooks("cloud", target="no_such_sdk:Cloud"), "no-such-sdk>=3"
        ),
    ]
