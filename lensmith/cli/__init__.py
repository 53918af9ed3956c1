"""The command line; `main`, which runs it, is also what scripts import from here."""

from lensmith.cli.app import main

__all__ = ["main"]
