"""The command line: parses it, runs a verb, and ends with its exit code."""

import argparse
import os
import sys
from collections.abc import Sequence
from typing import Any

from strax_core.cli.output import complain, one_line, say
from strax_core.errors import ConfigError, StorageError

INTERRUPTED = 130  # what a shell shows for Ctrl-C


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command; return its exit code: 0, 1 (error), 130 (Ctrl-C); wrong usage exits."""
    options = _parser().parse_args(arguments)
    try:
        options.run(options)
    except KeyboardInterrupt:
        complain("strax: interrupted")
        return INTERRUPTED
    except BrokenPipeError:
        # The reader, such as `head`, has seen enough; Python would complain once more at its end.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1
    except Exception as error:
        if getattr(options, "debug", False):
            raise
        complain(f"strax: error: {_explained(error)}")
        return 1
    return 0


def _explained(error: Exception) -> str:
    text = one_line(error) or type(error).__name__
    if not isinstance(error, StorageError):
        return f"unexpected {type(error).__name__}: {text} (--debug shows where)"
    cause = error.__cause__
    # Only the kind of the cause: its text comes from elsewhere and may hold a secret.
    return text if cause is None or isinstance(cause, StorageError) else f"{text} [{_kind(cause)}]"


def _kind(cause: BaseException) -> str:
    return type(cause).__name__


def _parser() -> argparse.ArgumentParser:
    common = argparse.ArgumentParser(add_help=False)
    common.add_argument(
        "--debug", action="store_true", default=argparse.SUPPRESS, help="show where an error arose"
    )
    parser = argparse.ArgumentParser(
        prog="strax",
        description="Find out what is installed and what is stored, and look after it.",
        parents=[common],
    )
    parser.add_argument("--version", action=_Version, help="show the version of strax-core")
    commands = parser.add_subparsers(metavar="COMMAND", required=True)

    plugins = commands.add_parser(
        "plugins", parents=[common], help="list installed backends, frontends and codecs"
    )
    _add_json(plugins)
    plugins.set_defaults(run=_run_plugins)

    ls = commands.add_parser("ls", parents=[common], help="list what is stored in a place")
    _add_place(ls)
    _add_json(ls)
    ls.set_defaults(run=_run_ls)

    clean = commands.add_parser(
        "clean", parents=[common], help="list or remove what writers that died left behind"
    )
    _add_place(clean)
    clean.add_argument(
        "--grace-s",
        type=_positive,
        metavar="S",
        help="how long a writer must have been silent, in s; not less than its own grace time, "
        "since that would harm one at work (default: that of the place)",
    )
    clean.add_argument("--yes", action="store_true", help="remove it; without this, only list it")
    clean.set_defaults(run=_run_clean)

    doctor = commands.add_parser(
        "doctor", parents=[common], help="find out whether a place works, and what to do if not"
    )
    _add_place(doctor)
    doctor.set_defaults(run=_run_doctor)

    rechunk = commands.add_parser(
        "rechunk", parents=[common], help="store data again in chunks of another size"
    )
    _add_rewriting(rechunk, chunk_size_is_required=True)
    recompress = commands.add_parser(
        "recompress", parents=[common], help="store data again with another codec"
    )
    _add_rewriting(recompress, chunk_size_is_required=False)

    _add_those_of_catalogues(commands, common)
    _add_demo(
        commands.add_parser(
            "demo", parents=[common], help="show the main job on a simulated detector run"
        )
    )
    return parser


def _add_those_of_catalogues(commands: Any, common: argparse.ArgumentParser) -> None:
    _add_catalog(commands, common)
    _add_replicate(commands, common)


def _add_catalog(commands: Any, common: argparse.ArgumentParser) -> None:
    catalog = commands.add_parser(
        "catalog",
        parents=[common],
        help="compare a catalogue with what lies in its backends, and mend it",
    )
    catalog.add_argument(
        "action",
        choices=["check", "rebuild"],
        help="check: tell all differences, reading all metadata; rebuild: enter what is complete "
        "and not entered, take out what is gone",
    )
    _add_place(catalog)
    catalog.add_argument(
        "--yes", action="store_true", help="rebuild: do it; without this, only list it"
    )
    catalog.set_defaults(run=_run_catalog)


def _add_replicate(commands: Any, common: argparse.ArgumentParser) -> None:
    replicate = commands.add_parser(
        "replicate",
        parents=[common],
        help="copy what a catalogue knows of to one of its backends",
    )
    _add_place(replicate)
    replicate.add_argument(
        "--to", required=True, metavar="BACKEND", help="name of the backend that gets the copies"
    )
    _add_patterns(replicate)
    replicate.add_argument(
        "--compressor", metavar="CODEC", help="of the copies; left out: as it is there, or now"
    )
    replicate.add_argument(
        "--workers", type=_whole, metavar="N", help="how many threads read, encode and write"
    )
    replicate.add_argument("--dry-run", action="store_true", help="only list what would be copied")
    replicate.set_defaults(run=_run_replicate)


def _add_demo(demo: argparse.ArgumentParser) -> None:
    demo.add_argument("--size", type=_positive, default=300.0, metavar="MB", help="default: 300")
    demo.add_argument("--folder", default="./strax_demo", metavar="DIR", help="where it works")
    demo.add_argument(
        "--upstream",
        choices=["auto", "required"],
        default="auto",
        help="what if the package strax is not installed: leave that step out, or fail",
    )
    demo.set_defaults(run=_run_demo)


def _add_place(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("place", metavar="PLACE", help="a path, a URL, or a name in strax.toml")
    parser.add_argument("--config", metavar="FILE", help="the strax.toml to use")


def _add_json(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--json", action="store_true", help="write JSON, for programs")


def _add_patterns(parser: argparse.ArgumentParser) -> None:
    named = "patterns as in a shell, such as 'run_1*'; left out: all"
    parser.add_argument(
        "--run", nargs="+", default=[], dest="run_ids", metavar="RUN", help=f"which runs: {named}"
    )
    parser.add_argument(
        "--type",
        nargs="+",
        default=[],
        dest="data_types",
        metavar="TYPE",
        help=f"which data types: {named}",
    )


def _add_rewriting(parser: argparse.ArgumentParser, *, chunk_size_is_required: bool) -> None:
    _add_place(parser)
    _add_patterns(parser)
    parser.add_argument(
        "--chunk-size-mb",
        type=_positive,
        metavar="MB",
        required=chunk_size_is_required,
        help="about how large chunks are to be, uncompressed, in MB of 1e6 bytes",
    )
    parser.add_argument(
        "--compressor",
        metavar="CODEC",
        required=not chunk_size_is_required,
        help="the codec; `strax plugins` lists them",
    )
    parser.add_argument(
        "--to",
        metavar="PLACE",
        help="keep the result there; left out: it replaces the data where they are, after it was "
        "read back and compared",
    )
    parser.add_argument(
        "--workers", type=_whole, metavar="N", help="how many threads read, encode and write"
    )
    parser.add_argument("--dry-run", action="store_true", help="only list what would be done")
    _add_json(parser)
    parser.set_defaults(run=_run_rewrite)


def _whole(text: str) -> int:
    value = int(text)
    if value < 1:
        raise argparse.ArgumentTypeError(f"{text} is not above 0")
    return value


def _positive(text: str) -> float:
    value = float(text)
    if not 0 < value < float("inf"):
        raise argparse.ArgumentTypeError(f"{text} is not above 0")
    return value


class _Version(argparse.Action):
    """Look the version up only if it is asked for, since that costs time."""

    def __init__(self, option_strings: Sequence[str], dest: str, **options: Any) -> None:
        super().__init__(option_strings, dest, nargs=0, **options)

    def __call__(self, parser: argparse.ArgumentParser, *_: object) -> None:
        from importlib.metadata import version

        say(f"strax-core {version('strax-core')}")
        parser.exit()


# Each command is imported when it is asked for, so that listing storage plugins stays fast.


def _run_plugins(options: argparse.Namespace) -> None:
    from strax_core.cli.plugins import list_plugins

    list_plugins(as_json=options.json)


def _run_ls(options: argparse.Namespace) -> None:
    from strax_core.cli.ls import list_place

    list_place(options.place, options.config, as_json=options.json)


def _run_clean(options: argparse.Namespace) -> None:
    from strax_core.cli.clean import clean_place

    clean_place(options.place, options.config, grace_s=options.grace_s, remove=options.yes)


def _run_doctor(options: argparse.Namespace) -> None:
    from strax_core.cli.doctor import examine_place

    examine_place(options.place, options.config)


def _run_rewrite(options: argparse.Namespace) -> None:
    from strax_core.cli.rewrite import Job, rewrite_place

    job = Job(
        place=options.place,
        to=options.to,
        config=options.config,
        runs=options.run_ids,
        data_types=options.data_types,
        chunk_size_mb=options.chunk_size_mb,
        compressor=options.compressor,
        n_workers=options.workers,
        dry_run=options.dry_run,
    )
    rewrite_place(job, as_json=options.json)


def _run_catalog(options: argparse.Namespace) -> None:
    from strax_core.cli.catalog import check_catalogue, rebuild_catalogue

    if options.action == "check":
        check_catalogue(options.place, options.config)
    else:
        rebuild_catalogue(options.place, options.config, change=options.yes)


def _run_replicate(options: argparse.Namespace) -> None:
    from strax_core.cli.replicate import Replication, replicate

    replicate(
        Replication(
            place=options.place,
            to=options.to,
            config=options.config,
            runs=options.run_ids,
            data_types=options.data_types,
            compressor=options.compressor,
            n_workers=options.workers,
            dry_run=options.dry_run,
        )
    )


def _run_demo(options: argparse.Namespace) -> None:
    try:
        from strax_demo import run_demo
    except ImportError as error:
        # No module, or only a folder, such as where an earlier demo worked. Else it is there, and
        # something in it is wrong or missing.
        if (error.name, error.path) != ("strax_demo", None):
            raise
        raise ConfigError(
            "the demo is a package of its own, which is not installed: `pip install strax-demo`"
        ) from None

    run_demo(
        options.folder, size_mb=options.size, upstream_is_required=options.upstream == "required"
    )
