"""`obverse eval shortcuts`: which trivial cues tell the labels of a set apart."""

import json
import sys
from pathlib import Path

import click

from obverse.cli import eval_options
from obverse.cli.eval_options import given_command
from obverse.cli.progress import progress_bar
from obverse.errors import InputError

__all__ = ["shortcuts"]


@click.command()
@click.argument("data", metavar="DATA", type=click.Path(path_type=Path))
@eval_options.split
@click.option(
    "--sound",
    is_flag=True,
    help="A clip is synthetic where its sound is, too; else by its picture.",
)
@click.option("--faces", is_flag=True, help="Look for faces too, which takes longer.")
@click.option("--limit", type=click.IntRange(min=4), help="At most so many clips, drawn at random.")
@eval_options.jobs
@eval_options.no_cache
@eval_options.level
@eval_options.seed("Of what is drawn, and of the folds.")
@eval_options.report
@eval_options.force
@eval_options.json_answer
def shortcuts(
    data: Path,
    split: str | None,
    sound: bool,
    faces: bool,
    limit: int | None,
    jobs: int,
    no_cache: bool,
    level: float,
    seed: int,
    output: Path | None,
    force: bool,
    as_json: bool,
) -> None:
    """Say how well trivial cues tell the labels of DATA apart: a table of clips, or a corpus.

    File size, bitrate, keyframes, encoder tags, length, silence, loudness, sharpness, noise, JPEG
    traces, our mark, the file's name: each with an AUC and its interval. A cue whose whole interval
    lies outside .45 to .55 is a shortcut. What is read of a clip is kept, so an audit that was
    broken off goes on where it was. Exit code 1 when there is a shortcut, or a clip could not be
    read.

    Examples:

        obverse eval shortcuts corpus --jobs 2

        obverse eval shortcuts celeb.parquet --split test --faces -o report --json

        obverse eval shortcuts fakeav.parquet --sound
    """
    from obverse.clip import Judged
    from obverse.datasets.table import read_clips
    from obverse.errors import ConfigError
    from obverse.eval.bootstrap import require_level
    from obverse.eval.cues import read_cues
    from obverse.eval.report import origin_of, require_place, write_report
    from obverse.eval.shortcut_report import audit_report, audit_text
    from obverse.eval.shortcuts import audit_cues, chosen_clips

    if output is not None:
        require_place(output, force=force)
    if jobs < 1:
        raise ConfigError(f"{jobs} jobs are not possible; give at least 1.")
    require_level(level)
    table = data / "clips.parquet" if data.is_dir() else data
    if data.is_dir() and not table.is_file():
        raise InputError(
            f"{data} holds no clips.parquet; give a table of clips (obverse data index makes one), "
            "or a corpus."
        )
    judged: Judged = "picture and sound" if sound else "picture"
    clips = chosen_clips(read_clips(table), split=split, limit=limit, judged=judged, seed=seed)
    with progress_bar("shortcuts", "clip") as tell:
        cues = read_cues(
            clips, table.parent, faces=faces, workers=jobs, cache=not no_cache, progress=tell
        )
    audit = audit_cues(clips, cues, judged=judged, seed=seed, level=level)
    if output is not None:
        name = str(data)
        write_report(output, audit_report(audit, name, origin_of([table], given_command())))
    click.echo(json.dumps(audit.to_json()) if as_json else audit_text(audit))
    for each in cues:
        if each.reason is not None:
            click.echo(f"obverse: {each.status}: {each.reason}", err=True)
    if audit.flagged or audit.counts["error"]:
        sys.exit(1)
