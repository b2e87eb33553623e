"""The command ``strax``: what is installed and stored, and how to look after it."""

from strax_core.cli.ls import say_contents
from strax_core.cli.main import main
from strax_core.cli.output import megabytes, say, say_table
from strax_core.cli.stored import Stored, contents, writers_of

__all__ = [
    "Stored",
    "contents",
    "main",
    "megabytes",
    "say",
    "say_contents",
    "say_table",
    "writers_of",
]
