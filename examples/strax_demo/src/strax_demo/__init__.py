"""Demo: the main job, on a simulated detector run, for `strax demo`; it checks what it claims."""

import os
import sys
import time
from pathlib import Path

from strax_core import Context
from strax_core.cli import contents, say, say_contents
from strax_demo.calibration import calibrate_one_run
from strax_demo.exchange import exchange_with_strax
from strax_demo.folder import prepare_folder
from strax_demo.requests import change_an_option, load_again, make_first

__all__ = ["run_demo"]


def run_demo(folder: str, *, size_mb: float, upstream_is_required: bool) -> None:
    """Run all steps in a folder of their own.

    Raises:
        StorageError: a step failed, or a claim does not hold.
    """
    started = time.monotonic()
    where = Path(os.path.abspath(os.path.expanduser(folder)))  # noqa: PTH100, PTH111 - unknown users stay
    config = prepare_folder(where, size_mb=size_mb)
    say(
        f"A simulated detector run of about {size_mb:g} MB: waveforms (records) -> peaks -> events."
    )
    say(f"It works in {where}, with the places and contexts that strax.toml there names.")
    say()
    context = Context.from_config("demo", path=config)
    first = make_first(context)
    say()
    load_again(context, first)
    say()
    change_an_option(context)
    say()
    calibrate_one_run(config)
    say()
    is_complete = exchange_with_strax(config, is_required=upstream_is_required)
    say()
    _say_what_is_stored(config)
    say()
    left_out = "" if is_complete else " (step 5 was left out)"
    say(f"Done in {time.monotonic() - started:.0f} s; every claim above was checked{left_out}.")
    say(f"Look around: {Path(sys.argv[0]).absolute()} ls scratch --config {config}")
    say(f"Remove it:   rm -r {where}")


def _say_what_is_stored(config: Path) -> None:
    say("6. What is stored where, as `strax ls` shows it:")
    for name in ("demo", "exchange"):
        for place in Context.from_config(name, path=config).storage:
            found = {each: contents(backend) for each, backend in place.backends.items()}
            say_contents(place, found, indent="   ")
