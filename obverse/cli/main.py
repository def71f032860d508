"""The `obverse` command: the group, the exit codes, and the verbs in the order a newcomer meets
them.
"""

import importlib
import sys
from collections.abc import Sequence

import click

from obverse import __version__
from obverse.errors import ObverseError

__all__ = ["VERBS", "cli", "main"]

# Verb: its line in `obverse --help`. The verb `x` is the command `x` in the module
# `obverse.cli.x` (or what `_COMMANDS` names), which is imported only when it is called, so that
# asking for help does not load torch.
VERBS = {
    "demo": "Run the whole chain, small, and make one page of it.",
    "generate": "Make a portrait speak.",
    "live": "Let a portrait speak while somebody does.",
    "sitter": "Show a virtual person, still or speaking.",
    "corpus": "Make many clips with their pristine twins, labels and splits.",
    "data": "Read public sets and folders as tables of clips, and check them.",
    "train": "Train a model that ships, on bundled or own data.",
    "export": "Write a trained detector as one ONNX file.",
    "detect": "Score clips with a detector.",
    "mark": "Put a watermark into a video, or read it.",
    "recover": "Find the manifest that a clip lost.",
    "inspect": "Show a file's manifest and mark, and whether they belong together.",
    "identity": "Show and change who signs clips here.",
    "registry": "Count what is registered here, or copy it.",
    "audit": "Give one verdict on a clip, and a report of all that it tells.",
    "serve": "Serve the audit as a page, and manifests over HTTP.",
    "eval": "Measure clips, each measurement a table with intervals.",
    "doctor": "Say what this machine lacks and how to mend it.",
}
# Verbs that Python has another use for.
_COMMANDS = {"eval": "evaluate"}


class _Verbs(click.Group):
    """A group that imports a verb when it is called."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        """Return the verbs in the order of `VERBS`."""
        del ctx
        return list(VERBS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """Import a verb's command; None where there is no such verb."""
        del ctx
        if cmd_name not in VERBS:
            return None
        name = _COMMANDS.get(cmd_name, cmd_name)
        command = getattr(importlib.import_module(f"obverse.cli.{name}"), name)
        assert isinstance(command, click.Command)
        return command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """List the verbs without importing them."""
        del ctx
        with formatter.section("Verbs"):
            formatter.write_dl(list(VERBS.items()))


@click.group(cls=_Verbs, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, prog_name="obverse")
def cli() -> None:
    """Talking heads that say they are minted, and tools that can tell.

    Exit codes: 0 done; 1 done, and something is wrong with the content; 2 could not be done.
    """


def _interruptible(arguments: list[str] | None) -> None:
    """Run the group; click's own exit code for Ctrl-C is 1, which here says something else."""
    given = sys.argv[1:] if arguments is None else arguments
    try:
        # As the context's object, so that a report can say by which command it was made.
        status = cli.main(args=given, prog_name="obverse", standalone_mode=False, obj=given)
    except click.Abort:
        raise KeyboardInterrupt from None
    except click.ClickException as error:
        error.show()
        sys.exit(error.exit_code)
    sys.exit(status if isinstance(status, int) else 0)


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the command line; an `ObverseError` becomes one sentence on stderr and exit code 2."""
    try:
        _interruptible(None if arguments is None else list(arguments))
    except ObverseError as error:
        click.echo(f"obverse: {error}", err=True)
        sys.exit(2)
    except OSError as error:  # a name that no disk can hold, a full disk behind stdout
        where = f"{error.filename}: " if error.filename else ""
        click.echo(f"obverse: {where}{error.strerror or error}.", err=True)
        sys.exit(2)
    except KeyboardInterrupt:
        click.echo("obverse: interrupted.", err=True)
        sys.exit(2)
