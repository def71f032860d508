"""`obverse audit`: one clip's verdict, and the report that an expert can file."""

import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from obverse.cli.inspect import printable, read_roots
from obverse.cli.progress import progress_bar
from obverse.errors import AuditError, ConfigError, OutputExistsError
from obverse.files import write_whole
from obverse.media.container import require_file

if TYPE_CHECKING:
    from obverse.audit.record import Record

__all__ = ["audit"]

_KINDS = (".html", ".pdf", ".json")


@click.command()
@click.argument("clip", required=False, type=click.Path(path_type=Path))
@click.option(
    "-o",
    "--output",
    type=click.Path(path_type=Path),
    help="The report to write: .html, .pdf or .json, by the name's ending.",
)
@click.option(
    "--from",
    "record",
    type=click.Path(path_type=Path),
    help="Make the report of this record, which --json printed, in place of an audit.",
)
@click.option(
    "--check",
    type=click.Path(path_type=Path),
    help="Say whether this report is the one that the manifest beside it was signed for.",
)
@click.option("--json", "as_json", is_flag=True, help="Print the whole record as one JSON object.")
@click.option(
    "--run",
    type=click.Path(path_type=Path),
    help="A detector that obverse train detector or obverse export wrote; without it, what ships.",
)
@click.option(
    "--trust",
    "anchors",
    multiple=True,
    type=click.Path(path_type=Path),
    help="PEM file of roots to trust as well as this installation's own; may be repeated.",
)
@click.option(
    "--online", is_flag=True, help="Ask the signer's authority whether its certificate was revoked."
)
@click.option(
    "--key",
    "key_file",
    type=click.Path(path_type=Path),
    help="A file with the secret key of the mark; without it, the public one.",
)
@click.option("--registry", help="URL of the registry to ask; without it, your own.")
@click.option(
    "--seconds",
    type=float,
    default=600.0,
    show_default=True,
    help="That each look into the file may take.",
)
@click.option(
    "--memory-mb",
    type=int,
    default=6144,
    show_default=True,
    help="Memory that each look into the file may take.",
)
@click.option("--threads", type=int, default=1, show_default=True, help="CPU threads.")
@click.option("--no-sign", is_flag=True, help="Write no signed manifest beside the report.")
@click.option("--force", is_flag=True, help="Overwrite the report.")
@click.pass_context
def audit(
    context: click.Context,
    clip: Path | None,
    output: Path | None,
    record: Path | None,
    check: Path | None,
    as_json: bool,
    run: Path | None,
    anchors: tuple[Path, ...],
    online: bool,
    key_file: Path | None,
    registry: str | None,
    seconds: float,
    memory_mb: int,
    threads: int,
    no_sign: bool,
    force: bool,
) -> None:
    """Gather all that CLIP tells, and give one verdict with its reasons and limits.

    CLIP is a film, a still or a sound file. It is read in processes with limits on time and memory.
    A report is signed: its manifest lies beside it as REPORT.c2pa. Nothing is fetched from the
    network without --online.

    Exit codes: 0 done; 1 the content is not what it claims to be (a broken manifest, a copied mark,
    a manifest and a mark that contradict each other); 2 could not be done.

    \b
    Examples:
      obverse audit clip.mp4
      obverse audit clip.mp4 -o report.html --run run
      obverse audit clip.mp4 --json > record.json
      obverse audit --from record.json -o report.pdf
    """
    if sum(each is not None for each in (clip, record, check)) != 1:
        raise ConfigError(
            "give a clip to audit, a record with --from, or a report with --check: one of them."
        )
    if check is not None:
        sys.exit(_check(check, anchors))
    if output is not None:
        _require_place(output, force)
    if clip is not None:
        require_file(clip)  # before what takes seconds to import
        made = _audited(
            clip,
            run=run,
            anchors=anchors,
            online=online,
            key_file=key_file,
            registry=registry,
            seconds=seconds,
            memory_mb=memory_mb,
            threads=threads,
            command=_command(context.obj),
        )
    else:
        from obverse.audit.record import read_record

        assert record is not None
        made = read_record(record)
    if output is not None:
        _write(output, made, sign=not no_sign)
    if as_json:
        click.echo(made.text(), nl=False)
    else:
        for name, text in _lines(made):
            click.echo(f"{name:<11} {printable(text)}".rstrip())
    sys.exit(1 if made.wrong else 0)


