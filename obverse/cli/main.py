"""The `obverse` command: the group, the exit codes, and the verbs in the order a newcomer meets them."""

import sys
from collections.abc import Sequence

import click

from obverse import __version__
from obverse.errors import ObverseError

__all__ = ["cli", "main"]


@click.group(context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, prog_name="obverse")
def cli() -> None:
    """Talking heads that say they are minted, and tools that can tell.

    Exit codes: 0 done; 1 done, and something is wrong with the content; 2 could not be done.
    """


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the command line; an `ObverseError` becomes one sentence on stderr and exit code 2."""
    try:
        cli.main(args=None if arguments is None else list(arguments), prog_name="obverse")
    except ObverseError as error:
        click.echo(f"obverse: {error}", err=True)
        sys.exit(2)
