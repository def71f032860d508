"""`obverse demo`: the whole chain, small, on bundled inputs, and one page that shows it."""

import dataclasses
import json
import shutil
import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from obverse.cli.progress import progress_bar
from obverse.errors import OutputExistsError

if TYPE_CHECKING:
    from obverse.clip import Clip
    from obverse.eval.shortcuts import ShortcutAudit
    from obverse.eval.summary import Summary
    from obverse.generator.plan import CorpusPlan

__all__ = ["DemoReport", "demo", "demo_plan", "run_demo"]

PAGE, SHEET, LABELS_CSV, LABELS_HTML = (
    "index.html",
    "contact-sheet.png",
    "labels.csv",
    "labels.html",
)
CORPUS, DETECTOR, SCORES, SUMMARY = "corpus", "detector", "scores.parquet", "summary.json"
SHIPPED_SCORES, SHORTCUTS = "shipped-scores.parquet", "shortcuts"
_OWN = (
    PAGE,
    SHEET,
    LABELS_CSV,
    LABELS_HTML,
    CORPUS,
    DETECTOR,
    SCORES,
    SHIPPED_SCORES,
    SUMMARY,
    SHORTCUTS,
)
_SEED = 743  # draws women and men of several ages and origins, whose voices suit them
_SECONDS = 4.0  # of each clip
_MOMENTS = 4  # of each clip on the contact sheet


@dataclasses.dataclass(frozen=True, slots=True)
class DemoReport:
    """What the demo made."""

    page: Path
    clips: int
    well: int  # clips whose manifest is trusted and matches their mark
    failed: Mapping[str, str]  # clips that could not be made
    summary: "Summary"
    shipped: "Summary"  # of the detector that ships, on all clips
    shortcuts: tuple[str, ...]  # cues that tell the labels apart
    seconds: float


def demo_plan(seed: int = _SEED, size: int = 512) -> "CorpusPlan":
    """Return the demo's plan: six sitters with a voice each, twelve clips, two sitters held out."""
    from obverse.generator.plan import CorpusPlan

    return CorpusPlan(
        identities=6,
        voices=6,
        voices_each=1,
        methods=("talk",),
        size=size,
        seconds=_SECONDS,
        seed=seed,
        split={"train": 3, "val": 1, "test": 2},
    )


