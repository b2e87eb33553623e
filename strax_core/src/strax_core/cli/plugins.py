"""``strax plugins``: what is installed, and what is broken."""

from dataclasses import asdict

from strax_core.cli.output import one_line, say, say_json, say_table
from strax_core.storage_plugins import Listed, default_registry


def list_plugins(*, as_json: bool) -> None:
    """Write a table of backends, frontends and codecs; no SDK is imported for it."""
    lines = default_registry().listing()
    if as_json:
        say_json([asdict(line) for line in lines])
        return
    works = [line for line in lines if line.kind is not None]
    say_table(
        ["kind", "name", "distribution", "version", "URLs", "what it is"], [_row(w) for w in works]
    )
    troubles = [line for line in lines if line.error is not None]
    if troubles:
        say()
        say("These cannot be used as they are:")
        for line in troubles:
            what = "" if line.kind is None else f" {line.kind} {line.name}"
            say(f"  {line.distribution} {line.version}{what}: {one_line(line.error)}")


def _row(line: Listed) -> list[str]:
    urls = " ".join(f"{scheme}://" for scheme in line.schemes)
    kind = line.kind or ""
    return [kind, line.name, line.distribution, line.version, urls or "-", line.help]
