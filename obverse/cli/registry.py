"""`obverse registry`: what was registered, and a copy of it."""

import json
from pathlib import Path

import click

__all__ = ["registry"]

_URL = click.option(
    "--registry",
    "url",
    metavar="URL",
    help="sqlite:///FILE or postgresql://...; without it OBVERSE_REGISTRY, else your own file.",
)
_JSON = click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")


@click.group("registry")
def registry() -> None:
    """Count what is registered here, or copy it.

    The registry holds the mark, manifest and fingerprints of every released clip. It is what leads
    from a stripped clip back to its manifest.
    """


@registry.command("stats")
@_URL
@_JSON
def stats(url: str | None, as_json: bool) -> None:
    """Count the marks, manifests and fingerprints that are registered.

    Exit codes: 0 done; 2 the registry cannot be opened.

    \b
    Example:
      obverse registry stats --json
    """
    from obverse.provenance.registry import Registry

    with Registry(url) as opened:
        held = opened.stats().to_dict()
    if as_json:
        click.echo(json.dumps(held, indent=2))
        return
    for name, value in held.items():
        click.echo(f"{name.replace('_', ' '):<14} {'none' if value is None else value}")


@registry.command("backup")
@click.argument("destination", metavar="FILE", type=click.Path(path_type=Path))
@_URL
@click.option("--force", is_flag=True, help="Replace a file that exists.")
@_JSON
def backup(destination: Path, url: str | None, force: bool, as_json: bool) -> None:
    """Copy the registry, as it is at this moment, into one SQLite FILE.

    Others may write meanwhile. The copy is a registry itself: `--registry sqlite:///FILE`.

    Exit codes: 0 done; 2 could not be done, and nothing was written.

    \b
    Example:
      obverse registry backup registry-backup.sqlite
    """
    from obverse.provenance.registry import Registry

    with Registry(url) as opened:
        held = opened.backup(destination, force=force)
    told = {"path": str(destination), "manifests": held}
    click.echo(json.dumps(told) if as_json else f"{destination}: {held} manifests")