def run_demo(
    folder: Path,
    *,
    seed: int = _SEED,
    size: int = 512,
    workers: int | None = None,
    force: bool = False,
) -> DemoReport:
    """Make clips, inspect them, train a detector, score the held-out sitters with it and all with
    the one that ships, and write the page.

    Raises:
        OutputExistsError: the demo is there already, or the folder holds something else.
        ObverseError: a step failed.
    """
    # Refused before torch is loaded, which takes a while.
    _require_place(folder, force=force)
    from obverse.audit.inspection import look
    from obverse.cli.demo_page import DemoClip, labels_csv, labels_html, page_html
    from obverse.datasets.table import write_scores
    from obverse.detector.config import TrainConfig
    from obverse.detector.recipe import CropRecipe
    from obverse.detector.runs import shipped_detector
    from obverse.detector.score import open_detector, score
    from obverse.detector.train import train
    from obverse.eval.summary import summarise
    from obverse.generator.corpus import build_corpus

    started = time.monotonic()
    corpus, run = folder / CORPUS, folder / DETECTOR
    with progress_bar("clips", "clip") as tell:
        made = build_corpus(
            demo_plan(seed, size),
            corpus,
            workers=workers,
            force=force,
            progress=lambda there, failed, total: tell(there + failed, total),
        )
    found = {}
    with progress_bar("inspect", "clip") as tell:
        for clip in made.clips:
            found[clip.id] = look(corpus / clip.path)
            tell(len(found), len(made.clips))
    _sheet(made.clips, corpus, folder / SHEET)
    audit = _audit(made.clips, corpus, folder / SHORTCUTS)
    # As small as a first look needs: a ResNet of 0.4 M parameters, half the frames, small crops.
    config = TrainConfig(
        backbone="test_resnet",
        recipe=CropRecipe(size_px=128, moments=16),
        epochs=10,
        steps=24,
        pairs=8,
        learning_rate=2e-3,
        average=0.97,
        patience=5,
    )
    with progress_bar("train", "step") as tell:
        learned = train(
            made.clips,
            corpus,
            run,
            config,
            force=True,
            progress=lambda what, done, total: tell(done, total, what),
        )
    held_out = [clip for clip in made.clips if clip.split == "test"]
    with progress_bar("score", "clip") as tell:
        scores = score(run, held_out, corpus, progress=tell)
    write_scores(folder / SCORES, scores, force=True)
    summary = summarise(held_out, scores, split="test")
    with progress_bar("ships", "clip") as tell:
        said = score(shipped_detector(), made.clips, corpus, progress=tell)
    write_scores(folder / SHIPPED_SCORES, said, force=True)
    judged = open_detector(shipped_detector()).judges
    shipped = summarise(made.clips, said, judged=judged)
    facts = {"trained here": summary.to_json(), "shipped": shipped.to_json()}
    (folder / SUMMARY).write_text(json.dumps(facts, indent=2) + "\n", encoding="utf-8")
    by_clip = {item.clip: item for item in scores}
    shown = [DemoClip(clip, found[clip.id], by_clip.get(clip.id)) for clip in made.clips]
    (folder / LABELS_CSV).write_text(labels_csv(shown), encoding="utf-8")
    (folder / LABELS_HTML).write_text(labels_html(shown), encoding="utf-8")
    seconds = time.monotonic() - started
    page = page_html(
        shown,
        folder,
        corpus,
        sheet=SHEET,
        summary=summary,
        shipped=shipped,
        audit=audit,
        shortcuts=f"{SHORTCUTS}/index.html",
        detector={
            "network": f"{config.backbone}, from scratch",
            "sees": f"crops of the face, {config.recipe.size_px} px",
            "learned from": f"{learned.clips['train']} clips",
            "epoch chosen": f"{learned.best_epoch}, by {learned.clips['val']} other clips",
            "training took": f"{learned.seconds:.0f} s",
        },
        seconds=seconds,
    )
    (folder / PAGE).write_text(page, encoding="utf-8")
    well = sum(item.well for item in found.values())
    return DemoReport(
        folder / PAGE, len(made.clips), well, made.failed, summary, shipped, audit.flagged, seconds
    )


def _audit(clips: Sequence["Clip"], corpus: Path, folder: Path) -> "ShortcutAudit":
    """Ask what tells the labels apart without a look at the faces, and leave a report."""
    from obverse.eval.cues import read_cues
    from obverse.eval.report import origin_of, write_report
    from obverse.eval.shortcut_report import audit_report
    from obverse.eval.shortcuts import audit_cues

    with progress_bar("shortcuts", "clip") as tell:
        cues = read_cues(clips, corpus, cache=False, progress=tell)
    audit = audit_cues(clips, cues)
    origin = origin_of([corpus / "clips.parquet"], f"obverse eval shortcuts {corpus}")
    write_report(folder, audit_report(audit, "the demo's corpus", origin))
    return audit


def _require_place(folder: Path, *, force: bool) -> None:
    """Refuse a folder of something else, and a finished demo unless forced; an unfinished one goes
    on.
    """
    if folder.exists() and not folder.is_dir():
        raise OutputExistsError(f"{folder} is a file; the demo needs a folder.")
    if folder.is_dir():
        foreign = sorted(path.name for path in folder.iterdir() if path.name not in _OWN)
        if foreign:
            raise OutputExistsError(f"{folder} holds {foreign[0]}; name an empty or a new folder.")
        if (folder / PAGE).exists() and not force:
            raise OutputExistsError(f"{folder} holds a demo already; pass --force to make it anew.")
    if force and folder.is_dir():
        for name in _OWN:
            if name == CORPUS:
                continue  # build_corpus does that, and knows whether it may
            path = folder / name
            if path.is_dir():
                shutil.rmtree(path)
            else:
                path.unlink(missing_ok=True)
    folder.mkdir(parents=True, exist_ok=True)


