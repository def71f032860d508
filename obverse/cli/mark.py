"""`obverse mark`: put a watermark into any film, or read it."""

import json
import re
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import click

from obverse.cli.progress import progress_bar
from obverse.errors import ConfigError, InputError

if TYPE_CHECKING:
    from obverse.watermark.marks import Mark

__all__ = ["mark"]


@click.group("mark")
def mark() -> None:
    """Put a watermark into a video, or read it.

    A mark is 64 bits to look up, not a proof: compare what the registry says of it with what the
    clip shows.
    """


_KEY = click.option(
    "--key",
    "key_file",
    type=click.Path(path_type=Path),
    help="A file that holds a secret key, 16 bytes or more; without it, the public key.",
)


_WEIGHTS = click.option(
    "--weights",
    type=click.Path(path_type=Path),
    metavar="PATH",
    help=(
        "The folder of obverse train mark, for a learned mark, or Video Seal's TorchScript file; "
        "without it, the classical mark."
    ),
)


@mark.command("embed")
@click.argument("film", metavar="IN", type=click.Path(path_type=Path))
@click.option(
    "-o", "--output", required=True, type=click.Path(path_type=Path), help="The marked film, mp4."
)
@click.option("--payload", metavar="HEX", help="Up to 16 hexadecimal digits; without it, random.")
@_KEY
@_WEIGHTS
@click.option("--force", is_flag=True, help="Replace a file that exists.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")
def embed(
    film: Path,
    output: Path,
    payload: str | None,
    key_file: Path | None,
    weights: Path | None,
    force: bool,
    as_json: bool,
) -> None:
    """Write a marked copy of IN and print its payload; the sound is kept.

    A film that carries a mark of the same key is refused, unless it is the same payload: then it
    is copied as it is.

    Exit codes: 0 done; 2 could not be done, and nothing was written.

    \b
    Example:
      obverse mark embed film.mp4 -o marked.mp4 --payload 0123456789abcdef
    """
    from obverse.watermark.file import mark_file

    wanted = None if payload is None else _payload(payload)
    kind = _mark(weights, key_file)
    _require_rate(film)
    with progress_bar("mark", "frame") as progress:
        carried = mark_file(film, output, wanted, kind, force=force, progress=progress)
    text = f"{carried:016x}"
    click.echo(json.dumps({"path": str(output), "payload": text}) if as_json else text)


def _mark(weights: Path | None, key_file: Path | None) -> "Mark":
    from obverse.watermark.carriers import DEFAULT_KEY, read_key
    from obverse.watermark.marks import open_mark

    return open_mark(weights, DEFAULT_KEY if key_file is None else read_key(key_file))


def _require_rate(film: Path) -> None:
    """Refuse, before the film is searched for a mark, a rate at which no film can be written."""
    from obverse.media.encode import exact_rate
    from obverse.media.video import probe

    fps = probe(film).fps
    try:
        exact_rate(fps)
    except ConfigError as error:
        raise InputError(
            f"{film} has {fps:g} frames a second; a marked film has 1 to 240, so bring it to such "
            "a rate first."
        ) from error


def _payload(text: str) -> int:
    # int() would also take underscores, signs, leading zeros without end and other scripts' digits.
    if re.fullmatch("[0-9a-fA-F]{1,16}", text) is None:
        raise ConfigError(f"payload {text!r} is not usable; give 1 to 16 digits of 0-9 and a-f.")
    return int(text, 16)


@mark.command("read")
@click.argument("film", metavar="FILE", type=click.Path(path_type=Path))
@_KEY
@_WEIGHTS
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")
def read(film: Path, key_file: Path | None, weights: Path | None, as_json: bool) -> None:
    """Read the mark of FILE: its payload, z, and the chance that an unmarked film gives as much.

    Exit codes: 0 a payload was read; 1 no mark, or one whose payload is lost; 2 the file cannot be
    read.

    \b
    Example:
      obverse mark read marked.mp4 --json
    """
    from obverse.watermark.marks import read_file

    kind = _mark(weights, key_file)
    with progress_bar("read", "frame") as progress:
        found = read_file(film, kind, progress=progress)
    if as_json:
        click.echo(json.dumps(found.to_dict(), indent=2))
    elif found.payload is not None:
        click.echo(f"{found.payload_hex}  z {found.z:.1f}, p <= {found.p_value:.1e}")
    elif found.present:
        click.echo(f"marked, payload lost  z {found.z:.1f}, p <= {found.p_value:.1e}")
    else:
        click.echo(f"no mark of this key  z {found.z:.1f}, as chance gives in a search")
    sys.exit(0 if found.payload is not None else 1)
