"""The command line: one module a verb, arguments straight into one function."""

from obverse.cli.main import main

__all__ = ["main"]