def _sheet(clips: Sequence["Clip"], corpus: Path, path: Path) -> None:
    """Lay out moments of each pair beside each other and release the sheet, which shows synthetic
    faces.
    """
    from obverse.cli.contact_sheet import SheetRow, contact_sheet, moments
    from obverse.clip import Clip, lineage_id
    from obverse.generator.generate import TOOL
    from obverse.generator.release import release_still

    twins = {clip.id: clip for clip in clips if clip.label == "pristine"}
    rows = []
    for clip in sorted(clips, key=lambda clip: (str(clip.split), str(clip.identity))):
        if clip.label == "synthetic":
            twin = twins[clip.parents["twin"]]
            pictures = (
                *moments(corpus / twin.path, _MOMENTS),
                *moments(corpus / clip.path, _MOMENTS),
            )
            rows.append(SheetRow(f"{clip.identity}, {clip.speaker}, {clip.split}", pictures))
    headings = ["pristine", *[""] * (_MOMENTS - 1), "synthetic", *[""] * (_MOMENTS - 1)]
    record = Clip(
        id=lineage_id({"sheet": [clip.id for clip in clips]}),
        path=str(path),
        label="synthetic",
        kind="generated",
        method="contact-sheet",
        parents={f"clip {number}": clip.id for number, clip in enumerate(clips, 1)},
        rights="synthetic",
        tool=TOOL,
    )
    release_still(contact_sheet(headings, rows), record, path, force=True)


@click.command("demo")
@click.option("-o", "--output", required=True, type=click.Path(path_type=Path), help="A folder.")
@click.option("--seed", default=_SEED, show_default=True, help="Another seed draws other sitters.")
@click.option("--size", default=512, show_default=True, help="Pixels of a side of the clips.")
@click.option("--workers", type=int, help="Processes; without it, one a core.")
@click.option("--force", is_flag=True, help="Make the demo in the folder anew.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")
def demo(
    output: Path, seed: int, size: int, workers: int | None, force: bool, as_json: bool
) -> None:
    """Run the whole chain, small: clips, labels, marks, manifests, a detector, and one page that
    shows it.

    Six virtual people speak, rendered; a still of each is made to speak; a small detector learns
    from four of them and scores the other two; the detector that ships, which met none of them,
    scores all. It takes some minutes and needs no network. A demo that was stopped goes on where it
    was.

    Exit codes: 0 done; 1 done, but a clip could not be made or did not pass inspection; 2 could
    not be done.

    \b
    Example:
      obverse demo -o demo-out
    """
    report = run_demo(output, seed=seed, size=size, workers=workers, force=force)
    for name, why in report.failed.items():
        click.echo(f"obverse: clip {name} could not be made: {why}", err=True)
    area = report.summary.auc
    if as_json:
        facts: dict[str, Any] = {
            "page": str(report.page),
            "clips": report.clips,
            "well": report.well,
            "failed": dict(report.failed),
            "summary": report.summary.to_json(),
            "shipped": report.shipped.to_json(),
            "shortcuts": list(report.shortcuts),
            "seconds": round(report.seconds, 1),
        }
        click.echo(json.dumps(facts, indent=2))
    else:
        folder = report.page.parent
        click.echo(f"page       {report.page}")
        click.echo(
            f"clips      {report.clips}, {report.well} with a trusted manifest and a mark that "
            "match"
        )
        click.echo(f"shortcuts  {', '.join(report.shortcuts) or 'none found'}")
        click.echo(
            f"detector   AUC {area} on {report.summary.identities} sitters that it never met"
        )
        click.echo(
            f"shipped    AUC {report.shipped.auc} of the detector that ships, on all "
            f"{report.shipped.pristine + report.shipped.synthetic} clips"
        )
        click.echo(f"time       {report.seconds:.0f} s")
        click.echo("try next")
        click.echo(f"  obverse inspect {folder / SHEET}")
        click.echo(
            f"  obverse detect {folder / CORPUS / 'clips.parquet'} --run {folder / DETECTOR} "
            "--split test"
        )
        click.echo(
            f"  obverse eval metrics {folder / SCORES} --split test "
            f"--labels {folder / CORPUS / 'clips.parquet'}"
        )
        click.echo("  obverse sitter --seed 7 -o face.png")
        click.echo("  obverse generate face.png voice.wav -o clip.mp4 --rights synthetic")
        click.echo("  obverse corpus --identities 20 --voices 9 --methods talk,reenact -o corpus")
    sys.exit(0 if not report.failed and report.well == report.clips else 1)
