"""Step 5: the real package strax and this one read each other's folders."""

import hashlib
import importlib.util
import json
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

from strax_core import Context, StorageError
from strax_core.cli import say, say_table
from strax_demo import detector, upstream_side
from strax_demo.folder import UPSTREAM_FILE
from strax_demo.watching import Progress, expect, watched

THEIRS, OURS = "run_9", "run_10"
OUR_IMPORT, THEIR_IMPORT = "import strax_core as sc\n", "import strax as sc\n"
TIMEOUT_S = 300


def exchange_with_strax(config: Path, *, is_required: bool) -> bool:
    """Read a folder that strax wrote, let it read ours; say so and return False without strax.

    Raises:
        StorageError: strax is required and not installed, or what is read differs.
    """
    say("5. A folder shared with the package strax, in which the same data plugins run.")
    if importlib.util.find_spec("strax") is None:
        if is_required:
            raise StorageError("the package strax is not installed: `pip install strax==2.2.3`")
        say("   Left out: this step needs the package strax, `pip install strax`.")
        return False
    context = Context.from_config("exchange", path=config)
    their_detector = config.parent / UPSTREAM_FILE
    source = Path(detector.__file__).read_text(encoding="utf-8")
    their_detector.write_text(source.replace(OUR_IMPORT, THEIR_IMPORT, 1), encoding="utf-8")
    request = {"detector": str(their_detector), "config": context.config}
    request["folder"] = str(config.parent / "shared")
    _read_theirs(context, request)
    _let_them_read_ours(context, request)
    return True


def _read_theirs(context: Context, request: dict[str, Any]) -> None:
    with Progress(context):
        answer = _ask_strax({**request, "make": [[THEIRS, "peaks"]], "load": []})
    say(f"   strax {answer['version']} has made records and peaks of {THEIRS}, in another process.")
    rows = []
    for name in ("records", "peaks"):
        found = context.find(THEIRS, name)
        rows.append(_compared(context, THEIRS, name, answer, f"found in {found.place}"))
    with watched(context) as seen:
        context.get_array(THEIRS, "events")
    expect("from strax's peaks only events are made", holds=seen.made_types == ["events"])
    say_table(["run", "data type", "rows", "sha256", "", ""], rows, indent="   ")
    say(f"   Processed further here: events of {THEIRS}, from the peaks that strax wrote.")


def _let_them_read_ours(context: Context, request: dict[str, Any]) -> None:
    context.make(OURS, "events")
    wanted = [[OURS, "records"], [OURS, "peaks"], [OURS, "events"], [THEIRS, "events"]]
    with Progress(context):
        answer = _ask_strax({**request, "make": [], "load": wanted})
    rows = [_compared(context, run, name, answer, "loaded by strax") for run, name in wanted]
    say(f"   The other way: strax {answer['version']} loads what was made here, and makes nothing.")
    say_table(["run", "data type", "rows", "sha256", "", ""], rows, indent="   ")


def _compared(
    context: Context, run_id: str, data_type: str, answer: dict[str, Any], how: str
) -> list[object]:
    theirs = answer["data"][f"{run_id} {data_type}"]
    rows = context.get_array(run_id, data_type)
    checksum = hashlib.sha256(rows.tobytes()).hexdigest()
    what = f"{data_type} of {run_id} are the same here and in strax"
    expect(f"{what}: keys", holds=theirs["key"] == str(context.key_for(run_id, data_type)))
    expect(f"{what}: fields", holds=theirs["dtype"] == repr(rows.dtype.descr))
    expect(f"{what}: rows", holds=(theirs["n"], theirs["sha256"]) == (len(rows), checksum))
    return [run_id, data_type, f"{len(rows):,}", checksum[:10], how, "same bytes"]


def _ask_strax(request: dict[str, Any]) -> dict[str, Any]:
    """Run the real strax in a process of its own; its output is shown only if it fails."""
    with tempfile.TemporaryDirectory() as folder:
        question, answer = Path(folder) / "request.json", Path(folder) / "answer.json"
        question.write_text(json.dumps(request), encoding="utf-8")
        # -W ignore: strax and its dependencies warn about themselves.
        command = [sys.executable, "-W", "ignore", "-m", upstream_side.__name__]
        done = subprocess.run(  # noqa: S603 - our own module, no shell
            [*command, str(question), str(answer)],
            capture_output=True,
            text=True,
            check=False,
            timeout=TIMEOUT_S,
        )
        if done.returncode != 0 or not answer.exists():
            say("   what strax wrote before it failed:")
            say(done.stdout + done.stderr)
            raise StorageError(f"the process with strax failed, exit code {done.returncode}")
        document: dict[str, Any] = json.loads(answer.read_text(encoding="utf-8"))
        return document
