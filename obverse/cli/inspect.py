"""`obverse inspect`: a file's manifest, its mark, and whether the two belong together."""

import dataclasses
import json
import sys
from pathlib import Path
from typing import Any

import click

from obverse.errors import InputError
from obverse.media.audio import read_speech
from obverse.media.container import require_file
from obverse.media.still import read_still
from obverse.media.video import probe
from obverse.provenance.identity import default_anchors
from obverse.provenance.isolation import verify_isolated
from obverse.provenance.verify import ManifestReport
from obverse.watermark.extract import MarkReading, extract, extract_frames

__all__ = ["Inspection", "inspect", "look"]

_STATES = {
    "trusted": "intact, and signed by somebody you trust",
    "valid": "intact, but nobody you trust vouches for the signer",
    "invalid": "broken: the file or its history was altered, or the manifest cannot be read",
    "absent": "none; that proves nothing about the file",
}


@dataclasses.dataclass(frozen=True, slots=True)
class Inspection:
    """What was found in one file."""

    path: Path
    manifest: ManifestReport
    mark: MarkReading | None  # None: the file holds no picture to look into

    @property
    def match(self) -> bool | None:
        """Whether the manifest names the mark that was found; None where one of them is missing."""
        found = self.mark.payload if self.mark is not None and self.mark.present else None
        if found is None or self.manifest.payload is None:
            return None
        return found == self.manifest.payload

    @property
    def well(self) -> bool:
        """Whether nothing is absent and nothing is wrong."""
        if self.manifest.state != "trusted":
            return False
        # Sound alone holds no mark that could be looked for, unless its manifest promises one.
        return self.match is True if self.mark is not None else self.manifest.payload is None

    def to_dict(self) -> dict[str, Any]:
        """Return plain values for JSON."""
        mark = self.mark
        found = mark is not None and mark.present and mark.payload is not None
        return {
            "manifest": {
                "state": self.manifest.state,
                "id": self.manifest.id,
                "signer": self.manifest.signer,
                "failures": list(self.manifest.failures),
                "warnings": list(self.manifest.warnings),
                "created": self.manifest.created,
                "digital_source_type": self.manifest.digital_source_type,
                "generator": self.manifest.generator,
                "payload": _hex(self.manifest.payload),
                "ingredients": [dataclasses.asdict(item) for item in self.manifest.ingredients],
            },
            "mark": {
                "present": found,
                "payload": _hex(mark.payload) if mark is not None and found else None,
                "z": None if mark is None else round(float(mark.z), 3),
                "p_value": None if mark is None else float(mark.p_value),
            },
            "match": self.match,
            "label": dict(self.manifest.label),
        }


def look(path: Path, anchors: bytes | None = None) -> Inspection:
    """Read a file's manifest and mark.

    Args:
        path: a film, a still or a sound file.
        anchors: PEM roots whose signers are trusted; None is this installation's own.

    Raises:
        InputError: the file cannot be read as any of these.
    """
    require_file(path)
    manifest = verify_isolated(path, anchors)
    return Inspection(path, manifest, _read_mark(path))


def _read_mark(path: Path) -> MarkReading | None:
    """Look for a mark in a film, else in a still; None for sound, which has no picture."""
    try:
        probe(path)
    except InputError as not_a_film:
        try:
            still = read_still(path)
        except InputError:
            _require_sound(path, not_a_film)
            return None
        return extract_frames([still])
    return extract(path)


def _require_sound(path: Path, not_a_film: InputError) -> None:
    try:
        read_speech(path)
    except InputError:
        raise not_a_film from None


def _hex(payload: int | None) -> str | None:
    return None if payload is None else f"{payload:016x}"


@click.command("inspect")
@click.argument("file", type=click.Path(exists=True, dir_okay=False, path_type=Path))
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")
@click.option(
    "--trust",
    "anchors",
    multiple=True,
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
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
    trusted = b"\n".join([default_anchors(), *(path.read_bytes() for path in anchors)])
    found = look(file, trusted)
    if as_json:
        click.echo(json.dumps(found.to_dict(), indent=2, sort_keys=False))
    else:
        for name, text in _lines(found):
            click.echo(f"{name:<9} {_printable(text)}".rstrip())
    sys.exit(0 if found.well else 1)


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
    lines.append(("mark", _mark_line(mark)))
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
    named = _hex(found.manifest.payload)
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
        return f"present: {_hex(mark.payload)} ({statistics})"
    return f"absent ({statistics})"
