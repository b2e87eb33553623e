"""The command ``strax``: what is installed and stored, and how to look after it."""

from strax_core.cli.main import main

__all__ = ["main"]
