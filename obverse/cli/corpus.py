"""`obverse corpus`: many clips with their pristine twins, labels and splits."""

import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from obverse.cli.progress import progress_bar
from obverse.errors import ConfigError, RightsError

if TYPE_CHECKING:
    from obverse.generator.corpus import CorpusReport

__all__ = ["corpus"]


@click.command("corpus")
@click.argument("plan", required=False, type=click.Path(path_type=Path))
@click.option(
    "-o", "--output", required=True, type=click.Path(path_type=Path), help="The corpus, a folder."
)
@click.option(
    "--pristine",
    type=click.Path(path_type=Path),
    metavar="DIR|TABLE",
    help="Recordings of people, or a table of clips, to be the pristine twins in place of sitters.",
)
@click.option(
    "--rights",
    type=click.Choice(["synthetic", "public-domain", "consented"]),
    help="Under which the recordings are used; needed with --pristine.",
)
@click.option(
    "--people", is_flag=True, help="Each folder right below --pristine is a person, not each film."
)
@click.option("--identities", type=int, help="How many sitters.")
@click.option("--voices", type=int, help="How many of the bundled voices.")
@click.option(
    "--methods", help="Generator methods with commas between: talk,reenact,dub,swap,voiceover."
)
@click.option("--sentences", type=int, help="Sentences for each sitter and voice.")
@click.option(
    "--voices-each", type=int, help="How many of its split's voices a sitter speaks with; all."
)
@click.option("--seed", type=int, help="Another seed draws other sitters and performances.")
@click.option("--size", type=int, help="Pixels of a side, even, 128 to 2048.")
@click.option(
    "--seconds", type=float, help="Length of every clip; without it, that of its sentence."
)
@click.option(
    "--refine",
    type=click.Choice(["on", "off"]),
    help="Whether a small network repaints the mouths of synthetic clips; on.",
)
@click.option("--workers", type=int, help="Processes; without it, one a core.")
@click.option("--force", is_flag=True, help="Throw away the corpus that is in the folder.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")
def corpus(
    plan: Path | None,
    output: Path,
    pristine: Path | None,
    rights: str | None,
    people: bool,
    identities: int | None,
    voices: int | None,
    methods: str | None,
    sentences: int | None,
    voices_each: int | None,
    seed: int | None,
    size: int | None,
    seconds: float | None,
    refine: str | None,
    workers: int | None,
    force: bool,
    as_json: bool,
) -> None:
    """Make a corpus by PLAN, a YAML file, or by the options alone.

    Each sitter speaks with each voice of its split; each scene is made once pristine and once by
    each method, through the same door. No identity, voice or sentence is in two splits. A run that
    was stopped or killed goes on where it was when it is started again.

    The methods talk and reenact animate a still; dub and swap edit the pristine film; voiceover
    leaves its picture pristine and lays another speech over it. For swap, which lends faces, and
    for voiceover of recordings, each split has two people at least.

    With --pristine the people are those of your own recordings: each recording is encoded anew and
    marked as a synthetic clip is, and a still out of it is made to speak, or it is edited.

    Exit codes: 0 done; 1 some clips could not be made; 2 could not be done.

    \b
    Example:
      obverse corpus plan.yaml -o corpus
      obverse corpus --identities 20 --voices 9 --methods talk,dub,swap --seconds 3 -o corpus
      obverse corpus --pristine recordings --rights consented --seconds 6 -o corpus
    """
    from obverse.generator.corpus import Plan, build_corpus
    from obverse.generator.plan import CorpusPlan, read_plan, read_settings
    from obverse.generator.recordings import plan_recordings

    options: dict[str, Any] = {
        "identities": identities,
        "voices": voices,
        "methods": None if methods is None else [name.strip() for name in methods.split(",")],
        "sentences": sentences,
        "voices_each": voices_each,
        "seed": seed,
        "size": size,
        "seconds": seconds,
        "refine": None if refine is None else refine == "on",
    }
    given = [name for name, value in options.items() if value is not None]
    if plan is not None and given:
        raise ConfigError(
            f"the plan {plan} says it all; write {given[0]} into it and leave out "
            f"--{given[0].replace('_', '-')}."
        )
    sources: dict[str, Path] = {}
    chosen: Plan
    if pristine is not None:
        if rights is None:
            raise RightsError(
                f"nothing states the rights to the recordings in {pristine}; pass --rights "
                "consented, public-domain or synthetic."
            )
        settings = options if plan is None else read_settings(plan)
        with progress_bar("recordings", "film") as tell:
            chosen, sources = plan_recordings(
                pristine, rights, settings, people=people, progress=tell
            )
    elif rights is not None or people:
        raise ConfigError(
            f"--{'people' if people else 'rights'} is said of recordings; name their folder with "
            "--pristine, or leave it out."
        )
    else:
        chosen = CorpusPlan.from_dict(options) if plan is None else read_plan(plan)
    with progress_bar("corpus", "clip") as tell:
        report = build_corpus(
            chosen,
            output,
            sources=sources,
            workers=workers,
            force=force,
            progress=lambda there, failed, total: tell(
                there + failed, total, f"{failed} failed" if failed else ""
            ),
        )
    for name, why in report.failed.items():
        click.echo(f"obverse: clip {name} could not be made: {why}", err=True)
    _show(report, as_json)
    sys.exit(1 if report.failed else 0)


def _show(report: "CorpusReport", as_json: bool) -> None:
    counts: dict[str, Any] = {
        "folder": str(report.folder),
        "clips": len(report.clips),
        "made": report.made,
        "failed": dict(report.failed),
        "pristine": sum(clip.label == "pristine" for clip in report.clips),
        "synthetic": sum(clip.label == "synthetic" for clip in report.clips),
        "other_sound": sum(clip.binary_av and not clip.binary for clip in report.clips),
        "splits": {
            split: sum(clip.split == split for clip in report.clips)
            for split in ("train", "val", "test")
        },
        "seconds": round(sum(clip.seconds for clip in report.clips), 2),
    }
    if as_json:
        click.echo(json.dumps(counts, indent=2))
        return
    splits = ", ".join(f"{name} {count}" for name, count in counts["splits"].items())
    laid = f", {counts['other_sound']} of them with another sound" if counts["other_sound"] else ""
    click.echo(
        f"{counts['folder']}: {counts['clips']} clips ({counts['pristine']} pristine{laid}, "
        f"{counts['synthetic']} synthetic; "
        f"{splits}), {counts['seconds']} s; {counts['made']} made now, {len(report.failed)} failed"
    )