def _check(report: Path, anchors: tuple[Path, ...]) -> int:
    from obverse.provenance.identity import default_anchors
    from obverse.provenance.sidecar import beside, state_beside

    require_file(report)
    store = beside(report)
    if not store.is_file():
        raise AuditError(f"{store} is absent; a report is checked by the manifest beside it.")
    trusted = b"\n".join([default_anchors(), *(read_roots(path, "--trust") for path in anchors)])
    state, signer = state_beside(report.read_bytes(), store.read_bytes(), trusted)
    words = {
        "trusted": "the report is as it was signed, by somebody you trust",
        "valid": "the report is as it was signed, but nobody you trust vouches for the signer",
    }
    click.echo(f"{state}: {words.get(state, 'the report or its manifest was altered')}")
    click.echo(printable(f"signer: {signer or 'unknown'}"))
    return 0 if state == "trusted" else 1


def _command(given: object) -> str:
    """Return the command as it was given, files by their names alone: a path may tell who asks."""
    words = list(given) if isinstance(given, Sequence) and not isinstance(given, str) else []
    return " ".join(["obverse", *(Path(str(word)).name or str(word) for word in words)])


def _audited(
    clip: Path,
    *,
    run: Path | None,
    anchors: tuple[Path, ...],
    online: bool,
    key_file: Path | None,
    registry: str | None,
    seconds: float,
    memory_mb: int,
    threads: int,
    command: str,
) -> "Record":
    from obverse.audit.examine import AuditConfig
    from obverse.audit.examine import audit as examine
    from obverse.audit.isolation import Limits
    from obverse.provenance.identity import default_anchors
    from obverse.watermark.carriers import read_key

    trusted = b"\n".join([default_anchors(), *(read_roots(path, "--trust") for path in anchors)])
    config = AuditConfig(
        run=run,
        anchors=trusted,
        online=online,
        key=None if key_file is None else read_key(key_file),
        registry=registry,
        limits=Limits(seconds, memory_mb << 20),
        threads=threads,
        command=command,
    )
    with progress_bar("audit", "step") as tell:
        return examine(clip, config, tell)


def _require_place(output: Path, force: bool) -> None:
    if output.suffix.lower() not in _KINDS:
        raise ConfigError(
            f"{output} ends in {output.suffix!r}; a report ends in .html, .pdf or .json."
        )
    if output.is_dir() or not output.absolute().parent.is_dir():
        raise ConfigError(f"{output} cannot be written; name a file in a folder that exists.")
    if output.exists() and not force:
        raise OutputExistsError(f"{output} exists; give another name or --force.")


def _write(output: Path, made: "Record", *, sign: bool) -> None:
    """Write the report and its manifest: both or neither."""
    from obverse.audit.signing import rendered, signed
    from obverse.provenance.sidecar import beside

    content = rendered(made, output.suffix.lower())
    store = signed(content, made, output.name) if sign else None
    try:
        write_whole(output, content)
        if store is not None:
            write_whole(beside(output), store)
        elif beside(output).exists():
            beside(output).unlink()  # of the report that was overwritten
    except OSError as error:
        raise AuditError(f"{output} cannot be written ({error.strerror}).") from error


def _lines(made: "Record") -> list[tuple[str, str]]:
    exhibit: dict[str, Any] = made.exhibit
    lines = [
        ("verdict", made.title),
        ("confidence", made.confidence),
        *(("", reason) for reason in made.reasons),
        ("exhibit", f"{exhibit['name']}, sha256 {exhibit['sha256']}"),
    ]
    lines += [("finding", f"{each['method']}: {each['result']}") for each in made.findings]
    lines += [("fact", f"{each['name']}: {each['value']}") for each in made.history]
    # All limits stand in the report; here those that were met with, and what absence means.
    met = [text for text in made.limits[1:] if "could not be found out" in text]
    return lines + [("limit", text) for text in [*made.limits[:1], *met]]
