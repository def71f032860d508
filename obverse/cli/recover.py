"""`obverse recover`: the manifest of a clip that lost it."""

import json
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import click

from obverse.cli.inspect import printable
from obverse.errors import ConfigError, OutputExistsError, ProvenanceError
from obverse.files import write_whole
from obverse.media.container import require_file

if TYPE_CHECKING:
    from obverse.audit.recovery import Recovery
    from obverse.provenance.remote import RemoteResolver

__all__ = ["recover"]

_CONTENT = {
    "matches": "matches: the clip shows what was released with this manifest",
    "does not match": "DOES NOT MATCH: the mark was copied from elsewhere, the picture was "
    "changed, or less than half of it is left",
    "not comparable": "not comparable: what is kept of the released clip cannot tell",
}


@click.command("recover")
@click.argument("clip", type=click.Path(path_type=Path))
@click.option(
    "-o",
    "--output",
    type=click.Path(path_type=Path),
    help="Where to write the manifest; without it, CLIP.c2pa beside the clip.",
)
@click.option(
    "--registry",
    "url",
    metavar="URL",
    help="sqlite:///FILE or postgresql://...; without it OBVERSE_REGISTRY, else your own file.",
)
@click.option(
    "--resolver",
    metavar="URL",
    help="Ask a server of C2PA's Soft Binding Resolution API in the registry's place.",
)
@click.option(
    "--key",
    "key_file",
    type=click.Path(path_type=Path),
    help="A file that holds the mark's secret key; without it, the public key.",
)
@click.option(
    "--trust",
    "anchors",
    multiple=True,
    type=click.Path(path_type=Path),
    help="PEM file of roots to trust as well as this installation's own; may be repeated.",
)
@click.option("--force", is_flag=True, help="Replace a file that exists.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")
def recover(
    clip: Path,
    output: Path | None,
    url: str | None,
    resolver: str | None,
    key_file: Path | None,
    anchors: tuple[Path, ...],
    force: bool,
    as_json: bool,
) -> None:
    """Find the manifest that CLIP lost, and say whether it is CLIP's.

    CLIP may have been encoded anew, scaled, cropped, cut or mirrored. Its mark leads to the
    registered manifest; where no mark can be read, what it shows and says does. The manifest is
    then compared with the content, for a mark can be copied. It is written as a side-car file
    only where it fits.

    With --resolver the mark's value, or what was made of the picture and the sound, goes to that
    server; CLIP itself never does.

    Exit codes: 0 a trusted manifest came back and fits the content; 1 none did; 2 CLIP cannot be
    read, or the manifest cannot be written.

    \b
    Example:
      obverse recover downloaded.mp4
      obverse recover downloaded.mp4 -o original.c2pa --json
      obverse recover downloaded.mp4 --resolver https://example.org/v1 --trust root.pem
    """
    require_file(clip)  # before what takes seconds to import
    from obverse.audit.recovery import gather_isolated, recover_remotely
    from obverse.audit.recovery import recover as look_up
    from obverse.provenance.identity import default_anchors
    from obverse.provenance.pem import read_anchors
    from obverse.provenance.registry import Registry
    from obverse.watermark.carriers import DEFAULT_KEY, read_key

    if url is not None and resolver is not None:
        raise ConfigError("--registry and --resolver are two places to ask; give one of them.")
    target = output or clip.with_name(clip.name + ".c2pa")
    if target.suffix != ".c2pa":
        raise ConfigError(f"{target} is no name for a manifest; give one that ends in .c2pa.")
    if target.exists() and not force:
        raise OutputExistsError(f"{target} exists already; pass --force to replace it.")
    key = DEFAULT_KEY if key_file is None else read_key(key_file)
    trusted = b"\n".join([default_anchors(), *map(read_anchors, anchors)])
    asked = None if resolver is None else _resolver(resolver)
    evidence = gather_isolated(clip, key)
    if asked is not None:
        found = recover_remotely(evidence, asked, trusted)
    else:
        with Registry(url) as registry:
            found = look_up(evidence, registry, trusted)
    best = next((each for each in found if each.well), None)
    if best is not None:
        _write(target, best.record.manifest)
    payload = None if evidence.payload is None else f"{evidence.payload:016x}"
    if as_json:
        told = {
            "mark": payload,
            "recovered": best is not None,
            "path": None if best is None else str(target),
            "candidates": [each.to_dict() for each in found],
        }
        click.echo(json.dumps(told, indent=2))
    else:
        click.echo(f"{'mark':<9} {payload or 'none was read'}")
        for each in found:
            report = each.manifest
            click.echo(
                f"{'manifest':<9} {each.record.id}, {report.state}, found by {each.found_by}"
            )
            click.echo(f"{'content':<9} {_CONTENT[each.content]}")
            click.echo(f"{'label':<9} {_label(report.label)}".rstrip())
        if not found:
            place = "here" if asked is None else "there"
            click.echo(f"{'manifest':<9} none is registered {place} for this clip")
        if best is not None:
            click.echo(f"{'file':<9} {target}")
    if best is None:
        _say_whom_to_trust(found)
    sys.exit(0 if best is not None else 1)


def _resolver(url: str) -> "RemoteResolver":
    from obverse.provenance.remote import RemoteResolver

    return RemoteResolver.at(url)


def _say_whom_to_trust(found: Sequence["Recovery"]) -> None:
    """Say what to give where a manifest that may be the clip's lacks a known signer alone."""
    for each in found:
        if each.manifest.state == "valid" and each.content != "does not match":
            signer = printable(each.manifest.signer or each.manifest.issuer or "the signer")
            click.echo(
                "obverse: the manifest is intact and not trusted, for nobody you trust vouches for "
                f"{signer}; pass --trust with the PEM file of that signer's root certificate.",
                err=True,
            )
            return


def _label(label: object) -> str:
    if not isinstance(label, dict):
        return ""
    parts = [str(label[name]) for name in ("label", "kind", "method", "rights") if label.get(name)]
    return printable(", ".join(parts))


def _write(path: Path, content: bytes) -> None:
    try:
        write_whole(path, content)
    except OSError as error:
        raise ProvenanceError(
            f"{path} cannot be written ({error.strerror}); give another place with -o."
        ) from error
