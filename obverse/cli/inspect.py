"""`obverse inspect`: a file's manifest, its mark, and whether the two belong together."""

import json
import sys
from pathlib import Path

import click
from cryptography import x509
from cryptography.hazmat.primitives import serialization

from obverse.audit.inspection import Inspection, look, payload_hex
from obverse.errors import InputError
from obverse.media.container import require_file
from obverse.provenance.identity import default_anchors
from obverse.watermark.extract import MarkReading

__all__ = ["inspect"]

_STATES = {
    "trusted": "intact, and signed by somebody you trust",
    "valid": "intact, but nobody you trust vouches for the signer",
    "invalid": "broken: the file or its history was altered, or the manifest cannot be read",
    "absent": "there is none, which proves nothing about the file",
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
def inspect(file: Path, as_json: bool, anchors: tuple[Path, ...]) -> None:
    """Show FILE's manifest, its mark, and whether they belong together.

    FILE is a film, a still or a sound file. The manifest's state is trusted, valid (intact, signer
    unknown), invalid or absent. Nothing is fetched from the network.

    Exit codes: 0 all is well; 1 something is absent or wrong; 2 FILE cannot be read.

    \b
    Example:
      obverse inspect clip.mp4
      obverse inspect clip.mp4 --json --trust newsroom-root.pem
    """
    require_file(file)
    trusted = b"\n".join([default_anchors(), *map(_roots, anchors)])
    found = look(file, trusted)
    if as_json:
        click.echo(json.dumps(found.to_dict(), indent=2, sort_keys=False))
    else:
        for name, text in _lines(found):
            click.echo(f"{name:<9} {_printable(text)}".rstrip())
    sys.exit(0 if found.well else 1)


def _roots(path: Path) -> bytes:
    """Return a file's PEM certificates, and nothing else that stands in it."""
    try:
        certificates = x509.load_pem_x509_certificates(path.read_bytes())
    except OSError as error:
        raise InputError(
            f"{path} cannot be read for --trust ({error.strerror}); give a PEM file."
        ) from error
    except ValueError as error:
        raise InputError(
            f"{path} holds no PEM certificate that can be read; give --trust a PEM file of roots."
        ) from error
    return b"".join(each.public_bytes(serialization.Encoding.PEM) for each in certificates)


def _printable(text: str) -> str:
    """A manifest is a stranger's text; it shall not move the cursor or start a line of its own."""
    return "".join(each if each.isprintable() else "\N{REPLACEMENT CHARACTER}" for each in text)


def _lines(found: Inspection) -> list[tuple[str, str]]:
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
    lines.append(("mark", _mark_line(mark) if found.decoded else _UNDECODED))
    if found.match is not None or (manifest.payload is not None and mark is not None):
        lines.append(("match", _match_line(found)))
    if label:
        parts = [str(label[name]) for name in ("label", "kind", "method") if label.get(name)]
        parts += [f"{name} {label[name]}" for name in ("seed", "rights") if name in label]
        lines.append(("label", ", ".join(parts)))
        warnings = label.get("warnings")
        lines += [
            ("caution", str(text)) for text in (warnings if isinstance(warnings, list) else [])
        ]
    for item in manifest.ingredients:
        digest = f", sha256 {item.sha256[:16]}..." if item.sha256 else ""
        lines.append(("input", f"{item.role} ({item.relationship}){digest}"))
    return lines


def _match_line(found: Inspection) -> str:
    named = payload_hex(found.manifest.payload)
    if found.match is None:
        return f"unknown: the manifest names {named}, which was not found"
    if found.match:
        return "yes: the manifest names this mark"
    return f"NO: the manifest names {named}; one of the two comes from elsewhere"


def _mark_line(mark: MarkReading | None) -> str:
    if mark is None:
        return "not looked for: there is no picture"
    # Far out, the bound is smaller than any floating-point number.
    chance = f"p {mark.p_value:.1e}" if mark.p_value > 0 else "p < 1e-300"
    statistics = f"z {mark.z:.1f}, {chance}"
    if mark.present and mark.payload is not None:
        return f"present: {payload_hex(mark.payload)} ({statistics})"
    return f"absent ({statistics})"
