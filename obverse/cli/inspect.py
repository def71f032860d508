"""`obverse inspect`: a file's manifest, its mark, and whether the two belong together."""

import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import click

from obverse.errors import InputError, ProvenanceError
from obverse.media.container import require_file

if TYPE_CHECKING:
    from obverse.audit.inspection import Inspection
    from obverse.watermark.extract import MarkReading

__all__ = ["inspect", "printable", "read_roots"]

_STATES = {
    "trusted": "intact, and signed by somebody you trust",
    "valid": "intact, but nobody you trust vouches for the signer",
    "invalid": "broken: the file or its history was altered, or the manifest cannot be read",
    "absent": "there is none, which proves nothing about the file",
}
_REVOCATIONS = {
    "good": "no, says the signer's authority",
    "revoked": "YES, says the signer's authority",
    "unknown": "unknown: the signer's authority names no responder, or it does not answer",
}
_UNDECODED = "not looked for: the picture is damaged and cannot be decoded"


@click.command("inspect")
@click.argument("file", type=click.Path(path_type=Path))
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")
@click.option(
    "--trust",
    "anchors",
    multiple=True,
    type=click.Path(path_type=Path),
    help="PEM file of roots to trust as well as this installation's own; may be repeated.",
)
@click.option(
    "--trust-tsa",
    "stamping",
    multiple=True,
    type=click.Path(path_type=Path),
    help="PEM file of roots whose time stamps to trust; may be repeated.",
)
@click.option(
    "--online", is_flag=True, help="Ask the signer's authority whether its certificate was revoked."
)
def inspect(
    file: Path, as_json: bool, anchors: tuple[Path, ...], stamping: tuple[Path, ...], online: bool
) -> None:
    """Show FILE's manifest, its mark, and whether they belong together.

    FILE is a film, a still or a sound file. The manifest's state is trusted, valid (intact, signer
    unknown), invalid or absent. Nothing is fetched from the network without --online.

    Exit codes: 0 all is well; 1 something is absent or wrong; 2 FILE cannot be read.

    \b
    Example:
      obverse inspect clip.mp4
      obverse inspect clip.mp4 --json --trust newsroom-root.pem
    """
    require_file(file)  # before what takes a second to import
    from obverse.audit.inspection import look
    from obverse.provenance.identity import default_anchors, default_time_stamp_anchors

    trusted = b"\n".join([default_anchors(), *(read_roots(path, "--trust") for path in anchors)])
    stamped = b"\n".join(
        [default_time_stamp_anchors(), *(read_roots(path, "--trust-tsa") for path in stamping)]
    )
    found = look(file, trusted, time_stamp_anchors=stamped.strip(), online=online)
    if as_json:
        click.echo(json.dumps(found.to_dict(), indent=2, sort_keys=False))
    else:
        for name, text in _lines(found):
            click.echo(f"{name:<9} {printable(text)}".rstrip())
    sys.exit(0 if found.well else 1)


def read_roots(path: Path, option: str) -> bytes:
    """Return the PEM roots of a file that an option names; its errors name the option."""
    from obverse.provenance.pem import read_anchors

    try:
        return read_anchors(path)
    except ProvenanceError as error:  # a file that the user named, as any other input
        raise InputError(f"{option}: {error}") from error


def printable(text: str) -> str:
    """A manifest is a stranger's text; it shall not move the cursor or start a line of its own."""
    return "".join(each if each.isprintable() else "\N{REPLACEMENT CHARACTER}" for each in text)


def _lines(found: "Inspection") -> list[tuple[str, str]]:
    manifest, mark, label = found.manifest, found.mark, found.manifest.label
    lines = [
        ("file", str(found.path)),
        ("manifest", f"{manifest.state}: {_STATES[manifest.state]}"),
    ]
    if manifest.id:
        lines.append(("", manifest.id))
        signer = manifest.signer or manifest.issuer or "unknown"
        lines.append(("signer", signer + (f" ({manifest.issuer})" if manifest.issuer else "")))
    lines += [("failure", text) for text in manifest.failures]
    lines += [("warning", text) for text in manifest.warnings]
    if manifest.created:
        what = manifest.digital_source_type or "no source type stated"
        lines.append(("created", f"{manifest.created}, {what}, by {manifest.generator}"))
    if manifest.time_stamp:
        worth = "" if manifest.time_stamp_trusted else ", by an authority that you do not trust"
        lines.append(("stamped", manifest.time_stamp + worth))
    if manifest.revocation != "not asked":
        lines.append(("revoked", _REVOCATIONS[manifest.revocation]))
    lines.append(("mark", _mark_line(mark) if found.decoded else _UNDECODED))
    if found.match is not None or (manifest.payload is not None and mark is not None):
        lines.append(("match", _match_line(found)))
    if label:
        parts = [str(label[name]) for name in ("label", "kind", "method") if label.get(name)]
        parts += [f"{name} {label[name]}" for name in ("sound", "seed", "rights") if name in label]
        lines.append(("label", ", ".join(parts)))
        warnings = label.get("warnings")
        lines += [
            ("caution", str(text)) for text in (warnings if isinstance(warnings, list) else [])
        ]
    for item in manifest.ingredients:
        digest = f", sha256 {item.sha256[:16]}..." if item.sha256 else ""
        lines.append(("input", f"{item.role} ({item.relationship}){digest}"))
    return lines


def _match_line(found: "Inspection") -> str:
    from obverse.audit.inspection import payload_hex

    named = payload_hex(found.manifest.payload)
    if found.match is None:
        return f"unknown: the manifest names {named}, which was not found"
    if found.match:
        return "yes: the manifest names this mark"
    return f"NO: the manifest names {named}; one of the two comes from elsewhere"


def _mark_line(mark: "MarkReading | None") -> str:
    from obverse.audit.inspection import payload_hex

    if mark is None:
        return "not looked for: there is no picture"
    # Far out, the bound is smaller than any floating-point number.
    chance = f"p {mark.p_value:.1e}" if mark.p_value > 0 else "p < 1e-300"
    statistics = f"z {mark.z:.1f}, {chance}"
    if mark.present:
        return f"present: {payload_hex(mark.payload) or 'its payload is lost'} ({statistics})"
    return f"absent ({statistics})"
